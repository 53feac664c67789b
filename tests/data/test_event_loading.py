"""`load_events`: laws over random logs (nothing lost, windows complete, order and format do not matter), and cases."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import EventCounts, attach_labels, load_events
from modelwright.data.events.fill import SMALLEST_FRACTION

START = pd.Timestamp("2024-03-01").value // 10**9

logs = st.lists(
    st.tuples(st.sampled_from(["ada", "bob", "Zoë", "10", "9", "a,b", 'q"q', "x\ny"]), st.integers(0, 20 * 86_400)),
    min_size=2,
    max_size=40,
).filter(lambda rows: len({who for who, _ in rows}) > 1)


def frame_of(rows: list[tuple[str, int]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"who": [who for who, _ in rows], "at": pd.to_datetime([START + second for _, second in rows], unit="s")}
    )


def log_of(*rows: tuple[str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["who", "at"])


def same(first: EventCounts, second: EventCounts) -> bool:
    return first.fingerprint() == second.fingerprint() and first.window_label.tolist() == second.window_label.tolist()


@given(
    rows=logs,
    window=st.sampled_from(["1D", "6h", "1h", "W", "MS", "3D"]),
    span=st.sampled_from(["entity", "whole", "listed"]),
)
@settings(max_examples=60)
def test_every_event_is_in_exactly_one_window_and_windows_are_complete(
    rows: list[tuple[str, int]], window: str, span: Any
) -> None:
    frame = frame_of(rows)
    counts = load_events(frame, entity="who", time="at", window=window, span=span)
    assert counts.window_start is not None
    assert counts.entities == tuple(sorted({who for who, _ in rows}))
    assert counts.count.sum() == len(rows)
    for number, who in enumerate(counts.entities):
        mine = counts.entity_idx == number
        assert counts.count[mine].sum() == (frame["who"] == who).sum()
        starts = counts.window_start[mine]
        assert (np.diff(starts.view(np.int64)) > 0).all()
        if span == "listed":
            assert (counts.count[mine] > 0).all()
        if span == "entity":
            assert counts.count[mine][0] > 0
            assert counts.count[mine][-1] > 0
        if span != "listed" and window in ("1D", "6h", "1h"):
            assert (np.diff(starts) == np.timedelta64(pd.Timedelta(window))).all()
    if span == "whole":
        assert len(set(np.bincount(counts.entity_idx).tolist())) == 1
    assert (counts.exposure >= SMALLEST_FRACTION).all()
    assert (counts.exposure <= 1).all()
    first, last = counts.window_start.min(), counts.window_start.max()
    inner = (counts.window_start > first) & (counts.window_start < last)
    assert (counts.exposure[inner] == 1).all()


@given(rows=logs, seed=st.integers(0, 2**16))
@settings(max_examples=30)
def test_the_order_of_rows_does_not_matter(rows: list[tuple[str, int]], seed: int) -> None:
    frame = frame_of(rows)
    shuffled = frame.sample(frac=1.0, random_state=seed)
    options: dict[str, Any] = {"entity": "who", "time": "at", "window": "1D"}
    assert same(load_events(frame, **options), load_events(shuffled, **options))


@given(rows=logs)
@settings(max_examples=8)
def test_the_format_does_not_matter(rows: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    frame = frame_of(rows)
    folder = tmp_path_factory.mktemp("formats")
    frame.to_csv(folder / "log.csv", index=False)
    frame.to_csv(folder / "log.csv.gz", index=False)
    frame.to_csv(folder / "log.tsv", index=False, sep="\t")
    frame.to_csv(folder / "semicolons.csv", index=False, sep=";")
    frame.to_parquet(folder / "log.parquet", index=False)
    frame.assign(at=frame["at"].dt.strftime("%Y-%m-%dT%H:%M:%SZ")).to_json(
        folder / "log.jsonl", orient="records", lines=True
    )
    frame.assign(at=frame["at"].astype(str)).to_json(folder / "log.json", orient="records")
    options: dict[str, Any] = {"entity": "who", "time": "at", "window": "6h", "timezone": "UTC"}
    reference = load_events(frame, **options)
    polars = pl.from_pandas(frame)
    others: list[object] = [*sorted(folder.iterdir()), polars, polars.lazy(), frame.astype(object)]
    others += [frame.assign(at=frame["at"].dt.tz_localize("UTC")), frame.assign(who=frame["who"].astype("category"))]
    for other in others:
        assert same(load_events(other, **options), reference), other


@given(rows=logs, weights=st.lists(st.integers(0, 9), min_size=40, max_size=40))
@settings(max_examples=25)
def test_a_row_with_multiplicity_stands_for_that_many_rows(rows: list[tuple[str, int]], weights: list[int]) -> None:
    frame = frame_of(rows).assign(times=np.maximum(weights[: len(rows)], 1))
    weighted = load_events(frame, entity="who", time="at", window="1D", multiplicity="times")
    repeated = load_events(frame.loc[frame.index.repeat(frame["times"])], entity="who", time="at", window="1D")
    assert same(weighted, repeated)


def test_a_row_number_survives_parallel_reading(tmp_path: Path) -> None:
    rows = 400_000
    frame = pd.DataFrame({"who": np.where(np.arange(rows) % 2, "a", "b"), "n": np.arange(rows) % 7, "pad": "x" * 60})
    frame["n"] = frame["n"].astype(str)
    frame.loc[[123_456, 399_999], "n"] = "-1"
    frame.to_csv(tmp_path / "long.csv", index=False)
    with pytest.raises(DataError, match="rows 123457, 400000"):
        load_events(tmp_path / "long.csv", entity="who", count="n")
    frame["n"] = np.arange(rows)
    frame.to_csv(tmp_path / "long.csv", index=False)
    counts = load_events(tmp_path / "long.csv", entity="who", count="n")
    assert counts.window_label[0] == "row 2"
    np.testing.assert_array_equal(counts.count[counts.entity_idx == 0], np.arange(1, rows, 2))


def test_windows_without_events_count_as_zero_between_first_and_last_or_over_the_whole_span() -> None:
    log = log_of(("a", "2024-03-01T10:00"), ("a", "2024-03-04T10:00"), ("b", "2024-03-02T10:00"))
    options: dict[str, Any] = {"entity": "who", "time": "at", "window": "1D"}
    assert load_events(log, **options).count.tolist() == [1, 0, 0, 1, 1]
    assert load_events(log, **options, span="whole").count.tolist() == [1, 0, 0, 1, 0, 1, 0, 0]
    assert load_events(log, **options, span="listed").count.tolist() == [1, 1, 1]
    assert load_events(log, **options).source["filled_windows"] == 2


def test_the_first_and_last_window_have_the_share_that_the_log_covers() -> None:
    log = log_of(("a", "2024-03-01T18:00:00"), ("a", "2024-03-03T11:59:59"), ("b", "2024-03-02T10:00:00"))
    counts = load_events(log, entity="who", time="at", window="1D", span="whole")
    # 18:00 to midnight; to the end of the second 11:59:59, because the log counts in seconds.
    assert counts.exposure.tolist() == [0.25, 1.0, 0.5] * 2
    whole = load_events(log, entity="who", time="at", window="1D", span="whole", edge_windows="whole")
    assert whole.exposure.tolist() == [1.0] * 6


def test_a_log_of_dates_is_observed_to_the_end_of_its_last_day() -> None:
    log = log_of(("a", "2024-03-29"), ("a", "2024-03-31"), ("b", "2024-03-30"))
    for zone in ("UTC", "Europe/Berlin"):
        counts = load_events(log, entity="who", time="at", window="1D", timezone=zone)
        assert counts.exposure.tolist() == [1.0] * 4


def test_a_sliver_of_a_window_does_not_make_an_enormous_rate() -> None:
    log = log_of(("a", "2024-03-01T00:00:00"), ("b", "2024-03-02T23:59:01"), ("a", "2024-03-03T00:00:00.001"))
    counts = load_events(log, entity="who", time="at", window="1D")
    assert counts.exposure[2] == SMALLEST_FRACTION


def test_times_without_offset_are_on_the_clock_of_the_zone_and_others_are_instants() -> None:
    log = log_of(("a", "2024-07-01 00:30:00"), ("b", "2024-07-01T00:30:00Z"), ("c", "2024-07-01T00:30:00-05:00"))
    counts = load_events(log, entity="who", time="at", window="1D", timezone="America/New_York")
    assert counts.window_label.tolist() == ["2024-07-01", "2024-06-30", "2024-07-01"]
    assert counts.timezone == "America/New_York"
    berlin = load_events(log, entity="who", time="at", window="1h")
    assert berlin.window_label.tolist() == ["2024-07-01 00:00", "2024-07-01 00:00", "2024-07-01 05:00"]
    assert berlin.timezone == "UTC"


def test_the_zone_of_the_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    log = log_of(("a", "2024-07-01 23:30:00"), ("b", "2024-07-01T23:30:00+01:00"))
    expected = load_events(log, entity="who", time="at", window="1D").fingerprint()
    monkeypatch.setenv("TZ", "Pacific/Auckland")
    assert load_events(log, entity="who", time="at", window="1D").fingerprint() == expected


@pytest.mark.parametrize(
    ("column", "time_format"),
    [
        ([1709251200, 1709337600], "epoch_s"),
        ([1709251200000, 1709337600000], "epoch_ms"),
        (["1709251200.5", "1709337600"], "epoch_s"),
        (["01/03/2024", "02/03/2024"], "%d/%m/%Y"),
        ([20240301, 20240302], "%Y%m%d"),
    ],
)
def test_other_ways_to_write_a_time_are_read_when_named(column: list[Any], time_format: str) -> None:
    frame = pd.DataFrame({"who": ["a", "b"], "at": column})
    counts = load_events(frame, entity="who", time="at", window="1D", time_format=time_format)
    assert counts.window_label.tolist() == ["2024-03-01", "2024-03-02"]


def test_nanoseconds_before_midnight_stay_on_their_day() -> None:
    frame = pd.DataFrame(
        {"who": ["a", "b"], "at": [pd.Timestamp("2024-03-01 23:59:59.999999999"), pd.Timestamp("2024-03-01")]}
    )
    assert load_events(frame, entity="who", time="at", window="1D").window_label.tolist() == ["2024-03-01"] * 2


def test_ready_counts_without_time_keep_their_rows_repeated_entities_included() -> None:
    frame = pd.DataFrame({"site": [10, 9, 10], "n": [3, 0, 5], "hours": [1.5, 2.0, 0.5]})
    counts = load_events(frame, entity="site", count="n", exposure="hours")
    assert counts.entities == ("10", "9")
    assert counts.count.tolist() == [3, 5, 0]
    assert counts.exposure.tolist() == [1.5, 0.5, 2.0]
    assert counts.window_label.tolist() == ["row 1", "row 3", "row 2"]
    assert counts.window_start is None
    assert counts.timezone is None


def test_rows_keep_their_numbers_when_others_are_left_out() -> None:
    frame = pd.DataFrame({"who": ["b", "a", "", "a", "a"], "at": "2024-03-01", "n": [1, None, 2, 3, 4]})
    frame["at"] = ["2024-03-01", "2024-03-02", "2024-03-01", "2024-03-01", "2024-03-01"]
    counts = load_events(frame, entity="who", count="n", on_bad="leave_out")
    assert counts.window_label.tolist() == ["row 4", "row 5", "row 1"]
    for window in (None, "1D"):
        with pytest.raises(DataError, match=r"rows 4 and 5 \(a, 2024-03-01\)"):
            load_events(frame, entity="who", count="n", time="at", window=window, on_bad="leave_out")


def test_ready_counts_with_windows_are_filled_like_events() -> None:
    frame = pd.DataFrame({"who": ["a", "a", "b"], "day": ["2024-03-01", "2024-03-03", "2024-03-02"], "n": [4, 1, 2]})
    counts = load_events(frame, entity="who", time="day", count="n", window="1D")
    assert counts.count.tolist() == [4, 0, 1, 2]
    assert counts.exposure.tolist() == [1.0] * 4
    listed = load_events(frame, entity="who", time="day", count="n")
    assert listed.count.tolist() == [4, 1, 2]
    assert listed.window is None
    assert listed.window_label.tolist() == ["2024-03-01", "2024-03-03", "2024-03-02"]


def test_labels_and_kinds_mark_the_windows_of_their_events() -> None:
    frame = log_of(("a", "2024-03-01T10"), ("a", "2024-03-01T11"), ("a", "2024-03-03T10"), ("b", "2024-03-01T10"))
    frame["at"] += ":00"
    frame["kind"] = ["theft", "probe", None, ""]
    frame["bad"] = [1, 1, 0, 0]
    options: dict[str, Any] = {"entity": "who", "time": "at", "window": "1D"}
    counts = load_events(frame, **options, label="bad", kind="kind")
    assert counts.label is not None
    assert counts.kind is not None
    assert counts.label.tolist() == [True, False, False, False]
    assert counts.kind.tolist() == ["probe+theft", "", "", ""]
    from_kind_alone = load_events(frame, **options, kind="kind")
    assert same(from_kind_alone, counts)
    weekly = load_events(frame, **(options | {"window": "W"}), kind="kind")
    assert weekly.kind is not None
    assert weekly.kind.tolist() == ["probe+theft", ""]
    attached = attach_labels(load_events(frame, **options), frame[:2], entity="who", time="at", kind="kind")
    assert same(attached, counts)


def test_labels_of_a_window_that_is_not_there_are_refused() -> None:
    counts = load_events(log_of(("a", "2024-03-01"), ("b", "2024-03-01")), entity="who", time="at", window="1D")
    with pytest.raises(
        DataError, match="the window of 'c' that begins at 2024-03-01T00:00:00Z is not among the counts"
    ):
        attach_labels(counts, log_of(("c", "2024-03-01")), entity="who", time="at")
    ready = load_events(pd.DataFrame({"who": ["a", "b"], "n": [1, 2]}), entity="who", count="n")
    with pytest.raises(ConfigurationError, match="the counts have no windows of time"):
        attach_labels(ready, log_of(("a", "2024-03-01")), entity="who", time="at")


def test_rows_that_cannot_be_used_are_left_out_only_when_asked_and_then_counted() -> None:
    frame = log_of(("a", "2024-03-01"), ("", "2024-03-01"), ("b", "soon"), ("b", "2024-03-02"), ("b", ""))
    options: dict[str, Any] = {"entity": "who", "time": "at", "window": "1D"}
    with pytest.raises(DataError, match="1 row of column 'who' without an entity: row 2"):
        load_events(frame, **options)
    counts = load_events(frame, **options, on_bad="leave_out")
    assert counts.count.tolist() == [1, 1]
    assert {entry.reason: entry.rows for entry in counts.left_out} == {
        "rows without an entity": 1,
        "rows with a time that cannot be read": 2,
    }
    assert counts.source["rows"] + sum(entry.rows for entry in counts.left_out) == len(frame)
    assert counts.describe()["left_out"] == [{"reason": e.reason, "rows": e.rows} for e in counts.left_out]


def test_a_file_name_may_look_like_a_pattern(tmp_path: Path) -> None:
    for name in ("log[1].csv", "log*.csv", "it's ?.csv", "user=3.parquet"):
        frame = pd.DataFrame({"who": ["a", "b"], "n": [1, 2]})
        path = tmp_path / name
        frame.to_csv(path, index=False) if path.suffix == ".csv" else frame.to_parquet(path, index=False)
        (tmp_path / "log1.csv").write_text("who,n\nc,9\n")
        assert load_events(path, entity="who", count="n").entities == ("a", "b")


def test_columns_whose_names_are_equal_up_to_case_are_two_columns(tmp_path: Path) -> None:
    frame = pd.DataFrame({"User": ["a", "b"], "user": ["c", "d"], "n": [1, 2]})
    frame.to_csv(tmp_path / "log.csv", index=False)
    frame.to_parquet(tmp_path / "log.parquet")
    for source in (frame, pl.from_pandas(frame), tmp_path / "log.csv", tmp_path / "log.parquet"):
        counts = load_events(source, entity="User", count="n", kind="user")
        assert counts.entities == ("a", "b")
        assert counts.kind is not None
        assert counts.kind.tolist() == ["c", "d"]


def test_a_parquet_file_may_hold_nested_columns_but_not_two_of_one_name(tmp_path: Path) -> None:
    nested = pa.array([{"who": {"n": 1}, "n": 2}, {"who": {"n": 3}, "n": 4}])
    lists = pa.array([[1, 2], [3]])
    names, numbers = pa.array(["a", "b"]), pa.array([5, 6])
    pq.write_table(pa.table([nested, lists, names, numbers], ["x", "y", "who", "n"]), tmp_path / "nested.parquet")
    assert load_events(tmp_path / "nested.parquet", entity="who", count="n").count.tolist() == [5, 6]
    pq.write_table(pa.table([names, names, numbers], ["who", "who", "n"]), tmp_path / "twice.parquet")
    with pytest.raises(DataError, match="2 columns are called 'who'"):
        load_events(tmp_path / "twice.parquet", entity="who", count="n")


def test_a_label_that_no_trace_can_store_is_refused_before_training() -> None:
    frame = pd.DataFrame({"who": ["a", "b\x00c", "d"], "n": [1, 2, 3]})
    with pytest.raises(DataError, match="1 row of column 'who' with an entity that holds a null character"):
        load_events(frame, entity="who", count="n")
    assert load_events(frame, entity="who", count="n", on_bad="leave_out").entities == ("a", "d")


@pytest.mark.parametrize("dtype", ["float64", "object"])
def test_whole_numbers_are_the_same_entities_when_their_column_has_become_fractions(dtype: str) -> None:
    frame = pd.DataFrame({"who": pd.Series([7.0, -8.0, None, 2.5, 1e300, -0.0], dtype=dtype), "n": 1})
    counts = load_events(frame, entity="who", count="n", on_bad="leave_out")
    assert counts.entities == ("-8", "0", "1e+300", "2.5", "7")


def test_lines_that_look_like_comments_or_blank_are_read_as_rows(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("\ufeffwho,n\r\n#a,1\r\n\r\nb,2\r\n", encoding="utf-8")
    counts = load_events(path, entity="who", count="n")
    assert counts.entities == ("#a", "b")


def test_progress_is_told(tmp_path: Path) -> None:
    told: list[Any] = []
    load_events(
        log_of(("a", "2024-03-01"), ("b", "2024-03-01")), entity="who", time="at", window="1D", progress=told.append
    )
    assert [(event.stage, event.done) for event in told] == [("read", 0), ("read", 2)]


def test_the_temporary_folder_is_gone_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    load_events(log_of(("a", "2024-03-01"), ("b", "2024-03-01")), entity="who", time="at", window="1D")
    with pytest.raises(DataError):
        load_events(log_of(("a", "never"), ("b", "2024-03-01")), entity="who", time="at", window="1D")
    assert list(tmp_path.iterdir()) == []
