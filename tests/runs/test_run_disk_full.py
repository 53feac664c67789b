"""A disk that is full, or a file that may not grow: an error with exit code 74, a failed run, no half file."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelwright.core.errors import StorageError
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore

FILES = 10
LIMIT = "the file may not grow so large here; raise the limit (ulimit -f), or choose another disk"
TODO = "free some space, or remove old runs with modelwright runs rm"


def partial_files(project: Path) -> list[Path]:
    return [path for path in project.rglob("*") if path.is_file() and ".partial" in path.name]


# 200 rows: a trace of 130 kB, then tables of 20 kB, documents of 16 kB, a picture of 100 kB, a page of 140 kB.
@pytest.mark.parametrize(
    ("rows", "largest_file", "refused", "kept"),
    [
        (200, 3_000, "traces/{run}.nc", 0),
        (200, 50_000, "traces/{run}.nc", 0),
        (200, 100_000, "traces/{run}.nc", 0),
        (20, 80_000, "diagrams/{run}/lines.svg", 7),
        (20, 120_000, "reports/{run}.html", 9),
        (20, 200_000, None, FILES),
    ],
)
def test_a_file_that_may_not_grow_is_an_error_and_not_a_crash(
    tmp_path, nursery, rows, largest_file, refused, kept
) -> None:
    status, said = nursery.call("train", tmp_path, rows=rows, largest_file=largest_file)
    (record,) = RunStore(tmp_path).list()
    if refused is None:
        assert (status, record.status) == (0, RunStatus.COMPLETE)
    else:
        path = tmp_path / "models/sample" / refused.format(run=record.run_id)
        assert (status, record.status) == (StorageError.exit_code, RunStatus.FAILED), said
        # Nothing else is said: HDF5 does not print its own woes.
        assert said == f"running {record.run_id}\nStorageError: cannot write {path}: {LIMIT}\n"
        assert record.manifest.error.type == "StorageError"
    assert len(record.manifest.files) == kept
    assert record.verify() == []
    assert partial_files(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte, for those who may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting a small disk is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("free_kibibytes", [0, 4, 40, 100, 160, 220, 300, 400])
def test_a_disk_that_fills_up_at_any_file_leaves_no_half_file(small_disk, nursery, free_kibibytes) -> None:
    store, ballast = RunStore(small_disk), small_disk / "ballast"
    ballast.write_bytes(bytes((1024 - free_kibibytes) * 1024))
    status, said = nursery.call("train", small_disk, rows=200)
    assert status == StorageError.exit_code, said
    assert f"the disk is full; {TODO}\n" in said
    assert partial_files(small_disk) == []
    for record in store.list():
        assert record.status in (RunStatus.FAILED, RunStatus.INTERRUPTED)
        assert record.verify() == []
    ballast.unlink()
    assert nursery.call("train", small_disk, rows=200)[0] == 0
    assert store.get("latest").verify() == []


def test_a_run_that_cannot_even_be_marked_says_so(tmp_path, nursery) -> None:
    status, said = nursery.call("fail_without_disk", tmp_path)
    assert status == 1
    assert "ValueError: the training went wrong\n" in said
    assert "could not be marked as failed: cannot write" in said
    assert said.rstrip().endswith("it is listed as interrupted")
    (record,) = RunStore(tmp_path).list()
    assert record.status is RunStatus.INTERRUPTED


def test_a_project_that_cannot_be_written_is_refused_at_once(tmp_path) -> None:
    (tmp_path / "models").write_text("a file where a folder should be")
    opening = RunStore(tmp_path).start("m", configuration={}, data={}, seeds={})
    with pytest.raises(StorageError, match=r"cannot write .*/models/m/runs: a part of the path is a file"), opening:
        pass
