"""From which number of hyperparameters on NUTS over all unknowns is the faster engine for a random-walk drift.

    python benchmarks/extension_engines.py                          # 20, 40 and 60 windows, both likelihoods
    python benchmarks/extension_engines.py --windows 40 --likelihoods poisson

For every number of windows one data set with a drift is drawn and the same posterior is sampled twice, by the collapsed
engine and by NumPyro's NUTS, as long as `auto` would. Printed are seconds of processor time, compilation counted, and
what a second is worth: the smallest bulk effective sample size over the hyperparameters and the drift.

Exit status: 0; the figures are read by a person, who sets the constants of `extensions.collapsed_choice`.
"""

import argparse
import sys
import time
from typing import Any

import numpy as np

from modelwright.bayesian.diagnostics.chain_statistics import rank_statistics
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.collapsed_choice import hyperparameter_count
from modelwright.bayesian.event_rates.extensions.design import Design, design_of
from modelwright.bayesian.event_rates.extensions.fit import _sample, coordinates
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.simulate import simulate_extended
from modelwright.core.progress import ignore_progress
from modelwright.data.events import EventCounts

ENGINES = ("collapsed", "numpyro")


def sampled(data: EventCounts, design: Design, config: ModelConfig, extensions: Extensions, engine: str) -> Any:
    """The posterior's trace and the seconds of processor time that it took."""
    before = time.process_time()
    trace = _sample(design, config, extensions, coordinates(data, design), engine, "auto", "cpu", ignore_progress, None)
    return trace, time.process_time() - before


def smallest_ess(trace: Any) -> float:
    """Smallest bulk effective sample size over everything but the rates."""
    found = []
    for name, variable in trace.posterior.data_vars.items():
        if name != "theta":
            values = variable.to_numpy()
            found.append(rank_statistics(np.moveaxis(values.reshape(*values.shape[:2], -1), 2, 0)).ess_bulk)
    return float(np.nanmin(np.concatenate(found)))


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--entities", type=int, default=200)
    parser.add_argument("--windows", type=int, nargs="+", default=[20, 40, 60])
    parser.add_argument("--likelihoods", nargs="+", default=["negative_binomial", "poisson"])
    parser.add_argument("--chosen", default="drift")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    extensions = Extensions.create(chosen=options.chosen)
    print(f"{options.entities} entities, 4 chains of {options.draws} + {options.draws} steps, seed {options.seed}\n")
    print("| likelihood | windows | hyperparameters | engine | method | processor s | smallest ESS | ESS per s |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for likelihood in options.likelihoods:
        config = ModelConfig.create(likelihood=likelihood, n_samples=options.draws, n_tune=options.draws)
        given: dict[str, float] = {"mu": 5.0, "alpha": 0.5, "drift_scale": 0.2}
        given |= {} if likelihood == "poisson" else {"phi": 3.0}
        for windows in options.windows:
            data, _ = simulate_extended(
                options.entities, windows, extensions, config=config, seed=options.seed, **given
            )
            design = design_of(data, extensions)
            for engine in ENGINES:
                trace, seconds = sampled(data, design, config, extensions, engine)
                ess, method = smallest_ess(trace), trace.posterior.attrs.get("method", "nuts")
                row = (likelihood, windows, hyperparameter_count(design, config, extensions), engine, method)
                print(
                    "| " + " | ".join(map(str, row)) + f" | {seconds:.0f} | {ess:.0f} | {ess / seconds:.0f} |",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
