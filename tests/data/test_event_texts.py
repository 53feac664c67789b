"""Texts kept once each: an array of texts to every reader, and the bytes of its JSON; order by counting."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import DataError
from modelwright.data.events import coding, texts
from modelwright.data.events.ordering import ascending_order, distinct
from modelwright.data.events.texts import RowNames, Texts

words = st.lists(st.sampled_from(["", "a", "b", "é", 'q"\\', "1", "𝄞"]), max_size=40)


@given(words)
def test_texts_are_an_array_of_texts_to_whoever_reads_them(given_words: list[str]) -> None:
    kept = Texts.of(np.array(given_words, dtype=object))
    plain = np.array(given_words, dtype=object)
    assert kept.tolist() == list(kept) == given_words
    assert (len(kept), kept.shape, kept.ndim, kept.size, kept.dtype) == (len(plain), plain.shape, 1, plain.size, object)
    np.testing.assert_array_equal(np.asarray(kept), plain)
    np.testing.assert_array_equal(kept == "a", plain == "a")
    np.testing.assert_array_equal(kept != plain, plain != plain)
    np.testing.assert_array_equal(kept[plain == "b"], plain[plain == "b"])
    assert kept[::-1].tolist() == given_words[::-1]
    assert [kept[place] for place in range(len(kept))] == given_words
    assert pd.Series(kept).tolist() == given_words
    assert len(set(kept.values)) == len(kept.values)
    assert set(kept.values) == set(given_words)


@given(words, st.integers(1, 7))
def test_the_json_of_texts_is_that_of_their_list(given_words: list[str], block: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(texts, "_BLOCK", block)
        assert b"".join(Texts.of(given_words).json_bytes()) == json.dumps(given_words).encode()


def test_texts_of_other_things() -> None:
    assert Texts.of(pd.Series(["x", None, np.nan, "x"])).tolist() == ["x", "", "", "x"]
    assert Texts.of(pd.Series(["", None])).values == ("",)
    assert Texts.of(pd.Categorical(["b", "a", "b"], categories=["a", "b", "unused"])).values == ("b", "a")
    assert Texts.of([1, 1.5]).tolist() == ["1.0", "1.5"]
    mixed = pd.Series([1, True, "1", 1.0], dtype=object)
    assert Texts.of(mixed).tolist() == ["1", "True", "1", "1.0"]
    assert Texts.of(Texts(("a",), [0])).tolist() == ["a"]
    with pytest.raises(DataError, match="not a plain column") as caught:
        Texts.of([["a"]], name="kind")
    assert caught.value.field == "kind"


def test_codes_without_a_text_are_refused_and_kept_codes_cannot_be_written_to() -> None:
    for codes in ([0, 2], [-1, 0], [[0]]):
        with pytest.raises(DataError):
            Texts(("a", "b"), codes)
    mine = np.array([0, 1], dtype=np.int32)
    kept = Texts(("a", "b"), mine)
    mine[0] = 1
    assert kept.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="read-only"):
        kept.codes[0] = 1
    with pytest.raises(TypeError, match="unhashable"):
        hash(kept)
    with pytest.raises(ValueError, match="always a copy"):
        np.array(kept, copy=False)
    assert repr(kept) == "Texts(2 observations, 2 distinct: ['a', 'b'])"


def test_rows_have_names_that_nobody_stored() -> None:
    rows = Texts(RowNames(10**9), [0, 999_999_999])
    assert rows.tolist() == ["row 1", "row 1000000000"]
    assert (rows == "row 1").tolist() == [True, False]
    assert RowNames(5)[1:3] == ["row 2", "row 3"]
    assert RowNames(5)[-1] == "row 5"
    with pytest.raises(IndexError):
        RowNames(5)[5]


@pytest.mark.parametrize("kept", [Texts(("a", "b"), [0, 1, 0, 0]), Texts(RowNames(4), [3, 0, 1, 1])])
def test_a_column_of_a_large_table_holds_the_same_texts(kept: Texts, monkeypatch: pytest.MonkeyPatch) -> None:
    small = pd.DataFrame({"window": kept.to_pandas()})
    monkeypatch.setattr(texts, "CATEGORICAL_FROM", 1)
    large = pd.DataFrame({"window": kept.to_pandas()})
    assert large["window"].tolist() == small["window"].tolist() == kept.tolist()
    back = Texts.of(large["window"])
    assert back.tolist() == kept.tolist()
    assert isinstance(back.values, RowNames) == isinstance(kept.values, RowNames)


@pytest.mark.parametrize("odd", ["row x", "row 0", "row 01", "row -1", "row 3000000000", "row", "", None])
def test_only_the_names_of_rows_are_read_as_such(odd: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "CATEGORICAL_FROM", 1)
    back = Texts.of(pd.Series(["row 2", odd], dtype="str"))
    assert back.tolist() == ["row 2", odd or ""]
    assert not isinstance(back.values, RowNames)


@given(
    st.lists(st.integers(0, 60), max_size=60) | st.permutations(range(61)).map(lambda every: every[:40]),
    st.sampled_from([61, 10**6, 2**40]),
)
@settings(max_examples=80)
def test_the_order_is_that_of_a_stable_sort(values: list[int], n_keys: int) -> None:
    key = np.array(values, dtype=np.int64) * (n_keys // 61)
    order = ascending_order(key, n_keys)
    expected = np.argsort(key, kind="stable")
    np.testing.assert_array_equal(np.arange(len(key)) if order is None else order, expected)
    assert (order is None) == bool((np.diff(key) >= 0).all())
    codes, found = distinct(key)
    np.testing.assert_array_equal(found[codes], key)
    np.testing.assert_array_equal(found, np.unique(key))


@given(st.lists(st.sampled_from(["b", "a", "é", "𝄞", "ｚ", "ab"]), max_size=30), st.integers(1, 4))
def test_labels_are_numbered_by_character_whatever_the_parts(labels: list[str], parts: int) -> None:
    chunks = [labels[part::parts] for part in range(parts)]
    column: Any = pa.chunked_array(chunks, pa.string())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(coding, "_SMALLEST_PART", 3)
        patch.setattr("os.cpu_count", lambda: 4)
        entities, codes = coding.numbered(column)
    assert list(entities) == sorted(set(labels))
    assert [entities[code] for code in codes] == column.to_pylist()
