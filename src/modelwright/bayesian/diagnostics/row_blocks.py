"""Products with J'J or a Hessian where a row sees one number of each site: from blocks that are summed up once.

    rows[c, g] = f(p, mu[g], nu[c])

Between mu and nu the matrix is a table of cells x genes then, within each of them a diagonal, and p is a border of it.
A product takes a multiplication for each entry of that table, where the density takes its derivatives at each.

That a model is of this kind is supposed from the shapes of its sites, and believed where the product by blocks is the
density's own in a random direction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, combinations_with_replacement
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.bayesian.inference.tracing import TRACING

if TYPE_CHECKING:
    from modelwright.bayesian.inference.unconstrained import Unconstrained

AGREEMENT = 1e-6
"""Relative distance up to which two products are one: rounding leaves 1e-10, a row that sees more is far off."""

FEWEST = 400
"""Unknowns up to which blocks are not looked for (arbitrary): all products are wanted once, and cost little."""

Products = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Block:
    """What sums over rows give between two sites.

    Args:
        sites: The two, or one twice.
        letters: Of the axes of the rows that either has.
        values: Over the axes of both, in alphabetical order.
    """

    sites: tuple[str, str]
    letters: tuple[str, str]
    values: np.ndarray


def times(blocks: Sequence[Block], places: Mapping[str, slice], vectors: np.ndarray) -> np.ndarray:
    """A symmetric matrix that consists of blocks times each vector.

    Args:
        blocks: Each pair of sites in one order only.
        places: Site -> where it stands in a vector.
        vectors: Shape (n, d).

    Returns:
        Shape (n, d).

    Example:
        >>> border = Block(("p", "mu"), ("", "g"), np.array([2.0, 3.0]))
        >>> own = Block(("mu", "mu"), ("g", "g"), np.array([1.0, 1.0]))
        >>> times([border, own], {"p": slice(0, 1), "mu": slice(1, 3)}, np.array([[1.0, 10.0, 100.0]])).tolist()
        [[320.0, 12.0, 103.0]]
    """
    found = np.zeros(vectors.shape)
    for block in blocks:
        axes = "".join(sorted(set("".join(block.letters))))
        ways = {(0, 1), (1, 0)} if block.sites[0] != block.sites[1] else {(0, 1)}
        for to, by in ways:
            shape = [block.values.shape[axes.index(letter)] for letter in block.letters[by]]
            numbers = vectors[:, places[block.sites[by]]].reshape(-1, *shape)
            recipe = f"{axes},Z{block.letters[by]}->Z{block.letters[to]}"
            product = np.einsum(recipe, block.values, numbers, optimize=True)
            found[:, places[block.sites[to]]] += product.reshape(len(vectors), -1)
    return found


def blocks_of_scores(
    density: "Unconstrained", shapes: Mapping[str, tuple[int, ...]], scores: Callable[[Any], Mapping[str, Any]]
) -> list[Block]:
    """Blocks of J'J, from the rows' derivatives along each site.

    Args:
        density: Whose unknowns they are.
        shapes: Part of the density -> shape of its rows.
        scores: A direction, shape (d,) -> derivatives of the rows, by part.

    Returns:
        What the matrix is if the shapes of sites tell how rows see them; not yet believed, see `by_blocks`.
    """
    along = {name: scores(one) for name, one in _ones(density).items()}
    return [
        Block((a, b), (at[a], at[b]), _summed(np.asarray(along[a][part]) * np.asarray(along[b][part]), at[a], at[b]))
        for part, at in _letters(density, shapes).items()
        for a, b in combinations_with_replacement(at, 2)
    ]


def blocks_of_curvature(
    density: "Unconstrained", z: np.ndarray, rows: Callable[[Any, Any], Mapping[str, Any]]
) -> list[Block]:
    """Blocks of minus the Hessian of a sum of rows at a point.

    Args:
        density: Whose unknowns they are; call with double precision on.
        z: The point, shape (d,).
        rows: A point and the call's arrays -> the rows, by part; a part that is the prior of a site has its name.

    Returns:
        As for `blocks_of_scores`; none where data are summed up in one number, or a site lies along no rows but those
        of its own prior.
    """
    arrays = density.call.device_arrays()
    with TRACING:
        found = jax.eval_shape(rows, z, arrays)
    letters = _letters(density, {part: each.shape for part, each in found.items()})
    summed_up = any(each.size == 1 for part, each in found.items() if part not in density.shapes)
    if summed_up or any(all(name not in at for part, at in letters.items() if part != name) for name in density.shapes):
        return []

    @jax.jit
    def bends(z: Any, arrays: Any, one: Any, other: Any) -> Any:
        def slope(at: Any) -> Any:
            return jax.jvp(lambda x: rows(x, arrays), (at,), (one,))[1]

        return jax.jvp(slope, (z,), (other,))[1]

    ones, blocks = _ones(density), []
    for a, b in combinations_with_replacement(density.shapes, 2):
        shared = [part for part, at in letters.items() if a in at and b in at]
        if shared:
            with TRACING:
                values = bends(jnp.asarray(z, float), arrays, ones[a], ones[b])
            for part in shared:
                at = (letters[part][a], letters[part][b])
                blocks.append(Block((a, b), at, -_summed(np.asarray(values[part]), *at)))
    return blocks


def by_blocks(density: "Unconstrained", blocks: Sequence[Block], products: Products) -> Products:
    """Products by blocks where they are the density's own, else the latter.

    Args:
        density: Whose unknowns they are.
        blocks: What is supposed of the matrix.
        products: Vectors, shape (n, d) -> the matrix times each.
    """
    kept = [block for block in blocks if block.values.any()]
    places = density.places
    probe = np.random.default_rng(0).standard_normal((1, density.size))
    own = products(probe)
    if not np.abs(times(kept, places, probe) - own).max() <= AGREEMENT * np.abs(own).max():
        return products
    return lambda vectors: times(kept, places, np.asarray(vectors, float))


def lie_along(density: "Unconstrained", shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether each site has the shape of axes of the rows of every part, so that there may be blocks.

    Args:
        density: Whose unknowns they are.
        shapes: Part of the density -> shape of its rows.
    """
    return all(set(at) == set(density.shapes) for at in _letters(density, shapes).values())


def _ones(density: "Unconstrained") -> dict[str, np.ndarray]:
    found = {name: np.zeros(density.size) for name in density.shapes}
    for name, place in density.places.items():
        found[name][place] = 1.0
    return found


def _letters(density: "Unconstrained", shapes: Mapping[str, tuple[int, ...]]) -> dict[str, dict[str, str]]:
    """Part -> site -> letters of the axes of the part's rows that the site lies along, for sites that lie along any."""
    found: dict[str, dict[str, str]] = {part: {} for part in shapes}
    for part, rows in shapes.items():
        for name, shape in density.shapes.items():
            lengths = tuple(length for length in shape if length > 1)
            axes = combinations(range(len(rows)), len(lengths))
            fitting = next((each for each in axes if tuple(rows[k] for k in each) == lengths), None)
            if fitting is not None:
                found[part][name] = "".join(ascii_lowercase[k] for k in fitting)
    return found


def _summed(values: np.ndarray, *letters: str) -> np.ndarray:
    """Sums over all axes without a letter."""
    kept = {ascii_lowercase.index(letter) for letter in "".join(letters)}
    return values.sum(tuple(k for k in range(values.ndim) if k not in kept))
