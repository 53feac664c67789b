"""What a person reads when data or options are wrong: the field, what was expected, what came and what to do."""

import gzip
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from modelwright.core.errors import ConfigurationError, DataError, ModelwrightError, NotFoundError
from modelwright.data.events import EventCounts, load_events
from modelwright.data.events.fill import MOST_WINDOWS

TIMED: dict[str, Any] = {"entity": "who", "time": "at", "window": "1D"}
COUNTED: dict[str, Any] = {"entity": "who", "count": "n"}


def events(*times: object) -> pd.DataFrame:
    return pd.DataFrame({"who": (["a", "b"] * len(times))[: len(times)], "at": list(times)})


def counts(*values: object, **more: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"who": (["a", "b"] * len(values))[: len(values)], "n": list(values), **more})


def refusal(source: object, **options: Any) -> ModelwrightError:
    with pytest.raises(ModelwrightError) as caught:
        load_events(source, **options)
    return caught.value


@pytest.mark.parametrize(
    ("values", "sentence", "expected"),
    [
        ([1, -2, 3], "1 row of column 'n' with a negative count: row 2", "a whole number of at least zero"),
        ([1, 2.5], "1 row of column 'n' with a fractional count: row 2", "a whole number of at least zero"),
        (
            [1, np.nan],
            "1 row of column 'n' without a count (empty, null or NaN): row 2",
            "a whole number of at least zero",
        ),
        ([1, np.inf], "1 row of column 'n' with an infinite count: row 2", "a whole number of at least zero"),
        (
            ["1", "many"],
            "1 row of column 'n' with a count that is not a number: row 2",
            "a whole number of at least zero",
        ),
        ([1, 2**60], "1 row of column 'n' with a count above 2**53: row 2", "a whole number up to 2**53"),
        ([1.0, 1e300], "1 row of column 'n' with a count above 2**53: row 2", "a whole number up to 2**53"),
        (
            [1, None],
            "1 row of column 'n' without a count (empty, null or NaN): row 2",
            "a whole number of at least zero",
        ),
        (["1", "-inf"], "1 row of column 'n' with an infinite count: row 2", "a whole number of at least zero"),
    ],
)
@pytest.mark.parametrize("where", ["frame", "csv", "parquet"])
def test_counts_that_are_no_counts(
    values: list[object], sentence: str, expected: str, where: str, tmp_path: Path
) -> None:
    source: object = counts(*values)
    if where == "csv":
        counts(*values).to_csv(tmp_path / "t.csv", index=False)
        source = tmp_path / "t.csv"
    if where == "parquet":
        counts(*values).to_parquet(tmp_path / "t.parquet", index=False)
        source = tmp_path / "t.parquet"
    error = refusal(source, **COUNTED)
    assert isinstance(error, DataError)
    assert (error.what, error.field, error.expected) == (sentence, "count", expected)
    assert error.todo == "correct them, or leave such rows out and have them counted (on_bad = leave_out)"


def test_many_bad_rows_are_listed_briefly_and_the_other_faults_counted() -> None:
    error = refusal(counts(*[-1] * 8, 2.5, 1), **COUNTED)
    assert error.what == (
        "8 rows of column 'n' with a negative count: rows 1, 2, 3, 4, 5 and 3 more (also 1 with a fractional count)"
    )


def test_polars_nan_is_missing_too() -> None:
    error = refusal(pl.DataFrame({"who": ["a", "b"], "n": [1.0, float("nan")]}), **COUNTED)
    assert "without a count (empty, null or NaN): row 2" in error.what


@pytest.mark.parametrize(
    ("frame", "sentence", "field"),
    [
        (events("2024-03-01", "soon"), "1 row of column 'at' with a time that cannot be read: row 2", "time"),
        (events("2024-03-01", "01/03/2024"), "1 row of column 'at' with a time that cannot be read: row 2", "time"),
        (events("2024-03-01", "2024-02-30"), "1 row of column 'at' with a time that cannot be read: row 2", "time"),
        (events("2024-03-01", "infinity"), "1 row of column 'at' with a time that cannot be read: row 2", "time"),
        (events("2024-03-01", None), "1 row of column 'at' without a time: row 2", "time"),
        (events("2024-03-01", "0024-03-01"), "with a time outside the years that can be counted: row 2", "time"),
        (events("2024-03-01", "9024-03-01"), "with a time outside the years that can be counted: row 2", "time"),
        (
            pd.DataFrame({"who": ["a", None], "at": ["2024-03-01"] * 2}),
            "column 'who' without an entity: row 2",
            "entity",
        ),
        (
            pd.DataFrame({"who": [1.0, np.nan], "at": ["2024-03-01"] * 2}),
            "column 'who' without an entity: row 2",
            "entity",
        ),
    ],
)
def test_events_that_cannot_be_placed(frame: pd.DataFrame, sentence: str, field: str) -> None:
    error = refusal(frame, **TIMED)
    assert isinstance(error, DataError)
    assert sentence in error.what
    assert error.field == field


def test_numbers_are_no_times_until_their_unit_is_named() -> None:
    error = refusal(events(1709251200, 1709251201), **TIMED)
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        "time: not a column of times; expected timestamps, dates, or text in ISO 8601, got 'bigint'; for numbers, "
        "say what they count with time_format=epoch_s, epoch_ms, epoch_us or epoch_ns, or give a pattern such as %Y"
    )
    error = refusal(events("2024", "2025"), **TIMED, time_format="%Q")
    assert (error.field, error.what) == ("time_format", "not a pattern for times")


@pytest.mark.parametrize(
    ("exposure", "sentence"),
    [
        ([1.0, 0.0], "1 row of column 'hours' with an exposure that is not a number above zero: row 2"),
        ([1.0, -3.0], "1 row of column 'hours' with an exposure that is not a number above zero: row 2"),
        ([1.0, np.inf], "1 row of column 'hours' with an exposure that is not a number above zero: row 2"),
        (["1", "long"], "1 row of column 'hours' with an exposure that is not a number above zero: row 2"),
        ([1.0, np.nan], "1 row of column 'hours' without an exposure (empty, null or NaN): row 2"),
    ],
)
def test_exposures_that_are_none(exposure: list[object], sentence: str) -> None:
    error = refusal(counts(1, 2, hours=exposure), **COUNTED, exposure="hours")
    assert (error.field, error.what, error.expected) == ("exposure", sentence, "a finite number above zero")


def test_windows_whose_exposure_nobody_gave() -> None:
    frame = pd.DataFrame(
        {"who": ["a", "a", "b"], "at": ["2024-03-01", "2024-03-04", "2024-03-01"], "n": 1, "hours": 2.0}
    )
    error = refusal(frame, **TIMED, count="n", exposure="hours")
    assert error.what == "2 windows are not in the table, so their exposure is unknown"
    assert error.todo == 'add such rows, or pass span="listed" to use only the windows listed'
    assert load_events(frame, **TIMED, count="n", exposure="hours", span="listed").exposure.tolist() == [2.0] * 3


def test_labels_that_are_neither_yes_nor_no() -> None:
    error = refusal(counts(1, 2, bad=["yes", "maybe"]), **COUNTED, label="bad")
    assert (error.field, error.expected) == ("label", "0 or 1, true or false")
    assert "with a label that is neither yes nor no: row 2" in error.what
    assert "without a label: row 2" in refusal(counts(1, 2, bad=[True, None]), **COUNTED, label="bad").what


@pytest.mark.parametrize(("role", "name"), [("entity", "usr"), ("time", "timestmp"), ("count", "calls")])
def test_a_missing_column_names_the_nearest(role: str, name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"user": ["a"], "timestamp": ["2024-03-01"], "call": [1]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet", index=False)
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    options = {"entity": "user", "time": "timestamp", "count": "call"} | {role: name}
    for source in (frame, pl.from_pandas(frame), *tmp_path.iterdir()):
        error = refusal(source, **options)
        assert isinstance(error, DataError)
        assert (error.what, error.field, error.got) == ("no such column", role, name)
        assert error.todo is not None
        assert error.todo.startswith(f"did you mean {options_right(role)!r}? known: ")


def options_right(role: str) -> str:
    return {"entity": "user", "time": "timestamp", "count": "call"}[role]


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("who,who,n\na,b,1\n")
    frame = pd.DataFrame([["a", "b", 1]], columns=["who", "who", "n"])
    for source in (tmp_path / "t.csv", frame):
        assert refusal(source, **COUNTED).what == "2 columns are called 'who'"


def test_two_rows_for_one_window_are_named() -> None:
    frame = pd.DataFrame(
        {"who": ["a", "b", "a"], "at": ["2024-03-01", "2024-03-01", "2024-03-01T12:00:00"], "n": [1, 2, 3]}
    )
    error = refusal(frame, **TIMED, count="n")
    assert error.what == "1 row for a window that already has one: rows 1 and 3 (a, 2024-03-01)"
    assert error.expected == "one row per entity and window of 1D"
    assert error.todo == "keep one of them; to add them up, pass the column as multiplicity instead of count"
    twice = pd.concat([frame[:2], frame[:1]])
    error = refusal(twice, entity="who", time="at", count="n")
    assert error.what == "1 row for a window that already has one: rows 1 and 3 (a, 2024-03-01)"
    assert load_events(frame, **TIMED, multiplicity="n").count.tolist() == [4, 2]
    # The last window of one entity may be the first of the next.
    assert load_events(frame[:2], **TIMED, count="n").count.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("empty.csv", b"", "the file is empty"),
        ("empty.csv.gz", gzip.compress(b"", mtime=0), "the file is empty"),
        ("header.csv", b"who,n\n", "the table has no rows"),
        ("garbage.csv", bytes(range(256)) * 20, "not a text file in UTF-8"),
        ("latin.csv", "who,n\nZo\u00eb,1\n".encode("latin-1"), "not a text file in UTF-8"),
        ("short.csv", b"who,n\na,1\nb\n", "short.csv cannot be read: CSV Error on Line: 3"),
        ("long.csv", b"who,n\na,1\nb,2,3\n", "long.csv cannot be read: CSV Error on Line: 3"),
        ("quote.csv", b'who,n\n"a,1\nb,2\n', "quote.csv cannot be read: CSV Error"),
        ("not.csv.gz", b"who,n\na,1\n", "not a gzip file, or a damaged one"),
        ("cut.csv.gz", gzip.compress(b"who,n\n" + b"a,1\n" * 9999, mtime=0)[:60], "not a gzip file, or a damaged one"),
        ("garbage.parquet", b"PAR1" + bytes(64), "garbage.parquet cannot be read"),
        ("cut.jsonl", b'{"who": "a", "n": 1}\n{"who": "b", "n"', "cut.jsonl cannot be read"),
        ("numbers.jsonl", b"1\n2\n", "numbers.jsonl cannot be read"),
        ("empty.parquet", b"", "the file is empty"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    error = refusal(tmp_path / name, **COUNTED)
    assert isinstance(error, DataError)
    assert error.field == "data"
    assert error.what.startswith(sentence)
    assert "Traceback" not in str(error)
    assert "read_csv" not in str(error)
    assert "SELECT" not in str(error)


def test_sources_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "logins.csv").write_text("who,n\na,1\n")
    error = refusal(tmp_path / "login.csv", **COUNTED)
    assert isinstance(error, NotFoundError)
    assert (error.what, error.field, error.todo) == ("no such file", "data", "did you mean 'logins.csv'?")
    assert refusal(tmp_path, **COUNTED).what == "a folder, not a file"
    (tmp_path / "logins.xlsx").write_text("x")
    error = refusal(tmp_path / "logins.xlsx", **COUNTED)
    assert isinstance(error, ConfigurationError)
    assert error.what == "a file whose name does not say its format"
    assert error.expected is not None
    assert ".parquet" in error.expected
    for source in (7, None, [1, 2], {"who": ["a"]}):
        error = refusal(source, **COUNTED)
        assert error.what == "neither a path nor a table"
        assert error.got == type(source).__name__
    assert isinstance(refusal("no\0name.csv", **COUNTED), NotFoundError)
    assert refusal(pd.DataFrame({"who": ["a"], "n": [[1, 2]]}), **COUNTED).field == "n"
    assert refusal(pd.DataFrame({"who": [], "n": []}), **COUNTED).what == "the table has no rows"


def test_a_hierarchy_needs_two_entities_and_an_event_except_for_scoring() -> None:
    alone = pd.DataFrame({"who": ["a", "a"], "n": [1, 2]})
    error = refusal(alone, **COUNTED)
    assert error.what == "there is only one entity, and a hierarchical model learns how entities differ"
    assert (error.field, error.expected, error.got) == ("entity", "at least two entities", "a")
    error = refusal(counts(0, 0), **COUNTED)
    assert (error.what, error.field) == ("every count is zero, so there is no rate to learn", "count")
    assert load_events(alone, **COUNTED, purpose="scoring").n_entities == 1
    assert load_events(counts(0, 0), **COUNTED, purpose="scoring").count.sum() == 0


def test_every_row_left_out_leaves_nothing() -> None:
    error = refusal(counts(-1, -2), **COUNTED, on_bad="leave_out")
    assert (error.what, error.got) == ("no row can be used", "2 rows with a negative count")
    error = refusal(events("x", "y"), **TIMED, on_bad="leave_out")
    assert error.what == "no row can be used"


@pytest.mark.parametrize(
    ("options", "field", "sentence"),
    [
        ({"entity": "who"}, "time", "raw events are counted per window of time"),
        ({"entity": "who", "time": "at"}, "window", "raw events are counted per window of time"),
        ({**COUNTED, "window": "1D"}, "window", "windows need times"),
        ({**COUNTED, "multiplicity": "n"}, "multiplicity", "a table holds ready counts or raw events, not both"),
        ({**TIMED, "exposure": "n"}, "exposure", "raw events have the exposure of their windows"),
        ({**TIMED, "span": "hole"}, "span", "not a choice"),
        ({**TIMED, "edge_windows": "half"}, "edge_windows", "not a choice"),
        ({**TIMED, "on_bad": "ignore"}, "on_bad", "not a choice"),
        ({**TIMED, "purpose": "fun"}, "purpose", "not a choice"),
        ({**TIMED, "entity": ""}, "entity", "not a column name"),
        ({**TIMED, "entity": 3}, "entity", "not a column name"),
        ({**TIMED, "window": "1X"}, "window", "not a window"),
        ({**TIMED, "timezone": "Berlin"}, "timezone", "not a time zone"),
    ],
)
def test_options_that_contradict_each_other(options: dict[str, Any], field: str, sentence: str) -> None:
    error = refusal(counts(1, 2, at=["2024-03-01"] * 2), **options)
    assert isinstance(error, ConfigurationError)
    assert (error.field, error.what) == (field, sentence)


def test_more_windows_than_can_be_held_are_refused_before_they_are_made() -> None:
    error = refusal(events("2000-01-01", "2000-01-01", "2024-01-01"), entity="who", time="at", window="1s")
    assert isinstance(error, ConfigurationError)
    assert re.fullmatch(r"2 entities would have [\d,]+ windows of 1s in all", error.what)
    assert error.expected == f"at most {MOST_WINDOWS:,} windows"


def test_windows_that_begin_before_the_calendar_are_refused() -> None:
    error = refusal(events("1970-01-01", "1679-01-01"), entity="who", time="at", window="180000D")
    assert error.what == "windows begin outside the years that can be written"


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"count": [1, -1]}, "count", "1 value cannot be used (row 2)"),
        ({"count": [1, 1.5]}, "count", "1 value cannot be used (row 2)"),
        ({"count": [1, np.nan]}, "count", "1 value cannot be used (row 2)"),
        ({"count": [1]}, "entity", "another length than the counts"),
        ({"exposure": [1, 0]}, "exposure", "1 value cannot be used (row 2)"),
        ({"exposure": [1, np.inf]}, "exposure", "1 value cannot be used (row 2)"),
        ({"exposure": [1, np.nan]}, "exposure", "1 value cannot be used (row 2)"),
        ({"label": [0, 2]}, "label", "1 value cannot be used (row 2)"),
        ({"window_start": ["2024-03-01", "never"]}, "window_start", "holds values that are no times"),
        ({"window_start": ["2024-03-01", None]}, "window_start", "1 value cannot be used (row 2)"),
        ({"entity": [], "count": []}, "data", "the table has no rows"),
        ({"window_label": ["x"]}, "window", "another length than the counts"),
    ],
)
def test_arrays_that_are_no_counts(changes: dict[str, Any], field: str, sentence: str) -> None:
    arguments: dict[str, Any] = {"entity": ["a", "b"], "count": [1, 2]} | changes
    with pytest.raises(DataError) as caught:
        EventCounts.from_arrays(**arguments)
    assert (caught.value.field, caught.value.what) == (field, sentence)


def test_times_that_cannot_be_read_point_to_the_option_that_names_their_pattern() -> None:
    error = refusal(events("01/02/2024", "13/02/2024"), **TIMED)
    assert error.todo is not None
    assert error.todo.startswith("name the pattern, such as time_format = %d/%m/%Y, or epoch_s for seconds since 1970;")
