"""Rows that cannot be used: which they are, looked up only when there are some."""

import pyarrow as pa

from modelwright.core.errors import DataError
from modelwright.data.events.columns import FLAWS, Meaning, flawed_rows
from modelwright.data.events.counts import LeftOut
from modelwright.data.events.sources import Rows

_SHOWN = 5


def without_flaws(
    table: dict[str, pa.Array], usable: pa.Array, rows: Rows, meaning: Meaning, *, leave_out: bool
) -> tuple[dict[str, pa.Array], tuple[LeftOut, ...]]:
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
    if usable.to_numpy(zero_copy_only=False).all():
        return table, ()
    found = find_flaws(rows, meaning)
    if not leave_out:
        raise flawed_rows(found, rows.columns)
    left_out = left_out_of(found)
    if not usable.to_numpy(zero_copy_only=False).any():
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
    return {flaw: found[flaw] for flaw in FLAWS if flaw in found}


def left_out_of(found: dict[str, tuple[int, list[int]]]) -> tuple[LeftOut, ...]:
    """The same as an account of what was not used."""
    return tuple(LeftOut(f"rows {FLAWS[flaw][1]}", count) for flaw, (count, _) in found.items())
