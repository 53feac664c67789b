"""Models as files: a description and arrays, made again through the factory, without a template.

model.json                configuration, modality, whether it has begun with data; the SHA-256 of the arrays
model-SHA.safetensors     parameters and all other variables
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.configuration import ModelConfiguration
from modelwright.core.documents import read_json
from modelwright.core.errors import ConfigurationError, NotFoundError, StorageError, came
from modelwright.core.files import json_text, sha256_of_bytes, write_bytes, write_text
from modelwright.factory.creation import ModelFactory
from modelwright.modalities import codec_from_document

if TYPE_CHECKING:
    from modelwright.generative.protocol import AbstractGenerativeModel

DESCRIPTION = "model.json"
FORMAT = 1

_ARRAYS = re.compile(r"model-[0-9a-f]{16}\.safetensors")


def parts_of(model: "AbstractGenerativeModel") -> tuple[str, bytes]:
    """The description of a model that `create_model` made, as JSON, and its arrays as safetensors.

    Raises:
        ConfigurationError: it is no model; or it was made by hand, or with parts from Python: no description of it is
            complete.
    """
    from flax import nnx

    from modelwright.generative.array_files import packed
    from modelwright.generative.protocol import AbstractGenerativeModel

    if not isinstance(model, AbstractGenerativeModel):
        raise ConfigurationError(
            "not a generative model", field="model", expected="what create_model gives", got=type(model).__name__
        )
    if model.recipe is None:
        raise ConfigurationError(
            "the model was not made from a configuration alone",
            field="model",
            todo="make it with create_model, or keep its arrays with modelwright.generative.array_files",
        )
    arrays = packed(nnx.to_pure_dict(nnx.state(model)))
    made_from = json.loads(model.recipe)
    document = {"format": FORMAT, **made_from, "begun": model.begun, "sha256": sha256_of_bytes(arrays)}
    return json_text(document, sort_keys=False), arrays


def model_from_parts(
    document: Mapping[str, Any], arrays: Path, *, source: str = DESCRIPTION
) -> "AbstractGenerativeModel":
    """The model of a description and a file of arrays.

    Args:
        document: What `parts_of` described.
        arrays: The file.
        source: Where the description comes from, for messages.

    Raises:
        StorageError: the description or the file is damaged, or either is of another version.
    """
    from flax import nnx

    from modelwright.generative.array_files import put_back, read_arrays

    if document.get("format") != FORMAT:
        raise StorageError(
            "the model's description is of another format", expected=f"format {FORMAT}", got=document.get("format")
        )
    model = _made(document, source)
    if not isinstance(document.get("sha256"), str):
        raise StorageError(f"{source} is damaged: sha256, that of the arrays, is missing")
    state = nnx.state(model)
    found = put_back(nnx.to_pure_dict(state), read_arrays(arrays, document["sha256"]), source=str(arrays))
    nnx.replace_by_pure_dict(state, found)
    nnx.update(model, state)
    # descriptions written before this was said are of trained models: a training that begins anew would damage them
    model.begun = bool(document.get("begun", True))
    return model


def save_model(model: "AbstractGenerativeModel", folder: Path | str) -> Path:
    """Write a model into a folder, which at any moment holds the old one or the new one whole.

    Returns:
        The folder.

    Raises:
        ConfigurationError: as for `parts_of`. StorageError: the disk refused.
    """
    folder = _folder(folder)
    description, arrays = parts_of(model)
    name = arrays_name(json.loads(description)["sha256"])
    write_bytes(folder / name, arrays)
    write_text(folder / DESCRIPTION, description)
    for old in folder.glob("model-*.safetensors"):
        if old.name != name and _ARRAYS.fullmatch(old.name):  # other people's files may begin like this, too
            old.unlink(missing_ok=True)
    return folder


def load_model(folder: Path | str) -> "AbstractGenerativeModel":
    """The model that `save_model` wrote, or that of a training's checkpoint: as it was at its best look so far.

    Raises:
        NotFoundError: there is none. StorageError: a file is damaged, or of another version. ConfigurationError: it is
            no path, or the checkpoint is of a model that was made by hand.
    """
    from modelwright.generative.training.checkpoints import MANIFEST

    folder = _folder(folder)
    if not (folder / DESCRIPTION).is_file():
        if (folder / MANIFEST).is_file():
            return _model_of_checkpoint(folder)
        raise NotFoundError(f"there is no model in {folder}", field="model")
    document = read_json(folder / DESCRIPTION)
    arrays = folder / arrays_name(str(document.get("sha256")))
    return model_from_parts(document, arrays, source=str(folder / DESCRIPTION))


def _folder(value: Path | str) -> Path:
    if not isinstance(value, str | os.PathLike):
        raise ConfigurationError("not accepted", field="folder", expected="the path of a folder", got=came(value))
    return Path(value)


def _model_of_checkpoint(folder: Path) -> "AbstractGenerativeModel":
    from flax import nnx

    from modelwright.generative.training.checkpoints import read_best, read_manifest

    recipe = read_manifest(folder)["training"]["recipe"]
    if recipe is None:
        raise ConfigurationError(
            f"the checkpoint in {folder} is of a model that was not made from a configuration alone",
            field="model",
            todo="make the model as before and go on with its training: Trainer(model).fit(..., checkpoint_dir=...)",
        )
    model = _made(json.loads(recipe), str(folder))
    _, params, rest = nnx.split(model, nnx.Param, ...)
    nnx.update(model, *read_best(folder, (params, rest)))
    model.begun = True
    return model


def _made(document: Mapping[str, Any], source: str) -> "AbstractGenerativeModel":
    """A model of a configuration and a modality, its numbers not yet those that are stored."""
    for name in ("configuration", "modality"):
        if name not in document:
            raise StorageError(f"{source} describes no model: {name} is missing")
        if not isinstance(document[name], Mapping) and (name, document[name]) != ("modality", None):
            raise StorageError(
                f"{source} describes no model: {name} is no mapping",
                got=came(document[name]),
            )
    config = ModelConfiguration.from_mapping(document["configuration"], source=source)
    modality = None if document["modality"] is None else codec_from_document(document["modality"])
    return ModelFactory().remake_model(config, modality=modality)


def arrays_name(sha256: str) -> str:
    """The file of arrays of a content: the description in place names whole arrays, whatever is killed when."""
    return f"model-{sha256[:16]}.safetensors"
