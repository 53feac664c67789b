"""Whatever the bytes, tables and options: either counts come out, or a refusal that a person can read."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import ModelwrightError
from modelwright.data.events import EventCounts, load_events

cells = st.one_of(
    st.sampled_from(
        ["a", "b", "", "1", "0", "-1", "2.5", "nan", "inf", "1e400", "2024-03-01", "2024-03-01T10:00:00+02:00"]
    ),
    st.sampled_from(
        ["2024-03-10 02:30:00", "9999-12-31", "1677-01-01", "epoch", "99999999999999999999", '"', "'", "\t"]
    ),
    st.text(max_size=6),
)
lines = st.lists(st.lists(cells, min_size=1, max_size=4).map(",".join), max_size=6)
options = st.fixed_dictionaries(
    {"entity": st.sampled_from(["who", "at", "n", ""])},
    optional={
        "time": st.sampled_from(["at", "n", "who"]),
        "window": st.sampled_from(["1D", "1h", "W", "MS", "1ms", "B", "100000D", "?"]),
        "count": st.sampled_from(["n", "at"]),
        "multiplicity": st.just("n"),
        "exposure": st.sampled_from(["n", "at"]),
        "label": st.just("n"),
        "kind": st.just("who"),
        "span": st.sampled_from(["entity", "whole", "listed"]),
        "timezone": st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
        "time_format": st.sampled_from(["epoch_s", "epoch_ns", "%Y", "%d.%m.%Y"]),
        "on_bad": st.sampled_from(["error", "leave_out"]),
        "purpose": st.sampled_from(["training", "scoring"]),
    },
)


def outcome(source: object, chosen: dict[str, Any]) -> EventCounts | str:
    try:
        return load_events(source, **chosen)
    except ModelwrightError as error:
        message = str(error)
        assert message
        assert "SELECT" not in message
        return message


@given(body=lines, chosen=options, header=st.sampled_from(["who,at,n", "who;at;n", "at,who,n,more", "who"]))
@settings(max_examples=150)
def test_csv_of_odd_cells(body: list[str], chosen: dict[str, Any], header: str, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "odd.csv"
    path.write_text("\n".join([header, *body]), encoding="utf-8", errors="surrogatepass")
    result = outcome(path, chosen)
    if isinstance(result, EventCounts):
        assert result.n_obs > 0
        assert result.describe()["fingerprint"] == result.fingerprint()


@given(content=st.binary(max_size=120), suffix=st.sampled_from([".csv", ".csv.gz", ".parquet", ".jsonl", ".json"]))
@settings(max_examples=150)
def test_arbitrary_bytes(content: bytes, suffix: str, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.getbasetemp() / f"bytes{suffix}"
    path.write_bytes(content)
    assert isinstance(outcome(path, {"entity": "who", "count": "n"}), str)


@given(text=st.text(alphabet='{}[]":,who atn0123.\n', max_size=60))
@settings(max_examples=100)
def test_almost_json(text: str, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "almost.jsonl"
    path.write_text('{"who": "a", "n": 1}\n{"who": "b", "n": 2}\n' + text)
    outcome(path, {"entity": "who", "count": "n"})


values = st.one_of(
    st.none(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.booleans(),
    st.datetimes(),
    st.dates(),
    st.binary(max_size=3),
)


@given(columns=st.lists(st.tuples(values, values, values), max_size=6), chosen=options)
@settings(max_examples=150)
def test_tables_of_odd_values(columns: list[tuple[Any, Any, Any]], chosen: dict[str, Any]) -> None:
    frame = pd.DataFrame(columns, columns=["who", "at", "n"], dtype=object)
    outcome(frame, chosen)
    outcome(frame.convert_dtypes(), chosen)


@pytest.mark.parametrize("kind", ["timedelta64[ns]", "complex128", "bool", "period", "interval"])
def test_columns_of_odd_types(kind: str) -> None:
    column: Any = pd.Series([1, 2])
    if kind == "period":
        column = pd.period_range("2024-03-01", periods=2)
    elif kind == "interval":
        column = pd.interval_range(0, 2)
    else:
        column = column.astype(kind)
    frame = pd.DataFrame({"who": ["a", "b"], "n": column, "at": column})
    assert isinstance(outcome(frame, {"entity": "who", "count": "n"}), str)
    assert isinstance(outcome(frame, {"entity": "who", "time": "at", "window": "1D"}), str)
    outcome(frame, {"entity": "n", "count": "who"})
