"""Predictive distributions of counts that are mixtures over one grid of rates and over draws of the concentration.

The probability of a count is a smooth function of the concentration, and draws of a posterior differ little in it. So
the weight of each draw is handed to a few concentrations by interpolation in log c (Chebyshev points, exact for
polynomials): a hundred draws become six, within 1e-8 of every probability.
"""

import numpy as np

from modelwright.bayesian.event_rates.count_mixture import LARGEST_TABLE, Nodes, Prediction, interpolated_quantiles
from modelwright.bayesian.event_rates.density import log1p_ratio, lower_tail, upper_tail

_SMALL_TAIL = 1e-5
"""A tail below this is integrated rather than summed: one minus what lies below has too few digits left."""


def predict_on_grid(
    rate: np.ndarray,
    exposure: np.ndarray,
    concentration: np.ndarray,
    joint: np.ndarray,
    count: np.ndarray,
    probability: float,
) -> Prediction:
    """Summarise the predictive distributions of some windows of one entity.

    Args:
        rate: Points theta, shape (n_points,).
        exposure: Of each window, shape (n,); or (1,) for windows that all have the same prediction.
        concentration: Of each draw, infinite for Poisson counts, shape (n_draws,).
        joint: Weights of draws and points, shape (n or 1, n_draws, n_points), each window's summing to 1.
        count: Observed counts, shape (n,).
        probability: Of the equal-tailed interval.

    Example:
        >>> one = np.ones((1, 1, 1))
        >>> found = predict_on_grid(np.array([3.0]), np.ones(1), np.array([1.0]), one, np.array([1.0]), 0.5)
        >>> [float(part[0].round(9)) for part in (found.lower, found.median, found.upper, found.upper_tail)]
        [0.0, 2.0, 4.0, 0.75]
    """
    some, interpolation = interpolating_concentrations(concentration)
    weight = np.matmul(interpolation.T, joint)  # (n, m, points): small products, which BLAS does in this thread
    mean = rate * exposure[:, None]
    over_draws = joint.sum(1)
    expected = (over_draws * mean).sum(1)
    square = (mean**2 * (over_draws + np.einsum("whg,h->wg", joint, 1.0 / concentration))).sum(1)
    spread = np.sqrt(np.maximum(expected + square - expected**2, 1e-300))
    levels = np.array([(1 - probability) / 2, 0.5, (1 + probability) / 2])
    if (expected + 12 * spread).max() <= LARGEST_TABLE:
        quantiles, before, now = _tabulated(mean, some, weight, count, levels, float((expected + 12 * spread).max()))
    else:
        quantiles = np.empty((len(mean), 3))
        before, now = np.full(len(count), np.nan), np.full(len(count), np.nan)
        for row in range(len(mean)):
            nodes = Nodes(np.tile(mean[row], len(some)), np.repeat(some, len(rate)))
            one = slice(row, row + 1)
            flat = weight[one].reshape(1, -1)
            quantiles[row] = interpolated_quantiles(nodes, flat, levels, expected[one], spread[one])[0]
    upper, lower = 1.0 - before, now
    of = np.arange(len(count)) % len(mean)  # which prediction: its own, or the only one
    for row in np.flatnonzero(~(upper > _SMALL_TAIL)):  # also where the table did not reach: NaN compares false
        mixed = joint[of[row]]
        used = mixed > 0
        weights, node = mixed[used], np.broadcast_to(mean[of[row]], used.shape)[used]
        spread_of = np.broadcast_to(concentration[:, None], used.shape)[used]
        upper[row] = weights @ upper_tail(count[row], node, spread_of)
        if np.isnan(lower[row]):
            lower[row] = 1.0 - weights @ upper_tail(count[row] + 1, node, spread_of)
            if lower[row] < _SMALL_TAIL:
                lower[row] = weights @ lower_tail(count[row], node, spread_of)
    return Prediction(expected[of], *quantiles[of].T, np.clip(upper, 0.0, 1.0), np.clip(lower, 0.0, 1.0))


def interpolating_concentrations(concentration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A few concentrations, and how a function's values there give its values at all of the draws'.

    Args:
        concentration: Of each draw, shape (n_draws,).

    Returns:
        concentrations (m,) and a matrix (n_draws, m) whose rows sum to 1.

    Example:
        >>> some, matrix = interpolating_concentrations(np.linspace(2.0, 3.0, 50))
        >>> len(some), bool(np.allclose(matrix @ np.log(some) ** 3, np.log(np.linspace(2.0, 3.0, 50)) ** 3))
        (8, True)
    """
    low, high = float(concentration.min()), float(concentration.max())
    if low == high:
        return concentration[:1], np.ones((len(concentration), 1))
    if not np.isfinite(high):
        return concentration, np.eye(len(concentration))
    wide = np.log(high / low)
    m = 6 + int(np.ceil(4 * wide))
    if m >= len(concentration):
        return concentration, np.eye(len(concentration))
    angle = np.pi * (np.arange(m) + 0.5) / m
    points = np.cos(angle)
    place = (2 * np.log(concentration / low) / wide - 1.0)[:, None]
    sign = (-1.0) ** np.arange(m) * np.sin(angle)  # barycentric weights of Chebyshev's points
    distance = place - points
    hit = np.abs(distance) < 1e-14
    with np.errstate(divide="ignore"):
        terms = np.where(hit.any(1, keepdims=True), hit, sign / np.where(hit, 1.0, distance))
    return low * np.exp(0.5 * (points + 1.0) * wide), terms / terms.sum(1, keepdims=True)


def _tabulated(
    mean: np.ndarray, concentration: np.ndarray, weight: np.ndarray, count: np.ndarray, levels: np.ndarray, far: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles (rows, levels), P(Y < count) and P(Y <= count), both (n,); NaN where a count lies beyond the table.

    P(0) = (1 + m/c)^-c and P(k + 1) = P(k) (c + k)/(k + 1) * m/(c + m).
    """
    inverse = 1.0 / concentration
    inverse = inverse[:, None]
    each = mean[:, None, :]
    found = np.exp(-log1p_ratio(each, inverse))
    found *= weight
    share = each / (1.0 + each * inverse)
    more = share * inverse
    quantiles = np.full((len(mean), len(levels)), np.nan)
    before, now = np.full(len(count), np.nan), np.full(len(count), np.nan)
    of = np.arange(len(count)) % len(mean)
    reached, k = np.zeros(len(mean)), 0
    while True:
        here = count == k
        before[here] = reached[of[here]]
        reached = reached + found.reshape(len(mean), -1).sum(1)
        now[here] = reached[of[here]]
        quantiles = np.where(np.isnan(quantiles) & (reached[:, None] >= levels), k, quantiles)
        if not np.isnan(quantiles).any() and (k >= count.max() or k >= far):
            return quantiles, before, now
        if k > 50 * LARGEST_TABLE:  # the last digits of a level so near 1 that rounding never reaches it
            return np.where(np.isnan(quantiles), k, quantiles), before, now
        found *= share
        found /= k + 1
        share += more
        k += 1
