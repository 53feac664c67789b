"""Anomaly scores under an extended model: how surprising each window of the training data is, given everything but it.

    score = -log p(count | all other windows)      in nats

Each window is left out by reweighting draws of the posterior by 1 / p(what was observed in it | draw), smoothed as in
PSIS; k-hat says whether to believe it. With temporal deviations the window's own deviation, which the window itself
determines, is first integrated out given its neighbours' (then the weights are those of the neighbours' deviations).
With volumes the count and the volume of a window are left out together; the score is the count's, and the volume has
tail probabilities of its own.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import special

from modelwright.bayesian.event_rates.count_mixture import Prediction
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Design, design_of
from modelwright.bayesian.event_rates.extensions.draws import Draws, log_means, log_volume_densities
from modelwright.bayesian.event_rates.extensions.predictive import Components, log_densities, summarise
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.stored import check_training_data, extensions_in, kept_draws
from modelwright.bayesian.event_rates.names import PHI
from modelwright.bayesian.event_rates.pareto_smoothing import smoothed_weights
from modelwright.bayesian.event_rates.posterior_draws import check_draws
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.core.probability import check_probability
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.events import EventCounts

MOST_DRAWS, FEWEST_DRAWS = 1000, 200
_BLOCK = 1_000_000


def default_draws(n_obs: int, *, integrated: bool = False) -> int:
    """Draws to average over: fewer for more windows, and where each has a deviation that is integrated out.

    Example:
        >>> default_draws(5_000), default_draws(20_000), default_draws(10**6)
        (1000, 500, 200)
    """
    most = MOST_DRAWS // 2 if integrated else MOST_DRAWS
    return int(np.clip(10_000_000 // n_obs, FEWEST_DRAWS, most))


def score_training_windows_extended(
    trace: Any,
    data: EventCounts,
    extensions: Extensions | None = None,
    *,
    interval: float = 0.9,
    draws: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Score every window an extended model was trained on, leaving each out of its own prediction.

        p(y_j | rest) = sum_s w_s p(y_j | draw s),      w_s proportional to 1 / p(observed in j | draw s)

    Args:
        trace: What `fit_extended` returned.
        data: What it was trained on.
        extensions: The model; the trace's own when left out.
        interval: Probability of the equal-tailed predictive interval.
        draws: Posterior draws to average over, taken evenly from the trace; at least 25. By default `default_draws`.
        progress: Told how many windows are done.

    Returns:
        The columns of `anomaly.score_training_windows`, and with volumes `volume_tail_probability` P(V >= volume) and
        `volume_lower_tail_probability`, given the count, missing where there was no event.

    Raises:
        ConfigurationError: for a wrong interval or number of draws.
        DataError: when `data` are not what the trace was trained on.

    Source:
        A. Vehtari et al. (2016), Bayesian leave-one-out cross-validation approximations for Gaussian latent variable
        models, https://jmlr.org/papers/v17/14-540.html, for integrating a window's own deviation out first.
    """
    probability = check_probability(interval)
    extensions = extensions_in(trace) if extensions is None else extensions
    check_training_data(trace, data)
    design = design_of(data, extensions)
    if draws is None:
        most = default_draws(data.n_obs, integrated=design.steps is not None)
    else:
        most = check_draws(draws, field="draws")
    kept = kept_draws(trace, most)
    alike, of_observation = _alike(design)
    columns = ScoreColumns(data.n_obs, k_hat=True)
    tails = np.full((2, data.n_obs), np.nan)
    n_draws = len(next(iter(kept.values())))
    per_block = max(1, _BLOCK // n_draws)
    order = np.argsort(of_observation, kind="stable")
    ends = np.searchsorted(of_observation[order], np.arange(len(alike) + 1))
    for start in range(0, len(alike), per_block):
        rows = alike[start : start + per_block]
        found, score, k_hat, volume = _score(kept, design, rows, probability)
        where = order[ends[start] : ends[start + len(rows)]]
        columns.fill(where, of_observation[where] - start, found, score, k_hat)
        tails[:, rows] = volume
        progress(ProgressEvent("score", start + len(rows), len(alike), "distinct windows"))
    table = columns.table(data, np.array(True), probability)  # noqa: FBT003 (an array)
    if design.volumes is not None:
        table["volume_tail_probability"], table["volume_lower_tail_probability"] = tails
    table.attrs["draws"] = n_draws
    return table


def _alike(design: Design) -> tuple[np.ndarray, np.ndarray]:
    """An observation of each kind that has the same prediction and count, and the kind of each observation."""
    if design.volumes is not None or design.steps is not None:
        every = np.arange(design.n_obs)
        return every, every
    _, counts = np.unique(design.observations.y, return_inverse=True)
    codes = design.cells.of_observation * (int(counts.max()) + 1) + counts
    _, alike, of_observation = np.unique(codes, return_index=True, return_inverse=True)
    return alike, of_observation


def _score(
    draws: Draws, design: Design, rows: np.ndarray, probability: float
) -> tuple[Prediction, np.ndarray, np.ndarray, np.ndarray]:
    """Predictions, scores, k-hat and volumes' tails (2, rows) of some observations."""
    y = design.observations.y[rows].astype(float)
    log_mean, spread = log_means(draws, design, rows), np.zeros((1, len(rows)))
    if design.steps is not None:
        center, spread = deviation_given_neighbours(draws, design, rows)
        log_mean += center - draws[names.LOG_DEVIATION][:, rows]
    phi, psi = concentration_and_activity(draws)
    log_count = log_densities(y, log_mean, spread, phi[:, None], psi[:, None])
    log_ratio = -log_count
    if design.volumes is not None:
        log_ratio -= _log_volume_density(draws, design, rows)
    weights, k_hat = smoothed_weights(log_ratio.T)
    log_weights = np.log(np.maximum(weights, 1e-300))
    score = -special.logsumexp(log_weights + log_count.T, axis=1)
    spread = np.broadcast_to(spread, log_mean.shape)
    parts = [
        summarise(y[k], Components(log_mean[:, k], spread[:, k], phi, psi, weights[k]), probability)
        for k in range(len(rows))
    ]
    found = Prediction(*(np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])))
    volume = np.full((2, len(rows)), np.nan)
    if design.volumes is not None:
        posterior = special.softmax(log_weights + log_count.T, axis=1)  # of the draws, given the count as well
        volume = _volume_tails(draws, design, rows, posterior)
    return found, score, k_hat, volume


def concentration_and_activity(draws: Draws) -> tuple[np.ndarray, np.ndarray]:
    """`phi`, infinite for Poisson counts, and `psi`, 1 without zero inflation, each (draws,)."""
    n_draws = len(next(iter(draws.values())))
    return draws.get(PHI, np.full(n_draws, np.inf)), draws.get(names.PSI, np.ones(n_draws))


def deviation_given_neighbours(draws: Draws, design: Design, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a_j given a_(j-1) and a_(j+1), each (draws, rows).

    a_j ~ Normal(r a_(j-1), (1 - r^2) tau^2),   a_(j+1) ~ Normal(q a_j, (1 - q^2) tau^2),   r = rho^gap, q likewise
    """
    assert design.steps is not None
    a, n_obs = draws[names.LOG_DEVIATION], design.n_obs
    after = np.minimum(rows + 1, n_obs - 1)
    has_after = (rows + 1 < n_obs) & ~design.steps.first[after]
    from_before = np.where(design.steps.first[rows], 0.0, draws[names.RHO][:, None] ** design.steps.gap[rows])
    to_after = np.where(has_after, draws[names.RHO][:, None] ** design.steps.gap[after], 0.0)
    return between(from_before, a[:, np.maximum(rows - 1, 0)], to_after, a[:, after], draws[names.TAU][:, None])


def between(
    from_before: np.ndarray, before: np.ndarray, to_after: np.ndarray, after: np.ndarray, tau: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of a stationary deviation given those before and after it.

    Args:
        from_before: Correlation with the one before, 0 where there is none.
        before: Its value.
        to_after: Correlation with the one after, 0 where there is none.
        after: Its value.
        tau: Stationary standard deviation.

    Example:
        >>> between(np.array(0.0), np.array(9.0), np.array(0.0), np.array(9.0), np.array(2.0))
        (np.float64(0.0), np.float64(2.0))
    """
    free, rest = 1.0 - from_before**2, 1.0 - to_after**2
    # precision (1/free + to_after^2/rest) / tau^2, with both fractions on one denominator
    whole = rest + to_after**2 * free
    with np.errstate(invalid="ignore", divide="ignore"):
        center = (from_before * before * rest + to_after * after * free) / whole
        spread = tau * np.sqrt(free * rest / whole)
    return np.where(free > 0, center, before)[()], np.where(free > 0, spread, 0.0)[()]


def _log_volume_density(draws: Draws, design: Design, rows: np.ndarray) -> np.ndarray:
    """Log density of the volumes of some observations, 0 where there is none, shape (draws, rows)."""
    found = np.zeros((len(draws[names.SIGMA]), len(rows)))
    some = design.observations.y[rows] > 0
    found[:, some] = log_volume_densities(draws, design, np.searchsorted(design.eventful, rows[some]))
    return found


def _volume_tails(draws: Draws, design: Design, rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """P(V >= volume) and P(V <= volume) given the count, shape (2, rows); NaN without events."""
    assert design.volumes is not None
    seen, some = design.observations, design.observations.y[rows] > 0
    log_volume = np.full(len(rows), np.nan)
    log_volume[some] = design.volumes.log_volume[np.searchsorted(design.eventful, rows[some])]
    with np.errstate(divide="ignore", invalid="ignore"):
        expected = draws[names.NU][:, seen.entity_idx[rows]] + np.log(seen.y[rows])
        z = (log_volume - expected) / draws[names.SIGMA][:, None]
    return np.stack([(weights.T * special.ndtr(-z)).sum(0), (weights.T * special.ndtr(z)).sum(0)])
