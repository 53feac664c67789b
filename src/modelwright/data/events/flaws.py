"""Rows that cannot be used: what can be wrong with one, and which they are, looked up only when there are some."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from modelwright.core.errors import DataError
from modelwright.data.events.columns import Meaning
from modelwright.data.events.counts import LeftOut
from modelwright.data.events.sources import Rows

_SHOWN = 5

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
    "volume_unreadable": ("volume", "with a volume that is not a number", "a finite number of at least zero"),
    "volume_infinite": ("volume", "with an infinite volume", "a finite number of at least zero"),
    "volume_negative": ("volume", "with a negative volume", "a finite number of at least zero"),
    "volume_too_large": ("volume", "with a volume above 2**53", "a number up to 2**53"),
    "volume_missing": (
        "volume",
        "with events but without a volume (empty, null or NaN)",
        "a finite number of at least zero in every row with events",
    ),
    "volume_without_events": ("volume", "with a volume but no event", "no volume, or zero, where the count is zero"),
    "covariate_missing": ("covariates", "without a value (empty, null or NaN)", "a value in every row"),
    "covariate_unreadable": ("covariates", "with a value that is not a finite number", "a finite number in every row"),
}


def without_flaws(
    table: dict[str, pa.ChunkedArray], usable: pa.ChunkedArray, rows: Rows, meaning: Meaning, *, leave_out: bool
) -> tuple[dict[str, pa.ChunkedArray], tuple[LeftOut, ...]]:
    """The usable part of a table, and an account of the rest.

    Args:
        table: Columns, each of shape (n,).
        usable: Whether each entry can be used, shape (n,).
        rows: Where the table came from, asked again only when something is wrong.
        meaning: How its columns are read.
        leave_out: Whether rows that cannot be used are left out; they are refused otherwise.

    Raises:
        DataError: when a row cannot be used and `leave_out` is false, or when none is left.
    """
    if pc.all(usable).as_py():
        return table, ()
    found = find_flaws(rows, meaning)
    if not leave_out:
        raise flawed_rows(found, rows.columns)
    left_out = left_out_of(found, rows.columns)
    if not pc.any(usable).as_py():
        raise DataError("no row can be used", field="data", got="; ".join(f"{e.rows} {e.reason}" for e in left_out))
    return {name: values.filter(usable) for name, values in table.items()}, left_out


def find_flaws(rows: Rows, meaning: Meaning) -> dict[str, tuple[int, list[int]]]:
    """Every flaw in the source: how many rows have it, and the first of them, counted from 1 below the header.

    A row with several flaws is counted under the first of them in the order of `FLAWS`.
    """
    query = f"""
        WITH numbered AS (SELECT *, row_number() OVER () AS place FROM ({rows.sql})),
        prepared AS (SELECT place, {meaning.prepared} FROM numbered),
        flawed AS (SELECT place, {meaning.flaw} AS flaw FROM prepared)
        SELECT flaw, count(*), min(place, {_SHOWN}) FROM flawed WHERE flaw IS NOT NULL GROUP BY flaw
    """
    found = {
        str(flaw): (int(count), sorted(places)) for flaw, count, places in rows.connection.execute(query).fetchall()
    }
    listed = list(FLAWS)
    # A flaw of a covariate carries the number of the covariate behind a colon.
    return {flaw: found[flaw] for flaw in sorted(found, key=lambda flaw: (listed.index(flaw.split(":")[0]), flaw))}


def left_out_of(found: dict[str, tuple[int, list[int]]], columns: Mapping[str, str]) -> tuple[LeftOut, ...]:
    """The same as an account of what was not used."""
    return tuple(LeftOut(f"rows {flaw_of(flaw, columns)[1]}", count) for flaw, (count, _) in found.items())


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
    role, what, expected = flaw_of(flaw, {})
    remedy = "correct them, or leave such rows out and have them counted (on_bad = leave_out)"
    if flaw == "time_unreadable":
        remedy = f"name the pattern, such as time_format = %d/%m/%Y, or epoch_s for seconds since 1970; {remedy}"
    listed = ("row " if rows == 1 else "rows ") + listed_rows(first, rows)
    others = [f"{count} {flaw_of(key, columns)[1]}" for key, (count, _) in list(found.items())[1:]]
    also = f" (also {', '.join(others)})" if others else ""
    column = columns.get(_column_role(flaw), columns.get("multiplicity", role) if role == "count" else role)
    return DataError(
        f"{rows} row{'s' if rows > 1 else ''} of column {column!r} {what}: {listed}{also}",
        field=role,
        expected=expected,
        todo=remedy,
    )


def flaw_of(flaw: str, columns: Mapping[str, str]) -> tuple[str, str, str]:
    """Field, sentence and expectation of a flaw; that of a covariate names its column when `columns` have it.

    Example:
        >>> flaw_of("covariate_missing:0", {"covariate_0": "tier"})[1]
        "without a value (empty, null or NaN) of 'tier'"
    """
    role, what, expected = FLAWS[flaw.split(":")[0]]
    name = columns.get(_column_role(flaw)) if ":" in flaw else None
    return role, what if name is None else f"{what} of {name!r}", expected


def _column_role(flaw: str) -> str:
    name, _, number = flaw.partition(":")
    return f"covariate_{number}" if number else FLAWS[name][0]
