"""Real counts of cells x genes: what comes out equals what AnnData reads, and normalised copies are recognised."""

from pathlib import Path

import anndata
import numpy as np
import pytest
import scipy.sparse as sp

from modelwright.core.errors import DataError
from modelwright.data.counts import LeftOut, load_counts, select_genes

pytestmark = pytest.mark.realdata

# file -> cells, genes, genes without any count
FILES = {
    "cbmc_cite_top2000": (8_617, 2_000, 0),
    "kang_pbmc_ctrl_stim": (2_000, 9_015, 0),
    "mouse_bladder_2100": (2_100, 20_670, 1_591),
    "pbmc4k_half_allgenes": (2_170, 33_694, 15_326),
    "pbmc4k_top2000": (4_271, 2_000, 0),
    "smfish_cortex": (4_530, 33, 0),
    "worm_embryo": (1_805, 10_000, 0),
    "worm_l2": (5_340, 5_000, 0),
}


@pytest.mark.parametrize("name", FILES)
def test_files_equal_what_anndata_reads(name: str, shared_data: Path) -> None:
    path = shared_data / "sc" / f"{name}.h5ad"
    n_cells, n_genes, empty = FILES[name]
    truth = anndata.read_h5ad(path)
    if empty:
        with pytest.raises(DataError, match=f"X has {empty:,} genes without any count"):
            load_counts(path)
    counts = load_counts(path, on_empty="leave_out")
    kept = np.asarray(truth.X.sum(axis=0)).ravel() > 0
    assert counts.shape == (n_cells, n_genes - empty)
    assert counts.left_out == ((LeftOut("genes", "without any count", empty),) if empty else ())
    assert counts.cells == tuple(truth.obs_names)
    assert counts.genes == tuple(truth.var_names[kept])
    assert abs(counts.matrix - sp.csr_array(truth.X)[:, kept]).nnz == 0
    assert counts.describe()["total"] == truth.X.sum(dtype=np.float64)
    assert load_counts(truth, on_empty="leave_out").fingerprint() == counts.fingerprint()


def test_batches_of_worms(shared_data: Path) -> None:
    counts = load_counts(shared_data / "sc" / "worm_embryo.h5ad", batch="batch", label="cell.type")
    facts = counts.describe()
    assert (len(facts["batch"]), len(facts["label"])) == (7, 9)
    assert sum(facts["batch"].values()) == counts.n_cells
    train, held_out = counts.split(seed=1, share=0.1)
    assert held_out.n_cells == 180
    assert train.matrix.sum() + held_out.matrix.sum() == counts.matrix.sum()


@pytest.mark.parametrize("part", ["all genes", "some genes"])
@pytest.mark.parametrize(("logged", "phrase"), [(True, "X looks log-normalised: "), (False, "X looks normalised: ")])
def test_normalised_copies_are_recognised(part: str, logged: bool, phrase: str, shared_data: Path) -> None:
    table = anndata.read_h5ad(shared_data / "sc" / "kang_pbmc_ctrl_stim.h5ad")
    table.layers["counts"] = table.X.copy()
    scaled = sp.csr_matrix(table.X.multiply(1e4 / table.X.sum(axis=1)), dtype=np.float32)
    table.X = scaled.log1p() if logged else scaled
    genes = None if part == "all genes" else list(table.var_names[:500])
    with pytest.raises(DataError) as caught:
        load_counts(table, genes=genes)
    assert caught.value.what.startswith(phrase)
    assert caught.value.todo == "the counts are perhaps in layer 'counts' (layer = counts)"


def test_genes_of_stimulated_cells_are_among_the_most_variable(shared_data: Path) -> None:
    counts = load_counts(shared_data / "sc" / "kang_pbmc_ctrl_stim.h5ad", batch="condition")
    chosen = set(select_genes(counts, 200).counts.genes)
    # Genes that interferon induces, and markers of monocytes and B cells.
    assert {"ISG15", "IFI6", "CXCL10", "CCL2", "CD79A", "LYZ"} <= chosen
