"""Which windows a run rests on, so that the next ones can be told from those, in one row per entity.

The sums that the likelihood needs (`statistics`) do not say when anything happened. To take in new windows one has to
know where each entity's windows end, what was said about windows without events, and, for a log that ended in the
middle of a window, what had been counted in that window so far: the next log completes it.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts
from modelwright.data.events.fill import Span
from modelwright.data.events.windows import WindowGrid, parse_window
from modelwright.data.events.zones import DAY, Zone, find_zone

Sort = Literal["log", "counts", "rows"]

TABLE = DOCUMENT = "windows_seen"
"""What the table (one row per entity) and the document (all else) are called in a run."""

NONE = np.iinfo(np.int64).min
"""In place of a time, for an entity whose windows have none."""


@dataclass(frozen=True)
class WindowSort:
    """What sort of windows some counts have; windows of different sorts cannot be put together.

    Args:
        sort: "log" of events, "counts" of windows in time, or "rows" without times.
        span: What was done about windows without events: see `load_events`.
        window: Length of a window as a pandas offset; None where each row's time is its window.
        timezone: Zone whose midnights begin windows.
        own_exposure: Whether exposures are the person's own, so that those of windows not listed are unknown.
    """

    sort: Sort
    span: Span
    window: str | None
    timezone: str | None
    own_exposure: bool


@dataclass(frozen=True, eq=False)
class WindowsSeen:
    """The windows that a run rests on.

    Args:
        sort: What sort of windows.
        entities: Labels of the entities, sorted.
        last: When each entity's last window begins, shape (n_entities,), nanoseconds since 1970, `NONE` without times.
        first_window: When the first window of all begins, nanoseconds; None without times.
        last_window: When the last window of all begins, nanoseconds; None without times.
        observed: A log's first instant and its end, microseconds: it holds everything in between. None otherwise.
        clock_unit: What a log's clock counts in, microseconds: its end is one unit after its last event. None for other
            counts, and for logs that do not say.
        open_count: Events so far in the last window of all, where the log ended before that window did, shape
            (n_entities,), -1 for entities without that window; None when no window is open.
        fingerprints: Of the data that were taken in.
    """

    sort: WindowSort
    entities: tuple[str, ...]
    last: np.ndarray
    first_window: int | None
    last_window: int | None
    observed: tuple[int, int] | None
    clock_unit: int | None
    open_count: np.ndarray | None
    fingerprints: tuple[str, ...]

    def covering(self, *instants: int) -> WindowGrid:
        """The grid of the windows, its dates worked out from the first window to the last and to further instants.

        Args:
            *instants: Starts of windows, nanoseconds.
        """
        assert self.sort.window is not None
        grid = parse_window(self.sort.window, find_zone(self.sort.timezone))
        known = [at for at in (self.first_window, self.last_window, *instants) if at is not None]
        bucket = grid.bucket_of(np.array([min(known), max(known)], dtype=np.int64) // 1_000)
        return grid.covering(int(bucket[0]), int(bucket[1]))


def windows_seen(data: EventCounts) -> WindowsSeen:
    """What a run that is trained on `data` has to remember of its windows.

    Example:
        >>> counts = EventCounts.from_arrays(entity=["a", "a", "b"], count=[1, 2, 3],
        ...                                  window_start=["2024-03-01", "2024-03-02", "2024-03-01"], window="1D")
        >>> seen = windows_seen(counts)
        >>> seen.last.astype("datetime64[ns]").astype("datetime64[D]").astype(str).tolist()
        ['2024-03-02', '2024-03-01']
    """
    sort = sort_of(data)
    order = np.arange(data.n_entities)
    if any(before >= after for before, after in pairwise(data.entities)):
        order = np.array(sorted(range(data.n_entities), key=data.entities.__getitem__), dtype=np.int64)
    entities = tuple(data.entities[index] for index in order.tolist())
    marks = (data.fingerprint(),)
    if data.window_start is None:
        return WindowsSeen(sort, entities, np.full(len(order), NONE), None, None, None, None, None, marks)
    start = data.window_start.view(np.int64)
    last = np.full(data.n_entities, NONE)
    np.maximum.at(last, data.entity_idx, start)
    unit = clock_unit(data)
    seen = WindowsSeen(sort, entities, last[order], int(start.min()), int(start.max()), None, unit, None, marks)
    span = observed_span(data)
    if span is None:
        return seen
    assert seen.last_window is not None
    grid = seen.covering()
    at_end = start == seen.last_window
    seen = replace(seen, observed=_whole_windows(grid, seen, span) if _takes_whole_windows(data) else span)
    return with_open_window(seen, grid, data.entity_idx[at_end], data.count[at_end], position=np.argsort(order))


def with_open_window(
    seen: WindowsSeen,
    grid: WindowGrid,
    entity_idx: np.ndarray,
    count: np.ndarray,
    *,
    position: np.ndarray | None = None,
) -> WindowsSeen:
    """The same with the counts of the last window of all, should the log end before that window does.

    Args:
        seen: Windows of a log.
        grid: The windows.
        entity_idx: Entities that have the last window, shape (n,).
        count: Their events in it, shape (n,).
        position: Where each of these entities stands in `seen.entities`; in its order when None.
    """
    assert seen.observed is not None
    assert seen.last_window is not None
    index = grid.index_of(grid.bucket_of(np.array([seen.last_window // 1_000])))
    if seen.observed[1] >= int(grid.start(index + 1)[0]):
        return replace(seen, open_count=None)
    so_far = np.full(len(seen.entities), -1, dtype=np.int64)
    so_far[entity_idx if position is None else position[entity_idx]] = count
    return replace(seen, open_count=so_far)


def sort_of(data: EventCounts) -> WindowSort:
    """What sort of windows some counts have; counts that were made in Python are taken as they are listed."""
    columns = data.source.get("columns") or {}
    span = data.source.get("span", "listed")
    fills = data.window is not None and data.window_start is not None
    if data.window_start is None:
        sort: Sort = "rows"
    else:
        sort = "log" if "observed" in data.source and fills else "counts"
    return WindowSort(
        sort,
        span if fills and span in get_args(Span) else "listed",
        data.window if fills else None,
        data.timezone if data.window_start is not None else None,
        own_exposure="exposure" in columns,
    )


def observed_span(data: EventCounts) -> tuple[int, int] | None:
    """The first instant of a log and the end of what it holds, microseconds; None for counts that are no log."""
    observed = data.source.get("observed")
    if sort_of(data).sort != "log" or observed is None:
        return None
    first, end = (int(np.datetime64(str(text).removesuffix("Z"), "us").astype(np.int64)) for text in observed)
    return first, end


def clock_unit(data: EventCounts) -> int | None:
    """What the clock of a log counts in, microseconds; None where the counts do not say."""
    unit = data.source.get("clock_unit")
    return unit if isinstance(unit, int) and sort_of(data).sort == "log" else None


def end_of(data: EventCounts, seen: WindowsSeen, grid: WindowGrid) -> int:
    """Until when a log that goes on holds everything, microseconds.

    To the end of its last window where windows are taken as whole, and else one unit of the clock after its last event:
    the unit of both logs together, since a short log may have only full hours by chance.
    """
    span = observed_span(data)
    assert span is not None
    if _takes_whole_windows(data):
        assert data.window_start is not None
        last = int(data.window_start.view(np.int64).max()) // 1_000
        return int(grid.start(grid.index_of(grid.bucket_of(np.array([last]))) + 1)[0])
    return with_unit(span[1], clock_unit(data), seen.clock_unit, grid.zone)


def with_unit(end: int, unit: int | None, other: int | None, zone: Zone) -> int:
    """The end of a log, had its clock counted in the smaller of two units.

    Args:
        end: Its end, microseconds.
        unit: What its clock counts in, microseconds.
        other: Another unit.
        zone: Whose midnights end days.
    """
    if unit is None or other is None or other >= unit:
        return end
    last = end - unit
    if unit >= DAY:
        last = int(zone.to_instant(zone.to_local(np.array([end])) - unit)[0])
    return last + other


def stored(seen: WindowsSeen) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """What a run keeps: a table with one row per entity, and a document with everything else, each by its name."""
    columns: dict[str, Any] = {"entity": np.array(seen.entities, dtype=object)}
    if seen.last_window is not None:
        columns["last_window"] = seen.last.view("datetime64[ns]")
    if seen.open_count is not None:
        columns["open_count"] = seen.open_count
    document = {
        "sort": asdict(seen.sort),
        "first_window": seen.first_window,
        "last_window": seen.last_window,
        "observed": None if seen.observed is None else list(seen.observed),
        "clock_unit": seen.clock_unit,
        "fingerprints": list(seen.fingerprints),
    }
    return {TABLE: pd.DataFrame(columns)}, {DOCUMENT: document}


def from_stored(table: pd.DataFrame, document: Mapping[str, Any]) -> WindowsSeen:
    """Read back what `stored` made.

    Raises:
        DataError: it is not that.

    Example:
        >>> seen = windows_seen(EventCounts.from_arrays(entity=["a", "b"], count=[1, 2]))
        >>> tables, documents = stored(seen)
        >>> from_stored(tables["windows_seen"], documents["windows_seen"]).entities
        ('a', 'b')
    """
    try:
        observed = document["observed"]
        timed = document["last_window"] is not None
        return WindowsSeen(
            sort=WindowSort(**document["sort"]),
            entities=tuple(table["entity"].astype(str)),
            last=table["last_window"].to_numpy("datetime64[ns]").view(np.int64) if timed else np.full(len(table), NONE),
            first_window=document["first_window"],
            last_window=document["last_window"],
            observed=None if observed is None else (int(observed[0]), int(observed[1])),
            clock_unit=document["clock_unit"],
            open_count=table["open_count"].to_numpy(np.int64) if "open_count" in table else None,
            fingerprints=tuple(document["fingerprints"]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"not the windows that a run has seen: {error}", field=DOCUMENT, todo="train again") from error


def _takes_whole_windows(data: EventCounts) -> bool:
    return data.source.get("edge_windows") == "whole"


def _whole_windows(grid: WindowGrid, seen: WindowsSeen, span: tuple[int, int]) -> tuple[int, int]:
    assert seen.first_window is not None
    assert seen.last_window is not None
    last = grid.index_of(grid.bucket_of(np.array([seen.last_window // 1_000])))
    return min(span[0], seen.first_window // 1_000), max(span[1], int(grid.start(last + 1)[0]))
