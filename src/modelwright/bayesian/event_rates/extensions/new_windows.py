"""Scores of windows that an extended model was not trained on, each on its own."""

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from modelwright.bayesian.event_rates.count_mixture import Prediction
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.draws import Draws
from modelwright.bayesian.event_rates.extensions.predictive import Components, log_densities, summarise
from modelwright.bayesian.event_rates.extensions.scores import concentration_and_activity
from modelwright.bayesian.event_rates.extensions.stored import config_in, kept_draws
from modelwright.bayesian.event_rates.extensions.unseen import (
    Unseen,
    entity_shift,
    factor_of,
    stranger_rates,
    unseen_windows,
)
from modelwright.bayesian.event_rates.names import THETA
from modelwright.bayesian.event_rates.posterior_draws import check_draws
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.core.errors import DataError
from modelwright.core.probability import check_probability
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.events import EventCounts

_STRANGER_DRAWS = 400


def score_new_windows_extended(
    trace: Any,
    data: EventCounts | pd.DataFrame,
    *,
    interval: float = 0.9,
    draws: int = 1000,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Score windows an extended model has not seen, each on its own.

    A window's drift and deviation are what the training says of them there, see `unseen`; rates of entities that were
    not in training are the population's at their columns. A known entity keeps the rate that training found: values of
    its entity-level columns are not looked at.

    Args:
        trace: What `fit_extended` returned.
        data: New windows with the times and columns that the model needs.
        interval: Probability of the equal-tailed predictive interval.
        draws: Posterior draws to average over, taken evenly from the trace; at least 25.
        progress: Told how many windows are done.

    Returns:
        One row per observation, columns as in `anomaly.score_new_windows`, and with volumes
        `volume_tail_probability` and `volume_lower_tail_probability` given the count.

    Raises:
        ConfigurationError: for a wrong interval or number of draws.
        DataError: for windows without the times, columns or volumes that the model needs.
    """
    probability = check_probability(interval)
    most = check_draws(draws, field="draws")
    counts = EventCounts.from_frame(data) if isinstance(data, pd.DataFrame) else data
    unseen = unseen_windows(trace, counts)
    with_volumes = unseen.extensions.has(names.VOLUMES)
    if with_volumes and counts.volume is None:
        raise DataError(
            "the model was trained on volumes, and these windows have none",
            field="volume",
            expected="a volume for every window with events",
            todo="name the column of volumes",
        )
    kept, few = kept_draws(trace, most), kept_draws(trace, min(most, _STRANGER_DRAWS))
    columns = ScoreColumns(counts.n_obs, k_hat=False)
    tails = np.full((2, counts.n_obs), np.nan)
    parameterization = config_in(trace).parameterization
    for row in range(counts.n_obs):
        if unseen.known[row] >= 0:
            parts, of_volume = _known(kept, unseen, counts, row)
        else:
            parts, of_volume = _stranger(few, unseen, counts, row, parameterization)
        found, score, posterior = _predict(parts, float(counts.count[row]), probability)
        columns.fill(np.array([row]), np.zeros(1, dtype=np.int64), found, np.array([score]), None)
        if with_volumes and counts.count[row] > 0:
            assert counts.volume is not None
            z = (np.log(counts.volume[row] / counts.count[row]) - of_volume[0]) / of_volume[1]
            tails[:, row] = posterior @ special.ndtr(-z), posterior @ special.ndtr(z)
        if row % 256 == 0 or row == counts.n_obs - 1:
            progress(ProgressEvent("score", row + 1, counts.n_obs, "windows"))
    table = columns.table(counts, unseen.known >= 0, probability)
    if with_volumes:
        table["volume_tail_probability"], table["volume_lower_tail_probability"] = tails
    return table


def _known(
    draws: Draws, unseen: Unseen, data: EventCounts, row: int
) -> tuple[Components, tuple[np.ndarray, np.ndarray]]:
    """Components of the count, and mean and standard deviation of the log volume per event under each."""
    who = unseen.known[row]
    center, spread = factor_of(draws, unseen, row)
    log_theta = np.log(np.maximum(draws[THETA][:, who], np.finfo(float).tiny))
    weight = np.full(len(center), 1.0 / len(center))
    phi, psi = concentration_and_activity(draws)
    parts = Components(log_theta + np.log(data.exposure[row]) + center, spread, phi, psi, weight)
    if names.NU not in draws:
        return parts, (np.empty(0), np.empty(0))
    return parts, (draws[names.NU][:, who], draws[names.SIGMA])


def _stranger(
    draws: Draws, unseen: Unseen, data: EventCounts, row: int, parameterization: str
) -> tuple[Components, tuple[np.ndarray, np.ndarray]]:
    """The same for an entity that was not in training: every draw with every point of its rate."""
    center, spread = factor_of(draws, unseen, row)
    log_rate, weight, standard = stranger_rates(draws, parameterization, entity_shift(draws, unseen, data, row))
    n_draws, n_points = log_rate.shape
    phi, psi = concentration_and_activity(draws)
    log_mean = log_rate + (center + np.log(data.exposure[row]))[:, None]
    each = (np.repeat(values, n_points) for values in (spread, phi, psi))
    parts = Components(log_mean.ravel(), *each, weight.ravel() / n_draws)
    if names.NU not in draws:
        return parts, (np.empty(0), np.empty(0))
    volume_sd, rho = draws[names.VOLUME_SD][:, None], draws[names.CORRELATION][:, None]
    mean = draws[names.VOLUME_MEAN][:, None] + rho * volume_sd * standard
    own = np.sqrt(draws[names.SIGMA] ** 2 + draws[names.VOLUME_SD] ** 2 * (1.0 - draws[names.CORRELATION] ** 2))
    return parts, (mean.ravel(), np.repeat(own, n_points))


def _predict(parts: Components, count: float, probability: float) -> tuple[Prediction, float, np.ndarray]:
    """The prediction, the score, and the components' weights once the count is known."""
    density = log_densities(np.array(count), parts.log_mean, parts.spread, parts.phi, parts.psi)
    joint = density + np.log(np.maximum(parts.weight, 1e-300))
    total = special.logsumexp(joint)
    return summarise(count, parts, probability), -float(total), np.exp(joint - total)
