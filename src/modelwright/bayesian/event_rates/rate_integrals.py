"""Integrals over one entity's rate: its windows' likelihood under the population, by quadrature in log rate.

With the hyperparameters fixed, an entity's rate theta has the density

    f(x) = exp(shape x - rate e^x) * product over its windows of NB(count | mean e^x exposure, concentration)

in x = log theta (the Jacobian turns theta^(shape-1) into e^(shape x)). It is log-concave, decays like exp(-e^x) on the
right and like e^(slope x), slope = shape + sum of counts, on the left. The trapezoid rule converges geometrically for
such functions; the left tail is closed by its geometric series. Everything is measured from a centre x0 near the mode:

    log f(x0 + u) - log f(x0) = slope u - rate theta0 (e^u - 1) - sum_e (S_e + n_e c) log(1 + p_e (e^u - 1)),
    p_e = theta0 e / (c + theta0 e)

where S_e and n_e are the sum and number of windows of exposure e, and c the concentration: no term is larger than the
answer needs, whatever the counts and the concentration, and c = infinity is the Poisson likelihood.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.density import log1p_rise
from modelwright.bayesian.event_rates.peak_densities import log_largest
from modelwright.bayesian.event_rates.rate_quadrature import Cells, log_peak_and_integral
from modelwright.bayesian.inference.blocks import Block, blocks, in_order

DROP = 38.0
"""Nats below the mode at which a grid may end: exp(-38) is below double precision."""

_STEPS_PER_SD = 0.5
_LARGEST_STEP = 0.2
"""Spacing of the trapezoid rule in log rate. For a Gamma density of shape s its relative error is twice
|Gamma(s + 2 pi i/step)|/Gamma(s), below 5e-15 at these values for every s, and below 5e-6 at twice the spacing."""

CELLS = 16_384
"""Integrals in a block: the unit of work of a thread, and of what is held in memory at a time (some 10 MB)."""


@dataclass(frozen=True, eq=False)
class Population:
    """Draws of the population's parameters, each of shape (n_draws,).

    Args:
        shape: Shape of the Gamma distribution of rates.
        rate: Its rate.
        inverse_concentration: One over the concentration of the counts; zero is the Poisson likelihood.
    """

    shape: np.ndarray
    rate: np.ndarray
    inverse_concentration: np.ndarray

    @property
    def concentration(self) -> np.ndarray:
        """The concentration, infinite for the Poisson likelihood."""
        with np.errstate(divide="ignore"):
            return np.asarray(1.0 / self.inverse_concentration)

    def __len__(self) -> int:
        return len(self.shape)

    def part(self, draws: np.ndarray | slice) -> "Population":
        """Some of the draws."""
        return Population(self.shape[draws], self.rate[draws], self.inverse_concentration[draws])


@dataclass(frozen=True, eq=False)
class Windows:
    """What an entity's windows say of its rate: for each distinct exposure the sum of counts and the number of windows.

    Args:
        exposure: Distinct exposures, shape (..., n_exposures).
        total: Sum of the counts at each, same shape.
        number: Number of windows at each, same shape.
    """

    exposure: np.ndarray
    total: np.ndarray
    number: np.ndarray


def _information(theta: np.ndarray, windows: Windows, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First and second derivative in x of sum_e (S_e + n_e c) log(1 + theta e / c); theta (..., draws)."""
    mean = theta[..., None] * windows.exposure[..., None, :]
    weight = windows.total[..., None, :] * inverse[:, None] + windows.number[..., None, :]
    scale = 1.0 + mean * inverse[:, None]
    first = weight * mean / scale
    return first.sum(-1), (first / scale).sum(-1)


def log_mode(population: Population, windows: Windows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where log rate is most probable, how wide it is there, and where its left tail has become exponential.

    Newton's method in x, kept inside a bracket that is known in closed form.

    Args:
        population: Draws of the hyperparameters.
        windows: Of one entity (n_exposures,) or of several cases (cases, n_exposures).

    Returns:
        mode, standard deviation 1/sqrt(-second derivative) and knee, each of shape (n_draws,) or (cases, n_draws).
    """
    inverse = population.inverse_concentration
    slope = population.shape + windows.total.sum(-1)[..., None]
    drag = windows.total[..., None, :] * inverse[:, None] + windows.number[..., None, :]
    drag = population.rate + (drag * windows.exposure[..., None, :]).sum(-1)
    low, high = np.log(slope / drag), np.log(slope / population.rate)
    knee = low - 30.0  # beyond it the slope differs from its limit by less than 1e-13 of it
    number = windows.number.sum(-1)[..., None]
    exposure = (windows.number * windows.exposure).sum(-1)[..., None] / np.maximum(number, 1.0)
    # With one exposure the mode solves a quadratic in theta; with several that is a good start.
    a = population.rate * exposure * inverse
    b = population.rate + exposure * number - population.shape * exposure * inverse
    x = np.clip(np.log(2 * slope / (b + np.sqrt(b * b + 4 * a * slope))), low, high)
    for _ in range(40):
        theta = np.exp(x)
        first, second = _information(theta, windows, inverse)
        gradient = slope - population.rate * theta - first
        curvature = population.rate * theta + second
        low, high = np.where(gradient >= 0, x, low), np.where(gradient <= 0, x, high)
        new = x + gradient / curvature
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        step, x = np.abs(new - x) * np.sqrt(curvature), new
        if np.all(step < 1e-3):  # in standard deviations; the grid need not be centred better
            break
    theta = np.exp(x)
    return x, 1.0 / np.sqrt(population.rate * theta + _information(theta, windows, inverse)[1]), knee


def log_ratio(population: Population, windows: Windows, x0: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Log f(x0 + u) - log f(x0) for x0 (..., draws) and u (..., draws, points)."""
    inverse = population.inverse_concentration[:, None]
    theta0 = np.exp(x0)[..., None]
    growth = np.expm1(u)
    slope = population.shape + windows.total.sum(-1)[..., None]
    total = slope[..., None] * u - population.rate[:, None] * theta0 * growth
    for e in range(windows.exposure.shape[-1]):
        mean0 = theta0 * windows.exposure[..., e, None, None]
        rises = log1p_rise(mean0, u, inverse, growth)
        total -= (windows.total[..., e, None, None] * inverse + windows.number[..., e, None, None]) * rises
    return np.asarray(total)


def extent(
    population: Population, windows: Windows, mode: np.ndarray, knee: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Distances to the left and right of the mode beyond which nothing is left to integrate, shapes as `mode`.

    Newton's method from outside: log-concavity makes it approach without passing the point `DROP` nats down. It starts
    where the prior alone, one of the concave terms, has fallen that far.
    """
    inverse = population.inverse_concentration
    slope = population.shape + windows.total.sum(-1)[..., None]
    fall = DROP / (population.rate * np.exp(mode))
    right = np.sqrt(2.0 * fall)  # e^u - 1 - u is at least u^2/2; the map below comes down to its solution from there
    for _ in range(3):
        right = np.log1p(fall + right)
    distances = []
    # farther left than the knee nothing is looked for, and at a distance of 1e18 the steps would have no digits
    for sign, distance in ((-1.0, np.minimum(1.5 + fall, mode - knee)), (1.0, right)):
        for _ in range(10):
            u = sign * distance
            drop = -log_ratio(population, windows, mode, u[..., None])[..., 0] - DROP
            first, _unused = _information(np.exp(mode + u), windows, inverse)
            steepness = np.abs(slope - population.rate * np.exp(mode + u) - first)
            new = distance - np.maximum(drop, 0.0) / steepness
            done = np.all(distance - new < 0.02 * distance)
            distance = new
            if done:
                break
        distances.append(distance)
    left, right = distances
    return np.minimum(left, mode - knee), right


@dataclass(frozen=True, eq=False)
class RateGrid:
    """Equally spaced points in log rate, one row per draw of the hyperparameters.

    Args:
        centre: x0, shape (n_draws,).
        offset: u, shape (n_draws, n_points), ascending.
        step: Spacing, shape (n_draws,).
    """

    centre: np.ndarray
    offset: np.ndarray
    step: np.ndarray

    @property
    def rate(self) -> np.ndarray:
        """Theta at the points, shape (n_draws, n_points)."""
        return np.asarray(np.exp(self.centre[:, None] + self.offset))

    def close(self, log_density: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Add step, and the series of the left tail, to log densities (..., n_draws, n_points)."""
        log_weight = log_density + np.log(self.step)[:, None]
        # 1 + r + r^2 + ... = 1/(1 - r) with r = exp(-slope step): what the points left of the first would add.
        log_weight[..., 0] -= np.log(-np.expm1(-slope * self.step))
        return log_weight


def grid_for(population: Population, cases: Windows, *, most_points: int | None = None) -> RateGrid | None:
    """A grid around the mode of the first case that covers and resolves every case.

    Args:
        population: Draws of the hyperparameters.
        cases: Windows of shape (cases, n_exposures); the grid is centred at the first one's mode.
        most_points: Give up (None) rather than use more points than this.
    """
    mode, sd, knee = log_mode(population, cases)
    left, right = extent(population, cases, mode, knee)
    start = (mode - left).min(0) - mode[0]
    end = (mode + right).max(0) - mode[0]
    step = np.minimum(_STEPS_PER_SD * sd.min(0), _LARGEST_STEP)
    points = int(np.ceil((end - start) / step).max()) + 1
    if most_points is not None and points > most_points:
        return None
    fraction = np.linspace(0.0, 1.0, points)
    return RateGrid(mode[0], start[:, None] + (end - start)[:, None] * fraction, (end - start) / (points - 1))


def log_integral(log_weight: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials over the last axis."""
    largest = log_weight.max(-1, keepdims=True)
    return np.asarray(np.log(np.exp(log_weight - largest).sum(-1)) + largest[..., 0])


def log_marginal(population: Population, windows: Windows, *, cores: int | None = None) -> np.ndarray:
    """Log probability of an entity's sums of counts given the population, with its rate integrated out.

        P(S | n, h) = integral of Gamma(theta | shape, rate) * prod_e NB(S_e | mean n_e theta e, concentration n_e c)

    over theta, the product over distinct exposures: a sum of n counts of equal exposure is negative binomial, too. The
    densities at the mode are computed without cancellation, the integral of the ratio to them by quadrature.

    Args:
        population: Draws of the hyperparameters.
        windows: Of one entity (n_exposures,) or of several (rows, n_exposures); sums need not be whole numbers.
        cores: Threads; by default what the machine offers. The answer does not depend on it.

    Returns:
        Shape (n_draws,), or (rows, n_draws), in nats. Sums of no windows have probability one.

    Source:
        L. N. Trefethen, J. A. C. Weideman (2014), The exponentially convergent trapezoidal rule,
        https://doi.org/10.1137/130932132; for the densities C. Loader (2000), see `density`.

    Example:
        >>> population = Population(np.array([2.0]), np.array([0.5]), np.array([0.0]))
        >>> nobody = Windows(np.array([1.0]), np.array([0.0]), np.array([3.0]))  # P(no events in three windows)
        >>> bool(np.isclose(log_marginal(population, nobody), 2.0 * np.log(0.5 / 3.5), rtol=1e-12))
        True
    """
    alone = windows.total.ndim == 1
    rows = Windows(*(np.atleast_2d(part) for part in (windows.exposure, windows.total, windows.number)))
    found = np.empty((len(rows.total), len(population)))

    def fill(block: Block) -> None:
        found[block] = _log_marginal_of(cells_of(population, rows, *block)).reshape(found[block].shape)

    for _ in in_order(fill, blocks(*found.shape, CELLS), cores):
        pass
    return found[0] if alone else found


def cells_of(population: Population, rows: Windows, some: slice, draws: slice) -> Cells:
    """A block of integrals laid end to end, rows after rows."""
    n_rows, n_draws = len(rows.total[some]), len(population.shape[draws])
    of_draws = (population.shape, population.rate, population.inverse_concentration)
    of_rows = (rows.exposure, rows.total, rows.number)
    return Cells(
        *(np.tile(np.asarray(part, float)[draws], n_rows) for part in of_draws),
        *(np.repeat(np.asarray(part, float)[some].T, n_draws, axis=1) for part in of_rows),
    )


def _log_marginal_of(cells: Cells) -> np.ndarray:
    log_peak, log_mass = log_peak_and_integral(cells)
    found = log_peak + log_mass
    for e in range(len(cells.total)):
        number = np.maximum(cells.number[e], 1.0)
        found += np.where(cells.number[e] > 0, log_largest(cells.total[e], cells.inverse / number), 0.0)
    return np.asarray(found)
