"""The log likelihood of a whole table of cells x genes, value and gradient: compressed against dense, on real counts.

    python benchmarks/compressed_counts.py --data-dir ../shared/data/sc

Negative binomial with a concentration per gene and one success probability, and again with one per cell. Each contender
is compiled once (reported apart) and then timed; the value and every entry of the gradients are compared. Ends with 1
if the compressed form is less than 200 times faster than NumPyro's NegativeBinomialProbs, or differs from the dense
kernel by more than 1e-10, relative to the largest entry of the gradient and to the value. Where p is the best one given
r, its gradient is what rounding leaves of sums of millions that cancel: there every contender is held against the same
gradient in 40 digits, relative to the sum of the terms' sizes, below whose rounding no sum of them can be right.
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

    contenders = {
        "NumPyro NegativeBinomialProbs": (numpyro_probs, dense),
        "NumPyro NegativeBinomialLogits": (numpyro_logits, dense),
        "dense kernel": (kernel, dense),
        "compressed": (compressed, table),
    }
    holds = at_the_best_probability(contenders, counts, np.asarray(r))
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


def at_the_best_probability(
    contenders: dict[str, tuple[Likelihood, Any]], counts: sparse.csr_array, r: np.ndarray
) -> bool:
    """Print how far every contender's gradient is from the exact one where that of p vanishes."""
    total = int(counts.data.sum())
    logits = float(np.log(total / counts.shape[0] / r.sum()))
    of_r, of_logits = exact_gradient(counts, r, logits)
    print(f"  one probability, the best one given r: the exact gradient there is {of_logits:.3e} in its log odds")
    largest = max(1.0, np.abs(of_r).max())
    fine = True
    for name, (likelihood, observed) in contenders.items():
        found_r, found_logits = jax.jit(jax.grad(likelihood, (1, 2)))(observed, jnp.asarray(r), jnp.asarray(logits))
        apart = float(np.abs(np.asarray(found_r) - of_r).max()) / largest
        apart_logits = abs(float(found_logits) - of_logits)
        print(
            f"    {name:44} from the exact one: {apart:.1e} in r (relative to the largest entry), "
            f"{apart_logits:.1e} in the log odds, {apart_logits / total:.1e} of the terms",
            flush=True,
        )
        if name == "compressed":
            fine = max(apart, apart_logits / total) <= ALLOWED_DIFFERENCE
    return fine


def exact_gradient(counts: sparse.csr_array, r: np.ndarray, logits: float) -> tuple[np.ndarray, float]:
    """The gradient in r, shape (n_genes,), and in the log odds, by mpmath from the distinct counts of every gene."""
    import mpmath

    by_gene = counts.tocsc()
    n_cells = counts.shape[0]
    with mpmath.workdps(40):
        success = 1 / (1 + mpmath.exp(-mpmath.mpf(logits)))
        of_r = []
        for gene, concentration in enumerate(r):
            seen = by_gene.data[by_gene.indptr[gene] : by_gene.indptr[gene + 1]]
            value, times = np.unique(seen[seen > 0], return_counts=True)
            base = mpmath.digamma(mpmath.mpf(float(concentration)))
            terms = (
                int(n) * (mpmath.digamma(mpmath.mpf(float(concentration)) + int(y)) - base)
                for y, n in zip(value, times, strict=True)
            )
            of_r.append(float(mpmath.fsum(terms) + n_cells * mpmath.log(1 - success)))
        total, concentrations = int(counts.data.sum()), mpmath.fsum(mpmath.mpf(float(each)) for each in r)
        return np.array(of_r), float(total * (1 - success) - n_cells * concentrations * success)


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
