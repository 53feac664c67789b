"""The mode of a density of a few unknowns, and the normal distribution that it looks like there."""

from collections.abc import Callable

import numpy as np

LogDensity = Callable[[np.ndarray], np.ndarray]
"""Points (n, d) -> log density (n,); -inf where it is zero."""

_STEPS = 40
_FRACTIONS = 2.0 ** np.arange(1, -11, -1)
_WIDEST = 5.0
"""Largest standard deviation that a flat direction is given."""


def laplace(
    log_density: LogDensity, start: np.ndarray, *, scale: np.ndarray | float = 0.1
) -> tuple[np.ndarray, np.ndarray]:
    """Mode and covariance of the normal approximation, by damped Newton with differences for derivatives.

    All differences of a step, and all lengths of its line search, are evaluated in one call each. Directions in which
    the density is not concave, or hardly, are followed uphill all the same. What comes back is a place to begin from,
    not an answer: nothing later depends on how near the mode it is.

    Args:
        log_density: The log density in unconstrained coordinates.
        start: Where to begin, shape (d,).
        scale: Rough standard deviation of each coordinate, which sets the first differences.

    Returns:
        The mode (d,) and the covariance (d, d).

    Example:
        >>> mode, covariance = laplace(lambda x: -0.5 * ((x[:, 0] - 3.0) / 2.0) ** 2, np.zeros(1))
        >>> bool(abs(mode[0] - 3.0) < 1e-3), bool(abs(covariance[0, 0] - 4.0) < 1e-3)
        (True, True)
    """
    here = np.asarray(start, float)
    widths = np.clip(np.broadcast_to(np.asarray(scale, float), here.shape), 1e-6, 1.0) * 0.3
    covariance = np.diag(widths**2)
    for _ in range(_STEPS):
        value, gradient, hessian = _derivatives(log_density, here, widths)
        strength, axes = np.linalg.eigh(-hessian)
        spread = 1.0 / np.sqrt(np.maximum(np.abs(strength), 1.0 / _WIDEST**2))
        covariance = (axes * spread**2) @ axes.T
        direction = covariance @ gradient
        longest = np.abs(direction).max()
        direction *= min(1.0, 5.0 / max(longest, 1e-300))
        values = log_density(here + _FRACTIONS[:, None] * direction)
        best = int(np.argmax(np.where(np.isnan(values), -np.inf, values)))
        gain = values[best] - value
        if gain > 0:
            here = here + _FRACTIONS[best] * direction
        widths = np.clip(0.1 * np.sqrt(np.diagonal(covariance)), 1e-6, 0.3)
        if not gain > 1e-3:
            break
    return here, covariance


def _derivatives(log_density: LogDensity, here: np.ndarray, widths: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    d = len(here)
    unit = np.diag(widths)
    pairs = [(i, j) for i in range(d) for j in range(i)]
    moves = [np.zeros(d), *unit, *(-unit)]
    for i, j in pairs:
        moves += [unit[i] + unit[j], -unit[i] - unit[j]]
    values = log_density(here + np.stack(moves))
    lowest = np.min(values, where=np.isfinite(values), initial=0.0)
    values = np.where(np.isfinite(values), values, lowest - 1e3)
    middle, up, down = values[0], values[1 : d + 1], values[d + 1 : 2 * d + 1]
    gradient = (up - down) / (2.0 * widths)
    hessian = np.diag((up - 2.0 * middle + down) / widths**2)
    for (i, j), both, neither in zip(pairs, values[2 * d + 1 :: 2], values[2 * d + 2 :: 2], strict=True):
        mixed = both + neither - up[i] - down[i] - up[j] - down[j] + 2.0 * middle
        hessian[i, j] = hessian[j, i] = mixed / (2.0 * widths[i] * widths[j])
    return float(middle), gradient, hessian
