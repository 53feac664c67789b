"""Anomaly scores: how surprising each window is, given everything but itself.

    score = -log p(count | all other windows)      in nats

A training window is left out of what predicts it: the entity's rate is integrated out without the window, for every
draw h of the hyperparameters, and the draws are reweighted by 1 / p(count | the entity's other windows, h), which takes
the window's pull on the population out as well (smoothed as in PSIS; k-hat says whether to believe it). A new window of
a known entity is predicted by the posterior of its rate, one of an unknown entity by the population.
"""

from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from modelwright.bayesian.event_rates.count_tables import score_cases
from modelwright.bayesian.event_rates.edge_scores import score_windows_of_several
from modelwright.bayesian.event_rates.new_windows import score_against_rates, score_against_statistics
from modelwright.bayesian.event_rates.posterior_draws import check_draws, population_draws, statistics_in
from modelwright.bayesian.event_rates.quadrature_scores import score_left_out
from modelwright.bayesian.event_rates.score_table import COLUMNS, ScoreColumns, check_same_data
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, alike_entities, statistics_of
from modelwright.bayesian.event_rates.window_cases import alike_windows, cases_left_out
from modelwright.bayesian.event_rates.windows_done import WindowsDone
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.names import suggestion
from modelwright.core.probability import check_probability
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.events import EventCounts

__all__ = [
    "COLUMNS",
    "Direction",
    "default_draws",
    "rank_windows",
    "ranking_score",
    "score_new_windows",
    "score_training_windows",
    "score_training_windows_in_sample",
]

Direction = Literal["both", "high", "low"]

MOST_DRAWS, FEWEST_DRAWS = 400, 100
"""Draws of the hyperparameters that leave-one-out predictions average over unless told; see `default_draws`."""


MOST_RATE_DRAWS = 1000
"""Draws of rates that predictions of new windows average over unless told, where rates are not integrated out."""


def default_draws(n_obs: int) -> int:
    """Fewer draws for more windows of several exposures: the more there are, the less one moves the population.

    Example:
        >>> default_draws(6_000), default_draws(40_000), default_draws(10**6)
        (400, 200, 100)
    """
    return int(np.clip(8_000_000 // n_obs, FEWEST_DRAWS, MOST_DRAWS))


def score_training_windows(
    trace: Any,
    data: EventCounts,
    *,
    statistics: SufficientStatistics | None = None,
    interval: float = 0.9,
    draws: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Score every window the model was trained on, leaving each out of its own prediction.

        p(y_j | rest) = sum_h w_h p(y_j | y_-j, h),      w_h proportional to 1 / p(y_j | y_-j, h)

    with p(y_j | y_-j, h) a ratio of integrals over the entity's rate (`leave_one_out`) and w smoothed.

    Args:
        trace: The trace.
        data: What it was trained on.
        statistics: Those of `data`, from one who has just trained on them; that they are the trace's is then not
            checked again.
        interval: Probability of the equal-tailed predictive interval.
        draws: Draws of the hyperparameters to average over, taken evenly from the trace; at least 25. By default 400,
            or `default_draws` of the windows that a table over one exposure cannot predict: those of entities with
            several exposures, or with counts too large for a table.
        progress: Told how many windows are done, those that are alike together.

    Returns:
        One row per observation, in the order of `data`: entity, window_start (when there are times), window, count,
        exposure, expected, lower, upper (counts), score (nats), tail_probability P(Y >= count),
        lower_tail_probability P(Y <= count), known_entity, k_hat, and label and kind where known. All predictions are
        leave-one-out; k_hat is 0 where all draws say the same of a window (`left_out_weights`). `attrs` hold the
        probability of the interval and the number of draws.

    Raises:
        ConfigurationError: for a wrong interval or number of draws.
        DataError: when `data` are not what the trace was trained on.

    Source:
        A. Gelfand, D. Dey, H. Chang (1992), Model determination using predictive distributions, for leave-one-out by
        reweighting; A. Vehtari et al. (2024), https://jmlr.org/papers/v25/19-556.html, for the smoothing.
    """
    probability = check_probability(interval)
    most = MOST_DRAWS if draws is None else check_draws(draws, field="draws")
    population = population_draws(trace, most)
    if statistics is None:
        statistics = statistics_of(data)
        check_same_data(trace, data, statistics)
    alike = alike_entities(statistics)
    found = cases_left_out(population, alike, data)
    rest = np.flatnonzero(found.case < 0)
    if draws is None and len(rest):
        population = population_draws(trace, default_draws(len(rest)))
    n_cases, n_covered = len(found.cases.count), data.n_obs - len(rest)
    windows = WindowsDone(progress, data.n_obs)
    columns = ScoreColumns(data.n_obs, k_hat=True)
    tabulated = score_cases(
        population,
        found.cases,
        probability,
        leave_one_out=True,
        done=lambda cases: windows.upto(n_covered * cases // n_cases),
    )
    parts = (tabulated.prediction, tabulated.score, tabulated.k_hat)
    if len(rest) == 0:
        columns.fill_all(found.case, *parts)
    else:
        covered = np.flatnonzero(found.case >= 0)
        columns.fill(covered, found.case[covered], *parts)
        rest = score_windows_of_several(
            population, alike, data, rest, probability, columns, lambda done: windows.upto(n_covered + done)
        )
        n_before = data.n_obs - len(rest)
        groups = alike_windows(data, alike, rest)
        score_left_out(population, groups, probability, columns, lambda done: windows.upto(n_before + done))
    table = columns.table(data, np.ones(1, dtype=bool), probability)
    table.attrs["draws"] = len(population)
    return table


def score_training_windows_in_sample(
    trace: Any, data: EventCounts, *, interval: float = 0.9, draws: int | None = None
) -> pd.DataFrame:
    """Score training windows with the posterior that has seen them: for comparison only, it hides anomalies.

    Arguments and columns as in `score_new_windows`.
    """
    check_same_data(trace, data, statistics_of(data))
    return score_new_windows(trace, data, interval=interval, draws=draws)


def score_new_windows(
    trace: Any,
    data: EventCounts | pd.DataFrame,
    *,
    interval: float = 0.9,
    draws: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Score windows the model has not seen, each on its own.

    The rate of a known entity is integrated out given the sums of its training windows, for every draw of the
    hyperparameters; for an entity that was not in training theta ~ Gamma(mu alpha, alpha) is. Where a trace does not
    carry these sums, p(y) of a known entity is the average of NB(y | theta_i exposure, phi) over posterior draws.

    Args:
        trace: The trace.
        data: New windows, as counts or as a table with columns entity and count (and exposure, window_start, window,
            label, kind as they are there).
        interval: Probability of the equal-tailed predictive interval.
        draws: Draws to average over, taken evenly from the trace; at least 25. By default 400 where rates are
            integrated out and 1,000 where they are not.
        progress: Told how many distinct windows are done.

    Returns:
        One row per observation, columns as in `score_training_windows` without `k_hat`; `known_entity` says whether the
        entity was in training.

    Raises:
        ConfigurationError: for a wrong interval or number of draws. DataError: for a table without the needed columns.
    """
    probability = check_probability(interval)
    most = None if draws is None else check_draws(draws, field="draws")
    counts = _as_counts(data)
    columns = ScoreColumns(counts.n_obs, k_hat=False)

    def report(done: int, total: int) -> None:
        progress(ProgressEvent("score", done, total, "distinct windows"))

    population = population_draws(trace, most or MOST_DRAWS)
    statistics = statistics_in(trace)
    if statistics is not None:
        known = score_against_statistics(population, statistics, counts, probability, columns, report)
    else:
        known = score_against_rates(population, trace, most or MOST_RATE_DRAWS, counts, probability, columns, report)
    return columns.table(counts, known, probability)


def rank_windows(scores: pd.DataFrame, *, direction: Direction = "both", top: int | None = None) -> pd.DataFrame:
    """The windows from most to least anomalous, with their `rank` from 1; ties keep their order.

    Args:
        scores: A table of scores.
        direction: "both" ranks by the score, so by how improbable the count is; "high" by P(Y >= count), so only
            unusually many events count; "low" by P(Y <= count).
        top: Only so many; all when left out.
    """
    falling = -ranking_score(scores, direction=direction)
    if top is None or top >= len(falling):
        order = np.argsort(falling, kind="stable")
    else:  # what is as high as the last one wanted, in its order, and that sorted
        order = np.flatnonzero(falling <= np.partition(falling, top - 1)[top - 1])
        order = order[np.argsort(falling[order], kind="stable")][:top]
    ranked = scores.iloc[order].reset_index(drop=True)
    ranked.insert(0, "rank", np.arange(1, len(ranked) + 1))
    return ranked


def ranking_score(scores: pd.DataFrame, *, direction: Direction = "both") -> np.ndarray:
    """What `rank_windows` sorts by, larger being more anomalous, in nats: the score, or -log of a tail probability.

    Example:
        >>> tails = {"tail_probability": [0.5, 1.0], "lower_tail_probability": [0.7, 0.1]}
        >>> table = pd.DataFrame({"score": [1.0, 3.0], **tails})
        >>> ranking_score(table, direction="high").round(3).tolist()
        [0.693, 0.0]
    """
    if direction not in get_args(Direction):
        raise ConfigurationError(
            "not a direction",
            field="direction",
            expected="'both', 'high' or 'low'",
            got=direction,
            todo=suggestion(str(direction), get_args(Direction)),
        )
    score = scores["score"].to_numpy(float)
    if direction == "both":
        return score
    tail = scores["tail_probability" if direction == "high" else "lower_tail_probability"].to_numpy(float)
    # Below the smallest double the density itself is the best bound of its tail, and keeps the order.
    return np.asarray(np.where(tail > 1e-300, np.log(1 / np.maximum(tail, 1e-300)), np.maximum(score, 690.8)))


def _as_counts(data: EventCounts | pd.DataFrame) -> EventCounts:
    if isinstance(data, EventCounts):
        return data
    if isinstance(data, pd.DataFrame):
        return EventCounts.from_frame(data)
    raise DataError(
        "not windows to score", field="data", expected="EventCounts or a pandas table", got=type(data).__name__
    )
