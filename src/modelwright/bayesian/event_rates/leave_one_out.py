"""Predicting one window of an entity from its other windows, with the rate integrated out, draw by draw.

    p(y_j | y_-j, h) = Z(all windows) / Z(all but j),      Z = integral of Gamma(theta) * likelihood over theta

Reweighting draws of theta itself breaks down exactly where it matters: an anomalous window moves its entity's rate so
far that the draws hold nothing of what it would be without. The ratio of one-dimensional integrals has no such limit.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.density import log1p_rise, negative_binomial_logpmf
from modelwright.bayesian.event_rates.rate_integrals import (
    Population,
    RateGrid,
    Windows,
    grid_for,
    log_integral,
    log_ratio,
)

_SHARED_POINTS = 320
"""A grid shared by all windows of an entity may have this many points; one that needs more is made per window."""

_ELEMENTS = 4_000_000
"""Doubles in the largest temporary array (32 MB)."""


@dataclass(frozen=True, eq=False)
class EntityWindows:
    """The distinct windows of one entity, or of several whose windows have the same sums.

    Args:
        count: Distinct (count, exposure) pairs, shape (n_windows,).
        exposure: Same shape.
        times: How many windows are alike, same shape.
        sums: Sums and numbers of all of an entity's windows, by exposure ascending; those of the windows above when
            left out.
    """

    count: np.ndarray
    exposure: np.ndarray
    times: np.ndarray
    sums: Windows | None = None

    def by_exposure(self) -> tuple[Windows, np.ndarray]:
        """The entity's sums, and the position of each window's exposure there, shape (n_windows,)."""
        if self.sums is not None:
            return self.sums, np.searchsorted(self.sums.exposure, self.exposure)
        exposures, where = np.unique(self.exposure, return_inverse=True)
        total = np.bincount(where, self.count * self.times, minlength=len(exposures))
        number = np.bincount(where, self.times, minlength=len(exposures)).astype(float)
        return Windows(exposures, total, number), where


@dataclass(frozen=True, eq=False)
class LeftOutWindows:
    """Some windows of equal exposure of one entity, each predicted from the entity's other windows.

    Args:
        index: Positions in `EntityWindows`, shape (n,).
        exposure: Their exposure.
        log_density: log p(y_j | y_-j, h) in nats, shape (n, n_draws).
        rate: Points theta, shape (n_draws, n_points).
        probability: Weight of each point under p(theta | y_-j, h), shape (n, n_draws, n_points); sums to 1 over points.
    """

    index: np.ndarray
    exposure: float
    log_density: np.ndarray
    rate: np.ndarray
    probability: np.ndarray


def leave_one_out(population: Population, entity: EntityWindows) -> Iterator[LeftOutWindows]:
    """Predict every distinct window of an entity from the others, in parts small enough for memory.

    Args:
        population: Draws of the hyperparameters.
        entity: The entity's windows.

    Yields:
        Parts that together hold every distinct window once.
    """
    everything, where = entity.by_exposure()
    exposures, total = everything.exposure, everything.total
    cases = influential_cases(population, everything, entity, where)
    grid = grid_for(population, cases, most_points=_SHARED_POINTS)
    if grid is None:
        for j in range(len(entity.count)):
            yield _alone(population, entity, where, everything, j)
        return
    log_full = log_ratio(population, everything, grid.centre, grid.offset)
    log_all = log_integral(grid.close(log_full.copy(), population.shape + total.sum()))
    size = max(1, _ELEMENTS // log_full.size)
    for e, exposure in enumerate(exposures):
        alike = np.flatnonzero(where == e)
        for start in range(0, len(alike), size):
            part = alike[start : start + size]
            yield _from_shared_grid(population, entity, grid, log_full, log_all, part, float(exposure), total.sum())


def _cases(everything: Windows, entity: EntityWindows, where: np.ndarray, left_out: np.ndarray) -> Windows:
    """All windows first, then all but each of those in `left_out`, as one stack of cases."""
    totals = np.tile(everything.total, (len(left_out) + 1, 1))
    numbers = np.tile(everything.number, (len(left_out) + 1, 1))
    row = np.arange(1, len(left_out) + 1)
    totals[row, where[left_out]] -= entity.count[left_out]
    numbers[row, where[left_out]] -= 1.0
    return Windows(np.tile(everything.exposure, (len(left_out) + 1, 1)), totals, numbers)


def influential_cases(population: Population, everything: Windows, entity: EntityWindows, where: np.ndarray) -> Windows:
    """All windows, and all but each of those whose absence matters most: a grid for these cases serves all.

    Args:
        population: Draws of the hyperparameters.
        everything: The entity's windows by exposure.
        entity: The same one by one.
        where: Position of each window's exposure in `everything`, shape (n_windows,).
    """
    return _cases(everything, entity, where, _influential(population, everything, entity))


def _influential(population: Population, everything: Windows, entity: EntityWindows) -> np.ndarray:
    """The windows whose absence moves or widens the rate's distribution most: a grid for these serves all."""
    if len(entity.count) <= 4:
        return np.arange(len(entity.count))
    shape, rate, inverse = (
        float(np.median(part)) for part in (population.shape, population.rate, population.inverse_concentration)
    )
    mean = (shape + everything.total.sum()) / (rate + everything.exposure @ everything.number) * entity.exposure
    pull = (entity.count - mean) / (1.0 + mean * inverse)  # how far the window draws log rate up or down
    return np.unique([np.argmax(pull), np.argmin(pull), np.argmax(entity.exposure), np.argmax(entity.count)])


def _from_shared_grid(
    population: Population,
    entity: EntityWindows,
    grid: RateGrid,
    log_full: np.ndarray,
    log_all: np.ndarray,
    part: np.ndarray,
    exposure: float,
    total: float,
) -> LeftOutWindows:
    inverse = population.inverse_concentration[:, None]
    mean0 = np.exp(grid.centre)[:, None] * exposure
    rises = log1p_rise(mean0, grid.offset, inverse, np.expm1(grid.offset))
    count = entity.count[part][:, None, None]
    log_weight = log_full - count * grid.offset
    log_weight += (count * inverse + 1.0) * rises
    slope = population.shape + (total - entity.count[part])[:, None]
    log_weight = grid.close(log_weight, slope)
    largest = log_weight.max(-1, keepdims=True)
    weight = np.exp(log_weight - largest)
    integral = weight.sum(-1)
    at_centre = negative_binomial_logpmf(count[..., 0], mean0[:, 0], population.concentration)
    log_density = at_centre + log_all - (np.log(integral) + largest[..., 0])
    return LeftOutWindows(part, exposure, log_density, grid.rate, weight / integral[..., None])


def _alone(
    population: Population, entity: EntityWindows, where: np.ndarray, everything: Windows, j: int
) -> LeftOutWindows:
    """As `_from_shared_grid` for one window, with a grid of its own for either integral."""
    pair = _cases(everything, entity, where, np.array([j]))
    every, others = (Windows(pair.exposure[k], pair.total[k], pair.number[k]) for k in range(2))
    wide = _grid(population, others)
    narrow = _grid(population, every)
    log_without = wide.close(
        log_ratio(population, others, wide.centre, wide.offset), population.shape + others.total.sum()
    )
    log_with = narrow.close(
        log_ratio(population, every, narrow.centre, narrow.offset), population.shape + every.total.sum()
    )
    between = log_ratio(population, others, wide.centre, (narrow.centre - wide.centre)[:, None])[:, 0]
    at_centre = negative_binomial_logpmf(
        entity.count[j], np.exp(narrow.centre) * entity.exposure[j], population.concentration
    )
    without = log_integral(log_without)
    log_density = at_centre + between + log_integral(log_with) - without
    probability = np.exp(log_without - without[:, None])
    return LeftOutWindows(np.array([j]), float(entity.exposure[j]), log_density[None], wide.rate, probability[None])


def _grid(population: Population, windows: Windows) -> RateGrid:
    grid = grid_for(population, Windows(windows.exposure[None], windows.total[None], windows.number[None]))
    assert grid is not None
    return grid


def rate_distribution(population: Population, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Points theta and their probabilities given windows, for every draw of the hyperparameters.

    Args:
        population: Draws of the hyperparameters.
        windows: What is known of the entity; no windows at all (empty arrays) is an entity never seen.

    Returns:
        theta and probability, both (n_draws, n_points).

    Example:
        >>> population = Population(np.array([2.0]), np.array([0.5]), np.array([0.1]))
        >>> nothing = Windows(np.empty(0), np.empty(0), np.empty(0))
        >>> theta, probability = rate_distribution(population, nothing)
        >>> bool(np.isclose((theta * probability).sum(), 2.0 / 0.5, rtol=1e-12))
        True
    """
    grid = _grid(population, windows)
    log_weight = log_ratio(population, windows, grid.centre, grid.offset)
    log_weight = grid.close(log_weight, population.shape + windows.total.sum())
    return grid.rate, np.exp(log_weight - log_integral(log_weight)[:, None])


def every_second_point(rate: np.ndarray, probability: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half of a grid: still exact to millionths, and ample for tails and quantiles.

    The trapezoid rule at twice the spacing, at most one standard deviation, errs by less than 5e-6. The first point
    also stands for the exponential left tail, p0 = f0/(1 - r) with r = f0/f1 = p0/(p0 + p1); at twice the spacing it
    is f0/(1 - r^2) = p0/(1 + r). Where rates may be tiny (shape times 30 well below one) that tail holds much of the
    mass.

    Args:
        rate: Points theta, shape (n_draws, n_points).
        probability: Their probabilities, shape (..., n_draws, n_points).

    Returns:
        theta and probability at every second point; the probabilities sum to 1 over the points.

    Example:
        >>> population = Population(np.array([0.05]), np.array([0.5]), np.array([0.1]))
        >>> nothing = Windows(np.empty(0), np.empty(0), np.empty(0))
        >>> theta, probability = every_second_point(*rate_distribution(population, nothing))
        >>> bool(np.isclose((theta * probability).sum(), 0.05 / 0.5, rtol=1e-5))
        True
    """
    first, second = probability[..., 0], probability[..., 1]
    half = probability[..., ::2].copy()
    half[..., 0] = first * (first + second) / np.maximum(2.0 * first + second, 1e-300)
    return rate[:, ::2], half / half.sum(-1, keepdims=True)
