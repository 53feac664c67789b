"""How the curvature of a model's log density at a point is found: few products of the Hessian with a vector.

The whole Hessian of few unknowns; of many, an arrowhead of a few globals and many rows, which takes as many products
as there are globals and columns; where the rows depend on each other through one sum besides, three products more
(see `coupled_curvature`). Whether it *is* of this form is checked by a product with a random vector.
"""

from collections.abc import Callable

import numpy as np

from modelwright.bayesian.inference.coupled_curvature import Coupled, coupling
from modelwright.bayesian.inference.curvature import (
    Arrowhead,
    Curvature,
    Dense,
    NoCurvatureError,
    hessian_products,
)
from modelwright.bayesian.inference.unconstrained import Unconstrained

LARGEST_DENSE = 500
"""Unknowns up to which the whole Hessian is taken."""

LARGEST_GLOBAL = 16
"""Numbers a site may have to count as global (arbitrary)."""

ARROW_ERROR = 1e-6
"""Relative error of a product with a random vector up to which a Hessian counts as of its form."""


def curvature_at(density: Unconstrained, z: np.ndarray) -> Curvature:
    """The curvature of a model's log density at a point: dense for few unknowns, an arrowhead for many.

    Args:
        density: The density; call with double precision on.
        z: The point, shape (d,).

    Raises:
        NoCurvatureError: there are many unknowns, and their Hessian is no arrowhead.
    """
    products = hessian_products(density, z)
    if density.size <= LARGEST_DENSE:
        matrix = products(np.eye(density.size))
        return Dense(0.5 * (matrix + matrix.T))
    global_places, row_places = _arrangement(density)
    arrow = _arrowhead(products, density.size, global_places, row_places)
    error = _error(arrow.times, products, density.size)
    if error < ARROW_ERROR:
        return arrow
    along, sign = coupling(products, density.size, row_places)
    if np.isfinite(along).all():
        alone = lambda v: products(v) - sign * (v @ along)[:, None] * along  # noqa: E731
        coupled = Coupled(_arrowhead(alone, density.size, global_places, row_places), along, sign)
        error = _error(coupled.times, products, density.size)
        # what is added may hold up a direction in which the arrowhead alone falls, whose floor would then be wrong
        if error < ARROW_ERROR and not (sign > 0 and coupled.arrow.floored):
            return coupled
    raise NoCurvatureError(
        "the rows depend on each other, not only through the global unknowns",
        field="model",
        expected="an arrowhead of the information matrix",
        got=f"a product that is off by {error:.1e}",
        todo="use svi or nuts",
    )


def _arrowhead(
    products: Callable[[np.ndarray], np.ndarray], size: int, global_places: np.ndarray, row_places: np.ndarray
) -> Arrowhead:
    """What a product with every global and with every column of the rows say, if it is an arrowhead."""
    g = len(global_places)
    probes = np.zeros((g + row_places.shape[1], size))
    probes[np.arange(g), global_places] = 1.0
    for k in range(row_places.shape[1]):
        probes[g + k, row_places[:, k]] = 1.0
    found = products(probes)
    blocks = np.moveaxis(found[g:][:, row_places], 0, -1)  # (rows, k, k)
    return Arrowhead(
        global_places=global_places,
        row_places=row_places,
        corner=0.5 * (found[:g, global_places] + found[:g, global_places].T),
        border=np.moveaxis(found[:g][:, row_places], 0, -1),
        blocks=0.5 * (blocks + np.swapaxes(blocks, -1, -2)),
    )


def _arrangement(density: Unconstrained) -> tuple[np.ndarray, np.ndarray]:
    """Places of the globals and of the rows: sites whose first axis is the longest one common to any site."""
    sizes = {name: int(np.prod(shape)) for name, shape in density.shapes.items()}
    longest = max(shape[0] for name, shape in density.shapes.items() if shape and sizes[name] > LARGEST_GLOBAL)
    global_places, columns = [], []
    for name, place in density.places.items():
        here = np.arange(place.start, place.stop)
        shape = density.shapes[name]
        if shape and shape[0] == longest:
            columns.append(here.reshape(longest, -1))
        elif sizes[name] <= LARGEST_GLOBAL:
            global_places.append(here)
        else:
            raise NoCurvatureError(
                f"{name} is neither global nor has it one value for each of the {longest} rows",
                field="model",
                expected=f"at most {LARGEST_DENSE} unknowns, or a few global ones and many alike",
                got=f"{density.size} unknowns",
                todo="use svi or nuts",
            )
    empty = np.empty(0, int)
    return np.concatenate(global_places) if global_places else empty, np.concatenate(columns, axis=1)


def _error(times: Callable[[np.ndarray], np.ndarray], products: Callable[[np.ndarray], np.ndarray], size: int) -> float:
    """Relative error of a product with a random vector."""
    x = np.random.default_rng(0).standard_normal(size)
    exact = products(x[None])[0]
    return float(np.linalg.norm(exact - times(x)) / max(np.linalg.norm(exact), 1e-300))
