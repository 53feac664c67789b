"""Files .h5ad: only the matrix, names and columns that are asked for are read, and sizes are looked at first."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from modelwright.core.errors import DataError, ModelwrightError, StorageError
from modelwright.core.names import suggestion
from modelwright.data.counts.anndata_objects import chosen_layer, names_in, open_anndata, where_counts_are
from modelwright.data.counts.memory import check_memory
from modelwright.data.counts.names import unknown_column
from modelwright.data.counts.opened import Opened, Wanted, texts_of
from modelwright.data.counts.quiet_anndata import import_anndata, quiet

_TRIED = 100_000
_BLOCK = 2**24  # values of a dense matrix read at once


def open_h5ad(path: Path, wanted: Wanted) -> Opened:
    """The matrix of an .h5ad file that is asked for.

    Args:
        path: The file.
        wanted: What is asked for.

    Raises:
        MissingDependencyError: without anndata and h5py.
        DataError: for a file that is no HDF5, truncated or damaged, or holds no AnnData; for a layer or column that is
            not there; for a matrix that does not fit into memory.
    """
    anndata, h5py = import_anndata()
    from anndata.io import read_elem

    with _reading(path), quiet():
        if not h5py.is_hdf5(path):
            raise DataError(
                "not an HDF5 file", field="data", expected="a file written by AnnData (write_h5ad)", got=path.name
            )
        with h5py.File(path, "r") as file:
            missing = [part for part in ("obs", "var") if part not in file]
            if missing:
                held = ", ".join(list(file)[:8]) or "nothing"
                raise DataError(
                    f"an HDF5 file, but no AnnData: it has no {' and no '.join(missing)}",
                    field="data",
                    expected="a file written by AnnData (write_h5ad)",
                    got=f"{path.name} with {held}",
                    todo="read it with the tool it was made for (scanpy.read_10x_h5 for 10x) and write_h5ad",
                )
            if isinstance(file["obs"], h5py.Group) and isinstance(file["var"], h5py.Group):
                return _opened(file, h5py, read_elem, wanted)
        # Before version 0.7 a table was one compound array; AnnData itself knows how to read those, as a whole.
        return open_anndata(anndata.read_h5ad(path), wanted)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn what HDF5 and AnnData raise about a file into a sentence that names it."""
    try:
        yield
    except ModelwrightError:
        raise
    except PermissionError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}", todo="check the permissions") from error
    except MemoryError as error:
        raise DataError(f"{path.name} takes more memory than there is", field="data") from error
    except Exception as error:  # h5py and anndata raise nearly everything about damaged content
        said = " ".join(str(error).split())[:160]
        raise DataError(
            f"{path.name} is {'truncated' if 'truncated' in said else 'damaged, or no AnnData'}",
            field="data",
            got=said,
            todo="fetch or write the file again",
        ) from error


def _opened(file: Any, h5py: Any, read_elem: Any, wanted: Wanted) -> Opened:
    layers = list(file["layers"]) if "layers" in file else []
    place, kind = chosen_layer(wanted.layer, layers, raw="raw" in file)
    parts = {"X": "X", "raw": "raw/X", "layer": f"layers/{wanted.layer}"}
    if parts[kind] not in file:
        raise DataError(f"{place} is absent", field="layer", todo=f"name a layer; {suggestion('counts', layers)}")
    obs, var = file["obs"], file["raw/var"] if kind == "raw" else file["var"]
    for role, name in (*wanted.columns.items(), *((("cells", wanted.cells),) if wanted.cells else ())):
        if name not in names_in(obs):
            raise unknown_column(role, name, [known for known in names_in(obs) if known != _index(obs)])
    if wanted.gene_names is not None and wanted.gene_names not in names_in(var):
        raise unknown_column("gene_names", wanted.gene_names, names_in(var))
    others = {name: f"layers/{name}" for name in layers if name != wanted.layer}
    others |= {name: parts[name] for name in ("X", "raw") if name != kind and parts[name] in file}
    samples = {name: _sample(file[part], h5py) for name, part in others.items()}
    return Opened(
        matrix=_matrix(file[parts[kind]], h5py, read_elem, place, wanted.allowed),
        cells=texts_of(_column(obs, wanted.cells or _index(obs), read_elem)),
        genes=texts_of(_column(var, wanted.gene_names or _index(var), read_elem)),
        place=place,
        kind="h5ad",
        columns={role: _column(obs, name, read_elem) for role, name in wanted.columns.items()},
        owned=True,
        elsewhere=lambda: where_counts_are(samples),
    )


def _index(table: Any) -> str:
    return str(table.attrs.get("_index", "_index"))


def _column(table: Any, name: str, read_elem: Any) -> Any:
    if "__categories" in table:
        # Files of AnnData 0.7 keep the words of all categorical columns apart from their codes.
        frame = read_elem(table)
        return frame.index if name == _index(table) else frame[name]
    return read_elem(table[name])


def _matrix(part: Any, h5py: Any, read_elem: Any, place: str, allowed: int | None) -> Any:
    if isinstance(part, h5py.Dataset):
        return _dense(part, place, allowed)
    if not {"data", "indices", "indptr"} <= set(part):
        raise DataError(f"{place} is no matrix", field="data", expected="a dense or sparse matrix", got=list(part))
    shape = tuple(int(length) for length in part.attrs.get("shape", part.attrs.get("h5sparse_shape", (0, 0))))
    entries, wide = part["data"].size, part["indices"].dtype.itemsize
    # As it lies there, and once more as whole numbers in another order.
    needed = entries * (part["data"].dtype.itemsize + 2 * wide + 4) + 8 * sum(shape)
    check_memory(needed, allowed, place=place, shape=(shape[0], shape[1]))
    return read_elem(part)


def _dense(part: Any, place: str, allowed: int | None) -> Any:
    """A dense matrix, some rows at a time, as sparse: counts are mostly zeros, and whole it need not fit."""
    if part.ndim != 2 or part.dtype.kind not in "iuf":
        got = f"{part.dtype.name} of shape {part.shape}"
        raise DataError(f"{place} is no matrix of numbers", field="data", expected="cells x genes", got=got)
    n_cells, n_genes = part.shape
    if not n_cells or not n_genes:
        return np.zeros(part.shape)
    step = max(1, _BLOCK // n_genes)
    blocks: list[Any] = []
    held = min(step, n_cells) * n_genes * part.dtype.itemsize
    for start in range(0, n_cells, step):
        check_memory(held, allowed, place=place, shape=(n_cells, n_genes))
        values = part[start : start + step]
        blocks.append(sp.csr_array(values.astype(np.float32) if values.dtype == np.float16 else values))
        # Twice: once in blocks, once put together.
        held += 2 * (blocks[-1].data.nbytes + blocks[-1].indices.nbytes + blocks[-1].indptr.nbytes)
    return sp.vstack(blocks, format="csr") if len(blocks) > 1 else blocks[0]


def _sample(part: Any, h5py: Any) -> Any:
    """Some values of another matrix, to see whether it holds counts."""
    if isinstance(part, h5py.Dataset):
        if part.ndim != 2 or not part.size:
            return None
        return part[: max(1, _TRIED // part.shape[1])].ravel()
    return part["data"][:_TRIED] if "data" in part else None
