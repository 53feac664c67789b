"""Tables written to a file of the person's choice, whole or not at all."""

from pathlib import Path
from typing import Any

from modelwright.core.errors import ConfigurationError
from modelwright.core.files import check_destination, write_through


def check_frame_file(path: Path) -> None:
    """Refuse a file of another format, or one that cannot be written, before the work rather than after it.

    Raises:
        ConfigurationError: the name ends neither in .csv nor in .parquet, or is that of a folder. StorageError: the
            disk refuses it.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigurationError("not a format to write", field="out", expected=".csv or .parquet", got=path.name)
    check_destination(path)


def write_frame(frame: Any, path: Path) -> None:
    """Write a `pandas.DataFrame` without its index, as CSV or Parquet by the suffix."""
    check_frame_file(path)
    if path.suffix == ".csv":
        write_through(path, lambda temporary: frame.to_csv(temporary, index=False))
    else:
        write_through(path, lambda temporary: frame.to_parquet(temporary, index=False))
