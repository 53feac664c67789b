"""The log likelihood of a whole table of cells x genes, value and gradient: compressed against dense, on real counts.

    python benchmarks/compressed_counts.py --data-dir ../shared/data/sc

Negative binomial with a concentration per gene and one success probability, and again with one per cell. Each contender
is compiled once (reported apart) and then timed; the value and every entry of the gradients are compared. Ends with 1
if the compressed form is less than 200 times faster than NumPyro's NegativeBinomialProbs, or differs from the dense
kernel by more than 1e-10, relative to the largest entry of the gradient and to the value.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import sparse

from modelwright.bayesian.components.compressed_counts import CompressedMatrix, compress_matrix
from modelwright.bayesian.components.compressed_likelihoods import (
    pairs_log_likelihood,
    rank_one_log_likelihood,
    sparse_log_likelihood,
)
from modelwright.bayesian.components.count_kernels import negative_binomial_log_prob
from modelwright.bayesian.components.zero_inflation import zero_inflated_negative_binomial_log_prob

REQUIRED_RATIO = 200.0
ALLOWED_DIFFERENCE = 1e-10

Likelihood = Callable[..., jax.Array]


def main() -> int:
    """Compare on every file and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True, help="folder of .h5ad files")
    parser.add_argument("--files", nargs="+", default=["pbmc4k_top2000.h5ad", "worm_l2.h5ad"])
    parser.add_argument("--dense-runs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="start no further run of a contender after these")
    parser.add_argument("--runs", type=int, default=50, help="of the compressed forms")
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; jax {jax.__version__}, float64")
    holds = True
    with jax.enable_x64(True):
        for name in options.files:
            counts = read_counts(options.data_dir / name)
            began = time.perf_counter()
            table = compress_matrix(counts)
            seconds = time.perf_counter() - began
            print(
                f"\n{name}: {table.n_cells} cells x {table.n_genes} genes, {table.n_entries} non-zero "
                f"({table.n_entries / table.n_cells / table.n_genes:.1%}), {table.n_pairs} distinct pairs, "
                f"compressed in {seconds * 1e3:.0f} ms"
            )
            holds &= compare(counts, table, options.dense_runs, options.runs, options.seconds)
    print("\nholds" if holds else "\nDOES NOT HOLD")
    return 0 if holds else 1


def read_counts(path: Path) -> sparse.csr_array:
    """The counts X of an AnnData file, stored as compressed sparse rows."""
    with h5py.File(path) as file:
        group = file["X"]
        shape = tuple(group.attrs["shape"])
        return sparse.csr_array((group["data"][:], group["indices"][:], group["indptr"][:]), shape=shape)


def compare(counts: sparse.csr_array, table: CompressedMatrix, dense_runs: int, runs: int, limit: float) -> bool:
    """Time the contenders at one parameter value and print what came of it."""
    dense = jnp.asarray(counts.toarray(), jnp.float64)
    n_cells, n_genes = dense.shape
    draw = np.random.default_rng(1)
    share = np.maximum(table.cell_total, 1.0) / table.cell_total.mean()
    r = jnp.asarray(draw.gamma(2.0, 0.5, n_genes) + 0.01)
    logits = jnp.asarray(np.log(table.cell_total.sum() / n_cells / float(r.sum())) - 0.3)  # off the optimum, where a
    # gradient is the small difference of large sums and its rounding, in the dense form too, is all that is left of it
    per_cell = logits + jnp.asarray(np.log(share))
    gate = jnp.asarray(draw.normal(-1.0, 1.0, n_genes))
    genes_logits = jnp.asarray(draw.normal(float(logits), 0.5, n_genes))

    def column(logits: jax.Array) -> jax.Array:
        return logits[:, None] if logits.shape == (n_cells,) else logits

    def numpyro_probs(dense: jax.Array, r: Any, logits: Any) -> jax.Array:
        return dist.NegativeBinomialProbs(r, jax.nn.sigmoid(column(logits))).log_prob(dense).sum()

    def numpyro_logits(dense: jax.Array, r: Any, logits: Any) -> jax.Array:
        return dist.NegativeBinomialLogits(r, column(logits)).log_prob(dense).sum()

    def numpyro_gated(dense: jax.Array, r: Any, logits: Any, gate: Any) -> jax.Array:
        base = dist.NegativeBinomialLogits(r, column(logits))
        return dist.ZeroInflatedDistribution(base, gate_logits=gate).log_prob(dense).sum()

    def kernel(dense: jax.Array, r: Any, logits: Any) -> jax.Array:
        return negative_binomial_log_prob(dense, r, column(logits)).sum()

    def gated_kernel(dense: jax.Array, r: Any, logits: Any, gate: Any) -> jax.Array:
        return zero_inflated_negative_binomial_log_prob(dense, r, column(logits), gate).sum()

    def compressed(table: CompressedMatrix, r: Any, logits: Any) -> jax.Array:
        return rank_one_log_likelihood(table, r, logits)

    def compressed_gated(table: CompressedMatrix, r: Any, logits: Any, gate: Any) -> jax.Array:
        return sparse_log_likelihood(table, r, logits, gate)

    def pairs_gated(table: CompressedMatrix, r: Any, logits: Any, gate: Any) -> jax.Array:
        return pairs_log_likelihood(table, zero_inflated_negative_binomial_log_prob, r, logits, gate)

    holds = True
    for title, at in (("one probability", (r, logits)), ("a probability per cell", (r, per_cell))):
        print(f"  {title}")
        peers = {"NumPyro NegativeBinomialProbs": numpyro_probs, "NumPyro NegativeBinomialLogits": numpyro_logits}
        ratio, difference = _contest(peers, kernel, compressed, table, at, dense_runs, runs, limit, dense)
        holds &= ratio >= REQUIRED_RATIO and difference <= ALLOWED_DIFFERENCE
    for title, at, form in (
        ("a probability per cell and a gate per gene", (r, per_cell, gate), compressed_gated),
        ("a probability and a gate per gene", (r, genes_logits, gate), pairs_gated),
    ):
        print(f"  {title}")
        _, difference = _contest(
            {"NumPyro ZeroInflated NegativeBinomialLogits": numpyro_gated},
            gated_kernel,
            form,
            table,
            at,
            dense_runs,
            runs,
            limit,
            dense,
        )
        holds &= difference <= ALLOWED_DIFFERENCE
    return holds


def _contest(
    peers: dict[str, Likelihood],
    kernel: Likelihood,
    compressed: Likelihood,
    table: CompressedMatrix,
    at: tuple[Any, ...],
    dense_runs: int,
    runs: int,
    limit: float,
    dense: jax.Array,
) -> tuple[float, float]:
    """Print a line for each contender; the ratio to the first peer, and the difference from the dense kernel."""
    wanted = tuple(range(1, len(at) + 1))
    timed = {
        name: _timed(jax.jit(jax.value_and_grad(peer, wanted)), (dense, *at), dense_runs, limit)
        for name, peer in {**peers, "dense kernel": kernel}.items()
    }
    timed["compressed"] = _timed(jax.jit(jax.value_and_grad(compressed, wanted)), (table, *at), runs, limit)
    own = timed["compressed"][0]
    for name, (seconds, compiling, outcome) in timed.items():
        print(
            f"    {name:44} {seconds * 1e3:10.2f} ms   {seconds / own:8.1f} x   compiled in {compiling:5.1f} s   "
            f"largest difference from dense kernel {_difference(outcome, timed['dense kernel'][2]):.1e}",
            flush=True,
        )
    first = next(iter(peers))
    return timed[first][0] / own, _difference(timed["compressed"][2], timed["dense kernel"][2])


def _timed(
    function: Callable[..., Any], arguments: tuple[Any, ...], runs: int, limit: float
) -> tuple[float, float, Any]:
    """Median seconds of a run, seconds of compiling (with the first run), and the outcome."""
    arguments = jax.device_put(arguments)
    start = time.perf_counter()
    outcome = jax.block_until_ready(function(*arguments))
    first = time.perf_counter() - start
    seconds: list[float] = []
    while len(seconds) < runs and (not seconds or time.perf_counter() - start < limit):
        began = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    return median, max(first - median, 0.0), outcome


def _difference(one: Any, other: Any) -> float:
    """Largest difference of value and gradients, each relative to its largest entry (at least 1)."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(jnp.max(jnp.abs(a - b)) / jnp.maximum(1.0, jnp.max(jnp.abs(b)))) for a, b in pairs)


if __name__ == "__main__":
    sys.exit(main())
