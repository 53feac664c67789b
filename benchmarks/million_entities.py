"""A million entities: from a Parquet file of counts to the closed run, and how time grows with entities and windows.

    python benchmarks/million_entities.py                      # the million, the table of sizes, the windows, the peers
    python benchmarks/million_entities.py --parts million      # or some of: million sizes windows edges peers

million: the command `modelwright train event_rates --data counts.parquet ...` in a process of its own, on 1,000,000
entities x 20 windows, against the limits of 40 s and 6 GiB, with the seconds of every stage that the command reports.
sizes: the same command from 1,000 to 1,000,000 entities; the slope is that of log seconds over log entities.
windows: 10,000 entities with 20 to 2,000 windows, in this process: aggregating the counts, and the posterior after it.
edges: posterior, rate summaries and leave-one-out scores of 1,000 to 100,000 entities x 20 windows, in this process,
once with equal exposures and once with a first and last window of 0.4 and 0.7, as a raw log has them; at most ten times
the processor time, and growing no faster than the entities.
peers: the same command with the engines that sample every rate by NUTS, at a size they can do.

Rates are Gamma(shape 10, mean 5), counts negative binomial with concentration 3.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from modelwright.bayesian.diagnostics.convergence import assess_convergence
from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.collapsed_fit import population_of
from modelwright.bayesian.event_rates.collapsed_posterior import sample_hyperparameters
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.rate_summaries import summarise_rates
from modelwright.bayesian.event_rates.rates_table import rates_table
from modelwright.bayesian.event_rates.statistics import alike_entities, statistics_of
from modelwright.data.events import EventCounts

LIMIT_SECONDS, LIMIT_GIB = 40.0, 6.0
PARTS = ("million", "sizes", "windows", "edges", "peers")
ENGINES = ("numpyro", "nutpie", "pymc")


@dataclass(frozen=True)
class Training:
    """One training: wall and processor seconds, peak memory (GiB), the stages (name, seconds), and what it printed."""

    seconds: float
    processor: float
    gib: float
    stages: tuple[tuple[str, float], ...]
    output: str


def simulated_counts(n_entities: int, n_windows: int, seed: int) -> np.ndarray:
    """Counts (n_entities, n_windows)."""
    rng = np.random.default_rng(seed)
    rate = rng.gamma(10.0, 0.5, (n_entities, 1))
    return rng.negative_binomial(3.0, 3.0 / (3.0 + rate), (n_entities, n_windows))


def write_parquet(path: Path, n_entities: int, n_windows: int, seed: int) -> None:
    """One row per entity and day: user (text), day (timestamp), events (whole number)."""
    count = simulated_counts(n_entities, n_windows, seed)
    users = pa.array([f"user_{number:07d}" for number in range(n_entities)])
    day = np.datetime64("2024-03-01", "us") + np.arange(n_windows) * np.timedelta64(86_400_000_000, "us")
    columns = {
        "user": users.take(pa.array(np.repeat(np.arange(n_entities), n_windows))),
        "day": pa.array(np.tile(day, n_entities)),
        "events": pa.array(count.ravel()),
    }
    pq.write_table(pa.table(columns), path)


class PeakMemory(threading.Thread):
    """Largest resident memory of a process, asked of the operating system twenty times a second until it ends.

    (The resource usage of a finished child counts what its parent held when it was started.)
    """

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._status = Path(f"/proc/{process}/status")
        self.gib = 0.0

    def run(self) -> None:
        """Ask until there is no such process."""
        while True:
            try:
                found = re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text())
            except OSError:
                return
            if found:
                self.gib = max(self.gib, int(found[1]) / 2**20)
            time.sleep(0.05)


def train(data: Path, project: Path, *options: str) -> Training:
    """Run the command in a process of its own."""
    project.mkdir()
    command = [sys.executable, "-m", "modelwright", "--project", str(project), "train", "event_rates"]
    command += ["--data", str(data), "--entity", "user", "--time", "day", "--window", "1D", "--count", "events"]
    started = time.perf_counter()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stdout is not None
    memory = PeakMemory(process.pid)
    memory.start()
    stages, said = [], []
    for line in process.stderr:
        said.append(line)
        stage = re.match(r"(\S+)\s+\[.*\s([\d.]+) s$", line.rstrip())
        if stage:
            stages.append((stage[1], float(stage[2])))
    output = process.stdout.read()
    process.wait()
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{''.join(said)}{output}\nended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Training(seconds, processor, memory.gib, tuple(stages), output)


def million(folder: Path, args: argparse.Namespace) -> bool:
    """The command on a million entities, against the limits."""
    path = folder / "million.parquet"
    write_parquet(path, args.entities, 20, seed=0)
    print(f"\n## {args.entities:,} entities x 20 windows, Parquet of {path.stat().st_size / 2**20:.0f} MiB\n")
    best: Training | None = None
    for attempt in range(args.repeats):
        done = train(path, folder / f"million-{attempt}", "--keep", "1")
        facts = f"{done.seconds:.1f} s wall, {done.processor:.1f} s of processors, {done.gib:.2f} GiB at most"
        print(f"training {attempt + 1}: {facts}", flush=True)
        best = done if best is None or done.seconds < best.seconds else best
    assert best is not None
    print("\n| stage | seconds |\n|---|---|")
    for stage, seconds in best.stages:
        print(f"| {stage} | {seconds:.1f} |")
    rest = best.seconds - sum(seconds for _, seconds in best.stages)
    print(f"| all else: Python itself, data to statistics, opening and closing the run | {rest:.1f} |")
    print(f"| **all** | **{best.seconds:.1f}** |")
    fits = best.seconds <= LIMIT_SECONDS and best.gib <= LIMIT_GIB
    print(f"\nlimits: {LIMIT_SECONDS:.0f} s, {LIMIT_GIB:.0f} GiB: {'kept' if fits else 'NOT KEPT'}")
    return fits


def sizes(folder: Path, args: argparse.Namespace) -> bool:
    """The command from a thousand to a million entities."""
    print("\n## Time over entities, 20 windows each\n")
    print("| entities | windows | seconds | peak GiB | posterior, s | scores, s |\n|---|---|---|---|---|---|")
    found = []
    for n in (size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= args.entities):
        path = folder / f"sizes-{n}.parquet"
        write_parquet(path, n, 20, seed=0)
        done = train(path, folder / f"sizes-{n}")
        stage = dict(done.stages)
        posterior = stage.get("mode", 0.0) + stage.get("sample", 0.0)
        cells = (f"{done.seconds:.1f}", f"{done.gib:.2f}", f"{posterior:.1f}", f"{stage.get('score', 0.0):.1f}")
        print(f"| {n:,} | {20 * n:,} | " + " | ".join(cells) + " |", flush=True)
        found.append((n, done.seconds))
        path.unlink()
    slope = np.polyfit(*np.log(np.array(found)).T, 1)[0]
    steepest = max(np.diff(np.log([s for _, s in found])) / np.diff(np.log([n for n, _ in found])))
    print(f"\nslope of log seconds over log entities: {slope:.2f} over all, {steepest:.2f} at its steepest (1: linear)")
    return bool(steepest <= 1.05)


def windows(folder: Path, args: argparse.Namespace) -> bool:
    """Ten thousand entities with more and more windows: the posterior sees sums only."""
    print("\n## Time over windows, 10,000 entities\n")
    print("| windows each | windows | aggregate, s | posterior, s | summaries of all rates, s |\n|---|---|---|---|---|")
    times = []
    config = ModelConfig.create(n_samples=1000)
    for n in (20, 20, 60, 200, 600, 2000):  # the first one compiles, and is not counted
        count = simulated_counts(10_000, n, seed=1)
        data = EventCounts(
            entity_idx=np.repeat(np.arange(10_000), n),
            entities=tuple(f"user_{number:05d}" for number in range(10_000)),
            count=count.ravel(),
            exposure=np.ones(count.size),
            window_start=None,
            window_label=np.tile([f"day {number}" for number in range(n)], 10_000),
        )
        started = time.perf_counter()
        statistics = statistics_of(data)
        aggregated = time.perf_counter()
        found = sample_hyperparameters(statistics, config)
        sampled = time.perf_counter()
        summarise_rates(population_of(found, config), alike_entities(statistics))
        ended = time.perf_counter()
        times.append(sampled - aggregated)
        if len(times) > 1:
            cells = (aggregated - started, sampled - aggregated, ended - sampled)
            print(f"| {n:,} | {count.size:,} | " + " | ".join(f"{cell:.2f}" for cell in cells) + " |", flush=True)
    ratio = max(times[1:]) / times[1]
    print(f"\nposterior: at most {ratio:.2f} times that of 20 windows, with up to 100 times the windows")
    return bool(ratio < 3.0)


def edge_counts(n_entities: int, exposure: np.ndarray, seed: int) -> EventCounts:
    """Windows of these exposures for every entity."""
    rng = np.random.default_rng(seed)
    mean = rng.gamma(10.0, 0.5, (n_entities, 1)) * exposure
    return EventCounts(
        entity_idx=np.repeat(np.arange(n_entities), len(exposure)),
        entities=tuple(f"user_{number:07d}" for number in range(n_entities)),
        count=rng.negative_binomial(3.0, 3.0 / (3.0 + mean)).ravel(),
        exposure=np.tile(exposure, n_entities),
        window_start=None,
        window_label=np.tile([f"day {number}" for number in range(len(exposure))], n_entities),
    )


def edges(folder: Path, args: argparse.Namespace) -> bool:
    """Partial first and last windows beside equal exposures: processor seconds of the three stages."""
    print("\n## Partial first and last windows, 20 windows each: seconds of processors (wall)\n")
    print("| entities | exposures | distinct entities | posterior | rate summaries | scores | all | times equal |")
    print("|---|---|---|---|---|---|---|---|")
    config = ModelConfig.create(n_samples=1000)
    partial = np.r_[0.4, np.ones(18), 0.7]
    fit_event_rates(edge_counts(50, partial, 2), config, engine="collapsed", rates="summary")  # imports, not counted
    ratios, found = [], []
    for n in (size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= args.edge_entities):
        for name, exposure in (("equal", np.ones(20)), ("partial edges", partial)):
            data = edge_counts(n, exposure, 2)
            statistics = statistics_of(data)
            clocks = [(time.process_time(), time.perf_counter())]
            trace = fit_event_rates(data, config, engine="collapsed", rates="summary")
            clocks.append((time.process_time(), time.perf_counter()))
            rates_table(trace, statistics, assess_convergence(trace))
            clocks.append((time.process_time(), time.perf_counter()))
            score_training_windows(trace, data)
            clocks.append((time.process_time(), time.perf_counter()))
            spent = np.array([*np.diff(clocks, axis=0), np.subtract(clocks[-1], clocks[0])])
            if name == "equal":
                equal = spent[-1, 0]
            ratios.append(spent[-1, 0] / equal)
            cells = [f"{processor:.1f} ({wall:.1f})" for processor, wall in spent]
            rows = f"{alike_entities(statistics).n_rows:,}"
            print(f"| {n:,} | {name} | {rows} | " + " | ".join(cells) + f" | {ratios[-1]:.1f} |", flush=True)
        found.append((n, spent[-1, 0]))
    steepest = max(np.diff(np.log([s for _, s in found])) / np.diff(np.log([n for n, _ in found])), default=0.0)
    print(f"\npartial edges: slope of log seconds over log entities {steepest:.2f} at its steepest (1: linear)")
    return bool(ratios[-1] <= 10.0 and steepest <= 1.05)


def peers(folder: Path, args: argparse.Namespace) -> bool:
    """The same command by engines that sample every rate."""
    print(f"\n## Beside the engines that sample every rate, {args.peer_entities:,} entities x 20 windows\n")
    print("| engine | seconds | times collapsed |\n|---|---|---|")
    path = folder / "peers.parquet"
    write_parquet(path, args.peer_entities, 20, seed=0)
    ours = 0.0
    for engine in ("collapsed", *ENGINES):
        done = train(path, folder / f"peer-{engine}", "--engine", engine, "--draws", "1000", "--tune", "1000")
        ours = ours or done.seconds
        print(f"| {engine} | {done.seconds:.1f} | {done.seconds / ours:.1f} |", flush=True)
    return True


def main() -> int:
    """Run the parts and print the tables; 1 when a limit is not kept."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--entities", type=int, default=1_000_000, help="of the million, and the most of the sizes")
    parser.add_argument("--repeats", type=int, default=1, help="trainings of the million; the fastest counts")
    parser.add_argument("--edge-entities", type=int, default=100_000, help="the most of the part edges")
    parser.add_argument("--peer-entities", type=int, default=200)
    args = parser.parse_args()
    kept = {}
    with tempfile.TemporaryDirectory() as folder:
        for part in args.parts:
            kept[part] = globals()[part](Path(folder), args)
    print(
        "\n"
        + ", ".join(f"{part}: {'as it should be' if fine else 'NOT as it should be'}" for part, fine in kept.items())
    )
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
