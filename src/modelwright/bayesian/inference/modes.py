"""The modes of a density of a few unknowns, and the normal distributions that it looks like there."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

LogDensity = Callable[[np.ndarray], np.ndarray]
"""Points (n, d) -> log density (n,); -inf where it is zero."""

_STEPS = 40
_FRACTIONS = 2.0 ** np.arange(1, -11, -1)
_WIDEST = 5.0
"""Largest standard deviation that a flat direction is given."""

_WORTH_A_CLIMB = 60.0
"""Nats below the best mode so far at which a start is still followed: a narrow mode may be missed by as much."""

_WORTH_KEEPING = 15.0
"""Nats of mass below the largest mode's at which another mode still counts: less than a millionth of it."""


@dataclass(frozen=True, eq=False)
class Modes:
    """The modes that were found, with the normal approximation at each.

    Args:
        location: Shape (n, d).
        covariance: Shape (n, d, d).
        log_mass: Log of the integral of the normal approximation, shape (n,).
    """

    location: np.ndarray
    covariance: np.ndarray
    log_mass: np.ndarray


def find_modes(log_density: LogDensity, starts: np.ndarray, *, scale: np.ndarray | float = 0.1) -> Modes:
    """Climb from several starts and keep the modes that differ and matter.

    Args:
        log_density: The log density in unconstrained coordinates.
        starts: Where to begin, shape (n, d); the first is always followed, the others where they are not hopeless and
            do not lie within what has been found.
        scale: Rough standard deviation of each coordinate, which sets the first differences.

    Example:
        >>> two = lambda x: np.logaddexp(-0.5 * (x[:, 0] - 1.0) ** 2, -0.5 * ((x[:, 0] - 9.0) / 0.1) ** 2)
        >>> find_modes(two, np.array([[1.5], [0.8], [8.9]])).location.round(1).tolist()
        [[1.0], [9.0]]
    """
    d = starts.shape[1]
    heights = log_density(starts)
    location, covariance, mass, best = [], [], [], -np.inf
    for k, start in enumerate(starts):
        if location and (not heights[k] > best - _WORTH_A_CLIMB or _is_known(start, location, covariance, 2.0)):
            continue
        mode, spread = laplace(log_density, start, scale=scale)
        if _is_known(mode, location, covariance, 1.0):
            continue
        height = float(log_density(mode[None])[0])
        location.append(mode)
        covariance.append(spread)
        mass.append(height + 0.5 * float(np.linalg.slogdet(spread)[1]) + 0.5 * d * np.log(2 * np.pi))
        best = max(best, height)
    kept = np.array(mass) > max(mass) - _WORTH_KEEPING
    return Modes(np.stack(location)[kept], np.stack(covariance)[kept], np.array(mass)[kept])


def _is_known(point: np.ndarray, location: list[np.ndarray], covariance: list[np.ndarray], within: float) -> bool:
    """Whether a point lies within so many standard deviations of a mode already found."""
    return any(
        float((point - mode) @ np.linalg.solve(spread, point - mode)) < within**2
        for mode, spread in zip(location, covariance, strict=True)
    )


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
