"""Quantiles of rates from their curves: distribution functions to high order, inverted by smooth interpolation.

Between points x_k a step h apart the distribution function grows by the two-point Hermite rule

    h (f0 + f1)/2 + h^2 (f0' - f1')/10 + h^3 (f0'' + f1'')/120          (error of order h^7)

summed from the left and from the right, so that both tails keep their digits. The inverse is interpolated as a function
of the logit l = log(F/(1 - F)), in which log rate is nearly linear:

    dx/dl = F (1 - F)/f,      d2x/dl2 = dx/dl (1 - 2F - f'/f dx/dl)

by quintic polynomials that match value, slope and curvature at the points. Beyond the first point the tail is exactly
exponential, beyond the last (1e-8 of the probability) taken as such.
"""

from dataclasses import dataclass

import numpy as np

_LEVELS = 5
"""A cell of the table is found by that many bisections of its 2^5 - 1 inner points, or more where there are more."""

_NOTHING = 1e-290
"""Where a density or a tail has underflowed, this keeps its inverse and its logarithm finite."""


@dataclass(frozen=True, eq=False)
class QuantileTable:
    """Inverse distribution functions of log rate, one per row.

    Args:
        inner: Logits at the points between cells, shape (n, 2^levels), padded with infinity.
        cells: Per cell the logit where it starts, one over its width in logits, and the six coefficients of x in
            (logit - start)/width, shape (n * n_cells, 8).
        n_cells: Cells per row.
        left: log F at the first point and the slope of log F in x left of it, shape (n, 2).
        right: log(1 - F) at the last point, the slope of -log(1 - F) right of it, and x there, shape (n, 3).
    """

    inner: np.ndarray
    cells: np.ndarray
    n_cells: int
    left: np.ndarray
    right: np.ndarray

    def log_rate(self, row: np.ndarray, log_below: np.ndarray, log_above: np.ndarray) -> np.ndarray:
        """X with F(x) = p for each row given.

        Args:
            row: Rows of the table, any shape.
            log_below: log p, same shape.
            log_above: log(1 - p), same shape.
        """
        logit = log_below - log_above
        width = self.inner.shape[1]
        start = row * width
        at = start - 1  # the last inner point at or below the logit; start - 1 when there is none
        inner = self.inner.reshape(-1)
        half = width // 2
        while half:
            at += half * (inner.take(at + half) <= logit)
            half //= 2
        cell = at - start + 1
        chosen = self.cells.take(row * self.n_cells + cell, axis=0)
        s = (logit - chosen[..., 0]) * chosen[..., 1]
        x = chosen[..., 7] * s
        for column in (6, 5, 4, 3):
            x += chosen[..., column]
            x *= s
        x += chosen[..., 2]
        beyond = np.flatnonzero(s < 0)
        if len(beyond):
            first = self.left[row[beyond]]
            x[beyond] = chosen[beyond, 2] + (log_below[beyond] - first[:, 0]) / first[:, 1]
        beyond = np.flatnonzero(s > 1)
        if len(beyond):
            last = self.right[row[beyond]]
            x[beyond] = last[:, 2] + (last[:, 0] - log_above[beyond]) / last[:, 1]
        return x


def quantile_table(
    x: np.ndarray,
    step: np.ndarray,
    density: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    left: np.ndarray,
    slope: np.ndarray,
    right: np.ndarray,
    steepness: np.ndarray,
) -> QuantileTable:
    """The table of densities given at equally spaced points, not necessarily normalised.

    Args:
        x: Points, shape (n, points).
        step: Distance between them, shape (n,).
        density: f at the points, shape (n, points).
        first: f', same shape.
        second: f'', same shape.
        left: Integral of f left of the first point, shape (n,).
        slope: Slope of its logarithm there.
        right: Integral of f right of the last point, shape (n,).
        steepness: Minus the slope of its logarithm there.
    """
    h = step[:, None]
    left, right = np.maximum(left, _NOTHING), np.maximum(right, _NOTHING)
    grown = (density[:, :-1] + density[:, 1:]) * (h / 2)
    grown += (first[:, :-1] - first[:, 1:]) * (h * h / 10)
    grown += (second[:, :-1] + second[:, 1:]) * (h * h * h / 120)
    below, above = np.empty_like(density), np.empty_like(density)
    below[:, 0], above[:, -1] = left, right
    np.cumsum(grown, axis=1, out=below[:, 1:])
    below[:, 1:] += left[:, None]
    np.cumsum(grown[:, ::-1], axis=1, out=above[:, -2::-1])
    above[:, :-1] += right[:, None]
    whole = below[:, :1] + above[:, :1]
    log_below, log_above = np.log(below), np.log(above)
    logit = log_below - log_above
    log_whole = np.log(whole[:, 0])
    inverse = 1.0 / np.maximum(density, _NOTHING)
    tangent = below * above
    tangent *= inverse
    tangent /= whole
    bend = (above - below) / whole
    bend -= first * inverse * tangent
    bend *= tangent
    n, points = density.shape
    cells = np.empty((n, points - 1, 8))
    width = logit[:, 1:] - logit[:, :-1]
    m0, m1 = tangent[:, :-1] * width, tangent[:, 1:] * width
    width_squared = width * width
    a0, a1 = bend[:, :-1] * width_squared, bend[:, 1:] * width_squared
    cells[..., 0] = logit[:, :-1]
    cells[..., 1] = 1.0 / width
    cells[..., 2] = x[:, :-1]
    cells[..., 3] = m0
    cells[..., 4] = 0.5 * a0
    cells[..., 5] = 10 * h - 6 * m0 - 4 * m1 - 1.5 * a0 + 0.5 * a1
    cells[..., 6] = -15 * h + 8 * m0 + 7 * m1 + 1.5 * a0 - a1
    cells[..., 7] = 6 * h - 3 * (m0 + m1) + 0.5 * (a1 - a0)
    inner = np.full((n, max(2**_LEVELS, 2 ** int(np.ceil(np.log2(points - 1))))), np.inf)
    inner[:, : points - 2] = logit[:, 1:-1]
    return QuantileTable(
        inner,
        cells.reshape(-1, 8),
        points - 1,
        np.stack([log_below[:, 0] - log_whole, slope], axis=1),
        np.stack([log_above[:, -1] - log_whole, steepness, x[:, -1]], axis=1),
    )
