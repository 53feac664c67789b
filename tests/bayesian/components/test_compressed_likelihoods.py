"""Compressed log likelihoods against the sum of the dense kernels over every entry, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modelwright.bayesian.components.compressed_counts import compress_matrix
from modelwright.bayesian.components.compressed_likelihoods import (
    pairs_log_likelihood,
    rank_one_log_likelihood,
    rank_one_poisson_log_likelihood,
    sparse_log_likelihood,
    sparse_poisson_log_likelihood,
)
from modelwright.bayesian.components.count_distributions import captured_logits
from modelwright.bayesian.components.count_kernels import (
    negative_binomial_log_prob,
    negative_binomial_mean_log_prob,
    poisson_log_prob,
)
from modelwright.bayesian.components.zero_inflation import (
    zero_inflated_negative_binomial_log_prob,
    zero_inflated_negative_binomial_mean_log_prob,
    zero_inflated_poisson_log_prob,
)

N_CELLS, N_GENES, N_BATCHES = 23, 9, 3
DRAW = np.random.default_rng(2)
COUNTS = DRAW.negative_binomial(0.5, 0.1, (N_CELLS, N_GENES)) * (DRAW.random((N_CELLS, N_GENES)) < 0.6)
BATCH = np.arange(N_CELLS) % N_BATCHES
R = np.exp(DRAW.normal(0, 2, N_GENES))
R[0] = 1e8
R_BATCH = np.exp(DRAW.normal(0, 1, (N_BATCHES, N_GENES)))
LOGITS = DRAW.normal(0, 1, N_CELLS)
CAPTURE = DRAW.normal(-2, 1, N_CELLS)
GATE = DRAW.normal(0, 2, N_GENES)
GATE_BATCH = DRAW.normal(0, 2, (N_BATCHES, N_GENES))
MEAN = np.exp(DRAW.normal(1, 1, N_GENES))
SCALE = np.exp(DRAW.normal(0, 0.5, N_CELLS))


def small_blocks(table, *parameters):
    return sparse_log_likelihood(table, *parameters, cells_per_block=5)  # five blocks, the last one not full


# name: parameters, compressed form, kernel of (counts, *parameters, by cell and gene), whether batches are used
INSTANCES = {
    "one probability": (
        (R, 0.3), rank_one_log_likelihood, negative_binomial_log_prob, False),
    "a probability per cell": (
        (R, LOGITS), rank_one_log_likelihood, lambda y, r, e: negative_binomial_log_prob(y, r, e[:, None]), False),
    "captured": (
        (R, 0.3, CAPTURE),
        lambda t, r, e, c: rank_one_log_likelihood(t, r, captured_logits(e, capture_logits=c)),
        lambda y, r, e, c: negative_binomial_log_prob(y, r, captured_logits(e, capture_logits=c)[:, None]), False),
    "rank one by batch": (
        (R_BATCH, LOGITS), rank_one_log_likelihood,
        lambda y, r, e: negative_binomial_log_prob(y, r[BATCH], e[:, None]), True),
    "poisson": (
        (MEAN, SCALE), rank_one_poisson_log_likelihood, lambda y, m, s: poisson_log_prob(y, m * s[:, None]), False),
    "genes": (
        (MEAN, R), lambda t, *a: pairs_log_likelihood(t, negative_binomial_mean_log_prob, *a),
        negative_binomial_mean_log_prob, False),
    "gated genes by batch": (
        (MEAN, R_BATCH, GATE),
        lambda t, *a: pairs_log_likelihood(t, zero_inflated_negative_binomial_mean_log_prob, *a),
        lambda y, m, r, g: zero_inflated_negative_binomial_mean_log_prob(y, m, r[BATCH], g), True),
    "gated poisson genes": (
        (MEAN, -1.0), lambda t, *a: pairs_log_likelihood(t, zero_inflated_poisson_log_prob, *a),
        zero_inflated_poisson_log_prob, False),
    "gates and a probability per cell": (
        (R, LOGITS, GATE), small_blocks,
        lambda y, r, e, g: zero_inflated_negative_binomial_log_prob(y, r, e[:, None], g), False),
    "gates by batch": (
        (R_BATCH, LOGITS, GATE_BATCH), small_blocks,
        lambda y, r, e, g: zero_inflated_negative_binomial_log_prob(y, r[BATCH], e[:, None], g[BATCH]), True),
    "gates and a scale per cell": (
        (MEAN, SCALE, GATE), sparse_poisson_log_likelihood,
        lambda y, m, s, g: zero_inflated_poisson_log_prob(y, m * s[:, None], g), False),
}  # fmt: skip


@pytest.mark.parametrize(("parameters", "form", "kernel", "batches"), INSTANCES.values(), ids=INSTANCES.keys())
def test_equals_the_dense_kernel_with_its_gradient(parameters, form, kernel, batches):
    table = compress_matrix(COUNTS, BATCH if batches else None)

    @jax.jit
    def both(table, counts, *at):
        wanted = tuple(range(len(at)))
        compressed = jax.value_and_grad(lambda *at: form(table, *at), wanted)(*at)
        return compressed, jax.value_and_grad(lambda *at: kernel(counts, *at).sum(), wanted)(*at)

    with jax.enable_x64(True):
        at = [jnp.asarray(each, jnp.float64) for each in parameters]
        compressed, dense = both(table, COUNTS, *at)
    for found, truth in zip(jax.tree.leaves(compressed), jax.tree.leaves(dense), strict=True):
        # the same formula summed in another order, float64
        np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-10)


def test_single_precision_stays_single_and_close():
    table = compress_matrix(COUNTS)
    r, logits, gate = (jnp.asarray(each, jnp.float32) for each in (R, LOGITS, GATE))
    found = sparse_log_likelihood(table, r, logits, gate)
    assert found.dtype == jnp.float32
    with jax.enable_x64(True):
        truth = sparse_log_likelihood(table, *(jnp.asarray(each, jnp.float64) for each in (r, logits, gate)))
    # r = 1e8 with counts of hundreds: log r sums to some thousand nats and is taken off again
    assert float(found) == pytest.approx(float(truth), rel=1e-4)


def test_hessians_go_through_blocks():
    table = compress_matrix(COUNTS)
    dense = INSTANCES["gates and a probability per cell"][2]
    with jax.enable_x64(True):
        at = tuple(jnp.asarray(each) for each in (R[1:].repeat(2)[:N_GENES], LOGITS, GATE))
        found, truth = jax.jit(
            lambda r, e, g: (
                jax.hessian(lambda g: small_blocks(table, r, e, g))(g),
                jax.hessian(lambda g: dense(COUNTS, r, e, g).sum())(g),
            )
        )(*at)
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-9)


def test_another_table_of_the_same_shapes_compiles_nothing_anew():
    traced = []

    @jax.jit
    def likelihood(table, r):
        traced.append(1)
        return rank_one_log_likelihood(table, r, 0.0)

    first, second = (
        compress_matrix(np.array([[0, 2], [1, 2]])),
        compress_matrix(
            np.array(
                [
                    [3, 0],
                    [0, 7],
                ]
            )[::-1]
        ),
    )
    assert first.n_pairs == second.n_pairs
    likelihood(first, 1.0)
    likelihood(compress_matrix(np.array([[0, 4], [5, 4]])), 1.0)
    assert len(traced) == 1


@pytest.mark.realdata
@pytest.mark.slow
def test_equals_the_dense_kernel_on_real_counts(shared_data):
    h5py = pytest.importorskip("h5py")
    with h5py.File(shared_data / "sc" / "smfish_cortex.h5ad") as file:
        shape = tuple(file["X"].attrs["shape"])
        from scipy import sparse

        counts = sparse.csr_array((file["X/data"][:], file["X/indices"][:], file["X/indptr"][:]), shape=shape)
    table, dense = compress_matrix(counts), counts.toarray()
    with jax.enable_x64(True):
        r, logits = jnp.full(shape[1], 0.8), jnp.log(jnp.asarray(table.cell_total + 1.0) / shape[1])
        compressed = jax.value_and_grad(lambda r, e: rank_one_log_likelihood(table, r, e), (0, 1))(r, logits)
        whole = jax.value_and_grad(lambda r, e: negative_binomial_log_prob(dense, r, e[:, None]).sum(), (0, 1))(
            r, logits
        )
    for found, truth in zip(jax.tree.leaves(compressed), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-10, atol=1e-10 * float(np.abs(truth).max()))
