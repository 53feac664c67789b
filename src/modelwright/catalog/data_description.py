"""Data of any common shape, described for a manifest: shapes, types and a fingerprint, never the values.

Two descriptions are equal exactly when the data are (up to a collision of SHA-256), which is what comparing two runs
needs to know.
"""

import dataclasses
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


def describe_anything(data: Any) -> dict[str, Any]:
    """A description of arrays, tables, and mappings or dataclasses of them.

    Args:
        data: Anything; what is not an array becomes one through `numpy.asarray`, and what cannot is named by its type.

    Returns:
        type, arrays (name -> shape and dtype) and fingerprint (SHA-256, or None when a part could not be read).

    Example:
        >>> described = describe_anything({"count": np.array([1, 2, 3])})
        >>> described["arrays"]
        {'count': {'shape': [3], 'dtype': 'int64'}}
    """
    arrays: dict[str, Any] = {}
    digest = hashlib.sha256()
    complete = True
    for name, part in _parts(data):
        try:
            array = np.asarray(part)
        except ValueError:  # lists of different lengths: no array, and no fingerprint
            arrays[name] = {"shape": None, "dtype": type(part).__name__}
            complete = False
            continue
        arrays[name] = {"shape": list(array.shape), "dtype": str(array.dtype)}
        readable = array if array.dtype != object else _as_text(array)
        if readable is None:
            complete = False
            continue
        digest.update(repr((name, readable.shape, readable.dtype.str)).encode())
        digest.update(np.ascontiguousarray(readable).tobytes())
    fingerprint = digest.hexdigest() if complete and arrays else None
    return {"type": type(data).__name__, "arrays": arrays, "fingerprint": fingerprint}


def _parts(data: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The arrays in nested mappings, dataclasses and tables, with dotted names."""
    if isinstance(data, Mapping):
        inner = [(str(key), part) for key, part in data.items()]
    elif dataclasses.is_dataclass(data) and not isinstance(data, type):
        inner = [(entry.name, getattr(data, entry.name)) for entry in dataclasses.fields(data)]
    elif type(data).__module__.partition(".")[0] == "pandas" and getattr(data, "ndim", 0) == 2:
        inner = [(str(column), data[column].to_numpy()) for column in data.columns]
    else:
        yield name or "data", data
        return
    for key, part in inner:
        yield from _parts(part, f"{name}.{key}" if name else key)


def _as_text(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any] | None:
    """Objects as text when all of them are text, numbers or nothing; None when some are not."""
    flat = array.ravel().tolist()
    if not all(entry is None or isinstance(entry, str | int | float | bool) for entry in flat):
        return None
    return np.array([repr(entry) for entry in flat], dtype=np.str_)
