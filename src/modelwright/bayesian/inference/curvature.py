"""The curvature of a log density at a point, dense or as an arrowhead, and the normal distribution that has it.

A model with a few global numbers g and many rows (a gene with its mean and spread) that are independent given the
globals has a Hessian that is dense in the globals and block-diagonal in the rows:

    H = | A  B |    A: (g, g),  B: (g, rows k),  D: rows blocks of (k, k)
        | B' D |

How either is found is in `curvature_search`; rows that depend on each other through one sum are in
`coupled_curvature`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.bayesian.inference.tracing import TRACING
from modelwright.bayesian.inference.unconstrained import Unconstrained
from modelwright.core.errors import ConfigurationError

WIDEST = 5.0
"""Standard deviation that a direction without curvature is given, as a transformed unknown seldom has a wider one."""


@final
class NoCurvatureError(ConfigurationError):
    """There are many unknowns, and their information matrix is no arrowhead."""


class Curvature(ABC):
    """A precision matrix and the normal distribution N(0, H^-1)."""

    @property
    @abstractmethod
    def log_determinant(self) -> float:
        """Log determinant of H."""

    @property
    @abstractmethod
    def floored(self) -> int:
        """Directions in which H was not positive and that were given the widest standard deviation."""

    @abstractmethod
    def draw(self, noise: np.ndarray) -> np.ndarray:
        """Turn standard normal noise, shape (n, d), into draws of N(0, H^-1)."""

    @abstractmethod
    def energy(self, x: np.ndarray) -> np.ndarray:
        """X' H x for each row of x, shape (n,)."""

    @abstractmethod
    def variances(self) -> np.ndarray:
        """The diagonal of H^-1, shape (d,)."""


@dataclass(frozen=True, eq=False)
class Dense(Curvature):
    """A whole precision matrix.

    Args:
        matrix: H, shape (d, d).

    Example:
        >>> curvature = Dense(np.array([[2.0, 0.0], [0.0, 8.0]]))
        >>> curvature.variances().tolist(), round(curvature.log_determinant, 3)
        ([0.5, 0.125], 2.773)
    """

    matrix: np.ndarray

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray, int]:
        return _floored(self.matrix[None])

    @cached_property
    def covariance(self) -> np.ndarray:
        """H^-1, shape (d, d)."""
        strength, axes, _ = self._spectrum
        return (axes[0] / strength[0]) @ axes[0].T

    @property
    def log_determinant(self) -> float:
        """Log determinant of H."""
        return float(np.log(self._spectrum[0]).sum())

    @property
    def floored(self) -> int:
        """Directions that were not positive."""
        return self._spectrum[2]

    def draw(self, noise: np.ndarray) -> np.ndarray:
        """Draws of N(0, H^-1)."""
        strength, axes, _ = self._spectrum
        return (noise / np.sqrt(strength[0])) @ axes[0].T

    def energy(self, x: np.ndarray) -> np.ndarray:
        """X' H x."""
        strength, axes, _ = self._spectrum
        return ((x @ axes[0]) ** 2 * strength[0]).sum(-1)

    def variances(self) -> np.ndarray:
        """The diagonal of H^-1."""
        strength, axes, _ = self._spectrum
        return (axes[0] ** 2 / strength[0]).sum(-1)


@dataclass(frozen=True, eq=False)
class Arrowhead(Curvature):
    """A precision matrix that is dense in a few unknowns and block-diagonal in all others.

    Args:
        global_places: Where the globals stand, shape (g,).
        row_places: Where the unknowns of each row stand, shape (rows, k).
        corner: A, shape (g, g).
        border: B by rows, shape (rows, k, g).
        blocks: D, shape (rows, k, k).
    """

    global_places: np.ndarray
    row_places: np.ndarray
    corner: np.ndarray
    border: np.ndarray
    blocks: np.ndarray

    @cached_property
    def _rows(self) -> tuple[np.ndarray, np.ndarray, int]:
        return _floored(self.blocks)

    @cached_property
    def slopes(self) -> np.ndarray:
        """How the rows' means move with the globals, -D^-1 B', shape (rows, k, g)."""
        strength, axes, _ = self._rows
        return -np.einsum("rij,rj,rkj,rkg->rig", axes, 1.0 / strength, axes, self.border)

    @cached_property
    def _globals(self) -> tuple[np.ndarray, np.ndarray, int]:
        schur = self.corner + np.einsum("rkg,rkh->gh", self.border, self.slopes)
        return _floored(schur[None])

    @property
    def log_determinant(self) -> float:
        """Log determinant of H."""
        return float(np.log(self._rows[0]).sum() + np.log(self._globals[0]).sum())

    @property
    def floored(self) -> int:
        """Directions that were not positive, given the globals or among them."""
        return self._rows[2] + self._globals[2]

    def draw(self, noise: np.ndarray) -> np.ndarray:
        """Draws of N(0, H^-1): the globals first, then every row given them."""
        drawn = np.empty_like(noise)
        strength, axes, _ = self._globals
        moved = (noise[:, self.global_places] / np.sqrt(strength[0])) @ axes[0].T
        drawn[:, self.global_places] = moved
        strength, axes, _ = self._rows
        own = np.einsum("rij,nrj->nri", axes, noise[:, self.row_places] / np.sqrt(strength))
        drawn[:, self.row_places] = own + np.einsum("rkg,ng->nrk", self.slopes, moved)
        return drawn

    def energy(self, x: np.ndarray) -> np.ndarray:
        """X' H x, by what the globals say and what every row says given them."""
        strength, axes, _ = self._globals
        moved = x[:, self.global_places]
        found = ((moved @ axes[0]) ** 2 * strength[0]).sum(-1)
        own = x[:, self.row_places] - np.einsum("rkg,ng->nrk", self.slopes, moved)
        strength, axes, _ = self._rows
        return found + (np.einsum("rij,nri->nrj", axes, own) ** 2 * strength).sum((-1, -2))

    def times(self, x: np.ndarray) -> np.ndarray:
        """H x, shape (d,)."""
        found = np.empty_like(x)
        of_globals, of_rows = x[self.global_places], x[self.row_places]
        found[self.global_places] = self.corner @ of_globals + np.einsum("rkg,rk->g", self.border, of_rows)
        found[self.row_places] = np.einsum("rkg,g->rk", self.border, of_globals) + np.einsum(
            "rkj,rj->rk", self.blocks, of_rows
        )
        return found

    def solve(self, x: np.ndarray) -> np.ndarray:
        """H^-1 x, shape (d,)."""
        found = np.empty_like(x)
        strength, axes, _ = self._globals
        pulled = x[self.global_places] + np.einsum("rkg,rk->g", self.slopes, x[self.row_places])
        found[self.global_places] = axes[0] @ ((axes[0].T @ pulled) / strength[0])
        along = np.einsum("rkg,g->rk", self.slopes, found[self.global_places])
        found[self.row_places] = self.solve_rows(x[self.row_places]) + along
        return found

    def solve_rows(self, x: np.ndarray) -> np.ndarray:
        """D^-1 x: the rows given the globals, shape (rows, k)."""
        strength, axes, _ = self._rows
        return np.einsum("rij,rj,rkj,rk->ri", axes, 1.0 / strength, axes, x)

    def variances(self) -> np.ndarray:
        """The diagonal of H^-1."""
        found = np.empty(self.global_places.size + self.row_places.size)
        strength, axes, _ = self._globals
        covariance = (axes[0] / strength[0]) @ axes[0].T
        found[self.global_places] = np.diagonal(covariance)
        strength, axes, _ = self._rows
        own = np.einsum("rij,rj->ri", axes**2, 1.0 / strength)
        found[self.row_places] = own + np.einsum("rkg,gh,rkh->rk", self.slopes, covariance, self.slopes)
        return found


def hessian_products(density: Unconstrained, z: np.ndarray, *, of_prior: bool = False) -> Any:
    """A function from vectors (n, d) to -Hessian of the log density times each, (n, d), compiled once."""
    arrays = density.call.device_arrays()
    function = density.log_prior if of_prior else density.log_joint

    def product(z: Any, vectors: Any, arrays: tuple[Any, ...]) -> Any:
        gradient = jax.grad(lambda at: -function(at, arrays))
        return jax.lax.map(lambda v: jax.jvp(gradient, (z,), (v,))[1], vectors)

    jitted = jax.jit(product)

    def apply(vectors: np.ndarray) -> np.ndarray:
        with TRACING:
            return np.asarray(jitted(jnp.asarray(z, float), jnp.asarray(vectors, float), arrays))

    return apply


def _floored(matrices: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Eigenvalues (n, d) and axes (n, d, d) of symmetric matrices, and how many of them were not positive."""
    if matrices.shape[-1] == 0:
        return np.empty(matrices.shape[:-1]), matrices, 0
    strength, axes = np.linalg.eigh(matrices)
    least = 1e-12 * np.abs(strength).max(-1, keepdims=True)
    bad = ~(strength > least)
    return np.where(bad, 1.0 / WIDEST**2, strength), axes, int(bad.sum())
