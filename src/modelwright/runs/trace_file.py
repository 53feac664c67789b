"""A posterior in a NetCDF file, written so that a full disk is an error and not a crash.

The HDF5 library ends the process (segmentation fault) when it cannot flush a file while closing it. It is therefore
handed a file of ours that remembers the first refusal of the disk and lets HDF5 finish in peace; the refusal is raised
afterwards, and the temporary file thrown away.
"""

import json
import os
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright.core.errors import DataError, StorageError
from modelwright.core.files import json_text, write_through

if TYPE_CHECKING:
    from modelwright.bayesian.inference.trace_groups import TraceGroups

COMPRESSION_LEVEL = 1
"""zlib's level: on shuffled draws and counts the higher ones took roughly twice the seconds for one percent of size."""

WORTH_COMPRESSING = 0.7
"""Share of its size down to which a variable has to shrink to be stored compressed. In rough figures counts and
positions shrink to a sixth and less; draws of real numbers, whose digits are random, to 0.83 at best, and packing and
unpacking these took most of the time of writing and reading a trace. Names of entities are text, which HDF5 does not
compress.
"""

_SAMPLE = 2**14
"""Numbers in each of the stretches that say how far a variable shrinks: large enough for zlib's window of 32 KiB."""


def write_trace(path: Path, trace: Any) -> Path:
    """Write an ArviZ `InferenceData` atomically: one NetCDF group per group, compressed where that pays, text as UTF-8.

    Attributes NetCDF has no type for are kept as text: true and false as 1 and 0, None and mappings as JSON.

    Args:
        path: Where the file will be.
        trace: Anything with `groups()`, `trace[group]` (an `xarray.Dataset`) and `attrs`.

    Raises:
        StorageError: the disk refused. DataError: a variable has no NetCDF type.
    """
    return write_through(path, lambda temporary: _write(temporary, trace))


def read_trace(path: Path, groups: Collection[str] | None = None) -> Any:
    """Read a trace into memory as an ArviZ `InferenceData`; the arguments are those of `read_groups`."""
    return read_groups(path, groups).to_inference_data()


def read_groups(path: Path, groups: Collection[str] | None = None) -> "TraceGroups":
    """Read a trace into memory, without the seconds that importing ArviZ takes.

    Args:
        path: The file.
        groups: Which of its groups to read; None reads all, which may be a hundred times the posterior.

    Raises:
        StorageError: not a NetCDF file that can be read.
    """
    import h5netcdf
    import xarray

    from modelwright.bayesian.inference.trace_groups import TraceGroups

    try:
        with h5netcdf.File(path, mode="r") as stored:
            names = [str(name) for name in stored.groups]
        wanted = [name for name in names if groups is None or name in groups]
        read: dict[str, Any] = {name: xarray.load_dataset(path, group=name, engine="h5netcdf") for name in wanted}
        attributes = xarray.load_dataset(path, engine="h5netcdf").attrs
        return TraceGroups(read, attributes)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise StorageError(f"cannot read the trace {path}: {error}", todo="train again") from error


def _write(path: Path, trace: Any) -> None:
    import h5netcdf
    from xarray.backends import H5NetCDFStore

    with _disk_file(path) as stream, h5netcdf.File(stream, mode="w") as stored:
        stored.attrs.update({name: _attribute(value) for name, value in (trace.attrs or {}).items()})
        for group in trace.groups():
            dataset = trace[group]
            plain = dataset.assign_attrs({name: _attribute(value) for name, value in dataset.attrs.items()})
            try:
                plain.dump_to_store(H5NetCDFStore(stored, group=group, mode="a"), encoding=_compression(dataset))
            except (TypeError, ValueError) as error:
                raise DataError(f"the trace cannot be stored: {error}", field=f"trace.{group}") from error


def _compression(dataset: Any) -> dict[str, dict[str, Any]]:
    options = {"zlib": True, "complevel": COMPRESSION_LEVEL, "shuffle": True}
    # Scalars and strings of varying length cannot be compressed by HDF5.
    numbers = {name: v for name, v in dataset.variables.items() if v.dtype.kind in "biuf" and v.ndim and v.size}
    return {name: options if shrinks(v.to_numpy()) else {} for name, v in numbers.items()}


def shrinks(numbers: np.ndarray) -> bool:
    """Whether numbers are worth compressing, from three stretches of them packed as HDF5 would pack them.

    Args:
        numbers: Of any shape and numeric type, not empty.

    Example:
        >>> shrinks(np.arange(100_000)), shrinks(np.random.default_rng(0).random(100_000))
        (True, False)
    """
    flat = numbers.reshape(-1)
    last = max(flat.size - _SAMPLE, 0)
    stretches = [np.ascontiguousarray(flat[first : first + _SAMPLE]) for first in sorted({0, last // 2, last})]
    size = sum(stretch.nbytes for stretch in stretches)
    packed = 0
    for stretch in stretches:
        shuffled = stretch.view(np.uint8).reshape(-1, stretch.itemsize).T  # first bytes first, as HDF5's filter does
        packed += len(zlib.compress(shuffled.tobytes(), COMPRESSION_LEVEL))
    return packed <= WORTH_COMPRESSING * size


def _attribute(value: Any) -> Any:
    value = value.item() if getattr(value, "ndim", None) == 0 and hasattr(value, "item") else value
    if isinstance(value, bool):
        return int(value)
    if value is None or isinstance(value, dict):
        return json.dumps(json.loads(json_text(value)), ensure_ascii=False)
    return value


@contextmanager
def _disk_file(path: Path) -> Iterator["_DiskFile"]:
    stream = _DiskFile(path)
    try:
        yield stream
    except Exception:
        # What HDF5 says about a file whose blocks were thrown away says nothing; the disk's own words come first.
        if stream.refusal is not None:
            raise stream.refusal from None
        raise
    finally:
        stream.close()
    if stream.refusal is not None:
        raise stream.refusal


class _DiskFile:
    """A random-access file that keeps the first `OSError` of a write as `refusal` and writes nothing after it."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._position = 0
        self._end = 0
        self.refusal: OSError | None = None

    def close(self) -> None:
        os.close(self._handle)

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._end}[whence]
        self._position = start + offset
        return self._position

    def write(self, content: Any) -> int:
        view = memoryview(content).cast("B")
        written = 0
        try:
            while self.refusal is None and written < len(view):
                written += os.pwrite(self._handle, view[written:], self._position + written)
        except OSError as error:
            self.refusal = error
        self._position += len(view)
        self._end = max(self._end, self._position)
        return len(view)

    def readinto(self, target: Any) -> int:
        view = memoryview(target).cast("B")
        found = os.pread(self._handle, len(view), self._position)
        view[: len(found)] = found
        view[len(found) :] = bytes(len(view) - len(found))
        self._position += len(view)
        return len(view)

    def read(self, size: int = -1) -> bytes:
        content = bytearray(size if size >= 0 else max(self._end - self._position, 0))
        self.readinto(content)
        return bytes(content)

    def truncate(self, size: int | None = None) -> int:
        self._end = self._position if size is None else size
        if self.refusal is None:
            try:
                os.ftruncate(self._handle, self._end)
            except OSError as error:
                self.refusal = error
        return self._end

    def flush(self) -> None:
        """Nothing is buffered here."""
