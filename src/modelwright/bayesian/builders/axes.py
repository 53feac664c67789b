"""How values of different axes meet: every value is laid out so that ordinary broadcasting puts it beside the others.

The axes have one order, cells, components, genes. Laid out, a value has the axes from its first one on, of length one
where it does not run over an axis: with genes only r is (G,), a capture probability is (C, 1), beside components (K, 1)
and (C, 1, 1). The order in which a parameter names its axes is its own: laid out, they come in the one order. Axes of
other names stay as they are, for functions that know them.

`n_batches` stands where the cells would: what is computed from values of batches alone is a value of batches. Beside
values of cells it is looked up by each cell's batch.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from modelwright.bayesian.builders.specification import CELLS, COMPONENTS, GENES, AbstractParamSpec
from modelwright.bayesian.components.observed import ObservedCounts
from modelwright.core.errors import ConfigurationError

BATCHES = "n_batches"

ORDER = (CELLS, COMPONENTS, GENES)


def joined(all_dims: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The axes of something computed from values with these axes; beside cells, batches become cells.

    Example:
        >>> joined([("n_genes",), (), ("n_cells",)])
        ('n_cells', 'n_genes')
        >>> joined([("n_batches", "n_genes"), ("n_components",)])
        ('n_batches', 'n_components', 'n_genes')
        >>> joined([("n_batches", "n_genes"), ("n_cells",)])
        ('n_cells', 'n_genes')
    """
    found = {dim for dims in all_dims for dim in dims}
    if CELLS in found:
        found.discard(BATCHES)
    known = (BATCHES, *ORDER)
    return (*(dim for dim in known if dim in found), *sorted(found - set(known)))


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
            todo=(
                "give counts with batches: observe(counts, batch=...)"
                if missing[0] == BATCHES
                else f"pass dims={{{missing[0]!r}: ...}}"
            ),
        )
    return found


def check_batch_size(batch_size: Any, n_cells: int) -> None:
    """Refuse a mini-batch that the cells cannot fill.

    Args:
        batch_size: Cells in a mini-batch; None for all.
        n_cells: Cells.
    """
    if batch_size is None:
        return
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or not 1 <= batch_size <= n_cells:
        raise ConfigurationError(
            "not a size of mini-batches of these cells",
            field="batch_size",
            expected=f"a whole number from 1 to {n_cells}",
            got=batch_size,
            todo="leave batch_size out to look at all cells in every step",
        )


def laid_out(value: Any, dims: tuple[str, ...], *, components: bool) -> Any:
    """A value of these axes with them in the one order, batches in the place of cells.

    Args:
        value: Shape in the order of `dims`.
        dims: Its axes, in any order.
        components: Whether the model has the axis of components.

    Example:
        >>> laid_out(jnp.ones(4), ("n_cells",), components=False).shape
        (4, 1)
        >>> laid_out(jnp.ones((4, 9)), ("n_cells", "n_genes"), components=True).shape
        (4, 1, 9)
        >>> laid_out(jnp.ones((9, 2)), ("n_genes", "n_batches"), components=False).shape
        (2, 9)
    """
    if BATCHES in dims:
        value, dims = jnp.moveaxis(value, dims.index(BATCHES), 0), (BATCHES, *(dim for dim in dims if dim != BATCHES))
    order = _order(dims, components=components)
    if any(dim not in order for dim in dims) or not dims:
        return value
    return _spread_out(value, dims, order)


def of_their_cells(value: Any, batch: Any) -> Any:
    """A laid-out value of batches looked up by each cell's batch, shape (n_cells,).

    Example:
        >>> of_their_cells(jnp.array([[1.0], [5.0]]), jnp.array([1, 0, 1]))[:, 0].tolist()
        [5.0, 1.0, 5.0]
    """
    return jnp.take(value, batch, axis=0)


def of_the_cells(value: Any, dims: tuple[str, ...], batch: Any) -> tuple[Any, tuple[str, ...]]:
    """A value looked up by each cell's batch, the cells in front, and its axes then; as it is without `n_batches`."""
    if BATCHES not in dims:
        return value, dims
    at = dims.index(BATCHES)
    found = jnp.moveaxis(jnp.take(value, batch, axis=at), at, 0)
    return found, (CELLS, *dims[:at], *dims[at + 1 :])


def beside(value: Any, dims: tuple[str, ...], of: tuple[str, ...], *, batch: Any = None) -> Any:
    """A value as an argument of the prior of a parameter with the axes `of`: it broadcasts, in the order of these.

    Args:
        value: Shape in the order of `dims`.
        dims: Its axes, all of them among `of`, where `n_batches` may be met by the cells.
        of: Axes of the parameter, in its order.
        batch: Batch of each cell.

    Example:
        >>> beside(jnp.ones(4), ("n_cells",), ("n_cells", "n_genes")).shape
        (4, 1)
        >>> beside(jnp.ones((3, 9)), ("n_components", "n_genes"), ("n_genes", "n_components")).shape
        (9, 3)
    """
    if batch is not None and BATCHES not in of:
        value, dims = of_the_cells(value, dims, batch)
    return value if not dims or any(dim not in of for dim in dims) else _spread_out(value, dims, of)


def gathered(value: Any, dims: tuple[str, ...], sizes: Mapping[str, int], *, components: bool) -> Any:
    """A laid-out value as an array with just the axes `dims`, for the record.

    Args:
        value: Broadcasts to these axes, laid out.
        dims: Axes in the one order, as `joined` puts them.
        sizes: Length of every axis.
        components: Whether the model has the axis of components.

    Raises:
        ValueError: the value does not broadcast to these axes.

    Example:
        >>> sizes = {"n_cells": 4, "n_genes": 9}
        >>> gathered(jnp.ones((4, 1, 9)), ("n_cells", "n_genes"), sizes, components=True).shape
        (4, 9)
    """
    order = _order(dims, components=components)
    if any(dim not in order for dim in dims) or not dims:
        return value
    wide = [sizes[dim] if dim in dims else 1 for dim in order[order.index(dims[0]) :]]
    return jnp.reshape(jnp.broadcast_to(value, wide), [sizes[dim] for dim in dims])


def _order(dims: tuple[str, ...], *, components: bool) -> tuple[str, ...]:
    """The one order for a value of these axes: batches or cells, components where the model has them, genes."""
    first = BATCHES if BATCHES in dims else CELLS
    return (first, COMPONENTS, GENES) if components else (first, GENES)


def _spread_out(value: Any, dims: tuple[str, ...], order: tuple[str, ...]) -> Any:
    """The axes of a value brought into this order, from its first one on, of length one where it has none."""
    there = [dim for dim in order if dim in dims]
    turned = jnp.transpose(value, [dims.index(dim) for dim in there])
    lengths = dict(zip(there, jnp.shape(turned), strict=True))
    return jnp.reshape(turned, [lengths.get(dim, 1) for dim in order[order.index(there[0]) :]])
