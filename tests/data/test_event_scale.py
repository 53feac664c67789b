"""A million entities in twenty windows: the counts of a Parquet file are read in bounded time and memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ENTITIES, WINDOWS = 1_000_000, 20

# In a process of its own, whose peak memory is that of the work; processor time, since other programs may be running.
_MEASURED = """
import json, resource, sys, time
from modelwright.data.events import EventCounts, load_events

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30

def timed(name, work):
    begin = time.process_time()
    result = work()
    seconds[name] = time.process_time() - begin
    return result

seconds = {}
counts = timed("load", lambda: load_events(sys.argv[1], entity="who", time="day", window="1D", count="n"))
found = {"load_peak": peak(), "n_obs": counts.n_obs, "n_entities": counts.n_entities, "events": int(counts.count.sum())}
found["fingerprint"] = timed("fingerprint", counts.fingerprint)
timed("describe", counts.describe)
frame = timed("to_frame", counts.to_frame)
back = timed("from_frame", lambda: EventCounts.from_frame(frame))
found |= {"back": back.fingerprint(), "peak": peak(), "window": counts.window_label[21], "seconds": seconds}
print(json.dumps(found))
"""


# In another process too: the peak memory of a child begins at the size of its parent.
_GENERATED = """
import sys
import duckdb

rows = '''SELECT 'user_' || lpad(CAST(u AS VARCHAR), 7, '0') AS who, DATE '2024-03-01' + CAST(d AS INTEGER) AS day,
          CAST(hash(u * 31 + d) % 7 AS INTEGER) AS n FROM range({}) a(u), range({}) b(d)'''.format(*sys.argv[2:])
with duckdb.connect() as connection:
    connection.execute("SET enable_progress_bar = false")
    for name, order in (("sorted", "u, d"), ("mixed", "hash(u * 20 + d)")):
        connection.execute(f"COPY ({rows} ORDER BY {order}) TO '{sys.argv[1]}/{name}.parquet' (FORMAT parquet)")
    print(connection.execute(f"SELECT sum(n) FROM ({rows})").fetchall()[0][0])
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], int]:
    """The same rows by entity and in no order, and how many events they hold."""
    folder = tmp_path_factory.mktemp("scale")
    command = [sys.executable, "-c", _GENERATED, str(folder), str(ENTITIES), str(WINDOWS)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    return [folder / "sorted.parquet", folder / "mixed.parquet"], int(answer.stdout)


@pytest.mark.slow
def test_twenty_million_counts_are_read_in_seconds_and_two_and_a_half_gibibytes(files: tuple[list[Path], int]) -> None:
    paths, events = files
    fingerprints = set()
    for path in paths:
        command = [sys.executable, "-W", "error", "-c", _MEASURED, str(path)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True)
        found = json.loads(answer.stdout)
        assert (found["n_obs"], found["n_entities"], found["events"]) == (ENTITIES * WINDOWS, ENTITIES, events)
        assert found["window"] == "2024-03-02"
        assert found["back"] == found["fingerprint"]
        fingerprints.add(found["fingerprint"])
        # Memory is the promise itself. Times are twice to three times those of two idle cores (4 and 7 s to load, half
        # a second to 2 s for each of the others), so that a busy machine passes and an object per row does not.
        assert found["load_peak"] < 2.5, found
        assert found["peak"] < 3.5, found  # two sets of counts and a table at once
        limits = {"load": 16.0, "fingerprint": 2.0, "describe": 2.0, "to_frame": 4.0, "from_frame": 5.0}
        assert all(found["seconds"][name] < limit for name, limit in limits.items()), found
    assert len(fingerprints) == 1
