"""A sum of a smooth function over many whole numbers, by a few points per octave.

Log probabilities of counts are analytic functions of the count (log Gamma functions and integrals over a rate) whose
singularities lie at zero or below. On an octave [a, 2a) the interpolation in Chebyshev points therefore converges like
(3 + sqrt(8))^-n, so that a weighted sum over any number of counts between a and 2a equals, to rounding, a weighted sum
over `NODES` points. What the counts are enters through the weights alone, which are computed once.

Source:
    L. N. Trefethen (2013), Approximation Theory and Approximation Practice, theorem 8.2,
    https://doi.org/10.1137/1.9781611975949; barycentric formula: J.-P. Berrut, L. N. Trefethen (2004),
    https://doi.org/10.1137/S0036144502417715.
"""

import numpy as np

NODES = 20
"""Points an octave: (3 + sqrt(8))^-20 is 5e-16."""

FIRST = 16.0
"""Numbers below this are kept as they are."""


def octave_nodes(numbers: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights such that sum w f(number) is the same, to rounding, for every f as described above.

    Args:
        numbers: Distinct, at least 0, ascending, shape (n,).
        weights: Their weights, shape (n,).

    Returns:
        Points and weights, each of shape (m,), m <= n; the numbers themselves where they are few.

    Example:
        >>> many = np.arange(1000.0)
        >>> points, weights = octave_nodes(many, np.ones(1000))
        >>> len(points), bool(np.isclose(weights @ np.log1p(points), np.log1p(many).sum(), rtol=1e-13))
        (132, True)
    """
    if len(numbers) == 0:
        return numbers, weights
    points, kept = [numbers[numbers < FIRST]], [weights[numbers < FIRST]]
    low = FIRST
    while low <= numbers[-1]:
        here = (numbers >= low) & (numbers < 2 * low)
        if here.sum() <= NODES:
            points.append(numbers[here])
            kept.append(weights[here])
        else:
            unit, towards = _chebyshev(numbers[here] * (2.0 / low) - 3.0, weights[here])
            points.append((unit + 3.0) * (low / 2.0))
            kept.append(towards)
        low *= 2
    return np.concatenate(points), np.concatenate(kept)


def _chebyshev(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points of [-1, 1], and what Lagrange interpolation from them hands on of the weights at x."""
    angle = (np.arange(NODES) + 0.5) * (np.pi / NODES)
    node, barycentric = np.cos(angle), np.sin(angle) * (-1.0) ** np.arange(NODES)
    towards = np.zeros(NODES)
    for part in range(0, len(x), 100_000):
        away = x[part : part + 100_000, None] - node
        hit = np.abs(away) < 1e-15
        share = barycentric / np.where(hit, 1.0, away)
        share = np.where(hit.any(1, keepdims=True), hit, share)
        towards += (share / share.sum(1, keepdims=True) * weights[part : part + 100_000, None]).sum(0)
    return node, towards
