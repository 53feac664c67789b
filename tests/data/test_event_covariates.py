"""Covariates and volumes: read, carried along and summed exactly, and refused where they mean nothing."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelwright.core.errors import ConfigurationError, DataError, ModelwrightError
from modelwright.core.files import json_text
from modelwright.data.events import EventCounts, LeftOut, load_events
from modelwright.data.events.texts import Texts

RAW: dict[str, Any] = {"entity": "who", "time": "at", "window": "1D"}
READY: dict[str, Any] = {"entity": "who", "count": "n"}


def log() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "who": ["a", "a", "a", "b", "b"],
            "at": ["2024-03-01T10:00", "2024-03-01T11:00", "2024-03-03T10:00", "2024-03-01T10:00", "2024-03-03T12:00"],
            "bytes": [10, 5, 7, 1, 2],
            "tier": ["free", "free", "free", "paid", "paid"],
            "load": [1.5, 1.5, 3.0, 1.5, 3.0],
        }
    )


def refusal(source: object, **options: Any) -> ModelwrightError:
    with pytest.raises(ModelwrightError) as caught:
        load_events(source, **options)
    return caught.value


def same(first: EventCounts, second: EventCounts) -> bool:
    return first.fingerprint() == second.fingerprint() and first.describe() == second.describe() | {
        "source": first.describe()["source"]
    }


def test_a_log_has_its_covariates_and_the_sum_of_its_volumes() -> None:
    counts = load_events(log().drop(columns="load"), **RAW, covariates=("tier",), volume="bytes")
    assert counts.count.tolist() == [2, 0, 1, 1, 0, 1]
    np.testing.assert_array_equal(counts.volume, [15, np.nan, 7, 1, np.nan, 2])
    tier = counts.covariates["tier"]
    assert isinstance(tier, Texts)
    # Windows without events have the tier of their entity.
    assert tier.tolist() == ["free"] * 3 + ["paid"] * 3
    assert counts.source["covariates"] == ["tier"]
    assert counts.source["columns"]["volume"] == "bytes"
    assert counts.describe()["total_volume"] == 25.0
    assert counts.describe()["covariates"] == {"tier": {"type": "text", "distinct": 2}}
    assert '"tier"' in json_text(counts.describe())


def test_a_covariate_of_windows_fills_a_window_with_what_all_entities_share() -> None:
    frame = log()
    # b has a row on the second of March, so that the load of that day is known for a as well.
    frame.loc[len(frame)] = ["b", "2024-03-02T09:00", 4, "paid", 2.25]
    counts = load_events(frame, **RAW, covariates=("load", "tier"))
    np.testing.assert_array_equal(counts.covariates["load"], [1.5, 2.25, 3.0, 1.5, 2.25, 3.0])
    error = refusal(log(), **RAW, covariates=("load",))
    assert isinstance(error, DataError)
    assert str(error) == (
        "covariates: 'load' changes within entities, and 2 windows without events have no value of it: the first is "
        "(a, 2024-03-02); expected a value for every window, one per entity, or one per window that all entities "
        'share; use only the windows listed (span = "listed"), or leave this covariate out'
    )
    frame.loc[3, "load"] = 9.0
    frame = frame.drop(index=[0, 1])
    # On the first of March the two no longer agree, but nothing is filled there.
    assert load_events(frame, **RAW, covariates=("load",)).covariates["load"].tolist() == [3.0, 9.0, 2.25, 3.0]
    listed = load_events(log(), **RAW, covariates=("load",), span="listed")
    assert listed.covariates["load"].tolist() == [1.5, 3.0, 1.5, 3.0]


def test_a_window_that_entities_describe_differently_cannot_be_filled() -> None:
    frame = pd.DataFrame(
        {
            "who": ["a", "a", "b", "b", "c", "c", "c"],
            "at": [f"2024-03-0{day}" for day in (1, 3, 1, 2, 1, 2, 3)],
            "n": 1,
            "price": [1, 3, 1, 2, 1, 4, 3],
        }
    )
    error = refusal(frame, **READY, time="at", window="1D", covariates=("price",))
    assert error.what.endswith("1 window without events have no value of it: the first is (a, 2024-03-02)")


@pytest.mark.parametrize("window", ["1D", "W"])
@pytest.mark.parametrize("type", ["text", "number"])
def test_two_values_in_one_window_are_refused_with_the_first_case(window: str, type: str) -> None:
    frame = pd.DataFrame({"who": ["b", "b", "a", "a"], "at": "2024-03-05", "c": [1, 1, 7, 8]})
    frame["c"] = frame["c"].map(str) if type == "text" else frame["c"] / 2
    first = "7 and 8" if type == "text" else "3.5 and 4.0"
    begins = "2024-03-05" if window == "1D" else "2024-03-04"
    error = refusal(frame, **(RAW | {"window": window}), covariates=("c",))
    assert (error.field, error.expected) == ("covariates", "one value per entity and window")
    assert error.what == f"'c' has more than one value within 1 window; the first is (a, {begins}): {first}"
    # Over two days of one week, each day of one value.
    frame["at"] = ["2024-03-05", "2024-03-05", "2024-03-05", "2024-03-06"]
    if window == "W":
        assert "the first is (a, 2024-03-04)" in refusal(frame, **(RAW | {"window": "W"}), covariates=("c",)).what
    else:
        assert len(load_events(frame, **RAW, covariates=("c",)).covariates["c"]) == 3


def test_ready_counts_have_covariates_and_volumes_of_their_own(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"who": ["b", "a", "a"], "n": [3, 0, 2], "moved": [1.5, None, 4.0], "tier": ["x", "y", "z"], "age": [3, 1, 2]}
    )
    counts = load_events(frame, **READY, covariates=("tier", "age"), volume="moved")
    np.testing.assert_array_equal(counts.volume, [np.nan, 4.0, 1.5])
    assert counts.covariates["tier"].tolist() == ["y", "z", "x"]
    assert counts.covariates["age"].tolist() == [1.0, 2.0, 3.0]
    zero = load_events(frame.fillna({"moved": 0}), **READY, covariates=("tier", "age"), volume="moved")
    assert same(zero, counts)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    for path in sorted(tmp_path.iterdir()):
        assert same(load_events(path, **READY, covariates=("tier", "age"), volume="moved"), counts), path


def test_texts_that_are_numbers_are_numbers_only_where_everything_is_text(tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": ["a", "b"], "n": [1, 2], "zip": ["01067", "20095"], "mixed": ["1e3", "x"]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    options: dict[str, Any] = {**READY, "covariates": ("zip", "mixed")}
    assert load_events(tmp_path / "t.parquet", **options).covariates["zip"].tolist() == ["01067", "20095"]
    written = load_events(tmp_path / "t.csv", **options).covariates
    assert written["zip"].tolist() == [1067.0, 20095.0]
    assert written["mixed"].tolist() == ["1e3", "x"]
    said = load_events(tmp_path / "t.csv", **(options | {"covariates": {"zip": "text", "mixed": None}})).covariates
    assert said["zip"].tolist() == ["01067", "20095"]
    number = load_events(tmp_path / "t.parquet", **(options | {"covariates": {"zip": "number"}})).covariates
    assert number["zip"].tolist() == [1067.0, 20095.0]
    error = refusal(tmp_path / "t.csv", **(options | {"covariates": {"mixed": "number"}}))
    assert str(error).startswith("covariates: 1 row of column 'mixed' with a value that is not a finite number: row 2;")
    whole = load_events(frame.assign(k=[1.0, 2.5], yes=[True, False]), **READY, covariates={"k": "text", "yes": None})
    assert whole.covariates["k"].tolist() == ["1", "2.5"]
    assert whole.covariates["yes"].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (["x", None, "y"], "1 row of column 'c' without a value (empty, null or NaN): row 2"),
        (["x", "", ""], "2 rows of column 'c' without a value (empty, null or NaN): rows 2, 3"),
        ([1.0, np.nan, 2.0], "1 row of column 'c' without a value (empty, null or NaN): row 2"),
        ([1.0, 2.0, np.inf], "1 row of column 'c' with a value that is not a finite number: row 3"),
    ],
)
@pytest.mark.parametrize("options", [READY, RAW])
@pytest.mark.parametrize("suffix", ["frame", "csv", "parquet"])
def test_a_missing_covariate_is_refused_or_left_out(
    values: list[object], sentence: str, options: dict[str, Any], suffix: str, tmp_path: Path
) -> None:
    frame = pd.DataFrame({"who": ["a", "b", "c"], "n": 1, "at": "2024-03-01", "c": values})
    source: object = frame
    if suffix != "frame":
        path = tmp_path / f"t.{suffix}"
        frame.to_csv(path, index=False) if suffix == "csv" else frame.to_parquet(path, index=False)
        source = path
        if suffix == "csv" and np.inf in values:
            return  # a text that is no number makes the column one of texts
    error = refusal(source, **options, covariates=("c",))
    assert (error.field, error.what) == ("covariates", sentence)
    kept = load_events(source, **options, covariates=("c",), on_bad="leave_out", purpose="scoring")
    assert kept.entities == tuple(who for who, left in zip("abc", frame["c"], strict=True) if _usable(left))
    assert [entry.rows for entry in kept.left_out] == [3 - kept.n_entities]
    assert kept.left_out[0].reason.endswith(" of 'c'")


def _usable(value: Any) -> bool:
    return not (value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)))


@pytest.mark.parametrize(
    ("moved", "sentence"),
    [
        ([1, -2, 0], "1 row of column 'moved' with a negative volume: row 2"),
        ([1, np.inf, 0], "1 row of column 'moved' with an infinite volume: row 2"),
        ([1, -np.inf, 0], "1 row of column 'moved' with an infinite volume: row 2"),
        ([1, 1e16, 0], "1 row of column 'moved' with a volume above 2**53: row 2"),
        ([1, None, 0], "1 row of column 'moved' with events but without a volume (empty, null or NaN): row 2"),
        ([1, np.nan, 0], "1 row of column 'moved' with events but without a volume (empty, null or NaN): row 2"),
        ([1, 1, 5], "1 row of column 'moved' with a volume but no event: row 3"),
        (["1", "much", "0"], "1 row of column 'moved' with a volume that is not a number: row 2"),
    ],
)
@pytest.mark.parametrize("role", ["count", "multiplicity"])
def test_volumes_that_are_none(moved: list[object], sentence: str, role: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"who": ["a", "b", "c"], "n": [1, 2, 0], "at": "2024-03-01", "moved": moved})
    options = {"entity": "who", role: "n", "volume": "moved"} | ({} if role == "count" else RAW)
    error = refusal(frame, **options)
    assert (error.field, error.what) == ("volume", sentence)
    frame.to_csv(tmp_path / "t.csv", index=False)
    assert refusal(tmp_path / "t.csv", **options).what == sentence
    kept = load_events(frame, **options, on_bad="leave_out")
    assert kept.left_out == (LeftOut("rows " + sentence.split("'moved' ")[1].rsplit(":", 1)[0], 1),)


def test_options_of_covariates_that_mean_nothing() -> None:
    frame = log().assign(count=1)
    for covariates, sentence in (
        ("tier", "not a list of column names"),
        (7, "not a list of column names"),
        ((1,), "not a column name"),
        (("tier", "tier"), "a covariate is named twice"),
        (("count",), "a table of counts has a column of this name itself"),
        ({"tier": "colour"}, "'tier' is neither numbers nor texts"),
    ):
        error = refusal(frame, **RAW, covariates=covariates)
        assert isinstance(error, ConfigurationError)
        assert (error.field, error.what) == ("covariates", sentence)
    assert "did you mean 'tier'" in str(refusal(frame, **RAW, covariates=("teir",)))
    nested = frame.assign(tier=pd.Series([[1]] * 5))
    assert refusal(nested, **RAW, covariates=("tier",)).field == "tier"
    with pytest.raises(ConfigurationError, match="not a column of numbers"):
        load_events(frame.assign(bytes=pd.Timestamp("2024-03-01")), **RAW, volume="bytes")


def described() -> EventCounts:
    return EventCounts.from_arrays(
        entity=["b", "a", "a"],
        count=[1, 0, 2],
        covariates={"tier": ["x", "y", "y"], "age": [1, 2, 3]},
        volume=[5, 0, 7.5],
    )


def test_they_survive_a_trip_through_a_table(tmp_path: Path) -> None:
    counts = described()
    frame = counts.to_frame()
    assert frame.columns.tolist() == ["entity", "window", "count", "exposure", "volume", "tier", "age"]
    frame.to_parquet(tmp_path / "t.parquet")
    for table in (frame, pd.read_parquet(tmp_path / "t.parquet"), frame.sample(frac=1.0, random_state=1)):
        back = EventCounts.from_frame(table.sort_values("entity", kind="stable"))
        assert sorted(back.covariates) == ["age", "tier"]
        assert sorted(back.covariates["tier"].tolist()) == ["x", "y", "y"]
    assert same(EventCounts.from_frame(frame), counts)
    bare = frame.copy()
    bare.attrs = {}
    assert not EventCounts.from_frame(bare).covariates
    assert EventCounts.from_frame(bare, covariates=["age"]).covariates["age"].tolist() == [2.0, 3.0, 1.0]
    with pytest.raises(DataError, match="no such column"):
        EventCounts.from_frame(bare, covariates=["salary"])


def test_they_are_in_the_fingerprint_only_where_there_are_some() -> None:
    counts = described()
    plain = replace(counts, covariates={}, volume=None)
    assert plain.fingerprint() == EventCounts.from_arrays(entity=["b", "a", "a"], count=[1, 0, 2]).fingerprint()
    turned = replace(counts, covariates=dict(reversed(list(counts.covariates.items()))))
    assert turned.fingerprint() == counts.fingerprint()
    tier, age = counts.covariates["tier"], counts.covariates["age"]
    changed = [
        plain,
        replace(counts, volume=None),
        replace(counts, volume=[0, 7.25, 5]),
        replace(counts, covariates={"tier": tier}),
        replace(counts, covariates={"tier": tier, "years": age}),
        replace(counts, covariates={"tier": ["x", "y", "y"], "age": age}),
        replace(counts, covariates={"tier": tier, "age": [2, 3, 2]}),
    ]
    assert len({entry.fingerprint() for entry in [counts, *changed]}) == len(changed) + 1


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"volume": [1, 2]}, "volume", "another length than the counts"),
        ({"volume": [0, -1.0, 5]}, "volume", "1 value cannot be used (row 2)"),
        ({"volume": [0, np.inf, 5]}, "volume", "1 value cannot be used (row 2)"),
        ({"volume": [3, 1.0, 5]}, "volume", "1 value cannot be used (row 1)"),
        ({"volume": [0, np.nan, 5]}, "volume", "1 value cannot be used (row 2)"),
        ({"covariates": {"tier": ["x"]}}, "tier", "another length than the counts"),
        ({"covariates": {"tier": ["x", None, "y"]}}, "tier", "1 value cannot be used (row 2)"),
        ({"covariates": {"age": [1.0, np.nan, np.inf]}}, "age", "2 values cannot be used (row 2, 3)"),
        ({"covariates": {"age": pd.array([1, None, 3], dtype="Int64")}}, "age", "1 value cannot be used (row 2)"),
    ],
)
def test_covariates_and_volumes_that_contradict_the_counts(changes: dict[str, Any], field: str, sentence: str) -> None:
    with pytest.raises(DataError) as caught:
        replace(described(), **changes)
    assert (caught.value.field, caught.value.what) == (field, sentence)


def test_a_covariate_cannot_be_changed_or_called_like_a_column_of_the_counts() -> None:
    counts = described()
    with pytest.raises(TypeError):
        counts.covariates["new"] = counts.covariates["age"]  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        counts.covariates["age"][0] = 5.0  # type: ignore[index]
    for name in ("count", "volume", ""):
        with pytest.raises(ConfigurationError, match="has a column of this name itself"):
            EventCounts.from_arrays(entity=["a"], count=[1], covariates={name: [1]})


def test_volumes_add_up_to_the_last_bit_in_any_order() -> None:
    random = np.random.default_rng(11)
    frame = pd.DataFrame(
        {"who": random.choice(["a", "b"], 4_000), "at": "2024-03-01", "moved": random.lognormal(-3.0, 6.0, 4_000)}
    )
    added = {float(part["moved"].sum()) for part in (frame[frame["who"] == "a"], frame[frame["who"] == "a"][::-1])}
    assert len(added) == 2  # floating-point sums do depend on the order, so that there is something to show
    counts = load_events(frame, **RAW, volume="moved")
    shuffled = load_events(frame.sample(frac=1.0, random_state=2), **RAW, volume="moved")
    assert shuffled.fingerprint() == counts.fingerprint()
    truth = [math.fsum(frame.loc[frame["who"] == who, "moved"]) for who in counts.entities]
    # Rounded twice, once for the whole part and once for the rest.
    np.testing.assert_allclose(counts.volume, truth, rtol=2 * np.finfo(float).eps)
