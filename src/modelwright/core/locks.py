"""Locks that the kernel releases when their holder dies: `flock` tells a live run from a dead one, however it died."""

import errno
import fcntl
import os
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import final

from modelwright.core.errors import StorageError
from modelwright.core.files import storage_error

_held: "weakref.WeakSet[HeldLock]" = weakref.WeakSet()
_watching_forks: list[bool] = []


_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)


@final
class NoLocksError(StorageError):
    """The file system knows no locks, as some network file systems do not."""


class HeldLock:
    """An exclusive lock on a file, held until `release` or until this process ends."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle: int | None = handle
        _held.add(self)

    def release(self) -> None:
        """Let go; a second call does nothing."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def remove(self) -> None:
        """Remove the file and let go; who has just opened it finds that it is gone, and makes another.

        What cannot be removed stays: a file that nobody holds is in nobody's way.
        """
        if self._handle is not None:
            with suppress(OSError):
                self.path.unlink()
        self.release()

    def __del__(self) -> None:
        self.release()


def _forget_in_child() -> None:
    # A forked worker inherits the open file and with it the lock; it must not keep a dead parent's run alive.
    for lock in list(_held):
        lock.release()


def acquire(path: Path) -> HeldLock | None:
    """Lock a file (created when absent) for this process, or None when a living process holds it.

    Raises:
        StorageError: the file cannot be made, is a symbolic link, or the file system knows no locks.
    """
    if not _watching_forks:
        os.register_at_fork(after_in_child=_forget_in_child)
        _watching_forks.append(True)
    while True:
        try:
            handle = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(path, error) from error
        locked = current = False
        try:
            locked = _flock(path, handle, fcntl.LOCK_EX)
            current = not locked or _is_at(path, handle)
        finally:
            if not (locked and current):
                os.close(handle)
        if current:
            return HeldLock(path, handle) if locked else None


def _is_at(path: Path, handle: int) -> bool:
    """Whether the open file is still the one of that name: its holder may have removed it while we opened it."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(handle))


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock; a missing file is held by nobody.

    Raises:
        StorageError: the file cannot be opened.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"cannot open the lock {path}: {error.strerror}") from error
    try:
        return not _flock(path, handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def _flock(path: Path, handle: int, kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise (NoLocksError if error.errno in _NO_LOCKS else StorageError)(
            f"cannot lock {path}: {error.strerror}", todo="choose a folder on a file system with locks (a local disk)"
        ) from error
    return True


@contextmanager
def exclusive(path: Path, *, patience_seconds: float = 30.0) -> Iterator[None]:
    """Hold the lock on `path` for the length of a block, waiting a bounded time for whoever has it.

    Raises:
        StorageError: nobody let go within `patience_seconds`.
    """
    deadline = time.monotonic() + patience_seconds
    while (lock := acquire(path)) is None:
        if time.monotonic() > deadline:
            raise StorageError(
                f"another process has held {path} for {patience_seconds:.0f} seconds", todo="stop it, then try again"
            )
        time.sleep(0.005)
    try:
        yield
    finally:
        lock.release()
