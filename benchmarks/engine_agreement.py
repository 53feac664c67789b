"""Do PyMC, nutpie and NumPyro draw from the same posterior, and how long do they take?

    python benchmarks/engine_agreement.py                            # pump failures and a simulated table
    python benchmarks/engine_agreement.py --data-dir path/to/data    # and epilepsy seizures, New York stops
    python benchmarks/engine_agreement.py --parameterizations        # effective draws per second of each, NumPyro only

Every mean of every parameter is compared between every two engines in units of their combined Monte Carlo standard
error, and every standard deviation as a ratio. With hundreds of comparisons some differences beyond 3 are expected by
chance; beyond 4, one in 16,000. The exit code is 1 when a mean differs by more than 4, or a standard deviation by more
than 5 % and by more than chance explains (4 standard errors of the ratio).
"""

import argparse
import itertools
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.data.datasets import pump_failures
from modelwright.data.events import EventCounts

ENGINES = ("numpyro", "nutpie", "pymc")
NEGATIVE_BINOMIAL = "negative_binomial"
LARGEST_Z = 4.0
LARGEST_RATIO = 1.05


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, help="folder with events/epil.csv.gz and events/frisk_nyc_1998.csv.gz")
    parser.add_argument("--draws", type=int, default=8000, help="draws per chain")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engines", nargs="+", default=list(ENGINES), choices=ENGINES)
    parser.add_argument("--parameterizations", action="store_true", help="measure the parameterisations instead")
    options = parser.parse_args()
    if options.parameterizations:
        return measure_parameterizations(options.seed)
    began = time.perf_counter()
    agreed = [agreement(name, make(), likelihood, options) for name, make, likelihood in cases(options.data_dir)]
    print(
        f"\n{'agreement on every set' if all(agreed) else 'DISAGREEMENT'}; {time.perf_counter() - began:.0f} s in all"
    )
    return 0 if all(agreed) else 1


def cases(data_dir: Path | None) -> list[tuple[str, Callable[[], EventCounts], str]]:
    """Name, maker and likelihood of every data set."""
    found: list[tuple[str, Callable[[], EventCounts], str]] = [
        ("pump failures, 10 x 1", pump_failures, "poisson"),
        (
            "simulated, 40 x 12",
            lambda: simulate_event_rates(40, 12, mu=5.0, alpha=1.0, phi=2.0, seed=8)[0],
            NEGATIVE_BINOMIAL,
        ),
    ]
    if data_dir is not None:
        found.append(("epilepsy seizures, 59 x 4", lambda: epilepsy(data_dir), NEGATIVE_BINOMIAL))
        found.append(("New York stops, 75 x 3", lambda: stops(data_dir), NEGATIVE_BINOMIAL))
    return found


def epilepsy(data_dir: Path) -> EventCounts:
    """Seizures of 59 patients in four periods of two weeks (Thall and Vail 1990)."""
    import pandas as pd

    table = pd.read_csv(data_dir / "events" / "epil.csv.gz")
    return EventCounts.from_arrays(entity=table["subject"].astype(str), count=table["y"])


def stops(data_dir: Path) -> EventCounts:
    """Police stops in 75 precincts by ethnic group, per 100 arrests of the year before (Gelman and Hill 2007)."""
    import pandas as pd

    table = pd.read_csv(data_dir / "events" / "frisk_nyc_1998.csv.gz")
    table = table[table["arrests"] > 0]
    return EventCounts.from_arrays(
        entity=table["precinct"].astype(str), count=table["stops"], exposure=table["arrests"] / 100.0
    )


def agreement(name: str, data: EventCounts, likelihood: str, options: argparse.Namespace) -> bool:
    """Print one data set's table; whether its engines agree."""
    config = ModelConfig(
        likelihood=likelihood, n_samples=options.draws, n_chains=options.chains, random_seed=options.seed
    )
    print(f"\n{name}, {likelihood}, {options.chains} x ({config.n_tune} + {config.n_samples}) draws")
    print(f"  {'engine':10s}{'seconds':>9s}{'min ESS':>9s}{'ESS/s':>9s}{'divergent':>11s}   hyperparameters: mean (sd)")
    moments = {}
    for engine in options.engines:
        trace = fit_event_rates(data, config, engine=engine, predictive_draws=4, prior_draws=1)
        moments[engine] = found = Moments(trace)
        seconds = trace.posterior.attrs["sampling_seconds"]
        hyper = "  ".join(
            f"{p} {float(trace.posterior[p].mean()):.4f} ({float(trace.posterior[p].std()):.4f})"
            for p in ("mu", "alpha", "phi")
            if p in trace.posterior
        )
        divergent = int(trace.sample_stats["diverging"].sum())
        smallest = found.ess.min()
        print(f"  {engine:10s}{seconds:9.1f}{smallest:9.0f}{smallest / seconds:9.0f}{divergent:11d}   {hyper}")
    compared = [compare(one, other, moments) for one, other in itertools.combinations(options.engines, 2)]
    return all(compared)


class Moments:
    """Means and standard deviations of all parameters, each with its Monte Carlo standard error."""

    def __init__(self, trace: object) -> None:
        import arviz as az

        columns = [values.to_numpy().reshape(*values.shape[:2], -1) for values in trace.posterior.data_vars.values()]
        draws = np.concatenate(columns, axis=2)  # (chain, draw, parameter)
        self.mean, self.sd = draws.mean((0, 1)), draws.std((0, 1))
        squares = (draws - self.mean) ** 2
        each = range(draws.shape[2])
        self.ess = np.array([az.ess(draws[..., k], method="bulk") for k in each])
        of_mean = np.array([az.ess(draws[..., k], method="mean") for k in each])
        of_square = np.array([az.ess(squares[..., k], method="mean") for k in each])
        self.mcse = self.sd / np.sqrt(of_mean)
        self.log_sd_mcse = squares.std((0, 1)) / np.sqrt(of_square) / (2 * self.sd**2)  # by the delta method


def compare(one: str, other: str, moments: dict[str, Moments]) -> bool:
    """Print how two engines compare; whether they agree."""
    a, b = moments[one], moments[other]
    z = np.abs(a.mean - b.mean) / np.hypot(a.mcse, b.mcse)
    log_ratio = np.abs(np.log(a.sd / b.sd))
    apart = (log_ratio > np.log(LARGEST_RATIO)) & (log_ratio > 4 * np.hypot(a.log_sd_mcse, b.log_sd_mcse))
    fine = bool((z <= LARGEST_Z).all() and not apart.any())
    wide = log_ratio > np.log(LARGEST_RATIO)
    print(
        f"  {one} and {other}: {len(z)} means, largest z {z.max():.2f}, {(z > LARGEST_Z).sum()} beyond {LARGEST_Z:g}; "
        f"sd ratio at most {np.exp(log_ratio.max()):.3f}, {wide.sum()} beyond {LARGEST_RATIO}, {apart.sum()} of these "
        f"beyond chance -> {'agree' if fine else 'DISAGREE'}"
    )
    return fine


def measure_parameterizations(seed: int) -> int:
    """Print effective draws per second of sampling for each parameterisation on data of several kinds."""
    import arviz as az

    poisson = ModelConfig(likelihood="poisson")
    large = {"mu": 1e3, "alpha": 1e-3, "seed": seed}
    sets = [
        ("pump failures, 10 x 1", pump_failures(), "poisson"),
        (
            "200 x 30, mean 5",
            simulate_event_rates(200, 30, mu=5.0, alpha=1.0, phi=2.0, seed=seed)[0],
            NEGATIVE_BINOMIAL,
        ),
        ("6 x 20, mean 1000", simulate_event_rates(6, 20, phi=2.0, **large)[0], NEGATIVE_BINOMIAL),
        ("6 x 20, mean 1000", simulate_event_rates(6, 20, config=poisson, **large)[0], "poisson"),
        (
            "300 x 4, mean 0.1",
            simulate_event_rates(300, 4, mu=0.1, alpha=5.0, phi=1.0, seed=seed)[0],
            NEGATIVE_BINOMIAL,
        ),
    ]
    print("NumPyro engine, 4 x (1000 + 1000) draws; ESS is the smallest over all parameters; seconds include compiling")
    columns = ("seconds", "ESS", "ESS/s", "R-hat", "divergent", "steps")
    print(f"{'data':24s}{'likelihood':20s}{'parameterisation':18s}" + "".join(f"{name:>10s}" for name in columns))
    for name, data, likelihood in sets:
        for parameterization in ("centered", "noncentered", "mean_scaled"):
            config = ModelConfig(
                likelihood=likelihood, parameterization=parameterization, n_samples=1000, random_seed=seed
            )
            trace = fit_event_rates(data, config, predictive_draws=4, prior_draws=1)
            seconds = trace.posterior.attrs["sampling_seconds"]
            ess = min(float(values.min()) for values in az.ess(trace).values())
            r_hat = max(float(values.max()) for values in az.rhat(trace).values())
            divergent, steps = int(trace.sample_stats["diverging"].sum()), float(trace.sample_stats["n_steps"].mean())
            print(f"{name:24s}{likelihood:20s}{parameterization:18s}", end="")
            print(
                f"{seconds:10.1f}{ess:10.0f}{ess / seconds:10.0f}{r_hat:10.3f}{divergent:10d}{steps:10.1f}", flush=True
            )
    return 0


if __name__ == "__main__":
    warnings.simplefilter("error", FutureWarning)
    sys.exit(main())
