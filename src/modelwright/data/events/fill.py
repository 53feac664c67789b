"""Windows without events: an entity that did nothing in a window is an observation with count zero.

A group-by over events has no rows for such windows; leaving them out biases every rate upwards. Here the missing
windows are made, and each window is told how much of it was observed.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events.windows import WindowGrid
from modelwright.data.events.zones import Int64

Span = Literal["entity", "whole", "listed"]

MOST_WINDOWS = 50_000_000
# A window that was seen for less than a hundredth counts as a hundredth: a log ends with an event by definition, and
# one event in a sliver of a window would otherwise look like an enormous rate. The figure is arbitrary.
SMALLEST_FRACTION = 0.01


@dataclass(frozen=True, eq=False)
class Filled:
    """Observations sorted by entity and window.

    Args:
        entity_idx: Which entity, shape (n_obs,).
        index: Window number, shape (n_obs,).
        position: Where each listed window is among the observations, shape (n_listed,); None when they are the same.
        count: Events, shape (n_obs,).
    """

    entity_idx: Int64
    index: Int64
    position: Int64 | None
    count: Int64


def fill_windows(entity_idx: Int64, index: Int64, count: Int64, *, span: Span, grid: WindowGrid) -> Filled:
    """Add the windows that are not listed, with count zero.

    Args:
        entity_idx: Which entity, ascending, shape (n_listed,).
        index: Window number, ascending within an entity, each once, shape (n_listed,).
        count: Events, shape (n_listed,).
        span: "entity": from an entity's first listed window to its last; "whole": from the first of all to the last of
            all; "listed": none.
        grid: The windows.

    Raises:
        ConfigurationError: when there would be more windows than can be held.

    Example:
        >>> from modelwright.data.events.windows import parse_window
        >>> from modelwright.data.events.zones import find_zone
        >>> grid = parse_window("1D", find_zone(None))
        >>> filled = fill_windows(np.array([0, 0]), np.array([3, 5]), np.array([2, 7]), span="entity", grid=grid)
        >>> filled.index.tolist(), filled.count.tolist()
        ([3, 4, 5], [2, 0, 7])
    """
    if span == "listed":
        return Filled(entity_idx, index, None, count)
    begins = np.flatnonzero(np.diff(entity_idx, prepend=-1))
    ends = np.append(begins[1:], len(entity_idx)) - 1
    first, last = index[begins], index[ends]
    if span == "whole":
        first, last = np.full_like(first, index.min()), np.full_like(last, index.max())
    lengths = last - first + 1
    total = int(lengths.sum(dtype=np.float64))
    if total > MOST_WINDOWS:
        raise ConfigurationError(
            f"{len(begins)} entities would have {total:,} windows of {grid.text} in all",
            field="window",
            expected=f"at most {MOST_WINDOWS:,} windows",
            todo='use a longer window, or span="listed"',
        )
    skipped = _skipped(int(first.min()), int(last.max()), grid)
    if total == len(count) and not len(skipped):
        return Filled(entity_idx, index, None, count)
    offsets = np.cumsum(lengths) - lengths
    filled_entity = np.repeat(np.arange(len(begins)), lengths)
    filled_index = np.arange(total)
    filled_index -= np.repeat(offsets - first, lengths)
    position = (offsets - first)[entity_idx]
    position += index
    filled = np.zeros(total, dtype=np.int64)
    filled[position] = count
    if len(skipped):
        kept = ~np.isin(filled_index, skipped)
        kept[position] = True
        position = (np.cumsum(kept) - 1)[position]
        filled_entity, filled_index, filled = filled_entity[kept], filled_index[kept], filled[kept]
    return Filled(filled_entity, filled_index, position, filled)


def _skipped(first: int, last: int, grid: WindowGrid) -> Int64:
    """Windows that never were: a civil day that a zone skipped altogether, crossing the date line."""
    if grid.sort == "elapsed" or grid.zone.is_fixed:
        return np.zeros(0, dtype=np.int64)
    starts = grid.start(np.arange(first, last + 2))
    return np.flatnonzero(np.diff(starts) <= 0) + first


def observed_fraction(windows: Int64, grid: WindowGrid, observed: tuple[int, int]) -> NDArray[np.float64]:
    """How much of each window lies inside the observed span, between SMALLEST_FRACTION and 1, shape (n_windows,).

        fraction = |window and span| / |window|

    Args:
        windows: Window numbers, shape (n_windows,).
        grid: The windows.
        observed: First instant and end of the span, microseconds.

    Raises:
        DataError: for events in a civil day that the zone skipped.
    """
    start, end = grid.start(windows), grid.start(windows + 1)
    if (end <= start).any():
        raise DataError("events on a day that the time zone skipped", field="timezone", got=grid.zone.name)
    inside = np.minimum(end, observed[1]) - np.maximum(start, observed[0])
    fraction: NDArray[np.float64] = np.clip(inside / (end - start), SMALLEST_FRACTION, 1.0)
    return fraction
