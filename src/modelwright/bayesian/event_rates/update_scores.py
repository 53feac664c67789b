"""Scores of windows that were taken into a run, each left out of what the run knows, without the run's old windows.

Leaving a window out of its entity's others takes the sums of those others and nothing else, and these are the entity's
sums less the window. So the newest windows can be scored as those of a training are, though the rest of the training
is not there any more.
"""

from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.event_rates.anomaly import MOST_DRAWS, default_draws
from modelwright.bayesian.event_rates.count_tables import score_cases
from modelwright.bayesian.event_rates.edge_scores import score_windows_of_several
from modelwright.bayesian.event_rates.leave_one_out import EntityWindows
from modelwright.bayesian.event_rates.posterior_draws import check_draws, population_draws, statistics_in
from modelwright.bayesian.event_rates.quadrature_scores import score_left_out
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.bayesian.event_rates.statistics import AlikeEntities, SufficientStatistics, alike_entities
from modelwright.bayesian.event_rates.window_cases import AlikeWindows, cases_left_out
from modelwright.bayesian.event_rates.windows_done import WindowsDone
from modelwright.core.errors import DataError
from modelwright.core.probability import check_probability
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.data.events import EventCounts


def score_windows_within(
    trace: Any,
    windows: EventCounts,
    *,
    interval: float = 0.9,
    draws: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Score some of the windows a trace rests on, leaving each out of its own prediction.

    Args:
        trace: A trace that carries its statistics.
        windows: Windows that are among them, some or all.
        interval: Probability of the equal-tailed predictive interval.
        draws: Draws of the hyperparameters to average over; by default as in `score_training_windows`.
        progress: Told how many windows are done, those that are alike together.

    Returns:
        What `score_training_windows` returns for these windows.

    Raises:
        DataError: the trace carries no statistics, or the windows are not among them.
    """
    probability = check_probability(interval)
    statistics = statistics_in(trace)
    if statistics is None:
        raise DataError("the trace carries no statistics of its windows", field="trace", todo="train again")
    most = MOST_DRAWS if draws is None else check_draws(draws, field="draws")
    population = population_draws(trace, most)
    position = np.array([statistics.position.get(label, -1) for label in windows.entities], dtype=np.int64)
    if (position < 0).any():
        raise _not_within(windows.entities[int(np.argmax(position < 0))])
    group = _groups_of(statistics, windows, position)
    alike = alike_entities(statistics)
    mine = AlikeEntities(alike.profiles, alike.profile[position], alike.row[position])
    found = cases_left_out(population, mine, windows)
    chosen = np.flatnonzero(found.case < 0)
    of_several = _windows_of_several_exposures(statistics, position[windows.entity_idx[chosen]])
    if draws is None and of_several:
        population = population_draws(trace, default_draws(of_several))
    n_cases, n_covered = len(found.cases.count), windows.n_obs - len(chosen)
    scored = WindowsDone(progress, windows.n_obs)
    columns = ScoreColumns(windows.n_obs, k_hat=True)
    tabulated = score_cases(
        population,
        found.cases,
        probability,
        leave_one_out=True,
        done=lambda cases: scored.upto(n_covered * cases // n_cases),
    )
    covered = np.flatnonzero(found.case >= 0)
    columns.fill(covered, found.case[covered], tabulated.prediction, tabulated.score, tabulated.k_hat)
    chosen = score_windows_of_several(
        population, mine, windows, chosen, probability, columns, lambda done: scored.upto(n_covered + done)
    )
    n_before = windows.n_obs - len(chosen)
    rest = _with_others(statistics, windows, position, group, chosen)
    score_left_out(population, rest, probability, columns, lambda done: scored.upto(n_before + done))
    table = columns.table(windows, np.ones(windows.n_obs, dtype=bool), probability)
    table.attrs["draws"] = len(population)
    return table


def _windows_of_several_exposures(statistics: SufficientStatistics, entity: np.ndarray) -> int:
    """How many of all windows, old ones included, belong to entities that tables over one exposure do not predict.

    The number of draws that are averaged over goes by it, as in a training.

    Args:
        statistics: Of all windows.
        entity: Entities of the windows to be scored for which such a table was refused, shape (n,).
    """
    several = np.bincount(statistics.entity, minlength=statistics.n_entities) > 1
    several[entity] = True
    return int(statistics.windows[several[statistics.entity]].sum())


def _groups_of(statistics: SufficientStatistics, windows: EventCounts, position: np.ndarray) -> np.ndarray:
    """The group of equal entity and exposure that each window belongs to, shape (n_obs,).

    Raises:
        DataError: a window that is not among those the statistics are of.
    """
    exposures, of_group = np.unique(statistics.exposure, return_inverse=True)
    codes = statistics.entity * len(exposures) + of_group
    length = np.minimum(np.searchsorted(exposures, windows.exposure), len(exposures) - 1)
    wanted = position[windows.entity_idx] * len(exposures) + length
    group = np.minimum(np.searchsorted(codes, wanted), len(codes) - 1)
    fits = (codes[group] == wanted) & (exposures[length] == windows.exposure)
    number = np.bincount(group, minlength=len(codes))
    total = np.bincount(group, weights=windows.count, minlength=len(codes))
    fits &= ((number <= statistics.windows) & (total <= statistics.total))[group]
    if not fits.all():
        raise _not_within(windows.entities[windows.entity_idx[int(np.argmin(fits))]])
    return group


def _with_others(
    statistics: SufficientStatistics,
    windows: EventCounts,
    position: np.ndarray,
    group: np.ndarray,
    chosen: np.ndarray,
) -> list[AlikeWindows]:
    """Entities of some windows with stand-ins for their other windows, those with equal windows gathered.

    Only sums count, so the others of one exposure are replaced by as many of nearly equal counts with the same sum.
    """
    # the entity's windows that are not to be scored here, those that tables have scored among them
    mine = group[chosen]
    number = statistics.windows - np.bincount(mine, minlength=len(statistics.windows))
    total = statistics.total - np.bincount(mine, weights=windows.count[chosen], minlength=len(statistics.total))
    ends = np.searchsorted(statistics.entity, np.arange(statistics.n_entities + 1))
    entity_idx = np.asarray(windows.entity_idx)[chosen]
    gathered: dict[bytes, tuple[EntityWindows, list[np.ndarray], list[np.ndarray]]] = {}
    for rows in np.split(chosen, np.flatnonzero(np.diff(entity_idx)) + 1) if len(chosen) else ():
        of_entity = position[windows.entity_idx[rows[0]]]
        here = slice(ends[of_entity], ends[of_entity + 1])
        low = np.floor(total[here] / np.maximum(number[here], 1.0))
        more = total[here] - low * number[here]
        exposure = np.concatenate([windows.exposure[rows], statistics.exposure[here], statistics.exposure[here]])
        count = np.concatenate([windows.count[rows].astype(float), low, low + 1.0])
        times = np.concatenate([np.ones(len(rows)), number[here] - more, more])
        distinct, where = np.unique(np.stack([exposure, count]), axis=1, return_inverse=True)
        where = where.reshape(-1)
        often = np.bincount(where, times, minlength=distinct.shape[1]).astype(int)
        kept = often > 0
        where = (np.cumsum(kept) - 1)[where[: len(rows)]]
        key = distinct[:, kept].tobytes() + often[kept].tobytes()
        if key not in gathered:
            gathered[key] = (EntityWindows(distinct[1, kept], distinct[0, kept], often[kept]), [], [])
        gathered[key][1].append(rows)
        gathered[key][2].append(where)
    return [AlikeWindows(one, np.concatenate(rows), np.concatenate(where)) for one, rows, where in gathered.values()]


def _not_within(entity: str) -> DataError:
    return DataError(
        "not all of these windows are among those the trace rests on",
        field="data",
        expected="windows that were trained on or taken in",
        got=f"windows of {entity}",
        todo="score other windows with score_new_windows",
    )
