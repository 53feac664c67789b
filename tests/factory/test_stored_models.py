"""Models in folders: they come back, and what is damaged or not theirs is told."""

import json
import re

import jax.numpy as jnp
import numpy as np
import pytest
from made_models import Constant, small

from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.factory import create_model
from modelwright.factory.stored_models import DESCRIPTION, load_model, save_model


def test_models_come_back_from_a_folder(tmp_path):
    model = create_model(small(), rngs=3)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (5, 4, 4, 1)), jnp.float32)
    assert type(again) is type(model)
    assert (again.log_prob(x).value == model.log_prob(x).value).all()


def test_saving_again_leaves_one_file_of_arrays(tmp_path):
    save_model(create_model(small(), rngs=3), tmp_path)
    save_model(create_model(small(), rngs=4), tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 1


def test_saving_leaves_the_files_of_others(tmp_path):
    others = {"model-mine.safetensors", "model-0123.safetensors"}
    for name in others:
        (tmp_path / name).touch()
    save_model(create_model(small(), rngs=3), tmp_path)
    assert others < {path.name for path in tmp_path.glob("*.safetensors")}


def test_what_is_no_model_and_what_is_no_folder_are_named(tmp_path):
    with pytest.raises(ConfigurationError, match=r"model: not a generative model; .* got 'NoneType'"):
        save_model(None, tmp_path)
    with pytest.raises(ConfigurationError, match=r"folder: not accepted; expected the path of a folder, got None"):
        save_model(Constant((2,)), None)
    with pytest.raises(ConfigurationError, match=r"folder: not accepted; expected the path of a folder, got None"):
        load_model(None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sha256": None}, "is damaged: sha256, that of the arrays, is missing"),
        ({"configuration": 3}, "describes no model: configuration is no mapping; got 3"),
        ({"configuration": None}, "describes no model: configuration is no mapping"),
        ({"modality": 3}, "describes no model: modality is no mapping"),
    ],
)
def test_a_damaged_description_names_its_file(tmp_path, changes, message):
    document = {"format": 1, "configuration": small().to_document(), "modality": None, "sha256": "0", **changes}
    (tmp_path / DESCRIPTION).write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(StorageError, match=f"{re.escape(str(tmp_path))}.{DESCRIPTION} {message}"):
        load_model(tmp_path)


def test_damaged_arrays_are_refused(tmp_path):
    save_model(create_model(small(), rngs=3), tmp_path)
    arrays = next(tmp_path.glob("*.safetensors"))
    content = bytearray(arrays.read_bytes())
    content[-1] ^= 1
    arrays.write_bytes(bytes(content))
    with pytest.raises(StorageError, match=r"is damaged: its SHA-256 is not the one written beside it"):
        load_model(tmp_path)


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(LookupError, match=r"model: there is no model in"):
        load_model(tmp_path)


def test_a_description_of_another_format_is_refused(tmp_path):
    save_model(create_model(small(), rngs=3), tmp_path)
    path = tmp_path / DESCRIPTION
    path.write_text(path.read_text(encoding="utf-8").replace('"format": 1', '"format": 9'), encoding="utf-8")
    with pytest.raises(StorageError, match=r"of another format; expected format 1, got 9"):
        load_model(tmp_path)


def test_models_made_by_hand_have_no_description(tmp_path):
    with pytest.raises(ConfigurationError, match=r"model: the model was not made from a configuration alone"):
        save_model(Constant((2,)), tmp_path)
