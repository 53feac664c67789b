"""From raw events to counts per entity and bucket, in one pass over the rows and in bounded memory.

DuckDB groups by entity and bucket (an elapsed window, or a civil day); rows that cannot be used fall into one group of
their own, so counting them costs nothing. What comes back has one entry per entity and bucket with at least one event.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.data.events.checks import sealed
from modelwright.data.events.coding import flags, numbered, numbers, texts_of, whole_numbers
from modelwright.data.events.columns import Meaning, floor_division, remainder
from modelwright.data.events.counts import LARGEST_COUNT, LeftOut
from modelwright.data.events.covariate_columns import settled, volume_sum_sql
from modelwright.data.events.covariates import Column
from modelwright.data.events.facts import Facts
from modelwright.data.events.flaws import without_flaws
from modelwright.data.events.ordering import ascending_order, in_order
from modelwright.data.events.sources import Rows, fetch
from modelwright.data.events.texts import Texts
from modelwright.data.events.windows import WindowGrid, window_labels
from modelwright.data.events.zones import DAY, SECOND, Int64, Zone

# A log whose times are all whole days, hours, minutes or seconds is taken to say no more than that.
_CLOCK_UNITS = (DAY, 3_600 * SECOND, 60 * SECOND, SECOND, 1)


@dataclass(frozen=True, eq=False)
class Listed:
    """Windows that the source mentions, sorted by entity and window, each pair once.

    Args:
        entities: Labels, sorted.
        entity_idx: Which entity, shape (n_listed,).
        index: Window number, shape (n_listed,).
        count: Events, shape (n_listed,).
        facts: Labels, kinds, volumes and covariates.
        observed: First instant and end of the observed span, microseconds.
        clock_unit: What the times count in, microseconds: the span ends one unit after the last event.
        rows: Rows that were used.
        left_out: Rows that were not.
    """

    entities: tuple[str, ...]
    entity_idx: Int64
    index: Int64
    count: Int64
    facts: Facts
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
    # Which unit the clock counts in: the first that divides the time.
    unit = " ".join(
        f"WHEN {remainder('local', width)} = 0 THEN {place}" for place, width in enumerate(_CLOCK_UNITS[:-1])
    )
    read = [f"{sql} AS {role}" for role, sql in meaning.covariates.items()]
    # A row that cannot be used may hold a volume that cannot be added.
    read += [f"CASE WHEN {meaning.flaw} IS NULL THEN {meaning.volume} END AS moved"] if "volume" in rows.types else []
    wanted = ["CAST(sum(amount) AS DOUBLE) AS approximate"] if weighted else []
    wanted += ["bool_or(label) AS label"] if "label" in rows.types else []
    wanted += ["string_agg(DISTINCT kind, '+' ORDER BY kind) AS kind"] if "kind" in rows.types else []
    wanted += [f"{volume_sum_sql('moved')} AS volume"] if "volume" in rows.types else []
    for role in meaning.covariates:
        wanted += [f"min({role}) AS {role}", f"max({role}) AS other_{role}"]
    query = f"""
        WITH prepared AS (SELECT {meaning.prepared} FROM ({rows.sql})),
        read AS (SELECT {meaning.entity} AS entity, {clock} AS t,
                        {meaning.instant} AS instant, {meaning.local} AS local,
                        {meaning.count if weighted else "1"} AS amount,
                        {meaning.label} AS label, {meaning.kind} AS kind,
                        {meaning.flaw} IS NULL AS usable {"".join(f", {entry}" for entry in read)}
                 FROM prepared)
        SELECT CASE WHEN usable THEN entity END AS entity,
               CASE WHEN usable THEN {floor_division(shifted, grid.bucket_width)} END AS bucket,
               count(*) AS n_rows,
               {"TRY_CAST(sum(amount) AS BIGINT)" if weighted else "count(*)"} AS events,
               min(instant) AS first, max(instant) AS last,
               max(CAST(CASE {unit} ELSE {len(_CLOCK_UNITS) - 1} END AS UTINYINT)) AS unit
               {"".join(f", {entry}" for entry in wanted)}
        FROM read GROUP BY 1, 2
    """
    groups = fetch(rows, query)
    if len(groups["n_rows"]) == 0:
        raise DataError("the table has no rows", field="data", expected="at least one event per entity", got=rows.name)
    groups, left_out = without_flaws(groups, groups["bucket"].is_valid(), rows, meaning, leave_out=leave_out)
    if weighted and (groups.pop("approximate").to_numpy() > LARGEST_COUNT).any():
        raise DataError("the counts of one window add up to more than 2**53", field="multiplicity")
    resolution = _CLOCK_UNITS[int(groups.pop("unit").to_numpy().max())]
    first, last = int(groups.pop("first").to_numpy().min()), int(groups.pop("last").to_numpy().max())
    n_rows = int(groups.pop("n_rows").to_numpy().sum())
    entities, codes = numbered(groups.pop("entity"))
    bucket = whole_numbers(groups.pop("bucket"))
    covering = grid.covering(int(bucket.min()), int(bucket.max()))
    index = covering.index_of(bucket)
    lowest, highest = int(index.min()), int(index.max())
    width = highest - lowest + 1
    order = ascending_order(codes.astype(np.int64) * width + (index - lowest), len(entities) * width)
    codes, index = in_order(codes, order), in_order(index, order)
    new = np.ones(len(codes), dtype=np.bool_)
    new[1:] = (codes[1:] != codes[:-1]) | (index[1:] != index[:-1])
    begins = np.flatnonzero(new)
    # Windows of several days are made of the buckets of their days.
    several = len(begins) < len(codes)
    window = _Windows(order, begins if several else None)
    listed_codes, index = (codes[begins], index[begins]) if several else (codes, index)
    facts = Facts(
        label=window.reduced(np.logical_or, flags(groups["label"])) if "label" in groups else None,
        kind=window.joined(texts_of(groups["kind"])) if "kind" in groups else None,
        volume=window.reduced(np.add, numbers(groups["volume"])) if "volume" in groups else None,
        covariates={
            rows.columns[role]: _constant(
                rows.columns[role],
                *window.range_of(groups[role], groups[f"other_{role}"], type),
                type=type,
                where=(entities, listed_codes, index),
                grid=covering,
            )
            for role, type in meaning.covariate_types.items()
        },
    )
    return Listed(
        entities=entities,
        entity_idx=sealed(listed_codes.astype(np.int64)),
        index=index,
        count=window.reduced(np.add, whole_numbers(groups["events"])),
        facts=facts,
        observed=(first, _later(last, resolution, grid.zone)),
        clock_unit=resolution,
        rows=n_rows,
        left_out=left_out,
    ), covering


def _later(instant: int, resolution: int, zone: Zone) -> int:
    """The end of the clock unit that begins at `instant`; a day ends at the next midnight of the zone."""
    if resolution < DAY:
        return instant + resolution
    return int(zone.to_instant(zone.to_local(np.array([instant])) + DAY)[0])


@dataclass(frozen=True, eq=False)
class _Windows:
    """How groups of entity and bucket become windows: their order, and where each window begins among them.

    Args:
        order: Positions of the groups, shape (n_groups,), or None when they are in order.
        begins: Where windows begin, shape (n_listed,), or None when every group is a window.
    """

    order: Int64 | None
    begins: Int64 | None

    def reduced(self, reduce: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        """One value per window."""
        values = in_order(values, self.order)
        return values if self.begins is None else np.asarray(reduce.reduceat(values, self.begins))

    def range_of(self, lowest: pa.ChunkedArray, highest: pa.ChunkedArray, type: str) -> tuple[Column, Column]:
        """The smallest and the largest value of a covariate in each window."""
        if type == "number":
            return self.reduced(np.minimum, numbers(lowest)), self.reduced(np.maximum, numbers(highest))
        both = pa.chunked_array([*lowest.cast(pa.string()).chunks, *highest.cast(pa.string()).chunks], pa.string())
        values, codes = numbered(both)
        low, high = codes[: len(lowest)], codes[len(lowest) :]
        return Texts(values, self.reduced(np.minimum, low)), Texts(values, self.reduced(np.maximum, high))

    def joined(self, kinds: Texts) -> Texts:
        """The kinds in each window, joined by "+"."""
        kinds = in_order(kinds, self.order)
        if self.begins is None:
            return kinds
        group = np.zeros(len(kinds), dtype=np.int64)
        group[self.begins[1:]] = 1
        group = np.cumsum(group)
        met: dict[int, set[str]] = {}
        for place in np.flatnonzero(kinds != "").tolist():
            met.setdefault(int(group[place]), set()).update(kinds[place].split("+"))
        joined = np.full(len(self.begins), "", dtype=object)
        for window, names in met.items():
            joined[window] = "+".join(sorted(names))
        return Texts.of(joined)


def _constant(
    name: str,
    lowest: Column,
    highest: Column,
    *,
    type: str,
    where: tuple[tuple[str, ...], NDArray[np.int32], Int64],
    grid: WindowGrid,
) -> Column:
    """A covariate that has one value in every window.

    Args:
        name: Its column.
        lowest: Its smallest value in each window, shape (n_listed,).
        highest: Its largest.
        type: "number", "text" or "undecided".
        where: Labels of entities, which of them each window belongs to, and its number.
        grid: The windows.

    Raises:
        DataError: naming the first window in which it has two.
    """
    low, high = (column.codes if isinstance(column, Texts) else column for column in (lowest, highest))
    differing = np.flatnonzero(low != high)
    if not len(differing):
        return settled(lowest, type) if isinstance(lowest, Texts) else lowest
    first = int(differing[0])
    entities, entity_idx, index = where
    window = window_labels(grid.start(index[[first]]), grid.zone)[0]
    raise DataError(
        f"{name!r} has more than one value within {len(differing):,} window{'s' if len(differing) > 1 else ''}; the "
        f"first is ({entities[int(entity_idx[first])]}, {window}): {lowest[first]!s} and {highest[first]!s}",
        field="covariates",
        expected="one value per entity and window",
        todo="use a shorter window, make it one value per window, or leave this covariate out",
    )
