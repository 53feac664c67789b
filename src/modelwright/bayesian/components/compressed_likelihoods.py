"""Exact log likelihoods of a whole table of counts at the cost of its distinct pairs, gradients included.

Three forms, by what the parameters belong to:

    rank one    success probability of the cell, concentration of the gene:
                sum over pairs of w [log Gamma(y+r) - log Gamma(r)] + sum_c (sum_g r_g) log(1-p_c) + sum_c T_c log p_c
    pairs       everything belongs to the gene: any kernel, summed over distinct pairs, zeros among them
    sparse      a gate on top of rank one: zeros of all cells and genes without a gamma function, in blocks of cells

All agree with the sum of the dense kernels over every entry. They work in the type of their parameters; with counts of
millions the sums themselves need float64.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from modelwright.bayesian.components.compressed_counts import CompressedMatrix
from modelwright.bayesian.components.count_kernels import log_complement
from modelwright.bayesian.components.stirling_series import float_type, log_rise
from modelwright.bayesian.components.zero_terms import sum_of_zero_terms


def rank_one_log_likelihood(table: CompressedMatrix, concentration: Any, logits: Any) -> jax.Array:
    """Log likelihood of all counts, negative binomial, with a concentration per gene and log-odds per cell.

    Args:
        table: The counts.
        concentration: r, positive: a scalar, (n_genes,), or (n_batches, n_genes) for a table with batches.
        logits: log(p/(1-p)) with mean r p/(1-p): a scalar, or (n_cells,); a capture probability is part of it, see
            `captured_logits`.

    Returns:
        A scalar, in nats, constants included.

    Example:
        >>> import numpy as np
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> from modelwright.bayesian.components.count_kernels import negative_binomial_log_prob
        >>> counts, r = np.array([[0, 2, 1], [1, 2, 0]]), jnp.array([0.5, 2.0, 1.0])
        >>> whole = negative_binomial_log_prob(counts, r, 0.3).sum()
        >>> bool(jnp.allclose(rank_one_log_likelihood(compress_matrix(counts), r, 0.3), whole))
        True
    """
    kind = float_type(concentration, logits)
    r, per_cell = _by_group(table, concentration, kind), _by_cell(table, logits, kind)
    of_batch = r.reshape(table.n_batches, table.n_genes).sum(1)
    log_q = log_complement(per_cell)
    if table.n_batches == 1:
        cells = of_batch[0] * log_q.sum()
    else:
        cells = of_batch @ jax.ops.segment_sum(log_q, jnp.asarray(table.cell_batch), table.n_batches)
    return _rises(table, r) + cells + _success_term(table, per_cell) - jnp.asarray(table.log_factorials, kind)


def rank_one_poisson_log_likelihood(table: CompressedMatrix, gene_mean: Any, cell_scale: Any) -> jax.Array:
    """Log likelihood of all counts, Poisson, with mean gene_mean * cell_scale.

    Args:
        table: The counts.
        gene_mean: Positive: a scalar, (n_genes,), or (n_batches, n_genes).
        cell_scale: Positive: a scalar, or (n_cells,).

    Returns:
        A scalar, in nats, constants included.

    Example:
        >>> import numpy as np
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> from modelwright.bayesian.components.count_kernels import poisson_log_prob
        >>> counts, scale = np.array([[0, 2, 1], [1, 2, 0]]), jnp.array([0.5, 2.0])
        >>> whole = poisson_log_prob(counts, 1.5 * scale[:, None]).sum()
        >>> bool(jnp.allclose(rank_one_poisson_log_likelihood(compress_matrix(counts), 1.5, scale), whole))
        True
    """
    kind = float_type(gene_mean, cell_scale)
    mean, scale = _by_group(table, gene_mean, kind), _by_cell(table, cell_scale, kind)
    of_batch = mean.reshape(table.n_batches, table.n_genes).sum(1)
    expected = of_batch @ jax.ops.segment_sum(scale, jnp.asarray(table.cell_batch), table.n_batches)
    seen = jnp.asarray(table.group_total, kind) @ jnp.log(mean) + jnp.asarray(table.cell_total, kind) @ jnp.log(scale)
    return seen - expected - jnp.asarray(table.log_factorials, kind)


def pairs_log_likelihood(
    table: CompressedMatrix, log_prob: Callable[..., jax.Array], *gene_parameters: Any
) -> jax.Array:
    """Log likelihood of all counts where every parameter belongs to the gene (or to all of them).

    Args:
        table: The counts.
        log_prob: A kernel `log_prob(count, *parameters)`, such as `zero_inflated_negative_binomial_log_prob`.
        *gene_parameters: Its parameters: scalars, (n_genes,), or (n_batches, n_genes).

    Returns:
        A scalar, in nats.

    Example:
        >>> import numpy as np
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> from modelwright.bayesian.components.count_kernels import poisson_log_prob
        >>> counts, mean = np.array([[0, 2, 1], [1, 2, 0]]), jnp.array([0.5, 2.0, 1.0])
        >>> whole = poisson_log_prob(counts, mean).sum()
        >>> bool(jnp.allclose(pairs_log_likelihood(compress_matrix(counts), poisson_log_prob, mean), whole))
        True
    """
    kind = float_type(*gene_parameters)
    parameters = [_by_group(table, each, kind) for each in gene_parameters]
    group = jnp.asarray(table.pair_group)
    at_pairs = [each.at[group].get(indices_are_sorted=True, mode="promise_in_bounds") for each in parameters]
    positive = jnp.asarray(table.pair_multiplicity, kind) @ log_prob(jnp.asarray(table.pair_count, kind), *at_pairs)
    zeros = log_prob(jnp.zeros(table.n_groups, kind), *parameters)
    return positive + jnp.asarray(table.group_zeros, kind) @ zeros


def sparse_log_likelihood(
    table: CompressedMatrix, concentration: Any, logits: Any, gate_logits: Any, *, cells_per_block: int = 128
) -> jax.Array:
    """Log likelihood of all counts, zero-inflated negative binomial, with a gate per gene and log-odds per cell.

        log P(y > 0) = log(1-pi_g) + log NB(y | r_g, p_c);    log P(0) = log(pi_g + (1-pi_g) (1-p_c)^r_g)

    Gamma functions are taken at distinct pairs only. Zeros cost an exponential and a logarithm each; they are summed
    over all entries in blocks of cells, and what is not zero is taken off again.

    Args:
        table: The counts.
        concentration: r, positive: a scalar, (n_genes,), or (n_batches, n_genes).
        logits: log(p/(1-p)): a scalar, or (n_cells,).
        gate_logits: log(pi/(1-pi)): a scalar, (n_genes,), or (n_batches, n_genes).
        cells_per_block: Rows of the table in memory at a time.

    Returns:
        A scalar, in nats, constants included.

    Example:
        >>> import numpy as np
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> from modelwright.bayesian.components.zero_inflation import zero_inflated_negative_binomial_log_prob
        >>> counts, logits = np.array([[0, 2, 1], [1, 2, 0]]), jnp.array([0.5, -1.0])
        >>> whole = zero_inflated_negative_binomial_log_prob(counts, 2.0, logits[:, None], -1.0).sum()
        >>> bool(jnp.allclose(sparse_log_likelihood(compress_matrix(counts), 2.0, logits, -1.0), whole))
        True
    """
    kind = float_type(concentration, logits, gate_logits)
    r, gate = _by_group(table, concentration, kind), _by_group(table, gate_logits, kind)
    per_cell = _by_cell(table, logits, kind)
    positive = _rises(table, r) + _success_term(table, per_cell) - jnp.asarray(table.log_factorials, kind)
    return positive + _behind_gates(table, gate, r, log_complement(per_cell), cells_per_block)


def sparse_poisson_log_likelihood(
    table: CompressedMatrix, gene_mean: Any, cell_scale: Any, gate_logits: Any, *, cells_per_block: int = 128
) -> jax.Array:
    """Log likelihood of all counts, zero-inflated Poisson with mean gene_mean * cell_scale and a gate per gene.

    Args:
        table: The counts.
        gene_mean: Positive: a scalar, (n_genes,), or (n_batches, n_genes).
        cell_scale: Positive: a scalar, or (n_cells,).
        gate_logits: log(pi/(1-pi)): a scalar, (n_genes,), or (n_batches, n_genes).
        cells_per_block: Rows of the table in memory at a time.

    Returns:
        A scalar, in nats, constants included.

    Example:
        >>> import numpy as np
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> from modelwright.bayesian.components.zero_inflation import zero_inflated_poisson_log_prob
        >>> counts, scale = np.array([[0, 2, 1], [1, 2, 0]]), jnp.array([0.5, 2.0])
        >>> whole = zero_inflated_poisson_log_prob(counts, 2.0 * scale[:, None], -1.0).sum()
        >>> bool(jnp.allclose(sparse_poisson_log_likelihood(compress_matrix(counts), 2.0, scale, -1.0), whole))
        True
    """
    kind = float_type(gene_mean, cell_scale, gate_logits)
    mean, gate = _by_group(table, gene_mean, kind), _by_group(table, gate_logits, kind)
    scale = _by_cell(table, cell_scale, kind)
    seen = jnp.asarray(table.group_total, kind) @ jnp.log(mean) + jnp.asarray(table.cell_total, kind) @ jnp.log(scale)
    return seen - jnp.asarray(table.log_factorials, kind) + _behind_gates(table, gate, mean, -scale, cells_per_block)


def _behind_gates(
    table: CompressedMatrix, gate: jax.Array, weight: jax.Array, per_cell: jax.Array, cells_per_block: int
) -> jax.Array:
    """Zeros; for other entries log(1-pi) and what their base says of a zero, weight * per_cell, in place of a zero."""
    batch, cell = jnp.asarray(table.cell_batch), jnp.asarray(table.entry_cell)
    group = jnp.asarray(table.entry_gene)
    if table.n_batches > 1:
        group = batch[cell] * table.n_genes + group
    shape = (table.n_batches, table.n_genes)
    everywhere = sum_of_zero_terms(gate.reshape(shape), weight.reshape(shape), per_cell, batch, cells_per_block)
    # log(1-pi) + f - Z is the log probability that the gate of a zero there would be open
    opened = jax.nn.log_sigmoid(weight[group] * per_cell[cell] - gate[group])
    return everywhere + opened.sum()


def _rises(table: CompressedMatrix, r: jax.Array) -> jax.Array:
    at_pairs = r.at[jnp.asarray(table.pair_group)].get(indices_are_sorted=True, mode="promise_in_bounds")
    return jnp.asarray(table.pair_multiplicity, r.dtype) @ log_rise(at_pairs, jnp.asarray(table.pair_count))


def _success_term(table: CompressedMatrix, logits: jax.Array) -> jax.Array:
    return jnp.asarray(table.cell_total, logits.dtype) @ jax.nn.log_sigmoid(logits)


def _by_group(table: CompressedMatrix, parameter: Any, kind: Any) -> jax.Array:
    value = jnp.asarray(parameter, kind)
    return jnp.broadcast_to(value, (table.n_batches, table.n_genes)).reshape(-1)


def _by_cell(table: CompressedMatrix, parameter: Any, kind: Any) -> jax.Array:
    return jnp.broadcast_to(jnp.asarray(parameter, kind), (table.n_cells,))
