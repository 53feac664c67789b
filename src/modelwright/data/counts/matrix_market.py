"""The Matrix Market format, read so that a damaged file is refused: SciPy's reader can bring the process down.

A header line, remarks that begin with %, a line of sizes, then a row, a column and a value per line, counted from 1
("coordinate"), or all values, column after column ("array").

Source:
    R. F. Boisvert, R. Pozo and K. A. Remington (1996), The Matrix Market exchange formats, NISTIR 5935,
    https://math.nist.gov/MatrixMarket/formats.html
"""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from modelwright.core.errors import DataError
from modelwright.data.counts.memory import check_memory

_LONGEST_LINE = 2**16


def read_matrix_market(path: Path, allowed: int | None) -> Any:
    """The matrix of a file as it lies there.

    Args:
        path: The file, gzip when its name ends in .gz.
        allowed: Bytes of memory that reading may take; None when unknown.

    Returns:
        A sparse matrix for "coordinate", a dense one for "array".

    Raises:
        DataError: for another format or kind of values, lines that do not fit the header, and a matrix too large.
    """
    with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        header = _line(stream, path).lower().split()
        if len(header) != 5 or header[:2] != ["%%matrixmarket", "matrix"] or header[2] not in ("coordinate", "array"):
            raise _damaged(path, "its first line is no header of Matrix Market")
        layout, values, symmetry = header[2:]
        if values not in ("integer", "unsigned-integer", "real", "double") or symmetry != "general":
            raise DataError(
                f"{path.name} holds no counts of cells x genes",
                field="data",
                expected="a general matrix of integer or real values",
                got=f"{symmetry}, {values}",
            )
        line = _line(stream, path)
        while line.startswith("%") or not line.strip():
            line = _line(stream, path)
        numbers = line.split()
        if len(numbers) != (3 if layout == "coordinate" else 2) or not all(
            number.isascii() and number.isdigit() and len(number) < 16 for number in numbers
        ):
            raise _damaged(path, f"its line of sizes is {line.strip()[:60]!r}")
        sizes = [int(number) for number in numbers]
        n_rows, n_columns = sizes[:2]
        entries = sizes[2] if layout == "coordinate" else n_rows * n_columns
        check_memory(48 * entries, allowed, place="the matrix", shape=(n_rows, n_columns))
        names = ["row", "column", "value"] if layout == "coordinate" else ["value"]
        kinds = {name: np.float64 if name == "value" and values in ("real", "double") else np.int64 for name in names}
        try:
            table = pd.read_csv(
                stream, sep=r"\s+", header=None, names=names, dtype=kinds, index_col=False, na_filter=False, comment="%"
            )
        except pd.errors.EmptyDataError:
            table = pd.DataFrame({name: np.zeros(0, kind) for name, kind in kinds.items()})
    if len(table) != entries:
        raise _damaged(path, f"it says {entries:,} values and holds {len(table):,}")
    value = table["value"].to_numpy()
    if layout == "array":
        return value.reshape((n_columns, n_rows)).T
    row, column = table["row"].to_numpy(), table["column"].to_numpy()
    outside = (row < 1) | (row > n_rows) | (column < 1) | (column > n_columns)
    if outside.any():
        first = int(np.argmax(outside))
        raise _damaged(path, f"it holds row {row[first]}, column {column[first]} of a matrix of {n_rows} x {n_columns}")
    return sp.coo_array((value, (row - 1, column - 1)), shape=(n_rows, n_columns))


def _line(stream: Any, path: Path) -> str:
    line: bytes = stream.readline(_LONGEST_LINE)
    if not line:
        raise _damaged(path, "it ends before its values begin")
    return line.decode("utf-8", "replace")


def _damaged(path: Path, why: str) -> DataError:
    return DataError(f"{path.name} is damaged: {why}", field="data", todo="fetch or write the file again")
