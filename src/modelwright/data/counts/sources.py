"""Which kind of source something is: a path by its name, an object by its type; and a refusal for all else."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.core.names import nearest
from modelwright.data.counts.anndata_objects import open_anndata
from modelwright.data.counts.h5ad import open_h5ad
from modelwright.data.counts.names import numbered_names
from modelwright.data.counts.opened import Opened, Wanted
from modelwright.data.counts.quiet_anndata import quiet
from modelwright.data.counts.sparse_files import matrix_in, open_matrix_market, open_npz
from modelwright.data.counts.tables import open_csv, open_frame, open_parquet

_OPENERS = {
    ".h5ad": open_h5ad,
    ".npz": open_npz,
    ".mtx": open_matrix_market, ".mtx.gz": open_matrix_market,
    ".csv": open_csv, ".csv.gz": open_csv, ".tsv": open_csv, ".tsv.gz": open_csv,
    ".parquet": open_parquet, ".pq": open_parquet,
}  # fmt: skip


def open_source(source: object, wanted: Wanted) -> Opened:
    """The matrix of a source with its names, not yet checked.

    Args:
        source: A path or an object.
        wanted: What is asked for.

    Raises:
        ConfigurationError: for a source of another kind, and for options it has nothing for.
        NotFoundError: for a path that does not exist.
        DataError: for content that cannot be read.
    """
    if isinstance(source, str | Path):
        path = _existing(source)
        return _OPENERS[_ending(path)](path, wanted)
    anndata = sys.modules.get("anndata")
    if anndata is not None and isinstance(source, anndata.AnnData):
        with quiet():
            return open_anndata(source, wanted)
    if sp.issparse(source) or isinstance(source, np.ndarray | list | tuple):
        wanted.refuse("a matrix", "layer", "batch", "label", "cells", "gene_names")
        if isinstance(source, list | tuple):
            try:
                source = np.array(source)
            except ValueError as error:
                raise DataError("rows differ in length", field="data", expected="cells x genes") from error
        matrix: Any = source
        shape = matrix.shape
        if len(shape) != 2:
            raise DataError("the matrix has another number of dimensions", field="data", expected="2", got=len(shape))
        cells, genes = numbered_names("cell", shape[0]), numbered_names("gene", shape[1])
        return Opened(matrix=matrix, cells=cells, genes=genes, place="the matrix", kind="matrix")
    opened = open_frame(source, wanted)
    if opened is None:
        raise ConfigurationError(
            "no source of counts",
            field="data",
            expected="a path, an AnnData object, a matrix of SciPy or numpy, or a pandas or polars frame",
            got=type(source).__name__,
        )
    return opened


def _existing(source: str | Path) -> Path:
    path = Path(source).expanduser()
    try:
        exists, folder, size = path.exists(), path.is_dir(), path.stat().st_size if path.is_file() else 1
    except (OSError, ValueError) as error:
        raise NotFoundError("cannot be opened", field="data", got=str(source), todo=str(error)) from error
    if not exists:
        try:
            beside = sorted(entry.name for entry in path.parent.iterdir()) if path.parent.is_dir() else []
        except OSError:
            beside = []
        close = nearest(path.name, beside)
        raise NotFoundError(
            "no such file",
            field="data",
            got=str(source),
            todo=f"did you mean {close!r}?" if close else "check the path",
        )
    if folder:
        inside = matrix_in(path)
        if inside is None:
            raise DataError(
                "a folder without a matrix.mtx",
                field="data",
                expected="a file, or a folder as 10x writes it",
                got=str(source),
            )
        return inside
    if size == 0:
        raise DataError("the file is empty", field="data", got=str(source))
    return path


def _ending(path: Path) -> str:
    name = path.name.lower()
    for ending in sorted(_OPENERS, key=len, reverse=True):
        if name.endswith(ending):
            return ending
    raise ConfigurationError(
        "a file whose name does not say its format",
        field="data",
        expected="a name that ends in " + ", ".join(_OPENERS),
        got=path.name,
    )
