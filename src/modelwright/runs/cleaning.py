"""Removing: whole runs, and what a killed process left half-written. Only called with the model's lock held."""

import os
import re
import shutil
from pathlib import Path

from modelwright.core.errors import StorageError
from modelwright.core.files import storage_errors
from modelwright.core.locks import acquire, is_held
from modelwright.runs.identifiers import is_run_id
from modelwright.runs.layout import ARTIFACTS, RunPaths, model_folder

_HIDDEN_RUN = re.compile(r"\.(?P<run>[^.]+)\.(partial|removing)")
_HIDDEN_FILE = re.compile(r"\.(?P<stem>.+)\.[^.]+\.partial(\.[^.]*)?")
_RUN = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


def remove_files(paths: RunPaths) -> bool:
    """Remove a run with all its files, or return False because a living process holds it.

    The run's folder is first renamed to a name that is no run's: a kill half-way leaves no run with files missing, and
    the next clean-up finishes the work.
    """
    visible = paths.root.resolve() / "models" / paths.model_id / "runs" / paths.run_id
    if visible.is_symlink():
        _remove(visible)
        return True
    hidden = model_folder(paths.root, paths.model_id, "runs", f".{paths.run_id}.removing")
    lock = acquire(visible / "lock")
    if lock is None:
        return False
    try:
        with storage_errors(visible):
            visible.rename(hidden)
        _remove_artifacts(paths)
        _remove(hidden)
    finally:
        lock.release()
    return True


def clean_model(root: Path, model_id: str) -> list[Path]:
    """Remove half-written files and folders of a model whose process is gone; returns their paths.

    What cannot be removed (another person's file) stays: it is no run, and must not keep anybody from training.
    """
    removed: list[Path] = []
    runs = model_folder(root, model_id, "runs")
    for entry in _entries(runs):
        hidden = _HIDDEN_RUN.fullmatch(entry.name)
        if hidden and is_run_id(hidden["run"]):
            # The model's lock is ours, so nobody is just starting or removing a run here.
            _remove_artifacts(RunPaths(root, model_id, hidden["run"]))
            removed += _tried([entry])
        elif is_run_id(entry.name) and not _may_live(entry):
            removed += _tried(_half_written(entry))
    for folder in ARTIFACTS:
        for entry in _entries(model_folder(root, model_id, folder)):
            run = _RUN.search(entry.name)
            if run is not None and not _may_live(runs / run[0]):
                hidden_file = _HIDDEN_FILE.fullmatch(entry.name) is not None
                removed += _tried([entry] if hidden_file else _half_written(entry))
    return removed


def _may_live(run_folder: Path) -> bool:
    try:
        return is_held(run_folder / "lock")
    except StorageError:
        return True


def _half_written(folder: Path) -> list[Path]:
    if folder.is_symlink() or not is_run_id(folder.name):
        return []
    return [file for file in _entries(folder) if _HIDDEN_FILE.fullmatch(file.name)]


def _tried(paths: list[Path]) -> list[Path]:
    removed = []
    for path in paths:
        try:
            removed.append(_remove(path))
        except StorageError:
            continue  # said in `clean_model`
    return removed


def _remove_artifacts(paths: RunPaths) -> None:
    for relative in (
        paths.trace_name,
        paths.report_name("html"),
        paths.report_name("json"),
        f"diagrams/{paths.run_id}",
        f"checkpoints/{paths.run_id}",
    ):
        folder, _, name = relative.partition("/")
        _remove(model_folder(paths.root, paths.model_id, folder) / name)


def _remove(path: Path) -> Path:
    with storage_errors(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    return path


def _entries(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with storage_errors(folder):
        return sorted(folder / name for name in os.listdir(folder))
