"""Files that are either whole or absent: temporary file, fsync, rename, fsync of the folder. No pickle anywhere."""

import errno
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelwright.core.errors import ConfigurationError, StorageError

_REASONS = {
    errno.ENOSPC: ("the disk is full", "free some space, or remove old runs with modelwright runs rm"),
    errno.EDQUOT: ("the disk quota is used up", "free some space, or remove old runs with modelwright runs rm"),
    errno.EFBIG: ("the file may not grow so large here", "raise the limit (ulimit -f), or choose another disk"),
    errno.EROFS: ("the file system is read-only", "choose a folder you can write to"),
    errno.EACCES: ("permission denied", "choose a folder you can write to"),
    errno.EPERM: ("permission denied", "choose a folder you can write to"),
    errno.ENOTDIR: ("a part of the path is a file, not a folder", "choose another folder"),
}


def storage_error(path: Path | str, error: OSError) -> StorageError:
    """The `StorageError` for what the operating system said about `path`."""
    reason, todo = _REASONS.get(error.errno or 0, (error.strerror or str(error), "check the disk and the path"))
    return StorageError(f"cannot write {path}: {reason}", todo=todo)


@contextmanager
def storage_errors(path: Path | str) -> Iterator[None]:
    """Turn every `OSError` of the block into a `StorageError` that names `path` and a way out."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise storage_error(path, error) from error


def make_folder(path: Path) -> Path:
    """Create a folder and its parents, or say why not."""
    with storage_errors(path):
        path.mkdir(parents=True, exist_ok=True)
    return path


def write_through(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write(temporary path)` make a file beside `path`, then put it in place in one step.

    Whatever happens (an exception, a kill, a full disk), `path` holds either its old content or the whole new one.

    Args:
        path: Where the file will be; its folder is created.
        write: Called once with a temporary path of the same suffix; must create that file.

    Raises:
        StorageError: when the disk refuses.
    """
    path = Path(path)
    make_folder(path.parent)
    with storage_errors(path):
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".partial{path.suffix}", dir=path.parent)
        os.close(handle)
    temporary = Path(name)
    try:
        with storage_errors(path):
            write(temporary)
            _sync(temporary, os.O_RDWR)
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
            _sync(path.parent, os.O_RDONLY)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def check_destination(path: Path, *, field: str = "out") -> None:
    """Refuse a file that could not be written, before the work that makes its content rather than after it.

    Args:
        path: Where `write_through` will put it; folders that are not there yet are not made.
        field: What the path is called in the message.

    Raises:
        ConfigurationError: it is a folder. StorageError: the disk refuses a file there.

    Example:
        >>> check_destination(Path("/"))
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: out: is a folder; expected the name of a file, got '/'
    """
    with storage_errors(path):
        if path.is_dir():
            raise ConfigurationError("is a folder", field=field, expected="the name of a file", got=str(path))
        folder = path.absolute().parent
        while not folder.exists():
            folder = folder.parent
        tempfile.TemporaryFile(dir=folder).close()  # tried, not asked: rights, links and read-only disks are many


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync(path: Path, flags: int) -> None:
    handle = os.open(path, flags)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_bytes(path: Path, content: bytes) -> Path:
    """Write bytes atomically."""
    return write_through(path, lambda temporary: temporary.write_bytes(content))


def write_text(path: Path, content: str) -> Path:
    """Write UTF-8 text atomically."""
    return write_bytes(path, content.encode("utf-8"))


def json_text(document: Any, *, sort_keys: bool = True) -> str:
    """JSON with strict numbers: NaN and infinities become null, numpy scalars plain numbers.

    Args:
        document: Mappings, sequences and scalars, arrays, paths and times among them.
        sort_keys: Keys by name, so that equal documents have equal texts; or in the order in which they are read.

    Example:
        >>> print(json_text({"b": float("nan"), "a": 1}), end="")
        {
          "a": 1,
          "b": null
        }
    """
    return json.dumps(_strict(document), indent=2, sort_keys=sort_keys, ensure_ascii=False, allow_nan=False) + "\n"


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_strict(entry) for entry in value]
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return _strict(value.tolist())
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"no JSON for {type(value).__name__}")


def sha256_of_bytes(content: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def inside(root: Path, *parts: str, field: str = "path") -> Path:
    """`root / parts`, refused when it would lie outside `root` once links and dots are resolved.

    Example:
        >>> inside(Path("/data"), "..", "etc")
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: path: leaves its folder; expected a path below /data, got '../etc'
    """
    try:
        resolved_root = root.resolve()
        candidate = resolved_root.joinpath(*parts).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links; a NUL
        raise ConfigurationError(
            "is no path", field=field, expected=f"a path below {root}", got="/".join(parts), todo=str(error)
        ) from error
    if candidate != resolved_root and resolved_root not in candidate.parents:
        raise ConfigurationError("leaves its folder", field=field, expected=f"a path below {root}", got="/".join(parts))
    return candidate
