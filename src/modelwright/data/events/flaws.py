"""Rows that cannot be used: which they are, looked up only when there are some."""

from modelwright.data.events.columns import FLAWS, Meaning
from modelwright.data.events.counts import LeftOut
from modelwright.data.events.sources import Rows

_SHOWN = 5


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
