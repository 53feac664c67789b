"""Scores of windows the model has not seen, each on its own.

A window of a known entity is predicted from the entity's statistics, its rate integrated out for every draw of the
hyperparameters; one of an unknown entity from the population alone, which is the same with no statistics. Traces that
were stored without statistics have draws of the known entities' rates instead.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.common_grid import posterior_together
from modelwright.bayesian.event_rates.count_mixture import Nodes, Prediction, predict
from modelwright.bayesian.event_rates.count_tables import LONGEST_TABLE, Cases, counts_needed, score_cases
from modelwright.bayesian.event_rates.density import negative_binomial_logpmf
from modelwright.bayesian.event_rates.grid_predictions import predict_on_grid
from modelwright.bayesian.event_rates.leave_one_out import every_second_point, rate_distribution
from modelwright.bayesian.event_rates.posterior_draws import entity_labels, rate_draws
from modelwright.bayesian.event_rates.rate_curves import log_integral_and_mean
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows, log_integral
from modelwright.bayesian.event_rates.rate_posteriors import row_numbers
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.bayesian.event_rates.statistics import AlikeEntities, SufficientStatistics, alike_entities
from modelwright.bayesian.event_rates.window_cases import distinct_pairs, rows_of_one_exposure
from modelwright.bayesian.inference.settings import available_cores
from modelwright.data.events import EventCounts

_UNKNOWN = Windows(np.empty(0), np.empty(0), np.empty(0))


def score_against_statistics(
    population: Population,
    statistics: SufficientStatistics,
    data: EventCounts,
    probability: float,
    columns: ScoreColumns,
    report: Callable[[int, int], None],
) -> np.ndarray:
    """Score windows from the statistics of their entities; returns whether each one's entity is known, (n_obs,).

    Args:
        population: Draws of the hyperparameters.
        statistics: Of the entities the model was trained on.
        data: The new windows.
        probability: Of the equal-tailed interval.
        columns: Where the scores go.
        report: Told how many distinct windows are done, of how many.
    """
    alike = alike_entities(statistics)
    position = np.array([statistics.position.get(label, -1) for label in data.entities], dtype=np.int64)
    n_rows = alike.n_rows
    row_of = np.where(position >= 0, row_numbers(alike)[position], n_rows)
    length, length_of = _exposures(data)
    pairs = distinct_pairs(
        lambda here: row_of[data.entity_idx[here]] * len(length) + length_of(here),
        (n_rows + 1) * len(length),
        np.asarray(data.count),
    )
    row, exposure, count = pairs.first // len(length), length[pairs.first % len(length)], pairs.second
    rows = zip(rows_of_one_exposure(alike), (np.nan, 0.0, 0.0), strict=True)
    own, number, total = (np.append(part, of_unknown) for part, of_unknown in rows)
    unknown = row == n_rows
    cases = Cases(exposure, number[row], total[row], count.astype(float))
    tabulated = (unknown | (own[row] == exposure)) & (counts_needed(population, cases) <= LONGEST_TABLE)
    found = _Found(len(row))
    done = _Counter(report, len(row))
    there = np.flatnonzero(tabulated)
    scored = score_cases(population, cases.part(there), probability, leave_one_out=False, done=done.upto)
    found.take(there, scored.prediction, scored.score)

    def work(members: np.ndarray) -> int:
        windows = _UNKNOWN if unknown[members[0]] else _windows_of(alike, int(row[members[0]]))
        length_here = float(exposure[members[0]])
        found.take(members, *_by_quadrature(population, windows, length_here, count[members], probability))
        return len(members)

    with ThreadPoolExecutor(available_cores()) as pool:
        for number_done in pool.map(work, _runs(np.flatnonzero(~tabulated), pairs.first)):
            done.more(number_done)
    place = pairs.spread(np.arange(len(row), dtype=np.int32))
    columns.fill_all(place, *found.parts(), None)
    return np.asarray((position >= 0)[data.entity_idx])


def score_against_rates(
    population: Population,
    trace: Any,
    most: int,
    data: EventCounts,
    probability: float,
    columns: ScoreColumns,
    report: Callable[[int, int], None],
) -> np.ndarray:
    """As `score_against_statistics`, with draws of the known entities' rates in place of their statistics.

    Args:
        population: Draws of the hyperparameters, for unknown entities.
        trace: The trace, with rates.
        most: Average over at most that many draws of the rates.
        data: The new windows.
        probability: Of the equal-tailed interval.
        columns: Where the scores go.
        report: Told how many distinct windows are done, of how many.
    """
    labels = {label: index for index, label in enumerate(entity_labels(trace))}
    position = np.array([labels.get(label, -1) for label in data.entities], dtype=np.int64)
    length, length_of = _exposures(data)
    pairs = distinct_pairs(
        lambda here: (
            np.where(position < 0, len(labels), position)[data.entity_idx[here]] * len(length) + length_of(here)
        ),
        (len(labels) + 1) * len(length),
        np.asarray(data.count),
    )
    at, exposure, count = pairs.first // len(length), length[pairs.first % len(length)], pairs.second
    found = _Found(len(at))
    done = _Counter(report, len(at))
    nothing = np.zeros(len(at))
    cases = Cases(exposure, nothing, nothing, count.astype(float))
    tabulated = (at == len(labels)) & (counts_needed(population, cases) <= LONGEST_TABLE)
    there = np.flatnonzero(tabulated)
    scored = score_cases(population, cases.part(there), probability, leave_one_out=False, done=done.upto)
    found.take(there, scored.prediction, scored.score)
    rest = np.flatnonzero(~tabulated)
    rates, concentration = rate_draws(trace, most) if len(rest) else (np.empty((0, 0)), np.empty(0))
    for members in _runs(rest, pairs.first):
        length_here = float(exposure[members[0]])
        if at[members[0]] == len(labels):
            scores = _by_quadrature(population, _UNKNOWN, length_here, count[members], probability)
        else:
            mean = rates[at[members[0]]] * length_here
            scores = _by_nodes(
                Nodes(mean, concentration), np.full(len(mean), 1.0 / len(mean)), count[members], probability
            )
        found.take(members, *scores)
        done.more(len(members))
    columns.fill_all(pairs.spread(np.arange(len(at), dtype=np.int32)), *found.parts(), None)
    return np.asarray((position >= 0)[data.entity_idx])


def _exposures(data: EventCounts) -> tuple[np.ndarray, Callable[[slice], np.ndarray]]:
    """The distinct exposures, and a function from a slice of the observations to their positions among these."""
    exposure = np.asarray(data.exposure)
    if (exposure == exposure[0]).all():
        return exposure[:1], lambda here: np.zeros(here.stop - here.start, dtype=np.int64)
    length = np.unique(exposure)
    return length, lambda here: np.searchsorted(length, exposure[here])


def _runs(members: np.ndarray, key: np.ndarray) -> list[np.ndarray]:
    """Members split where their key, ascending, changes."""
    if len(members) == 0:
        return []
    return np.split(members, np.flatnonzero(np.diff(key[members])) + 1)


def _windows_of(alike: AlikeEntities, row: int) -> Windows:
    for profile in alike.profiles:
        if row < len(profile.times):
            part = profile.windows
            return Windows(part.exposure[row], part.total[row], part.number[row])
        row -= len(profile.times)
    raise IndexError(row)


def _by_quadrature(
    population: Population, windows: Windows, exposure: float, count: np.ndarray, probability: float
) -> tuple[Prediction, np.ndarray]:
    """Prediction and score of the counts of some windows of equal exposure of one entity."""
    values = count.astype(float)
    together = posterior_together(population, windows)
    if together is None:
        rate, weight = every_second_point(*rate_distribution(population, windows))
        nodes = Nodes((rate * exposure).reshape(-1), np.repeat(population.concentration, rate.shape[1]))
        joint = np.broadcast_to(weight.reshape(-1) / len(population), (len(count), weight.size))
        prediction = predict(nodes, joint, values, probability)
    else:
        rate, weight = together
        joint = weight[None] / len(population)
        prediction = predict_on_grid(rate, np.array([exposure]), population.concentration, joint, values, probability)
    score = np.empty(len(count))
    # Of an ordinary count the two tails, which overlap in it alone, say its probability to ten digits.
    overlap = prediction.lower_tail + prediction.upper_tail - 1.0
    ordinary = (overlap > 1e-4) & (prediction.expected < 200.0) & (together is not None)
    score[ordinary] = -np.log(overlap[ordinary])
    score[~ordinary] = -_log_predictive(population, windows, exposure, values[~ordinary])
    return prediction, score


def _log_predictive(population: Population, windows: Windows, exposure: float, count: np.ndarray) -> np.ndarray:
    """Log of the mean over the draws of Z(windows and the new one)/Z(windows), shape (n,): exact however far the count.

    Z is relative to the likelihood at a reference rate, so that NB(y) at that rate remains of the new window's.
    """
    n = len(count)
    if n == 0:
        return np.empty(0)
    own = [np.tile(part, (n, 1)) for part in (windows.exposure, windows.total, windows.number)]
    one = np.ones((n, 1))
    both = (
        np.concatenate([part, new], axis=1)
        for part, new in zip(own, (exposure * one, count[:, None], one), strict=True)
    )
    before = Windows(*(part[:1] for part in own)) if own[0].shape[1] else None
    # a rate that the windows make likely: against the likelihood there, ten million events lose no digits
    seen = windows.number @ windows.exposure
    reference = float(np.median((population.shape + windows.total.sum()) / (population.rate + seen)))
    after, _ = log_integral_and_mean(population, Windows(*both), reference)
    # no windows at all: the integral of the Gamma density alone
    start = log_integral_and_mean(population, before, reference)[0] if before is not None else 0.0
    factor = negative_binomial_logpmf(count[:, None], reference * exposure, population.concentration)
    return log_integral(after - start + factor) - np.log(len(population))


def _by_nodes(nodes: Nodes, weight: np.ndarray, count: np.ndarray, probability: float) -> tuple[Prediction, np.ndarray]:
    """The same as a mixture of negative binomials with these weights."""
    values = count.astype(float)
    log_weight = np.log(np.maximum(weight, 1e-300))
    score = -log_integral(negative_binomial_logpmf(values[:, None], nodes.mean, nodes.concentration) + log_weight)
    return predict(nodes, np.broadcast_to(weight, (len(values), len(weight))), values, probability), score


class _Found:
    """Predictions and scores of distinct windows while they are being made."""

    def __init__(self, n: int) -> None:
        self._prediction = Prediction(*(np.empty(n) for _ in Prediction.__dataclass_fields__))
        self._score = np.empty(n)

    def take(self, members: np.ndarray, prediction: Prediction, score: np.ndarray) -> None:
        """Note what was found for some of them."""
        for name in Prediction.__dataclass_fields__:
            getattr(self._prediction, name)[members] = getattr(prediction, name)
        self._score[members] = score

    def parts(self) -> tuple[Prediction, np.ndarray]:
        """All of them."""
        return self._prediction, self._score


class _Counter:
    """Reports how many distinct windows are done."""

    def __init__(self, report: Callable[[int, int], None], total: int) -> None:
        self._report, self._total, self._done = report, total, 0

    def upto(self, done: int) -> None:
        """So many are done by now."""
        self._done = done
        self._report(done, self._total)

    def more(self, number: int) -> None:
        """So many more are done."""
        self.upto(self._done + number)
