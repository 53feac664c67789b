"""Fits of count models: where they begin and end, what their intervals cover, what the builders cost, what SVI costs.

    python benchmarks/count_fits.py                                  # begin overhead nuts (nuts needs --data-dir)
    python benchmarks/count_fits.py --parts nuts --data-dir path/to/data

begin: 500 cells x 100 genes, simulated: how near the loss it can reach the default fit is after 200 steps, how
many of the true r lie in their 90 % intervals (over several data sets, by SVI and by Laplace), and what the model with
capture probabilities says about itself.

overhead: the ELBO of a builder-made model and guide against the same by hand in NumPyro, at equal parameters, and
the time of a step of each in turn.

nuts: 200 genes of real cells: NUTS and SVI side by side, and the guide's k-hat.

Exit status: 0 when everything is as it should be, 1 otherwise.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.infer import SVI, Trace_ELBO

from modelwright.bayesian.builders import BetaSpec, GuideBuilder, LogNormalSpec, ModelBuilder
from modelwright.bayesian.components import MeanFieldGuide, NegativeBinomialLikelihood
from modelwright.bayesian.diagnostics.identifiability import identify
from modelwright.bayesian.inference import laplace, nuts, svi
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.single_cell.count_models import count_model, default_guide
from modelwright.data.counts import load_counts, select_genes, simulate_counts

PARTS = ("begin", "overhead", "nuts")


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--data-dir", type=Path, help="folder with sc/")
    parser.add_argument("--repeats", type=int, default=5, help="data sets whose intervals are looked at")
    options = parser.parse_args()
    fine = True
    if "begin" in options.parts:
        fine &= begin(options.repeats)
    if "overhead" in options.parts:
        fine &= overhead()
    if "nuts" in options.parts and options.data_dir is not None:
        fine &= beside_nuts(options.data_dir)
    print("\nas it should be" if fine else "\nNOT as it should be")
    return 0 if fine else 1


def begin(repeats: int) -> bool:
    """Loss after few steps, coverage, and what is said of the model that is not identified."""
    print("\n## 500 cells x 100 genes, simulated (nbdm, canonical parameters)\n")
    model = count_model("nbdm", "canonical")
    covered: dict[str, list[float]] = {"svi": [], "laplace": []}
    fine = True
    for seed in range(repeats):
        truth = simulate_counts("nbdm", n_cells=500, n_genes=100, p=0.6, seed=seed)
        counts, r = truth.counts, truth.truth["r"]
        fit = svi(model, default_guide(model), counts, steps=200, seed=seed)
        found = {"svi": fit, "laplace": laplace(model, counts)}
        for name, each in found.items():
            low, high = np.quantile(each.sample(4000, seed)["r"], [0.05, 0.95], axis=0)
            covered[name].append(float(np.mean((low < r) & (r < high))))
        if seed == 0:
            longer = svi(model, default_guide(model), counts, steps=5000, seed=seed)
            best = float(np.mean(-longer.elbo[-500:]))
            first, last = float(np.mean(-fit.elbo[:20])), float(np.mean(-fit.elbo[-20:]))
            print(
                f"loss of the first 20 steps {first:,.1f}, of the last 20 of 200 {last:,.1f}; after 5,000 {best:,.1f}"
            )
            print(f"above the reachable: {first / best - 1:.5%} at the start, {last / best - 1:.5%} after 200 steps")
            fine &= last / best - 1 < 1e-3
    for name, shares in covered.items():
        print(
            f"90 % intervals of r by {name}: cover {np.mean(shares):.1%} of {100 * repeats} (least {min(shares):.0%})"
        )
        fine &= 0.85 <= np.mean(shares) <= 0.95
    captured = count_model("nbvcp", "canonical")
    truth = simulate_counts("nbvcp", n_cells=500, n_genes=100, p=0.6, seed=0)
    fit = svi(captured, default_guide(captured), truth.counts, steps=2000)
    open_questions = [finding for finding in identify(fit).findings if str(finding.grade) != "good"]
    print("\nthe model with capture probabilities, without an anchor, says:")
    for finding in open_questions:
        print(f"  {finding.grade}: {finding.sentence}")
    ridge = "p_capture and p move together (p_capture up as p down)"
    named = any(finding.name == "flat_direction" and ridge in finding.sentence for finding in open_questions)
    print(f"the ridge is named, capture probability up as p down: {'yes' if named else 'NO'}")
    return fine and named


def by_hand(counts: Any, batch_size: int | None = None) -> None:
    """The model that the builders make below, as a NumPyro user writes it."""
    p = numpyro.sample("p", dist.Beta(1.0, 1.0))
    with numpyro.plate("genes", counts.shape[1]):
        mu = numpyro.sample("mu", dist.LogNormal(0.0, 1.0))
    with numpyro.plate("cells", counts.shape[0], subsample_size=batch_size) as index:
        rows = counts if batch_size is None else counts[index]
        each = dist.NegativeBinomialLogits(mu * (1 - p) / p, jnp.log(p) - jnp.log1p(-p))
        numpyro.sample("counts", each.to_event(1), obs=rows)


def guide_by_hand(counts: Any, batch_size: int | None = None) -> None:
    """Its mean-field guide."""
    n_genes = counts.shape[1]
    for name, shape, transform in (
        ("p", (), dist.transforms.SigmoidTransform()),
        ("mu", (n_genes,), dist.transforms.ExpTransform()),
    ):
        loc = numpyro.param(f"{name}_loc", jnp.zeros(shape))
        scale = numpyro.param(f"{name}_scale", jnp.full(shape, 0.1), constraint=constraints.softplus_positive)
        if name == "p":
            numpyro.sample(name, dist.TransformedDistribution(dist.Normal(loc, scale), transform))
        else:
            with numpyro.plate("genes", n_genes):
                numpyro.sample(name, dist.TransformedDistribution(dist.Normal(loc, scale), transform))


def overhead() -> bool:
    """ELBO and time of a step of builder-made callables against hand-written ones."""
    print("\n## Builders against NumPyro by hand: 2,000 cells x 500 genes, mini-batches of 256\n")
    counts = jnp.asarray(
        simulate_counts("nbdm", n_cells=2000, n_genes=500, p=0.6, seed=0).counts.matrix.toarray(), float
    )
    p = BetaSpec("p", (), (1.0, 1.0), guide_family=MeanFieldGuide())
    mu = LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), guide_family=MeanFieldGuide())
    builder = ModelBuilder().add_param(p).add_param(mu)
    builder.add_derived("r", lambda p, mu: mu * (1 - p) / p, ["p", "mu"])
    pairs = {
        "builders": (
            builder.with_likelihood(NegativeBinomialLikelihood(), entries="dense").build(),
            GuideBuilder().from_specs([p, mu]).build(),
        ),
        "by hand": (by_hand, guide_by_hand),
    }
    with jax.enable_x64(True):
        wide = jnp.asarray(np.asarray(counts), float)
        losses = {}
        for name, (model, guide) in pairs.items():
            made = SVI(model, guide, numpyro.optim.Adam(1e-3), Trace_ELBO(num_particles=1))
            state = made.init(jax.random.key(0), wide)
            losses[name] = float(made.evaluate(state, wide))
    # the same parameters and draws: keys are split by the order of the sites, which is the same
    gap = abs(losses["builders"] / losses["by hand"] - 1.0)
    print(f"ELBO at equal parameters: {-losses['builders']:.6f} and {-losses['by hand']:.6f}, apart by {gap:.1e}")
    steppers = {}
    for name, (model, guide) in pairs.items():
        made = SVI(model, guide, numpyro.optim.Adam(1e-3), Trace_ELBO())
        state = made.init(jax.random.key(0), counts, batch_size=256)

        def many(state: Any, made: Any = made) -> Any:
            return jax.lax.scan(lambda s, _: made.update(s, counts, batch_size=256), state, length=100)[0]

        run = jax.jit(many)
        steppers[name] = (run, jax.block_until_ready(run(state)))
    seconds: dict[str, list[float]] = {name: [] for name in steppers}
    for _ in range(15):
        for name, (run, state) in steppers.items():
            began = time.perf_counter()
            jax.block_until_ready(run(state))
            seconds[name].append((time.perf_counter() - began) / 100)
    ratio = float(np.median(np.array(seconds["builders"]) / np.array(seconds["by hand"])))
    for name, values in seconds.items():
        print(f"a step, {name}: {1e3 * np.median(values):.3f} ms (median of 15 x 100 steps)")
    print(f"ratio, median of pairs: {ratio:.3f}")
    return gap < 1e-6 and ratio < 1.05


def beside_nuts(folder: Path) -> bool:
    """Posterior means and standard deviations by NUTS, SVI and Laplace on 200 genes of real cells."""
    counts = load_counts(folder / "sc" / "pbmc4k_top2000.h5ad", on_empty="leave_out")
    counts = select_genes(counts, 200).counts
    kept = np.flatnonzero(counts.cell_totals > 0)
    matrix = counts.matrix[kept]
    print(f"\n## {matrix.shape[0]:,} blood cells x 200 genes (nbdm, mean and p)\n")
    model = count_model("nbdm", "mean_prob")
    fits: dict[str, Any] = {}
    seconds = {}
    for name, run in (
        ("nuts", lambda: nuts(model, matrix, settings=NutsSettings(draws=1000, tune=500, chains=4, target_accept=0.8))),
        ("svi", lambda: svi(model, default_guide(model), matrix, steps=2000)),
        ("laplace", lambda: laplace(model, matrix)),
    ):
        began = time.perf_counter()
        fits[name] = run()
        seconds[name] = time.perf_counter() - began
    draws = {name: fit.sample(4000, 1) for name, fit in fits.items()}
    exact = draws["nuts"]
    print(
        "| fit | seconds | largest distance of means, in posterior sd | ratio of sd, 5 % to 95 % of genes | verdict |"
    )
    print("|---|---|---|---|---|")
    for name, found in draws.items():
        z = np.abs(found["mu"].mean(0) - exact["mu"].mean(0)) / exact["mu"].std(0)
        low, high = np.quantile(found["mu"].std(0) / exact["mu"].std(0), [0.05, 0.95])
        grade = fits[name].diagnose().grade
        print(f"| {name} | {seconds[name]:.1f} | {z.max():.3f} | {low:.2f} to {high:.2f} | {grade} |")
    for name in ("svi", "laplace"):
        for finding in fits[name].diagnose().findings:
            if "k_hat" in finding.name:
                print(f"{name}: {finding.sentence}")
    return True


if __name__ == "__main__":
    sys.exit(main())
