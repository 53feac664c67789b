"""What a gated likelihood says of zeros, summed over all cells and genes with its gradient, in blocks of cells.

    sum over cells c and genes g of Z(lambda_g, a_g b_c),    Z(lambda, f) = log(pi + (1-pi) e^f),   pi = sigmoid(lambda)

where f = a_g b_c is the base's log probability of zero: r_g log(1-p_c), or minus a Poisson mean. One exponential and
one logarithm an entry give the value and all derivatives, so the derivatives are summed in the same pass, and memory is
that of a block, not of the table.
"""

from functools import partial

import jax
import jax.numpy as jnp

Slopes = tuple[jax.Array, jax.Array, jax.Array]


@partial(jax.custom_jvp, nondiff_argnums=(4,))
def sum_of_zero_terms(
    gate: jax.Array, weight: jax.Array, per_cell: jax.Array, batch: jax.Array, cells_per_block: int
) -> jax.Array:
    """The sum above, a scalar.

    Args:
        gate: lambda, log-odds of the gates, shape (n_batches, n_genes).
        weight: a, same shape.
        per_cell: b, shape (n_cells,).
        batch: Batch of each cell, shape (n_cells,).
        cells_per_block: Cells in memory at a time.

    Example:
        >>> one = sum_of_zero_terms(jnp.zeros((1, 1)), jnp.ones((1, 1)), -jnp.ones(1), jnp.zeros(1, int), 8)
        >>> bool(jnp.isclose(one, jnp.log(0.5 + 0.5 * jnp.exp(-1.0))))
        True
    """
    return _value_and_slopes(gate, weight, per_cell, batch, cells_per_block)[0]


@sum_of_zero_terms.defjvp
def _sum_of_zero_terms_jvp(
    cells_per_block: int, primals: tuple[jax.Array, ...], tangents: tuple[jax.Array, ...]
) -> tuple[jax.Array, jax.Array]:
    value, slopes = _value_and_slopes(*primals, cells_per_block)
    return value, sum((slope * tangent).sum() for slope, tangent in zip(slopes, tangents[:3], strict=True))


def _value_and_slopes(
    gate: jax.Array, weight: jax.Array, per_cell: jax.Array, batch: jax.Array, cells_per_block: int
) -> tuple[jax.Array, Slopes]:
    """The sum, and its derivatives in gate, weight and per_cell."""
    n_cells, n_batches = len(per_cell), len(gate)
    size = min(cells_per_block, n_cells)
    n_blocks = -(-n_cells // size)
    missing = n_blocks * size - n_cells
    present = jnp.pad(jnp.ones_like(per_cell), (0, missing)).reshape(n_blocks, size)
    cells = jnp.pad(per_cell, (0, missing)).reshape(n_blocks, size)
    batches = jnp.pad(jnp.asarray(batch), (0, missing)).reshape(n_blocks, size)
    closed, pi = jax.nn.log_sigmoid(gate), jax.nn.sigmoid(gate)

    def to_batches(rows: jax.Array, label: jax.Array) -> jax.Array:
        """Sum rows (cells, genes) within batches."""
        return rows.sum(0, keepdims=True) if n_batches == 1 else jax.ops.segment_sum(rows, label, n_batches)

    @jax.checkpoint
    def block(sums: tuple[jax.Array, ...], rows: tuple[jax.Array, ...]) -> tuple[tuple[jax.Array, ...], jax.Array]:
        here, b, label = rows
        lam, a, log_pi, share = (_rows_of(part, label) for part in (gate, weight, closed, pi))
        above = a * b[:, None] - lam  # log of (1-pi) e^f over pi
        small = jnp.exp(-jnp.abs(above))
        terms = log_pi + jnp.maximum(above, 0.0) + jnp.log1p(small)
        open_share = jnp.where(above > 0, 1.0, small) / (1.0 + small) * here[:, None]
        total, in_gate, in_weight = sums
        total = total + here @ terms.sum(1)
        in_gate = in_gate + to_batches(here[:, None] * (1.0 - share) - open_share, label)
        in_weight = in_weight + to_batches(open_share * b[:, None], label)
        return (total, in_gate, in_weight), (open_share * a).sum(1)

    start = (jnp.zeros((), gate.dtype), jnp.zeros_like(gate), jnp.zeros_like(gate))
    (total, in_gate, in_weight), in_cells = jax.lax.scan(block, start, (present, cells, batches))
    return total, (in_gate, in_weight, in_cells.reshape(-1)[:n_cells])


def _rows_of(parameter: jax.Array, batch: jax.Array) -> jax.Array:
    return parameter if len(parameter) == 1 else parameter[batch]
