"""Checkpoints of a training: a manifest and a file of arrays, the manifest last, so that either is whole or absent.

manifest.json                what was being trained, how, on what; the name and SHA-256 of the arrays
state-STEP-SHA.safetensors   every array of the state
.lock                        held by the training that writes here
"""

import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelwright.core.documents import read_json
from modelwright.core.errors import (
    ConfigurationError,
    ModelwrightError,
    NotFoundError,
    StorageError,
    Word,
    came,
    shortened,
)
from modelwright.core.files import (
    check_destination,
    inside,
    json_text,
    make_folder,
    sha256_of_bytes,
    storage_errors,
    write_bytes,
    write_text,
)
from modelwright.core.locks import NoLocksError, acquire
from modelwright.generative.array_files import packed, put_back, read_arrays
from modelwright.generative.training.manifest import FORMAT, checked_manifest

MANIFEST, LOCK = "manifest.json", ".lock"

NOTES = ("name", "description", "version", "tags", "metadata")
"""Fields of a configuration that decide nothing: training defaults are compared as the settings they became."""

LARGEST_MANIFEST = 2**30
"""Bytes: the figures of some millions of looks, which a long training has reported."""

_ARRAYS = re.compile(r"state-[0-9]+-[0-9a-f]{16}\.safetensors")
_ARRAYS_BEFORE = re.compile(r"state-[0-9]+\.safetensors")  # named by the step alone, as they once were
_PARTIAL = re.compile(rf"\.({_ARRAYS.pattern}|{re.escape(MANIFEST)})\.[^.]+\.partial\.(safetensors|json)")
"""What a writer leaves that is killed while it writes."""


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep a folder of checkpoints to one training for the length of a block; it is made where there is none.

    On a file system without locks it is kept by nobody: there, too, trainings are to be resumed.

    Raises:
        ConfigurationError: another training holds it, in this process or another. StorageError: the disk refuses.
    """
    check_destination(folder / MANIFEST, field="checkpoint_dir")
    try:
        lock = acquire(make_folder(folder) / LOCK)
    except NoLocksError:
        yield
        return
    if lock is None:
        raise ConfigurationError(
            f"another training writes its checkpoints into {folder}",
            field="checkpoint_dir",
            todo="choose another folder, or wait until it has ended",
        )
    try:
        yield
    finally:
        lock.release()


def write_checkpoint(folder: Path, what: dict[str, Any], step: int, state: Any, history: dict[str, Any]) -> None:
    """Write a state; the one before is removed once this one is whole.

    Args:
        folder: Of the checkpoints.
        what: What has to be the same for the training to be gone on with, plain data.
        step: Steps made.
        state: A tree of arrays.
        history: What has been reported so far, plain data.
    """
    content = packed(state)
    sha256 = sha256_of_bytes(content)
    # named by what is in it: the manifest in place may be of another training, with arrays of the same step
    arrays = folder / f"state-{step}-{sha256[:16]}.safetensors"
    before = _named_before(folder)
    write_bytes(arrays, content)
    manifest = {"format": FORMAT, "step": step, "training": what, "history": history}
    write_text(folder / MANIFEST, json_text({**manifest, "arrays": {"file": arrays.name, "sha256": sha256}}))
    with storage_errors(folder):
        for old in folder.glob("state-*.safetensors"):  # other people's files may begin like this, too
            if old.name != arrays.name and (_ARRAYS.fullmatch(old.name) or old.name == before):
                old.unlink(missing_ok=True)
        for left in folder.glob(".*.partial.*"):
            if _PARTIAL.fullmatch(left.name):
                left.unlink(missing_ok=True)


def read_checkpoint(folder: Path, what: dict[str, Any], like: Any) -> tuple[int, Any, dict[str, Any]]:
    """The step, state and history of a folder.

    Args:
        folder: Of the checkpoints.
        what: The same of the training that is to go on.
        like: A state of the same structure.

    Raises:
        NotFoundError: there is none. ConfigurationError: it is of another training. StorageError: it is damaged.
    """
    manifest = read_manifest(folder)
    _same_training(manifest["training"], what, folder)
    arrays, source = _arrays(folder, manifest)
    return int(manifest["step"]), put_back(like, arrays, source=source), dict(manifest["history"])


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder.

    Raises:
        NotFoundError: there is none. StorageError: it is damaged, or of another format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError(f"there is no checkpoint in {folder}", field="checkpoint_dir")
    return checked_manifest(read_json(path, largest=LARGEST_MANIFEST), source=str(path))


def read_best(folder: Path, like: tuple[Any, Any]) -> tuple[Any, Any]:
    """Parameters and other variables of the model in a folder, as it was at its best look so far.

    Args:
        folder: Of the checkpoints.
        like: Parameters and other variables of the same structure.

    Raises:
        NotFoundError: there is no checkpoint. StorageError: it is damaged, or of another structure.
    """
    manifest = read_manifest(folder)
    while True:
        try:
            arrays, source = _arrays(folder, manifest)
            break
        except StorageError:  # a training that still runs may have written the next checkpoint, and removed this one
            before, manifest = manifest, read_manifest(folder)
            if manifest["arrays"] == before["arrays"]:
                raise
    looks = [(step, math.inf if loss is None else loss) for step, loss in manifest["history"]["evaluations"]]
    names = ("best/0", "best/1")
    # what is kept as the best is of regular looks, for a longer training to compare with; the last look is at the end
    if looks and min(looks, key=lambda look: look[1])[0] == manifest["step"]:
        averaged = any(name.startswith("state/average/") for name in arrays)
        names = ("state/average" if averaged else "state/params", "state/rest")
    params, rest = (
        put_back(
            {name: tree}, {key: value for key, value in arrays.items() if key.startswith(f"{name}/")}, source=source
        )[name]
        for name, tree in zip(names, like, strict=True)
    )
    return params, rest


def _arrays(folder: Path, manifest: dict[str, Any]) -> tuple[dict[str, Any], str]:
    name, sha256 = manifest["arrays"]["file"], manifest["arrays"]["sha256"]
    return read_arrays(inside(folder, name, field=str(folder / MANIFEST)), sha256), str(folder / name)


def _named_before(folder: Path) -> str | None:
    """The arrays of the checkpoint in place, where they are named by their step alone."""
    try:
        name = str(read_manifest(folder)["arrays"]["file"])
    except ModelwrightError:  # there is none, or it is damaged: nothing is known of its arrays
        return None
    return name if _ARRAYS_BEFORE.fullmatch(name) else None


def _same_training(stored: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    stored, wanted = _decisive(stored), _decisive(json.loads(json_text(wanted)))
    different = next((part for part in wanted if stored.get(part) != wanted[part]), None)
    if different is None:
        return
    field, before, now = _difference(different, stored.get(different), wanted[different])
    if different in ("data", "looks") and field != "evaluate_every":
        field = "data" if different == "data" else "eval_data"
        before, now = _in_words(before), _in_words(now)
        now = Word("others of the same shape") if now == before else now
    raise ConfigurationError(
        f"the checkpoint in {folder} is of another training",
        field=field,
        expected=f"{shortened(before)} as in the checkpoint",
        got=came(now),
        todo="train as before, pass resume=False to begin anew, or choose another folder",
    )


def _in_words(fingerprint: Any) -> Word:
    """Examples by type and shape, as they are called in messages."""
    if not isinstance(fingerprint, dict):
        return Word("none" if fingerprint is None else fingerprint)
    if "shape" in fingerprint:
        return Word(f"{fingerprint['dtype']} of shape {tuple(fingerprint['shape'])}")
    return _in_words(next((fingerprint[name] for name in ("held_out", "x", "sequence") if name in fingerprint), None))


def _decisive(training: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same, as read from JSON, without what decides nothing."""
    settings, recipe = training.get("settings"), training.get("recipe")
    if isinstance(settings, dict):
        # a final rate beside a constant schedule was accepted once, and read by nobody
        unread = {"final_rate": 0.0} if settings.get("schedule") == "constant" else {}
        training = {**training, "settings": _said({**settings, **unread})}
    if recipe is None:
        return training
    made_from = json.loads(recipe)
    configuration = {name: value for name, value in made_from["configuration"].items() if name not in NOTES}
    return {**training, "recipe": _said({"parameters": {}, **configuration, "modality": made_from["modality"]})}


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    """Without fields that are None, which is what they are when nothing is said."""
    return {name: value for name, value in fields.items() if value is not None}


def _difference(part: str, before: Any, now: Any) -> tuple[str, Any, Any]:
    """The first field in which a part differs, and what it is in each; of a model's recipe, down to the last level."""
    path = [part]
    while isinstance(before, dict) and isinstance(now, dict) and (len(path) == 1 or part == "recipe"):
        one, other = before, now
        names, absent = dict.fromkeys((*now, *before)), object()
        path.append(next(name for name in names if one.get(name, absent) != other.get(name, absent)))
        before, now = before.get(path[-1]), now.get(path[-1])
    return ".".join(path[1:] or path), before, now
