"""Integrals over the rate of many entities that differ in their sums alone, on grids that all of them share.

Entities observed for the same numbers of windows at the same exposures e = 1, 2, ... differ in their sums S_e only, and

    f(x) = Gamma(e^x; a, b) e^x * product over e of F_e(S_e, x),     F_e(S, x) = NB(S | n_e e^x e, n_e c) / its largest

so that on a grid of log rates x_g the integral is a sum over g of products of tables, one table per exposure: the
integrals for all sums of one exposure beside all combinations of the others are one product of matrices,

    I[S_1, (S_2, S_3, ...)] = step * sum_g F_1[S_1, g] * (Gamma[g] F_2[S_2, g] F_3[S_3, g] ...)

A factor is computed once for each sum, not once for each combination. With the partial first and last windows of a log,
a hundred sums beside two hundred combinations are twenty thousand integrals for three hundred factors.

The grid of a draw covers what the smallest and the largest sums need: f of larger sums is f of smaller ones times a
function that rises with x, so the largest sums reach farthest to the right and the smallest farthest to the left.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.density import log1p_ratio
from modelwright.bayesian.event_rates.peak_densities import deviance, log_gamma_density
from modelwright.bayesian.event_rates.rate_integrals import Population
from modelwright.bayesian.event_rates.rate_quadrature import (
    LARGEST_STEP,
    STEPS_PER_SD,
    Cells,
    log_peak_and_integral,
    mode,
    reach,
)

ELEMENTS = 400_000
"""Doubles in the largest temporary array: three megabytes, so that several fit a core's cache."""

_KNEE = 27.0
"""Nats of log rate below which the left tail counts as exponential: it is, but for e^-27 of itself."""

_SMALLEST = 1e-240
"""A sum of products below this has lost terms to underflow: its integral is computed alone."""


@dataclass(frozen=True, eq=False)
class SumsTable:
    """All integrals of some sums of one exposure beside some combinations of sums of the others.

    Args:
        exposure: The exposures, the first being that of `along`, shape (n_exposures,).
        number: Number of windows at each, same shape.
        along: Sums at the first exposure, shape (n_along,).
        beside: Sums at the others, shape (n_beside, n_exposures - 1).
    """

    exposure: np.ndarray
    number: np.ndarray
    along: np.ndarray
    beside: np.ndarray

    def corner(self, *, largest: bool) -> np.ndarray:
        """The smallest or the largest sum of each exposure, shape (n_exposures,)."""
        pick = np.max if largest else np.min
        return np.array([pick(self.along), *pick(self.beside, axis=0)])


@dataclass(frozen=True, eq=False)
class TableIntegrals:
    """Integrals of a table under some draws.

    Args:
        draws: Positions of the draws, shape (n,).
        log_integral: Shape (n, n_along, n_beside).
        mean: Mean rate, same shape, where it was asked for.
    """

    draws: np.ndarray
    log_integral: np.ndarray
    mean: np.ndarray | None


def table_integrals(
    population: Population, table: SumsTable, *, reference: float | None = None, with_mean: bool = False
) -> Iterator[TableIntegrals]:
    """Log of the integrals of a table, a few draws of the hyperparameters at a time.

    Args:
        population: Draws of the hyperparameters.
        table: The sums.
        reference: By default every factor is relative to its largest value, so that the integrals are what
            `rate_quadrature.log_peak_and_integral` adds up to. With a rate given, those of the first exposure are
            relative to their value at that rate, which neighbouring sums have in common.
        with_mean: Whether to find the mean rate, too.

    Example:
        >>> table = SumsTable(np.array([1.0, 0.5]), np.array([3.0, 1.0]), np.array([4.0, 5.0]), np.array([[2.0]]))
        >>> population = Population(np.array([2.0]), np.array([0.5]), np.array([0.0]))
        >>> (found,) = table_integrals(population, table, with_mean=True)
        >>> found.mean[0, :, 0].round(9).tolist()  # Gamma(2 + 6, 0.5 + 3.5) and Gamma(2 + 7, 0.5 + 3.5)
        [2.0, 2.25]
    """
    start, end, step = _span(population, table)
    points = np.ceil((end - start) / step).astype(np.int64) + 1
    order = np.argsort(points, kind="stable")
    n, m = len(table.along), len(table.beside)
    first = 0
    while first < len(order):
        fewest = int(points[order[first]])
        together = max(1, ELEMENTS // max(n * m, (n + m) * fewest))
        last = min(len(order), first + together)
        last = max(first + 1, min(last, int(np.searchsorted(points[order], 1.25 * fewest + 2, side="right"))))
        here = order[first:last]
        some = Population(population.shape[here], population.rate[here], population.inverse_concentration[here])
        count = int(points[here[-1]])
        grid = start[here, None] + ((end - start)[here] / (count - 1))[:, None] * np.arange(count)
        yield TableIntegrals(here, *_integrate(some, table, grid, reference=reference, with_mean=with_mean))
        first = last


def _integrate(
    population: Population, table: SumsTable, x: np.ndarray, *, reference: float | None, with_mean: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Log integrals, and mean rates, of shape (n_draws, n_along, n_beside) from the points (n_draws, n_points)."""
    step = (x[:, -1] - x[:, 0]) / (x.shape[1] - 1)
    centre = 0.5 * (x[:, 0] + x[:, -1])
    offset = x - centre[:, None]
    growth = np.expm1(offset)
    theta = np.exp(centre)
    factors = _Factors(population, theta, offset, growth)
    along, log_along = _over_largest(factors.of(table.exposure[0], table.number[0], table.along, reference))
    prior = log_gamma_density(theta, population.shape, population.rate)[:, None]
    prior = prior + population.shape[:, None] * offset - (population.rate * theta)[:, None] * growth
    others = np.repeat(prior[:, None, :], len(table.beside), axis=1)
    for e in range(1, len(table.exposure)):
        values, where = np.unique(table.beside[:, e - 1], return_inverse=True)
        others += factors.of(table.exposure[e], table.number[e], values, None)[:, where]
    beside, log_beside = _over_largest(others)
    turned = beside.transpose(0, 2, 1)
    total = np.matmul(along, turned)
    moment = np.matmul(along * (growth + 1.0)[:, None, :], turned) if with_mean else None
    slope = population.shape[:, None, None] + table.along[:, None] + table.beside.sum(1)
    slope *= step[:, None, None]
    if slope.min() < 1.0:  # else what lies left of the points is below e^-25 of what they hold
        first = along[:, :, :1] * beside[:, None, :, 0]
        with np.errstate(over="ignore"):
            total += first / np.expm1(slope)
            if moment is not None:
                moment += first * (growth[:, :1, None] + 1.0) / np.expm1(slope + step[:, None, None])
    lost = total < _SMALLEST
    found = np.log(np.maximum(total, _SMALLEST))
    found += log_along[:, :, None] + log_beside[:, None, :] + np.log(step)[:, None, None]
    if moment is not None:
        moment *= theta[:, None, None] / np.maximum(total, _SMALLEST)
    if lost.any():
        _alone(population, table, np.argwhere(lost), reference, found, moment)
    return found, moment


@dataclass(frozen=True, eq=False)
class _Factors:
    """Makes the factors of one exposure at the points of every draw: log F(S, x_g), shape (n_draws, n_sums, points)."""

    population: Population
    theta: np.ndarray
    offset: np.ndarray
    growth: np.ndarray

    def of(self, exposure: float, number: float, sums: np.ndarray, reference: float | None) -> np.ndarray:
        """Relative to their largest values, or to those at the reference rate."""
        inverse = self.population.inverse_concentration
        mean = self.theta * exposure
        rises = log1p_ratio(self.growth * (mean / (1.0 + mean * inverse))[:, None], inverse[:, None])
        weight = sums * inverse[:, None] + number
        found = sums[:, None] * self.offset[:, None, :] - weight[:, :, None] * rises[:, None, :]
        found += centre_value(sums, number, mean, inverse, None if reference is None else reference * exposure)[
            :, :, None
        ]
        return found


def centre_value(
    sums: np.ndarray, number: float, mean: np.ndarray, inverse: np.ndarray, reference: float | None
) -> np.ndarray:
    """Log of NB(S) at a mean per window over its largest value, or over that at a reference mean, (n_draws, n_sums)."""
    if reference is None:
        if number == 0:
            return np.zeros((len(mean), len(sums)))
        return deviance(sums, number * mean[:, None], inverse[:, None] / number)
    rises = log1p_ratio((mean - reference) / (1.0 + reference * inverse), inverse)[:, None]
    return np.asarray(sums * np.log(mean / reference)[:, None] - (sums * inverse[:, None] + number) * rises)


def _over_largest(log_factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors over their largest value on the grid, in place, and its logarithm without the last axis."""
    largest = log_factor.max(-1)
    log_factor -= largest[..., None]
    return np.exp(log_factor, out=log_factor), largest


def _alone(
    population: Population,
    table: SumsTable,
    where: np.ndarray,
    reference: float | None,
    found: np.ndarray,
    mean: np.ndarray | None,
) -> None:
    """Integrals whose factors hardly overlap, each on points of its own."""
    draw, row, column = where.T
    sums = np.concatenate([table.along[row, None], table.beside[column]], axis=1).T
    draws = (population.shape[draw], population.rate[draw], population.inverse_concentration[draw])
    exposure, number = (np.repeat(part[:, None], len(draw), axis=1) for part in (table.exposure, table.number))
    cells = Cells(*draws, exposure, sums, number)
    log_integral = sum(log_peak_and_integral(cells))
    if reference is not None:
        # from relative to the largest value to relative to that at the reference
        for k in range(len(draw)):
            inverse = draws[2][k : k + 1]
            log_integral[k] -= centre_value(
                sums[:1, k], table.number[0], np.array([reference * table.exposure[0]]), inverse, None
            )[0, 0]
    found[draw, row, column] = log_integral
    if mean is not None:
        # E(theta) is the integral for a shape larger by one, over this one: a/b is the prior's mean
        more = Cells(draws[0] + 1.0, *draws[1:], exposure, sums, number)
        ratio = np.exp(sum(log_peak_and_integral(more)) - sum(log_peak_and_integral(cells)))
        mean[draw, row, column] = draws[0] / draws[1] * ratio


def _span(population: Population, table: SumsTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the points start and end in log rate, and how far apart they may be, each (n_draws,)."""
    smallest, largest = (_corner(population, table, table.corner(largest=which)) for which in (False, True))
    inverse = population.inverse_concentration
    drag = largest.total * inverse + largest.number
    knee = -np.log(population.rate + (drag * largest.exposure).sum(0)) - _KNEE
    low, high = mode(smallest), mode(largest)
    start = np.log(low) + reach(smallest, low, knee)[0]
    end = np.log(high) + reach(largest, high, knee)[1]
    # The second derivative of log f in x, at its largest: each window's is m/(1 + m/c)^2 with its largest at m = c.
    with np.errstate(divide="ignore"):
        mean = np.clip(1.0 / inverse, low * largest.exposure, high * largest.exposure)
    curvature = population.rate * high + (drag * mean / (1.0 + mean * inverse) ** 2).sum(0)
    return start, end, np.minimum(STEPS_PER_SD / np.sqrt(curvature), LARGEST_STEP)


def _corner(population: Population, table: SumsTable, sums: np.ndarray) -> Cells:
    n = len(population)
    exposure, total, number = (np.repeat(part[:, None], n, axis=1) for part in (table.exposure, sums, table.number))
    return Cells(population.shape, population.rate, population.inverse_concentration, exposure, total, number)
