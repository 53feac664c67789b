"""Predictions of counts from a table of integrals over whole sums, for entities whose windows have equal exposure.

With n' windows of exposure e and sum S' behind it, a further window's count y of an entity has, given the population,

    p(y | S', n') proportional to Z(S' + y, n' + 1) / Z(S', n')
    Z(S, n)       = integral of Gamma(theta; a, b) (theta e)^S (1 + theta e/c)^-(S + n c) dtheta

and a factor of y alone (`count_futures`). So the integrals for whole S hold every prediction there is: leaving out any
window of any entity, and the whole distribution of what was left out, k = 0, 1, 2, ... at S' + k. Whatever the number
of entities and windows, each (e, n', S', y) is computed once.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.count_futures import CountTables, Future, OtherWindows, integrated_tail
from modelwright.bayesian.event_rates.count_mixture import Prediction
from modelwright.bayesian.event_rates.left_out_weights import without_window
from modelwright.bayesian.event_rates.rate_integrals import Population, log_integral
from modelwright.bayesian.inference.settings import available_cores

LONGEST_TABLE = 4000
"""Counts tabulated for one prediction at most; windows that need more are predicted by quadrature over the rate."""

_SMALL_TAIL = 1e-5
"""An upper tail below this is summed count by count: one minus what lies below has too few digits left."""

_REMAINDER = 1e-7
"""Share of such a tail that may lie beyond the counts tabulated; an estimate of it is added."""

_FARTHEST = 4 * LONGEST_TABLE
"""A tail that needs more counts than this is integrated over the rate instead."""

_CASES = 2000
"""Cases whose weights are smoothed at once."""

_SUMS = 64
"""Sums handled by one job."""


@dataclass(frozen=True, eq=False)
class Cases:
    """Windows to be predicted, each from an entity's other windows of the same exposure; arrays of shape (n,).

    Args:
        exposure: Exposure e of the window and of the others.
        number: Other windows n', 0 for an entity of which nothing is known.
        total: Sum S' of their counts.
        count: Count y of the window.
    """

    exposure: np.ndarray
    number: np.ndarray
    total: np.ndarray
    count: np.ndarray

    def part(self, index: np.ndarray) -> "Cases":
        """Some of the cases."""
        return Cases(self.exposure[index], self.number[index], self.total[index], self.count[index])


@dataclass(frozen=True, eq=False)
class ScoredCases:
    """What was found for each case: prediction, score in nats, and k-hat (zero without reweighting), all (n,)."""

    prediction: Prediction
    score: np.ndarray
    k_hat: np.ndarray


def counts_needed(population: Population, cases: Cases, *, spreads: float = 10.0) -> np.ndarray:
    """About how many counts from 0 a case's prediction has to tabulate, shape (n,).

    Args:
        population: Draws of the hyperparameters.
        cases: The cases.
        spreads: How many standard deviations above the expected count to reach.
    """
    shape, rate, inverse = (
        float(np.median(part)) for part in (population.shape, population.rate, population.inverse_concentration)
    )
    # Overdispersed windows are worth less than their number: the rate's posterior is as wide as that of fewer windows.
    mean = cases.exposure * (shape + cases.total) / (rate + cases.number * cases.exposure)
    worth = cases.total / (1.0 + cases.total / np.maximum(cases.number, 1.0) * inverse)
    spread = np.sqrt(mean + mean**2 * (inverse + 1.0 / (shape + worth)))
    return np.asarray(np.maximum(mean + spreads * spread, cases.count) + 10.0)


def score_cases(
    population: Population,
    cases: Cases,
    probability: float,
    *,
    leave_one_out: bool,
    done: Callable[[int], None] = lambda cases: None,
    cores: int | None = None,
) -> ScoredCases:
    """Predict and score every case.

        p(y) = sum_h w_h p(y | S', n', h),   w_h equal, or leaving out proportional to 1/p(y | S', n', h), smoothed

    Args:
        population: Draws h of the hyperparameters.
        cases: The cases; none should need more counts (`counts_needed`) than `LONGEST_TABLE`.
        probability: Of the equal-tailed interval.
        leave_one_out: Whether the case's window has influenced the draws and is to be taken out of them.
        done: Told how many cases are done.
        cores: Threads; None takes what the machine offers.

    Example:
        >>> population = Population(np.full(50, 2.0), np.full(50, 0.5), np.zeros(50))
        >>> case = Cases(*(np.array([value]) for value in (1.0, 0.0, 0.0, 3.0)))
        >>> found = score_cases(population, case, 0.9, leave_one_out=False)  # Gamma(2, 1/2): negative binomial
        >>> round(float(np.exp(-found.score[0])), 9)  # 4 (1/3)^2 (2/3)^3
        0.131687243
    """
    n = len(cases.count)
    columns = {name: np.empty(n) for name in (*Prediction.__dataclass_fields__, "score", "k_hat")}
    order = np.lexsort((cases.count, cases.total, cases.number, cases.exposure))
    key = np.stack([cases.exposure[order], cases.number[order]])
    starts = np.flatnonzero(np.r_[True, (key[:, 1:] != key[:, :-1]).any(0)]) if n else np.empty(0, dtype=int)
    finished = 0
    with ThreadPoolExecutor(cores or available_cores()) as pool:
        for members in np.split(order, starts[1:]) if n else ():
            first = members[0]
            group = OtherWindows(population, float(cases.exposure[first]), float(cases.number[first]))
            sums, at = np.unique(cases.total[members], return_index=True)
            parts = np.split(members, at[1:])
            longest = counts_needed(population, cases.part(members), spreads=4.0)
            longest = np.maximum.reduceat(longest, at)
            jobs = _segments(sums, longest)

            def work(
                job: tuple[int, int],
                group: OtherWindows = group,
                sums: np.ndarray = sums,
                parts: list[np.ndarray] = parts,
                longest: np.ndarray = longest,
            ) -> int:
                some = slice(*job)
                return _score_sums(
                    group,
                    cases,
                    sums[some],
                    parts[some],
                    longest[some],
                    columns,
                    probability,
                    leave_one_out=leave_one_out,
                )

            for count in pool.map(work, jobs):
                finished += count
                done(finished)
    prediction = Prediction(*(columns[name] for name in Prediction.__dataclass_fields__))
    return ScoredCases(prediction, columns["score"], columns["k_hat"])


def _segments(sums: np.ndarray, longest: np.ndarray) -> list[tuple[int, int]]:
    """Runs of neighbouring sums that share a table; a new one begins where a table would have to bridge a gap."""
    gap = np.r_[False, sums[1:] - sums[:-1] > longest[:-1]]
    jobs, start = [], 0
    for index in range(1, len(sums) + 1):
        if index == len(sums) or gap[index] or index - start == _SUMS:
            jobs.append((start, index))
            start = index
    return jobs


def _score_sums(
    group: OtherWindows,
    cases: Cases,
    sums: np.ndarray,
    parts: list[np.ndarray],
    longest: np.ndarray,
    columns: dict[str, np.ndarray],
    probability: float,
    *,
    leave_one_out: bool,
) -> int:
    """Score the cases of some sums S'; `parts` are their positions. Returns how many there were."""
    levels = np.array([(1 - probability) / 2, 0.5, (1 + probability) / 2])
    tables = CountTables(group, sums)
    tables.numerators(sums[0], (sums + np.ceil(longest)).max())
    n_draws = len(group.population)
    for index in range(len(sums)):
        future = Future(tables, index, int(longest[index]))
        for start in range(0, len(parts[index]), _CASES):
            some = parts[index][start : start + _CASES]
            y = cases.count[some].astype(np.int64)
            logarithm = future.log_probability(int(y.max()) + 1)[y]
            if leave_one_out:
                weights, columns["k_hat"][some], columns["score"][some] = without_window(logarithm)
            else:
                weights = np.full((1, n_draws), 1.0 / n_draws)
                columns["k_hat"][some] = 0.0
                columns["score"][some] = np.log(n_draws) - log_integral(logarithm)
            columns["expected"][some] = weights @ (tables.rate[index] * group.exposure)
            _summarise(future, weights, y, levels, some, columns)
    return sum(map(len, parts))


def _summarise(
    future: Future,
    weights: np.ndarray,
    count: np.ndarray,
    levels: np.ndarray,
    members: np.ndarray,
    columns: dict[str, np.ndarray],
) -> None:
    """Write the interval and the tails of some cases; weights are (n_cases, n_draws), or (1, n_draws) for all alike."""
    row = np.arange(len(members)) if len(weights) > 1 else np.zeros(len(members), dtype=int)
    while True:
        # Not a matrix product: its own threads would fight over the cores with those that call this.
        probability = np.einsum("ch,kh->ck", weights, future.probability)
        below = np.cumsum(probability, axis=1)
        lower_tail = below[row, count]
        upper_tail = 1.0 - np.where(count > 0, below[row, count - 1], 0.0)
        small = np.flatnonzero(upper_tail < _SMALL_TAIL)
        rest = weights @ future.rest()
        if len(small):
            summed = np.where(np.arange(len(future)) >= count[small, None], probability[row[small]], 0.0).sum(1)
            rest = rest[row[small]]
            upper_tail[small] = summed + rest
        if len(future) > _FARTHEST:
            break
        if (below[:, -1] >= levels[-1]).all() and not (len(small) and (rest > _REMAINDER * upper_tail[small]).any()):
            break
        future.lengthen(int(1.4 * len(future)) + 20)
    if len(small) and (rest > _REMAINDER * upper_tail[small]).any():
        upper_tail[small] = integrated_tail(future, weights[row[small]], count[small])
    for name, level in zip(("lower", "median", "upper"), levels, strict=True):
        columns[name][members] = np.minimum((below < level).sum(1), len(future) - 1)[row]
    columns["upper_tail"][members] = np.clip(upper_tail, 0.0, 1.0)
    columns["lower_tail"][members] = np.clip(lower_tail, 0.0, 1.0)
