"""A smooth function of an entity's sums at several exposures, known at a few of them and so known at all.

Log probabilities of sums, and the moments and quantiles of the rate given sums, are analytic in each sum as long as all
of them together exceed minus the population's shape (`octave_nodes` says why). Between the smallest and the largest sum
of a cell, a distance L apart, interpolation in n Chebyshev points therefore errs like rho^-n with

    rho = z + sqrt(z^2 - 1),     z = 1 + 2 d / L,     d the smallest sum of sums in the cell

so sums of few windows beside those of many need few points, and often none: where the sums themselves are fewer, these
are the points. Cells are octaves of every sum, sums below 16 together.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.octave_nodes import FIRST
from modelwright.bayesian.event_rates.rate_integrals import Windows
from modelwright.bayesian.event_rates.shared_grids import SumsTable

NATS = 27.0
"""Nats to which a function is interpolated unless told: e^-27 is 2e-12."""

_POINTS_PER_ROW = 60
"""A table pays until it has this many times as many points as there are rows to interpolate."""

_SHARP = 40.0
"""With more than the square of this many events the rate may be so precise that shared grids take more points."""

_FEWEST = 20
"""Nor does it pay for fewer rows than this."""

_ROWS = 4096
"""Rows interpolated at once."""


@dataclass(frozen=True, eq=False)
class SumCell:
    """Rows whose sums lie near each other, and the points that say all about them.

    Args:
        table: The points.
        rows: Positions of the rows, shape (n,).
        along: How the values at `table.along` give those at each row, shape (n, n_along).
        others: The same for every other exposure, arrays (n, n_points).
    """

    table: SumsTable
    rows: np.ndarray
    along: np.ndarray
    others: tuple[np.ndarray, ...]

    def weight(self, times: np.ndarray) -> np.ndarray:
        """Weights of the points, (n_along, n_beside), that make their weighted sum that over the rows, `times` each."""
        found = np.zeros((self.along.shape[1], len(self.table.beside)))
        for start in range(0, len(self.rows), _ROWS):
            here = slice(start, start + _ROWS)
            found += (self.along[here] * times[here, None]).T @ self._beside(here)
        return found

    def at_rows(self, values: np.ndarray) -> np.ndarray:
        """A function at the rows, shape (n,), from its values at the points, (n_along, n_beside)."""
        found = np.empty(len(self.rows))
        for start in range(0, len(self.rows), _ROWS):
            here = slice(start, start + _ROWS)
            found[here] = ((self.along[here] @ values) * self._beside(here)).sum(1)
        return found

    def points(self) -> Windows:
        """The points as rows of statistics, arrays (n_along * n_beside, n_exposures), `beside` running fastest."""
        n, m = len(self.table.along), len(self.table.beside)
        total = np.concatenate([np.repeat(self.table.along, m)[:, None], np.tile(self.table.beside, (n, 1))], axis=1)
        return Windows(np.tile(self.table.exposure, (n * m, 1)), total, np.tile(self.table.number, (n * m, 1)))

    def _beside(self, rows: slice) -> np.ndarray:
        found = np.ones((len(self.along[rows]), 1))
        for other in self.others:
            found = (found[:, :, None] * other[rows][:, None, :]).reshape(len(found), -1)
        return found


def sum_cells(windows: Windows, *, nats: float = NATS) -> tuple[list[SumCell], np.ndarray]:
    """Gather rows into cells.

    Args:
        windows: Rows of statistics, arrays (n_rows, n_exposures), at least two exposures.
        nats: To which functions are to be interpolated.

    Returns:
        The cells, and the positions of rows that are too few to be worth one.

    Example:
        >>> first, second = (part.ravel().astype(float) for part in np.meshgrid(np.arange(200, 250), np.arange(10)))
        >>> rows = np.stack([first, second], axis=1)
        >>> (cell,), rest = sum_cells(Windows(np.ones_like(rows), rows, np.ones_like(rows)))
        >>> table, points = cell.table, cell.table.along[:, None] + cell.table.beside[:, 0]
        >>> points.size, bool(np.allclose(cell.at_rows(np.log(points)), np.log(rows.sum(1)), rtol=0, atol=1e-11))
        (77, True)
    """
    total = windows.total
    octave = np.where(total < FIRST, 0, np.floor(np.log2(np.maximum(total, FIRST) / FIRST)) + 1)
    keys = np.concatenate([windows.exposure, windows.number, octave], axis=1)
    order = np.lexsort(keys.T[::-1])
    arranged = keys[order]
    starts = np.flatnonzero(np.r_[True, (arranged[1:] != arranged[:-1]).any(1)])
    cells, rest = [], []
    for rows in np.split(order, starts[1:]):
        cell = _cell(windows, rows, nats)
        if cell is None:
            rest.append(rows)
        else:
            cells.append(cell)
    return cells, np.concatenate(rest) if rest else np.empty(0, dtype=np.int64)


def _cell(windows: Windows, rows: np.ndarray, nats: float) -> SumCell | None:
    if len(rows) < _FEWEST:
        return None
    total = windows.total[rows]
    smallest = total.min(0).sum()
    axes = [_axis(total[:, e], smallest, nats) for e in range(total.shape[1])]
    cost = np.prod([float(len(points)) for points, _ in axes]) * max(1.0, np.sqrt(smallest) / _SHARP)
    if cost > _POINTS_PER_ROW * len(rows):
        return None
    first = int(np.argmax([len(points) for points, _ in axes]))
    order = [first, *(e for e in range(len(axes)) if e != first)]
    beside = np.stack(np.meshgrid(*(axes[e][0] for e in order[1:]), indexing="ij"), axis=-1).reshape(-1, len(order) - 1)
    exposure, number = (part[rows[0], order] for part in (windows.exposure, windows.number))
    table = SumsTable(exposure, number, axes[first][0], beside)
    return SumCell(table, rows, axes[first][1], tuple(axes[e][1] for e in order[1:]))


def _axis(sums: np.ndarray, smallest: float, nats: float) -> tuple[np.ndarray, np.ndarray]:
    """Points for the sums at one exposure, and the matrix (n_rows, n_points) from these to the sums."""
    values, where = np.unique(sums, return_inverse=True)
    low, high = values[0], values[-1]
    if smallest > 0 and high > low:
        z = 1.0 + 2.0 * smallest / (high - low)
        n = int(np.ceil(nats / np.log(z + np.sqrt(z * z - 1.0)))) + 1
        if n < len(values):
            points, matrix = _chebyshev(values, n)
            return points, matrix[where]
    return values, np.eye(len(values))[where]


def _chebyshev(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Chebyshev points between the first and the last value, and Lagrange's interpolation matrix to the values."""
    angle = (np.arange(n) + 0.5) * (np.pi / n)
    node, barycentric = np.cos(angle), np.sin(angle) * (-1.0) ** np.arange(n)
    middle, half = 0.5 * (values[0] + values[-1]), 0.5 * (values[-1] - values[0])
    away = (values[:, None] - middle) / half - node
    hit = np.abs(away) < 1e-15
    share = barycentric / np.where(hit, 1.0, away)
    share = np.where(hit.any(1, keepdims=True), hit, share)
    return middle + half * node, share / share.sum(1, keepdims=True)
