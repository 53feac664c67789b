"""Pareto-smoothed importance weights for many rows at once, with the shape that says whether to believe them.

The largest fifth of the ratios (at most 3 sqrt(draws)) is replaced by the expected order statistics of the generalised
Pareto distribution fitted to it. Its shape k-hat tells how heavy the tail is: below 0.7 the weighted average converges
at a usable rate, above it does not.

Source:
    A. Vehtari, D. Simpson, A. Gelman, Y. Yao, J. Gabry (2024), Pareto smoothed importance sampling,
    https://jmlr.org/papers/v25/19-556.html; J. Zhang, M. A. Stephens (2009), A new and efficient estimation method for
    the generalized Pareto distribution, https://doi.org/10.1198/tech.2009.08017.
"""

import numpy as np

FEWEST_DRAWS = 21
"""Below this the tail has fewer than five ratios, and no k-hat."""


def k_hat_limit(draws: int) -> float:
    """The largest k-hat at which an average over that many draws can be relied on: min(1 - 1/log10(draws), 0.7).

    Example:
        >>> round(k_hat_limit(400), 3), k_hat_limit(4000)
        (0.616, 0.7)
    """
    # One draw has no spread to speak of: its limit is that of two, which no k-hat of so few draws comes below.
    return min(1.0 - 1.0 / float(np.log10(max(draws, 2))), 0.7)


def smoothed_weights(log_ratios: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Normalised importance weights and their k-hat.

    Args:
        log_ratios: Unnormalised log importance ratios, shape (rows, draws).

    Returns:
        weights (rows, draws), each row summing to 1, and k-hat (rows,); k-hat is 0 where all ratios are alike, and
        infinite where there are too few draws for a tail (below `FEWEST_DRAWS`).

    Example:
        >>> weights, k_hat = smoothed_weights(np.zeros((1, 100)))
        >>> float(weights.max()), float(k_hat[0])
        (0.01, 0.0)
    """
    log_weights = log_ratios - log_ratios.max(-1, keepdims=True)
    rows, draws = log_weights.shape
    tail = int(np.ceil(min(0.2 * draws, 3.0 * np.sqrt(draws))))
    k_hat = np.zeros(rows)
    if draws < FEWEST_DRAWS:
        k_hat[:] = np.inf
    else:
        order = np.argsort(log_weights, axis=-1)
        here = np.arange(rows)[:, None]
        largest = order[:, -tail:]
        cutoff = log_weights[np.arange(rows), order[:, -tail - 1]][:, None]
        excess = np.exp(log_weights[here, largest]) - np.exp(cutoff)
        varied = excess[:, -1] > 1e-10  # otherwise every ratio is the same, and there is nothing to smooth
        shape, scale = _fit_generalized_pareto(np.maximum(excess[varied], 1e-300))
        quantile = (np.arange(tail) + 0.5) / tail
        with np.errstate(over="ignore"):  # of an enormous k-hat: infinite quantiles end at the largest weight, below
            expected = scale[:, None] * np.expm1(-shape[:, None] * np.log1p(-quantile)) / shape[:, None]
        smoothed = np.log(expected + np.exp(cutoff[varied]))
        log_weights[here[varied], largest[varied]] = np.minimum(smoothed, 0.0)
        k_hat[varied] = shape
    weights = np.exp(log_weights - log_weights.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True), k_hat


def _fit_generalized_pareto(excess: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shape k and scale of ascending excesses (rows, n), by Zhang and Stephens' quasi-Bayes rule."""
    n = excess.shape[-1]
    points = 30 + int(np.sqrt(n))
    spread = 1.0 - np.sqrt(points / (np.arange(1, points + 1) - 0.5))
    quartile = excess[:, int(n / 4 + 0.5) - 1]
    b = spread / (3.0 * np.maximum(quartile, 1e-300)[:, None]) + 1.0 / excess[:, -1:]  # (rows, points)
    k = np.log1p(-b[:, :, None] * excess[:, None, :]).mean(-1)
    profile = n * (np.log(-b / k) - k - 1.0)
    weight = np.exp(profile - profile.max(-1, keepdims=True))
    weight = np.where(weight >= 10 * np.finfo(float).eps * weight.sum(-1, keepdims=True), weight, 0.0)
    weight /= weight.sum(-1, keepdims=True)
    b_mean = (b * weight).sum(-1)
    shape = np.log1p(-b_mean[:, None] * excess).mean(-1)
    scale = -shape / b_mean
    # A weak prior towards 1/2, worth ten observations, steadies short tails (Vehtari et al., appendix C).
    return (shape * n + 10 * 0.5) / (n + 10), scale
