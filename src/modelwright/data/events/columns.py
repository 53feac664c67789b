"""What a value means: SQL that turns a column of any type into an entity, an instant, a count, an exposure or a label.

Every expression yields NULL for a value that cannot be used, and `Meaning.flaw` says which of `flaws.FLAWS` it is; both
are built from the same tests, so a value is either used or named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from modelwright.core.errors import ConfigurationError
from modelwright.data.events.covariate_columns import CovariateType, covariate_sql, volume_sql
from modelwright.data.events.sources import text
from modelwright.data.events.sql_types import FRACTIONS, INTEGERS, is_of, label_sql, missing_sql, number_sql
from modelwright.data.events.zones import DAY, Zone

_EPOCHS = {"epoch_s": 1_000_000.0, "epoch_ms": 1_000.0, "epoch_us": 1.0, "epoch_ns": 0.001}
_LARGEST = 2**53
# One day more than the years a grid may touch, as whole days before 1970: makes every dividend positive.
_BEFORE_EVERYTHING = -120_000 * DAY


@dataclass(frozen=True)
class Meaning:
    """SQL over the columns entity, time, count, exposure, label, kind, volume and covariate_0 ... of a relation.

    Args:
        prepared: SELECT list computed first, from the raw columns.
        entity: Label or NULL.
        instant: Microseconds since 1970 in UTC, or NULL.
        local: Microseconds on the wall clock of the zone, or NULL.
        count: DOUBLE or BIGINT, or NULL.
        exposure: DOUBLE or NULL.
        label: BOOLEAN or NULL.
        kind: VARCHAR or NULL.
        volume: DOUBLE or NULL.
        flaw: Key of FLAWS, or NULL for a row that can be used; that of a covariate has its number behind a colon.
        covariates: role -> DOUBLE or VARCHAR.
        covariate_types: role -> "number", "text" or "undecided".
    """

    prepared: str
    entity: str
    instant: str
    local: str
    count: str
    exposure: str
    label: str
    kind: str
    volume: str
    flaw: str
    covariates: Mapping[str, str]
    covariate_types: Mapping[str, str]


def meaning_of(
    types: Mapping[str, str],
    zone: Zone,
    *,
    time_format: str | None,
    covariates: Mapping[str, tuple[str, CovariateType | None]] | None = None,
    written: bool = False,
) -> Meaning:
    """SQL for the columns that are there.

    Args:
        types: role -> DuckDB type; roles entity, time, count, exposure, label, kind, volume, covariate_0 ...
        zone: How to read times without an offset.
        time_format: A strptime pattern, or epoch_s, epoch_ms, epoch_us, epoch_ns; ISO 8601 when None.
        covariates: role -> (column name, what the person says it holds).
        written: Whether the source holds nothing but texts, so that numbers are told by looking at all of them.

    Raises:
        ConfigurationError: for a column whose type cannot mean what it should.
    """
    prepared = [f"{label_sql('entity', types['entity'])} AS e"]
    flaws = ["WHEN e IS NULL THEN 'entity_missing'", "WHEN contains(e, chr(0)) THEN 'entity_unusable'"]
    instant = local = count = exposure = label = kind = volume = "NULL"
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
        count = number_sql("count", types["count"])
        prepared += [f"{count} AS n", f"{missing_sql('count', types['count'])} AS no_count"]
        count = "TRY_CAST(n AS BIGINT)"
        flaws += [
            "WHEN no_count THEN 'count_missing'",
            "WHEN n IS NULL THEN 'count_unreadable'",
        ]
        if not is_of(types["count"], INTEGERS):
            flaws += [
                "WHEN isnan(n) THEN 'count_missing'",
                "WHEN isinf(n) THEN 'count_infinite'",
            ]
        flaws += ["WHEN n < 0 THEN 'count_negative'", f"WHEN n > {_LARGEST} THEN 'count_too_large'"]
        if not is_of(types["count"], INTEGERS):
            flaws.append("WHEN n <> floor(n) THEN 'count_fractional'")
    if "exposure" in types:
        prepared += [
            f"CAST({number_sql('exposure', types['exposure'])} AS DOUBLE) AS x",
            f"{missing_sql('exposure', types['exposure'])} AS no_exposure",
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
    if "volume" in types:
        column = volume_sql(types["volume"], count="n" if "count" in types else "1")
        prepared += column.prepared
        flaws += column.flaws
        volume = column.value
    columns = {
        role: covariate_sql(role, name, types[role], wanted, written=written)
        for role, (name, wanted) in (covariates or {}).items()
    }
    for column in columns.values():
        prepared += column.prepared
        flaws += column.flaws
    return Meaning(
        prepared=", ".join(prepared),
        entity="e",
        instant=instant,
        local=local,
        count=count,
        exposure=exposure,
        label=label,
        kind=kind,
        volume=volume,
        flaw="CASE " + " ".join(flaws) + " END",
        covariates={role: column.value for role, column in columns.items()},
        covariate_types={role: column.type for role, column in columns.items()},
    )


def floor_division(value: str, width: int) -> str:
    """SQL for floor(value / width) of integers of either sign; SQL's own division rounds towards zero."""
    base = _BEFORE_EVERYTHING // width
    return f"({value} - ({base * width})) // {width} + ({base})"


def remainder(value: str, width: int) -> str:
    """SQL for the non-negative remainder of an integer of either sign by a divisor of a day."""
    return f"({value} - ({_BEFORE_EVERYTHING})) % {width}"


def _yes_or_no(type: str) -> str:
    if type == "BOOLEAN":
        return "label"
    if is_of(type, INTEGERS) or is_of(type, FRACTIONS):
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
        if not (is_of(type, INTEGERS) or is_of(type, FRACTIONS) or type == "VARCHAR"):
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
