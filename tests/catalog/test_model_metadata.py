"""config.yaml: what is read, and the sentence for everything that is not."""

import os
import time
from pathlib import Path

import pytest
import yaml

from modelwright.catalog.metadata import LARGEST_CONFIG, ModelMetadata, model_schema
from modelwright.core.errors import ConfigurationError, ModelwrightError, NotFoundError, StorageError

SMALLEST = {"name": "Calls", "description": "Calls per station", "version": "1.0"}


def refusal(**changes: object) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        ModelMetadata.from_mapping({**SMALLEST, **changes}, source="config.yaml")
    return caught.value


def test_everything_that_can_be_said_is_kept():
    metadata = ModelMetadata.from_mapping(
        {
            **SMALLEST,
            "author": "Ann",
            "status": "beta",
            "tags": ["counts", "calls"],
            "inference_params": [{"name": "horizon", "type": "integer", "default": 7}],
            "data_params": [{"name": "data", "type": "string", "required": True}],
            "train_params": [{"name": "engine", "type": "select", "options": ["pymc"]}],
            "training": {"default_iterations": "500", "chains": 2.0, "warmup": 250, "target_accept": 0.95},
        }
    )
    assert (metadata.status, metadata.tags) == ("beta", ("counts", "calls"))
    assert [p.name for p in (*metadata.inference_params, *metadata.data_params)] == ["horizon", "data"]
    assert metadata.training.model_dump() == {
        "default_iterations": 500,
        "chains": 2,
        "warmup": 250,
        "target_accept": 0.95,
    }


def test_the_smallest_description_has_defaults():
    metadata = ModelMetadata.from_mapping({**SMALLEST, "tags": None, "training": None, "inference_params": None})
    assert (metadata.status, metadata.tags, metadata.inference_params) == ("active", (), ())
    assert metadata.training.model_dump() == {
        "default_iterations": 2000,
        "chains": 4,
        "warmup": 1000,
        "target_accept": 0.9,
    }


@pytest.mark.parametrize(("given", "kept"), [(1.0, "1.0"), (2, "2"), ("0.1.0", "0.1.0"), (" 1.2 ", "1.2")])
def test_version_is_text(given, kept):
    assert ModelMetadata.from_mapping({**SMALLEST, "version": given}).version == kept


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"descripton": "x"}, "descripton: unknown key in config.yaml; did you mean 'description'? known: name,"),
        ({"name": None}, "name: not text in config.yaml; expected text, got nothing"),
        ({"name": "a\nb"}, "name: more than one line in config.yaml; expected one line of text, got 'a\\nb'"),
        ({"name": "\x1b[2J"}, "name: holds a control character in config.yaml; expected text without control"),
        ({"description": "x" * 10_001}, "description: too long (10001 characters) in config.yaml; expected text of at"),
        ({"version": True}, "version: not text in config.yaml; expected text, got True"),
        ({"version": float("nan")}, "version: not a finite number in config.yaml; expected a finite number, got nan"),
        (
            {"status": "actve"},
            "status: not accepted in config.yaml; expected one of active, beta, deprecated, got 'actve'; "
            "did you mean 'active'?",
        ),
        (
            {"status": ["active"]},
            "status: not accepted in config.yaml; expected one of active, beta, deprecated, got [",
        ),
        ({"tags": "counts"}, "tags: not a list of tags in config.yaml; expected a list of at most 50 short texts, got"),
        ({"training": {"chain": 2}}, "training.chain: unknown key in config.yaml; did you mean 'chains'?"),
        ({"training": {"chains": 0}}, "training.chains: too small in config.yaml; expected an integer from 1 to 1024,"),
        ({"training": {"chains": True}}, "training.chains: not a number in config.yaml; expected an integer from 1 to"),
        ({"training": {"target_accept": 1}}, "training.target_accept: out of range in config.yaml; expected a number"),
        (
            {"training": [1]},
            "training: not a description in config.yaml; expected a mapping of keys to values, got [1]",
        ),
        ({"training": {2: 1}}, "training.2: unknown key in config.yaml; known: default_iterations, chains,"),
        ({"inference_params": {"name": "x"}}, "inference_params: not a list in config.yaml; expected a list of"),
        ({"inference_params": ["x"]}, "inference_params[0]: not a description in config.yaml; expected a mapping"),
        (
            {"inference_params": [{"name": "a", "type": "string"}, {"name": "b", "type": "str"}]},
            "inference_params[1].type: not accepted in config.yaml; expected one of integer, float, string, select, "
            "boolean, got 'str'; did you mean 'string'?",
        ),
        (
            {"inference_params": [{"name": "a", "type": "integer", "min_value": 3, "max_value": 1}]},
            "inference_params[0].min_value: larger than max_value in config.yaml; expected at most 1, got 3",
        ),
        (
            {"data_params": [{"name": "a", "type": "string"}] * 2},
            "data_params[1].name: stands twice in config.yaml; got 'a'",
        ),
        (
            {"train_params": [{"name": "draws", "type": "integer"}]},
            "train_params[0].name: this name has another meaning already in config.yaml; got 'draws'; choose another",
        ),
        (
            {"data_params": [{"name": "a", "type": "string"}], "train_params": [{"name": "a", "type": "float"}]},
            "train_params[0].name: this name has another meaning already in config.yaml; got 'a'",
        ),
        ({"inference_params": [{"name": f"p{i}", "type": "float"} for i in range(201)]}, "inference_params: 201 param"),
    ],
)
def test_refusal_names_file_key_expectation_and_value(changes, sentence):
    assert str(refusal(**changes)).startswith(sentence)


@pytest.mark.parametrize("key", ["name", "description", "version"])
def test_missing_key_is_named(key):
    with pytest.raises(ConfigurationError) as caught:
        ModelMetadata.from_mapping({k: v for k, v in SMALLEST.items() if k != key}, source="config.yaml")
    assert str(caught.value) == f"{key}: is missing in config.yaml; add the key {key}"


def test_constructor_refuses_in_the_same_words():
    with pytest.raises(ConfigurationError, match="nam: unknown key; did you mean 'name'"):
        ModelMetadata(nam="Calls", description="x", version="1")


@pytest.mark.parametrize("document", [None, 3, "text", ["name"], {1: 2}, {"self": 1}, {"cls": 1}, {None: None}])
def test_anything_else_is_no_description(document):
    with pytest.raises(ConfigurationError):
        ModelMetadata.from_mapping(document, source="config.yaml")


# Files ----------------------------------------------------------------------------------------------------------------


def bomb() -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (bomb().encode(), "at line 1: anchors and aliases are not read"),
        (b"name: a\nname: b\n", "at line 2: the key 'name' stands twice"),
        (b"name: !!python/object/apply:os.system [echo]\n", "at line 1: the tag"),
        (b"name: !include /etc/passwd\n", "the tag !include is not read"),
        (b"<<: {name: a}\nname: b\n", "at line 1: merge keys are not read"),
        (b"? [a, b]\n: c\n", "a key must be plain text"),
        (b"[" * 5000, "nested deeper than 20"),
        (b"name: a\0b\n", "not YAML"),
        (b"name: \xff\xfe\n", "is not UTF-8 text"),
        (b"name: [unclosed\n", "at line 2"),
        (b"name: a\n\tb: c\n", "at line 2"),
        (b"", "config.yaml: is empty; expected a mapping of keys to values"),
        (b"- a\n- b\n", "expected a mapping of keys to values, got ['a', 'b']"),
        (b"name: 2024-99-99\n", "not YAML"),
        (b"version: " + b"9" * 5000, "config.yaml"),
        (b"x" * (LARGEST_CONFIG + 1), f"is too large; expected at most {LARGEST_CONFIG} bytes"),
        (b"# " + b"x" * (3 << 20), "is too large"),
    ],
    ids=[
        "bomb", "duplicate key", "python tag", "unknown tag", "merge", "key is a list", "nested", "NUL", "not UTF-8",
        "unclosed", "tab", "empty", "a list", "impossible date", "endless number", "one byte too many", "huge",
    ],
)  # fmt: skip
def test_hostile_file_is_refused_in_a_sentence(tmp_path, content, sentence):
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    begin = time.monotonic()
    with pytest.raises(ConfigurationError) as caught:
        ModelMetadata.from_file(path)
    assert sentence in str(caught.value)
    assert "config.yaml" in str(caught.value)
    # An expanded bomb would take minutes and gigabytes, a refusal milliseconds; 5 s leaves room for a busy machine.
    assert time.monotonic() - begin < 5


def test_the_largest_file_is_read_in_seconds(tmp_path):
    help_text = "x" * 1000
    parameters = [{"name": f"p{i}", "type": "string", "help_text": help_text} for i in range(200)]
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({**SMALLEST, "inference_params": parameters}))
    assert 200_000 < path.stat().st_size <= LARGEST_CONFIG
    assert len(ModelMetadata.from_file(path).inference_params) == 200


def test_config_that_is_no_file(tmp_path):
    folder = tmp_path / "config.yaml"
    folder.mkdir()
    with pytest.raises(ConfigurationError, match="is not a file"):
        ModelMetadata.from_file(folder)
    pipe = tmp_path / "pipe.yaml"
    os.mkfifo(pipe)
    with pytest.raises(ConfigurationError, match="is not a file"):  # opening it would wait for ever
        ModelMetadata.from_file(pipe)


def test_config_that_cannot_be_reached(tmp_path):
    with pytest.raises(NotFoundError, match="there is no file"):
        ModelMetadata.from_file(tmp_path / "config.yaml")
    loop = tmp_path / "loop.yaml"
    loop.symlink_to(loop)
    with pytest.raises(StorageError, match="cannot read"):
        ModelMetadata.from_file(loop)
    with pytest.raises(ModelwrightError):
        ModelMetadata.from_file(Path(f"{tmp_path}/a\0b"))


# Schema ---------------------------------------------------------------------------------------------------------------


def test_schema_lets_an_editor_check_the_file():
    schema = model_schema()
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) == {"name", "description", "version"}
    assert schema["$defs"]["InferenceParameter"]["properties"]["type"]["enum"] == [
        "integer",
        "float",
        "string",
        "select",
        "boolean",
    ]
    assert schema["$defs"]["ModelStatus"]["enum"] == ["active", "beta", "deprecated"]
    assert schema["$defs"]["TrainingDefaults"]["properties"]["chains"]["maximum"] == 1024
    assert all("\n" not in part["description"] for part in (schema, *schema["$defs"].values()))


def test_models_of_the_package_are_described_well():
    import modelwright.catalog

    configs = sorted(Path(modelwright.catalog.__file__).parent.glob("*/*/config.yaml"))
    assert {"event_rates", "template_model"} <= {config.parent.name for config in configs}
    for config in configs:
        assert ModelMetadata.from_file(config).description
