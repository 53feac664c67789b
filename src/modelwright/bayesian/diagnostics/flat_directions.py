"""Directions in which several unknowns move together at hardly any cost to the posterior density near a point.

The posterior's information matrix, each unknown scaled to its own curvature, has an eigenvalue near zero where unknowns
can move together: such a direction reaches 1/sqrt(eigenvalue) times as far as its unknowns show one by one. What the
Hessian at one point cannot show is a ridge that bends, see `ridges`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.bayesian.diagnostics.data_information import posterior_rows
from modelwright.bayesian.diagnostics.row_blocks import blocks_of_curvature, by_blocks

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.data_information import DataInformation
    from modelwright.bayesian.inference.unconstrained import Unconstrained

DIRECTIONS = 3
"""Directions looked at."""

LARGEST_DENSE = 400
"""Unknowns up to which all directions are found at once; of more, the flattest by Lanczos' iteration."""

FLATTEST = 1e-10
"""Eigenvalue (of a matrix with unit diagonal, in double precision) below which a direction has no curvature at all."""

SHARE_NAMED = 0.02
"""Share of a direction from which a site is named (arbitrary)."""


@dataclass(frozen=True)
class Direction:
    """A direction in which unknowns move together, in the unconstrained space.

    Args:
        shares: Site -> its share of the direction, largest first; they add up to one.
        signs: Site -> 1 where (nearly) all of its numbers grow along the direction, -1 where they fall, 0 for neither.
        spread: Standard deviation along it, over what the curvatures of its unknowns one by one would give; infinite
            where the density does not fall off along it.
        reported: The same of the fit's own draws.
        prior_share: Share of the curvature along it that the data do not account for.
    """

    shares: Mapping[str, float]
    signs: Mapping[str, int]
    spread: float
    reported: float
    prior_share: float

    @property
    def words(self) -> str:
        """The direction in words: which sites move, and how."""
        named = [name for name, share in self.shares.items() if share >= SHARE_NAMED]
        rising = [name for name in named if self.signs[name] == self.signs[named[0]] != 0]
        falling = [name for name in named if self.signs[name] == -self.signs[named[0]] != 0]
        if len(named) == 1:
            return f"the numbers of {named[0]} move together"
        if rising and falling:
            return f"{_listed(named)} move together ({_listed(rising)} up as {_listed(falling)} down)"
        return f"{_listed(named)} move together"


def flattest_directions(
    density: "Unconstrained",
    z: np.ndarray,
    draws: np.ndarray,
    *,
    count: int = DIRECTIONS,
    information: "DataInformation | None" = None,
) -> tuple[Direction, ...]:
    """The directions with the smallest eigenvalues of the posterior's information matrix scaled to a unit diagonal.

    Args:
        density: The model's density; call with double precision on.
        z: The point, shape (d,).
        draws: Draws of the fit, shape (n, d).
        count: How many directions.
        information: What the data say; where it is not known, what the Hessian has beyond that of the priors.
    """
    from modelwright.bayesian.inference.curvature import hessian_products

    if density.size < 2:
        return ()
    products = hessian_products(density, z)
    if information is None:
        of_prior = hessian_products(density, z, of_prior=True)

        def known(step: np.ndarray) -> float:
            return float(step @ (products(step[None])[0] - of_prior(step[None])[0]))

    else:
        known = information.along
    if density.size <= LARGEST_DENSE:
        matrix = products(np.eye(density.size))
        scale = 1.0 / np.sqrt(np.maximum(np.abs(np.diagonal(matrix)), 1e-300))
        strength, axes = np.linalg.eigh(0.5 * (matrix + matrix.T) * scale[:, None] * scale)
    else:
        blocks = blocks_of_curvature(density, z, lambda at, arrays: posterior_rows(density, at, arrays))
        products = by_blocks(density, blocks, products)
        scale = 1.0 / np.sqrt(estimated_diagonal(density, products))
        strength, axes = _lowest(lambda v: scale * products((scale * v)[None])[0], density.size, count)
    found = []
    for k in range(min(count, len(strength))):
        along = axes[:, k]
        spread = float(1.0 / np.sqrt(strength[k])) if strength[k] > FLATTEST else np.inf
        reported = float(((draws - z) @ (along / scale)).std())
        total = max(strength[k], 1e-12)
        prior_share = float(np.clip(1.0 - known(scale * along) / total, 0.0, 1.0))
        shares = {name: float((along[place] ** 2).sum()) for name, place in density.places.items()}
        found.append(Direction(largest_first(shares), signs_of(density, along), spread, reported, prior_share))
    return tuple(found)


def estimated_diagonal(density: "Unconstrained", products: Any) -> np.ndarray:
    """The diagonal of the information matrix, from probes that are random signs on one site each.

    Exact where the numbers of a site do not depend on each other given the rest; otherwise averaged over four probes.
    """
    generator = np.random.default_rng(0)
    probes = np.zeros((4 * len(density.shapes), density.size))
    for k, place in enumerate(density.places.values()):
        rows = slice(4 * k, 4 * k + 4)
        probes[rows, place] = generator.choice([-1.0, 1.0], size=(4, place.stop - place.start))
    found = probes * products(probes)
    estimate = found.sum(0) / 4.0
    typical = np.median(np.abs(estimate)) or 1.0
    return np.maximum(np.abs(estimate), 1e-6 * typical)


def largest_first(shares: Mapping[str, float]) -> dict[str, float]:
    """The same, the largest share first."""
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def signs_of(density: "Unconstrained", along: np.ndarray) -> dict[str, int]:
    """Site -> 1 or -1 where nine tenths of the weight of its numbers have that sign, 0 for neither."""
    found = {}
    for name, place in density.places.items():
        numbers = along[place]
        positive = float((numbers[numbers > 0] ** 2).sum() / max((numbers**2).sum(), 1e-300))
        found[name] = 1 if positive > 0.9 else -1 if positive < 0.1 else 0
    return found


def _lowest(product: Any, size: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    try:
        strength, axes = eigsh(operator, k=count, which="SA", ncv=40, maxiter=15, tol=1e-2, v0=start)
    except ArpackNoConvergence as stopped:  # what has converged is right; the rest is not told apart from noise
        strength, axes = stopped.eigenvalues, stopped.eigenvectors
    order = np.argsort(strength)
    return strength[order], axes[:, order]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
