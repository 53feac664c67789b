"""Simulation-based calibration of the extensions of the event-rate model.

    python benchmarks/extension_calibration.py                              # 100 replications of every extension
    python benchmarks/extension_calibration.py --extensions temporal drift  # of some of them
    python benchmarks/extension_calibration.py --engine auto                # by the engine that auto takes
    python benchmarks/extension_calibration.py --broken                     # data from another model: must be detected
    python benchmarks/extension_calibration.py --write-docs                 # a section of docs/calibration.md for each

For each extension parameters and counts are drawn from the priors, the model is fitted, and the ranks of the true
values are tested for uniformity. No data set is left out, not even one without events. By NumPyro it is fitted with the
kernel and the model function that `fit_extended` uses; the sampler of each extension is compiled once, and what depends
on the counts is handed over as arrays of fixed shapes. By the collapsed engine it is fitted as `fit_extended` does,
data set after data set.

Exit status: 0 when no quantity of any extension is a problem (with --broken: when each extension has one), 1 otherwise.
"""

import argparse
import dataclasses
import re
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
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
from modelwright.bayesian.event_rates.extensions.collapsed_choice import choose_extended_engine
from modelwright.bayesian.event_rates.extensions.collapsed_trace import sample_collapsed_extended
from modelwright.bayesian.event_rates.extensions.design import Design, design_of, volume_statistics
from modelwright.bayesian.event_rates.extensions.draws import log_likelihoods_extended
from modelwright.bayesian.event_rates.extensions.fit import variable_names
from modelwright.bayesian.event_rates.extensions.numpyro_model import extended_event_rates
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.bayesian.event_rates.extensions.start import extended_start
from modelwright.bayesian.event_rates.observations import SMALL_COUNT, CompressedCounts
from modelwright.bayesian.inference.predictive import thinned
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.core.seeds import named_generator, named_seed
from modelwright.core.verdict import Grade
from modelwright.data.events import EventCounts

ENTITIES, WINDOWS = 8, 10
KEPT = 99
COLLAPSED_DRAWS = 4 * KEPT
"""Draws of a collapsed chain, which are nearly independent."""

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
    by_nuts: bool


@dataclass(frozen=True)
class Study:
    """One extension: the model, its engine, whether its data are spoilt on purpose, and NumPyro's compiled sampler."""

    name: str
    extensions: Extensions
    config: ModelConfig
    broken: bool
    engine: str
    sampler: Callable[..., Any] | None


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
    kept, diverging, by_nuts = (
        by_collapsing(design, study, here) if study.sampler is None else by_nuts_of(design, study, here)
    )
    names, values = quantities(kept, design)
    _, true = quantities({name: np.asarray(truth[name])[None] for name in kept}, design)
    bulk = rank_statistics(values.T[:, None, :]).ess_bulk
    return Replication(
        names, true[0], thin(values, KEPT), float(np.nanmin(bulk)), diverging, not data.count.any(), by_nuts
    )


def by_nuts_of(design: Design, study: Study, seed: int) -> tuple[dict[str, np.ndarray], int, bool]:
    """Draws by NumPyro's compiled sampler, how many of its steps diverged, and that it was NUTS."""
    assert study.sampler is not None
    start = extended_start(design, study.config, study.extensions)
    scales = {name: np.broadcast_to(start.scales[name], np.shape(value)) for name, value in start.values.items()}
    drawn, diverging = study.sampler(
        arrays_of(design),
        {name: np.asarray(value, float) for name, value in start.values.items()},
        {name: np.asarray(value, float) for name, value in scales.items()},
        jax.random.key(seed),
    )
    return {name: np.asarray(value) for name, value in drawn.items()}, int(diverging.sum()), True


def by_collapsing(design: Design, study: Study, seed: int) -> tuple[dict[str, np.ndarray], int, bool]:
    """Draws by the collapsed engine, divergences, and whether it had to fall back on NUTS."""
    settings = NutsSettings(draws=COLLAPSED_DRAWS, tune=500, chains=1, seed=seed)
    trace = sample_collapsed_extended(design, study.config, study.extensions, settings=settings, rates="draws")
    diverging = int(trace.sample_stats["diverging"].sum()) if "diverging" in trace.sample_stats else 0
    return thinned(trace.posterior, 1), diverging, trace.posterior.attrs["method"] == "nuts"


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
        # the collapsed engine may fall back on a sampler that is compiled anew
        with ThreadPoolExecutor(1 if study.sampler is None else workers) as pool:
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
    design = prepared(like, extensions)
    engine = choose_extended_engine(design, config, extensions, engine=options.engine).name
    sampler = None
    if engine != "collapsed":
        sampler = compiled_sampler(design, config, extensions, tune=options.tune, draws=options.draws)
    return Study(name, extensions, config, options.broken, engine, sampler)


def report(
    name: str, engine: str, tested: Sequence[Uniformity], results: Sequence[Replication], seconds: float
) -> list[str]:
    """The outcome of one extension as lines of Markdown."""
    table = calibration_table(tested)
    low, nuts = sum(r.smallest_ess < KEPT for r in results), sum(r.by_nuts for r in results)
    fell_back = f"{nuts} data sets were left to NUTS on the collapsed density, " if engine == "collapsed" else ""
    smallest = min(min(entry.chi_square_p, entry.ecdf_p) for entry in tested)
    return [
        f"### {name}, by {engine}",
        "",
        "| " + " | ".join(table.columns) + " |",
        "|" + "---|" * len(table.columns),
        *("| " + " | ".join(map(str, row)) + " |" for row in table.rows),
        "",
        f"{table.caption} The smallest of all p-values is {smallest:.2g}. {sum(r.empty for r in results)} data sets "
        f"had no event at all, {fell_back}{low} had a quantity with an effective sample size below {KEPT}, "
        f"{sum(r.divergences > 0 for r in results)} had divergences ({sum(r.divergences for r in results)} in all); "
        f"all of them are counted. {seconds:.0f} s.",
        "",
    ]


MARK = "<!-- what follows is written by benchmarks/extension_calibration.py --write-docs -->"
"""Where the extensions' sections begin in docs/calibration.md; `calibration.py` leaves them alone."""

INTRODUCTION = """
## Extensions

Of the extensions, each on data sets of {entities} entities and {windows} windows, by the engine that is named. What is
compiled anew for every data set is slow, so that they are fewer.
"""


def write_docs(name: str, stated: str, lines: Sequence[str]) -> None:
    """Write one extension's section into docs/calibration.md, in place of the one that was there."""
    from modelwright.core.files import write_text

    path = Path(__file__).resolve().parents[1] / "docs" / "calibration.md"
    page, _, sections = path.read_text(encoding="utf-8").partition(MARK)
    parts = re.split(r"(?m)^(?=### )", sections)[1:]
    written = {part.split(",")[0].split(" ", 1)[1]: part.rstrip() for part in parts}
    written[name] = "\n".join([lines[0], "", stated, *lines[1:]]).rstrip()
    ordered = [written[key] for key in EXTENSIONS if key in written]
    head = INTRODUCTION.format(entities=ENTITIES, windows=WINDOWS)
    write_text(path, page.rstrip() + f"\n\n{MARK}\n{head}\n" + "\n\n".join(ordered) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--extensions", nargs="+", choices=tuple(EXTENSIONS), default=tuple(EXTENSIONS))
    parser.add_argument("--engine", default="auto", choices=("auto", "collapsed", "numpyro"))
    parser.add_argument("--write-docs", action="store_true", help="write sections of docs/calibration.md")
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
        engine = study_of(name, options).engine
        chain = f"{COLLAPSED_DRAWS} draws" if engine == "collapsed" else f"{options.tune} + {options.draws} draws"
        source = "the priors and spoilt on purpose" if options.broken else "the priors"
        stated = (
            f"{options.replications} data sets drawn from {source}; one chain of {chain} each, thinned to {KEPT}; "
            f"seed {options.seed}."
        )
        lines = report(name, engine, tested, results, time.perf_counter() - began)
        print("\n".join([lines[0], "", stated, *lines[1:]]), flush=True)
        if options.write_docs and not options.broken:
            write_docs(name, stated, lines)
        right &= (calibration_verdict(tested).grade is Grade.PROBLEM) == options.broken
    return int(not right)


if __name__ == "__main__":
    sys.exit(main())
