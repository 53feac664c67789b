"""Files are whole or absent."""

import errno
import json
import math
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.core.files import (
    check_destination,
    inside,
    json_text,
    sha256_of_bytes,
    sha256_of_file,
    write_bytes,
    write_through,
)


@contextmanager
def ordinary_user() -> Iterator[None]:
    """The superuser may write everywhere, so that permissions show only without its rights."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_failed_write_leaves_the_old_content_and_no_partial_file(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a.txt", b"old")

    def fails_half_way(temporary: Path) -> None:
        temporary.write_bytes(b"ne")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match="the disk is full; free some space"):
        write_through(path, fails_half_way)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.txt"]


def test_who_reads_while_a_file_is_replaced_sees_all_of_the_old_one(tmp_path: Path) -> None:
    path = write_bytes(tmp_path / "a.txt", b"old")
    with path.open("rb") as reader:
        write_bytes(path, b"new content")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new content"


def test_the_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_bytes(tmp_path / "a.txt", b"old")
    synced: list[tuple[bool, bytes]] = []
    sync = os.fsync

    def noted(handle: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), path.read_bytes()))
        sync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    write_bytes(path, b"new")
    assert synced == [(False, b"old"), (True, b"new")]


def test_a_folder_that_is_a_file_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"):
        write_bytes(tmp_path / "file" / "below.txt", b"x")


def test_what_could_not_be_written_is_found_without_writing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    (tmp_path / "folder").mkdir()
    check_destination(tmp_path / "file")
    check_destination(tmp_path / "new" / "folders" / "a.txt")
    with pytest.raises(ConfigurationError, match="out: is a folder; expected the name of a file"):
        check_destination(tmp_path / "folder")
    with pytest.raises(StorageError, match="a part of the path is a file, not a folder; choose another folder"):
        check_destination(tmp_path / "file" / "below" / "a.txt")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_folder_that_one_may_not_write_to_is_found() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with ordinary_user(), pytest.raises(StorageError, match="permission denied; choose a folder you can write to"):
            check_destination(Path(name) / "new" / "a.txt")
        Path(name).chmod(0o755)


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 9000
    assert sha256_of_file(write_bytes(tmp_path / "x", content)) == sha256_of_bytes(content)


def test_json_never_holds_what_json_does_not_know() -> None:
    document = {"nan": math.nan, "inf": np.float64("inf"), "array": np.arange(2), "path": Path("a"), "flag": np.True_}
    assert json.loads(json_text(document)) == {"nan": None, "inf": None, "array": [0, 1], "path": "a", "flag": True}


@pytest.mark.parametrize("parts", [("..",), ("a", "..", "..", "b"), ("/etc/passwd",)])
def test_a_path_cannot_leave_its_root(tmp_path: Path, parts: tuple[str, ...]) -> None:
    with pytest.raises(ConfigurationError, match="leaves its folder"):
        inside(tmp_path, *parts)


def test_a_link_cannot_leave_its_root(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigurationError, match="leaves its folder"):
        inside(root, "link", "x")
