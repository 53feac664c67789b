"""From raw events to counts per entity and bucket, in one pass over the rows and in bounded memory.

DuckDB groups by entity and bucket (an elapsed window, or a civil day); rows that cannot be used fall into one group of
their own, so counting them costs nothing. What comes back has one entry per entity and bucket with at least one event.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.data.events.columns import Meaning, floor_division, remainder
from modelwright.data.events.counts import LARGEST_COUNT, LeftOut
from modelwright.data.events.flaws import without_flaws
from modelwright.data.events.sources import Rows, fetch
from modelwright.data.events.windows import WindowGrid
from modelwright.data.events.zones import DAY, SECOND, Int64, Zone

# A log whose times are all whole days, hours, minutes or seconds is taken to say no more than that.
_CLOCK_UNITS = (DAY, 3_600 * SECOND, 60 * SECOND, SECOND)


@dataclass(frozen=True, eq=False)
class Listed:
    """Windows that the source mentions, sorted by entity and window, each pair once.

    Args:
        entities: Labels, sorted.
        entity_idx: Which entity, shape (n_listed,).
        index: Window number, shape (n_listed,).
        count: Events, shape (n_listed,).
        label: Known attacks, shape (n_listed,), or None.
        kind: Kinds of attack joined by "+", shape (n_listed,), or None.
        observed: First instant and end of the observed span, microseconds.
        clock_unit: What the times count in, microseconds: the span ends one unit after the last event.
        rows: Rows that were used.
        left_out: Rows that were not.
    """

    entities: tuple[str, ...]
    entity_idx: Int64
    index: Int64
    count: Int64
    label: NDArray[np.bool_] | None
    kind: NDArray[np.object_] | None
    observed: tuple[int, int]
    clock_unit: int
    rows: int
    left_out: tuple[LeftOut, ...]


def aggregate_events(rows: Rows, meaning: Meaning, grid: WindowGrid, *, leave_out: bool) -> tuple[Listed, WindowGrid]:
    """Count events per entity and window.

    Args:
        rows: The opened source.
        meaning: What its columns mean.
        grid: The windows.
        leave_out: Whether rows that cannot be used are left out and counted, rather than refused.

    Returns:
        The windows with events, and the grid with its calendar dates worked out.

    Raises:
        DataError: when a row cannot be used, or when none is left.
    """
    weighted = "count" in rows.types
    clock = meaning.instant if grid.counts_instants else meaning.local
    shifted = f"(t + {grid.bucket_shift})" if grid.bucket_shift else "t"
    units = ", ".join(f"max({remainder('local', unit)}) AS beyond_{unit}" for unit in _CLOCK_UNITS)
    query = f"""
        WITH prepared AS (SELECT {meaning.prepared} FROM ({rows.sql})),
        read AS (SELECT {meaning.entity} AS entity, {clock} AS t,
                        {meaning.instant} AS instant, {meaning.local} AS local,
                        {meaning.count if weighted else "1"} AS amount,
                        {meaning.label} AS label, {meaning.kind} AS kind,
                        {meaning.flaw} IS NULL AS usable
                 FROM prepared)
        SELECT CASE WHEN usable THEN entity END AS entity,
               CASE WHEN usable THEN {floor_division(shifted, grid.bucket_width)} END AS bucket,
               count(*) AS n_rows,
               CAST(sum(amount) AS DOUBLE) AS approximate,
               {"TRY_CAST(sum(amount) AS BIGINT)" if weighted else "count(*)"} AS events,
               min(instant) AS first, max(instant) AS last, {units},
               {"bool_or(label)" if "label" in rows.types else "NULL"} AS label,
               {"string_agg(DISTINCT kind, '+' ORDER BY kind)" if "kind" in rows.types else "NULL"} AS kind
        FROM read GROUP BY 1, 2
    """
    groups = fetch(rows, query)
    if len(groups["n_rows"]) == 0:
        raise DataError("the table has no rows", field="data", expected="at least one event per entity", got=rows.name)
    groups, left_out = without_flaws(groups, groups["bucket"].is_valid(), rows, meaning, leave_out=leave_out)
    if weighted and (groups["approximate"].to_numpy() > LARGEST_COUNT).any():
        raise DataError("the counts of one window add up to more than 2**53", field="multiplicity")
    bucket = groups["bucket"].to_numpy().astype(np.int64)
    covering = grid.covering(int(bucket.min()), int(bucket.max()))
    entities, codes = numbered(groups["entity"])
    listed = _by_window(
        codes,
        covering.index_of(bucket),
        groups["events"].to_numpy().astype(np.int64),
        _flags(groups["label"]) if "label" in rows.types else None,
        _texts(groups["kind"]) if "kind" in rows.types else None,
    )
    resolution = next((u for u in _CLOCK_UNITS if not groups[f"beyond_{u}"].to_numpy().any()), 1)
    first, last = int(groups["first"].to_numpy().min()), int(groups["last"].to_numpy().max())
    observed = (first, _later(last, resolution, grid.zone))
    n_rows = int(groups["n_rows"].to_numpy().sum())
    return Listed(entities, *listed, observed, resolution, n_rows, left_out), covering


def _later(instant: int, resolution: int, zone: Zone) -> int:
    """The end of the clock unit that begins at `instant`; a day ends at the next midnight of the zone."""
    if resolution < DAY:
        return instant + resolution
    return int(zone.to_instant(zone.to_local(np.array([instant])) + DAY)[0])


def numbered(labels: pa.Array) -> tuple[tuple[str, ...], Int64]:
    """Distinct labels in sorted order, and which of them each entry is, shape (n,)."""
    encoded = labels.dictionary_encode()
    dictionary = np.array(encoded.dictionary.to_pylist(), dtype=object)
    order = np.array(sorted(range(len(dictionary)), key=dictionary.__getitem__), dtype=np.int64)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return tuple(dictionary[order].tolist()), rank[encoded.indices.to_numpy().astype(np.int64)]


def _flags(values: pa.Array) -> NDArray[np.bool_]:
    return np.array([value is True for value in values.to_pylist()], dtype=np.bool_)


def _texts(values: pa.Array) -> NDArray[np.object_]:
    return np.array(values.cast(pa.string()).fill_null("").to_pylist(), dtype=object)


def _by_window(
    codes: Int64,
    index: Int64,
    count: Int64,
    label: NDArray[np.bool_] | None,
    kind: NDArray[np.object_] | None,
) -> tuple[Int64, Int64, Int64, NDArray[np.bool_] | None, NDArray[np.object_] | None]:
    """Sort by entity and window, and add up the days of windows that hold several."""
    order = np.lexsort((index, codes))
    codes, index, count = codes[order], index[order], count[order]
    new = np.ones(len(codes), dtype=np.bool_)
    new[1:] = (np.diff(codes) != 0) | (np.diff(index) != 0)
    begins = np.flatnonzero(new)
    label = None if label is None else np.logical_or.reduceat(label[order], begins)
    if kind is not None:
        sorted_kind = kind[order]
        group = np.cumsum(new) - 1
        kind = sorted_kind[begins]
        met: dict[int, set[str]] = {}
        for place in np.flatnonzero(sorted_kind != "").tolist():
            met.setdefault(int(group[place]), set()).update(str(sorted_kind[place]).split("+"))
        for window, kinds in met.items():
            kind[window] = "+".join(sorted(kinds))
    return codes[begins], index[begins], np.add.reduceat(count, begins), label, kind
