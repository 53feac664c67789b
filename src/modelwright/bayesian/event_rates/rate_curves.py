"""The densities of many rates at once, as curves over equally spaced points in log rate.

A curve is one row of statistics (one entity, or several alike) under one draw of the hyperparameters, in x = log theta:

    f(x) = exp((a + S) x - b e^x) * product over exposures e of (1 + e^x e / c)^-(S_e + n_e c),     S = sum of S_e

with a, b the shape and rate of the population, c the concentration of counts, S_e and n_e the sum and number of windows
of exposure e. f is log-concave, exponential on the left (slope a + S) and falls like exp(-b e^x) on the right. Curves
are measured from their mode, so that nothing over- or underflows, and are given with their first two derivatives, from
which integrals, distribution functions and their inverses follow to high order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.density import log1p_ratio
from modelwright.bayesian.event_rates.peak_densities import log_gamma_density
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.rate_quadrature import Cells, mode

CHUNK = 60_000
"""Points of curves computed at once: half a megabyte per temporary array, which stays in a core's cache."""


@dataclass(frozen=True, eq=False)
class Spacing:
    """How finely and how far curves are computed.

    Args:
        per_sd: Step in standard deviations at the mode.
        largest: Largest step in log rate.
        drop: Nats below the mode at which a curve may end.
        knee: Nats of log rate by which the left tail must have entered its exponential part before it is cut there.
    """

    per_sd: float
    largest: float
    drop: float
    knee: float


EXACT = Spacing(per_sd=0.6, largest=0.25, drop=30.0, knee=27.0)
"""Integrals within 1e-11: the trapezoid rule errs by 2 |Gamma(s + 2 pi i/step)|/Gamma(s) for a Gamma density of shape
s, and what is cut off is below e^-27 of the whole."""

PROBABILITIES = Spacing(per_sd=0.5, largest=0.3, drop=19.0, knee=17.0)
"""Distribution functions, by two-point Hermite quadrature and inverse interpolation, within 1e-6 of a probability."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Densities of log rate relative to their modes; arrays of shape (n,), or (exposures, n) where said.

    Args:
        shape, rate, inverse: The population, inverse being one over the concentration, zero for Poisson counts.
        exposure, total, number: The windows, shape (exposures, n).
        mode: Theta at the mode of log theta.
    """

    shape: np.ndarray
    rate: np.ndarray
    inverse: np.ndarray
    exposure: np.ndarray
    total: np.ndarray
    number: np.ndarray
    mode: np.ndarray

    @property
    def slope(self) -> np.ndarray:
        """Slope of log f far on the left."""
        return np.asarray(self.shape + self.total.sum(0))

    def part(self, index: np.ndarray) -> "Curves":
        """Some of the curves."""
        vectors = (self.shape[index], self.rate[index], self.inverse[index])
        return Curves(*vectors, self.exposure[:, index], self.total[:, index], self.number[:, index], self.mode[index])

    def log(self, offset: np.ndarray) -> np.ndarray:
        """Log f(x0 + u) - log f(x0) at offsets u from the mode, shape (n, points)."""
        growth = np.expm1(offset)
        found = self.slope[:, None] * offset
        found -= (self.rate * self.mode)[:, None] * growth
        poisson = not self.inverse.any()
        for e in range(len(self.exposure)):
            mean = self.mode * self.exposure[e]
            if poisson:
                found -= (self.number[e] * mean)[:, None] * growth
                continue
            odds = mean * self.inverse
            some = growth * (mean / (1.0 + odds))[:, None]
            drag = (self.total[e] * self.inverse + self.number[e])[:, None]
            if self.inverse.all():
                np.multiply(some, self.inverse[:, None], out=some)
                np.log1p(some, out=some)
                found -= drag / self.inverse[:, None] * some
            else:
                found -= drag * log1p_ratio(some, self.inverse[:, None])
        return found

    def derivatives(self, offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and second derivative of log f, same shape as the offsets."""
        theta = np.exp(offset)
        theta *= self.mode[:, None]
        fall = theta * self.rate[:, None]
        first, second = self.slope[:, None] - fall, -fall
        for e in range(len(self.exposure)):
            mean = theta * self.exposure[e][:, None]
            scale = 1.0 / (1.0 + mean * self.inverse[:, None])
            mean *= scale
            mean *= (self.total[e] * self.inverse + self.number[e])[:, None]
            first -= mean
            mean *= scale
            second -= mean
        return first, second

    def log_at_mode(self, reference: float) -> np.ndarray:
        """Log of Gamma(x; a, b) * product over e of (theta e)^S_e (1 + theta e/c)^-(S_e + n_e c) at the mode, the
        product over what it is at the reference rate: all that depends on the population, if S_e and n_e are given.
        """  # noqa: D205
        found = log_gamma_density(self.mode, self.shape, self.rate)
        log_ratio = np.log(self.mode / reference)
        for e in range(len(self.exposure)):
            at_reference = reference * self.exposure[e]
            more = (self.mode - reference) * self.exposure[e] / (1.0 + at_reference * self.inverse)
            found += self.total[e] * log_ratio
            found -= (self.total[e] * self.inverse + self.number[e]) * log1p_ratio(more, self.inverse)
        return np.asarray(found)

    def extent(self, spacing: Spacing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Offsets where the curves start and end, and their steps at most, each (n,)."""
        curvature = -self.derivatives(np.zeros((len(self.mode), 1)))[1][:, 0]
        sd = 1.0 / np.sqrt(curvature)
        drag = self.total * self.inverse + self.number
        # Below this every factor but the exponential one is 1 within e^-knee.
        low = np.log(self.slope / (self.rate + (drag * self.exposure).sum(0))) - np.log(self.mode) - spacing.knee
        # Towards the left, log f curves at least like a Gamma density's of the same curvature at the mode, whose
        # distance v solves v - 1 + e^-v = drop sd^2; v is about the smaller of these.
        fall = spacing.drop / curvature
        left = -np.minimum(fall + 1.0, np.sqrt(2 * fall) + fall / 3 + 0.08 * fall**1.5)
        left = self._inwards(np.maximum(left, low), low, spacing.drop)
        # Towards the right, the prior alone, one of the concave terms, bounds the distance.
        fall = spacing.drop / (self.rate * self.mode)
        limit = np.log1p(fall)
        for _ in range(3):
            limit = np.log1p(fall + limit)
        limit += 0.1
        right = self._inwards(np.minimum(np.sqrt(2 * spacing.drop) * sd, limit), limit, spacing.drop)
        return left, right, np.minimum(spacing.per_sd * sd, spacing.largest)

    def _inwards(self, offset: np.ndarray, limit: np.ndarray, drop: float) -> np.ndarray:
        """Where log f has fallen by about `drop`, but no farther than the limit: offsets of one sign, (n,).

        Newton's method on a concave function: after one step it is outside, wherever it started, and comes back.
        """
        for _ in range(30):
            missing = drop + self.log(offset[:, None])[:, 0]
            steepness = self.derivatives(offset[:, None])[0][:, 0]
            outside = missing < -0.2 * drop
            if not np.any(outside | ((missing > 0.2 * drop) & (np.abs(offset) < np.abs(limit)))):
                break
            new = offset - missing / np.where(steepness == 0.0, 1e-300, steepness)
            offset = np.where(np.abs(new) > np.abs(limit), limit, new)
        return offset


def curves_of(population: Population, windows: Windows) -> Curves:
    """The curves of every row under every draw, row by row: curve number row * n_draws + draw.

    Args:
        population: Draws of the hyperparameters.
        windows: Rows of statistics, arrays of shape (n_rows, exposures).
    """
    rows, draws = len(windows.total), len(population)
    shape, rate, inverse = (
        np.tile(part, rows) for part in (population.shape, population.rate, population.inverse_concentration)
    )
    exposure, total, number = (
        np.repeat(np.asarray(part, float).T, draws, axis=1)
        for part in (windows.exposure, windows.total, windows.number)
    )
    cells = Cells(shape, rate, inverse, exposure, total, number)
    return Curves(shape, rate, inverse, exposure, total, number, mode(cells))


def chunks(points: np.ndarray) -> Iterator[np.ndarray]:
    """Positions of curves that need about as many points, few enough to be computed at once."""
    order = np.argsort(points, kind="stable")
    arranged = points[order]
    start = 0
    while start < len(order):
        fewest = int(arranged[start])
        end = min(len(order), start + max(1, CHUNK // fewest))
        # Points are computed for the widest of a chunk: none should need much more than the narrowest.
        end = max(start + 1, min(end, int(np.searchsorted(arranged, 1.25 * fewest + 2, side="right"))))
        yield order[start:end]
        start = end


def log_integral_and_mean(population: Population, windows: Windows, reference: float) -> tuple[np.ndarray, np.ndarray]:
    """Integrals over the rate of the windows' likelihood under the population, and the rate's mean given the windows.

        Z = integral of Gamma(theta; a, b) * product over e of L_e(theta) / L_e(theta_0) dtheta,
        L_e(theta) = (theta e)^S_e (1 + theta e / c)^-(S_e + n_e c)

    Ratios of Z for neighbouring sums are what predictions are made of. Without the reference theta_0, log Z would be of
    the size S log S, and of ten million events only seven digits of the ratio would be left. It should be near the
    rates that these sums make likely, but need not be.

    Args:
        population: Draws of the hyperparameters.
        windows: Rows of statistics, arrays of shape (n_rows, exposures).
        reference: Theta_0, the same for all that are to be compared.

    Returns:
        log Z and E(theta | windows), both (n_rows, n_draws).

    Example:
        >>> population = Population(np.array([2.0]), np.array([1.0]), np.array([0.0]))
        >>> windows = Windows(np.ones((1, 1)), np.array([[3.0]]), np.array([[2.0]]))
        >>> log_z, mean = log_integral_and_mean(population, windows, 1.0)  # e^2 Gamma(5) / 3^5 and 5/3
        >>> bool(np.isclose(log_z[0, 0], 2 + np.log(24 / 243))), bool(np.isclose(mean[0, 0], 5 / 3))
        (True, True)
    """
    rows, draws = len(windows.total), len(population)
    log_z, mean = np.empty((rows, draws)), np.empty((rows, draws))
    together = max(1, 4 * CHUNK // draws)
    for start in range(0, rows, together):
        here = slice(start, min(rows, start + together))
        some = Windows(windows.exposure[here], windows.total[here], windows.number[here])
        found = _integrate(curves_of(population, some), reference)
        log_z[here], mean[here] = (part.reshape(-1, draws) for part in found)
    return log_z, mean


def _integrate(curves: Curves, reference: float) -> tuple[np.ndarray, np.ndarray]:
    left, right, step = curves.extent(EXACT)
    points = np.ceil((right - left) / step).astype(np.int64) + 1
    log_integral, mean = np.empty(len(left)), np.empty(len(left))
    for here in chunks(points):
        some = curves.part(here)
        offset = left[here][:, None] + step[here][:, None] * np.arange(int(points[here[-1]]))
        density = np.exp(some.log(offset))
        growth = np.expm1(offset)
        with np.errstate(over="ignore"):  # a steep left tail holds nothing: one over infinity
            closing = density[:, 0] / np.expm1(some.slope * step[here])
            # what the closing adds to the integral of theta/mode - 1, with theta falling as e^-step too
            beyond = density[:, 0] * (growth[:, 0] + 1.0) / np.expm1((some.slope + 1.0) * step[here]) - closing
        whole = density.sum(1) + closing
        log_integral[here] = np.log(step[here] * whole)
        mean[here] = some.mode * (1.0 + (np.einsum("ij,ij->i", density, growth) + beyond) / whole)
    return log_integral + curves.log_at_mode(reference), mean
