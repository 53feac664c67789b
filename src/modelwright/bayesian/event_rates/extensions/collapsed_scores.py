"""Anomaly scores of extended models from integrals over the rates: each window left out of what predicts it.

    p(y_j | y_-j, h) = Z(all windows) / Z(all but j),      Z = integral of Gamma(theta) * likelihood over theta

for covariates, zero inflation and drift, draw by draw of the hyperparameters, which are then reweighted by its inverse
as in `anomaly.score_training_windows`. Draws of theta are not looked at: an anomalous window moves its entity's rate so
far that they hold nothing of what it would be without.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from modelwright.bayesian.event_rates.count_mixture import Nodes, Prediction, predict
from modelwright.bayesian.event_rates.density import log1p_ratio, negative_binomial_logpmf
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.collapsed_anchors import EXACT, anchors_of
from modelwright.bayesian.event_rates.extensions.collapsed_kernel import LARGEST_SD, Anchors, Cells, derivatives
from modelwright.bayesian.event_rates.extensions.collapsed_rows import entity_rows
from modelwright.bayesian.event_rates.extensions.collapsed_trace import refuse_what_cannot_be_collapsed
from modelwright.bayesian.event_rates.extensions.design import Design, design_of
from modelwright.bayesian.event_rates.extensions.draws import Draws, entity_log_factor, log_factor
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.stored import (
    check_training_data,
    config_in,
    extensions_in,
    kept_draws,
)
from modelwright.bayesian.event_rates.leave_one_out import every_second_point
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI
from modelwright.bayesian.event_rates.pareto_smoothing import smoothed_weights
from modelwright.bayesian.event_rates.posterior_draws import check_draws
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.core.probability import check_probability
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.events import EventCounts

DRAWS = 200
"""Draws of the hyperparameters that predictions average over unless told."""

_SHARED_POINTS = 500
"""Points that one grid for all windows of an entity may have; where it needs more, each window has its own."""

_TAIL = 1e-12
"""The left tail is closed by its series where every other term of log f is below this."""


@dataclass(frozen=True, eq=False)
class Entity:
    """The distinct windows of one entity, and those that are alike.

    Args:
        count: Distinct (count, factor) pairs, shape (n_windows,).
        cell: Which of its factors each has, same shape.
        times: How many windows are alike, same shape.
        observation: One observation of each factor, shape (n_factors,).
        index: Number of the entity (of one of those that are alike).
        rows: Observations of all entities that are alike.
        where: Which of the distinct windows each of these is.
    """

    count: np.ndarray
    cell: np.ndarray
    times: np.ndarray
    observation: np.ndarray
    index: int
    rows: np.ndarray
    where: np.ndarray


@dataclass(frozen=True, eq=False)
class Hyperparameters:
    """Draws of the population, each of shape (draws,).

    Args:
        shape: Shape of the population's Gamma distribution.
        rate: Its rate.
        inverse: One over the concentration, 0 for Poisson counts.
        psi: Probability of being active; 1 without zero inflation.
    """

    shape: np.ndarray
    rate: np.ndarray
    inverse: np.ndarray
    psi: np.ndarray


def score_training_windows_collapsed(
    trace: Any,
    data: EventCounts,
    extensions: Extensions | None = None,
    *,
    interval: float = 0.9,
    draws: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Score every window an extended model was trained on, leaving each out of its own prediction.

        p(y_j | rest) = sum_h w_h p(y_j | y_-j, h),      w_h proportional to 1 / p(y_j | y_-j, h)

    Args:
        trace: A trace of `fit_extended` by any engine.
        data: What it was trained on.
        extensions: The model; the trace's own when left out. Any of covariates, zero_inflation and drift.
        interval: Probability of the equal-tailed predictive interval.
        draws: Draws of the hyperparameters to average over, taken evenly from the trace; at least 25.
        progress: Told how many distinct entities are done.

    Returns:
        The columns of `anomaly.score_training_windows`.

    Raises:
        ConfigurationError: for a wrong interval or number of draws, and with temporal or volumes.
        DataError: when `data` are not what the trace was trained on.

    Source:
        A. Gelfand, D. Dey, H. Chang (1992), Model determination using predictive distributions.
    """
    probability = check_probability(interval)
    extensions = extensions_in(trace) if extensions is None else extensions
    refuse_what_cannot_be_collapsed(extensions)
    check_training_data(trace, data)
    kept = kept_draws(trace, DRAWS if draws is None else check_draws(draws, field="draws"), rates=False)
    design = design_of(data, extensions)
    population = _hyperparameters(kept, mean_scaled=config_in(trace).parameterization == "mean_scaled")
    few = {name: values for name, values in kept.items() if name != "theta"}
    log_shift = entity_log_factor(few, design)
    columns = ScoreColumns(data.n_obs, k_hat=True)
    entities = list(_alike(design))
    for done, entity in enumerate(entities):
        factor = np.exp(log_factor(few, design, entity.observation) + np.log(data.exposure[entity.observation]))
        rate = population.rate * np.exp(-log_shift[:, entity.index])
        mine = Hyperparameters(population.shape, rate, population.inverse, population.psi)
        for part in leave_one_out(mine, factor, entity, zero_inflated=extensions.has(names.ZERO_INFLATION)):
            windows, found, score, k_hat = _summaries(mine, factor, entity, part, probability)
            slot = np.full(len(entity.count), -1)
            slot[windows] = np.arange(len(windows))
            source = slot[entity.where]
            columns.fill(entity.rows[source >= 0], source[source >= 0], found, score, k_hat)
        if done % 32 == 0 or done == len(entities) - 1:
            progress(ProgressEvent("score", done + 1, len(entities), "entities"))
    table = columns.table(data, np.array(True), probability)  # noqa: FBT003 (an array)
    table.attrs["draws"] = len(population.shape)
    return table


@dataclass(frozen=True, eq=False)
class LeftOut:
    """Some windows of one factor, each predicted from the entity's other windows.

    Args:
        windows: Positions among the distinct windows, shape (n,).
        log_density: log p(y_j | y_-j, h), shape (n, draws).
        rate: Points theta, shape (draws, points).
        probability: Of each point under p(theta | y_-j, h), shape (n, draws, points).
    """

    windows: np.ndarray
    log_density: np.ndarray
    rate: np.ndarray
    probability: np.ndarray


def leave_one_out(
    population: Hyperparameters, factor: np.ndarray, entity: Entity, *, zero_inflated: bool
) -> Iterator[LeftOut]:
    """Predict every distinct window of an entity from the others, in parts of windows with the same factor.

    Args:
        population: Draws of the hyperparameters.
        factor: Factors of the entity's cells, shape (draws, n_factors).
        entity: Its windows.
        zero_inflated: Whether the model has zero inflation.
    """
    work = _Integrals(population, factor, entity, zero_inflated=zero_inflated)
    low, high, step, middle = work.ranges()
    if (high.max() - low.min()) / step.min() <= _SHARED_POINTS:
        offset = _grid(low.min(), high.max(), step.min())
        log_all, log_without, rate = work.on_grid(middle, offset, np.arange(len(entity.count)))
        for cell in np.unique(entity.cell):
            here = np.flatnonzero(entity.cell == cell)
            yield work.left_out(here, log_all, log_without[here], rate)
        return
    log_all, _, _ = work.on_grid(middle, _grid(low[0], high[0], step[0]), np.empty(0, dtype=int))
    for j in range(len(entity.count)):
        own = _grid(low[j + 1], high[j + 1], step[j + 1])
        _, log_without, rate = work.on_grid(middle, own, np.array([j]))
        yield work.left_out(np.array([j]), log_all, log_without, rate)


def _grid(low: float, high: float, step: float) -> np.ndarray:
    return np.linspace(low, high, 2 * int(np.ceil(0.5 * (high - low) / step)) + 1)


class _Integrals:
    """The integrals of one entity, over all of its windows and over all but one."""

    def __init__(self, population: Hyperparameters, factor: np.ndarray, entity: Entity, *, zero_inflated: bool) -> None:
        self.population, self.factor, self.entity = population, factor, entity
        n_cells = factor.shape[1]
        quiet = (entity.count == 0) & zero_inflated
        self.total = np.bincount(entity.cell, entity.count * entity.times, n_cells)
        self.active = np.bincount(entity.cell, entity.times * ~quiet, n_cells)
        self.silent = np.bincount(entity.cell, entity.times * quiet, n_cells)
        self.quiet = quiet
        self.zero_inflated = zero_inflated
        with np.errstate(divide="ignore"):
            self.log_odds = np.log(population.psi) - np.log1p(-population.psi)

    def ranges(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Ends and steps in log theta for all windows and for all but each, (1 + n_windows,), and modes (draws,).

        The ends are those of the median draw, relative to its mode, with room for the others' distance from theirs.
        """
        entity, population = self.entity, self.population
        cases = 1 + len(entity.count)
        total, active, silent = (np.tile(part, (cases, 1)) for part in (self.total, self.active, self.silent))
        row = np.arange(1, cases)
        total[row, entity.cell] -= entity.count
        active[row, entity.cell] -= ~self.quiet
        silent[row, entity.cell] -= self.quiet
        middle = int(np.argsort(population.shape)[len(population.shape) // 2])
        inverse = float(population.inverse[middle])
        shape = np.full(cases, population.shape[middle])
        cells = Cells(
            slope=shape + total.sum(1),
            rate=np.full(cases, population.rate[middle]),
            factor=np.tile(self.factor[middle], (cases, 1)),
            weight=total * inverse + active,
            silent_factor=np.tile(self.factor[middle], (cases, 1)) if self.zero_inflated else None,
            silent=silent if self.zero_inflated else None,
            inverse=inverse if inverse > 0 else None,
            log_odds=float(np.clip(self.log_odds[middle], -60.0, 60.0)) if self.zero_inflated else None,
        )
        anchors = anchors_of(cells, EXACT, by_parts=False)
        spread = _spread_of(anchors, cells)
        low = anchors.mode - spread * (anchors.left - anchors.kappa * -np.expm1(anchors.left))
        drag = cells.rate + (cells.weight * cells.factor).sum(1)
        drag = drag + (0.0 if cells.silent is None else (cells.silent * cells.factor).sum(1))
        low = np.maximum(low, np.log(_TAIL / drag))
        high = anchors.mode + spread * anchors.right
        modes = self._modes(float(anchors.mode[0]))
        room = 0.1 + float(np.abs(modes - modes[middle]).max())
        return low - modes[middle] - room, high - modes[middle] + room, 0.6 * spread, modes

    def _modes(self, guess: float) -> np.ndarray:
        """About where the density of log theta given all windows is largest, (draws,)."""
        population = self.population
        x = np.full(len(population.shape), guess)
        slope = population.shape + self.total.sum()
        weight = self.total * population.inverse[:, None] + self.active + self.silent
        for _ in range(8):
            theta = np.exp(x)
            scale = 1.0 + theta[:, None] * self.factor * population.inverse[:, None]
            first = weight * theta[:, None] * self.factor / scale
            gradient = slope - population.rate * theta - first.sum(1)
            x = x + np.clip(gradient / (population.rate * theta + (first / scale).sum(1)), -1.0, 1.0)
        return x

    def on_grid(
        self, middle: np.ndarray, offset: np.ndarray, windows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log of f times step, with all windows (draws, points) and without each (n, draws, points), and theta."""
        population, entity = self.population, self.entity
        x = middle[:, None] + offset
        theta = np.exp(x)
        inverse = population.inverse[:, None]
        rises = np.stack([log1p_ratio(theta * self.factor[:, c, None], inverse) for c in range(self.factor.shape[1])])
        slope = population.shape + self.total.sum()
        log_f = slope[:, None] * x - population.rate[:, None] * theta
        for c, rise in enumerate(rises):
            log_f -= (self.total[c] * inverse + self.active[c]) * rise
            if self.silent[c]:
                log_f += self.silent[c] * self._log_silent(rise)
        step = np.log(offset[1] - offset[0])
        without = np.empty((len(windows), *log_f.shape))
        for k, j in enumerate(windows):
            rise = rises[entity.cell[j]]
            if self.quiet[j]:
                without[k] = log_f - self._log_silent(rise)
            else:
                without[k] = log_f - entity.count[j] * x + (entity.count[j] * inverse + 1.0) * rise
            # what the points left of the first would add: f is exponential there
            tail = population.shape + self.total.sum() - entity.count[j]
            without[k, :, 0] -= np.log(-np.expm1(-tail * (offset[1] - offset[0])))
        log_f[:, 0] -= np.log(-np.expm1(-slope * (offset[1] - offset[0])))
        return log_f + step, without + step, theta

    def _log_silent(self, rise: np.ndarray) -> np.ndarray:
        psi = self.population.psi[:, None]
        with np.errstate(divide="ignore"):
            return np.logaddexp(np.log1p(-psi), np.log(psi) - rise)

    def left_out(self, windows: np.ndarray, log_all: np.ndarray, log_without: np.ndarray, rate: np.ndarray) -> LeftOut:
        """The densities of some windows of one factor and what is known of theta without each."""
        population, count = self.population, self.entity.count[windows][:, None]
        below = special.logsumexp(log_without, axis=2)
        found = special.logsumexp(log_all, axis=1) - below
        # what of the probability of y does not depend on theta
        with np.errstate(divide="ignore"):
            concentration = 1.0 / population.inverse
        at_one = negative_binomial_logpmf(count, 1.0, concentration)
        at_one = at_one + (count * population.inverse + 1.0) * log1p_ratio(np.ones(1), population.inverse)
        of_count = at_one + count * np.log(self.factor[:, self.entity.cell[windows[0]]]) + np.log(population.psi)
        found += np.where(self.quiet[windows][:, None], 0.0, of_count)
        return LeftOut(windows, found, rate, np.exp(log_without - below[:, :, None]))


def _spread_of(anchors: Anchors, cells: Cells) -> np.ndarray:
    factor, weight = cells.all_active(np)
    n = cells.weight.shape[1]
    if cells.log_odds is not None:
        weight = np.concatenate([weight[:, :n], weight[:, n:] * anchors.share[:, None]], axis=1)
    _, curvature = derivatives(anchors.mode, cells.slope, cells.rate, factor, weight, cells.inverse, np)
    return np.asarray(anchors.ratio * np.minimum(1.0 / np.sqrt(curvature), LARGEST_SD))


def _summaries(
    population: Hyperparameters, factor: np.ndarray, entity: Entity, part: LeftOut, probability: float
) -> tuple[np.ndarray, Prediction, np.ndarray, np.ndarray]:
    weights, k_hat = smoothed_weights(-part.log_density)
    score = -special.logsumexp(part.log_density + np.log(np.maximum(weights, 1e-300)), axis=1)
    rate, given = every_second_point(part.rate, part.probability)
    mean = rate * factor[:, entity.cell[part.windows[0]]][:, None]
    with np.errstate(divide="ignore"):
        concentration = np.repeat(1.0 / population.inverse, rate.shape[1])
    joint = (weights[:, :, None] * given).reshape(len(weights), -1)
    mean = mean.reshape(-1)
    if (population.psi < 1).any():
        # a window that is not active has no events: components of mean zero, as many as the others, so that thinning
        # thins both
        active = np.repeat(population.psi, rate.shape[1])
        mean, concentration = np.r_[mean, np.zeros(len(mean))], np.r_[concentration, np.ones(len(mean))]
        joint = np.concatenate([joint * active, joint * (1.0 - active)], axis=1)
    found = predict(Nodes(mean, concentration), joint, entity.count[part.windows], probability)
    return part.windows, found, score, k_hat


def _hyperparameters(draws: Draws, *, mean_scaled: bool) -> Hyperparameters:
    mu, alpha = draws[MU], draws[ALPHA]
    inverse = 1.0 / draws[PHI] if PHI in draws else np.zeros_like(mu)
    psi = draws.get(names.PSI, np.ones_like(mu))
    if mean_scaled:
        return Hyperparameters(alpha, alpha / mu, inverse, psi)
    return Hyperparameters(mu * alpha, alpha, inverse, psi)


def _alike(design: Design) -> Iterator[Entity]:
    """Entities with the same factors, columns and counts, once each."""
    seen, cells = design.observations, design.cells
    kind_of_cell = entity_rows(design, zero_inflated=False).kind_of_cell.astype(float)
    level = design.entity_level
    order = np.argsort(seen.entity_idx, kind="stable")
    ends = np.searchsorted(seen.entity_idx[order], np.arange(seen.n_entities + 1))
    gathered: dict[bytes, tuple[list[Any], list[np.ndarray], list[np.ndarray]]] = {}
    for i in range(seen.n_entities):
        rows = order[ends[i] : ends[i + 1]]
        if not len(rows):
            continue
        pairs = np.stack([kind_of_cell[cells.of_observation[rows]], seen.y[rows].astype(float)])
        distinct, first, where, times = np.unique(
            pairs, axis=1, return_index=True, return_inverse=True, return_counts=True
        )
        key = distinct.tobytes() + times.tobytes() + (b"" if level is None else level.matrix[i].tobytes())
        if key not in gathered:
            _, at, cell = np.unique(distinct[0], return_index=True, return_inverse=True)
            gathered[key] = ([distinct[1], cell.reshape(-1), times, rows[first][at], i], [], [])
        gathered[key][1].append(rows)
        gathered[key][2].append(where.reshape(-1))
    for facts, rows_of, where_of in gathered.values():
        yield Entity(*facts, np.concatenate(rows_of), np.concatenate(where_of))
