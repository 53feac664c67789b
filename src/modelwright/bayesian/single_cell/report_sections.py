"""The parts of a count model's report."""

import numpy as np
import pandas as pd

from modelwright.bayesian.diagnostics.count_checks import CountCheck
from modelwright.bayesian.single_cell.settings import CountModelSettings
from modelwright.core.sections import Section, Table
from modelwright.data.counts import CellCounts

_MODELS = {
    "nbdm": "Every gene has a negative binomial distribution; all cells are alike.",
    "zinb": "Every gene has a negative binomial distribution behind a gate that makes some counts zero.",
    "nbvcp": "Every gene has a negative binomial distribution, of which each cell captures a share of its own.",
    "zinbvcp": "Negative binomial genes behind gates, of which each cell captures a share of its own.",
}


def written_sections(
    counts: CellCounts,
    settings: CountModelSettings,
    genes: pd.DataFrame,
    check: CountCheck,
    cells: np.ndarray,
    fitted: tuple[str, str, float],
) -> tuple[Section, ...]:
    """Data, genes, checks and how it was fitted, in reading order.

    Args:
        counts: The data.
        settings: Which model.
        genes: The table of genes.
        check: Replicated tables beside the observed one.
        cells: Which cells were replicated.
        fitted: Who fitted, why, and how many seconds it took.
    """
    return (
        data_section(counts),
        genes_section(genes, settings),
        check_section(check, cells, counts),
        fit_section(*fitted),
    )


def data_section(counts: CellCounts) -> Section:
    """What was read."""
    totals = counts.cell_totals
    rows = (
        ("cells", counts.n_cells),
        ("genes", counts.n_genes),
        ("molecules", int(totals.sum())),
        ("median per cell", float(np.median(totals))),
        ("share of zeros", round(1.0 - counts.matrix.nnz / (counts.n_cells * counts.n_genes), 4)),
    )
    left_out = tuple(f"{entry.number:,} {entry.what} left out: {entry.reason}" for entry in counts.left_out)
    return Section("Data", (f"Counts of {counts.layer}.", *left_out), (Table("Counts", ("what", "number"), rows),))


def genes_section(genes: pd.DataFrame, settings: CountModelSettings) -> Section:
    """The most expressed genes with their parameters."""
    means = [name for name in genes.columns if name.endswith(("_mean", "_lower", "_upper"))]
    top = genes.nlargest(10, "total")
    rows = tuple(
        (str(row["gene"]), int(row["total"]), *(round(float(row[name]), 4) for name in means))
        for _, row in top.iterrows()
    )
    columns = ("gene", "total", *(name.replace("_", " ") for name in means))
    table = Table("The ten most expressed genes", columns, rows, "90 % intervals.", headline=True)
    return Section("Genes", (_MODELS[settings.model],), (table,))


def check_section(check: CountCheck, cells: np.ndarray, counts: CellCounts) -> Section:
    """Whether tables drawn from the model look like the one observed."""
    part = "all cells" if len(cells) == counts.n_cells else f"{len(cells):,} cells drawn at random"
    rows = tuple(
        (str(label), *(round(float(row[name]), 2) for name in ("observed", "low", "high")), bool(row["outside"]))
        for label, row in check.totals.iterrows()
    )
    table = Table("Totals of cells", ("quantile", "observed", "low", "high", "outside"), rows)
    sentences = (f"{check.n_replications} tables drawn from the fitted model, {part}.",)
    return Section("Does the model reproduce the counts", (*sentences, *(f.sentence for f in check.findings)), (table,))


def fit_section(name: str, reason: str, seconds: float) -> Section:
    """Who fitted and why."""
    return Section("How it was fitted", (f"{name}: {reason}. {seconds:.1f} s.",))
