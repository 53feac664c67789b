"""Variable genes: the fast variance equals that of the residuals written out, and planted genes are found."""

import numpy as np
import pytest

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.counts import CellCounts, select_genes, simulate_counts
from modelwright.data.counts.gene_selection import THETA, residual_variance


def written_out(values: np.ndarray, theta: float) -> np.ndarray:
    """Variance of clipped Pearson residuals of every gene, over the whole table."""
    mean = values.sum(axis=1, keepdims=True) * values.sum(axis=0) / values.sum()
    with np.errstate(invalid="ignore"):
        residual = np.nan_to_num((values - mean) / np.sqrt(mean + mean**2 / theta))
    return np.clip(residual, -np.sqrt(len(values)), np.sqrt(len(values))).var(axis=0)


@pytest.mark.parametrize("theta", [THETA, 1.0, 1e6])
@pytest.mark.parametrize("model", ["nbdm", "zinbvcp"])
def test_variance_equals_that_of_the_residuals_written_out(model: str, theta: float) -> None:
    counts = simulate_counts(model, n_cells=60, n_genes=40, seed=3, mu=np.geomspace(1e-3, 200, 40)).counts
    # Same formula in float64; the sum of squares loses digits to the square of the mean.
    np.testing.assert_allclose(
        residual_variance(counts, theta=theta), written_out(counts.matrix.toarray(), theta), rtol=1e-9, atol=1e-12
    )


def test_genes_of_few_cells_and_blocks_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = simulate_counts("zinb", n_cells=30, n_genes=20, seed=1).counts
    whole = residual_variance(counts)
    monkeypatch.setattr("modelwright.data.counts.gene_selection._BLOCK", 7)
    np.testing.assert_allclose(residual_variance(counts), whole, rtol=1e-10)  # other order of summation


def test_planted_genes_are_found() -> None:
    rng = np.random.default_rng(2)
    mean = rng.lognormal(1, 0.5, 80) * np.ones((200, 1))
    mean[:100, 5:15] *= 8  # ten genes that half of the cells have more of
    counts = CellCounts(rng.poisson(mean), [f"c{i}" for i in range(200)], [f"g{i}" for i in range(80)])
    selection = select_genes(counts, 10)
    assert selection.counts.genes == tuple(f"g{i}" for i in range(5, 15))
    assert np.flatnonzero(selection.chosen).tolist() == list(range(5, 15))
    # Genes that do not vary have variance near 1: of 200 cells the standard error is 0.1, five of it allowed for 70.
    assert np.abs(np.median(selection.variance[~selection.chosen]) - 1) < 0.5
    facts = selection.describe()
    assert facts["smallest_chosen_variance"] > facts["largest_other_variance"]
    assert (facts["chosen"], facts["of"]) == (10, 80)
    assert selection.counts.source["steps"] == ["10 of 80 genes: largest variance of Pearson residuals (theta = 100)"]


def test_cells_without_a_count_in_the_chosen_genes_are_not_dropped_silently() -> None:
    counts = CellCounts([[9, 0, 1], [0, 9, 1], [0, 0, 1], [5, 4, 1]], list("abcd"), ["x", "y", "flat"])
    with pytest.raises(DataError, match="the matrix has 1 cell without any count in the chosen genes: 'c'"):
        select_genes(counts, 2)
    kept = select_genes(counts, 2, on_empty="leave_out").counts
    assert kept.cells == ("a", "b", "d")
    assert kept.source["steps"][-1] == "3 of 4 cells: with a count in the chosen genes"
    assert select_genes(counts, 2, on_empty="keep").counts.cells == tuple("abcd")


@pytest.mark.parametrize("n", [0, 4, 1.5, True])
def test_numbers_of_genes_that_are_not_there(n: object) -> None:
    counts = CellCounts([[1, 2, 3]], ["a"], ["x", "y", "z"])
    with pytest.raises(ConfigurationError, match="not a number of genes; expected a whole number from 1 to 3"):
        select_genes(counts, n)  # type: ignore[arg-type]
