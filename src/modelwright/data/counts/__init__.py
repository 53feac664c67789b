"""Counts of cells x genes: read from the files of the field, checked to be counts, kept with their names."""

from modelwright.core.errors import MissingDependencyError

try:
    import pandas as _pandas  # noqa: F401
    import pyarrow as _pyarrow  # noqa: F401
    import scipy.sparse as _sparse  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        "counts of cells x genes need SciPy, pandas and PyArrow", todo="pip install 'modelwright[single_cell]'"
    ) from error

from modelwright.data.counts.cell_counts import CellCounts, LeftOut
from modelwright.data.counts.gene_selection import GeneSelection, select_genes
from modelwright.data.counts.load import load_counts
from modelwright.data.counts.simulation import SimulatedCounts, simulate_counts

__all__ = [
    "CellCounts",
    "GeneSelection",
    "LeftOut",
    "SimulatedCounts",
    "load_counts",
    "select_genes",
    "simulate_counts",
]
