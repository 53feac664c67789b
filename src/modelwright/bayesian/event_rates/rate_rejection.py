"""Exact draws of rates from their log-concave densities, by rejection under three tangents of the log density.

A concave log density g with g(0) = 0 at its mode lies below each of its tangents: the flat one at the mode, and one on
either side. Under the exponential of the lowest of the three one draws directly: uniform in the middle, exponential to
the left and right. Tangents where g is about -1 leave an area of 2 sqrt(2) where a normal density has sqrt(2 pi): 89 %
of the proposals are taken, and each costs one evaluation of the density. An inverse distribution function needs a table
of the whole density instead, which pays only where many draws share one.

Source: W. R. Gilks, P. Wild (1992), Adaptive rejection sampling for Gibbs sampling, https://doi.org/10.2307/2347565;
L. Devroye (1986), Non-Uniform Random Variate Generation, chapter VII.2, for the constants.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.rate_curves import Curves

_TOGETHER = 32_768
"""Draws proposed at once: the arrays of one round stay in a core's cache."""


@dataclass(frozen=True, eq=False)
class _Tangents:
    """Log densities with tangents on both sides of their modes; offsets are measured from there, arrays (draws, rows).

        g(u) = lead u - spent (e^u - 1) - sum over exposures of weight log(1 + share (e^u - 1))

    Args:
        start: Where the flat part of the envelope begins.
        flat: How long it is.
        left: Area under the tangent on the left, one over its slope.
        right: Area under that on the right.
        lead, spent: Of g.
        weight, share: Of g, one array per exposure; a Poisson likelihood has none, being part of `spent`.
        log_mode: Where the mode is.
    """

    start: np.ndarray
    flat: np.ndarray
    left: np.ndarray
    right: np.ndarray
    lead: np.ndarray
    spent: np.ndarray
    weight: tuple[np.ndarray, ...]
    share: tuple[np.ndarray, ...]
    log_mode: np.ndarray

    def at(self, pick: Callable[[np.ndarray], np.ndarray]) -> "_Tangents":
        """The same of other densities: `pick` takes what is wanted out of an array."""
        several = [tuple(map(pick, part)) for part in (self.weight, self.share)]
        first = (self.start, self.flat, self.left, self.right, self.lead, self.spent)
        return _Tangents(*map(pick, first), *several, pick(self.log_mode))

    def log(self, offset: np.ndarray) -> np.ndarray:
        """The log densities at offsets of the arrays' shape."""
        growth = np.expm1(offset)
        found = self.lead * offset
        found -= self.spent * growth
        for weight, share in zip(self.weight, self.share, strict=True):
            some = share * growth
            np.log1p(some, out=some)
            some *= weight
            found -= some
        return found


def draw_log_rates(curves: Curves, n_draws: int, row: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Log theta of entities, one draw for each draw of the hyperparameters.

    Args:
        curves: Densities of log rate, number row * n_draws + draw, as `curves_of` makes them.
        n_draws: Draws of the hyperparameters.
        row: Row of each entity, ascending, shape (n_entities,).
        generator: Source of randomness.

    Returns:
        Log rates, shape (n_draws, n_entities).

    Example:
        >>> from modelwright.bayesian.event_rates.rate_curves import curves_of
        >>> from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
        >>> population = Population(np.array([3.0]), np.array([0.5]), np.array([1e-9]))  # a Gamma posterior, nearly
        >>> curves = curves_of(population, Windows(np.ones((1, 1)), np.full((1, 1), 40.0), np.full((1, 1), 8.0)))
        >>> drawn = np.exp(draw_log_rates(curves, 1, np.zeros(100_000, int), np.random.default_rng(0)))
        >>> bool(abs(drawn.mean() - 43 / 8.5) < 0.01), bool(abs(drawn.std() - 43**0.5 / 8.5) < 0.01)
        (True, True)
    """
    tangents = _tangents(curves, n_draws)
    found = np.empty((n_draws, len(row)))
    together = max(1, _TOGETHER // len(row))
    for first in range(0, n_draws, together):
        part = tangents.at(lambda array: array[first : first + together])  # noqa: B023 (used at once)
        found[first : first + together] = _draw(part, row, generator)
    return found


def _tangents(curves: Curves, n_draws: int) -> _Tangents:
    """Tangents near where the log density is -1; that it is not exactly so costs a few proposals, never exactness."""
    curvature = -curves.derivatives(np.zeros((len(curves.mode), 1)))[1][:, 0]
    sd = 1.0 / np.sqrt(curvature)
    sides = []
    for sign in (-1.0, 1.0):
        # Of a Gamma density in log theta with this curvature, log f falls by 1 at about this distance.
        offset = sign * np.maximum(np.sqrt(2.0) * sd - sign * sd**2 / 3.0, 0.2 * sd)
        value, slope = curves.log(offset[:, None])[:, 0], curves.derivatives(offset[:, None])[0][:, 0]
        for _ in range(20):
            far = np.abs(value + 1.0) > 0.5
            if not far.any():
                break
            step = np.clip(-(1.0 + value) / slope, -0.8 * np.abs(offset), 4.0 * np.abs(offset))
            offset = np.where(far, offset + step, offset)
            value, slope = curves.log(offset[:, None])[:, 0], curves.derivatives(offset[:, None])[0][:, 0]
        sides.append((offset - value / slope, 1.0 / np.abs(slope)))
    (start, left), (end, right) = sides
    spent, weights, shares = curves.rate * curves.mode, [], []
    for exposure, total, number in zip(curves.exposure, curves.total, curves.number, strict=True):
        mean = curves.mode * exposure
        if not curves.inverse.any():  # Poisson counts; no population is half Poisson
            spent = spent + number * mean
            continue
        odds = mean * curves.inverse
        weights.append(total + number / curves.inverse)
        shares.append(odds / (1.0 + odds))

    def shaped(array: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(array.reshape(-1, n_draws).T)

    parts = [shaped(part) for part in (start, end - start, left, right, curves.slope, spent)]
    several = [tuple(map(shaped, part)) for part in (weights, shares)]
    return _Tangents(*parts, *several, shaped(np.log(curves.mode)))


def _draw(tangents: _Tangents, row: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Log rates of some draws, shape (n_draws, n_entities)."""
    offset, taken = _propose(tangents.at(lambda array: np.take(array, row, axis=1)), generator)
    missing = np.flatnonzero(~taken)
    flat = offset.reshape(-1)
    rows = tangents.start.shape[1]
    while len(missing):
        curve = missing // len(row) * rows + row[missing % len(row)]
        again, taken = _propose(tangents.at(lambda array: array.reshape(-1)[curve]), generator)  # noqa: B023
        flat[missing[taken]] = again[taken]
        missing = missing[~taken]
    offset += np.take(tangents.log_mode, row, axis=1)
    return offset


def _propose(tangents: _Tangents, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A point under the envelope of each density, and whether it lies under the density itself."""
    size = tangents.start.shape
    place = generator.random(size)
    place *= tangents.flat + tangents.left + tangents.right
    beyond = generator.standard_exponential(size)
    outside = place > tangents.flat
    on_left = place > tangents.flat + tangents.right
    ends = np.where(on_left, -beyond * tangents.left, tangents.flat + beyond * tangents.right)
    offset = tangents.start + np.where(outside, ends, place)
    height = np.where(outside, beyond, 0.0)
    height += tangents.log(offset)
    height += generator.standard_exponential(size)
    return offset, height >= 0.0
