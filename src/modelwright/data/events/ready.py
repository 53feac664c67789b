"""Ready counts: one row of the source is one observation, with or without a time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.data.events.coding import flags, numbered, numbers, texts_of, whole_numbers
from modelwright.data.events.columns import Meaning
from modelwright.data.events.counts import LeftOut
from modelwright.data.events.covariate_columns import column_of
from modelwright.data.events.facts import Facts
from modelwright.data.events.flaws import without_flaws
from modelwright.data.events.ordering import Int64, ascending_order, distinct, in_order
from modelwright.data.events.sources import Rows, fetch
from modelwright.data.events.texts import Codes
from modelwright.data.events.windows import WindowGrid, window_labels
from modelwright.data.events.zones import Zone

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class ReadyRows:
    """Rows that can be used, sorted by entity, then by time where there is one, then by their place in the source.

    Args:
        entities: Labels, sorted.
        entity_idx: Which entity, shape (n_rows,).
        place: Row in the source, counted from 0, shape (n_rows,).
        times: Distinct instants, ascending, microseconds since 1970, shape (n_times,), or None without times.
        time: Which of them, shape (n_rows,), or None without times.
        count: Events, shape (n_rows,).
        exposure: The user's exposure, shape (n_rows,), or None.
        facts: Labels, kinds, volumes and covariates.
        left_out: Rows that were not used.
    """

    entities: tuple[str, ...]
    entity_idx: Int64
    place: Codes
    times: Int64 | None
    time: Codes | None
    count: Int64
    exposure: NDArray[np.float64] | None
    facts: Facts
    left_out: tuple[LeftOut, ...]


def read_ready_counts(rows: Rows, meaning: Meaning, *, leave_out: bool) -> ReadyRows:
    """Read every row.

    Raises:
        DataError: when a row cannot be used and `leave_out` is false, or when none is left.
    """
    optional = {"time": "instant", "exposure": "exposure", "label": "label", "kind": "kind", "volume": "volume"}
    wanted = {name: getattr(meaning, name) for role, name in optional.items() if role in rows.types}
    extra = "".join(f", {sql} AS {name}" for name, sql in (wanted | dict(meaning.covariates)).items())
    # Rows come in the order of the source, so that their places need not be carried along.
    columns = fetch(
        rows,
        f"""
        WITH prepared AS (SELECT {meaning.prepared} FROM ({rows.sql}))
        SELECT {meaning.entity} AS entity, {meaning.count} AS count, {meaning.flaw} IS NULL AS usable {extra}
        FROM prepared
        """,
    )
    if len(columns["usable"]) == 0:
        raise DataError("the table has no rows", field="data", expected="at least one row per entity", got=rows.name)
    usable = columns.pop("usable")
    columns, left_out = without_flaws(columns, usable, rows, meaning, leave_out=leave_out)
    # Each column is let go as soon as it has been read, so that the texts of twenty million rows are not kept long.
    entities, codes = numbered(columns.pop("entity"))
    times, time = None, None
    n_keys, key = len(entities), codes.astype(np.int64)
    if "instant" in columns:
        time, times = distinct(whole_numbers(columns.pop("instant")))
        n_keys *= len(times)
        key *= len(times)
        key += time
    order = ascending_order(key, n_keys)
    del key
    count = in_order(whole_numbers(columns.pop("count")), order)
    facts = Facts(
        label=flags(columns.pop("label")) if "label" in columns else None,
        kind=texts_of(columns.pop("kind")) if "kind" in columns else None,
        volume=numbers(columns.pop("volume")) if "volume" in columns else None,
        covariates={
            rows.columns[role]: column_of(columns.pop(role), meaning.covariate_types[role])
            for role in meaning.covariates
        },
    )
    exposure = numbers(columns.pop("exposure")) if "exposure" in columns else None
    # Sorted, the entities are each number as often as it occurs.
    entity_idx = np.repeat(np.arange(len(entities)), np.bincount(codes, minlength=len(entities)))
    place = np.arange(len(codes)) if order is None else order
    if left_out:
        place = np.flatnonzero(usable.to_numpy())[place]
    return ReadyRows(
        entities=entities,
        entity_idx=entity_idx,
        place=place.astype(np.int32),
        times=times,
        time=None if time is None else in_order(time, order),
        count=count,
        exposure=None if exposure is None else in_order(exposure, order),
        facts=facts.ordered(order),
        left_out=left_out,
    )


def refuse_duplicates(ready: ReadyRows, window: Int64, *, zone: Zone, grid: WindowGrid | None) -> None:
    """Refuse two rows for one entity and window, naming the rows.

    Args:
        ready: The rows, sorted.
        window: For each distinct time its window number, or its instant without a grid, shape (n_times,), ascending.
        zone: Zone in which windows are named.
        grid: The windows, or None when the times themselves are the windows.

    Raises:
        DataError: when there are such rows.
    """
    if ready.time is None:
        return
    alike = ready.entity_idx[1:] == ready.entity_idx[:-1]
    if len(np.unique(window)) == len(window):
        alike &= ready.time[1:] == ready.time[:-1]
    else:
        alike &= window[ready.time[1:]] == window[ready.time[:-1]]
    again = np.flatnonzero(alike)
    if not len(again):
        return
    shown = again[:_SHOWN]
    starts = window[ready.time[shown]]
    labels = window_labels(starts if grid is None else grid.start(starts), zone)
    pairs = "; ".join(
        f"rows {min(ready.place[at], ready.place[at + 1]) + 1} and {max(ready.place[at], ready.place[at + 1]) + 1} "
        f"({ready.entities[int(ready.entity_idx[at])]}, {label})"
        for at, label in zip(shown.tolist(), labels, strict=True)
    )
    todo = "keep one of them; to add them up, pass the column as multiplicity instead of count"
    raise DataError(
        f"{len(again)} row{'s' if len(again) > 1 else ''} for a window that already has one: "
        f"{pairs}{f' and {len(again) - _SHOWN} more' if len(again) > _SHOWN else ''}",
        field="count",
        expected="one row per entity and " + (f"window of {grid.text}" if grid else "time"),
        todo=todo if grid else todo + " and give a window",
    )
