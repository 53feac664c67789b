"""Whatever the bytes, matrices and options: either counts come out, or a refusal that a person can read."""

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import ModelwrightError
from modelwright.data.counts import CellCounts, load_counts

options = st.fixed_dictionaries(
    {},
    optional={
        "layer": st.sampled_from(["X", "raw", "counts", ""]),
        "genes": st.sampled_from([["g0"], ["g1", "g0"], ["gene 1"], []]),
        "batch": st.sampled_from(["g0", "who", ""]),
        "cells": st.sampled_from(["who", "g1"]),
        "min_genes": st.integers(0, 3),
        "min_cells": st.integers(0, 3),
        "on_empty": st.sampled_from(["error", "leave_out", "keep"]),
    },
)
numbers = st.one_of(st.integers(0, 5), st.sampled_from([-1, 0.5, np.nan, np.inf, 2**31, 2**60, 1e300, -0.0]))


def outcome(source: object, chosen: dict[str, Any]) -> CellCounts | str:
    try:
        counts = load_counts(source, **chosen)
    except ModelwrightError as error:
        message = str(error)
        assert message
        return message
    values = counts.matrix.toarray()
    assert (values >= 0).all()
    assert counts.matrix.dtype in (np.int32, np.int64)
    assert counts.describe()["total"] == values.sum()
    if chosen.get("on_empty", "error") == "error":
        assert values.any(axis=0).all()
        assert values.any(axis=1).all()
    return counts


@given(
    rows=st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(numbers, min_size=n, max_size=n), max_size=4)),
    chosen=options,
    form=st.sampled_from(["list", "csr", "coo", "frame", "object frame"]),
)
@settings(max_examples=60)
def test_matrices_of_odd_values(rows: list[list[float]], chosen: dict[str, Any], form: str) -> None:
    frame = pd.DataFrame(rows, dtype=object if form == "object frame" else np.float64)
    frame.columns = pd.Index([f"g{place}" for place in range(frame.shape[1])])
    dense = frame.to_numpy(dtype=np.float64)
    sources = {"list": rows, "csr": sp.csr_array(dense), "coo": sp.coo_matrix(dense)}
    result = outcome(sources.get(form, frame), chosen)
    if isinstance(result, CellCounts) and form == "csr" and chosen.get("on_empty") == "keep":
        assert result.matrix.sum() == dense[:, :].sum() or {"genes", "min_genes", "min_cells"} & set(chosen)


@pytest.mark.parametrize("ending", [".h5ad", ".npz", ".mtx", ".mtx.gz", ".csv", ".csv.gz", ".tsv", ".parquet"])
@given(content=st.binary(max_size=120))
@settings(max_examples=25)
def test_arbitrary_bytes(ending: str, content: bytes, tmp_path_factory: Any) -> None:
    path: Path = tmp_path_factory.getbasetemp() / f"bytes{ending}"
    path.write_bytes(content)
    outcome(path, {})


@pytest.fixture(scope="module")
def whole(tmp_path_factory: Any) -> dict[str, bytes]:
    """Good files to be damaged."""
    folder, values = tmp_path_factory.mktemp("whole"), sp.csr_matrix(np.arange(1, 13).reshape(4, 3))
    obs, var = (
        pd.DataFrame(index=pd.Index([f"{k}{i}" for i in range(n)], dtype=object)) for k, n in (("c", 4), ("g", 3))
    )
    anndata.AnnData(values, obs=obs, var=var).write_h5ad(folder / "a.h5ad")
    sp.save_npz(folder / "a.npz", values)
    scipy.io.mmwrite(folder / "a.mtx", values)
    frame = pd.DataFrame(values.toarray(), columns=["g0", "g1", "g2"])
    frame.to_parquet(folder / "a.parquet")
    frame.to_csv(folder / "a.csv.gz", index=False)
    return {path.name[1:]: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("ending", [".h5ad", ".npz", ".mtx", ".parquet", ".csv.gz"])
@given(data=st.data())
@settings(max_examples=30)
def test_cut_files_are_refused_or_read_as_what_is_left(
    ending: str, data: st.DataObject, whole: dict[str, bytes], tmp_path_factory: Any
) -> None:
    content = whole[ending]
    path: Path = tmp_path_factory.getbasetemp() / f"cut{ending}"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    result = outcome(path, {})
    if ending in (".h5ad", ".npz", ".parquet", ".csv.gz"):
        assert isinstance(result, str)


@pytest.mark.parametrize("ending", [".npz", ".mtx", ".parquet", ".csv.gz"])
@given(data=st.data())
@settings(max_examples=40)
def test_files_with_a_byte_changed(
    ending: str, data: st.DataObject, whole: dict[str, bytes], tmp_path_factory: Any
) -> None:
    content = bytearray(whole[ending])
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path: Path = tmp_path_factory.getbasetemp() / f"changed{ending}"
    path.write_bytes(bytes(content))
    outcome(path, {"on_empty": "keep"})
