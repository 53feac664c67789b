"""A curvature of many rows that depend on each other through one sum, besides a few globals.

With cells integrated out, what is left of them is a function of the sum of the genes' concentrations. The information
matrix is then that of an arrowhead A and one vector u over all rows:

    H = A + sign u u',    H^-1 = A^-1 + gain w w',    w = A^-1 u,   gain = -sign / (1 + sign u'w)

Three products find u: with the rows in three parts, a product with a vector on one part is, on another part, a multiple
of u alone; the multiples follow from each other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np

from modelwright.bayesian.inference.curvature import WIDEST, Arrowhead, Curvature


@final
@dataclass(frozen=True, eq=False)
class Coupled(Curvature):
    """A precision matrix that is an arrowhead and sign u u'.

    Args:
        arrow: A.
        along: u, shape (d,), zero at the globals.
        sign: 1 or -1.

    Example:
        >>> arrow = Arrowhead(np.array([0]), np.array([[1], [2]]), np.eye(1), np.zeros((2, 1, 1)), np.ones((2, 1, 1)))
        >>> curvature = Coupled(arrow, np.array([0.0, 0.5, 0.5]), -1.0)   # rows of precision [[.75, -.25], [-.25, .75]]
        >>> curvature.variances().round(3).tolist(), round(curvature.log_determinant, 4)
        ([1.0, 1.5, 1.5], -0.6931)
    """

    arrow: Arrowhead
    along: np.ndarray
    sign: float

    @cached_property
    def _moved(self) -> np.ndarray:
        return self.arrow.solve(self.along)

    @cached_property
    def _gain(self) -> tuple[float, bool]:
        """The factor of w w', and whether H was not positive along w, which is given the widest deviation then."""
        rest = 1.0 + self.sign * float(self.along @ self._moved)
        if rest > 1e-12:
            return -self.sign / rest, False
        return WIDEST**2 / float((self._moved**2).max()), True

    @property
    def _stretch(self) -> float:
        """What the variance along w is multiplied by."""
        return 1.0 + self._gain[0] * float(self.along @ self._moved)

    @property
    def log_determinant(self) -> float:
        """Log determinant of H."""
        return self.arrow.log_determinant - float(np.log(self._stretch))

    @property
    def floored(self) -> int:
        """Directions that were not positive."""
        return self.arrow.floored + int(self._gain[1])

    def draw(self, noise: np.ndarray) -> np.ndarray:
        """Draws of N(0, H^-1): those of the arrowhead, stretched along w."""
        drawn = self.arrow.draw(noise)
        factor = (np.sqrt(self._stretch) - 1.0) / float(self.along @ self._moved)
        return drawn + factor * (drawn @ self.along)[:, None] * self._moved

    def energy(self, x: np.ndarray) -> np.ndarray:
        """X' H x."""
        return self.arrow.energy(x) - self._gain[0] / self._stretch * (x @ self.along) ** 2

    def variances(self) -> np.ndarray:
        """The diagonal of H^-1."""
        return self.arrow.variances() + self._gain[0] * self._moved**2

    def times(self, x: np.ndarray) -> np.ndarray:
        """H x, shape (d,)."""
        return self.arrow.times(x) + self.sign * self.along * float(self.along @ x)

    @cached_property
    def slopes(self) -> np.ndarray:
        """How the rows' means move with the globals, shape (rows, k, g)."""
        alone, u = self.arrow.slopes, self.along[self.arrow.row_places]
        given = self.arrow.solve_rows(u)
        rest = 1.0 + self.sign * float((u * given).sum())
        return alone - self.sign / rest * given[..., None] * np.einsum("rk,rkg->g", u, alone)


def coupling(
    products: Callable[[np.ndarray], np.ndarray], size: int, row_places: np.ndarray
) -> tuple[np.ndarray, float]:
    """The vector u and its sign, if the rows are coupled by sign u u' and else one by one; not finite if by nothing.

    Args:
        products: From vectors (n, d) to H times each.
        size: Unknowns, d.
        row_places: Where the unknowns of each row stand, shape (rows, k).

    Example:
        >>> u = np.array([0.0, 1.0, 2.0, 3.0])
        >>> matrix = np.diag([9.0, 1.0, 2.0, 3.0]) - np.outer(u, u)
        >>> found, sign = coupling(lambda v: v @ matrix, 4, np.array([[1], [2], [3]]))
        >>> np.abs(found).round(9).tolist(), sign
        ([0.0, 1.0, 2.0, 3.0], -1.0)
    """
    parts = [row_places[first::3].reshape(-1) for first in range(3)]
    generator = np.random.default_rng(0)
    probes = np.zeros((3, size))
    for probe, part in zip(probes, parts, strict=True):
        probe[part] = generator.uniform(0.5, 1.5, len(part))
    found = products(probes)
    # with u'x of the parts' probes called alpha: sign alpha_i alpha_j is what probe i says on part j, along probe j
    between = np.array([[found[i, parts[j]] @ probes[j, parts[j]] for j in range(3)] for i in range(3)])
    with np.errstate(all="ignore"):
        size_of_first = between[0, 1] * between[0, 2] / between[1, 2]
        sign = float(np.sign(size_of_first))
        first = np.sqrt(abs(size_of_first))
        second = sign * between[0, 1] / first
        along = np.zeros(size)
        along[parts[0]] = sign * found[1, parts[0]] / second
        for part in parts[1:]:
            along[part] = sign * found[0, part] / first
    return along, sign
