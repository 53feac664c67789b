"""Simulation-based calibration of the extensions of the event-rate model.

    python benchmarks/extension_calibration.py                              # 100 replications of every extension
    python benchmarks/extension_calibration.py --extensions temporal drift  # of some of them
    python benchmarks/extension_calibration.py --broken                     # data from another model: must be detected

For each extension parameters and counts are drawn from the priors, the model is fitted with the NumPyro kernel and the
model function that `fit_extended` uses, and the ranks of the true values are tested for uniformity. No data set is left
out, not even one without events. The sampler of each extension is compiled once; what depends on the counts is handed
over as arrays of fixed shapes.

Exit status: 0 when no quantity of any extension is a problem (with --broken: when each extension has one), 1 otherwise.
"""

import argparse
import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.flatten_util import ravel_pytree
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

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
from modelwright.bayesian.event_rates.extensions.design import Design, design_of, volume_statistics
from modelwright.bayesian.event_rates.extensions.draws import log_likelihoods_extended
from modelwright.bayesian.event_rates.extensions.fit import variable_names
from modelwright.bayesian.event_rates.extensions.numpyro_model import extended_event_rates
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.event_rates.extensions.start import extended_start
from modelwright.bayesian.event_rates.observations import SMALL_COUNT, CompressedCounts
from modelwright.core.seeds import named_generator, named_seed
from modelwright.core.verdict import Grade
from modelwright.data.events import EventCounts

ENTITIES, WINDOWS = 8, 10
KEPT = 99

EXTENSIONS: dict[str, dict[str, Any]] = {
    "covariates": {"chosen": "covariates", "covariates": "tier,size,day_of_week,load"},
    "temporal": {"chosen": "temporal"},
    "volumes": {"chosen": "volumes"},
    "zero_inflation": {"chosen": "zero_inflation"},
    "drift": {"chosen": "drift"},
    "drift_by_day": {"chosen": "drift", "drift": "day_of_week"},
    "three_at_once": {"chosen": "covariates,zero_inflation,drift", "covariates": "tier,load"},
}


@dataclass(frozen=True)
class Replication:
    """One data set, the ranks it gave and how well it was sampled."""

    names: tuple[str, ...]
    truth: np.ndarray  # (quantity,)
    kept: np.ndarray  # (KEPT, quantity)
    smallest_ess: float
    divergences: int
    empty: bool


@dataclass(frozen=True)
class Study:
    """One extension: the model, whether its data are spoilt on purpose, and its compiled sampler."""

    name: str
    extensions: Extensions
    config: ModelConfig
    broken: bool
    sampler: Callable[..., Any]


def prepared(data: EventCounts, extensions: Extensions) -> Design:
    """The design, with volumes put in by hand: data without any event have none, and are a legitimate draw."""
    others = tuple(chosen for chosen in extensions.chosen if chosen != "volumes")
    design = design_of(data, extensions.model_copy(update={"chosen": others}))
    if not extensions.has("volumes"):
        return design
    at = design.eventful
    log_volume = np.log(np.asarray(data.volume)[at]) if len(at) else np.empty(0)
    per_event = log_volume - np.log(data.count[at])
    return dataclasses.replace(design, volumes=volume_statistics(log_volume, per_event, data.entity_idx[at], ENTITIES))


def arrays_of(design: Design) -> dict[str, Any]:
    """What depends on the counts, in shapes that do not: distinct counts that do not occur have zero times."""
    counts = design.counts
    times_small = np.zeros(SMALL_COUNT - 1)
    times_small[counts.count[: counts.n_small].astype(int) - 1] = counts.times[: counts.n_small]
    large, times_large = np.full(ENTITIES * WINDOWS, float(SMALL_COUNT)), np.zeros(ENTITIES * WINDOWS)
    n_large = counts.count.size - counts.n_small
    large[:n_large], times_large[:n_large] = counts.count[counts.n_small :], counts.times[counts.n_small :]
    found: dict[str, Any] = {
        "centring": design.centring,
        "cells": {"total": design.cells.total, "silent": design.cells.silent},
        "counts": {
            "count": np.concatenate([np.arange(1.0, SMALL_COUNT), large]),
            "times": np.concatenate([times_small, times_large]),
            "constant": counts.constant,
        },
    }
    if design.volumes is not None:
        fields = ("times", "mean", "squares", "constant")
        found["volumes"] = {name: getattr(design.volumes, name) for name in fields}
    # numbers as arrays, so that a whole one is not taken for another type than the next
    return jax.tree.map(lambda leaf: np.asarray(leaf, float), found)


def with_arrays(design: Design, arrays: dict[str, Any]) -> Design:
    """A design with such arrays in it."""
    parts: dict[str, Any] = {}
    for name, values in arrays.items():
        if name == "centring":
            parts[name] = values
            continue
        fixed = {"n_small": SMALL_COUNT - 1} if name == "counts" else {}
        part: CompressedCounts | Any = getattr(design, name)
        parts[name] = dataclasses.replace(part, **values, **fixed)
    return dataclasses.replace(design, **parts)


def compiled_sampler(
    design: Design, config: ModelConfig, extensions: Extensions, *, tune: int, draws: int
) -> Callable[..., tuple[dict[str, Any], Any]]:
    """One chain as a compiled function of (design matrices and counts, start, scales, key)."""
    kept = variable_names(config, design, extensions)

    def run(arrays: dict[str, Any], start: Any, scale: Any, key: Any) -> tuple[dict[str, Any], Any]:
        args = (with_arrays(design, arrays), config, extensions)
        center, unravel = ravel_pytree(unconstrain_fn(extended_event_rates, args, {}, start))
        width, _ = ravel_pytree(scale)
        init, step = hmc(
            potential_fn=lambda z: potential_energy(extended_event_rates, args, {}, unravel(z)), algo="NUTS"
        )
        key, jitter = jax.random.split(key)
        state = init(
            center + width * jax.random.uniform(jitter, center.shape, minval=-1.0, maxval=1.0),
            num_warmup=tune,
            inverse_mass_matrix=width**2,
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
            lambda row: constrain_fn(extended_event_rates, args, {}, unravel(row), return_deterministic=True)
        )(z)
        return {name: values[name] for name in kept}, diverging

    return jax.jit(run)


def quantities(draws: dict[str, np.ndarray], design: Design) -> tuple[tuple[str, ...], np.ndarray]:
    """The quantities that are ranked and their values, shape (draw, quantity)."""
    draws = dict(draws) | {"theta": np.maximum(draws["theta"], 1e-300)}  # an underflow keeps the lowest rank
    found: dict[str, np.ndarray] = {}
    for name, values in draws.items():
        if values.ndim == 1:
            found[name] = values
        elif name == "theta":
            found["theta_1"], found["mean log theta"] = values[:, 0], np.log(values).mean(axis=1)
        else:
            found[f"{name}_1"], found[f"{name}_last"] = values[:, 0], values[:, -1]
    found["log likelihood"] = log_likelihoods_extended(draws, design).sum(axis=1)
    return tuple(found), np.stack(list(found.values()), axis=1)


def shuffled(data: EventCounts, generator: np.random.Generator) -> EventCounts:
    """The counts of each entity in another order, and the volumes per event of all windows with events in another."""
    order = np.lexsort((generator.random(data.n_obs), data.entity_idx))
    count = data.count[order]
    volume = None
    if data.volume is not None:
        per_event = (data.volume / np.maximum(data.count, 1))[data.count > 0]
        volume = np.full(data.n_obs, np.nan)
        volume[count > 0] = generator.permutation(per_event) * count[count > 0]
    return dataclasses.replace(data, count=count, volume=volume)


def replicate(number: int, study: Study, seed: int) -> Replication:
    """Draw from the prior, draw data, fit."""
    here = named_seed(seed, f"{study.name} {number}")
    given = {"psi": 0.97} if study.broken and study.name == "zero_inflation" else {}
    data, truth = simulate_extended(
        ENTITIES, WINDOWS, study.extensions, config=study.config, seed=here, columns_seed=seed, **given
    )
    if study.broken:
        data = shuffled(data, named_generator(here, "shuffle"))
    design = prepared(data, study.extensions)
    start = extended_start(design, study.config, study.extensions)
    scales = {name: np.broadcast_to(start.scales[name], np.shape(value)) for name, value in start.values.items()}
    drawn, diverging = study.sampler(
        arrays_of(design),
        {name: np.asarray(value, float) for name, value in start.values.items()},
        {name: np.asarray(value, float) for name, value in scales.items()},
        jax.random.key(here),
    )
    kept = {name: np.asarray(value) for name, value in drawn.items()}
    names, values = quantities(kept, design)
    _, true = quantities({name: np.asarray(truth[name])[None] for name in kept}, design)
    bulk = rank_statistics(values.T[:, None, :]).ess_bulk
    return Replication(
        names, true[0], thin(values, KEPT), float(np.nanmin(bulk)), int(diverging.sum()), not data.count.any()
    )


def calibrate(
    study_of: Callable[[], Study], replications: int, seed: int, *, workers: int, say: Callable[[str], None]
) -> tuple[list[Uniformity], list[Replication]]:
    """Run all replications of one extension and test the ranks of every quantity."""
    began, done = time.perf_counter(), 0

    def one(number: int) -> Replication:
        nonlocal done
        with jax.enable_x64(True):  # thread-local in JAX
            found = replicate(number, study, seed)
        done += 1
        if done % 20 == 0:
            say(f"{study.name}: {done} of {replications} replications, {time.perf_counter() - began:.0f} s")
        return found

    with jax.enable_x64(True):
        study = study_of()
        results = [one(0)]  # compiles, alone: NumPyro keeps its effect handlers in a list that all threads share
        with ThreadPoolExecutor(workers) as pool:
            results.extend(pool.map(one, range(1, replications)))
    generator = named_generator(seed, "ties")
    truth, kept = np.stack([r.truth for r in results]), np.stack([r.kept for r in results])
    tested = [
        uniformity(name, rank_of_truth(truth[:, column], kept[:, :, column], generator), KEPT)
        for column, name in enumerate(results[0].names)
    ]
    return tested, results


def study_of(name: str, options: argparse.Namespace) -> Study:
    """The study of one extension, its sampler compiled when it is first called."""
    extensions = Extensions.create(**EXTENSIONS[name])
    config = ModelConfig()
    like, _ = simulate_extended(ENTITIES, WINDOWS, extensions, config=config, seed=0, columns_seed=options.seed)
    sampler = compiled_sampler(prepared(like, extensions), config, extensions, tune=options.tune, draws=options.draws)
    return Study(name, extensions, config, options.broken, sampler)


def report(name: str, tested: Sequence[Uniformity], results: Sequence[Replication], seconds: float) -> list[str]:
    """The outcome of one extension as lines of Markdown."""
    table = calibration_table(tested)
    low = sum(r.smallest_ess < KEPT for r in results)
    return [
        f"### {name}",
        "",
        "| " + " | ".join(table.columns) + " |",
        "|" + "---|" * len(table.columns),
        *("| " + " | ".join(map(str, row)) + " |" for row in table.rows),
        "",
        f"{table.caption} {sum(r.empty for r in results)} data sets had no event at all, {low} had a quantity with an "
        f"effective sample size below {KEPT}, {sum(r.divergences > 0 for r in results)} had divergences "
        f"({sum(r.divergences for r in results)} in all); all of them are counted. {seconds:.0f} s.",
        "",
    ]


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--extensions", nargs="+", choices=tuple(EXTENSIONS), default=tuple(EXTENSIONS))
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--draws", type=int, default=2000, help="posterior draws per replication, thinned to 99")
    parser.add_argument("--tune", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--broken",
        action="store_true",
        help="shuffle the windows of each entity and all volumes; give zero inflation a psi of its own",
    )
    options = parser.parse_args(arguments)
    print(
        f"{options.replications} data sets of {ENTITIES} entities and {WINDOWS} windows per extension, drawn from "
        f"{'the priors and shuffled (on purpose)' if options.broken else 'the priors'}; one chain of {options.tune} + "
        f"{options.draws} draws each, thinned to {KEPT}; seed {options.seed}.\n"
    )
    right = True
    for name in options.extensions:
        began = time.perf_counter()
        tested, results = calibrate(
            lambda name=name: study_of(name, options),
            options.replications,
            options.seed,
            workers=options.workers,
            say=lambda line: print(line, file=sys.stderr, flush=True),
        )
        print("\n".join(report(name, tested, results, time.perf_counter() - began)), flush=True)
        right &= (calibration_verdict(tested).grade is Grade.PROBLEM) == options.broken
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
