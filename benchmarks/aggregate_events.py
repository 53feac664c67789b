"""Claim: ten million raw events become counts per entity and day within 20 seconds and 4 GiB.

Every measurement runs in a process of its own, so that its peak memory is its own; peers (pandas and polars group-by
over the same file, without zero windows and exposure) are measured in the same run, alternating with ours.

    python benchmarks/aggregate_events.py [--rows 10000000] [--repeats 3] [--formats parquet csv] [--json FILE]
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_ENTITIES = 20_000
N_DAYS = 90


def ours(path: str, timezone: str | None = None) -> int:
    """Count with Modelwright; returns the number of events counted."""
    from modelwright.data.events import load_events

    counts = load_events(path, entity="user", time="timestamp", window="1D", timezone=timezone)
    return int(counts.count.sum())


def ours_in_a_zone(path: str) -> int:
    """The same with civil days of a zone that changes its clocks."""
    return ours(path, "Europe/Berlin")


def with_pandas(path: str) -> int:
    """A group-by over user and day in pandas."""
    import pandas as pd

    if path.endswith(".csv"):
        frame = pd.read_csv(path, usecols=["user", "timestamp"], parse_dates=["timestamp"])
    else:
        frame = pd.read_parquet(path, columns=["user", "timestamp"])
    counted = frame.groupby(["user", frame["timestamp"].dt.floor("D")]).size()
    return int(counted.sum())


def with_polars(path: str) -> int:
    """A group-by over user and day in polars, lazily."""
    import polars as pl

    scan = pl.scan_csv(path, try_parse_dates=True) if path.endswith(".csv") else pl.scan_parquet(path)
    counted = scan.group_by("user", pl.col("timestamp").dt.truncate("1d")).len().sort("user", "timestamp").collect()
    return int(counted["len"].sum())


CONTENDERS = {
    "modelwright": ours,
    "modelwright, Europe/Berlin": ours_in_a_zone,
    "pandas": with_pandas,
    "polars": with_polars,
}


def generate(folder: Path, rows: int, formats: list[str]) -> dict[str, Path]:
    """A log of `rows` events as files, made in another process: a child's peak memory begins at its parent's size."""
    command = [sys.executable, __file__, "--generate", str(folder), str(rows), *formats]
    subprocess.run(command, check=True)
    return {format: folder / f"events.{format}" for format in formats}


def generated_here(folder: Path, rows: int, formats: list[str]) -> None:
    """Events of 20,000 users over 90 days, not sorted by time."""
    import numpy as np
    import pandas as pd

    random = np.random.default_rng(20_240_304)
    # Activity differs between users as it does in logs: a few are very busy.
    weight = random.gamma(0.5, size=N_ENTITIES)
    user = random.choice(N_ENTITIES, size=rows, p=weight / weight.sum())
    second = random.integers(0, N_DAYS * 86_400, size=rows)
    frame = pd.DataFrame(
        {
            "timestamp": np.datetime64("2024-03-04", "s") + second.astype("timedelta64[s]"),
            "user": pd.Categorical.from_codes(user, [f"user_{n:05d}" for n in range(N_ENTITIES)]).astype(str),
            "source": random.integers(0, 2**31, size=rows),
        }
    )
    for format in formats:
        path = folder / f"events.{format}"
        frame.to_csv(path, index=False) if format == "csv" else frame.to_parquet(path, index=False)


def measure(contender: str, path: Path) -> dict[str, float]:
    """Seconds and peak memory (GiB) of one contender in a process of its own, imports included in both."""
    command = [sys.executable, __file__, "--measure", contender, str(path)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    measured: dict[str, float] = json.loads(answer.stdout.splitlines()[-1])
    return measured


def measured_here(contender: str, path: str) -> None:
    """The inside of `measure`."""
    begin = time.perf_counter()
    events = CONTENDERS[contender](path)
    seconds = time.perf_counter() - begin
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30
    print(json.dumps({"seconds": seconds, "peak_gib": peak, "events": events}))


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    from importlib.metadata import version

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "memory_gib": round(memory, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "duckdb": version("duckdb"),
        "pandas": version("pandas"),
    }


def main() -> int:
    """Generate, measure, print; the exit status says whether the claim holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--formats", nargs="+", default=["parquet", "csv"], choices=["parquet", "csv"])
    parser.add_argument("--data-dir", default=None, help="not used: the events are generated")
    parser.add_argument("--json", type=Path, default=None, help="also write the figures to this file")
    parser.add_argument("--generate", nargs="+", default=None, help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, default=None, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.generate:
        folder, rows, *formats = arguments.generate
        generated_here(Path(folder), int(rows), formats)
        return 0
    if arguments.measure:
        measured_here(*arguments.measure)
        return 0
    facts = machine()
    print(" · ".join(f"{name} {value}" for name, value in facts.items()))
    results = []
    with tempfile.TemporaryDirectory(prefix="modelwright-benchmark-") as folder:
        paths = generate(Path(folder), arguments.rows, arguments.formats)
        for format, path in paths.items():
            size = path.stat().st_size / 2**20
            print(f"\n{arguments.rows:,} events, {format}, {size:.0f} MiB, {arguments.repeats} runs")
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in CONTENDERS}
            for _ in range(arguments.repeats):
                for name in CONTENDERS:
                    runs[name].append(measure(name, path))
            reference = statistics.median(run["seconds"] for run in runs["pandas"])
            for name, all_runs in runs.items():
                seconds = statistics.median(run["seconds"] for run in all_runs)
                peak = max(run["peak_gib"] for run in all_runs)
                kept = all(run["events"] == arguments.rows for run in all_runs)
                results.append(
                    {"format": format, "who": name, "seconds": seconds, "peak_gib": peak, "every_event_counted": kept}
                )
                print(
                    f"  {name:28s} median {seconds:6.2f} s   peak {peak:5.2f} GiB   "
                    f"{reference / seconds:5.2f} x pandas' speed   {'every event counted' if kept else 'EVENTS LOST'}"
                )
    mine = [entry for entry in results if str(entry["who"]).startswith("modelwright")]
    holds = all(r["seconds"] <= 20 and r["peak_gib"] <= 4 and r["every_event_counted"] for r in mine)
    print(f"\nwithin 20 s and 4 GiB: {'yes' if holds else 'NO'}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": facts, "rows": arguments.rows, "results": results}, indent=2))
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
