import copy
import json
import pickle

import pytest

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError

FIELDS = {
    "name": "my_vae",
    "model_class": "modelwright.generative.vae.VAE",
    "input_dim": [28, 28, 1],
    "hidden_dims": [512, 256],
    "output_dim": 64,
    "activation": "relu",
    "dropout_rate": 0.1,
    "parameters": {"beta": 1.0, "encoder_type": "mlp"},
    "metadata": {"experiment_id": "exp_001", "training_defaults": {"batch_size": 64}},
    "description": "a model",
    "version": "1.2",
    "tags": ["a", "b"],
}


def test_fields_are_kept_as_types():
    config = ModelConfiguration(**FIELDS)
    assert config.input_dim == (28, 28, 1)
    assert config.hidden_dims == (512, 256)
    assert config.version == "1.2"
    assert config.parameters["beta"] == 1.0
    assert config.training_defaults == {"batch_size": 64}


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_texts_are_read_back_as_they_were(form):
    config = ModelConfiguration(**FIELDS)
    text = config.to_yaml() if form == "yaml" else config.to_json()
    read = ModelConfiguration.from_yaml(text) if form == "yaml" else ModelConfiguration.from_json(text)
    assert read == config
    assert read.model_dump() == config.model_dump()


def test_files_are_read_by_their_suffix(tmp_path):
    config = ModelConfiguration(**FIELDS)
    (tmp_path / "a.json").write_text(config.to_json(), encoding="utf-8")
    (tmp_path / "a.yaml").write_text(config.to_yaml(), encoding="utf-8")
    assert ModelConfiguration.from_file(tmp_path / "a.json") == ModelConfiguration.from_file(tmp_path / "a.yaml")


def test_model_dump_is_plain_data():
    dumped = ModelConfiguration(**FIELDS).model_dump()
    assert json.loads(json.dumps(dumped))["parameters"] == FIELDS["parameters"]


def test_nothing_can_be_changed():
    config = ModelConfiguration(**FIELDS)
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"
    with pytest.raises(TypeError, match="does not support item assignment"):
        config.parameters["beta"] = 2.0
    with pytest.raises(TypeError, match="does not support item assignment"):
        config.metadata["training_defaults"]["batch_size"] = 2


def test_lists_that_were_given_can_be_changed_without_changing_it():
    parameters = {"widths": [1, 2]}
    config = ModelConfiguration(name="x", parameters=parameters)
    parameters["widths"].append(3)
    assert config.parameters["widths"] == (1, 2)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hiden_dims": [3]}, r"hiden_dims: unknown key; did you mean 'hidden_dims'\?"),
        (
            {"input_dim": [28, 0]},
            r"input_dim: out of range; expected a whole number from 1 to 2147483647, got \[28",
        ),
        ({"input_dim": "wide"}, r"input_dim: .*expected a whole number of at least 1, got 'wide'"),
        ({"hidden_dims": [1.5]}, r"hidden_dims: .*expected a whole number of at least 1"),
        ({"hidden_dims": [True]}, r"hidden_dims: .*expected a whole number of at least 1"),
        ({"dropout_rate": 1.0}, r"dropout_rate: out of range; expected a number from 0 to below 1, got 1.0"),
        ({"dropout_rate": float("nan")}, r"dropout_rate: "),
        ({"parameters": [1]}, r"parameters: not a mapping; expected a mapping of names to values"),
        ({"parameters": {"f": print}}, r"parameters: builtin_function_or_method cannot be kept in a file"),
        ({"parameters": {"rate": float("inf")}}, r"parameters: "),
        ({"metadata": {"a": ["\ud800"]}}, r"metadata: holds half a character"),
        ({"metadata": {"\ud800": 1}}, r"metadata: holds half a character"),
        ({"metadata": {"a": 10**5000}}, r"metadata: too large to be written; expected a whole number of at most"),
        ({"metadata": {1: 2}}, r"metadata: the key 1 is not text"),
        ({"name": ""}, r"name: empty; expected one line of text"),
        ({"tags": "one"}, r"tags: not a list; expected a list of short texts"),
    ],
)
def test_what_is_wrong_is_said_with_its_field(change, message):
    with pytest.raises(ConfigurationError, match=message):
        ModelConfiguration(**{**FIELDS, **change})


def test_deep_nesting_is_refused():
    nested: object = 1
    for _ in range(12):
        nested = {"a": nested}
    with pytest.raises(ConfigurationError, match="nested too deep"):
        ModelConfiguration(name="x", metadata={"a": nested})


def test_training_defaults_have_to_be_a_mapping():
    config = ModelConfiguration(name="x", metadata={"training_defaults": 3})
    with pytest.raises(ConfigurationError, match=r"metadata.training_defaults: .*expected a mapping, got 3"):
        _ = config.training_defaults


def test_changes_are_checked():
    config = ModelConfiguration(**FIELDS)
    assert config.with_changes(hidden_dims=[8]).hidden_dims == (8,)
    with pytest.raises(ConfigurationError, match="hidden_dims"):
        config.with_changes(hidden_dims=[0])


def test_notes_that_files_hold_are_kept_as_they_are():
    notes = {"entropy": 2**128, "said": "\x1b[1m\r\n"}
    config = ModelConfiguration(name="x", metadata=notes)
    assert ModelConfiguration.from_json(config.to_json()).metadata == notes
    assert ModelConfiguration.from_yaml(config.to_yaml()).metadata == notes


@pytest.mark.parametrize("way", [copy.deepcopy, copy.copy, lambda config: pickle.loads(pickle.dumps(config))])
def test_copies_are_equal_and_of_the_same_hash(way):
    config = ModelConfiguration(**FIELDS)
    again = way(config)
    assert again == config
    assert {config: 1}[again] == 1
    assert config.with_changes(parameters={"beta": 2.0}) not in {config}


def test_a_copy_with_changes_is_checked():
    config = ModelConfiguration(**FIELDS)
    assert config.model_copy(update={"parameters": {"beta": 3}}).parameters["beta"] == 3
    assert config.model_copy(deep=True) == config
    with pytest.raises(ConfigurationError, match="hidden_dims"):
        config.model_copy(update={"hidden_dims": [0]})
