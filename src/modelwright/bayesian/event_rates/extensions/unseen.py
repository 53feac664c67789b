"""What an extended model says of windows and entities that it was not trained on.

The log of a window's factor is, draw by draw, Normal: known coefficients and seasons, and what the training did not
reach with the uncertainty it has there. A random walk goes on from its last (or back from its first) value with
variance drift_scale^2 times the distance, and bridges gaps; a deviation goes on from its entity's last one as
rho^distance and comes to rest at Normal(0, tau); a season that never occurred is Normal(0, drift_scale).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Coefficients, coefficients
from modelwright.bayesian.event_rates.extensions.draws import Draws
from modelwright.bayesian.event_rates.extensions.scores import between
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.stored import (
    clock_in,
    columns_in,
    drift_starts_in,
    extensions_in,
    labels_in,
)
from modelwright.bayesian.event_rates.leave_one_out import every_second_point, rate_distribution
from modelwright.bayesian.event_rates.names import ALPHA, ENTITY_IDX, MU, PHI, WINDOW_START
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts
from modelwright.data.events.calendar import calendar_covariate

_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(25)


@dataclass(frozen=True, eq=False)
class Unseen:
    """New windows, and what a trace has to say of their factors.

    Args:
        extensions: The model.
        known: Position of each window's entity among those of the trace, -1 for a stranger, shape (n_obs,).
        entity_level: Coefficients that act on the rates of strangers, a row per entity of the new data.
        window_level: Coefficients that act on windows, a row per window.
        drift: Levels before and after each window, (2, n_obs), and the distances to them, inf where there is none;
            None without drift.
        deviation: Training windows of the same entity before and after, (2, n_obs), and the distances to them; None
            without temporal deviations.
    """

    extensions: Extensions
    known: np.ndarray
    entity_level: Coefficients | None
    window_level: Coefficients | None
    drift: tuple[np.ndarray, np.ndarray] | None
    deviation: tuple[np.ndarray, np.ndarray] | None


def unseen_windows(trace: Any, data: EventCounts) -> Unseen:
    """Place new windows beside those of the training.

    Raises:
        DataError: for windows without the times or columns that the model needs, and values that it never saw.
    """
    extensions, labels = extensions_in(trace), labels_in(trace)
    position = {label: k for k, label in enumerate(labels)}
    known = np.array([position.get(label, -1) for label in data.entities])[data.entity_idx]
    if data.window_start is None and (extensions.has(names.TEMPORAL) or extensions.has(names.DRIFT)):
        raise DataError(
            "the model needs the windows' times, and these windows have none",
            field="window_start",
            expected="a time for every window",
            todo="name the column of times",
        )
    columns = columns_in(trace)
    drift = deviation = None
    if extensions.has(names.DRIFT):
        drift = _beside_levels(trace, data, extensions)
    if extensions.has(names.TEMPORAL):
        deviation = _beside_deviations(trace, data, known)
    entity_level = coefficients(data, columns, "entity") if (known < 0).any() else None
    return Unseen(extensions, known, entity_level, coefficients(data, columns, "window"), drift, deviation)


def factor_of(draws: Draws, unseen: Unseen, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the log factor of one window under every draw, each (draws,)."""
    n_draws = len(draws[MU])
    center, variance = np.zeros(n_draws), np.zeros(n_draws)
    if unseen.window_level is not None:
        center += draws[names.GAMMA] @ unseen.window_level.matrix[row]
    if unseen.drift is not None:
        mean, spread = _drift(draws, *(part[:, row] for part in unseen.drift))
        center, variance = center + mean, variance + spread**2
    if unseen.deviation is not None:
        mean, spread = _deviation(draws, *(part[:, row] for part in unseen.deviation))
        center, variance = center + mean, variance + spread**2
    return center, np.sqrt(variance)


def stranger_rates(draws: Draws, parameterization: str, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rate of an entity of which nothing is known but its columns.

    Args:
        draws: The posterior.
        parameterization: Of the base model.
        shift: x beta of the entity, shape (draws,).

    Returns:
        log rates and their probabilities, (draws, n_points) each, the latter summing to 1 over the points; and the
        standardised log rates with log-normal rates, (draws, n_points), empty otherwise.
    """
    mu = draws[MU]
    if names.RATE_SD in draws:
        log_rate = (np.log(mu) + shift)[:, None] + draws[names.RATE_SD][:, None] * _POINTS
        weight = np.broadcast_to(_WEIGHTS / _WEIGHTS.sum(), log_rate.shape)
        return log_rate, weight, np.broadcast_to(_POINTS, log_rate.shape)
    alpha = draws[ALPHA]
    inverse = 1.0 / draws[PHI] if PHI in draws else np.zeros(len(mu))
    scaled = parameterization == "mean_scaled"
    population = Population(alpha if scaled else mu * alpha, alpha / mu if scaled else alpha, inverse)
    nothing = Windows(np.empty(0), np.empty(0), np.empty(0))
    rate, weight = every_second_point(*rate_distribution(population, nothing))
    return np.log(np.maximum(rate, 1e-300)) + shift[:, None], weight, np.empty((len(mu), 0))


def _drift(draws: Draws, level: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of the drift between two levels (before, after) at some distances."""
    values, scale = draws[names.DRIFT], draws[names.DRIFT_SCALE]
    before, after = values[:, level[0]], values[:, level[1]]
    if distance[0] == 0:
        return before, np.zeros(len(scale))
    if np.isinf(distance).all():  # a season that never occurred
        return np.zeros(len(scale)), scale
    if np.isinf(distance[1]):
        return before, scale * np.sqrt(distance[0])
    if np.isinf(distance[0]):
        return after, scale * np.sqrt(distance[1])
    share = distance[0] / distance.sum()
    return before + share * (after - before), scale * np.sqrt(distance[0] * distance[1] / distance.sum())


def _deviation(draws: Draws, at: np.ndarray, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a deviation between two of the training at some distances."""
    rho, tau, a = draws[names.RHO], draws[names.TAU], draws[names.LOG_DEVIATION]
    from_before, to_after = (np.zeros(len(rho)) if np.isinf(gap) else rho**gap for gap in distance)
    return between(from_before, a[:, at[0]], to_after, a[:, at[1]], tau)


def _beside_levels(trace: Any, data: EventCounts, extensions: Extensions) -> tuple[np.ndarray, np.ndarray]:
    if extensions.drift == "random_walk":
        levels = drift_starts_in(trace)
        place = clock_in(trace).positions(np.concatenate([levels, np.asarray(data.window_start)]))
        return _beside(place[len(levels) :], place[: len(levels)])
    seasons = trace.posterior.coords[extensions.drift].values.tolist()
    number = {str(season): k for k, season in enumerate(seasons)}
    found = calendar_covariate(data, extensions.drift).tolist()
    level = np.array([[number.get(season, 0) for season in found]] * 2)
    missing = np.array([season not in number for season in found])
    return level, np.where(missing, np.inf, 0.0) * np.ones((2, 1))


def _beside_deviations(trace: Any, data: EventCounts, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    constant = trace.constant_data
    starts = constant[WINDOW_START].values.astype("datetime64[ns]")
    place = clock_in(trace).positions(np.concatenate([starts, np.asarray(data.window_start)]))
    trained, mine = place[: len(starts)], place[len(starts) :]
    entity = constant[ENTITY_IDX].values
    at, distance = np.zeros((2, data.n_obs), dtype=np.int64), np.full((2, data.n_obs), np.inf)
    for who in np.unique(known[known >= 0]):
        rows, windows = np.flatnonzero(known == who), np.flatnonzero(entity == who)
        neighbours, gaps = _beside(mine[rows], trained[windows])
        at[:, rows], distance[:, rows] = windows[neighbours], gaps
    return at, distance


def _beside(places: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The levels before (or at) and after each place, (2, n), and the distances to them, infinite where none is.

    Example:
        >>> _beside(np.array([1.0, 1.5, 9.0]), np.array([0.0, 1.0, 2.0]))[1].tolist()
        [[0.0, 0.5, 7.0], [1.0, 0.5, inf]]
    """
    after = np.searchsorted(levels, places, side="right")
    before = after - 1
    beside = np.stack([np.maximum(before, 0), np.minimum(after, len(levels) - 1)])
    distance = np.abs(places - levels[beside])
    distance[0, before < 0] = np.inf
    distance[1, after >= len(levels)] = np.inf
    return beside, distance


def entity_shift(draws: Draws, unseen: Unseen, data: EventCounts, row: int) -> np.ndarray:
    """The part x beta of a stranger's log rate, shape (draws,)."""
    if unseen.entity_level is None:
        return np.zeros(len(draws[MU]))
    return draws[names.BETA] @ unseen.entity_level.matrix[data.entity_idx[row]]
