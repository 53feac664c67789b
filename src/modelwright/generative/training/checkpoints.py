"""Checkpoints of a training: a manifest and a file of arrays, the manifest last, so that either is whole or absent.

manifest.json                what was being trained, how, on what; the name and SHA-256 of the arrays
state-STEP.safetensors       every array of the state
"""

import json
import math
from pathlib import Path
from typing import Any

from modelwright.core.documents import read_json
from modelwright.core.errors import ConfigurationError, NotFoundError, StorageError
from modelwright.core.files import inside, json_text, storage_errors, write_text
from modelwright.generative.array_files import put_back, read_arrays, write_arrays

MANIFEST = "manifest.json"
FORMAT = 2


def write_checkpoint(folder: Path, what: dict[str, Any], step: int, state: Any, history: dict[str, Any]) -> None:
    """Write a state; the one before is removed once this one is whole.

    Args:
        folder: Of the checkpoints.
        what: What has to be the same for the training to be gone on with, plain data.
        step: Steps made.
        state: A tree of arrays.
        history: What has been reported so far, plain data.
    """
    arrays = folder / f"state-{step}.safetensors"
    sha256 = write_arrays(arrays, state)
    manifest = {"format": FORMAT, "step": step, "training": what, "history": history}
    write_text(folder / MANIFEST, json_text({**manifest, "arrays": {"file": arrays.name, "sha256": sha256}}))
    with storage_errors(folder):
        for old in folder.glob("state-*.safetensors"):
            if old != arrays:
                old.unlink(missing_ok=True)


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
    manifest = read_json(path)
    if manifest.get("format") != FORMAT:
        raise StorageError(f"{path} is of another format", expected=f"format {FORMAT}", got=manifest.get("format"))
    missing = next((name for name in ("step", "training", "history", "arrays") if name not in manifest), None)
    if missing is not None:
        raise StorageError(f"{path} is damaged: {missing} is missing")
    return manifest


def read_best(folder: Path, like: tuple[Any, Any]) -> tuple[Any, Any]:
    """Parameters and other variables of the model in a folder, as it was at its best look so far.

    Args:
        folder: Of the checkpoints.
        like: Parameters and other variables of the same structure.

    Raises:
        NotFoundError: there is no checkpoint. StorageError: it is damaged, or of another structure.
    """
    manifest = read_manifest(folder)
    arrays, source = _arrays(folder, manifest)
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


def _same_training(stored: dict[str, Any], wanted: dict[str, Any], folder: Path) -> None:
    wanted = _as_read(wanted)
    for part in wanted:
        if stored.get(part) == wanted[part]:
            continue
        before, now = stored.get(part), wanted[part]
        if isinstance(before, dict) and isinstance(now, dict):
            names = dict.fromkeys((*now, *before))
            part, before, now = next((k, before.get(k), now.get(k)) for k in names if before.get(k) != now.get(k))
        raise ConfigurationError(
            f"the checkpoint in {folder} is of another training",
            field=part,
            expected=f"{before!r} as in the checkpoint",
            got=now,
            todo="train as before, pass resume=False to begin anew, or choose another folder",
        )


def _as_read(document: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(json_text(document)))
