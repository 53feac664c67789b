"""Leave-one-out predictions of windows of entities with several exposures, from tables that the entities share.

With S' the sum of the n' other windows of the same exposure, s the sums at the other exposures, and the integrals Z
relative to the value that the likelihood of S' has at one rate theta_0,

    p(y | S', s, h) = Z(S' + y, n' + 1, s) / Z(S', n', s) * NB(y | mean theta_0 e, concentration c)

so one table of Z over sums, beside all combinations s, holds the distributions of all the windows.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from modelwright.bayesian.event_rates.count_mixture import Prediction
from modelwright.bayesian.event_rates.count_tables import ScoredCases
from modelwright.bayesian.event_rates.density import negative_binomial_logpmf
from modelwright.bayesian.event_rates.edge_cases import EdgeFamily, distinct_windows, edge_families
from modelwright.bayesian.event_rates.left_out_weights import without_window
from modelwright.bayesian.event_rates.rate_integrals import Population
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.bayesian.event_rates.shared_grids import SumsTable, table_integrals
from modelwright.bayesian.event_rates.statistics import AlikeEntities
from modelwright.bayesian.inference.settings import available_cores
from modelwright.data.events import EventCounts

_TABLE = 4_000_000
"""Integrals held in one table, over all draws: 32 MB."""

_ELEMENTS = 400_000
"""Probabilities of counts held at once, over draws and windows."""

_SMALL_TAIL, _REMAINDER = 1e-5, 1e-7
"""An upper tail below the first is summed count by count, until no more than the second, a share of it, is missing."""

_FARTHEST = 16_000
"""A window whose tail needs more counts than this is left to quadrature."""


def score_windows_of_several(
    population: Population,
    alike: AlikeEntities,
    data: EventCounts,
    chosen: np.ndarray,
    probability: float,
    columns: ScoreColumns,
    done: Callable[[int], None] = lambda windows: None,
) -> np.ndarray:
    """Score those of some windows, of entities with several exposures, that tables predict; returns the others.

    Args:
        population: Draws of the hyperparameters.
        alike: The entities of the data, gathered by their statistics.
        data: All windows.
        chosen: Those to score, ascending.
        probability: Of the equal-tailed interval.
        columns: Where the scores go.
        done: Told how many windows are scored.

    Returns:
        Positions of the windows that have not been scored, ascending.
    """
    distinct = distinct_windows(alike, data)
    if distinct is None:
        return chosen
    pairs, lengths = distinct
    families = edge_families(population, alike, pairs, lengths)
    place = pairs.spread(np.arange(len(pairs.first), dtype=np.int32))[chosen]
    times = np.bincount(place, minlength=len(pairs.first))
    found, solved = score_edges(population, families, times, probability, done=done)
    place = np.where(solved[place], place, -1)
    there = np.flatnonzero(place >= 0)
    columns.fill(chosen[there], place[there], found.prediction, found.score, found.k_hat)
    return np.asarray(chosen[place < 0])


def score_edges(
    population: Population,
    families: Iterator[EdgeFamily],
    times: np.ndarray,
    probability: float,
    *,
    done: Callable[[int], None] = lambda windows: None,
    cores: int | None = None,
) -> tuple[ScoredCases, np.ndarray]:
    """Predict and score the windows of some families, each left out of its own prediction.

    Args:
        population: Draws of the hyperparameters.
        families: From `edge_cases.edge_families`.
        times: How many windows each distinct one stands for, shape (n_windows,).
        probability: Of the equal-tailed interval.
        done: Told how many windows are scored.
        cores: Threads; None takes what the machine offers.

    Returns:
        What was found, by distinct window, and for which windows something was, (n_windows,).
    """
    n_windows = len(times)
    columns = {name: np.zeros(n_windows) for name in (*Prediction.__dataclass_fields__, "score", "k_hat")}
    solved = np.zeros(n_windows, dtype=bool)
    scorer = _Scorer(population, probability, columns, solved)
    finished = 0
    with ThreadPoolExecutor(cores or available_cores()) as pool:
        jobs = (chunk for family in families for chunk in _chunks(family, len(population)))
        for scored in pool.map(scorer.score, jobs):
            finished += int(times[scored].sum())
            done(finished)
    prediction = Prediction(*(columns[name] for name in Prediction.__dataclass_fields__))
    return ScoredCases(prediction, columns["score"], columns["k_hat"]), solved


def _chunks(family: EdgeFamily, draws: int) -> Iterator[EdgeFamily]:
    """Windows beside neighbouring combinations, in parts whose tables fit; those of like length together."""
    # The longest predictions of a part would make the tables of all of it long.
    usual = family.needed <= 1.5 * np.median(family.needed) + 20
    length = np.where(usual, 0, np.ceil(np.log2(family.needed)))
    for size in np.unique(length):
        some = family.part(np.flatnonzero(length == size))
        some = some.part(np.lexsort((some.total, some.beside)))
        span = int(np.ptp(some.total) + some.needed.max()) + 1
        together = max(1, _TABLE // (span * draws))
        used, place = np.unique(some.beside, return_inverse=True)
        edges = np.searchsorted(place, np.arange(0, len(used) + together, together))
        for first, last in itertools.pairwise(edges):
            if last > first:
                yield some.part(np.arange(first, last))


class _Scorer:
    """Scores chunks of families into common columns; used by several threads, each on windows of its own."""

    def __init__(
        self, population: Population, probability: float, columns: dict[str, np.ndarray], solved: np.ndarray
    ) -> None:
        self._population, self._columns, self._solved = population, columns, solved
        self._levels = np.array([(1 - probability) / 2, 0.5, (1 + probability) / 2])

    def score(self, family: EdgeFamily) -> np.ndarray:
        """Score the windows of a chunk; returns those that were, the others being left to quadrature."""
        members = family.members
        missing = self._attempt(family)
        while len(missing):
            family = family.part(missing)
            family = replace(family, needed=2.0 * family.needed + 20.0)
            family = family.part(np.flatnonzero(family.needed <= _FARTHEST))
            found = []
            # the few that need long tables, one combination after the other
            for combination in np.unique(family.beside):
                here = np.flatnonzero(family.beside == combination)
                found.append(here[self._attempt(family.part(here))])
            missing = np.concatenate(found) if found else np.empty(0, dtype=np.int64)
        return members[self._solved[members]]

    def _attempt(self, family: EdgeFamily) -> np.ndarray:
        """Score what tables as long as `needed` can; returns the positions of the others."""
        tables = _Tables.of(self._population, family)
        order = np.lexsort((family.count, family.total, family.beside))
        key = np.stack([family.total, family.beside])[:, order]
        starts = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(0)])
        longest = np.maximum.reduceat(family.needed[order], starts)
        groups = np.split(order, starts[1:])  # windows with the same others
        turn = np.argsort(longest, kind="stable")
        missing, first = [], 0
        while first < len(turn):
            size = len(self._population) * longest[turn[first]]
            last = min(len(turn), first + max(1, int(_ELEMENTS // size)))
            last = max(first + 1, min(last, int(np.searchsorted(longest[turn], 1.25 * longest[turn[first]] + 2))))
            some = [groups[k] for k in turn[first:last]]
            missing.append(self._score(family, tables, some, int(longest[turn[last - 1]])))
            first = last
        return np.concatenate(missing) if missing else np.empty(0, dtype=np.int64)

    def _score(self, family: EdgeFamily, tables: "_Tables", groups: list[np.ndarray], length: int) -> np.ndarray:
        """Score some groups of windows with the same others; returns the positions that need longer tables."""
        leaders = np.array([group[0] for group in groups])
        log_probability = tables.log_probability(family.total[leaders], family.beside[leaders], length)
        members = np.concatenate(groups)
        size = np.array([len(group) for group in groups])
        of = np.repeat(np.arange(len(groups)), size)
        count = family.count[members].astype(np.int64)
        weights, k_hat, score = without_window(log_probability[of, count])
        ratio = np.exp(np.minimum(log_probability[:, -1] - log_probability[:, -2], 0.0))
        chance = np.exp(log_probability, out=log_probability)
        beyond = chance[:, -1] * ratio / np.maximum(1.0 - ratio, 1e-12)  # ratios of neighbours rise slowly to a limit
        probability = np.empty((len(members), length))
        ends = np.cumsum(size)
        for group, end in enumerate(ends):
            here = slice(end - size[group], end)
            np.matmul(weights[here], chance[group].T, out=probability[here])
        rest = (weights * beyond[of]).sum(1)
        below = np.cumsum(probability, axis=1)
        row = np.arange(len(members))
        upper_tail = 1.0 - np.where(count > 0, below[row, count - 1], 0.0)
        small = np.flatnonzero(upper_tail < _SMALL_TAIL)
        if len(small):
            counted = np.where(np.arange(length) >= count[small, None], probability[small], 0.0)
            upper_tail[small] = counted.sum(1) + rest[small]
        short = below[:, -1] < self._levels[-1]
        short[small] |= rest[small] > _REMAINDER * upper_tail[small]
        found = {
            "expected": (weights * tables.mean(family.total[leaders], family.beside[leaders])[of]).sum(1),
            "upper_tail": np.clip(upper_tail, 0.0, 1.0),
            "lower_tail": np.clip(below[row, count], 0.0, 1.0),
            "score": score,
            "k_hat": k_hat,
        }
        for name, level in zip(("lower", "median", "upper"), self._levels, strict=True):
            found[name] = np.minimum((below < level).sum(1), length - 1)
        fine = np.flatnonzero(~short)
        for name, values in found.items():
            self._columns[name][family.members[members[fine]]] = values[fine]
        self._solved[family.members[members[fine]]] = True
        return members[short]


@dataclass(frozen=True, eq=False)
class _Tables:
    """Integrals beside every combination that is used: log Z(S', n'), the mean rate then, and log Z(S, n' + 1).

    Args:
        place: Where a combination is in the tables, shape (n_combinations,).
        sums: The sums S', ascending, shape (n_sums,).
        before: Shape (n_used, n_sums, n_draws).
        expected: Mean rate times the exposure, same shape.
        after: For sums from sums[0] on, shape (n_used, n, n_draws).
        factor: Log NB(k) at the reference rate, shape (n_counts, n_draws).
    """

    place: np.ndarray
    sums: np.ndarray
    before: np.ndarray
    expected: np.ndarray
    after: np.ndarray
    factor: np.ndarray

    @classmethod
    def of(cls, population: Population, family: EdgeFamily) -> "_Tables":
        used, place = np.unique(family.beside), np.zeros(len(family.combinations), dtype=np.int64)
        place[used] = np.arange(len(used))
        beside, sums = family.combinations[used], np.unique(family.total)
        length = int(family.needed.max())
        exposure = float(family.exposure[0])
        reference = float(np.median(population.shape / population.rate))
        if family.number[0] > 0:
            reference = max(float(np.median(family.total)), 1.0) / (float(family.number[0]) * exposure)
        before, expected = _filled(population, family, family.number[0], sums, beside, reference, with_mean=True)
        later = np.arange(sums[0], sums[-1] + length + 1.0)
        after, _ = _filled(population, family, family.number[0] + 1.0, later, beside, reference, with_mean=False)
        count = np.arange(length + 1.0)[:, None]
        factor = negative_binomial_logpmf(count, reference * exposure, population.concentration)
        return cls(place, sums, before, expected * exposure, after, factor)

    def log_probability(self, total: np.ndarray, beside: np.ndarray, length: int) -> np.ndarray:
        """Log p(k | S', other sums, h) for k = 0 .. length - 1, shape (n, length, n_draws)."""
        found = np.empty((len(total), length, self.factor.shape[1]))
        row, at = self.place[beside], np.searchsorted(self.sums, total)
        for k in range(len(total)):
            start = int(total[k] - self.sums[0])
            np.subtract(self.after[row[k], start : start + length], self.before[row[k], at[k]], out=found[k])
        found += self.factor[:length]
        return found

    def mean(self, total: np.ndarray, beside: np.ndarray) -> np.ndarray:
        """Expected count, shape (n, n_draws)."""
        return np.asarray(self.expected[self.place[beside], np.searchsorted(self.sums, total)])


def _filled(
    population: Population,
    family: EdgeFamily,
    number: float,
    sums: np.ndarray,
    beside: np.ndarray,
    reference: float,
    *,
    with_mean: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Log integrals and mean rates for all sums beside all combinations, (n_beside, n_sums, n_draws)."""
    found = np.empty((len(beside), len(sums), len(population)))
    mean = np.empty_like(found) if with_mean else found[:0]
    numbers = np.concatenate([[number], family.number[1:]])
    start = 0
    while start < len(sums):  # of an octave at a time: larger sums take finer grids, smaller ones reach farther
        end = int(np.searchsorted(sums, max(2.0 * sums[start], 16.0)))
        table = SumsTable(family.exposure, numbers, sums[start:end], beside)
        for part in table_integrals(population, table, reference=reference, with_mean=with_mean):
            found[:, start:end, part.draws] = part.log_integral.transpose(2, 1, 0)
            if part.mean is not None:
                mean[:, start:end, part.draws] = part.mean.transpose(2, 1, 0)
        start = end
    return found, mean
