"""Ridges of the likelihood: steps of several unknowns that no observation notices, though it notices each of them.

    x' J'J x = 0       J: scores of the observations, see `data_information`
    x' diag(J'J) x     what they would say of the same steps one by one

Along such a step nothing but the priors holds the unknowns, however many observations of the kind there were. That is
how it is found: as the step which costs least of  k J'J + 1/s^2  (s: the prior's standard deviations), each unknown
scaled to what is known of it, as though each observation had been made k times. It holds for a ridge that bends, too:
at every point of it there is such a step.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from modelwright.bayesian.diagnostics.flat_directions import (
    DIRECTIONS,
    LARGEST_DENSE,
    Direction,
    estimated_diagonal,
    largest_first,
    signs_of,
)

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.data_information import DataInformation
    from modelwright.bayesian.inference.unconstrained import Unconstrained

REPEATED = 1e4
"""How often each observation is taken to have been made while a ridge is looked for."""

UNNOTICED = 1e-5
"""Share of what the observations say of the unknowns one by one up to which a step goes unnoticed: a ridge comes out
below 1e-7, the gene whose gate and level are told apart worst (500 cells, 100 genes) at 2e-3."""

LARGEST_DATA_SHARE = 0.01
"""Share of what holds a step, the priors included, that may be the observations'."""

ANCHOR_SHARE = 0.9
"""Share of what holds a ridge from which a single number is its anchor (arbitrary), if it also holds the others to"""

HELD_BY_ANCHOR = 1.0 / 3.0
"""this part of the standard deviation of their own priors, so that a ninth of the variance is left."""

LEAST_SPREAD = 1.5
"""Spread from which there is a ridge to speak of; below, the data hardly notice the unknowns one by one either."""

LARGEST_STEPS = 240
"""Products of an iteration at most."""


def likelihood_ridges(
    density: "Unconstrained",
    information: "DataInformation",
    prior_sd: np.ndarray,
    z: np.ndarray,
    draws: np.ndarray,
    *,
    count: int = DIRECTIONS,
) -> tuple[Direction, ...]:
    """The steps that no observation notices, the widest for what each unknown shows by itself first.

    Args:
        density: The model's density; call with double precision on.
        information: What data and hierarchy say.
        prior_sd: Standard deviation of each unknown before the data, shape (d,).
        z: The point, shape (d,).
        draws: Draws of the fit, shape (n, d).
        count: How many at most.

    Returns:
        Directions: `shares` after how far the numbers of a site move (root mean square, in standard deviations of
        their prior); `spread` as far as the widths of the priors let them, over what prior and data together show one
        by one.
    """
    if density.size < 2:
        return ()
    widths = np.maximum(prior_sd, 1e-6)
    own = 1.0 / widths**2
    for name in information.of_hierarchy:  # which is in the information already
        own[density.places[name]] = 0.0

    def together(vectors: np.ndarray) -> np.ndarray:
        return information.products(vectors) + own * vectors

    if density.size <= LARGEST_DENSE:
        matrix = information.products(np.eye(density.size))
        each = np.diagonal(matrix) + own
        scale = 1.0 / np.sqrt(np.maximum(each, 1e-300))
        scaled = (REPEATED * 0.5 * (matrix + matrix.T) + np.diag(own)) * scale[:, None] * scale
        axes = list(np.linalg.eigh(scaled)[1][:, :count].T)
    else:
        each = np.maximum(estimated_diagonal(density, together), own)
        scale = 1.0 / np.sqrt(each)
        axes = []
        for _ in range(count):
            axis = smallest_axis(
                lambda v: scale * (REPEATED * information.products((scale * v)[None])[0] + own * scale * v),
                density.size,
                beside=axes,
            )
            axes.append(axis)
            if not _unnoticed(information, scale * axis, each - own):
                break
    found = []
    for axis in axes:
        step = scale * axis
        along = together(step[None])[0]
        total = float(step @ along)
        spread = 1.0 / np.sqrt(max(total, 1e-300))
        prior_share = float(np.clip(1.0 - information.along(step) / total, 0.0, 1.0))
        open_to_data = _unnoticed(information, step, each - own) and prior_share >= 1.0 - LARGEST_DATA_SHARE
        if not open_to_data or spread < LEAST_SPREAD or _is_anchored(density, step, own, widths):
            continue
        moves = _moves(density, step / widths)
        whole = sum(moves.values())
        shares = largest_first({name: move / whole for name, move in moves.items()})
        reported = float(((draws - z) @ along).std() / total)
        found.append(Direction(shares, signs_of(density, axis), spread, reported, prior_share))
    return tuple(sorted(found, key=lambda each: -each.spread))


def smallest_axis(
    product: Callable[[np.ndarray], np.ndarray], size: int, *, beside: list[np.ndarray] | None = None
) -> np.ndarray:
    """A unit vector for the smallest eigenvalue of a symmetric matrix that is known by its products, by Lanczos.

    Args:
        product: The matrix times a vector, both of shape (d,).
        size: d.
        beside: Unit vectors that it is to be orthogonal to.

    Returns:
        The vector, after `LARGEST_STEPS` products as good as it has become.

    Example:
        >>> diagonal = np.array([5.0, 0.1, 3.0, 4.0])
        >>> np.abs(smallest_axis(lambda v: diagonal * v, 4)).round(6).tolist()
        [0.0, 1.0, 0.0, 0.0]
    """
    away = np.array(beside or np.empty((0, size))).reshape(-1, size)
    steps = min(LARGEST_STEPS, size - len(away))
    basis = np.empty((steps, size))
    along, across = np.empty(steps), np.empty(steps)
    v = np.random.default_rng(0).standard_normal(size)
    v -= away.T @ (away @ v)
    v /= np.linalg.norm(v)
    for k in range(steps):
        basis[k] = v
        w = product(v)
        along[k] = v @ w
        for _ in range(2):  # orthogonal to all before, twice, or rounding brings them back
            w = w - away.T @ (away @ w) - basis[: k + 1].T @ (basis[: k + 1] @ w)
        across[k] = np.linalg.norm(w)
        last = k + 1 == steps or across[k] < 1e-12 * np.abs(along[: k + 1]).max()
        if last or k % 10 == 9:
            tridiagonal = np.diag(along[: k + 1]) + np.diag(across[:k], 1) + np.diag(across[:k], -1)
            values, vectors = np.linalg.eigh(tridiagonal)
            residual = across[k] * abs(vectors[-1, 0])
            if last or residual < 1e-2 * abs(values[0]):
                break
        v = w / across[k]
    found: np.ndarray = vectors[:, 0] @ basis[: k + 1]
    return found / np.linalg.norm(found)


def _unnoticed(information: "DataInformation", step: np.ndarray, each: np.ndarray) -> bool:
    """Whether a step costs the data next to nothing of what its numbers would one by one."""
    return information.along(step) <= UNNOTICED * float(step**2 @ np.maximum(each, 0.0))


def _moves(density: "Unconstrained", step: np.ndarray) -> dict[str, float]:
    return {name: float(np.sqrt((step[place] ** 2).mean())) for name, place in density.places.items()}


def _is_anchored(density: "Unconstrained", step: np.ndarray, own: np.ndarray, widths: np.ndarray) -> bool:
    """Whether the prior of one number holds a step, and by it all other sites well within their own priors."""
    holds = own * step**2
    largest = int(np.argmax(holds))
    if holds[largest] < ANCHOR_SHARE * holds.sum():
        return False
    free = _moves(density, step / widths / np.sqrt(holds.sum()))
    here = next(name for name, place in density.places.items() if place.start <= largest < place.stop)
    return all(move < HELD_BY_ANCHOR for name, move in free.items() if name != here)
