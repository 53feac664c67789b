"""Sparse matrices on the disk: Matrix Market with the names that 10x writes beside it, and .npz files of SciPy.

10x Genomics writes three files into a folder: matrix.mtx (genes x cells), features.tsv or genes.tsv (identifier,
symbol, type of each row) and barcodes.tsv (a name per column), each possibly gzip. Something may stand before
"matrix.mtx" in the name, and then stands before the others, too.

Source:
    10x Genomics (2024), Feature-barcode matrices,
    https://www.10xgenomics.com/support/software/cell-ranger/latest/analysis/outputs/cr-outputs-mex-matrices
"""

import gzip
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from modelwright.core.errors import DataError, ModelwrightError, StorageError
from modelwright.data.counts.cell_counts import LeftOut
from modelwright.data.counts.matrix_market import read_matrix_market
from modelwright.data.counts.memory import check_memory
from modelwright.data.counts.names import numbered_names
from modelwright.data.counts.opened import Opened, Wanted

_COUNTED = "Gene Expression"


def matrix_in(folder: Path) -> Path | None:
    """The matrix of a folder as 10x writes it, or None."""
    for name in ("matrix.mtx.gz", "matrix.mtx"):
        if (folder / name).is_file():
            return folder / name
    return None


def open_matrix_market(path: Path, wanted: Wanted) -> Opened:
    """A Matrix Market file, with the names beside it when its name ends in matrix.mtx or matrix.mtx.gz.

    Without names it is cells x genes, as everywhere else; with names it is what their numbers say, and genes x cells,
    as 10x writes it, when there are as many of both.

    Args:
        path: The file.
        wanted: What is asked for; `gene_names` is "id" (the default) or "symbol".

    Raises:
        DataError: for a damaged file, names that do not fit, and a matrix that does not fit into memory.
    """
    wanted.refuse("a Matrix Market file", "layer", "batch", "label", "cells")
    features, barcodes = _beside(path, ("features.tsv", "genes.tsv")), _beside(path, ("barcodes.tsv",))
    if wanted.gene_names not in (None, "id", "symbol") or (wanted.gene_names and features is None):
        raise DataError(
            "no such names" if features else "there is no file of genes beside the matrix",
            field="gene_names",
            expected="id or symbol, the first and second column of features.tsv",
            got=wanted.gene_names,
        )
    with _reading(path):
        matrix = read_matrix_market(path, wanted.allowed)
    table = None if features is None else _table(features)
    named = None if barcodes is None else tuple(row[0] for row in _table(barcodes))
    if _transposed(matrix.shape, table, named, path):
        matrix = matrix.T
    n_cells, n_genes = matrix.shape
    cells = numbered_names("cell", n_cells) if named is None else named
    genes, kept, left_out = _genes(table, n_genes, wanted.gene_names == "symbol")
    if kept is not None:
        matrix = sp.csc_array(matrix)[:, kept]
    beside = [file.name for file in (features, barcodes) if file is not None]
    return Opened(
        matrix=matrix,
        cells=cells,
        genes=genes,
        place="the matrix",
        kind="mtx",
        left_out=left_out,
        owned=True,
        facts={"names": beside} if beside else {},
        rename="use identifiers instead (gene_names = id)" if wanted.gene_names == "symbol" else None,
    )


def open_npz(path: Path, wanted: Wanted) -> Opened:
    """A sparse matrix that `scipy.sparse.save_npz` wrote, cells x genes.

    Args:
        path: The file.
        wanted: What is asked for.

    Raises:
        DataError: for a damaged file, and a matrix that does not fit into memory.
    """
    wanted.refuse("an .npz file", "layer", "batch", "label", "cells", "gene_names")
    with _reading(path):
        with zipfile.ZipFile(path) as archive:
            needed = 2 * sum(entry.file_size for entry in archive.infolist())
            names = {entry.filename.removesuffix(".npy") for entry in archive.infolist()}
        if not {"format", "shape", "data"} <= names:
            raise DataError(
                f"{path.name} holds no sparse matrix",
                field="data",
                expected="a file written by scipy.sparse.save_npz",
                got=", ".join(sorted(names)[:8]),
            )
        with np.load(path, allow_pickle=False) as parts:
            shape = tuple(int(length) for length in np.atleast_1d(parts["shape"]))
        if len(shape) != 2:
            raise DataError(f"{path.name} holds no matrix", field="data", expected="two dimensions", got=shape)
        check_memory(needed, wanted.allowed, place="the matrix", shape=(shape[0], shape[1]))
        matrix = sp.load_npz(path)
        # Before anything is computed with it: an index outside the matrix reads memory that is not its own.
        if matrix.format in ("csr", "csc", "bsr"):
            matrix.check_format(full_check=True)
    cells, genes = numbered_names("cell", shape[0]), numbered_names("gene", shape[1])
    return Opened(matrix=matrix, cells=cells, genes=genes, place="the matrix", kind="npz", owned=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what is raised about damaged content into a sentence that names the file."""
    try:
        yield
    except ModelwrightError:
        raise
    except (EOFError, zlib.error, gzip.BadGzipFile, zipfile.BadZipFile) as error:
        raise DataError(
            f"{path.name} is truncated or damaged",
            field="data",
            got=" ".join(str(error).split())[:160],
            todo="fetch or write the file again",
        ) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}", todo="check the permissions") from error
    except Exception as error:  # SciPy's readers raise nearly everything about damaged content
        raise DataError(
            f"{path.name} cannot be read",
            field="data",
            expected="a matrix as its name says",
            got=" ".join(str(error).split())[:160],
        ) from error


def _beside(path: Path, names: tuple[str, ...]) -> Path | None:
    stem = path.name.removesuffix(".gz")
    if not stem.endswith("matrix.mtx"):
        return None
    before = stem.removesuffix("matrix.mtx")
    for name in names:
        for ending in ("", ".gz"):
            if (path.parent / f"{before}{name}{ending}").is_file():
                return path.parent / f"{before}{name}{ending}"
    return None


def _table(path: Path) -> list[list[str]]:
    with _reading(path):
        content = path.read_bytes()
        lines = (gzip.decompress(content) if path.name.endswith(".gz") else content).decode("utf-8-sig").splitlines()
    return [line.split("\t") for line in lines]


def _transposed(
    shape: tuple[int, int], features: list[list[str]] | None, barcodes: tuple[str, ...] | None, path: Path
) -> bool:
    """Whether the matrix is genes x cells, from the numbers of names."""
    if features is None and barcodes is None:
        return False
    expected = (None if features is None else len(features), None if barcodes is None else len(barcodes))
    if all(number in (None, length) for number, length in zip(expected, shape, strict=True)):
        return True
    if all(number in (None, length) for number, length in zip(expected, reversed(shape), strict=True)):
        return False
    named = [
        f"{number} {what}" for number, what in zip(expected, ("genes", "cells"), strict=True) if number is not None
    ]
    raise DataError(
        f"the names beside {path.name} do not fit its {shape[0]} rows and {shape[1]} columns",
        field="data",
        expected="a name for every row and column",
        got=" and ".join(named),
    )


def _genes(
    table: list[list[str]] | None, n_genes: int, symbol: Any
) -> tuple[tuple[str, ...], Any, tuple[LeftOut, ...]]:
    """Names of the genes; which rows are genes, when some are not; and what is left out."""
    if table is None:
        return numbered_names("gene", n_genes), None, ()
    if symbol and any(len(row) < 2 for row in table):
        raise DataError("there are no symbols in the file of genes", field="gene_names", todo="gene_names = id")
    names = tuple(row[1] if symbol else row[0] for row in table)
    types = [row[2] if len(row) > 2 else _COUNTED for row in table]
    others = sorted(set(types) - {_COUNTED})
    if not others or _COUNTED not in types:
        return names, None, ()
    kept = np.array([kind == _COUNTED for kind in types])
    left_out = LeftOut("genes", f"features that are no gene expression ({', '.join(others)})", int((~kept).sum()))
    return tuple(name for name, keep in zip(names, kept, strict=True) if keep), kept, (left_out,)
