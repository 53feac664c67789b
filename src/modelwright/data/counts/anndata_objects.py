"""AnnData objects in memory: which matrix is meant, and in which other one the counts might be."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse as sp

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.names import suggestion
from modelwright.data.counts.memory import check_memory
from modelwright.data.counts.names import unknown_column
from modelwright.data.counts.opened import Opened, Wanted, texts_of
from modelwright.data.counts.quiet_anndata import quiet

# Values looked at in another layer before it is proposed.
_TRIED = 100_000


def open_anndata(adata: Any, wanted: Wanted) -> Opened:
    """The matrix of an AnnData object that is asked for.

    Args:
        adata: The object, in memory or backed by a file.
        wanted: What is asked for; `layer` None or "X" is the main matrix, "raw" is `adata.raw`.

    Raises:
        ConfigurationError: for options that AnnData has nothing for.
        DataError: for a layer or column that is not there.
    """
    place, kind = chosen_layer(wanted.layer, list(adata.layers.keys()), raw=adata.raw is not None)
    if kind == "raw":
        matrix, var = adata.raw.X, adata.raw.var
    else:
        matrix, var = (adata.X if kind == "X" else adata.layers[wanted.layer]), adata.var
    if matrix is None:
        raise DataError(
            "X is absent", field="layer", todo=f"name a layer; {suggestion('counts', list(adata.layers.keys()))}"
        )
    obs = adata.obs
    for role, name in (*wanted.columns.items(), *((("cells", wanted.cells),) if wanted.cells else ())):
        if name not in obs.columns:
            raise unknown_column(role, name, list(obs.columns))
    if wanted.gene_names is not None and wanted.gene_names not in var.columns:
        raise unknown_column("gene_names", wanted.gene_names, list(var.columns))
    candidates: dict[str, Callable[[], Any]] = {
        name: partial(adata.layers.__getitem__, name) for name in adata.layers if name != wanted.layer
    }
    if kind != "X" and adata.X is not None:
        candidates["X"] = lambda: adata.X
    if kind != "raw" and adata.raw is not None:
        candidates["raw"] = lambda: adata.raw.X
    return Opened(
        matrix=in_memory(matrix, place, wanted.allowed),
        cells=texts_of(adata.obs_names if wanted.cells is None else obs[wanted.cells]),
        genes=texts_of(var.index if wanted.gene_names is None else var[wanted.gene_names]),
        place=place,
        kind="AnnData",
        columns={role: obs[name] for role, name in wanted.columns.items()},
        elsewhere=partial(_elsewhere, candidates),
    )


def _elsewhere(candidates: Mapping[str, Callable[[], Any]]) -> str:
    with quiet():
        return where_counts_are({name: _sample(find()) for name, find in candidates.items()})


def chosen_layer(layer: str | None, layers: list[str], *, raw: bool) -> tuple[str, str]:
    """Where the matrix is, as a sentence begins, and its kind: "X", "raw" or "layer".

    Args:
        layer: What was asked for.
        layers: Names of the layers there are.
        raw: Whether there is a raw matrix.

    Raises:
        ConfigurationError: for "raw" or "X" when a layer is called like that, too.
        DataError: for a layer that is not there.

    Example:
        >>> chosen_layer("counts", ["counts"], raw=False), chosen_layer(None, [], raw=False)
        (("layer 'counts'", 'layer'), ('X', 'X'))
    """
    if layer is None:
        return "X", "X"
    special = layer == "X" or (layer == "raw" and raw)
    if special and layer in layers:
        raise ConfigurationError(
            f"a layer is called {layer!r}, and so is a part of every AnnData object",
            field="layer",
            todo="rename the layer",
        )
    if special:
        return ("X", "X") if layer == "X" else ("raw.X", "raw")
    if layer not in layers:
        known = ["X", *(["raw"] if raw else []), *layers]
        raise DataError("no such layer", field="layer", got=layer, todo=suggestion(str(layer), known))
    return f"layer {layer!r}", "layer"


def in_memory(matrix: Any, place: str, allowed: int | None) -> Any:
    """A matrix as SciPy or numpy holds it; one that lies on the disk is read.

    Raises:
        DataError: for kinds of arrays that are neither.
    """
    if sp.issparse(matrix) or isinstance(matrix, np.ndarray):
        return matrix
    shape = tuple(getattr(matrix, "shape", ()))
    if hasattr(matrix, "to_memory") and len(shape) == 2:
        group = getattr(matrix, "group", None)
        if group is not None:
            check_memory(2 * sum(group[part].nbytes for part in group), allowed, place=place, shape=shape)
        return matrix.to_memory()
    if type(matrix).__module__.startswith("h5py") and len(shape) == 2:
        check_memory(2 * matrix.size * matrix.dtype.itemsize, allowed, place=place, shape=shape)
        return matrix[:]
    raise DataError(
        f"{place} is held in a way that is not read here",
        field="data",
        expected="a numpy array or a SciPy sparse matrix",
        got=type(matrix).__name__,
        todo="bring it into memory first (adata.to_memory())",
    )


def where_counts_are(samples: Mapping[str, Any]) -> str:
    """Advice on where the counts may be, from values of every other matrix.

    Args:
        samples: name -> some values, None where it cannot be said.

    Example:
        >>> where_counts_are({"scaled": np.array([0.5]), "counts": np.array([1.0, 3.0])})
        "the counts are perhaps in layer 'counts' (layer = counts)"
    """
    whole = [name for name, values in samples.items() if values is not None and _are_counts(values)]
    # A layer that is called counts is the likelier one.
    whole.sort(key=lambda name: (name not in ("counts", "raw_counts", "raw"), name))
    if whole:
        named = whole[0] if whole[0] in ("X", "raw") else f"layer {whole[0]!r}"
        return f"the counts are perhaps in {named} (layer = {whole[0]})"
    if samples:
        return f"none of {', '.join(samples)} holds whole numbers either: give the data before they were normalised"
    return "there is no other layer: give the data before they were normalised"


def _are_counts(values: Any) -> bool:
    return bool(
        len(values)
        and values.dtype.kind in "iuf"
        and np.isfinite(values).all()
        and (values >= 0).all()
        and (values == np.floor(values)).all()
        and (values > 0).any()
    )


def _sample(matrix: Any) -> Any:
    if sp.issparse(matrix):
        return sp.csr_array(matrix).data[:_TRIED] if matrix.format != "csr" else matrix.data[:_TRIED]
    if isinstance(matrix, np.ndarray) and matrix.ndim == 2:
        return matrix[: max(1, _TRIED // max(matrix.shape[1], 1))].ravel()
    return None


def names_in(group: Iterable[str]) -> list[str]:
    """Names of what a group holds, without those that AnnData keeps for itself."""
    return [str(name) for name in group if not str(name).startswith("_")]
