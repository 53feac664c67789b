"""Checkpoints of trainings that were stopped: a slot for each of several equal trainings, and their removal.

models/{model_id}/unfinished/{recipe}, {recipe}-1, ...      checkpoints of trainings of one recipe
models/{model_id}/unfinished/{recipe}.lock, ...             each held by the living process that trains
"""

import itertools
import os
import re
import shutil
from pathlib import Path

from modelwright.core.errors import StorageError
from modelwright.core.files import make_folder, storage_errors
from modelwright.core.locks import HeldLock, acquire
from modelwright.runs.layout import model_folder

FOLDER = "unfinished"
_SLOT = re.compile(r"(?P<recipe>[0-9a-f]{16})(-(?P<number>[0-9]+))?")
_LOCK = ".lock"


def own_slot(folder: Path, recipe: str) -> tuple[Path, HeldLock]:
    """The folder for the checkpoints of a training, and the lock on it, which is to be held while it is used.

    It is one that a stopped training of the same recipe left, where there is one, so that this training goes on where
    that one was; else the first that is free. Trainings of one recipe at one time have a folder each.

    Args:
        folder: Of all slots of the model; made when absent.
        recipe: What is trained on what, as 16 hexadecimal digits.

    Raises:
        StorageError: the disk refused.
    """
    make_folder(folder)
    with storage_errors(folder):
        left = sorted((int(found["number"] or 0), name) for name, found in _slots(folder) if found["recipe"] == recipe)
    free = (recipe if number == 0 else f"{recipe}-{number}" for number in itertools.count())
    names = itertools.chain((name for _, name in left), free)
    tried = ((folder / name, acquire(folder / f"{name}{_LOCK}")) for name in names)
    return next((slot, lock) for slot, lock in tried if lock is not None)


def remove_unfinished(root: Path, model_id: str) -> list[Path]:
    """Remove the checkpoints of all trainings of a model that nobody goes on with at the moment; returns their paths.

    What cannot be removed (another person's file) stays, as do files of other names.
    """
    folder = model_folder(root, model_id, FOLDER)
    if not folder.is_dir():
        return []
    removed = []
    with storage_errors(folder):
        names = {name for name, _ in _slots(folder)}
        names |= {name.removesuffix(_LOCK) for name in os.listdir(folder) if name.endswith(_LOCK)}
    for name in sorted(name for name in names if _SLOT.fullmatch(name)):
        try:
            lock = acquire(folder / f"{name}{_LOCK}")
        except StorageError:
            continue  # said above
        if lock is None:
            continue
        try:
            if (folder / name).is_dir():
                shutil.rmtree(folder / name, ignore_errors=True)
                removed.append(folder / name)
        finally:
            if (folder / name).exists():
                lock.release()
            else:
                lock.remove()
    return removed


def _slots(folder: Path) -> list[tuple[str, re.Match[str]]]:
    found = ((name, _SLOT.fullmatch(name)) for name in os.listdir(folder) if (folder / name).is_dir())
    return [(name, match) for name, match in found if match is not None]
