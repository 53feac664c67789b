"""Taking a window out of the draws of the hyperparameters, by weights one over its probability under each draw."""

import numpy as np

from modelwright.bayesian.event_rates.pareto_smoothing import FEWEST_DRAWS, smoothed_weights
from modelwright.bayesian.event_rates.rate_integrals import log_integral

NO_PULL = 0.05
"""Nats by which a window's log probability may differ between draws and still be called the same under all of them."""


def without_window(log_density: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of the draws, how far to trust them, and the score -log sum_h w_h p(y | y_others, h).

    Where log p differs by less than `NO_PULL` between the draws, the window has no pull on the population: whatever the
    weights, the score lies within so many nats, and k-hat is 0. (The shape of a tail is a statement about the
    ratio of the ratios' differences, however small these are; with millions of windows it would call noise unreliable.)

    Args:
        log_density: log p(y | y_others, h), shape (n, n_draws).

    Returns:
        weights (n, n_draws), k-hat (n,) and score in nats (n,).

    Example:
        >>> weights, k_hat, score = without_window(np.log(np.full((1, 40), 0.25)))
        >>> float(k_hat[0]), round(float(score[0]), 3)
        (0.0, 1.386)
    """
    weights, k_hat = smoothed_weights(-log_density)
    if log_density.shape[-1] >= FEWEST_DRAWS:  # fewer are alike by chance, one always is
        k_hat[np.ptp(log_density, axis=-1) < NO_PULL] = 0.0
    return weights, k_hat, -log_integral(log_density + np.log(np.maximum(weights, 1e-300)))
