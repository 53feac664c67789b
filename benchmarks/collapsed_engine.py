"""The collapsed engine: effective draws per second against plain samplers, the same posterior as NUTS, a published one.

    python benchmarks/collapsed_engine.py --data-dir path/to/data              # all three parts
    python benchmarks/collapsed_engine.py --parts speed --sizes 500            # about ten minutes on two cores
    python benchmarks/collapsed_engine.py --parts agreement pumps --data-dir path/to/data

speed: the smallest bulk effective sample size over the population's parameters and all rates, per second of compiling
and sampling, against PyMC, nutpie and NumPyro as their users write the model (`plain_samplers`), each in a process of
its own. Above 500 entities the others are given fewer draws. Beside the seconds by the clock stand those of processors,
which other work on the machine hardly changes; the ratio has to be large enough by both. A peer that --peer-seconds
stops counts as if every draw it was asked for had come out in that time, as good as draws can be.

agreement: on every data set of the folder's events that the model fits, the collapsed engine against NUTS over all
rates, mean by mean in units of their combined Monte Carlo standard error, with the proposals' k-hat.

pumps: the failures of ten pumps with the hyperpriors the example was published with, against the reference posterior
in the folder's bugs/reference_posteriors.json.

Exit status: 0 when every ratio and every comparison is as it should be, 1 otherwise.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from engine_agreement import Moments, epilepsy, stops
from scipy import stats

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.bayesian.quiet_arviz import az
from modelwright.data.datasets import pump_failures
from modelwright.data.events import EventCounts, load_events

PEERS = ("pymc", "nutpie", "numpyro")
AT_LEAST = {500: 25.0, 10_000: 500.0}
LARGEST_Z = 4.0
POPULATION = ("mu", "alpha", "phi")


def main() -> int:
    """Run what was asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", default=["speed", "agreement", "pumps"])
    parser.add_argument("--data-dir", type=Path, help="folder with events/ and bugs/; without it only the speed is run")
    parser.add_argument("--sizes", nargs="+", type=int, default=[500, 10_000], help="entities, 20 windows each")
    parser.add_argument("--peers", nargs="*", default=list(PEERS), choices=PEERS)
    parser.add_argument("--peer-draws", type=int, default=1000, help="draws and warm-up per chain at 500 entities")
    parser.add_argument("--peer-draws-large", type=int, default=100, help="the same above 500 entities")
    parser.add_argument("--peer-seconds", type=float, help="stop a peer after so long; its pace is then bounded")
    parser.add_argument("--draws", type=int, default=1000, help="draws per chain of the comparison with NUTS")
    parser.add_argument("--sets", nargs="+", help="only data sets whose names contain one of these words")
    options = parser.parse_args()
    fine = True
    if "speed" in options.parts:
        for size in options.sizes:
            fine &= speed(size, options)
    if options.data_dir is not None and "agreement" in options.parts:
        fine &= agreement(options)
    if options.data_dir is not None and "pumps" in options.parts:
        fine &= pumps(options.data_dir)
    print("\nas it should be" if fine else "\nNOT as it should be")
    return 0 if fine else 1


def speed(size: int, options: argparse.Namespace) -> bool:
    """Print effective draws per second of every sampler at one size; whether the ratio is large enough."""
    data = simulate_event_rates(size, 20, mu=5.0, alpha=1.0, phi=2.0, seed=1)[0]
    config = ModelConfig(n_samples=1000, n_chains=4, random_seed=1)
    print(f"\n{size:,} entities x 20 windows, 4 chains; effective sample size: bulk, the smallest over all unknowns")
    print(
        f"  {'sampler':12s}{'draws':>14s}{'seconds':>10s}{'processor':>11s}{'population':>12s}{'rates':>8s}"
        f"{'ESS/s':>10s}{'ratio':>9s}{'by processor':>14s}"
    )
    began, processor = time.perf_counter(), time.process_time()
    trace = fit_event_rates(data, config, engine="collapsed", rates="draws", predictive_draws=4, prior_draws=1)
    with_predictions, processor = time.perf_counter() - began, time.process_time() - processor
    seconds = trace.posterior.attrs["sampling_seconds"]
    ess = {name: float(values.min()) for name, values in az.ess(trace.posterior, method="bulk").items()}
    mine = report("collapsed", "0 + 1000", (seconds, processor), ess, None)
    print(f"  ({with_predictions:.1f} s with draws from the prior and of windows; {trace.posterior.attrs['reason']})")
    best = np.zeros(2)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "counts.npz"
        np.savez(file, entity=np.asarray(data.entity_idx), count=np.asarray(data.count))
        draws = options.peer_draws if size <= 500 else options.peer_draws_large
        tune = draws if size <= 500 else 2 * draws
        for peer in options.peers:
            script = Path(__file__).with_name("plain_samplers.py")
            command = [sys.executable, str(script), str(file), peer, "--draws", str(draws), "--tune", str(tune)]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            try:
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=options.peer_seconds
                )
            except subprocess.TimeoutExpired:
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                bound = most_effective(4 * draws) / np.array([options.peer_seconds, took])
                best = np.maximum(best, bound)
                print(
                    f"  {peer:12s}{f'{tune} + {draws}':>14s} not finished in {options.peer_seconds:.0f} s "
                    f"({took:.0f} s of processors): at most {bound[0]:.2f} effective draws per second",
                    flush=True,
                )
                continue
            if done.returncode != 0:
                print(f"  {peer:12s} failed: {done.stderr.strip().splitlines()[-1]}")
                continue
            found = json.loads(done.stdout.strip().splitlines()[-1])
            took = found["seconds"], found["processor"]
            best = np.maximum(best, report(peer, f"{tune} + {draws}", took, found["ess"], mine))
    wanted = AT_LEAST.get(size, 1.0)
    if best.all():
        by_clock, by_processor = mine / best
        print(
            f"  {by_clock:.0f} times the best of the others, {by_processor:.0f} times by processor seconds "
            f"(at least {wanted:g} wanted)"
        )
    return bool((mine >= wanted * best).all())


def most_effective(draws: int) -> float:
    """The largest effective sample size that any number of draws is credited with (ArviZ's own limit)."""
    return draws * math.log10(draws)


def report(
    name: str, draws: str, took: tuple[float, float], ess: dict[str, float], mine: np.ndarray | None
) -> np.ndarray:
    """Print one sampler's line; its effective draws per second of the clock and of processors."""
    population, rates = min(ess[part] for part in POPULATION if part in ess), ess["theta"]
    pace = min(population, rates) / np.array(took)
    ratios = ("", "") if mine is None else (f"{ratio:.0f}" for ratio in mine / pace)
    by_clock, by_processor = ratios
    print(
        f"  {name:12s}{draws:>14s}{took[0]:10.1f}{took[1]:11.1f}{population:12.0f}{rates:8.0f}{pace[0]:10.2f}"
        f"{by_clock:>9s}{by_processor:>14s}",
        flush=True,
    )
    return pace


def agreement(options: argparse.Namespace) -> bool:
    """Compare with NUTS on every data set that the model fits; whether all agree."""
    print(f"\nagainst NUTS over all rates (NumPyro), 4 x {options.draws} draws; z: difference of means in MCSE")
    print(
        f"  {'data':36s}{'entities':>9s}{'windows':>9s}{'k-hat':>7s}{'seconds':>9s}{'NUTS s':>8s}"
        f"{'z mu':>7s}{'z alpha':>8s}{'z phi':>7s}{'z rates':>8s}{'sd ratio':>9s}"
    )
    fine = True
    for name, make, likelihood in data_sets(options.data_dir):
        if options.sets and not any(word in name for word in options.sets):
            continue
        fine &= compare(name, make(), likelihood, options.draws)
    return fine


def compare(name: str, data: EventCounts, likelihood: str, draws: int) -> bool:
    """Print one data set's line; whether the two posteriors are the same as far as can be told."""
    config = ModelConfig(likelihood=likelihood, n_samples=draws, n_chains=4, random_seed=1)
    traces = [
        fit_event_rates(data, config, engine=engine, predictive_draws=4, prior_draws=1, **rates)
        for engine, rates in (("collapsed", {"rates": "draws"}), ("numpyro", {}))
    ]
    ours, theirs = traces
    names = [part for part in (*POPULATION, "theta") if part in ours.posterior]
    sizes = [int(np.prod(ours.posterior[part].shape[2:])) for part in names]
    a, b = (Moments(type("Trace", (), {"posterior": trace.posterior[names]})) for trace in traces)
    z = np.abs(a.mean - b.mean) / np.hypot(a.mcse, b.mcse)
    largest = dict(zip(names, [part.max() for part in np.split(z, np.cumsum(sizes)[:-1])], strict=True))
    z_sd = np.abs(np.log(a.sd / b.sd)) / np.hypot(a.log_sd_mcse, b.log_sd_mcse)
    population = len(names) - 1
    # With thousands of rates some differ by more than 4 standard errors by chance: one set in a hundred may.
    by_chance = max(LARGEST_Z, float(stats.norm.isf(0.005 / max(sizes[-1], 1))))
    agree = max(list(largest.values())[:-1]) <= LARGEST_Z and largest["theta"] <= by_chance
    agree &= bool(z_sd[:population].max() <= LARGEST_Z)
    k_hat, seconds = (ours.posterior.attrs[key] for key in ("k_hat", "sampling_seconds"))
    columns = "".join(
        f"{largest.get(part, math.nan):{wide}.2f}" for part, wide in zip(POPULATION, (7, 8, 7), strict=True)
    )
    ratio = float(np.exp(np.abs(np.log(a.sd / b.sd))[:population].max()))
    print(
        f"  {name:36s}{data.n_entities:9,d}{data.n_obs:9,d}{k_hat:7.2f}{seconds:9.1f}"
        f"{theirs.posterior.attrs['sampling_seconds']:8.0f}{columns}{largest['theta']:8.2f}{ratio:9.3f}"
        f"  {ours.posterior.attrs['method']}{'' if agree else '  DIFFERENT'}",
        flush=True,
    )
    return agree


def data_sets(folder: Path) -> list[tuple[str, Callable[[], EventCounts], str]]:
    """Name, maker and likelihood of every table of counts per entity, and every log, in the folder."""
    import pandas as pd

    events = folder / "events"

    def counts(file: str, entity: list[str] | None, count: str, exposure: str | None = None) -> EventCounts:
        path = events / file
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        if exposure is not None:
            table = table[table[exposure] > 0]
        labels = table.index.astype(str) if entity is None else table[entity].astype(str).agg(" ".join, axis=1)
        return EventCounts.from_arrays(
            entity=labels, count=table[count], exposure=None if exposure is None else table[exposure]
        )

    def log(file: str, kind: str, window: str) -> EventCounts:
        table = pd.read_csv(events / file)
        table = table[(table["event"] == kind) & table["source"].notna()]
        return load_events(
            table, entity="source", time="time", window=window, multiplicity="multiplicity", span="whole"
        )

    def home_runs() -> EventCounts:
        table = pd.read_parquet(events / "lahman_batting.parquet")
        table = table[(table["yearID"] >= 2015) & (table["AB"] >= 50)]
        return EventCounts.from_arrays(
            entity=table["playerID"], count=table["HR"].astype(int), exposure=table["AB"].astype(float) / 100.0
        )

    def breaches() -> EventCounts:
        table = pd.read_csv(events / "hhs_cyber_breaches.csv.gz")
        return load_events(table, entity="State", time="Breach.Submission.Date", window="QS", span="whole")

    def trips() -> EventCounts:
        table = pd.read_parquet(events / "nyc_bikes.parquet")
        return load_events(table, entity="start_station", time="start_time", window="W", span="whole")

    # With one window per entity nothing tells scatter of counts from differences of rates: Poisson, as for the pumps.
    nb, poisson = "negative_binomial", "poisson"
    return [
        ("pump failures", pump_failures, poisson),
        ("seizures (epil)", lambda: epilepsy(folder), nb),
        ("stops by precinct (frisk)", lambda: stops(folder), nb),
        ("roaches by apartment", lambda: counts("roaches.csv.gz", None, "y", "exposure2"), poisson),
        ("ticks by brood (grouseticks)", lambda: counts("grouseticks.csv.gz", ["BROOD"], "TICKS"), nb),
        ("ticks by place (grouseticks)", lambda: counts("grouseticks.csv.gz", ["LOCATION"], "TICKS"), nb),
        ("articles by student", lambda: counts("biochemists_articles.csv.gz", None, "art"), poisson),
        ("absence by class (quine)", lambda: counts("quine.csv.gz", ["Eth", "Sex", "Age", "Lrn"], "Days"), nb),
        ("failed log-ins (auth_elastic)", lambda: log("auth_elastic_events.csv.gz", "failed_password", "1D"), nb),
        ("failed log-ins (ssh_loghub)", lambda: log("ssh_loghub_events.csv.gz", "failed_password", "1h"), nb),
        ("PAM failures (linux_loghub)", lambda: log("linux_loghub_events.csv.gz", "pam_auth_failure", "1D"), nb),
        ("breaches by state (hhs)", breaches, nb),
        ("bicycle trips by station", trips, nb),
        ("pedestrians by sensor", lambda: counts("pedestrian_melbourne.parquet", ["Sensor"], "Count"), nb),
        ("home runs from 2015 (lahman)", home_runs, nb),
        ("doctor's visits (randhie)", lambda: counts("randhie.parquet", ["zper"], "mdvis"), nb),
    ]


def pumps(folder: Path) -> bool:
    """Compare with the reference posterior of the pump failures; whether means and standard deviations are the same."""
    reference = json.loads((folder / "bugs" / "reference_posteriors.json").read_text())["examples"]["pump"]["stats"]
    config = ModelConfig(
        likelihood="poisson",
        shape_prior="exponential(1)",
        alpha_prior="gamma(0.1, 1)",
        n_samples=10_000,
        n_chains=4,
        random_seed=1,
    )
    trace = fit_event_rates(
        pump_failures(), config, engine="collapsed", rates="draws", predictive_draws=4, prior_draws=1
    )
    posterior = trace.posterior
    draws = {"alpha": (posterior["mu"] * posterior["alpha"]).to_numpy(), "beta": posterior["alpha"].to_numpy()}
    draws |= {f"theta[{k + 1}]": posterior["theta"].to_numpy()[..., k] for k in range(10)}
    attrs = posterior.attrs
    print(
        f"\npump failures, published priors: {attrs['method']}, k-hat {attrs['k_hat']:.2f}, "
        f"4 x {config.n_samples} draws"
    )
    print(f"  {'':10s}{'mean':>9s}{'reference':>11s}{'z':>6s}{'sd':>9s}{'reference':>11s}{'z':>6s}")
    worst = 0.0
    for name, values in draws.items():
        truth = reference[name]
        mcse = values.std() / math.sqrt(float(az.ess(values, method="mean")))
        z = abs(values.mean() - truth["mean"]) / math.hypot(mcse, truth["mcse"])
        square = (values - values.mean()) ** 2
        sd_mcse = square.std() / math.sqrt(float(az.ess(square, method="mean"))) / (2 * values.std())
        # the reference says how many effective draws its mean had; its standard deviation is taken to have as many
        reference_sd_mcse = sd_mcse * math.sqrt(float(az.ess(square, method="mean"))) * truth["mcse"] / truth["sd"]
        z_sd = abs(values.std() - truth["sd"]) / math.hypot(sd_mcse, reference_sd_mcse)
        worst = max(worst, z, z_sd)
        print(
            f"  {name:10s}{values.mean():9.4f}{truth['mean']:11.4f}{z:6.2f}"
            f"{values.std():9.4f}{truth['sd']:11.4f}{z_sd:6.2f}"
        )
    print(f"  the largest of {2 * len(draws)} differences is {worst:.2f} standard errors (4 is the most)")
    return worst <= LARGEST_Z


if __name__ == "__main__":
    sys.exit(main())
