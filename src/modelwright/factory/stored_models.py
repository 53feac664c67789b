"""Models in a folder: a description and a file of arrays, made again through the factory, without a template.

model.json                configuration, modality, versions; the name and SHA-256 of the arrays
model.safetensors         parameters and all other variables
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from modelwright.configuration import ModelConfiguration
from modelwright.core.documents import read_json
from modelwright.core.errors import ConfigurationError, NotFoundError, StorageError
from modelwright.core.files import inside, json_text, write_text
from modelwright.factory.creation import create_model
from modelwright.modalities import codec_from_document

if TYPE_CHECKING:
    from modelwright.generative.protocol import AbstractGenerativeModel

DESCRIPTION = "model.json"
ARRAYS = "model.safetensors"
FORMAT = 1


def save_model(model: "AbstractGenerativeModel", folder: Path | str) -> Path:
    """Write a model that `create_model` made; the folder holds the old one or the new one, never half of each.

    Returns:
        The folder.

    Raises:
        ConfigurationError: the model was made by hand, or with parts from Python: no description of it is complete.
    """
    from flax import nnx

    from modelwright.generative.array_files import write_arrays

    folder = Path(folder)
    if model.recipe is None:
        raise ConfigurationError(
            "the model was not made from a configuration alone",
            field="model",
            todo="make it with create_model, or keep its arrays with modelwright.generative.array_files",
        )
    # the arrays under the name of their content: the description in place names whole ones at any moment
    sha256 = write_arrays(folder / ARRAYS, nnx.to_pure_dict(nnx.state(model)))
    document = {"format": FORMAT, **json.loads(model.recipe), "arrays": {"file": ARRAYS, "sha256": sha256}}
    write_text(folder / DESCRIPTION, json_text(document, sort_keys=False))
    return folder


def load_model(folder: Path | str) -> "AbstractGenerativeModel":
    """The model that `save_model` wrote.

    Raises:
        NotFoundError: there is none. StorageError: a file is damaged, or of another version.
    """
    import jax
    from flax import nnx

    from modelwright.generative.array_files import put_back, read_arrays

    folder = Path(folder)
    if not (folder / DESCRIPTION).is_file():
        raise NotFoundError(f"there is no model in {folder}", field="model")
    document = read_json(folder / DESCRIPTION)
    if document.get("format") != FORMAT:
        raise StorageError(
            f"{folder / DESCRIPTION} is of another format", expected=f"format {FORMAT}", got=document.get("format")
        )
    config = ModelConfiguration.from_mapping(document["configuration"], source=str(folder / DESCRIPTION))
    modality = None if document["modality"] is None else codec_from_document(document["modality"])
    model = create_model(config, rngs=0, modality=modality)
    arrays = read_arrays(inside(folder, document["arrays"]["file"], field="model"), document["arrays"]["sha256"])
    state = nnx.state(model)
    like = nnx.to_pure_dict(state)
    found = put_back(like, arrays, source=str(folder / document["arrays"]["file"]))
    nnx.replace_by_pure_dict(state, jax.tree.map(lambda leaf: leaf, found))
    nnx.update(model, state)
    return model
