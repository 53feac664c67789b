"""Simulation-based calibration of the event-rate model: are its posterior draws draws from its posterior?

    python benchmarks/calibration.py                      # 200 replications from the priors
    python benchmarks/calibration.py --replications 1000
    python benchmarks/calibration.py --broken             # data from another prior than the model's: must be detected
    python benchmarks/calibration.py --shape-prior "gamma(2, 0.5)" --alpha-prior "log_normal(0, 0.7)"
    python benchmarks/calibration.py --write-docs         # rewrite docs/calibration.md and its figure

Parameters and counts are drawn from the priors, the model is fitted to each data set with the NumPyro kernel and the
model function that `fit_event_rates` uses, and the ranks of the true values are tested for uniformity. Nothing is left
out: data sets without a single event are legitimate draws. The sampler is compiled once: counts are padded to a fixed
shape and handed over as arguments.

Exit status: 0 when no quantity is a problem (with --broken: when one is), 1 otherwise.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy

from modelwright.bayesian.diagnostics.calibration import (
    Uniformity,
    calibration_table,
    calibration_verdict,
    rank_of_truth,
    thin,
    uniformity,
)
from modelwright.bayesian.diagnostics.chain_statistics import rank_statistics
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_draws import log_likelihoods
from modelwright.bayesian.event_rates.numpyro_model import hierarchical_negbinom
from modelwright.bayesian.event_rates.observations import (
    SMALL_COUNT,
    CompressedCounts,
    Observations,
    check_observations,
    compress,
)
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.bayesian.event_rates.start import starting_point
from modelwright.core.seeds import named_generator, named_seed
from modelwright.core.verdict import Grade

ENTITIES, WINDOWS = 8, 10
EXPOSURE = np.repeat(np.geomspace(0.5, 2.0, ENTITIES)[:, None], WINDOWS, axis=1)
KEPT = 99
QUANTITIES = ("mu", "alpha", "phi", "theta_1", "mean log theta", "log likelihood")
PRIORS = ("mu_prior", "shape_prior", "alpha_prior", "phi_prior")
ARRAYS = ("total", "count", "times", "constant")


@dataclasses.dataclass(frozen=True)
class Replication:
    """One data set, the ranks it gave and how well it was sampled."""

    truth: np.ndarray  # (quantity,)
    kept: np.ndarray  # (KEPT, quantity)
    smallest_ess: float
    divergences: int
    empty: bool


def padded(counts: CompressedCounts) -> CompressedCounts:
    """The same counts with arrays whose shapes do not depend on them: zero times is no count at all."""
    small = np.arange(1.0, SMALL_COUNT)
    times_small = np.zeros(small.size)
    times_small[counts.count[: counts.n_small].astype(int) - 1] = counts.times[: counts.n_small]
    large = np.full(ENTITIES * WINDOWS, float(SMALL_COUNT))
    times_large = np.zeros(large.size)
    n_large = counts.count.size - counts.n_small
    large[:n_large], times_large[:n_large] = counts.count[counts.n_small :], counts.times[counts.n_small :]
    return dataclasses.replace(
        counts,
        count=np.concatenate([small, large]),
        times=np.concatenate([times_small, times_large]),
        n_small=small.size,
    )


def compiled_sampler(
    like: CompressedCounts, config: ModelConfig, *, tune: int, draws: int
) -> Callable[..., tuple[dict[str, Any], Any]]:
    """One chain as a compiled function of (arrays of the data, logarithms of start and scales, key)."""
    sites = starting_point(like, config).values
    _, unravel = ravel_pytree({name: jnp.asarray(value, float) for name, value in sites.items()})

    def run(arrays: dict[str, Any], start: Any, scale: Any, key: Any) -> tuple[dict[str, Any], Any]:
        counts = dataclasses.replace(like, **arrays)
        args = (counts, config)
        init, step = hmc(
            potential_fn=lambda z: potential_energy(hierarchical_negbinom, args, {}, unravel(z)), algo="NUTS"
        )
        key, jitter = jax.random.split(key)
        state = init(
            start + scale * jax.random.uniform(jitter, start.shape, minval=-1.0, maxval=1.0),
            num_warmup=tune,
            inverse_mass_matrix=scale**2,
            target_accept_prob=config.target_accept,
            max_tree_depth=config.max_tree_depth,
            trajectory_length=None,
            rng_key=key,
        )
        state = jax.lax.fori_loop(0, tune, lambda _, state: step(state), state)

        def one(state: Any, _: None) -> tuple[Any, Any]:
            state = step(state)
            return state, (state.z, state.diverging)

        _, (z, diverging) = jax.lax.scan(one, state, None, length=draws)
        values = jax.vmap(
            lambda row: constrain_fn(hierarchical_negbinom, args, {}, unravel(row), return_deterministic=True)
        )(z)
        return {name: values[name] for name in ("mu", "alpha", "phi", "theta")}, diverging

    return jax.jit(run)


def quantities(draws: dict[str, np.ndarray], observations: Observations) -> np.ndarray:
    """The quantities that are ranked, shape (draw, quantity)."""
    theta = np.maximum(draws["theta"], 1e-300)  # a Gamma draw of tiny shape can underflow; its rank stays the lowest
    likelihood = log_likelihoods({"theta": theta, "phi": draws["phi"]}, observations).sum(axis=1)
    columns = (draws["mu"], draws["alpha"], draws["phi"], theta[:, 0], np.log(theta).mean(axis=1), likelihood)
    return np.stack(columns, axis=1)


def replicate(
    number: int, sampler: Callable[..., Any], config: ModelConfig, *, simulated_from: ModelConfig, seed: int
) -> Replication:
    """Draw from the prior, draw data, fit."""
    here = named_seed(seed, f"replication {number}")
    data, truth = simulate_event_rates(ENTITIES, WINDOWS, config=simulated_from, exposure=EXPOSURE, seed=here)
    observations = check_observations(data.count, data.entity_idx, data.n_entities, data.exposure)
    counts = compress(observations)
    start = starting_point(counts, config)
    flat_start = ravel_pytree({name: np.log(value) for name, value in start.values.items()})[0]
    widths = {name: np.broadcast_to(start.scales[name], np.shape(value)) for name, value in start.values.items()}
    fixed = padded(counts)
    drawn, diverging = sampler(
        {name: getattr(fixed, name) for name in ARRAYS}, flat_start, ravel_pytree(widths)[0], jax.random.key(here)
    )
    values = quantities({name: np.asarray(value) for name, value in drawn.items()}, observations)
    true = quantities({name: np.asarray(value)[None] for name, value in truth.items()}, observations)[0]
    bulk = rank_statistics(values.T[:, None, :]).ess_bulk
    return Replication(true, thin(values, KEPT), float(np.nanmin(bulk)), int(diverging.sum()), not data.count.any())


def calibrate(
    replications: int,
    config: ModelConfig,
    *,
    simulated_from: ModelConfig,
    tune: int,
    draws: int,
    seed: int,
    workers: int = 2,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[list[Uniformity], list[Replication]]:
    """Run all replications and test the ranks of every quantity."""
    began = time.perf_counter()
    done = 0

    def one(number: int) -> Replication:
        nonlocal done
        with jax.enable_x64(True):  # thread-local in JAX
            found = replicate(number, sampler, config, simulated_from=simulated_from, seed=seed)
        done += 1
        if done % 20 == 0:
            say(f"{done} of {replications} replications, {time.perf_counter() - began:.0f} s")
        return found

    with jax.enable_x64(True):
        like = padded(compress(check_observations(np.ones(ENTITIES * WINDOWS), *_layout())))
        sampler = compiled_sampler(like, config, tune=tune, draws=draws)
        results = [one(0)]  # compiles, alone: NumPyro keeps its effect handlers in a list that all threads share
        with ThreadPoolExecutor(workers) as pool:
            results.extend(pool.map(one, range(1, replications)))
    generator = named_generator(seed, "ties")
    truth, kept = np.stack([r.truth for r in results]), np.stack([r.kept for r in results])
    tested = [
        uniformity(name, rank_of_truth(truth[:, column], kept[:, :, column], generator), KEPT)
        for column, name in enumerate(QUANTITIES)
    ]
    return tested, results


def _layout() -> tuple[np.ndarray, int, np.ndarray]:
    return np.repeat(np.arange(ENTITIES), WINDOWS), ENTITIES, EXPOSURE.ravel()


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replications", type=int, default=200)
    parser.add_argument("--draws", type=int, default=4000, help="posterior draws per replication, thinned to 99")
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--parameterization", choices=("centered", "noncentered", "mean_scaled"), default=None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--broken", action="store_true", help="draw the data from the mean_scaled prior instead")
    parser.add_argument("--write-docs", action="store_true", help="write docs/calibration.md and its figure")
    for name in PRIORS:
        parser.add_argument(f"--{name.replace('_', '-')}", help="a prior such as gamma(2, 0.5); not one that ends")
    options = parser.parse_args(arguments)
    chosen = {name: getattr(options, name) for name in ("parameterization", *PRIORS) if getattr(options, name)}
    config = ModelConfig.create(**chosen)
    other = "noncentered" if config.parameterization == "mean_scaled" else "mean_scaled"
    simulated_from = config.model_copy(update={"parameterization": other}) if options.broken else config
    began = time.perf_counter()
    tested, results = calibrate(
        options.replications,
        config,
        simulated_from=simulated_from,
        tune=options.tune,
        draws=options.draws,
        seed=options.seed,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    lines = report(tested, results, config, options, seconds=time.perf_counter() - began)
    print("\n".join(lines))
    if options.write_docs and not options.broken:
        write_docs(lines, tested)
    detected = calibration_verdict(tested).grade is Grade.PROBLEM
    return int(detected != options.broken)


def report(
    tested: list[Uniformity],
    results: list[Replication],
    config: ModelConfig,
    options: argparse.Namespace,
    *,
    seconds: float,
) -> list[str]:
    """The outcome as lines of Markdown."""
    table = calibration_table(tested)
    stated = ", ".join(f"{name} ~ {prior}" for name, prior in config.hyperpriors().items())
    low = sum(r.smallest_ess < KEPT for r in results)
    return [
        f"{len(results)} data sets of {ENTITIES} entities and {WINDOWS} windows, drawn from the "
        f"{'mean_scaled prior (on purpose)' if options.broken else 'priors'}; {config.parameterization} "
        f"parameterisation, {stated}; one chain of {options.tune} + {options.draws} draws each, thinned to {KEPT}; "
        f"seed {options.seed}; {seconds:.0f} s.",
        "",
        "| " + " | ".join(table.columns) + " |",
        "|" + "---|" * len(table.columns),
        *("| " + " | ".join(map(str, row)) + " |" for row in table.rows),
        "",
        f"{table.caption} {sum(r.empty for r in results)} data sets had no event at all, {low} had a quantity with an "
        f"effective sample size below {KEPT}, {sum(r.divergences > 0 for r in results)} had divergences "
        f"({sum(r.divergences for r in results)} in all); all of them are counted.",
    ]


def write_docs(lines: list[str], tested: list[Uniformity]) -> None:
    """Write docs/calibration.md and docs/figures/calibration.svg."""
    from modelwright.bayesian.diagnostics.calibration_figures import calibration_picture
    from modelwright.core.files import write_bytes, write_text

    docs = Path(__file__).resolve().parents[1] / "docs"
    picture = calibration_picture(tested)
    write_bytes(docs / "figures" / "calibration.svg", picture.content)
    text = DOCS.format(outcome="\n".join(lines), alt=picture.alt, caption=picture.caption)
    page = docs / "calibration.md"
    _, mark, extensions = page.read_text(encoding="utf-8").partition(EXTENSIONS_MARK)
    write_text(page, f"{text}\n{mark}{extensions}" if mark else text)


EXTENSIONS_MARK = "<!-- what follows is written by benchmarks/extension_calibration.py --write-docs -->"
"""Where the sections begin that the other script writes into the same page."""

DOCS = """# Calibration of the event-rate model

Does the sampler draw from the posterior of the model as it is written down? Parameters are drawn from the priors,
counts from the parameters, and posterior draws given the counts; then the rank of each true value among its posterior
draws is uniform (Talts et al. 2018, https://arxiv.org/abs/1804.06788). A wrong likelihood, a wrong prior, a wrong
change of variables or a sampler that misses a region shows as ranks that are not. Besides the parameters, the log
likelihood of the data is ranked, which sees errors that no single parameter shows (Modrák et al. 2023,
https://arxiv.org/abs/2211.02383). Data sets without any event are part of it: leaving out what looks hopeless would
bias the ranks.

This page is written by `python benchmarks/calibration.py --write-docs`.

{outcome}

![{alt}](figures/calibration.svg)

{caption}

That the test can fail is tested too: `python benchmarks/calibration.py --broken` draws the rates from another prior
(`mean_scaled`, theta = mu Gamma(alpha, alpha)) and fits the model with theta ~ Gamma(mu alpha, alpha). The ranks are
then far from uniform, and the script says so.
"""


if __name__ == "__main__":
    sys.exit(main())
