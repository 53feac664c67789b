"""The first line of a CSV file: its delimiter and its column names, without guessing from the rows below."""

import csv
import gzip
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.errors import DataError, StorageError

_DELIMITERS = (",", ";", "\t", "|")
_LONGEST_HEADER = 2**20


@dataclass(frozen=True)
class CsvHeader:
    """What the header line says.

    Args:
        names: Column names in order.
        delimiter: What separates fields.
        compressed: Whether the file is gzip.
    """

    names: list[str]
    delimiter: str
    compressed: bool


def read_header(path: Path, wanted: list[str]) -> CsvHeader:
    """Read the header; the delimiter is the one that yields most of the wanted columns, then most columns.

    Args:
        path: A CSV file, gzip when its name ends in .gz.
        wanted: Column names a person asked for.

    Raises:
        DataError: when the beginning is not text in UTF-8, or not a header.
        StorageError: when the disk refuses.
    """
    compressed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path, "rb") if compressed else path.open("rb") as stream:
            start = stream.read(_LONGEST_HEADER)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError("not a gzip file, or a damaged one", field="data", got=path.name) from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}", todo="check the permissions") from error
    if not start:
        raise DataError("the file is empty", field="data", expected="a header and rows", got=path.name)
    # A multi-byte character may be cut at the end of the block, so only whole lines are decoded.
    block = start if len(start) < _LONGEST_HEADER else start[: start.rfind(b"\n") + 1]
    if b"\0" in start:
        raise _not_csv(path)
    try:
        content = block.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _not_csv(path) from error
    candidates = []
    for delimiter in _DELIMITERS:
        try:
            names = next(csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True), [])
        except csv.Error:
            continue
        candidates.append((len(set(wanted) & set(names)), len(names), names, delimiter))
    if not candidates:
        raise _not_csv(path)
    best = max(candidates, key=lambda candidate: (candidate[0], candidate[1]))
    if not best[2]:
        raise DataError("the first line is empty", field="data", expected="a header line", got=path.name)
    return CsvHeader(best[2], best[3], compressed)


def _not_csv(path: Path) -> DataError:
    return DataError(
        "not a text file in UTF-8",
        field="data",
        expected="CSV with one header line",
        got=path.name,
        todo="save it as CSV in UTF-8, or name it after its real format",
    )
