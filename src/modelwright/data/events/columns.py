"""What a value means: SQL that turns a column of any type into an entity, an instant, a count, an exposure or a label.

Every expression yields NULL for a value that cannot be used, and `flaw_sql` says which of the flaws below it is; both
are built from the same tests, so a value is either used or named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events.sources import text
from modelwright.data.events.zones import DAY, Zone

_EPOCHS = {"epoch_s": 1_000_000.0, "epoch_ms": 1_000.0, "epoch_us": 1.0, "epoch_ns": 0.001}
_LARGEST = 2**53
_INTEGERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
)  # fmt: skip
_FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")
# One day more than the years a grid may touch, as whole days before 1970: makes every dividend positive.
_BEFORE_EVERYTHING = -120_000 * DAY

FLAWS: dict[str, tuple[str, str, str]] = {
    "entity_missing": ("entity", "without an entity", "a label in every row"),
    "entity_unusable": (
        "entity",
        "with an entity that holds a null character, which no trace can store",
        "labels without the character of code 0",
    ),
    "time_missing": ("time", "without a time", "a time in every row"),
    "time_unreadable": (
        "time",
        "with a time that cannot be read",
        "ISO 8601 such as 2024-03-01 or 2024-03-01T13:45:00Z",
    ),
    "time_out_of_range": ("time", "with a time outside the years that can be counted", "times in a plausible year"),
    "count_missing": ("count", "without a count (empty, null or NaN)", "a whole number of at least zero"),
    "count_unreadable": ("count", "with a count that is not a number", "a whole number of at least zero"),
    "count_infinite": ("count", "with an infinite count", "a whole number of at least zero"),
    "count_negative": ("count", "with a negative count", "a whole number of at least zero"),
    "count_fractional": ("count", "with a fractional count", "a whole number of at least zero"),
    "count_too_large": ("count", "with a count above 2**53", "a whole number up to 2**53"),
    "exposure_missing": ("exposure", "without an exposure (empty, null or NaN)", "a finite number above zero"),
    "exposure_unusable": ("exposure", "with an exposure that is not a number above zero", "a finite number above zero"),
    "label_missing": ("label", "without a label", "0 or 1, true or false, in every row"),
    "label_unreadable": ("label", "with a label that is neither yes nor no", "0 or 1, true or false"),
}


@dataclass(frozen=True)
class Meaning:
    """SQL over the columns entity, time, count, exposure, label and kind of a relation.

    Args:
        prepared: SELECT list computed first, from the raw columns.
        entity: Label or NULL.
        instant: Microseconds since 1970 in UTC, or NULL.
        local: Microseconds on the wall clock of the zone, or NULL.
        count: DOUBLE or BIGINT, or NULL.
        exposure: DOUBLE or NULL.
        label: BOOLEAN or NULL.
        kind: VARCHAR or NULL.
        flaw: Key of FLAWS, or NULL for a row that can be used.
    """

    prepared: str
    entity: str
    instant: str
    local: str
    count: str
    exposure: str
    label: str
    kind: str
    flaw: str


def meaning_of(types: Mapping[str, str], zone: Zone, *, time_format: str | None) -> Meaning:
    """SQL for the columns that are there.

    Args:
        types: role -> DuckDB type; roles entity, time, count, exposure, label, kind.
        zone: How to read times without an offset.
        time_format: A strptime pattern, or epoch_s, epoch_ms, epoch_us, epoch_ns; ISO 8601 when None.

    Raises:
        ConfigurationError: for a column whose type cannot mean what it should.
    """
    prepared = [f"{_entity(types['entity'])} AS e", "entity IS NULL AS no_entity"]
    flaws = ["WHEN e IS NULL THEN 'entity_missing'", "WHEN contains(e, chr(0)) THEN 'entity_unusable'"]
    instant = local = count = exposure = label = kind = "NULL"
    if "time" in types:
        clock, aware = _clock(types["time"], time_format)
        prepared += [f"{clock} AS clock", "time IS NULL AS no_time"]
        low, high = _range(zone)
        inside = f"clock BETWEEN {low} AND {high}"
        instant, local = _both_clocks(aware, zone)
        flaws += [
            "WHEN no_time THEN 'time_missing'",
            "WHEN clock IS NULL THEN 'time_unreadable'",
            f"WHEN NOT ({inside}) THEN 'time_out_of_range'",
        ]
        if aware == "by row":
            # A colon followed by a letter or a sign: the time carries an offset or a zone.
            prepared.append("regexp_matches(CAST(time AS VARCHAR), ':.*[A-Za-z+-]') AS aware")
    if "count" in types:
        count = _number("count", types["count"])
        prepared += [f"{count} AS n", f"{_missing('count', types['count'])} AS no_count"]
        count = "TRY_CAST(n AS BIGINT)"
        flaws += [
            "WHEN no_count THEN 'count_missing'",
            "WHEN n IS NULL THEN 'count_unreadable'",
        ]
        if not _is(types["count"], _INTEGERS):
            flaws += [
                "WHEN isnan(n) THEN 'count_missing'",
                "WHEN isinf(n) THEN 'count_infinite'",
            ]
        flaws += ["WHEN n < 0 THEN 'count_negative'", f"WHEN n > {_LARGEST} THEN 'count_too_large'"]
        if not _is(types["count"], _INTEGERS):
            flaws.append("WHEN n <> floor(n) THEN 'count_fractional'")
    if "exposure" in types:
        prepared += [
            f"CAST({_number('exposure', types['exposure'])} AS DOUBLE) AS x",
            f"{_missing('exposure', types['exposure'])} AS no_exposure",
        ]
        exposure = "x"
        flaws += [
            "WHEN no_exposure THEN 'exposure_missing'",
            "WHEN x IS NULL THEN 'exposure_unusable'",
            "WHEN isnan(x) THEN 'exposure_missing'",
            "WHEN isinf(x) OR x <= 0 THEN 'exposure_unusable'",
        ]
    if "label" in types:
        prepared += [f"{_yes_or_no(types['label'])} AS yes", "label IS NULL AS no_label"]
        label = "yes"
        flaws += ["WHEN no_label THEN 'label_missing'", "WHEN yes IS NULL THEN 'label_unreadable'"]
    if "kind" in types:
        kind = "k"
        prepared.append("NULLIF(CAST(kind AS VARCHAR), '') AS k")
    flaw = "CASE " + " ".join(flaws) + " END"
    return Meaning(", ".join(prepared), "e", instant, local, count, exposure, label, kind, flaw)


def floor_division(value: str, width: int) -> str:
    """SQL for floor(value / width) of integers of either sign; SQL's own division rounds towards zero."""
    base = _BEFORE_EVERYTHING // width
    return f"({value} - ({base * width})) // {width} + ({base})"


def remainder(value: str, width: int) -> str:
    """SQL for the non-negative remainder of an integer of either sign by a divisor of a day."""
    return f"({value} - ({_BEFORE_EVERYTHING})) % {width}"


def _is(type: str, kinds: tuple[str, ...]) -> bool:
    return type.split("(")[0] in kinds


def _entity(type: str) -> str:
    if _is(type, ("FLOAT", "DOUBLE")):
        # Whole numbers become fractions when a row of their column is empty; they are the same entities.
        whole = f"entity = floor(entity) AND abs(entity) <= {_LARGEST}"
        return (
            f"CASE WHEN isnan(entity) THEN NULL WHEN {whole} THEN CAST(CAST(entity AS BIGINT) AS VARCHAR) "
            "ELSE CAST(entity AS VARCHAR) END"
        )
    return "NULLIF(CAST(entity AS VARCHAR), '')"


def _missing(role: str, type: str) -> str:
    # In text, an empty field and NaN both mean that somebody had no number to write.
    return f"({role} IS NULL OR lower(trim({role})) IN ('', 'nan'))" if type == "VARCHAR" else f"({role} IS NULL)"


def _number(role: str, type: str) -> str:
    if _is(type, _INTEGERS):
        return f"TRY_CAST({role} AS HUGEINT)"
    if _is(type, _FRACTIONS):
        return f"CAST({role} AS DOUBLE)"
    if type == "VARCHAR":
        return f"TRY_CAST({role} AS DOUBLE)"
    raise ConfigurationError("not a column of numbers", field=role, expected="numbers", got=type.lower())


def _yes_or_no(type: str) -> str:
    if type == "BOOLEAN":
        return "label"
    if _is(type, _INTEGERS) or _is(type, _FRACTIONS):
        return "CASE WHEN label = 1 THEN true WHEN label = 0 THEN false END"
    if type == "VARCHAR":
        return (
            "CASE WHEN lower(label) IN ('1', '1.0', 'true', 'yes') THEN true "
            "WHEN lower(label) IN ('0', '0.0', 'false', 'no') THEN false END"
        )
    raise ConfigurationError(
        "not a column of labels", field="label", expected="0 or 1, true or false", got=type.lower()
    )


def _clock(type: str, time_format: str | None) -> tuple[str, str]:
    """SQL for microseconds as written, and whether they are instants: "yes", "no" or "by row"."""
    if type.startswith("TIMESTAMP WITH TIME ZONE"):
        return "CASE WHEN isfinite(time) THEN epoch_us(time) END", "yes"
    if type == "TIMESTAMP_NS":
        return f"CAST({floor_division('epoch_ns(time)', 1_000)} AS BIGINT)", "no"
    if type.startswith("TIMESTAMP") or type == "DATE":
        return "CASE WHEN isfinite(time) THEN epoch_us(CAST(time AS TIMESTAMP)) END", "no"
    if time_format in _EPOCHS:
        if not (_is(type, _INTEGERS) or _is(type, _FRACTIONS) or type == "VARCHAR"):
            raise ConfigurationError("not a column of numbers", field="time", expected="numbers", got=type.lower())
        number = f"TRY_CAST(time AS DOUBLE) * {_EPOCHS[time_format]}"
        return f"CASE WHEN abs({number}) < 9e18 THEN CAST(floor({number}) AS BIGINT) END", "yes"
    if time_format is not None:
        moment = f"try_strptime(CAST(time AS VARCHAR), {text(time_format)})"
        carries_offset = "%z" in time_format or "%Z" in time_format
        return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END", "yes" if carries_offset else "no"
    if type == "VARCHAR":
        moment = "TRY_CAST(time AS TIMESTAMPTZ)"
        return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END", "by row"
    raise ConfigurationError(
        "not a column of times",
        field="time",
        expected="timestamps, dates, or text in ISO 8601",
        got=type.lower(),
        todo="for numbers, say what they count with time_format=epoch_s, epoch_ms, epoch_us or epoch_ns, "
        "or give a pattern such as %Y",
    )


def _range(zone: Zone) -> tuple[int, int]:
    """The clock readings that can be counted, both ends included."""
    start = (zone.first_year - 1970) * 365.2425
    end = (zone.last_year + 1 - 1970) * 365.2425
    return int(start) * DAY, int(end) * DAY - 1


def _both_clocks(aware: str, zone: Zone) -> tuple[str, str]:
    if zone.is_utc:
        return "clock", "clock"
    as_instant = f"clock - ({zone.offset_sql('clock', of_local=True)})"
    as_local = f"clock + ({zone.offset_sql('clock', of_local=False)})"
    if aware == "by row":
        return f"CASE WHEN aware THEN clock ELSE {as_instant} END", f"CASE WHEN aware THEN {as_local} ELSE clock END"
    return ("clock", as_local) if aware == "yes" else (as_instant, "clock")


def listed_rows(first: list[int], total: int) -> str:
    """Row numbers as text, with how many more there are.

    Example:
        >>> listed_rows([3, 9], 2), listed_rows([1, 2, 3], 40)
        ('3, 9', '1, 2, 3 and 37 more')
    """
    return ", ".join(str(row) for row in first) + (f" and {total - len(first)} more" if total > len(first) else "")


def flawed_rows(found: Mapping[str, tuple[int, list[int]]], columns: Mapping[str, str]) -> DataError:
    """The error for rows that cannot be used: the first kind of flaw with its rows, and how many others there are.

    Args:
        found: flaw -> (how many rows, the first of them counted from 1).
        columns: role -> column name.
    """
    flaw, (rows, first) = next(iter(found.items()))
    role, what, expected = FLAWS[flaw]
    remedy = "correct them, or leave such rows out and have them counted (on_bad = leave_out)"
    if flaw == "time_unreadable":
        remedy = f"name the pattern, such as time_format = %d/%m/%Y, or epoch_s for seconds since 1970; {remedy}"
    listed = ("row " if rows == 1 else "rows ") + listed_rows(first, rows)
    others = [f"{count} {FLAWS[key][1]}" for key, (count, _) in list(found.items())[1:]]
    also = f" (also {', '.join(others)})" if others else ""
    column = columns.get(role, columns.get("multiplicity", role) if role == "count" else role)
    return DataError(
        f"{rows} row{'s' if rows > 1 else ''} of column {column!r} {what}: {listed}{also}",
        field=role,
        expected=expected,
        todo=remedy,
    )
