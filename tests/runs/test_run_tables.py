"""Tables of a run: what is read back is what was written, in groups of rows, categories and empty cells among them."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts
from modelwright.data.events import texts as event_texts
from modelwright.runs import active
from modelwright.runs.store import RunStore


def scores(n_entities: int, n_windows: int) -> pd.DataFrame:
    n = n_entities * n_windows
    random = np.random.default_rng(5)
    days = np.arange("2024-03-01", n_windows, dtype="datetime64[D]")
    return pd.DataFrame(
        {
            "entity": pd.Categorical.from_codes(
                np.repeat(np.arange(n_entities), n_windows), [f"user_{k:05d}" for k in range(n_entities)]
            ),
            "window_start": np.tile(days.astype("datetime64[ns]"), n_entities),
            "window": pd.Categorical.from_codes(np.tile(np.arange(n_windows), n_entities), [str(d) for d in days]),
            "count": random.poisson(3.0, n),
            "score": np.where(random.random(n) < 0.1, np.nan, random.random(n)),
            "lower": random.integers(0, 3, n),
            "known_entity": random.random(n) < 0.5,
            "kind": np.where(random.random(n) < 0.1, "theft", "").astype(object),
        }
    )


@pytest.mark.parametrize("order", ["as they are", "shuffled", "a part"])
def test_a_table_in_several_groups_of_rows_reads_back_as_it_was(
    order: str, store: RunStore, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(active, "_ROWS_PER_GROUP", 100)
    frame = scores(50, 7)
    if order != "as they are":
        frame = frame.sample(frac=1.0 if order == "shuffled" else 0.3, random_state=3)
    frame.attrs = {"interval": 0.9}
    with store.start("event_rates", **settings) as run:
        path = run.write_table("scores", frame)
    assert pq.ParquetFile(path).num_row_groups == -(-len(frame) // 100)
    back = store.get("latest").table("scores")
    pd.testing.assert_frame_equal(back, frame, check_exact=True)
    assert back.attrs == {"interval": 0.9}


def test_a_table_of_counts_comes_back_as_the_same_counts(
    store: RunStore, settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = EventCounts.from_arrays(
        entity=["b", "a", "a"], count=[1, 0, 2], window_start=["2024-03-01", "2024-03-01", "2024-03-02"], window="1D"
    )
    monkeypatch.setattr(event_texts, "CATEGORICAL_FROM", 1)
    monkeypatch.setattr(active, "_ROWS_PER_GROUP", 2)
    with store.start("event_rates", **settings) as run:
        run.write_table("counts", counts.to_frame())
    back = EventCounts.from_frame(store.get("latest").table("counts"))
    assert back.fingerprint() == counts.fingerprint()
    assert (back.window, back.timezone) == ("1D", "UTC")


def test_a_table_that_cannot_be_stored_leaves_nothing_behind(store: RunStore, settings) -> None:
    with store.start("event_rates", **settings) as run:
        with pytest.raises(DataError, match="cannot be stored as Parquet") as caught:
            run.write_table("odd", pd.DataFrame({"x": [1, "a", object()]}))
        assert caught.value.field == "table odd"
        folder = run.paths.at(run.paths.table_name("odd")).parent
        assert not folder.exists() or not list(folder.iterdir())
