"""`EventCounts`: checked when made, unchangeable, the same after a trip through a file; fingerprints notice changes."""

import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelwright.core.errors import DataError
from modelwright.core.files import json_text
from modelwright.data.datasets import pump_failures, simulate_security_log
from modelwright.data.events import EventCounts, LeftOut, load_events


def zoned() -> EventCounts:
    frame = pd.DataFrame(
        {"who": ["b", "a", "a", ""], "at": ["2024-03-30 10:00", "2024-03-30 11:00", "2024-04-01 09:00", "2024-04-01"]}
    )
    return load_events(
        frame,
        entity="who",
        time="at",
        window="1D",
        timezone="Europe/Berlin",
        on_bad="leave_out",
        progress=lambda _: None,
    )


INSTANCES = {
    "pumps": pump_failures,
    "security log": lambda: simulate_security_log(n_users=12, n_days=9, seed=3).counts(),
    "zoned log with a row left out": zoned,
    "entities in an order of their own": lambda: EventCounts(
        entity_idx=np.array([0, 0, 1]),
        entities=("z", "a"),
        count=np.array([1, 2, 3]),
        exposure=np.array([0.1, 1 / 3, 2.0]),
        window_start=None,
        window_label=np.array(["x", "y", "x"], dtype=object),
    ),
}


@pytest.mark.parametrize("name", INSTANCES)
@pytest.mark.parametrize("way", ["memory", "parquet"])
def test_a_trip_through_a_table_changes_nothing(name: str, way: str, tmp_path: Path) -> None:
    counts = INSTANCES[name]()
    frame = counts.to_frame()
    if way == "parquet":
        frame.to_parquet(tmp_path / "counts.parquet")
        frame = pd.read_parquet(tmp_path / "counts.parquet")
    back = EventCounts.from_frame(frame)
    assert back.fingerprint() == counts.fingerprint()
    assert back.entities == counts.entities
    assert back.window_label.tolist() == counts.window_label.tolist()
    assert (back.window, back.timezone, back.left_out) == (counts.window, counts.timezone, counts.left_out)
    assert back.describe() == counts.describe()
    for name in ("entity_idx", "count", "exposure", "window_start", "label", "kind"):
        mine, other = getattr(counts, name), getattr(back, name)
        if mine is None:
            assert other is None
        else:
            assert mine.dtype == other.dtype
            np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("name", INSTANCES)
def test_the_description_is_plain_data(name: str) -> None:
    description = INSTANCES[name]().describe()
    assert '"fingerprint"' in json_text(description)
    assert description["events"] == INSTANCES[name]().count.sum()


def test_a_csv_of_counts_comes_back_the_same_through_load_events(tmp_path: Path) -> None:
    counts = simulate_security_log(n_users=5, n_days=4, seed=3).counts()
    counts.to_frame().to_csv(tmp_path / "counts.csv", index=False)
    options: dict[str, Any] = {"entity": "entity", "time": "window_start", "window": "1D", "count": "count"}
    back = load_events(tmp_path / "counts.csv", **options, exposure="exposure", label="label", kind="kind")
    assert back.fingerprint() == counts.fingerprint()


def test_every_part_of_the_data_is_in_the_fingerprint() -> None:
    counts = simulate_security_log(n_users=5, n_days=4, attack_fraction=0.2, seed=3).counts()
    assert counts.window_start is not None
    assert counts.label is not None
    assert counts.kind is not None
    changed = [
        replace(counts, entities=("x", *counts.entities[1:])),
        replace(counts, count=counts.count + np.eye(1, counts.n_obs, dtype=np.int64)[0]),
        replace(counts, exposure=counts.exposure * 1.5),
        replace(counts, window_start=counts.window_start + np.timedelta64(1, "ns")),
        replace(counts, window_start=None),
        replace(counts, label=~counts.label),
        replace(counts, label=None),
        replace(counts, kind=np.full(counts.n_obs, "x", dtype=object)),
        replace(counts, kind=None),
    ]
    prints = {entry.fingerprint() for entry in [counts, *changed]}
    assert len(prints) == len(changed) + 1
    assert replace(counts, source={"name": "elsewhere"}).fingerprint() == counts.fingerprint()


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    # Written down once; it changes only when the format of fingerprints does.
    assert pump_failures().fingerprint() == "a00745f67ddf1b554226cdf2b9d9ea7144a2ed072e70914a6f0910f1d48085ba"


def test_arrays_cannot_be_written_to_and_the_callers_own_still_can() -> None:
    mine = np.array([1, 2])
    counts = EventCounts.from_arrays(entity=["a", "b"], count=mine)
    with pytest.raises(ValueError, match="read-only"):
        counts.count[0] = 5
    with pytest.raises(FrozenInstanceError):
        counts.window = "1D"  # type: ignore[misc]
    mine[0] = 7
    assert counts.count[0] == 1


def test_from_arrays_sorts_by_entity_and_time_and_is_indifferent_to_order() -> None:
    random = np.random.default_rng(0)
    entity = np.repeat(["b", "a", "c"], 4)
    start = np.tile(np.arange("2024-03-01", "2024-03-05", dtype="datetime64[D]"), 3)
    count = random.poisson(4, size=12)
    reference = EventCounts.from_arrays(entity=entity, count=count, window_start=start)
    order = random.permutation(12)
    shuffled = EventCounts.from_arrays(entity=entity[order], count=count[order], window_start=start[order])
    assert shuffled.fingerprint() == reference.fingerprint()
    assert reference.entities == ("a", "b", "c")
    assert reference.count[:4].tolist() == count[4:8].tolist()
    assert reference.window_label[0] == "2024-03-01"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"entity_idx": np.array([1, 0])}, "entity_idx"),
        ({"entity_idx": np.array([0, 2])}, "entity_idx"),
        ({"entity_idx": np.array([0, 0])}, "entity_idx"),
        ({"entities": ("a", "a")}, "entities"),
        ({"count": np.array([1, 2, 3])}, "entity_idx"),
        ({"count": np.array([1.5, 2])}, "count"),
        ({"count": np.array(["1", "x"])}, "count"),
        ({"count": np.zeros((2, 1))}, "count"),
        ({"exposure": np.array([1.0, -1.0])}, "exposure"),
        ({"window_label": np.array(["x"], dtype=object)}, "window_label"),
        ({"label": np.array([True])}, "label"),
        ({"count": np.zeros(0), "entity_idx": np.zeros(0)}, "count"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(changes: dict[str, Any], field: str) -> None:
    good: dict[str, Any] = {
        "entity_idx": np.array([0, 1]),
        "entities": ("a", "b"),
        "count": np.array([1, 2]),
        "exposure": np.ones(2),
        "window_start": None,
        "window_label": np.array(["x", "x"], dtype=object),
    }
    EventCounts(**good)
    with pytest.raises(DataError) as caught:
        EventCounts(**(good | changes))
    assert caught.value.field == field


def test_windows_out_of_order_are_refused() -> None:
    with pytest.raises(DataError, match=r"windows of an entity are not in order \(row 2\)"):
        EventCounts(
            entity_idx=np.array([0, 0]),
            entities=("a",),
            count=np.array([1, 2]),
            exposure=np.ones(2),
            window_start=np.array(["2024-03-02", "2024-03-01"], dtype="datetime64[D]"),
            window_label=np.array(["x", "y"], dtype=object),
        )


def test_an_entity_is_found_by_its_label() -> None:
    pumps = pump_failures()
    assert pumps.index_of("pump_03") == 2
    with pytest.raises(DataError, match="did you mean 'pump_03'") as caught:
        pumps.index_of("pmp_03")
    assert caught.value.field == "entity"


def test_the_arrays_that_counts_were_made_from_do_not_reach_into_them() -> None:
    count, exposure = np.array([1, 2]), np.ones(2)
    counts = EventCounts(
        entity_idx=np.array([0, 1]),
        entities=("a", "b"),
        count=count,
        exposure=exposure,
        window_start=None,
        window_label=np.array(["x", "y"], dtype=object),
    )
    before = counts.fingerprint()
    count[0], exposure[0] = 99, 5.0
    assert counts.count.tolist() == [1, 2]
    assert counts.fingerprint() == before


def test_left_out_is_part_of_the_description() -> None:
    assert zoned().left_out == (LeftOut("rows without an entity", 1),)
    assert zoned().describe()["left_out"] == [{"reason": "rows without an entity", "rows": 1}]


def test_importing_the_package_of_data_loads_no_framework() -> None:
    code = (
        "import sys, modelwright.data; assert not {'pandas', 'duckdb', 'pyarrow'} & set(sys.modules), 'heavy'; "
        "import modelwright.data.datasets; frameworks = {'pymc', 'jax', 'numpyro', 'arviz', 'matplotlib', 'polars'}; "
        "assert not frameworks & set(sys.modules), frameworks & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
