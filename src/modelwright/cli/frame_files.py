"""Tables written to a file of the person's choice, whole or not at all."""

from pathlib import Path
from typing import Any

from modelwright.core.errors import ConfigurationError
from modelwright.core.files import write_through


def check_frame_file(path: Path) -> None:
    """Refuse a file of another format before the work rather than after it.

    Raises:
        ConfigurationError: the name ends neither in .csv nor in .parquet.
    """
    if path.suffix not in (".csv", ".parquet"):
        raise ConfigurationError("not a format to write", field="out", expected=".csv or .parquet", got=path.name)


def write_frame(frame: Any, path: Path) -> None:
    """Write a `pandas.DataFrame` without its index, as CSV or Parquet by the suffix."""
    check_frame_file(path)
    if path.suffix == ".csv":
        write_through(path, lambda temporary: frame.to_csv(temporary, index=False))
    else:
        write_through(path, lambda temporary: frame.to_parquet(temporary, index=False))
