"""Ready counts: one row of the source is one observation, with or without a time."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.data.events.aggregate import numbered
from modelwright.data.events.columns import Meaning
from modelwright.data.events.counts import LeftOut
from modelwright.data.events.flaws import without_flaws
from modelwright.data.events.sources import Rows, fetch
from modelwright.data.events.windows import WindowGrid
from modelwright.data.events.zones import Int64

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class ReadyRows:
    """Rows that can be used, sorted by entity, then by time where there is one, then by their place in the source.

    Args:
        entities: Labels, sorted.
        entity_idx: Which entity, shape (n_rows,).
        place: Row in the source, counted from 1 below the header, shape (n_rows,).
        instant: Microseconds since 1970, shape (n_rows,), or None without times.
        count: Events, shape (n_rows,).
        exposure: The user's exposure, shape (n_rows,), or None.
        label: Known attacks, shape (n_rows,), or None.
        kind: Kinds of attack, shape (n_rows,), or None.
        left_out: Rows that were not used.
    """

    entities: tuple[str, ...]
    entity_idx: Int64
    place: Int64
    instant: Int64 | None
    count: Int64
    exposure: NDArray[np.float64] | None
    label: NDArray[np.bool_] | None
    kind: NDArray[np.object_] | None
    left_out: tuple[LeftOut, ...]


def read_ready_counts(rows: Rows, meaning: Meaning, *, leave_out: bool) -> ReadyRows:
    """Read every row.

    Raises:
        DataError: when a row cannot be used and `leave_out` is false, or when none is left.
    """
    optional = {"time": "instant", "exposure": "exposure", "label": "label", "kind": "kind"}
    wanted = [name for role, name in optional.items() if role in rows.types]
    extra = "".join(f", {getattr(meaning, name)} AS {name}" for name in wanted)
    columns = fetch(
        rows,
        f"""
        WITH numbered AS (SELECT *, row_number() OVER () AS place FROM ({rows.sql})),
        prepared AS (SELECT place, {meaning.prepared} FROM numbered)
        SELECT place, {meaning.entity} AS entity, {meaning.count} AS count, {meaning.flaw} IS NULL AS usable {extra}
        FROM prepared
        """,
    )
    if len(columns["place"]) == 0:
        raise DataError("the table has no rows", field="data", expected="at least one row per entity", got=rows.name)
    columns, left_out = without_flaws(columns, columns["usable"], rows, meaning, leave_out=leave_out)
    entities, codes = numbered(columns["entity"])
    place = columns["place"].to_numpy().astype(np.int64)
    instant = columns["instant"].to_numpy().astype(np.int64) if "instant" in columns else None
    order = np.lexsort((place, codes) if instant is None else (place, instant, codes))
    kind = columns["kind"].cast(pa.string()).fill_null("").to_pylist() if "kind" in columns else None
    return ReadyRows(
        entities=entities,
        entity_idx=codes[order],
        place=place[order],
        instant=None if instant is None else instant[order],
        count=columns["count"].to_numpy().astype(np.int64)[order],
        exposure=columns["exposure"].to_numpy().astype(np.float64)[order] if "exposure" in columns else None,
        label=columns["label"].to_numpy(zero_copy_only=False).astype(np.bool_)[order] if "label" in columns else None,
        kind=None if kind is None else np.array(kind, dtype=object)[order],
        left_out=left_out,
    )


def refuse_duplicates(ready: ReadyRows, window: Int64, labels: NDArray[np.object_], *, grid: WindowGrid | None) -> None:
    """Refuse two rows for one entity and window, naming the rows.

    Args:
        ready: The rows, sorted.
        window: Window number or instant, ascending within an entity, shape (n_rows,).
        labels: What to call the windows, shape (n_rows,).
        grid: The windows, or None when the times themselves are the windows.

    Raises:
        DataError: when there are such rows.
    """
    again = np.flatnonzero((np.diff(ready.entity_idx) == 0) & (np.diff(window) == 0))
    if not len(again):
        return
    pairs = "; ".join(
        f"rows {min(ready.place[at], ready.place[at + 1])} and {max(ready.place[at], ready.place[at + 1])} "
        f"({ready.entities[int(ready.entity_idx[at])]}, {labels[at]})"
        for at in again[:_SHOWN]
    )
    todo = "keep one of them; to add them up, pass the column as multiplicity instead of count"
    raise DataError(
        f"{len(again)} row{'s' if len(again) > 1 else ''} for a window that already has one: "
        f"{pairs}{f' and {len(again) - _SHOWN} more' if len(again) > _SHOWN else ''}",
        field="count",
        expected="one row per entity and " + (f"window of {grid.text}" if grid else "time"),
        todo=todo if grid else todo + " and give a window",
    )
