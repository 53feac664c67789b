"""Fingerprints of counts of cells x genes: equal data have equal ones, in every process and every version."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Entries converted at once: a matrix of a milliard entries is not copied to be hashed.
_BLOCK = 2**22


def fingerprint_of(
    cells: Sequence[str], genes: Sequence[str], matrix: Any, columns: Mapping[str, NDArray[Any] | None]
) -> str:
    """SHA-256, in hexadecimal, of names, counts and columns; the width in which counts are stored does not enter.

    Args:
        cells: Names in order.
        genes: Names in order.
        matrix: CSR with ascending indices and no stored zeros, shape (n_cells, n_genes).
        columns: name -> one value per cell; None for what is absent, which leaves the fingerprint alone.
    """
    digest = hashlib.sha256(b"cells x genes")
    for names in (cells, genes):
        digest.update(json.dumps(list(names), ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for values in (matrix.indptr, matrix.indices, matrix.data):
        for start in range(0, len(values), _BLOCK):
            digest.update(np.ascontiguousarray(values[start : start + _BLOCK], dtype="<i8").tobytes())
    for name, column in columns.items():
        if column is None:
            continue
        # As JSON, whole numbers, numbers, truth values and texts that look alike are told apart.
        digest.update(json.dumps([name, column.tolist()], ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
