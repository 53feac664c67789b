"""What a person reads when a matrix holds no counts, or is not where it was looked for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.io
import scipy.sparse as sp

from modelwright.core.errors import ConfigurationError, DataError, ModelwrightError, NotFoundError
from modelwright.data.counts import CellCounts, load_counts

COUNTS = np.random.default_rng(5).negative_binomial(1, 0.3, (40, 30))
CELLS = [f"c{place}" for place in range(40)]
GENES = [f"g{place}" for place in range(30)]
COUNTS[0, :3] = (0, 1, 2)


def refusal(source: object, **options: Any) -> ModelwrightError:
    with pytest.raises(ModelwrightError) as caught:
        load_counts(source, **options)
    return caught.value


def adata(values: Any, **layers: Any) -> anndata.AnnData:
    obs, var = pd.DataFrame(index=pd.Index(CELLS, dtype=object)), pd.DataFrame(index=pd.Index(GENES, dtype=object))
    return anndata.AnnData(values, obs=obs, var=var, layers=layers)


def with_value(value: float, *, at: tuple[int, int] = (3, 7)) -> np.ndarray:
    values = COUNTS.astype(np.float64)
    values[at] = value
    return values


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (-2.0, "holds a negative value: -2 in cell 'c3', gene 'g7'"),
        (0.5, "holds a fractional value: 0.5 in cell 'c3', gene 'g7'"),
        (np.nan, "holds a missing or infinite value: nan in cell 'c3', gene 'g7'"),
        (-np.inf, "holds a missing or infinite value: -inf in cell 'c3', gene 'g7'"),
        (1e300, "holds a too large value: 1e+300 in cell 'c3', gene 'g7'"),
    ],
)
@pytest.mark.parametrize("where", ["X", "layer 'counts'", "raw.X", "the matrix", "the table", "file", "csv"])
def test_values_that_are_no_counts(value: float, sentence: str, where: str, tmp_path: Path) -> None:
    values = with_value(value)
    frame = pd.DataFrame(values, columns=GENES, index=CELLS)
    place, options = where, {}
    if where == "X":
        source: object = adata(sp.csr_matrix(values))
    elif where == "layer 'counts'":
        source, options = adata(COUNTS, counts=values), {"layer": "counts"}
    elif where == "raw.X":
        source, options = adata(COUNTS), {"layer": "raw"}
        source.raw = adata(sp.csc_matrix(values))
    elif where == "file":
        source, place = tmp_path / "cells.h5ad", "X"
        adata(values).write_h5ad(source)
    elif where == "csv":
        source, place = tmp_path / "cells.csv", "the table"
        frame.to_csv(source)
    elif where == "the matrix":
        source, sentence = values, sentence.replace("'c3'", "'cell 4'").replace("'g7'", "'gene 8'")
    else:
        source = frame
    error = refusal(source, **options)
    assert isinstance(error, DataError)
    assert error.what == f"{place} {sentence}"
    assert error.field == "data"
    assert error.expected is not None
    assert error.expected.startswith("whole numbers of at least zero")


def test_many_values_are_counted_and_the_first_is_named() -> None:
    values = with_value(-1.0)
    values[5, 2], values[9, 9], values[11, 1] = -4, 0.5, 0.25
    assert refusal(values).what == (
        f"the matrix holds 2 negative values among {np.count_nonzero(values):,} non-zeros, first -1 in cell 'cell 4', "
        "gene 'gene 8' (also 2 fractional)"
    )


TOTALS = COUNTS.sum(axis=1, keepdims=True)
TRANSFORMED: dict[str, tuple[Callable[[], np.ndarray], str]] = {
    "log of 10,000 per cell": (
        lambda: np.log1p(COUNTS / TOTALS * 1e4), "log-normalised: exp(x) - 1 sums to 10,000 in every cell",
    ),
    "log of 10,000 per cell, float32": (
        lambda: np.log1p(COUNTS / TOTALS * 1e4).astype(np.float32),
        "log-normalised: exp(x) - 1 sums to 10,000 in every cell",
    ),
    "per million": (lambda: COUNTS / TOTALS * 1e6, "normalised: x sums to 1e+06 in every cell"),
    "shares": (lambda: COUNTS / TOTALS, "normalised: x sums to 1 in every cell"),
    "log2 of per million": (
        lambda: np.log2(COUNTS / TOTALS * 1e6 + 1), "log2-normalised: 2^x - 1 sums to 1e+06 in every cell",
    ),
    "log of 10,000 per cell, some genes": (
        lambda: np.log1p(COUNTS / (TOTALS * np.linspace(1, 3, 40)[:, None]) * 1e4),
        "log-normalised: within a cell exp(x) - 1 comes in whole multiples of its smallest value",
    ),
    "shares, some genes": (
        lambda: COUNTS / (TOTALS * np.linspace(1, 3, 40)[:, None]),
        "normalised: within a cell x comes in whole multiples of its smallest value",
    ),
    "log of counts": (lambda: np.log1p(COUNTS), "log-transformed: exp(x) - 1 is a whole number everywhere"),
    "log2 of counts": (lambda: np.log2(COUNTS + 1), "log2-transformed: 2^x - 1 is a whole number everywhere"),
    "log10 of counts": (lambda: np.log10(COUNTS + 1), "log10-transformed: 10^x - 1 is a whole number everywhere"),
    "square roots": (lambda: np.sqrt(COUNTS), "square-root-transformed: x^2 is a whole number everywhere"),
    "standardised": (
        lambda: (COUNTS - COUNTS.mean(axis=0)) / COUNTS.std(axis=0), "centred or scaled: 61% of its non-zero values",
    ),
    "logs of something else": (
        lambda: np.log1p(COUNTS * np.random.default_rng(1).uniform(0.3, 3, COUNTS.shape)),
        "normalised or log-transformed: 100% of its non-zero values are fractional",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TRANSFORMED)
def test_transformed_counts_are_recognised_and_the_counts_pointed_to(name: str) -> None:
    make, phrase = TRANSFORMED[name]
    error = refusal(adata(make(), scaled=make(), counts=COUNTS))
    assert error.what.startswith(f"X looks {phrase}")
    assert error.todo == "the counts are perhaps in layer 'counts' (layer = counts)"
    assert "looks" not in refusal(adata(COUNTS * 1.0, half=np.where(COUNTS > 4, 4.5, COUNTS)), layer="half").what


def test_where_the_counts_may_be_is_said_for_files_too(tmp_path: Path) -> None:
    values = np.log1p(COUNTS)
    table = adata(values)
    table.raw = adata(sp.csr_matrix(COUNTS))
    table.write_h5ad(tmp_path / "raw.h5ad")
    assert refusal(tmp_path / "raw.h5ad").todo == "the counts are perhaps in raw (layer = raw)"
    assert load_counts(tmp_path / "raw.h5ad", layer="raw").matrix.toarray().tolist() == COUNTS.tolist()
    adata(COUNTS, logs=values).write_h5ad(tmp_path / "layers.h5ad")
    assert refusal(tmp_path / "layers.h5ad", layer="logs").todo == "the counts are perhaps in X (layer = X)"
    adata(values, logs=values).write_h5ad(tmp_path / "none.h5ad")
    assert refusal(tmp_path / "none.h5ad").todo == (
        "none of logs holds whole numbers either: give the data before they were normalised"
    )
    assert refusal(adata(values)).todo == "there is no other layer: give the data before they were normalised"


def test_cells_and_genes_without_counts() -> None:
    values = COUNTS.copy()
    values[[2, 8]] = 0
    assert str(refusal(adata(values))) == (
        "cells: X has 2 cells without any count: 'c2', 'c8'; expected at least one count in every cell; leave such "
        "cells out and have them counted (on_empty = leave_out)"
    )
    values = COUNTS.copy()
    values[:, 10:17] = 0
    error = refusal(adata(COUNTS, counts=values), layer="counts")
    assert error.what == "layer 'counts' has 7 genes without any count: 'g10', 'g11', 'g12', 'g13', 'g14' and 2 more"
    assert refusal(adata(COUNTS), min_genes=31).what == "nothing of X is left"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"layer": "count"}, "layer: no such layer; got 'count'; did you mean 'counts'? known: X, counts"),
        ({"layer": "raw"}, "layer: no such layer; got 'raw'; known: X, counts"),
        ({"batch": "bath"}, "batch: no such column; got 'bath'; did you mean 'batch'? known: batch, gap"),
        ({"label": "gap"}, "label: 40 cells have no value: the first is 'c0'; expected a value for every cell"),
        ({"genes": ["g1", "G2"]}, "genes: no such gene; got 'G2'; did you mean 'g2'?"),
        ({"genes": ["g1", "x", "y"]}, "genes: no such gene (and 1 more that are asked for are not there); got 'x'"),
        ({"genes": ["g1", "g1"]}, "genes: a gene is asked for twice; expected each once, got 'g1'"),
        ({"genes": []}, "genes: no gene is chosen; expected at least one gene"),
        ({"gene_names": "symbl"}, "gene_names: no such column; got 'symbl'; did you mean 'symbol'? known: symbol"),
        ({"on_empty": "drop"}, "on_empty: not a choice; expected error or leave_out or keep, got 'drop'"),
        ({"min_cells": -1}, "min_cells: not a number; expected a whole number of at least 0, got -1"),
        ({"batch": ""}, "batch: not a name; expected a text, got ''"),
        ({"memory": 0}, "memory: not a size; expected a number of bytes, got 0"),
    ],
)
@pytest.mark.parametrize("where", ["object", "file"])
def test_what_is_not_there(options: dict[str, Any], sentence: str, where: str, tmp_path: Path) -> None:
    source: Any = adata(COUNTS, counts=COUNTS)
    source.obs["batch"], source.obs["gap"] = 1, pd.array([None] * 40, dtype="Int64")
    source.var["symbol"] = pd.Series(GENES, index=source.var.index, dtype=object)
    if where == "file":
        source.write_h5ad(tmp_path / "cells.h5ad")
        source = tmp_path / "cells.h5ad"
    assert str(refusal(source, **options)).startswith(sentence)


def test_names_that_occur_twice(tmp_path: Path) -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    assert str(refusal(frame)) == (
        "genes: the gene name 'a' occurs 2 times; expected a name of its own for every gene; rename or drop the columns"
    )
    table = adata(COUNTS)
    table.obs_names = pd.Index(["x", "x", "y", "y", *CELLS[4:]], dtype=object)
    assert str(refusal(table)) == (
        "cells: the cell name 'x' occurs 2 times, and 1 more occur more than once; expected a name of its own for "
        "every cell; rename them (obs_names_make_unique() in AnnData)"
    )
    scipy.io.mmwrite(tmp_path / "matrix.mtx", sp.coo_array([[1, 2, 0], [0, 3, 1]]))
    (tmp_path / "genes.tsv").write_text("g1\tA\ng2\tA\n")
    assert load_counts(tmp_path).genes == ("g1", "g2")
    assert refusal(tmp_path, gene_names="symbol").todo == "use identifiers instead (gene_names = id)"


def test_a_matrix_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.h5ad"
    adata(sp.csr_matrix(COUNTS)).write_h5ad(path)
    with h5py.File(path, "a") as file:
        group = file["X"]
        for name in ("data", "indices"):
            kind = group[name].dtype
            del group[name]
            # Never written, so that it takes no room on the disk.
            group.create_dataset(name, shape=(2**40,), dtype=kind, chunks=(2**20,))
    assert str(refusal(path, memory=2**30)) == (
        "data: X (40 cells x 30 genes) takes 20480.0 GiB of memory to read; expected at most the 1.0 GiB that are "
        "free; read a part of it: write fewer cells or genes to a file of their own"
    )
    dense = tmp_path / "dense.h5ad"
    adata(COUNTS).write_h5ad(dense)
    header = tmp_path / "many.mtx"
    header.write_text("%%MatrixMarket matrix coordinate integer general\n1000000 30000 900000000\n1 1 1\n")
    arrays = tmp_path / "cells.npz"
    sp.save_npz(arrays, sp.csr_array(COUNTS))
    frame = pd.DataFrame(COUNTS, columns=GENES)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    small = [dense, arrays, tmp_path / "t.csv", tmp_path / "t.parquet"]
    for source, size in ((header, 2**34), *((path, 1_000) for path in small)):
        assert "of memory to read; expected at most the" in str(refusal(source, memory=size))


def test_files_that_are_not_what_their_names_say(tmp_path: Path) -> None:
    path = tmp_path / "cells.h5ad"
    adata(sp.csr_matrix(COUNTS)).write_h5ad(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert refusal(path).what == "cells.h5ad is truncated"
    path.write_bytes(b"cells,genes\n1,2\n")
    assert str(refusal(path)) == (
        "data: not an HDF5 file; expected a file written by AnnData (write_h5ad), got 'cells.h5ad'"
    )
    path.write_bytes(b"")
    assert refusal(path).what == "the file is empty"
    path.unlink()
    with h5py.File(path, "w") as file:
        file.create_group("matrix")
    assert refusal(path).what == "an HDF5 file, but no AnnData: it has no obs and no var"
    assert isinstance(refusal(tmp_path / "cell.h5ad"), NotFoundError)
    assert refusal(tmp_path / "cell.h5ad").todo == "did you mean 'cells.h5ad'?"
    assert refusal(tmp_path).what == "a folder without a matrix.mtx"
    (tmp_path / "cells.loom").write_bytes(b"x")
    assert refusal(tmp_path / "cells.loom").what == "a file whose name does not say its format"
    (tmp_path / "bad.npz").write_bytes(b"PK nothing")
    assert refusal(tmp_path / "bad.npz").what == "bad.npz is truncated or damaged"
    np.savez(tmp_path / "other.npz", x=COUNTS)
    assert refusal(tmp_path / "other.npz").what == "other.npz holds no sparse matrix"
    (tmp_path / "bad.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n2 2 3\n1 1 1\n")
    assert refusal(tmp_path / "bad.mtx").what == "bad.mtx is damaged: it says 3 values and holds 1"
    (tmp_path / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n2 2 1\n1 1 1\n")
    (tmp_path / "barcodes.tsv").write_text("a\nb\nc\n")
    assert refusal(tmp_path).what == "the names beside matrix.mtx do not fit its 2 rows and 2 columns"
    (tmp_path / "text.csv").write_text("name,g1\na,1\nb,2\n")
    found = refusal(tmp_path / "text.csv")
    assert found.what == "the column 'name' of text.csv holds a text"
    assert "expected a column of numbers for every gene, got 'a'; if it is no gene, say what it is (" in str(found)
    (tmp_path / "ragged.csv").write_text("name,g1\na,1\nb\n")
    assert refusal(tmp_path / "ragged.csv").what.startswith("ragged.csv cannot be read: CSV parse error")
    (tmp_path / "gap.csv").write_text(",g1,g2\na,1,\nb,2,1\n")
    assert (
        refusal(tmp_path / "gap.csv").what == "the table holds a missing or infinite value: nan in cell 'a', gene 'g2'"
    )


@pytest.mark.parametrize(
    ("source", "options", "kind", "sentence"),
    [
        (42, {}, ConfigurationError, "data: no source of counts; expected a path, an AnnData object"),
        (COUNTS, {"batch": "x"}, ConfigurationError, "batch: a matrix has no columns of this kind"),
        (pd.DataFrame(COUNTS), {"layer": "counts"}, ConfigurationError, "layer: a table has no layers"),
        (
            COUNTS > 2,
            {},
            DataError,
            "data: the matrix holds no numbers; expected whole numbers of at least zero, got 'bool'",
        ),
        (COUNTS.astype(complex), {}, DataError, "data: the matrix holds no numbers"),
        (COUNTS.astype(str), {}, DataError, "data: the matrix holds no numbers"),
        ([[1, 2], [3]], {}, DataError, "data: rows differ in length"),
        (COUNTS[0], {}, DataError, "data: the matrix has another number of dimensions; expected 2, got 1"),
        (np.zeros((0, 3)), {}, DataError, "data: the matrix is empty"),
        (np.ma.masked_less(COUNTS, 1), {}, DataError, "data: the matrix holds "),
        (pl.DataFrame({"a": [1], "b": ["x"]}), {}, DataError, "data: the column 'b' holds no numbers"),
        (pl.DataFrame({"a": [True]}), {}, DataError, "data: the column 'a' holds no numbers"),
        (
            pd.DataFrame({"a": [1, 2], "b": [None, "x"]}),
            {"cells": "b"},
            DataError,
            "cells: 1 rows have no name of a cell",
        ),
    ],
)
def test_objects_that_are_no_counts(source: Any, options: Any, kind: type[Exception], sentence: str) -> None:
    error = refusal(source, **options)
    assert isinstance(error, kind)
    assert str(error).startswith(sentence)


def test_a_sparse_matrix_with_places_outside_itself_is_damaged() -> None:
    broken = sp.csr_matrix(COUNTS)
    broken.indices[0] = 99
    assert refusal(broken).what.startswith("the matrix is a damaged sparse matrix")
    assert refusal(adata(COUNTS, counts=COUNTS), genes=["nothing"]).what == "no such gene"


def test_counts_made_by_hand_are_checked_alike() -> None:
    for values, cells, sentence in (
        ([[0.5]], ["a"], "data: the matrix holds a fractional value: 0.5 in cell 'a', gene 'g'"),
        ([[1]], ["a", "b"], "data: the matrix has another shape than its names; expected 2 cells and 1 genes"),
        ([[1], [2]], ["a", "a"], "cells: the cell name 'a' occurs 2 times"),
        ([[1]], [""], "cells: cell 1 has no name"),
    ):
        with pytest.raises(DataError) as caught:
            CellCounts(values, cells, ["g"])
        assert str(caught.value).startswith(sentence)
    with pytest.raises(ConfigurationError, match="share: not a share; expected a number between 0 and 1, got 1"):
        CellCounts([[1], [2]], ["a", "b"], ["g"]).split(0, 1)
