"""Taking a window out of the draws: what its weights do to the score, and when k-hat is passed over."""

import numpy as np
import pytest

from modelwright.bayesian.event_rates.left_out_weights import NO_PULL, without_window
from modelwright.bayesian.inference.pareto_smoothing import FEWEST_DRAWS, smoothed_weights


def spread_over(width, *, draws=400):
    tail = np.random.default_rng(5).exponential(size=draws)  # 1/p has a Pareto tail where this is scaled up
    return -1.0 - width * (tail - tail.min())[None] / np.ptp(tail)


@pytest.mark.parametrize(("width", "passed_over"), [(0.98 * NO_PULL, True), (1.02 * NO_PULL, False), (12.0, False)])
def test_k_hat_is_passed_over_where_all_draws_say_nearly_the_same_and_nowhere_else(width, passed_over) -> None:
    log_density = spread_over(width)
    weights, k_hat, score = without_window(log_density)
    smoothed, own = smoothed_weights(-log_density)
    np.testing.assert_array_equal(weights, smoothed)
    assert own[0] != 0.0
    assert k_hat[0] == (0.0 if passed_over else own[0])
    # whatever the weights, a score lies between the least and the most that a draw says
    assert -log_density.max() <= score[0] <= -log_density.min()


def test_a_window_that_few_draws_explain_is_unreliable() -> None:
    assert without_window(spread_over(12.0))[1][0] > 0.7


def test_the_score_is_the_harmonic_mean_where_no_tail_needs_smoothing() -> None:
    log_density = spread_over(1e-3)
    _, _, score = without_window(log_density)
    assert score[0] == pytest.approx(np.log(np.exp(-log_density).mean()), abs=1e-6)  # smoothing moves less than width^2


@pytest.mark.parametrize("draws", [1, FEWEST_DRAWS - 1, FEWEST_DRAWS])
def test_of_too_few_draws_there_is_no_k_hat_however_alike_they_are(draws) -> None:
    _, k_hat, score = without_window(np.full((2, draws), -1.5))
    assert np.isinf(k_hat).all() == (draws < FEWEST_DRAWS)
    np.testing.assert_allclose(score, 1.5, rtol=1e-10)  # the same formula
