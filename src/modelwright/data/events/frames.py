"""pandas and polars frames at the edge: the columns that are asked for, as one PyArrow table."""

import sys
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from modelwright.core.errors import DataError


def arrow_columns(source: object, wanted: list[str]) -> tuple[pa.Table | None, list[str]]:
    """The wanted columns of a frame as Arrow, with the names of those columns, or (None, []) for anything else.

    Args:
        source: A pandas frame, a polars frame or lazy frame, or a PyArrow table.
        wanted: Column names; those that are missing are left to the caller to report.

    Returns:
        A table of the wanted columns that exist, and the names of all columns: the wanted ones first where they exist.

    Raises:
        DataError: when a column holds values that are no plain scalars.
    """
    if isinstance(source, pd.DataFrame):
        return _from_pandas(source, wanted)
    if isinstance(source, pa.Table):
        return _selected(source, wanted)
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(source, polars.LazyFrame):
        source = source.collect()
    if polars is not None and isinstance(source, polars.DataFrame):
        present = [name for name in dict.fromkeys(wanted) if name in source.columns]
        try:
            table = source.select(present).to_arrow()
        except (polars.exceptions.PolarsError, pa.ArrowException) as error:
            raise _not_scalars(str(error)) from error
        return table, [*present, *(name for name in source.columns if name not in present)]
    return None, []


def _selected(table: pa.Table, wanted: list[str]) -> tuple[pa.Table, list[str]]:
    names = list(table.column_names)
    present = [name for name in dict.fromkeys(wanted) if names.count(name) == 1]
    return table.select(present), [*present, *(name for name in names if name not in present)]


def _from_pandas(frame: pd.DataFrame, wanted: list[str]) -> tuple[pa.Table, list[str]]:
    names = [str(name) for name in frame.columns]
    present = [name for name in dict.fromkeys(wanted) if names.count(name) == 1]
    arrays = []
    for name in present:
        column = frame.iloc[:, names.index(name)]
        try:
            if column.dtype == object:
                arrays.append(pa.array([_scalar_text(value) for value in column], type=pa.string()))
            else:
                arrays.append(_plain_array(column))
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise _not_scalars(str(error), field=name) from error
    arrays = [array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array for array in arrays]
    return pa.Table.from_arrays(arrays, names=present), [*present, *(name for name in names if name not in present)]


def _plain_array(column: "pd.Series[Any]") -> pa.Array | pa.ChunkedArray:
    array = pa.Array.from_pandas(column)
    if isinstance(array.type, pa.ExtensionType):
        # A period or an interval would be read as the number it is stored as.
        raise TypeError(f"its type is {column.dtype}")
    return array


def _scalar_text(value: Any) -> str | None:
    """A Python value as text; None, NaN, NaT and NA are missing."""
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, float | np.floating) and np.isnan(value):
        return None
    if isinstance(value, bytes | list | tuple | dict | set | np.ndarray):
        raise TypeError(f"a value is a {type(value).__name__}")
    if isinstance(value, float | np.floating) and abs(float(value)) <= 2**53 and float(value).is_integer():
        # 1.0 among whole numbers is the whole number 1.
        return str(int(value))
    return str(value)


def _not_scalars(message: str, *, field: str = "data") -> DataError:
    return DataError(
        f"a column cannot be read: {message.splitlines()[0] if message else 'unknown reason'}",
        field=field,
        expected="one text, number or time per row",
    )
