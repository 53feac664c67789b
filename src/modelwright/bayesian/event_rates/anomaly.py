"""Anomaly scores: how surprising each window is, given everything but itself.

    score = -log p(count | all other windows)      in nats

A training window is left out of what predicts it: the entity's rate is integrated out without the window, for every
draw h of the hyperparameters, and the draws are reweighted by 1 / p(count | the entity's other windows, h), which takes
the window's pull on the population out as well (smoothed as in PSIS; k-hat says whether to believe it). A new window of
a known entity is predicted by the posterior of its rate, one of an unknown entity by the population.
"""

from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd

from modelwright.bayesian.event_rates.count_mixture import Nodes, Prediction, predict
from modelwright.bayesian.event_rates.density import negative_binomial_logpmf
from modelwright.bayesian.event_rates.leave_one_out import (
    EntityWindows,
    LeftOutWindows,
    every_second_point,
    leave_one_out,
)
from modelwright.bayesian.event_rates.names import ENTITY_IDX, EXPOSURE, Y
from modelwright.bayesian.event_rates.pareto_smoothing import smoothed_weights
from modelwright.bayesian.event_rates.posterior_draws import (
    check_draws,
    entity_labels,
    population_draws,
    rate_draws,
)
from modelwright.bayesian.event_rates.rate_integrals import Population, log_integral
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.names import suggestion
from modelwright.core.probability import check_probability
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.events import EventCounts

Direction = Literal["both", "high", "low"]

COLUMNS = ("expected", "lower", "upper", "score", "tail_probability", "lower_tail_probability")
"""What scoring adds to the windows, besides `known_entity` and, for training windows, `k_hat`."""


MOST_DRAWS, FEWEST_DRAWS = 400, 100
"""Draws of the hyperparameters that leave-one-out predictions average over unless told; see `default_draws`."""


def default_draws(n_obs: int) -> int:
    """Fewer draws for more windows, since the more there are the less one of them moves the population.

    Example:
        >>> default_draws(6_000), default_draws(40_000), default_draws(10**6)
        (400, 200, 100)
    """
    return int(np.clip(8_000_000 // n_obs, FEWEST_DRAWS, MOST_DRAWS))


def score_training_windows(
    trace: Any,
    data: EventCounts,
    *,
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
        interval: Probability of the equal-tailed predictive interval.
        draws: Draws of the hyperparameters to average over, taken evenly from the trace; at least 25. By default
            `default_draws`.
        progress: Told how many entities are done.

    Returns:
        One row per observation, in the order of `data`: entity, window_start (when there are times), window, count,
        exposure, expected, lower, upper (counts), score (nats), tail_probability P(Y >= count),
        lower_tail_probability P(Y <= count), known_entity, k_hat, and label and kind where known. All predictions are
        leave-one-out; `attrs` hold the probability of the interval and the number of draws.

    Raises:
        ConfigurationError: for a wrong interval or number of draws.
        DataError: when `data` are not what the trace was trained on.

    Source:
        A. Gelfand, D. Dey, H. Chang (1992), Model determination using predictive distributions, for leave-one-out by
        reweighting; A. Vehtari et al. (2024), https://jmlr.org/papers/v25/19-556.html, for the smoothing.
    """
    probability = check_probability(interval)
    population = population_draws(
        trace, default_draws(data.n_obs) if draws is None else check_draws(draws, field="draws")
    )
    _check_same_data(trace, data)
    columns = {name: np.empty(data.n_obs) for name in (*COLUMNS, "k_hat")}
    groups = list(_alike_entities(data))
    for done, (entity, rows, where) in enumerate(groups):
        for part in leave_one_out(population, entity):
            weights, k_hat = smoothed_weights(-part.log_density)
            nodes, joint = _mixture(population, part, weights)
            found = predict(nodes, joint, entity.count[part.index], probability)
            score = -log_integral(part.log_density + np.log(np.maximum(weights, 1e-300)))
            _spread(columns, part.index, rows, where, found, score, k_hat)
        if done % 32 == 0 or done == len(groups) - 1:
            progress(ProgressEvent("score", done + 1, len(groups), "entities"))
    table = _table(data, columns, np.ones(data.n_obs, dtype=bool), probability)
    table.attrs["draws"] = len(population)
    return table


def score_training_windows_in_sample(
    trace: Any, data: EventCounts, *, interval: float = 0.9, draws: int = 1000
) -> pd.DataFrame:
    """Score training windows with the posterior that has seen them: for comparison only, it hides anomalies.

    Arguments and columns as in `score_training_windows`, without `k_hat`.
    """
    _check_same_data(trace, data)
    return score_new_windows(trace, data, interval=interval, draws=draws)


def score_new_windows(
    trace: Any,
    data: EventCounts | pd.DataFrame,
    *,
    interval: float = 0.9,
    draws: int = 1000,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Score windows the model has not seen, each on its own.

    For a known entity p(y) is the average of NB(y | theta_i exposure, phi) over posterior draws; for an entity that was
    not in training theta ~ Gamma(mu alpha, alpha) is integrated out for every draw.

    Args:
        trace: The trace.
        data: New windows, as counts or as a table with columns entity and count (and exposure, window_start, window,
            label, kind as they are there).
        interval: Probability of the equal-tailed predictive interval.
        draws: Posterior draws to average over, taken evenly from the trace; at least 25.
        progress: Told how many groups of windows of one entity and exposure are done.

    Returns:
        One row per observation, columns as in `score_training_windows` without `k_hat`; `known_entity` says whether the
        entity was in training.

    Raises:
        ConfigurationError: for a wrong interval or number of draws. DataError: for a table without the needed columns.
    """
    probability = check_probability(interval)
    most = check_draws(draws, field="draws")
    counts = _as_counts(data)
    known = {label: index for index, label in enumerate(entity_labels(trace))}
    position = np.array([known.get(label, -1) for label in counts.entities])[counts.entity_idx]
    columns = {name: np.empty(counts.n_obs) for name in COLUMNS}
    rates, concentration = rate_draws(trace, most)
    population = population_draws(trace, min(most, 400))
    key = np.lexsort((counts.count, counts.exposure, position))
    distinct = np.stack([position, counts.exposure, counts.count])[:, key]
    starts = np.flatnonzero(np.r_[True, (distinct[:2, 1:] != distinct[:2, :-1]).any(0)])
    for done, rows in enumerate(np.split(key, starts[1:])):
        at, exposure = position[rows[0]], counts.exposure[rows[0]]
        values, where = np.unique(counts.count[rows], return_inverse=True)
        if at >= 0:
            mean = rates[at] * exposure
            log_density = negative_binomial_logpmf(values[:, None], mean, concentration)
            uniform = np.broadcast_to(1.0 / len(mean), (len(values), len(mean)))
            found = predict(Nodes(mean, concentration), uniform, values, probability)
            _spread(columns, np.arange(len(values)), rows, where, found, np.log(len(mean)) - log_integral(log_density))
        else:
            for k, value in enumerate(values):
                entity = EntityWindows(np.array([float(value)]), np.array([exposure]), np.ones(1))
                (part,) = leave_one_out(population, entity)
                nodes, joint = _mixture(population, part, np.full((1, len(population)), 1.0 / len(population)))
                found = predict(nodes, joint, np.array([value]), probability)
                score = np.log(len(population)) - log_integral(part.log_density)
                _spread(columns, np.array([k]), rows, where, found, score)
        if done % 32 == 0 or done == len(starts) - 1:
            progress(ProgressEvent("score", done + 1, len(starts), "groups"))
    return _table(counts, columns, position >= 0, probability)


def rank_windows(scores: pd.DataFrame, *, direction: Direction = "both") -> pd.DataFrame:
    """The windows from most to least anomalous, with their `rank` from 1; ties keep their order.

    Args:
        scores: A table of scores.
        direction: "both" ranks by the score, so by how improbable the count is; "high" by P(Y >= count), so only
            unusually many events count; "low" by P(Y <= count).
    """
    order = np.argsort(-ranking_score(scores, direction=direction), kind="stable")
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


def _mixture(population: Population, part: LeftOutWindows, weights: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """The predictive mixtures of some windows, shape of the weights (n_windows, n_draws * n_points)."""
    rate, probability = every_second_point(part.rate, part.probability)
    joint = weights[:, :, None] * probability
    nodes = Nodes((rate * part.exposure).reshape(-1), np.repeat(population.concentration, rate.shape[1]))
    return nodes, joint.reshape(len(weights), -1)


def _alike_entities(data: EventCounts) -> Iterator[tuple[EntityWindows, np.ndarray, np.ndarray]]:
    """Entities with the same multiset of (count, exposure), once each.

    Yields:
        Their distinct windows, the rows of all of them, and for each row its position among the distinct windows.
    """
    ends = np.searchsorted(data.entity_idx, np.arange(data.n_entities + 1))
    gathered: dict[bytes, tuple[EntityWindows, list[np.ndarray], list[np.ndarray]]] = {}
    for i in range(data.n_entities):
        rows = np.arange(ends[i], ends[i + 1])
        pairs = np.stack([data.exposure[rows], data.count[rows].astype(float)])
        distinct, where, times = np.unique(pairs, axis=1, return_inverse=True, return_counts=True)
        key = distinct.tobytes() + times.tobytes()
        if key not in gathered:
            gathered[key] = (EntityWindows(distinct[1], distinct[0], times), [], [])
        gathered[key][1].append(rows)
        gathered[key][2].append(where.reshape(-1))
    for entity, rows_of, where_of in gathered.values():
        yield entity, np.concatenate(rows_of), np.concatenate(where_of)


def _spread(
    columns: dict[str, np.ndarray],
    index: np.ndarray,
    rows: np.ndarray,
    where: np.ndarray,
    found: Prediction,
    score: np.ndarray,
    k_hat: np.ndarray | None = None,
) -> None:
    """Write what was found for the distinct windows `index` into all rows that are like them."""
    slot = np.full(int(where.max()) + 1, -1)
    slot[index] = np.arange(len(index))
    mine = slot[where] >= 0
    to, source = rows[mine], slot[where[mine]]
    values = {
        "expected": found.expected,
        "lower": found.lower,
        "upper": found.upper,
        "score": score,
        "tail_probability": found.upper_tail,
        "lower_tail_probability": found.lower_tail,
    }
    if k_hat is not None:
        values["k_hat"] = k_hat
    for name, value in values.items():
        columns[name][to] = value[source]


def _table(data: EventCounts, columns: dict[str, np.ndarray], known: np.ndarray, probability: float) -> pd.DataFrame:
    windows = data.to_frame()
    windows.attrs = {"interval": probability}
    facts = [name for name in ("label", "kind") if name in windows]
    table = windows.drop(columns=facts)
    for name in COLUMNS:
        table[name] = columns[name]
    table[["lower", "upper"]] = table[["lower", "upper"]].astype("int64")
    table["known_entity"] = known
    if "k_hat" in columns:
        table["k_hat"] = columns["k_hat"]
    for name in facts:
        table[name] = windows[name]
    return table


def _as_counts(data: EventCounts | pd.DataFrame) -> EventCounts:
    if isinstance(data, EventCounts):
        return data
    if isinstance(data, pd.DataFrame):
        return EventCounts.from_frame(data)
    raise DataError(
        "not windows to score", field="data", expected="EventCounts or a pandas table", got=type(data).__name__
    )


def _check_same_data(trace: Any, data: EventCounts) -> None:
    """Refuse to leave windows out of a trace that they were never in: other entities, counts or exposures."""
    labels = np.array(entity_labels(trace), dtype=object)
    known = set(labels.tolist())
    strangers = [label for label in data.entities if label not in known]
    entities = np.array(data.entities, dtype=object)[data.entity_idx]
    differs = {
        "count": _differs(trace, "observed_data", Y, data.count),
        "exposure": _differs(trace, "constant_data", EXPOSURE, data.exposure),
        "entity": bool(strangers)
        or len(known) != data.n_entities
        or _differs(trace, "constant_data", ENTITY_IDX, entities, labels),
    }
    if any(differs.values()):
        detail = f", such as {strangers[0]!r}" if strangers else ""
        columns = " and ".join(name for name, different in differs.items() if different)
        raise DataError(
            f"these are not the windows the model was trained on{detail}: they differ in {columns}",
            field="data",
            expected=f"the training windows of {len(known)} entities",
            got=f"{data.n_obs} windows of {data.n_entities} entities",
            todo="score other windows with score_new_windows",
        )


def _differs(trace: Any, group: str, name: str, mine: np.ndarray, labels: np.ndarray | None = None) -> bool:
    """Whether a trace holds other values than `mine`, as positions among `labels` where given; not if it holds none."""
    stored = getattr(trace, group, None)
    if stored is None or name not in stored:
        return False
    values = np.asarray(stored[name].values)
    return not np.array_equal(values if labels is None else labels[values], mine)
