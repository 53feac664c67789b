"""The distinct cases among the windows of many entities: what has to be predicted once, however often it occurs.

Two windows are one case when they have the same exposure and count and their entities' other windows the same number
and sum. A million entities with twenty windows of five events have some ten thousand cases.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.count_tables import LONGEST_TABLE, Cases, counts_needed
from modelwright.bayesian.event_rates.leave_one_out import EntityWindows
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.rate_posteriors import row_numbers
from modelwright.bayesian.event_rates.statistics import AlikeEntities
from modelwright.data.events import EventCounts

_LARGEST_LOOKUP = 10_000_000
"""Whole numbers up to here are counted by a look-up; larger ones by sorting."""

_BLOCK = 1_000_000
"""Observations numbered at once."""


@dataclass(frozen=True, eq=False)
class WindowCases:
    """The cases that tables of integrals can predict, and which of them each observation is.

    Args:
        cases: The distinct cases.
        case: Position of each observation's case, shape (n_obs,), int32; -1 where a table cannot predict it.
    """

    cases: Cases
    case: np.ndarray


@dataclass(frozen=True, eq=False)
class AlikeWindows:
    """Entities with the same sums and numbers of windows at every exposure.

    Args:
        windows: The distinct windows of all of them.
        rows: Observations of all of them, shape (n,).
        where: Position of each among the distinct windows, shape (n,).
    """

    windows: EntityWindows
    rows: np.ndarray
    where: np.ndarray


def cases_left_out(population: Population, alike: AlikeEntities, data: EventCounts) -> WindowCases:
    """Every window predicted from its entity's other windows, where these all have one exposure.

    Args:
        population: Draws of the hyperparameters, for how far a table has to reach.
        alike: The entities of the data, gathered by their statistics.
        data: The windows.

    Example:
        >>> from modelwright.bayesian.event_rates.statistics import alike_entities, statistics_of
        >>> data = EventCounts.from_arrays(entity=["a", "a", "b", "b"], count=[3, 1, 1, 3])
        >>> found = cases_left_out(Population(*np.ones((3, 1))), alike_entities(statistics_of(data)), data)
        >>> found.cases.total.tolist(), found.cases.count.tolist(), found.case.tolist()
        ([3.0, 1.0], [1.0, 3.0], [1, 0, 0, 1])
    """
    exposure, number, total = rows_of_one_exposure(alike)
    n_rows = len(exposure)
    entity_row = row_numbers(alike)
    entity_row = np.where(np.isfinite(exposure)[entity_row], entity_row, n_rows)
    pairs = distinct_pairs(lambda here: entity_row[data.entity_idx[here]], n_rows + 1, np.asarray(data.count))
    known = np.flatnonzero(pairs.first < n_rows)
    row, count = pairs.first[known], pairs.second[known].astype(float)
    cases = Cases(exposure[row], number[row] - 1.0, total[row] - count, count)
    too_long = np.zeros(n_rows, dtype=bool)
    too_long[row[counts_needed(population, cases) > LONGEST_TABLE]] = True
    kept = ~too_long[row]
    place = np.full(len(pairs.first), -1, dtype=np.int32)
    place[known[kept]] = np.arange(kept.sum(), dtype=np.int32)
    return WindowCases(cases.part(kept), pairs.spread(place))


def rows_of_one_exposure(alike: AlikeEntities) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Exposure (NaN where a row has several), number of windows and sum of every alike row, profile after profile."""
    found: tuple[list[np.ndarray], ...] = ([], [], [])
    for profile in alike.profiles:
        parts = (profile.windows.exposure, profile.windows.number, profile.windows.total)
        single = profile.windows.exposure.shape[1] == 1
        for column, part in zip(found, parts, strict=True):
            column.append(part[:, 0] if single else np.full(len(profile.times), np.nan))
    exposure, number, total = (np.concatenate(column) for column in found)
    return exposure, number, total


@dataclass(frozen=True, eq=False)
class DistinctPairs:
    """The distinct pairs of whole numbers among many.

    Args:
        first: First number of each distinct pair.
        second: Second number of each.
        codes: The numbers of all pairs, block by block: slices and codes.
        code: Code of each distinct pair, ascending.
        size: Codes lie below this.
        length: How many pairs there are in all.
    """

    first: np.ndarray
    second: np.ndarray
    codes: Callable[[], Iterator[tuple[slice, np.ndarray]]]
    code: np.ndarray
    size: int
    length: int

    def spread(self, values: np.ndarray) -> np.ndarray:
        """What belongs to each distinct pair, for all pairs: shape (length,)."""
        found = np.empty(self.length, dtype=values.dtype)
        if self.size <= max(4 * self.length, _LARGEST_LOOKUP):
            by_code = np.empty(self.size, dtype=values.dtype)
            by_code[self.code] = values
            for here, code in self.codes():
                found[here] = by_code[code]
        else:
            for here, code in self.codes():
                found[here] = values[np.searchsorted(self.code, code)]
        return found


def distinct_pairs(first: Callable[[slice], np.ndarray], stop: int, second: np.ndarray) -> DistinctPairs:
    """Find the distinct pairs in few passes over the data, without a temporary array as long as they are.

    Args:
        first: Gives the first numbers of a slice of the pairs, from 0 to `stop` - 1.
        stop: See there.
        second: The second numbers, at least 0, shape (n,).

    Example:
        >>> pairs = distinct_pairs(lambda here: np.array([0, 1, 1])[here], 2, np.array([7, 7, 7]))
        >>> pairs.first.tolist(), pairs.second.tolist(), pairs.spread(np.array([10, 20])).tolist()
        ([0, 1], [7, 7], [10, 20, 20])
    """
    length = len(second)
    blocks = [slice(start, min(start + _BLOCK, length)) for start in range(0, length, _BLOCK)]
    largest = int(second.max(initial=0))
    if largest <= _LARGEST_LOOKUP:
        seen = np.zeros(largest + 1, dtype=bool)
        for here in blocks:
            seen[second[here]] = True
        value = np.flatnonzero(seen)
        number = np.zeros(largest + 1, dtype=np.int64)
        number[value] = np.arange(len(value))
    else:
        value, number = np.unique(second), np.empty(0, dtype=np.int64)
    size = stop * max(1, len(value))

    def codes() -> Iterator[tuple[slice, np.ndarray]]:
        for here in blocks:
            of_value = number[second[here]] if len(number) else np.searchsorted(value, second[here])
            yield here, first(here) * len(value) + of_value

    if size <= max(4 * length, _LARGEST_LOOKUP):
        seen = np.zeros(size, dtype=bool)
        for _, code in codes():
            seen[code] = True
        distinct = np.flatnonzero(seen)
    else:
        distinct = np.unique(np.concatenate([np.unique(code) for _, code in codes()]))
    return DistinctPairs(distinct // len(value), value[distinct % len(value)], codes, distinct, size, length)


def alike_windows(data: EventCounts, alike: AlikeEntities, chosen: np.ndarray) -> list[AlikeWindows]:
    """Some observations, gathered by the statistics of their entities: all that leaving one out depends on.

    Args:
        data: The windows.
        alike: The entities of the data, gathered by their statistics.
        chosen: Observations to look at, ascending.
    """
    if len(chosen) == 0:
        return []
    row = row_numbers(alike)[np.asarray(data.entity_idx)[chosen]]
    exposure, count = (np.asarray(part)[chosen] for part in (data.exposure, data.count))
    order = np.lexsort((count, exposure, row))
    row, exposure, count = row[order], exposure[order], count[order].astype(float)
    first = np.r_[True, row[1:] != row[:-1]]
    new = first | np.r_[True, (exposure[1:] != exposure[:-1]) | (count[1:] != count[:-1])]
    starts = np.flatnonzero(new)  # of the distinct windows, among the observations in order
    ends = np.r_[starts[1:], len(order)]
    row_starts = np.flatnonzero(first[starts])  # of the rows, among the distinct windows
    row_ends = np.r_[row_starts[1:], len(starts)]
    number = np.cumsum(new) - 1
    sizes = np.cumsum([0, *(len(profile.times) for profile in alike.profiles)])
    found = []
    for start, end in zip(row_starts, row_ends, strict=True):
        span = slice(starts[start], ends[end - 1])
        profile = int(np.searchsorted(sizes, row[starts[start]], side="right")) - 1
        sums = _row_of(alike.profiles[profile].windows, int(row[starts[start]] - sizes[profile]))
        here = starts[start:end]
        windows = EntityWindows(count[here], exposure[here], ends[start:end] - here, sums)
        found.append(AlikeWindows(windows, chosen[order[span]], number[span] - start))
    return found


def _row_of(windows: Windows, row: int) -> Windows:
    return Windows(windows.exposure[row], windows.total[row], windows.number[row])
