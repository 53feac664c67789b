"""`load_counts`: the one way from a file or object of the field to `CellCounts`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.names import suggestion
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.counts.canonical import canonical, sealed_matrix
from modelwright.data.counts.cell_counts import CellCounts, LeftOut, refuse_empty
from modelwright.data.counts.memory import allowed_memory
from modelwright.data.counts.names import check_names, frozen_column, places_of
from modelwright.data.counts.opened import Opened, Wanted
from modelwright.data.counts.sources import open_source

OnEmpty = Literal["error", "leave_out", "keep"]


def load_counts(
    source: object,
    *,
    layer: str | None = None,
    genes: Sequence[str] | None = None,
    batch: str | None = None,
    label: str | None = None,
    cells: str | None = None,
    gene_names: str | None = None,
    min_genes: int | None = None,
    min_cells: int | None = None,
    on_empty: OnEmpty = "error",
    memory: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> CellCounts:
    """Counts of cells x genes, or a refusal that says which value of which cell and gene is no count.

    Data that were normalised, logged or scaled are refused, and what they look like is said: a count model of them
    would fit something else. Cells and genes without any count are refused, too, unless `on_empty` says otherwise: a
    model learns nothing from them, and they are often a sign that the wrong matrix was read. In this order: genes are
    chosen, cells with fewer than `min_genes` genes are left out, genes in fewer than `min_cells` of the remaining cells
    are left out, what is empty then is treated as `on_empty` says. Everything left out is counted in `left_out`.

    Args:
        source: Path of an .h5ad file, a sparse .npz, a Matrix Market .mtx (with the names that 10x writes beside it, or
            the folder of the three), a CSV or Parquet table with a column per gene; or an AnnData object, a matrix of
            SciPy or numpy, a pandas or polars frame.
        layer: Layer of an AnnData object; "raw" is its raw matrix, "X" (the default) the main one.
        genes: Names of the genes to take, in this order; all when left out.
        batch: Column that says in which batch a cell was measured.
        label: Column that says what kind of cell it is.
        cells: Column with the names of cells; the index (AnnData, pandas), an unnamed first column (CSV) or
            "cell 1", "cell 2" ... when left out.
        gene_names: Column of `var` with the names of genes (AnnData), or "id" (the default) or "symbol" (10x).
        min_genes: Cells in which fewer genes were counted are left out.
        min_cells: Genes that were counted in fewer cells are left out.
        on_empty: "error" refuses cells and genes without a count, "leave_out" leaves them out and counts them, "keep"
            keeps them (for new cells that are put to a trained model).
        memory: Bytes that reading may take; what is free when left out.
        progress: Told what is being done.

    Returns:
        The counts, in the order of the source.

    Raises:
        ConfigurationError: for options that mean nothing for this source.
        NotFoundError: for a file that does not exist.
        DataError: for content that cannot be used, with the layer, the first cell and the first gene at fault.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"CD3D": [0, 2], "LYZ": [1, 0], "who": ["d1", "d2"]}, index=["AAAC", "AAAG"])
        >>> counts = load_counts(frame, batch="who")
        >>> counts.cells, counts.genes, counts.batch.tolist(), counts.matrix.toarray().tolist()
        (('AAAC', 'AAAG'), ('CD3D', 'LYZ'), ['d1', 'd2'], [[0, 1], [2, 0]])
    """
    texts = {"layer": layer, "batch": batch, "label": label, "cells": cells, "gene_names": gene_names}
    _check_options(texts, {"min_genes": min_genes, "min_cells": min_cells}, on_empty)
    progress(ProgressEvent("read", 0, unit="cells"))
    opened = open_source(source, Wanted(**texts, allowed=allowed_memory(memory)))
    check_names(opened.cells, "cell")
    check_names(opened.genes, "gene", todo=opened.rename)
    columns = {name: frozen_column(values, name, opened.cells) for name, values in opened.columns.items()}
    matrix, names = opened.matrix, opened.genes
    if genes is not None:
        places = places_of([str(name) for name in genes], names, "gene")
        matrix, names = _columns_of(matrix, places, opened), tuple(names[place] for place in places)
    counted = canonical(
        matrix,
        opened.cells,
        names,
        place=opened.place,
        owned=opened.owned or genes is not None,
        elsewhere=opened.elsewhere,
    )
    options: dict[str, Any] = {name: value for name, value in texts.items() if value is not None}
    options |= {
        name: value for name, value in (("min_genes", min_genes), ("min_cells", min_cells)) if value is not None
    }
    options |= {"on_empty": on_empty, **({} if genes is None else {"genes": len(names)})}
    origin = {"name": _name(source), "format": opened.kind, "cells": len(opened.cells), "genes": len(opened.genes)}
    kept, left_out = _filtered(counted, min_genes or 0, min_cells or 0, leave_out=on_empty == "leave_out")
    rows, found = kept
    if not len(rows) or not len(found):
        raise DataError(
            f"nothing of {opened.place} is left",
            field="data",
            got="; ".join(f"{entry.number:,} {entry.what} {entry.reason}" for entry in left_out) or "only zeros",
        )
    whole = len(rows) == len(opened.cells) and len(found) == len(names)
    counts = CellCounts(
        counted if whole else sealed_matrix(counted[rows][:, found]),
        opened.cells if whole else tuple(opened.cells[place] for place in rows),
        names if whole else tuple(names[place] for place in found),
        **{name: column if whole else column[rows] for name, column in columns.items()},
        layer=opened.place,
        left_out=(*opened.left_out, *left_out),
        source={**origin, **opened.facts, "options": options},
    )
    progress(ProgressEvent("read", counts.n_cells, counts.n_cells, unit="cells"))
    why = "in the genes chosen" if genes is not None else ""
    return refuse_empty(counts, why=why) if on_empty == "error" else counts


def _check_options(texts: dict[str, Any], numbers: dict[str, Any], on_empty: object) -> None:
    for name, value in texts.items():
        if value is not None and (not isinstance(value, str) or not value):
            raise ConfigurationError("not a name", field=name, expected="a text", got=value)
    for name, value in numbers.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0):
            raise ConfigurationError("not a number", field=name, expected="a whole number of at least 0", got=value)
    known = get_args(OnEmpty)
    if on_empty not in known:
        raise ConfigurationError(
            "not a choice",
            field="on_empty",
            expected=" or ".join(known),
            got=on_empty,
            todo=suggestion(str(on_empty), known),
        )


def _columns_of(matrix: Any, places: NDArray[np.int64], opened: Opened) -> Any:
    """Some columns, before values are checked: what is wrong with a gene that is not asked for does not matter."""
    if matrix.ndim != 2 or matrix.shape[1] != len(opened.genes):
        return matrix  # refused with its shape by `canonical`
    if sp.issparse(matrix):
        rows = sp.csr_array(matrix)
        try:
            rows.check_format(full_check=True)
        except (ValueError, IndexError) as error:
            raise DataError(f"{opened.place} is a damaged sparse matrix: {error}", field="data") from error
        return rows[:, places]
    return matrix[:, places]


def _filtered(
    counted: Any, min_genes: int, min_cells: int, *, leave_out: bool
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], tuple[LeftOut, ...]]:
    """Places of the cells and genes that are kept, and an account of the others."""
    left_out: list[LeftOut] = []
    rows, columns = np.arange(counted.shape[0]), np.arange(counted.shape[1])
    genes_of_cell = np.diff(counted.indptr)
    few = genes_of_cell < min_genes
    if few.any():
        left_out.append(LeftOut("cells", f"with fewer than {min_genes} genes", int(few.sum())))
        rows = rows[~few]
    rest = counted[rows] if few.any() else counted
    cells_of_gene = np.bincount(rest.indices, minlength=len(columns))
    rare = cells_of_gene < min_cells
    if rare.any():
        left_out.append(LeftOut("genes", f"in fewer than {min_cells} cells", int(rare.sum())))
        columns, cells_of_gene = columns[~rare], cells_of_gene[~rare]
        rest = rest[:, columns]
    if leave_out:
        empty_cells, empty_genes = np.diff(rest.indptr) == 0, cells_of_gene == 0
        for what, empty in (("cells", empty_cells), ("genes", empty_genes)):
            if empty.any():
                left_out.append(LeftOut("cells" if what == "cells" else "genes", "without any count", int(empty.sum())))
        rows, columns = rows[~empty_cells], columns[~empty_genes]
    return (rows, columns), tuple(left_out)


def _name(source: object) -> str:
    return Path(source).name if isinstance(source, str | Path) else type(source).__name__
