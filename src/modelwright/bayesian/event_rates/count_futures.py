"""The distribution of a window's count given sums of an entity's other windows, from a table of integrals.

    p(k | S', n') = Z(S' + k, n' + 1) / Z(S', n') * NB(k | mean theta_0 e, concentration c)

with Z relative to the likelihood at the rate theta_0 (`rate_curves.log_integral_and_mean`), which the sums of a table
have in common: neighbouring sums share their integrals, and of ten million events no digit is lost.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.density import negative_binomial_logpmf, upper_tail
from modelwright.bayesian.event_rates.rate_curves import EXACT, curves_of, log_integral_and_mean
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows


@dataclass(frozen=True, eq=False)
class OtherWindows:
    """Windows of one exposure that others of the same exposure are predicted from.

    Args:
        population: Draws of the hyperparameters.
        exposure: The exposure e.
        number: How many there are, n'.
    """

    population: Population
    exposure: float
    number: float

    def reference(self, sums: np.ndarray) -> float:
        """A rate that is likely given one of some sums, or of the population where there are no other windows."""
        if self.number == 0:
            return float(np.median(self.population.shape / self.population.rate))
        return max(float(np.median(sums)), 1.0) / (self.number * self.exposure)

    def integrals(self, sums: np.ndarray, number: float, reference: float) -> tuple[np.ndarray, np.ndarray]:
        """Log Z(S, number) and the mean rate for some sums, both (n_sums, n_draws)."""
        sums = np.asarray(sums, float)[:, None]
        windows = Windows(np.full_like(sums, self.exposure), sums, np.full_like(sums, number))
        return log_integral_and_mean(self.population, windows, reference)


class CountTables:
    """What the distributions for some neighbouring sums S' have in common; grows as needed. Used by one thread.

    Args:
        others: The other windows.
        sums: Their sums S', ascending, shape (n_sums,).
    """

    def __init__(self, others: OtherWindows, sums: np.ndarray) -> None:
        self.others, self.sums = others, sums
        self._reference = others.reference(sums)
        self.before, self.rate = others.integrals(sums, others.number, self._reference)
        self._smallest = int(sums[0])
        self._numerators = np.empty((0, len(others.population)))
        self._factors = np.empty((0, len(others.population)))

    def numerators(self, start: float, stop: float) -> np.ndarray:
        """Log Z(S, n' + 1) for S = start .. stop - 1, shape (stop - start, n_draws)."""
        first, last = int(start) - self._smallest, int(stop) - self._smallest
        have = len(self._numerators)
        if have < last:
            more = np.arange(have, max(last, have + have // 4)) + self._smallest
            found = self.others.integrals(more, self.others.number + 1.0, self._reference)[0]
            self._numerators = np.concatenate([self._numerators, found])
        return self._numerators[first:last]

    def factors(self, stop: int) -> np.ndarray:
        """Log NB(k) at the reference rate for k = 0 .. stop - 1, shape (stop, n_draws)."""
        have = len(self._factors)
        if have < stop:
            count = np.arange(have, max(stop, have + have // 4), dtype=float)[:, None]
            mean = self._reference * self.others.exposure
            found = negative_binomial_logpmf(count, mean, self.others.population.concentration)
            self._factors = np.concatenate([self._factors, found])
        return self._factors[:stop]


class Future:
    """P(Y = k | S', n', h) for k = 0, 1, ... and every draw h; longer as needed.

    Args:
        tables: Of some sums.
        index: Which of them is S'.
        longest: Counts tabulated at first.
    """

    def __init__(self, tables: CountTables, index: int, longest: int) -> None:
        self.others, self.total = tables.others, float(tables.sums[index])
        self._tables, self._before = tables, tables.before[index]
        self._log = np.empty((0, len(self._before)))
        self.lengthen(longest)

    def __len__(self) -> int:
        return len(self._log)

    def log_probability(self, stop: int) -> np.ndarray:
        """Its logarithm for k = 0 .. stop - 1, or more; shape (at least stop, n_draws)."""
        self.lengthen(stop)
        return self._log

    def lengthen(self, stop: int) -> None:
        """Have at least that many counts."""
        if stop > len(self._log):
            self._log = self._tables.numerators(self.total, self.total + stop) - self._before
            self._log += self._tables.factors(stop)
            self.probability = np.exp(self._log)

    def rest(self) -> np.ndarray:
        """About what lies beyond the last count, per draw.

        The ratio of neighbouring probabilities rises slowly to its limit, so the geometric sum is nearly all of it.
        """
        ratio = np.exp(np.minimum(self._log[-1] - self._log[-2], 0.0))
        return np.asarray(self.probability[-1] * ratio / np.maximum(1.0 - ratio, 1e-12))


def integrated_tail(future: Future, weights: np.ndarray, count: np.ndarray) -> np.ndarray:
    """P(Y >= count) of some cases by quadrature over the rate: exact however far the tail reaches, and slow."""
    others = future.others
    windows = (np.array([[value]]) for value in (others.exposure, future.total, others.number))
    curves = curves_of(others.population, Windows(*windows))
    left, right, step = curves.extent(EXACT)
    concentration = others.population.concentration[:, None]
    found = []
    for weight, y in zip(weights, count, strict=True):
        # As a function of log rate the tail rises within about 1/sqrt(y), and the points have to resolve that too.
        points = int(np.ceil(((right - left) / np.minimum(step, 0.6 / np.sqrt(y + 1.0))).max())) + 1
        offset = left[:, None] + (right - left)[:, None] * np.linspace(0.0, 1.0, points)
        density = np.exp(curves.log(offset))
        rate = curves.mode[:, None] * np.exp(offset)
        tail = (density * upper_tail(y, rate * others.exposure, concentration)).sum(1)
        with np.errstate(over="ignore"):
            closing = density[:, 0] / np.expm1(curves.slope * (right - left) / (points - 1))
        found.append(weight @ (tail / (density.sum(1) + closing)))
    return np.array(found)
