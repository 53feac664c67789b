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
        position: Where each listed window is among the observations, shape (n_listed,).
        count: Events, shape (n_obs,).
    """

    entity_idx: Int64
    index: Int64
    position: Int64
    count: Int64


def fill_windows(entity_idx: Int64, index: Int64, count: Int64, *, span: Span, grid: WindowGrid) -> Filled:
    """Add the windows that are not listed, with count zero.

    Args:
        entity_idx: Which entity, ascending, shape (n_listed,).
        index: Window number, ascending within an entity, shape (n_listed,).
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
        return Filled(entity_idx, index, np.arange(len(count)), count)
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
    offsets = np.cumsum(lengths) - lengths
    filled_entity = np.repeat(np.arange(len(begins)), lengths)
    filled_index = np.arange(int(lengths.sum())) - np.repeat(offsets - first, lengths)
    position = offsets[entity_idx] + index - first[entity_idx]
    filled = np.zeros(len(filled_entity), dtype=np.int64)
    filled[position] = count
    if grid.sort != "elapsed" and not grid.zone.is_fixed:
        # A civil day that a zone skipped altogether (crossing the date line) is no window.
        kept = (grid.start(filled_index + 1) > grid.start(filled_index)) | (filled > 0)
        position = (np.cumsum(kept) - 1)[position]
        filled_entity, filled_index, filled = filled_entity[kept], filled_index[kept], filled[kept]
    return Filled(filled_entity, filled_index, position, filled)


def observed_fraction(index: Int64, grid: WindowGrid, observed: tuple[int, int]) -> NDArray[np.float64]:
    """How much of each window lies inside the observed span, between SMALLEST_FRACTION and 1, shape (n_obs,).

        fraction = |window and span| / |window|

    Args:
        index: Window numbers, shape (n_obs,).
        grid: The windows.
        observed: First instant and end of the span, microseconds.

    Raises:
        DataError: for events in a civil day that the zone skipped.
    """
    edges, inverse = np.unique(index, return_inverse=True)
    start, end = grid.start(edges), grid.start(edges + 1)
    if (end <= start).any():
        raise DataError("events on a day that the time zone skipped", field="timezone", got=grid.zone.name)
    inside = np.minimum(end, observed[1]) - np.maximum(start, observed[0])
    fraction: NDArray[np.float64] = np.clip(inside / (end - start), SMALLEST_FRACTION, 1.0)
    return fraction[inverse]
