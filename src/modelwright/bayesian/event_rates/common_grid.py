"""Leaving out each window of an entity on one grid of the rate that serves every window and every draw.

Draws from a posterior of the hyperparameters are alike, so the rates that one of them makes likely are those of the
others: with the same points theta_g for all, what depends on the exposures is computed once per exposure, and what has
been averaged over the draws is a mixture over the points alone. Where windows or draws differ so much that this takes
too many points, there is no such grid, and each draw needs its own (`leave_one_out`).
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.density import log1p_ratio, negative_binomial_logpmf
from modelwright.bayesian.event_rates.leave_one_out import EntityWindows, influential_cases
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows, log_mode

_DROP = 26.0
"""Nats below every mode at which the grid may end."""

_STEPS_PER_SD, _LARGEST_STEP = 0.55, 0.22
"""Spacing in standard deviations and in log rate: as in `rate_curves.EXACT`, a little finer since only some of the
draws are looked at for it."""

_MOST_POINTS = 300

_ELEMENTS = 3_000_000
"""Doubles in the largest temporary array."""

_FALLEN = 18.0
"""Nats by which every density must have fallen at the grid's ends: what lies beyond is below 1e-7 of the whole."""


@dataclass(frozen=True, eq=False)
class LeftOutTogether:
    """Some windows of an entity, each predicted from the entity's other windows.

    Args:
        index: Positions in `EntityWindows`, shape (n,).
        exposure: Their exposures, shape (n,).
        log_density: log p(y_j | y_-j, h) in nats, shape (n, n_draws).
        rate: Points theta, shape (n_points,).
        probability: Weight of each point under p(theta | y_-j, h), shape (n, n_draws, n_points); sums to 1 over points.
    """

    index: np.ndarray
    exposure: np.ndarray
    log_density: np.ndarray
    rate: np.ndarray
    probability: np.ndarray


def leave_out_together(population: Population, entity: EntityWindows) -> list[LeftOutTogether] | None:
    """Predict every distinct window of an entity from the others, or None where no common grid serves.

    Args:
        population: Draws of the hyperparameters.
        entity: The entity's windows.

    Example:
        >>> population = Population(np.array([2.0, 2.1]), np.array([0.5, 0.5]), np.zeros(2))
        >>> entity = EntityWindows(np.array([3.0]), np.array([1.0]), np.array([1]))
        >>> (part,) = leave_out_together(population, entity)
        >>> round(float(np.exp(part.log_density[0, 0])), 9)  # negative binomial: 4 (1/3)^2 (2/3)^3
        0.131687243
    """
    everything, where = entity.by_exposure()
    exposures, total = everything.exposure, everything.total
    grid = _grid(population, influential_cases(population, everything, entity, where))
    if grid is None:
        return None
    centre, offset, step, closed = grid
    if len(exposures) * len(population) * len(offset) > _ELEMENTS:
        return None
    theta0, growth = np.exp(centre), np.expm1(offset)
    inverse = population.inverse_concentration
    mean0 = theta0 * exposures[:, None]  # (exposures, draws): at the centre
    log_full, rises = _log_density(population, everything, centre, offset)
    slope = population.shape + total.sum()
    log_all = _log_sum(log_full, slope, step)[1]
    at_centre = negative_binomial_logpmf(entity.count[:, None], mean0[where], population.concentration)
    parts = []
    size = max(1, _ELEMENTS // log_full.size)
    for start in range(0, len(entity.count), size):
        part = np.arange(start, min(start + size, len(entity.count)))
        count = entity.count[part][:, None, None]
        log_rest = log_full - count * offset
        log_rest += (count * inverse[:, None] + 1.0) * rises[where[part]]
        density, log_integral = _log_sum(log_rest, slope - entity.count[part][:, None], step)
        ends = np.exp(-_FALLEN)
        if density[..., -1].max() > ends or (not closed and density[..., 0].max() > ends):
            return None  # a draw or a window that was not looked at reaches farther
        log_density = at_centre[part] + log_all - log_integral
        parts.append(
            LeftOutTogether(part, entity.exposure[part], log_density, theta0 * (growth + 1.0), _normalised(density))
        )
    return parts


def posterior_together(population: Population, windows: Windows) -> tuple[np.ndarray, np.ndarray] | None:
    """An entity's rate given its windows, on one grid for all draws, or None where no common grid serves.

    Args:
        population: Draws of the hyperparameters.
        windows: The entity's windows by exposure, arrays (n_exposures,); empty for an entity never seen.

    Returns:
        rate (n_points,) and the probability of each point under each draw, (n_draws, n_points).

    Example:
        >>> population = Population(np.array([2.0, 2.1]), np.array([0.5, 0.5]), np.full(2, 0.1))
        >>> found = posterior_together(population, Windows(np.empty(0), np.empty(0), np.empty(0)))
        >>> rate, probability = found
        >>> (probability @ rate).round(9).tolist()
        [4.0, 4.2]
    """
    grid = _grid(population, Windows(*(part[None] for part in (windows.exposure, windows.total, windows.number))))
    if grid is None or len(windows.exposure) * len(population) * len(grid[1]) > _ELEMENTS:
        return None
    centre, offset, step, closed = grid
    log_density, _ = _log_density(population, windows, centre, offset)
    density, _ = _log_sum(log_density, population.shape + windows.total.sum(), step)
    ends = np.exp(-_FALLEN)
    if density[:, -1].max() > ends or (not closed and density[:, 0].max() > ends):
        return None
    return np.exp(centre + offset), _normalised(density)


def _log_density(
    population: Population, windows: Windows, centre: float, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Log density of log rate over that at the centre (n_draws, n_points), and c log(1 + p (e^u - 1)) by exposure."""
    theta0, growth = np.exp(centre), np.expm1(offset)
    inverse = population.inverse_concentration
    mean0 = theta0 * windows.exposure[:, None]
    rises = _log1p_ratio((mean0 / (1.0 + mean0 * inverse))[:, :, None] * growth, inverse[:, None])
    weight = windows.total[:, None] * inverse + windows.number[:, None]
    found = (population.shape + windows.total.sum())[:, None] * offset - (population.rate * theta0)[:, None] * growth
    for e in range(len(windows.exposure)):
        found -= weight[e][:, None] * rises[e]
    return found, rises


def _log1p_ratio(some: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """`log1p_ratio`, in place and several times faster where no or all counts are Poisson."""
    if not inverse.any():
        return some
    if not inverse.all():
        return log1p_ratio(some, inverse)
    some *= inverse
    np.log1p(some, out=some)
    some /= inverse
    return some


def _log_sum(log_density: np.ndarray, slope: np.ndarray, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Densities over their largest, the first point standing for the whole left tail, and the log of their sum."""
    largest = log_density.max(-1, keepdims=True)
    density = np.exp(log_density - largest)
    with np.errstate(over="ignore"):
        closing = density[..., 0] / np.expm1(slope * step)
    whole = density.sum(-1) + closing
    density[..., 0] += closing
    return density, np.log(whole) + largest[..., 0]


def _normalised(density: np.ndarray) -> np.ndarray:
    density /= density.sum(-1, keepdims=True)
    return density


def _grid(population: Population, cases: Windows) -> tuple[float, np.ndarray, float, bool] | None:
    """Centre in log rate, offsets from it, their step, and whether the grid begins where every tail is exponential."""
    some = _extreme_draws(population)
    mode, sd, knee = log_mode(some, cases)
    curvature = 1.0 / sd**2
    of_prior = some.rate * np.exp(mode)
    of_windows = np.maximum(curvature - of_prior, 0.0)
    # Left of the mode log f curves at least like a Gamma density's of the same curvature K: K (e^-v - 1 + v) = drop.
    fall = _DROP / curvature
    left = np.minimum(fall + 1.0, np.sqrt(2 * fall) + fall / 3 + 0.08 * fall**1.5)
    # Right of it each window's curvature falls no faster than e^-u, and the prior's rises as e^u.
    right = np.minimum(np.log1p(_DROP / of_prior) + 2.0, _DROP / np.maximum(of_windows, 1e-300) + 1.0)
    for _ in range(8):  # Newton's method on a convex function, from the right
        drop = of_windows * (right + np.expm1(-right)) + of_prior * (np.expm1(right) - right)
        steepness = -of_windows * np.expm1(-right) + of_prior * np.expm1(right)
        right -= (drop - _DROP) / steepness
    start, tail = float((mode - left).min()), float(knee.min())
    low, high = max(start, tail), float((mode + right).max())
    step = min(_STEPS_PER_SD * float(sd.min()), _LARGEST_STEP)
    points = int(np.ceil((high - low) / step)) + 1
    if points > _MOST_POINTS:
        return None
    centre = float(np.median(mode[0]))
    return centre, np.linspace(low - centre, high - centre, points), (high - low) / (points - 1), tail > start


def _extreme_draws(population: Population) -> Population:
    """The draws with the smallest and the largest of each parameter and of the mean rate, and one in the middle."""
    columns = (
        population.shape,
        population.rate,
        population.inverse_concentration,
        population.shape / population.rate,
    )
    kept = np.unique([pick(column) for column in columns for pick in (np.argmin, np.argmax)] + [len(population) // 2])
    return Population(population.shape[kept], population.rate[kept], population.inverse_concentration[kept])
