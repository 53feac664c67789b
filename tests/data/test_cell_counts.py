"""Counts of cells x genes: every form in which they can be given yields the same counts, nothing is lost silently."""

import gzip
import json
import warnings
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
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.core.errors import DataError
from modelwright.data.counts import CellCounts, LeftOut, load_counts

VALUES = np.array([[0, 3, 1], [2, 0, 0], [0, 1, 7], [4, 0, 1]])
CELLS = ("AAAC", "AAAG", "AACA", "AAGT")
GENES = ("CD3D", "LYZ", "MS4A1")
BATCH = ["d1", "d2", "d1", "d2"]


def adata(
    values: Any = VALUES, *, layers: dict[str, Any] | None = None, cells: Any = CELLS, genes: Any = GENES
) -> anndata.AnnData:
    """An AnnData object; names are plain objects, because AnnData cannot yet write the texts of pandas 3."""
    obs = pd.DataFrame(
        {"batch": pd.Categorical.from_codes(np.arange(len(cells)) % 2, pd.Index(["d1", "d2"], dtype=object))},
        index=pd.Index(cells, dtype=object),
    )
    obs["day"] = np.arange(len(cells))
    obs["note"] = pd.array([None, *range(len(cells) - 1)], dtype="Int64")
    var = pd.DataFrame(index=pd.Index(genes, dtype=object))
    var["symbol"] = pd.Series([f"s{name}" for name in genes], index=var.index, dtype=object)
    return anndata.AnnData(values, obs=obs, var=var, layers=layers or {})


def tenx(folder: Path, *, compressed: bool, values: Any = VALUES, before: str = "") -> Path:
    """The three files of 10x: genes x cells."""
    folder.mkdir(exist_ok=True)
    scipy.io.mmwrite(folder / f"{before}matrix.mtx", sp.coo_array(np.asarray(values).T), field="integer")
    rows = [f"ENSG{place}\t{name}\tGene Expression" for place, name in enumerate(GENES)]
    (folder / f"{before}features.tsv").write_text("\n".join(rows) + "\n")
    (folder / f"{before}barcodes.tsv").write_text("\n".join(CELLS) + "\n")
    if compressed:
        for path in list(folder.iterdir()):
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
    return folder


def _h5ad(folder: Path, values: Any) -> Path:
    adata(values).write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


def _npz(folder: Path, matrix: Any) -> Path:
    sp.save_npz(folder / "cells.npz", matrix)
    return folder / "cells.npz"


def _table(folder: Path, ending: str) -> Path:
    frame, path = pd.DataFrame(VALUES, columns=list(GENES), index=list(CELLS)), folder / f"cells{ending}"
    if ending == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, sep="\t" if "tsv" in ending else ",")
    return path


def _plain_mtx(folder: Path) -> Path:
    scipy.io.mmwrite(folder / "cells.mtx", sp.coo_array(VALUES))
    return folder / "cells.mtx"


def _part(whole: anndata.AnnData, genes: list[str]) -> anndata.AnnData:
    """A view of some genes; making one, AnnData sets an option that pandas 3 is about to drop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return whole[:, genes]


def _one_by_one() -> Any:
    """Row and column of every single molecule."""
    return tuple(np.repeat(np.indices(VALUES.shape).reshape(2, -1), VALUES.ravel(), axis=1))


def _frame() -> pd.DataFrame:
    return pd.DataFrame(VALUES, columns=list(GENES), index=list(CELLS))


def _polars() -> pl.DataFrame:
    return pl.DataFrame({"who": CELLS, **dict(zip(GENES, VALUES.T.tolist(), strict=True))})


# form -> (how it is made in a folder, options, which names the source holds)
FORMS: dict[str, tuple[Callable[[Path], Any], dict[str, Any], str]] = {
    "h5ad, sparse rows": (lambda f: _h5ad(f, sp.csr_matrix(VALUES.astype(np.float32))), {}, "both"),
    "h5ad, sparse columns": (lambda f: _h5ad(f, sp.csc_matrix(VALUES)), {}, "both"),
    "h5ad, dense": (lambda f: _h5ad(f, VALUES.astype(np.float64)), {}, "both"),
    "AnnData": (lambda f: adata(), {}, "both"),
    "AnnData, layer": (
        lambda f: adata(VALUES / 3, layers={"counts": sp.csr_matrix(VALUES)}), {"layer": "counts"}, "both",
    ),
    "AnnData, part of another": (lambda f: _part(adata(), list(GENES)), {}, "both"),
    "AnnData, names in columns": (lambda f: adata(), {"gene_names": "symbol", "cells": "day"}, "columns"),
    "AnnData, on the disk": (lambda f: anndata.read_h5ad(_h5ad(f, sp.csr_matrix(VALUES)), backed="r"), {}, "both"),
    "10x folder": (lambda f: tenx(f / "out", compressed=True), {"gene_names": "symbol"}, "both"),
    "10x file with a prefix": (
        lambda f: tenx(f / "out", compressed=False, before="GSM1_") / "GSM1_matrix.mtx",
        {"gene_names": "symbol"},
        "both",
    ),
    "mtx alone": (_plain_mtx, {}, "none"),
    "npz": (lambda f: _npz(f, sp.csr_array(VALUES)), {}, "none"),
    "npz, coordinates": (lambda f: _npz(f, sp.coo_matrix(VALUES)), {}, "none"),
    "csv": (lambda f: _table(f, ".csv"), {}, "both"),
    "tsv, gzip": (lambda f: _table(f, ".tsv.gz"), {}, "both"),
    "parquet": (lambda f: _table(f, ".parquet"), {}, "both"),
    "csr": (lambda f: sp.csr_matrix(VALUES), {}, "none"),
    "csc of floats": (lambda f: sp.csc_array(VALUES.astype(np.float32)), {}, "none"),
    "coo, entries twice": (
        lambda f: sp.coo_array((np.repeat(1, VALUES.sum()), _one_by_one()), shape=VALUES.shape),
        {}, "none",
    ),
    "numpy": (lambda f: VALUES.astype(np.float16), {}, "none"),
    "numpy, unsigned": (lambda f: VALUES.astype(np.uint64), {}, "none"),
    "lists": (lambda f: VALUES.tolist(), {}, "none"),
    "pandas": (lambda f: _frame(), {}, "both"),
    "pandas, nullable": (lambda f: _frame().convert_dtypes(), {}, "both"),
    "pandas, sparse": (lambda f: _frame().astype(pd.SparseDtype(np.int64, 0)), {}, "both"),
    "polars": (lambda f: _polars(), {"cells": "who"}, "both"),
    "polars, lazy": (lambda f: _polars().lazy(), {"cells": "who"}, "both"),
    "pyarrow": (lambda f: _polars().to_arrow(), {"cells": "who"}, "both"),
}  # fmt: skip


def counted(**more: Any) -> CellCounts:
    return CellCounts(VALUES, CELLS, GENES, **more)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_yields_the_same_counts(form: str, tmp_path: Path) -> None:
    make, options, names = FORMS[form]
    counts = load_counts(make(tmp_path), **options)
    assert counts.matrix.dtype == np.int32
    assert counts.matrix.toarray().tolist() == VALUES.tolist()
    expected = {
        "both": (CELLS, GENES),
        "columns": (("0", "1", "2", "3"), ("sCD3D", "sLYZ", "sMS4A1")),
        "none": (("cell 1", "cell 2", "cell 3", "cell 4"), ("gene 1", "gene 2", "gene 3")),
    }[names]
    assert (counts.cells, counts.genes) == expected
    if names == "both":
        assert counts.fingerprint() == counted().fingerprint()


def test_batches_and_labels_are_kept_as_given(tmp_path: Path) -> None:
    path = _h5ad(tmp_path, VALUES)
    counts = load_counts(path, batch="batch", label="day")
    assert counts.batch is not None
    assert counts.label is not None
    assert (counts.batch.tolist(), counts.label.tolist()) == (BATCH, [0, 1, 2, 3])
    same = load_counts(anndata.read_h5ad(path), batch="batch", label="day")
    assert same.fingerprint() == counts.fingerprint() != load_counts(path, batch="batch").fingerprint()
    frame = pd.DataFrame(VALUES, columns=list(GENES)).assign(who=CELLS, d=BATCH)
    for source in (frame, pl.from_pandas(frame)):
        table = load_counts(source, cells="who", batch="d")
        assert table.fingerprint() == load_counts(path, batch="batch").fingerprint()
    frame.to_csv(tmp_path / "wide.csv", index=False)
    assert load_counts(tmp_path / "wide.csv", cells="who", batch="d").fingerprint() == table.fingerprint()


def test_dense_files_and_long_tables_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.data.counts.h5ad._BLOCK", 6)  # two cells at a time
    assert load_counts(_h5ad(tmp_path, VALUES)).fingerprint() == counted().fingerprint()
    monkeypatch.setattr("modelwright.data.counts.tables._BLOCK", 24)
    assert load_counts(_table(tmp_path, ".csv")).fingerprint() == counted().fingerprint()


def test_files_of_older_versions_of_anndata(tmp_path: Path) -> None:
    path = _h5ad(tmp_path, sp.csr_matrix(VALUES))
    with h5py.File(path, "a") as file:  # 0.7: words of categorical columns apart from their codes
        obs = file["obs"]
        codes, words = obs["batch/codes"][:], obs["batch/categories"][:]
        del obs["batch"]
        obs.attrs["encoding-version"] = "0.1.0"
        obs["batch"], obs["__categories/batch"] = codes, words
        obs["batch"].attrs["categories"] = obs["__categories/batch"].ref
    assert load_counts(path, batch="batch").fingerprint() == counted(batch=BATCH).fingerprint()
    with h5py.File(path, "w") as file:  # 0.6: tables as compound arrays
        names = {"obs": CELLS, "var": GENES}
        for part, values in names.items():
            file[part] = np.array([(name.encode(),) for name in values], dtype=[("index", "S8")])
        file["X"] = VALUES.astype(np.float32)
    assert load_counts(path).fingerprint() == counted().fingerprint()


def test_raw_is_a_matrix_of_its_own(tmp_path: Path) -> None:
    whole = adata()
    part = _part(whole, ["LYZ"]).copy()
    part.raw = whole
    for source in (part, tmp_path / "raw.h5ad"):
        if source is not part:
            part.write_h5ad(tmp_path / "raw.h5ad")
        assert load_counts(source, layer="raw").fingerprint() == counted().fingerprint()
        assert load_counts(source, layer="raw").layer == "raw.X"
        assert load_counts(source, on_empty="leave_out").genes == ("LYZ",)


def test_features_that_are_no_genes_are_left_out_and_counted(tmp_path: Path) -> None:
    folder = tenx(tmp_path / "out", compressed=False)
    features = folder / "features.tsv"
    features.write_text(features.read_text().replace("MS4A1\tGene Expression", "CD20\tAntibody Capture"))
    counts = load_counts(folder, on_empty="leave_out")
    assert counts.genes == ("ENSG0", "ENSG1")
    assert counts.left_out == (LeftOut("genes", "features that are no gene expression (Antibody Capture)", 1),)


def test_a_square_matrix_of_10x_is_genes_by_cells(tmp_path: Path) -> None:
    scipy.io.mmwrite(tmp_path / "matrix.mtx", sp.coo_array([[1, 2], [0, 3]]))
    (tmp_path / "genes.tsv").write_text("g1\tA\ng2\tB\n")
    (tmp_path / "barcodes.tsv").write_text("c1\nc2\n")
    assert load_counts(tmp_path).matrix.toarray().tolist() == [[1, 0], [2, 3]]


def test_what_is_left_out_is_counted_in_the_order_it_is_left_out() -> None:
    values = np.array([[1, 0, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0], [2, 1, 0, 0, 0]])
    counts = load_counts(values, min_genes=2, min_cells=2)
    assert counts.left_out == (
        LeftOut("cells", "with fewer than 2 genes", 2),
        LeftOut("genes", "in fewer than 2 cells", 3),
    )
    assert (counts.cells, counts.genes) == (("cell 2", "cell 3", "cell 5"), ("gene 1", "gene 2"))
    counts = load_counts(values, on_empty="leave_out")
    assert counts.left_out == (LeftOut("cells", "without any count", 1), LeftOut("genes", "without any count", 2))
    assert (counts.cells, counts.genes) == (
        ("cell 1", "cell 2", "cell 3", "cell 5"), ("gene 1", "gene 2", "gene 3"),
    )  # fmt: skip
    assert counts.matrix.toarray().tolist() == values[[0, 1, 2, 4], :3].tolist()
    assert load_counts(values, on_empty="keep").shape == values.shape
    assert counts.describe()["left_out"][1] == {"what": "genes", "reason": "without any count", "number": 2}


def test_chosen_genes_come_in_the_order_asked_for_and_others_do_not_matter() -> None:
    table = adata(np.where(np.array(GENES) == "CD3D", 0.5, VALUES))
    counts = load_counts(table, genes=["MS4A1", "LYZ"], on_empty="keep")
    assert counts.genes == ("MS4A1", "LYZ")
    assert counts.matrix.toarray().tolist() == VALUES[:, [2, 1]].tolist()


def test_the_source_is_left_as_it_was() -> None:
    mine = sp.csr_matrix((np.array([1.0, 2.0, 0.0, 3.0]), np.array([2, 0, 1, 1]), np.array([0, 2, 4])), shape=(2, 3))
    before = mine.copy()
    counts = load_counts(mine, on_empty="keep")
    mine.data[:] = 9
    assert counts.matrix.toarray().tolist() == [[2, 0, 1], [0, 3, 0]]
    assert before.indices.tolist() == mine.indices.tolist()
    with pytest.raises(ValueError, match="read-only"):
        counts.matrix.data[0] = 5


def test_large_counts_need_wide_integers() -> None:
    counts = load_counts([[2**40, 1], [2, 3]])
    assert counts.matrix.dtype == np.int64
    assert counts.cell_totals.tolist() == [2**40 + 1, 5]
    assert counts.gene_totals.tolist() == [2**40 + 2, 4]
    # Sums of int32 counts may leave int32.
    assert load_counts([[2**31 - 1] * 3]).cell_totals.tolist() == [3 * (2**31 - 1)]


def test_a_description_says_what_the_counts_are() -> None:
    facts = counted(batch=BATCH).describe()
    assert {name: facts[name] for name in ("n_cells", "n_genes", "non_zeros", "total", "largest_count", "batch")} == {
        "n_cells": 4, "n_genes": 3, "non_zeros": 7, "total": 19, "largest_count": 7, "batch": {"d1": 2, "d2": 2},
    }  # fmt: skip
    assert facts["density"] == 7 / 12
    assert facts["total_per_cell"] == {"smallest": 2, "median": 4.5, "largest": 8}
    assert json.loads(json.dumps(facts)) == facts
    loaded = load_counts(adata(), min_cells=1).describe()["source"]
    assert loaded == {
        "name": "AnnData", "format": "AnnData", "cells": 4, "genes": 3,
        "options": {"min_cells": 1, "on_empty": "error"},
    }  # fmt: skip


def test_a_fingerprint_sees_every_part_and_no_width() -> None:
    base = counted().fingerprint()
    changed = VALUES.copy()
    changed[0, 0] = 1
    others = [
        CellCounts(changed, CELLS, GENES), CellCounts(VALUES, CELLS[::-1], GENES),
        CellCounts(VALUES, CELLS, GENES[::-1]),
        counted(batch=BATCH), counted(label=BATCH), counted(batch=[1, 2, 1, 2]), counted(batch=["1", "2", "1", "2"]),
    ]  # fmt: skip
    assert len({base, *(other.fingerprint() for other in others)}) == len(others) + 1
    assert CellCounts(sp.csc_matrix(VALUES.astype(np.int64)), CELLS, GENES, layer="X").fingerprint() == base


def test_parts_by_names_places_and_marks() -> None:
    counts = counted(batch=BATCH, label=[5, 6, 7, 8])
    part = counts.subset(cells=["AAGT", "AAAC"], genes=np.array([False, True, True]))
    assert part.matrix.toarray().tolist() == VALUES[[3, 0]][:, 1:].tolist()
    assert part.batch is not None
    assert part.label is not None
    assert (part.batch.tolist(), part.label.tolist()) == (["d2", "d1"], [8, 5])
    assert part.fingerprint() == counts.subset(cells=[3, 0]).subset(genes=["LYZ", "MS4A1"]).fingerprint()
    assert part.source["steps"] == ["2 of 4 cells: chosen", "2 of 3 genes: chosen"]
    for wrong, sentence in (
        (["AAAGG"], "cells: no such cell; got 'AAAGG'; did you mean 'AAAG'?"),
        ([0, 0], "cells: a cell is asked for twice; expected each once, got 'AAAC'"),
        ([4], "cells: no cell has this place; expected places from 0 to 3, got 4"),
        ([True], "cells: another length; expected 4 truth values, got 1"),
        ([], "cells: no cell is chosen; expected at least one cell"),
        ("AAAC", "cells: one name, not a list; expected a list of names, got 'AAAC'"),
    ):
        with pytest.raises(DataError) as caught:
            counts.subset(cells=wrong)
        assert str(caught.value) == sentence


@given(n_cells=st.integers(2, 60), share=st.floats(0.01, 0.99), seed=st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_split_is_a_partition_that_its_seed_decides(n_cells: int, share: float, seed: int) -> None:
    counts = CellCounts(np.arange(1, n_cells + 1)[:, None], [f"c{place}" for place in range(n_cells)], ["g"])
    train, held_out = counts.split(seed, share)
    assert sorted([*train.cells, *held_out.cells]) == sorted(counts.cells)
    assert held_out.n_cells == min(max(round(share * n_cells), 1), n_cells - 1)
    assert list(train.cell_totals) == sorted(train.cell_totals)
    again = counts.split(seed, share)
    assert (again[0].fingerprint(), again[1].fingerprint()) == (train.fingerprint(), held_out.fingerprint())
