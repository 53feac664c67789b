"""Leave-one-out scores by quadrature over the rate: for entities with several exposures, or with very large counts."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from modelwright.bayesian.event_rates.common_grid import LeftOutTogether, leave_out_together
from modelwright.bayesian.event_rates.count_mixture import Nodes, Prediction, predict
from modelwright.bayesian.event_rates.grid_predictions import predict_on_grid
from modelwright.bayesian.event_rates.leave_one_out import LeftOutWindows, every_second_point, leave_one_out
from modelwright.bayesian.event_rates.left_out_weights import without_window
from modelwright.bayesian.event_rates.rate_integrals import Population
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.bayesian.event_rates.window_cases import AlikeWindows
from modelwright.bayesian.inference.settings import available_cores


def score_left_out(
    population: Population,
    groups: Sequence[AlikeWindows],
    probability: float,
    columns: ScoreColumns,
    report: Callable[[int], None],
    *,
    cores: int | None = None,
) -> None:
    """Score the windows of some entities, each predicted from its entity's other windows.

    Args:
        population: Draws of the hyperparameters.
        groups: The entities, gathered by their windows.
        probability: Of the equal-tailed interval.
        columns: Where the scores go.
        report: Told how many windows are done.
        cores: Threads; None takes what the machine offers.
    """

    def work(group: AlikeWindows) -> int:
        together = leave_out_together(population, group.windows)
        if together is None:
            _score_one_by_one(population, group, probability, columns)
        else:
            for part in together:
                _score_together(population, group, part, probability, columns)
        return len(group.rows)

    done = 0
    with ThreadPoolExecutor(cores or available_cores()) as pool:
        for number, windows in enumerate(pool.map(work, groups), start=1):
            done += windows
            if number % 32 == 0 or number == len(groups):
                report(done)


def _score_together(
    population: Population, group: AlikeWindows, part: LeftOutTogether, probability: float, columns: ScoreColumns
) -> None:
    weights, k_hat, score = without_window(part.log_density)
    joint = part.probability * weights[:, :, None]
    count = group.windows.count[part.index]
    found = predict_on_grid(part.rate, part.exposure, population.concentration, joint, count, probability)
    _write(group, part.index, found, score, k_hat, columns)


def _score_one_by_one(population: Population, group: AlikeWindows, probability: float, columns: ScoreColumns) -> None:
    """With grids for each draw, and where needed for each window."""
    for part in leave_one_out(population, group.windows):
        weights, k_hat, score = without_window(part.log_density)
        nodes, joint = _mixture(population, part, weights)
        found = predict(nodes, joint, group.windows.count[part.index], probability)
        _write(group, part.index, found, score, k_hat, columns)


def _mixture(population: Population, part: LeftOutWindows, weights: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """The predictive mixtures of some windows, shape of the weights (n_windows, n_draws * n_points)."""
    rate, probability = every_second_point(part.rate, part.probability)
    joint = weights[:, :, None] * probability
    nodes = Nodes((rate * part.exposure).reshape(-1), np.repeat(population.concentration, rate.shape[1]))
    return nodes, joint.reshape(len(weights), -1)


def _write(
    group: AlikeWindows,
    index: np.ndarray,
    found: Prediction,
    score: np.ndarray,
    k_hat: np.ndarray,
    columns: ScoreColumns,
) -> None:
    """Into all observations that are like the distinct windows `index`."""
    slot = np.full(len(group.windows.count), -1)
    slot[index] = np.arange(len(index))
    mine = slot[group.where] >= 0
    columns.fill(group.rows[mine], slot[group.where[mine]], found, score, k_hat)
