"""Tables with a row per cell and a column per gene: CSV, Parquet, pandas and polars frames.

Which columns are no genes is said by the person (`cells`, `batch`, `label`), never guessed, with one exception that the
formats themselves mark: the index of a pandas frame, also where pandas wrote it into a file.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as parquet
import scipy.sparse as sp

from modelwright.core.errors import DataError, StorageError
from modelwright.data.counts.memory import check_memory
from modelwright.data.counts.names import numbered_names, unknown_column
from modelwright.data.counts.opened import Opened, Wanted, texts_of
from modelwright.data.events.csv_header import read_header

_NO_NUMBER = re.compile(r"CSV column #(\d+): .*conversion error to double: invalid value '(.*)'")
"""What Arrow says of a text in a column of numbers."""

_BLOCK = 2**25  # bytes of text read at once; a row must fit


def open_csv(path: Path, wanted: Wanted) -> Opened:
    """A CSV or TSV file, gzip when its name ends in .gz. A first column without a name holds the names of the cells.

    Args:
        path: The file.
        wanted: What is asked for.

    Raises:
        DataError: for content that cannot be read, columns that are not there, and a table too large for memory.
    """
    wanted.refuse("a CSV file", "layer", "gene_names")
    header = read_header(path, [*wanted.columns.values(), *([wanted.cells] if wanted.cells else [])])
    names = header.names
    marked = "" if names[0] == "" and wanted.cells is None else wanted.cells
    roles = _roles(wanted, names, marked)
    numbered = [f"c{place}" for place in range(len(names))]
    texts = set(roles.values())
    types = {name: pa.string() if place in texts else pa.float64() for place, name in enumerate(numbered)}
    genes = [place for place in range(len(names)) if place not in texts]
    blocks: list[Any] = []
    said: dict[str, list[Any]] = {role: [] for role in roles}
    held = 0
    with _reading(path, names), gzip.open(path, "rb") if header.compressed else path.open("rb") as stream:
        reader = arrow_csv.open_csv(
            stream,
            read_options=arrow_csv.ReadOptions(column_names=numbered, skip_rows=1, block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(delimiter=header.delimiter),
            convert_options=arrow_csv.ConvertOptions(column_types=types, strings_can_be_null=True),
        )
        for batch in reader:
            if not batch.num_rows:
                continue
            values = np.column_stack([batch.column(place).to_numpy(zero_copy_only=False) for place in genes])
            blocks.append(sp.csr_array(values))
            held += 2 * (blocks[-1].data.nbytes + blocks[-1].indices.nbytes)
            seen = sum(block.shape[0] for block in blocks)
            check_memory(held, wanted.allowed, place="the table so far", shape=(seen, len(genes)))
            for role, place in roles.items():
                said[role].extend(batch.column(place).to_pylist())
    if not blocks:
        raise DataError("the table has no rows", field="data", expected="a row per cell", got=path.name)
    matrix = sp.vstack(blocks, format="csr")
    return _opened(matrix, [names[place] for place in genes], said, roles, kind="csv", owned=True)


def open_parquet(path: Path, wanted: Wanted) -> Opened:
    """A Parquet file.

    Args:
        path: The file.
        wanted: What is asked for.

    Raises:
        DataError: for content that cannot be read, columns that are not there, and a table too large for memory.
    """
    wanted.refuse("a Parquet file", "layer", "gene_names")
    with _reading(path):
        facts = parquet.read_metadata(path)
        shape = (facts.num_rows, facts.num_columns)
        check_memory(8 * shape[0] * shape[1], wanted.allowed, place="the table", shape=shape)
        table = parquet.read_table(path)
    return _open_arrow(table, wanted, kind="parquet")


def open_frame(source: object, wanted: Wanted) -> Opened | None:
    """A pandas or polars frame or a PyArrow table; None for anything else.

    Args:
        source: The frame.
        wanted: What is asked for.

    Raises:
        DataError: for columns that are not there, or that hold no numbers.
    """
    polars = sys.modules.get("polars")
    if polars is not None and isinstance(source, polars.LazyFrame):
        source = source.collect()
    if polars is not None and isinstance(source, polars.DataFrame):
        wanted.refuse("a table", "layer", "gene_names")
        return _from_columns(
            list(source.columns), source.height, lambda place: source.to_series(place).to_numpy(), wanted, None
        )
    if isinstance(source, pa.Table):
        wanted.refuse("a table", "layer", "gene_names")
        return _open_arrow(source, wanted, kind="frame")
    if not isinstance(source, pd.DataFrame):
        return None
    wanted.refuse("a table", "layer", "gene_names")
    index = None if isinstance(source.index, pd.RangeIndex) else list(source.index)
    names = [str(name) for name in source.columns]
    return _from_columns(names, len(source), lambda place: _pandas_column(source.iloc[:, place]), wanted, index)


def _open_arrow(table: Any, wanted: Wanted, *, kind: str) -> Opened:
    names = list(table.column_names)
    # What pandas notes about a frame that it wrote: which columns were its index.
    noted = (table.schema.metadata or {}).get(b"pandas")
    index = None
    if noted is not None and wanted.cells is None:
        described = [name for name in json.loads(noted).get("index_columns", []) if isinstance(name, str)]
        if len(described) == 1 and names.count(described[0]) == 1:
            index = table.column(described[0]).to_pylist()
            table = table.drop_columns(described)
            names = list(table.column_names)
    return _from_columns(names, table.num_rows, lambda place: table.column(place).to_numpy(), wanted, index, kind=kind)


def _from_columns(
    names: list[str], n_rows: int, column: Any, wanted: Wanted, index: list[Any] | None, *, kind: str = "frame"
) -> Opened:
    """A table column by column, so that no dense copy of it is made."""
    roles = _roles(wanted, names, wanted.cells)
    genes = [place for place in range(len(names)) if place not in set(roles.values())]
    if not n_rows or not genes:
        raise DataError("the table is empty", field="data", expected="a row per cell and a column per gene")
    said = {role: list(column(place)) for role, place in roles.items()}
    data, indices, lengths = [], [], [0]
    for place in genes:
        values = np.asarray(column(place))
        if values.dtype.kind not in "iuf":
            raise DataError(
                f"the column {names[place]!r} holds no numbers",
                field="data",
                expected="a column of numbers for every gene",
                got=values[0] if values.dtype.kind == "O" else values.dtype.name,
                todo="if it is no gene, say what it is (cells, batch or label), or leave it out of the table",
            )
        present = np.flatnonzero(values)  # a NaN is not zero
        data.append(values[present].astype(np.float64, copy=False) if values.dtype.kind == "f" else values[present])
        indices.append(present)
        lengths.append(len(present))
    stored = (np.concatenate(data), np.concatenate(indices), np.cumsum(lengths))
    matrix = sp.csc_array(stored, shape=(n_rows, len(genes)))
    if index is not None and "cells" not in said:
        said["cells"] = index
    return _opened(matrix, [names[place] for place in genes], said, roles, kind=kind, owned=True)


def _opened(
    matrix: Any, genes: list[str], said: dict[str, list[Any]], roles: dict[str, int], *, kind: str, owned: bool
) -> Opened:
    named = said.get("cells")
    if named is not None:
        missing = [place for place, name in enumerate(named) if name is None or name != name]
        if missing:
            raise DataError(
                f"{len(missing):,} rows have no name of a cell: the first is row {missing[0] + 1}",
                field="cells",
                expected="a name in every row",
            )
    return Opened(
        matrix=matrix,
        cells=numbered_names("cell", matrix.shape[0]) if named is None else texts_of(named),
        genes=tuple(genes),
        place="the table",
        kind=kind,
        columns={role: said[role] for role in ("batch", "label") if role in roles},
        owned=owned,
        rename="rename or drop the columns",
    )


def _roles(wanted: Wanted, names: list[str], cells: str | None) -> dict[str, int]:
    """The place of the column of every role."""
    roles = {}
    for role, name in {**wanted.columns, **({} if cells is None else {"cells": cells})}.items():
        places = [place for place, known in enumerate(names) if known == name]
        if not places:
            raise unknown_column(role, name, names)
        if len(places) > 1:
            raise DataError(f"{len(places)} columns are called {name!r}", field=role, todo="rename one of them")
        roles[role] = places[0]
    return roles


def _pandas_column(column: "pd.Series[Any]") -> Any:
    if isinstance(column.dtype, pd.SparseDtype):
        return np.asarray(column.array)
    if pd.api.types.is_extension_array_dtype(column.dtype) and pd.api.types.is_numeric_dtype(column.dtype):
        if pd.api.types.is_bool_dtype(column.dtype):
            return np.asarray(column, dtype=object)
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(column)


@contextmanager
def _reading(path: Path, names: Sequence[str] = ()) -> Iterator[None]:
    """Turn what Arrow raises about content into a sentence that names the file, and the column where it says which."""
    try:
        yield
    except (pa.ArrowException, EOFError, gzip.BadGzipFile, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        if (found := _NO_NUMBER.search(said)) is not None and int(found[1]) < len(names):
            raise DataError(
                f"the column {names[int(found[1])]!r} of {path.name} holds a text",
                field="data",
                expected="a column of numbers for every gene",
                got=found[2],
                todo="if it is no gene, say what it is (cells, batch or label), or leave it out of the table",
            ) from error
        raise DataError(
            f"{path.name} cannot be read: {said[:200]}",
            field="data",
            todo="check that every row has as many fields as the header, and that columns of genes hold numbers; "
            "other columns are named by cells, batch or label",
        ) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}", todo="check the permissions") from error
