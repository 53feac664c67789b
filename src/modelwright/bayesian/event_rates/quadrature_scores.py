"""Leave-one-out scores by quadrature over the rate: for entities with several exposures, or with very large counts."""

from collections.abc import Callable, Sequence

import numpy as np

from modelwright.bayesian.event_rates.count_mixture import Nodes, predict
from modelwright.bayesian.event_rates.leave_one_out import LeftOutWindows, every_second_point, leave_one_out
from modelwright.bayesian.event_rates.pareto_smoothing import smoothed_weights
from modelwright.bayesian.event_rates.rate_integrals import Population, log_integral
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.bayesian.event_rates.window_cases import AlikeWindows


def score_left_out(
    population: Population,
    groups: Sequence[AlikeWindows],
    probability: float,
    columns: ScoreColumns,
    report: Callable[[int], None],
) -> None:
    """Score the windows of some entities, each predicted from its entity's other windows.

    Args:
        population: Draws of the hyperparameters.
        groups: The entities, gathered by their windows.
        probability: Of the equal-tailed interval.
        columns: Where the scores go.
        report: Told how many distinct windows are done.
    """
    done = 0
    for group in groups:
        for part in leave_one_out(population, group.windows):
            weights, k_hat = smoothed_weights(-part.log_density)
            nodes, joint = _mixture(population, part, weights)
            found = predict(nodes, joint, group.windows.count[part.index], probability)
            score = -log_integral(part.log_density + np.log(np.maximum(weights, 1e-300)))
            slot = np.full(len(group.windows.count), -1)
            slot[part.index] = np.arange(len(part.index))
            mine = slot[group.where] >= 0
            columns.fill(group.rows[mine], slot[group.where[mine]], found, score, k_hat)
        done += len(group.windows.count)
        report(done)


def _mixture(population: Population, part: LeftOutWindows, weights: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """The predictive mixtures of some windows, shape of the weights (n_windows, n_draws * n_points)."""
    rate, probability = every_second_point(part.rate, part.probability)
    joint = weights[:, :, None] * probability
    nodes = Nodes((rate * part.exposure).reshape(-1), np.repeat(population.concentration, rate.shape[1]))
    return nodes, joint.reshape(len(weights), -1)
