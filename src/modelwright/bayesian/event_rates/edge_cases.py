"""The distinct windows of entities with several exposures, gathered where tables of integrals can predict them.

A window is left out of its entity's windows: what is left are the sum S' of n' windows of the same exposure and, beside
these, the sums at the other exposures. Entities of a family have the same exposures and numbers of windows, as in a log
whose first and last window are partial; their windows of one exposure are predicted from tables over S' beside
combinations of the other sums (`shared_grids`), each distinct (S', other sums, count) once.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.rate_posteriors import row_numbers
from modelwright.bayesian.event_rates.statistics import AlikeEntities
from modelwright.bayesian.event_rates.window_cases import DistinctPairs, distinct_pairs
from modelwright.data.events import EventCounts

_MOST_EXPOSURES = 64
"""Where windows have more different exposures than this, entities have next to nothing in common."""

_LONGEST = 2000
"""Counts tabulated for one prediction at most."""

_LONGEST_SPAN = 30_000
"""Sums in one table at most."""

_INTEGRAL, _COUNT, _WINDOW = 0.04, 0.015, 1.5
"""Microseconds an integral of a table takes, and a count of a prediction, per draw; and a window's own quadrature.

Rough, and only their ratios matter: what pays is decided by them, never what comes out."""


@dataclass(frozen=True, eq=False)
class EdgeFamily:
    """Windows of one exposure that are predicted from the same numbers of others.

    Args:
        exposure: Of the window and, further on, at which the entity has other windows, shape (n_exposures,).
        number: How many others there are at each, same shape.
        members: Which distinct windows these are, shape (n,).
        total: Sum S' of the others of the same exposure, shape (n,).
        beside: Which of the combinations the others' sums are, shape (n,).
        combinations: The combinations, shape (n_combinations, n_exposures - 1), by their sum.
        count: Count of the window, shape (n,).
        needed: About how many counts from 0 its prediction has to tabulate, shape (n,).
    """

    exposure: np.ndarray
    number: np.ndarray
    members: np.ndarray
    total: np.ndarray
    beside: np.ndarray
    combinations: np.ndarray
    count: np.ndarray
    needed: np.ndarray

    def part(self, index: np.ndarray) -> "EdgeFamily":
        """Some of the windows, with all combinations."""
        columns = (self.members, self.total, self.beside)
        members, total, beside = (column[index] for column in columns)
        rest = (self.combinations, self.count[index], self.needed[index])
        return EdgeFamily(self.exposure, self.number, members, total, beside, *rest)


def distinct_windows(alike: AlikeEntities, data: EventCounts) -> tuple[DistinctPairs, np.ndarray] | None:
    """The distinct (row and exposure, count) among the windows, or None where exposures are too many.

    Args:
        alike: The entities of the data, gathered by their statistics.
        data: The windows.

    Returns:
        The pairs, whose first number is row * n_exposures + exposure, and the exposures (n_exposures,), ascending.
    """
    lengths = np.unique(data.exposure)
    if len(lengths) == 1 or len(lengths) > _MOST_EXPOSURES:
        return None
    row = row_numbers(alike)

    def first(here: slice) -> np.ndarray:
        return row[data.entity_idx[here]] * len(lengths) + np.searchsorted(lengths, data.exposure[here])

    return distinct_pairs(first, alike.n_rows * len(lengths), np.asarray(data.count)), lengths


def edge_families(
    population: Population, alike: AlikeEntities, pairs: DistinctPairs, lengths: np.ndarray
) -> Iterator[EdgeFamily]:
    """Families of windows that tables predict faster than a quadrature for each.

    Args:
        population: Draws of the hyperparameters, for how far a table has to reach.
        alike: The entities, gathered by their statistics.
        pairs: The distinct windows, from `distinct_windows`.
        lengths: The exposures, from there too.
    """
    row, length = pairs.first // len(lengths), lengths[pairs.first % len(lengths)]
    start = 0
    for profile in alike.profiles:
        windows, n = profile.windows, len(profile.times)
        if windows.total.shape[1] > 1:
            here = np.flatnonzero((row >= start) & (row < start + n))
            yield from _families(population, windows, here, row[here] - start, length[here], pairs.second[here])
        start += n


def _families(
    population: Population,
    windows: Windows,
    members: np.ndarray,
    row: np.ndarray,
    length: np.ndarray,
    count: np.ndarray,
) -> Iterator[EdgeFamily]:
    alike, family = np.unique(np.concatenate([windows.exposure, windows.number], axis=1), axis=0, return_inverse=True)
    if len(alike) > len(row) // 20:
        return
    levels = windows.total.shape[1]
    order = np.argsort(family.reshape(-1)[row], kind="stable")
    bounds = np.searchsorted(family.reshape(-1)[row][order], np.arange(len(alike) + 1))
    for f, key in enumerate(alike):
        of_family = order[bounds[f] : bounds[f + 1]]
        for e in range(levels):
            here = of_family[length[of_family] == key[e]]
            if len(here):
                turn = [e, *(k for k in range(levels) if k != e)]
                sums = windows.total[row[here]][:, turn]
                number = key[levels:][turn].copy()
                number[0] -= 1
                found = _family(population, key[:levels][turn], number, sums, members[here], count[here].astype(float))
                if _pays(found):
                    yield found


def _family(
    population: Population,
    exposure: np.ndarray,
    number: np.ndarray,
    sums: np.ndarray,
    members: np.ndarray,
    count: np.ndarray,
) -> EdgeFamily:
    total = sums[:, 0] - count
    combinations, beside = np.unique(sums[:, 1:], axis=0, return_inverse=True)
    order = np.argsort(combinations.sum(1), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    shape, rate, inverse = (
        float(np.median(part)) for part in (population.shape, population.rate, population.inverse_concentration)
    )
    behind = total + sums[:, 1:].sum(1)
    mean = exposure[0] * (shape + behind) / (rate + number @ exposure)
    # Overdispersed windows are worth less than their number: the rate's posterior is as wide as that of fewer windows.
    worth = behind / (1.0 + behind / max(number.sum(), 1.0) * inverse)
    spread = np.sqrt(mean + mean**2 * (inverse + 1.0 / (shape + worth)))
    needed = np.ceil(np.maximum(mean + 5.0 * spread, count) + 10.0)
    families = (exposure, number, members, total, place[beside.reshape(-1)], combinations[order], count)
    return EdgeFamily(*families, needed)


def _pays(family: EdgeFamily) -> bool:
    """Whether tables cost less than a quadrature for every distinct window."""
    usual = family.needed <= _LONGEST
    if not usual.any():
        return False
    reach = float(np.quantile(family.needed[usual], 0.9))
    span = float(family.total[usual].max() - family.total[usual].min()) + reach
    if span > _LONGEST_SPAN:
        return False
    tables = _INTEGRAL * 2.0 * span * len(family.combinations) + _COUNT * reach * len(family.count)
    return tables < _WINDOW * len(family.count)
