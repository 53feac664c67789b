"""Where rows come from: a CSV, Parquet or JSON lines file, or a pandas or polars frame, as one DuckDB relation.

Text formats are read as text, so that what a value means is decided in one place (`columns`) and a value that means
nothing can be named with its row. Nothing is guessed from a sample: no types, no skipped lines, no comments.
"""

import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa

from modelwright.core.errors import ConfigurationError, DataError, NotFoundError, StorageError
from modelwright.core.names import nearest, suggestion
from modelwright.data.events.csv_header import read_header
from modelwright.data.events.frames import arrow_columns

_FORMATS: dict[str, Literal["csv", "parquet", "json"]] = {
    ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".tsv.gz": "csv",
    ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "json", ".ndjson": "json", ".json": "json", ".jsonl.gz": "json", ".ndjson.gz": "json", ".json.gz": "json",
}  # fmt: skip
_LONGEST_LINE = 16 * 2**20


@dataclass(frozen=True)
class Rows:
    """An opened source.

    Args:
        connection: DuckDB, in memory, able to spill to a temporary folder.
        sql: A relation with one column per role, to be put after FROM in parentheses.
        types: role -> DuckDB type of its column.
        columns: role -> column name as the person gave it.
        format: "csv", "parquet", "json" or "frame".
        name: What to call the source: the file name, or "table".
    """

    connection: duckdb.DuckDBPyConnection
    sql: str
    types: Mapping[str, str]
    columns: Mapping[str, str]
    format: str
    name: str


@contextmanager
def open_rows(source: object, columns: Mapping[str, str]) -> Iterator[Rows]:
    """Open a path or a frame; what DuckDB says about damaged content becomes a `DataError`.

    Args:
        source: A path, a pandas or polars frame, or a PyArrow table.
        columns: role ("entity", "time", "count" ...) -> column name.

    Raises:
        NotFoundError: when the file does not exist.
        ConfigurationError: for a source that is neither a path nor a frame, and for an unknown suffix.
        DataError: for missing columns and content that cannot be read.
    """
    folder = tempfile.mkdtemp(prefix="modelwright-")
    try:
        # No extension is fetched from the network, and a query names no Python variable.
        connection = duckdb.connect(
            ":memory:",
            config={
                "threads": "4",
                "memory_limit": "2GiB",
                "temp_directory": folder,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "python_enable_replacements": "false",
            },
        )
        try:
            # Otherwise text without an offset would be read in the time zone of the machine.
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
            # A row is named by its place, which is that of the result.
            connection.execute("SET preserve_insertion_order = true")
            with reading(source):
                rows = _opened(connection, source, columns)
            yield rows
        finally:
            connection.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def reading(source: object) -> Iterator[None]:
    """Turn what DuckDB and Arrow raise about content into errors that name the source."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise StorageError(
            f"{source_name(source)} needs more than the memory and temporary disk space there is",
            todo="free some disk space, or point TMPDIR to a larger disk",
        ) from error
    except (duckdb.Error, pa.ArrowException) as error:
        raise DataError(
            f"{source_name(source)} cannot be read: {_first_lines(str(error))}",
            field="data",
            todo="check that the file is what its name says, in UTF-8, with one header line and the same number of "
            "fields in every row",
        ) from error


def source_name(source: object) -> str:
    """What to call a source in a sentence."""
    return Path(source).name if isinstance(source, str | Path) else "the table"


def _first_lines(message: str) -> str:
    about = re.sub(r"^[A-Z][A-Za-z ]* Error: ", "", message.split("\nLINE ")[0])
    lines = [line.strip() for line in about.splitlines() if line.strip()]
    sentence = ", ".join(lines[:3])
    return sentence if len(sentence) <= 300 else sentence[:297] + "..."


def _opened(connection: duckdb.DuckDBPyConnection, source: object, columns: Mapping[str, str]) -> Rows:
    format: str
    if isinstance(source, str | Path):
        path = _existing(source)
        format = _format_of(path)
        function, names, sql_names = _scan(connection, path, format, list(columns.values()))
    else:
        table, names = arrow_columns(source, list(columns.values()))
        if table is None:
            raise ConfigurationError(
                "neither a path nor a table",
                field="data",
                expected="a path to a CSV, Parquet or JSON lines file, or a pandas or polars frame",
                got=type(source).__name__,
            )
        format = "frame"
        # SQL names are equal up to case, those of a frame are not: columns are called by their place.
        sql_names = _numbered(table.num_columns)
        connection.register("frame", table.rename_columns(sql_names))
        function = "frame"
    chosen = {role: _position(role, name, names) for role, name in columns.items()}
    selected = ", ".join(f"c.{quoted(sql_names[place])} AS {role}" for role, place in chosen.items())
    sql = f"SELECT {selected} FROM {function} AS c"
    described = connection.execute(f"DESCRIBE {sql}").fetchall()
    return Rows(
        connection=connection,
        sql=sql,
        types={str(row[0]): str(row[1]) for row in described},
        columns=dict(columns),
        format=format,
        name=source_name(source) if isinstance(source, str | Path) else "table",
    )


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
        raise DataError("a folder, not a file", field="data", got=str(source), todo="name one file in it")
    if size == 0:
        raise DataError("the file is empty", field="data", expected="a header and rows", got=str(source))
    return path


def _format_of(path: Path) -> Literal["csv", "parquet", "json"]:
    name = path.name.lower()
    for suffix in sorted(_FORMATS, key=len, reverse=True):
        if name.endswith(suffix):
            return _FORMATS[suffix]
    raise ConfigurationError(
        "a file whose name does not say its format",
        field="data",
        expected="a name that ends in " + ", ".join(_FORMATS),
        got=path.name,
    )


def _scan(
    connection: duckdb.DuckDBPyConnection, path: Path, format: str, wanted: list[str]
) -> tuple[str, list[str], list[str]]:
    """The DuckDB table function that reads a file, the names of its columns, and what SQL calls them."""
    place = text(_without_globs(path))
    if format == "csv":
        header = read_header(path, wanted)
        types = ", ".join(f"{text(f'c{number}')}: 'VARCHAR'" for number in range(len(header.names)))
        options = (
            f"columns = {{{types}}}, auto_detect = false, header = true, skip = 0, delim = {text(header.delimiter)}, "
            f"quote = '\"', escape = '\"', comment = '', strict_mode = true, null_padding = false, "
            f"max_line_size = {_LONGEST_LINE}, compression = {text('gzip' if header.compressed else 'none')}"
        )
        return f"read_csv({place}, {options})", header.names, _numbered(len(header.names))
    if format == "parquet":
        function = f"read_parquet({place}, hive_partitioning = false)"
        sql_names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {function}").fetchall()]
        return function, _parquet_names(connection, place), sql_names
    names: list[str] = []
    for sample in (20_480, -1):
        scan = (
            f"read_json({place}, format = 'auto', records = 'true', sample_size = {sample}, hive_partitioning = false)"
        )
        names = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {scan}").fetchall()]
        if set(wanted) <= set(names):
            break
    types = ", ".join(f"{text(name)}: 'VARCHAR'" for name in dict.fromkeys(wanted) if name in names)
    options = (
        f"format = 'auto', records = 'true', auto_detect = false, columns = {{{types}}}, hive_partitioning = false"
    )
    return f"read_json({place}, {options})" if types else "read_json", names, names


def _numbered(columns: int) -> list[str]:
    return [f"c{number}" for number in range(columns)]


def _parquet_names(connection: duckdb.DuckDBPyConnection, place: str) -> list[str]:
    """The names of columns as the file has them; DuckDB renames those that are equal up to case."""
    names: list[str] = []
    inside = 0
    # The schema is listed depth first, the root before everything: what is nested in a column follows it.
    for name, children in connection.execute(f"SELECT name, num_children FROM parquet_schema({place})").fetchall()[1:]:
        if inside:
            inside -= 1
        else:
            names.append(name)
        inside += children or 0
    return names


def _position(role: str, name: str, names: list[str]) -> int:
    places = [place for place, known in enumerate(names) if known == name]
    if len(places) == 1:
        return places[0]
    if places:
        raise DataError(f"{len(places)} columns are called {name!r}", field=role, todo="rename one of them")
    raise DataError("no such column", field=role, got=name, todo=suggestion(name, names))


def quoted(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text(value: str | Path) -> str:
    """A text as an SQL literal."""
    return "'" + str(value).replace("'", "''") + "'"


def _without_globs(path: Path) -> str:
    """DuckDB reads stars, question marks and brackets in a path as patterns; a file name may hold them."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path.absolute()))


def fetch(rows: Rows, query: str) -> dict[str, Any]:
    """Run a query and return its columns as chunked PyArrow arrays, rows in the order of the source."""
    table = rows.connection.sql(query).to_arrow_table()
    return {name: table.column(name) for name in table.column_names}
