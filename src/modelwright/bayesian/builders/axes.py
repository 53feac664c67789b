"""How values of different axes meet: every value is laid out so that ordinary broadcasting puts it beside the others.

The axes have one order, cells, components, genes. Laid out, a value has the axes from its first one on, of length one
where it does not run over an axis: with genes only r is (G,), a capture probability is (C, 1), beside components (K, 1)
and (C, 1, 1). Axes of other names stay as they are, for functions that know them; `n_batches` in front is looked up by
each cell's batch, so that the value becomes one of cells.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp

from modelwright.bayesian.builders.specification import CELLS, COMPONENTS, GENES, AbstractParamSpec
from modelwright.bayesian.components.observed import ObservedCounts
from modelwright.core.errors import ConfigurationError

BATCHES = "n_batches"

ORDER = (CELLS, COMPONENTS, GENES)


def joined(all_dims: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The axes of something computed from values with these axes; batches become cells.

    Example:
        >>> joined([("n_genes",), (), ("n_cells",)])
        ('n_cells', 'n_genes')
        >>> joined([("n_batches", "n_genes"), ("n_components",)])
        ('n_cells', 'n_components', 'n_genes')
    """
    found = {CELLS if dim == BATCHES else dim for dims in all_dims for dim in dims}
    return (*(dim for dim in ORDER if dim in found), *sorted(found - set(ORDER)))


def axis_lengths(
    specs: Iterable[AbstractParamSpec],
    fixed: Mapping[str, int],
    data: ObservedCounts | None,
    dims: Mapping[str, int] | None,
) -> dict[str, int]:
    """Length of every axis.

    Args:
        specs: The parameters, whose axes have to be known.
        fixed: Lengths that the builder knows.
        data: Counts that know theirs.
        dims: Lengths given by hand.

    Raises:
        ConfigurationError: an axis whose length nobody says, or that is said in two ways.
    """
    known = {} if data is None else {CELLS: data.n_cells, GENES: data.n_genes, **data.lengths}
    found: dict[str, int] = {}
    for lengths in (fixed, dims or {}, known):
        for name, length in lengths.items():
            if found.setdefault(name, int(length)) != length:
                raise ConfigurationError(
                    "two lengths for one axis", field=name, expected=str(found[name]), got=int(length)
                )
    missing = sorted({CELLS, GENES, *(dim for spec in specs for dim in spec.dims)} - set(found))
    if missing:
        raise ConfigurationError(
            "the length of this axis is not known",
            field=missing[0],
            expected=f"counts, or dims with {', '.join(missing)}",
            todo=f"pass dims={{{missing[0]!r}: ...}}",
        )
    return found


def laid_out(value: Any, dims: tuple[str, ...], *, components: bool, batch: Any = None) -> Any:
    """A value with the axes `dims`, laid out to meet others.

    Args:
        value: Shape in the order of `dims`.
        dims: Its axes.
        components: Whether the model has the axis of components.
        batch: Batch of each cell, shape (n_cells,), for values with the axis `n_batches` in front.

    Example:
        >>> laid_out(jnp.ones(4), ("n_cells",), components=False).shape
        (4, 1)
        >>> laid_out(jnp.ones((4, 9)), ("n_cells", "n_genes"), components=True).shape
        (4, 1, 9)
    """
    if BATCHES in dims and batch is not None:
        value, dims = jnp.take(value, batch, axis=0), (CELLS, *dims[1:])
    if any(dim not in ORDER for dim in dims) or not dims:
        return value
    order = ORDER if components else (CELLS, GENES)
    first = order.index(dims[0])
    sizes = dict(zip(dims, jnp.shape(value), strict=True))
    return jnp.reshape(value, [sizes.get(dim, 1) for dim in order[first:]])


def beside(laid: Any, dims: tuple[str, ...], of: tuple[str, ...], *, components: bool) -> Any:
    """A laid-out value as an argument of the prior of a parameter with the axes `of`, without axes that one has not.

    Example:
        >>> beside(jnp.ones((4, 1)), ("n_cells",), ("n_cells",), components=False).shape
        (4,)
        >>> beside(jnp.ones((4, 1, 1)), ("n_cells",), ("n_cells", "n_genes"), components=True).shape
        (4, 1)
    """
    if not dims or any(dim not in ORDER for dim in dims):
        return laid
    order = ORDER if components else (CELLS, GENES)
    axes = order[order.index(dims[0]) :]
    return jnp.reshape(laid, [length for dim, length in zip(axes, jnp.shape(laid), strict=True) if dim in of])


def gathered(value: Any, dims: tuple[str, ...], sizes: Mapping[str, int], *, components: bool) -> Any:
    """A laid-out value as an array with just the axes `dims`, for the record.

    Raises:
        ValueError: the value does not broadcast to these axes.

    Example:
        >>> sizes = {"n_cells": 4, "n_genes": 9}
        >>> gathered(jnp.ones((4, 1, 9)), ("n_cells", "n_genes"), sizes, components=True).shape
        (4, 9)
    """
    if any(dim not in ORDER for dim in dims) or not dims:
        return value
    order = ORDER if components else (CELLS, GENES)
    wide = [sizes[dim] if dim in dims else 1 for dim in order[order.index(dims[0]) :]]
    return jnp.reshape(jnp.broadcast_to(value, wide), [sizes[dim] for dim in dims])
