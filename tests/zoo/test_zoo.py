import json
import os
from pathlib import Path

import jax
import pytest

from modelwright.catalog.zoo_models import zoo_entries
from modelwright.cli import main
from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError, NotFoundError
from modelwright.factory.explanation import explain
from modelwright.generative.training import TrainingDefaults
from modelwright.modalities import codec_named
from modelwright.zoo import Zoo, zoo

ENTRY = """
name: mine
model_class: modelwright.generative.vae.VAE
type: vae
description: A small one.
input_dim: 6
hidden_dims: [8]
output_dim: 2
expected: {metric: nats, value: 4.0, tolerance: 0.1, minutes: 1, data: digits}
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "mine.yaml").write_text(ENTRY, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", zoo.list_configs())
def test_every_entry_can_be_built(name):
    entry = zoo.entry(name)
    explanation = explain(entry.configuration)
    assert explanation.model_type == entry.type
    assert explanation.class_name == entry.model_class.rpartition(".")[2]
    assert explanation.n_parameters > 0
    TrainingDefaults.from_mapping(entry.configuration.training_defaults).steps_for(1000)
    if entry.modality is not None:
        options = {"name": entry.modality} if isinstance(entry.modality, str) else dict(entry.modality)
        codec_named(options.pop("name"), **options)


def test_entries_are_listed_by_category():
    assert "vae_digits" in zoo.list_configs(category="vision")
    assert "flow_moons" in zoo.list_configs(category="toy")
    assert set(zoo.list_configs()) >= {
        "vae_mnist",
        "pixel_cnn_cifar10",
        "vae_protein",
        "maf_digits",
        "transformer_text",
    }
    with pytest.raises(NotFoundError, match=r"category: the zoo has no category 'visoin'; did you mean 'vision'\?"):
        zoo.list_configs(category="visoin")


def test_an_unknown_entry_names_the_nearest():
    with pytest.raises(NotFoundError, match=r"no zoo entry is called 'vae_digit'; did you mean 'vae_digits'\?"):
        zoo.entry("vae_digit")


def test_info_says_what_is_expected():
    info = zoo.get_info("vae_digits")
    assert info["expected"]["data"] == "digits"
    assert info["metadata"]["training_defaults"]["batch_size"] == 128
    assert info["category"] == "vision"


def test_the_example_of_an_entry_with_overrides_is_made_as_it_is_written():
    model = zoo.create_model("vae_mnist", rngs=0, hidden_dims=[1024, 512, 256], learning_rate=0.0001)
    assert TrainingDefaults.of(model).settings.learning_rate == 0.0001
    assert model.sample(1, key=jax.random.key(0)).shape == (1, 28, 28, 1)


def test_overrides_are_fields_parameters_or_training_defaults():
    config = zoo.configuration("vae_digits", hidden_dims=[7], importance_draws=3, epochs=2, clip=1.0)
    assert config.hidden_dims == (7,)
    assert config.parameters["importance_draws"] == 3
    assert config.training_defaults["epochs"] == 2
    assert config.training_defaults["clip"] == 1.0
    assert config.parameters["likelihood"] == "bernoulli"  # what the entry gives survives


def test_what_stands_in_lists_can_be_overridden():
    given = {"name": "mine", "description": "Of my own.", "tags": ["own"], "version": "2.1"}
    config = zoo.configuration("vae_digits", **given)
    assert (config.name, config.description, config.tags, config.version) == ("mine", "Of my own.", ("own",), "2.1")
    assert config.hidden_dims == zoo.configuration("vae_digits").hidden_dims
    model = zoo.create_model("vae_digits", rngs=0, **given)
    assert json.loads(model.recipe)["configuration"]["name"] == "mine"


def test_steps_and_epochs_at_once_are_refused():
    with pytest.raises(ConfigurationError, match="epochs: steps and epochs at once; give one of the two"):
        zoo.configuration("vae_digits", steps=10, epochs=3)


def test_steps_and_epochs_replace_each_other():
    assert "epochs" not in zoo.configuration("vae_digits", steps=5).training_defaults


def test_a_constant_schedule_takes_the_final_rate_of_the_entry_away():
    assert zoo.configuration("transformer_text").training_defaults["final_rate"] > 0.0
    assert "final_rate" not in zoo.configuration("transformer_text", schedule="constant").training_defaults
    assert zoo.configuration("transformer_text", schedule="linear").training_defaults["final_rate"] > 0.0
    with pytest.raises(ConfigurationError, match="final_rate: a constant learning rate does not fall"):
        zoo.configuration("transformer_text", schedule="constant", final_rate=0.1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            {"learning_rte": 0.1},
            r"learning_rte: neither .* nor a training default; did you mean 'learning_rate'\?",
        ),
        ({"hiden_dims": [3]}, r"hiden_dims: neither .*did you mean 'hidden_dims'\?"),
        ({"importance_draw": 3}, r"importance_draw: neither .*did you mean 'importance_draws'\?"),
        (
            {"importance_draws": 0},
            r"parameters.importance_draws: .* a whole number from 1 to 1000000, got 0",
        ),
        ({"learning_rate": -1.0}, r"learning_rate: not accepted; expected a number above 0"),
        ({"model_class": "x"}, r"model_class: neither"),
        (
            {"parameters": {"beta": 2}},
            r"parameters: parameters of the model are given by their own names; such as beta=",
        ),
        ({"metadata": {"training_defaults": {"steps": 3}}}, r"metadata: neither"),
        ({"version": ""}, r"version: .*expected one line of text"),
    ],
)
def test_anything_else_is_an_error(override, message):
    with pytest.raises(ConfigurationError, match=message):
        zoo.create_model("vae_digits", rngs=0, **override)


def test_entries_of_ones_own_are_found(own, monkeypatch):
    monkeypatch.setenv("MODELWRIGHT_ZOO", str(own))
    assert "mine" in Zoo().list_configs(category="toy")
    assert Zoo().create_model("mine", rngs=0).latent_dim == 2


def test_what_is_in_the_folders_and_no_entry_is_said(own, monkeypatch, capsys, tmp_path):
    (own / "toy" / "mine.yaml").rename(own / "toy" / "mine.yml")
    (own / "lost.yaml").write_text(ENTRY, encoding="utf-8")
    (own / "toy" / "flow_moons.yml").write_text(ENTRY, encoding="utf-8")
    monkeypatch.setenv("MODELWRIGHT_ZOO", f"{own}:{own / 'nowhere'}")
    built_in = zoo.files()["flow_moons"]
    said = [
        f"{own / 'lost.yaml'} is in no folder of a category; put it into one, such as {own / 'toy'}",
        f"{own / 'toy' / 'flow_moons.yml'} is hidden by {built_in}; give it another name",
        f"MODELWRIGHT_ZOO: there is no folder {own / 'nowhere'}, in which entries of the zoo were to be; correct",
    ]
    assert Zoo().entry("mine").name == "mine"
    assert main(["--project", str(tmp_path), "zoo", "list"]) == 0
    shown = capsys.readouterr()
    assert [line for line in said if line not in shown.err] == []
    errors = [str(entry.error) for entry in zoo_entries() if entry.error is not None]
    assert [error.startswith(line) for error, line in zip(errors, said, strict=True)] == [True] * 3
    with pytest.raises(NotFoundError, match=r"no zoo entry is called 'lost'.*; .*lost\.yaml is in no folder of a cat"):
        Zoo().entry("lost")
    with pytest.raises(NotFoundError, match=r"no zoo entry is called 'other'.*; .*there is no folder"):
        Zoo().entry("other")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("type: vae", "type: flow", r"type: not the family of modelwright.generative.vae.VAE in .*; expected vae, got"),
        ("tolerance: 0.1", "tolerance: -0.03", r"expected.tolerance: below 0.*; expected a number of at least 0"),
        ("minutes: 1", "minutes: -1", r"expected.minutes: below 0.*; expected a number of at least 0, got -1"),
        ("name: mine", "name: other", r"name: not the name of the file .*expected mine, got 'other'"),
        ("type: vae", "kind: vae", r"kind: unknown key"),
        ("metric: nats, ", "", r"expected.metric: is missing"),
        ("metric: nats", "metric: points", r"expected.metric: not accepted.*; expected one of nats, bits_per_dim"),
        ("input_dim: 6", "input_dim: 0", r"input_dim: out of range in mine"),
        ("input_dim: 6", "input_dim: 1:30", r"input_dim: not a number in mine.* got '1:30'"),
        ("type: vae", "type: vae\ntags: 5", r"tags: not a list .*; expected a list of short texts, got 5"),
        ("type: vae", "type: vae\ntags: abc", r"tags: not a list .*; expected a list of short texts, got 'abc'"),
        ("type: vae", "type: vae\ntags: [[a]]", r"tags: not text"),
        ("type: vae", "type: vae\nversion: [1]", r"version: not text"),
    ],
)
def test_files_that_are_wrong_are_refused(own, before, after, message):
    path = own / "toy" / "mine.yaml"
    path.write_text(ENTRY.replace(before, after), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        assert isinstance(Zoo([own]).entry("mine").configuration, ModelConfiguration)


WRONG = ["tags: 5", "tags: abc", "tags: [1]", "version: [1]", "version: 1" + ":00" * 300 + ".0", "tags: {a: 1}"]


def test_a_file_that_is_wrong_breaks_no_list(own, monkeypatch, capsys, tmp_path):
    for k, line in enumerate(WRONG):
        text = ENTRY.replace("name: mine", f"name: wrong_{k}") + line
        (own / "toy" / f"wrong_{k}.yaml").write_text(text, encoding="utf-8")
    os.mkfifo(own / "toy" / "piped.yaml")  # opened, it would be waited for
    (own / "toy" / "mine.yaml").write_text(ENTRY + "tags:\nversion: '1.5'\n", encoding="utf-8")
    found = {entry.model_id: entry for entry in zoo_entries(Zoo([own]))}
    assert {name for name, entry in found.items() if entry.error is not None} == {
        "piped",
        *(f"wrong_{k}" for k in range(len(WRONG))),
    }
    assert (found["mine"].metadata.tags, found["mine"].metadata.version) == (("vae", "toy"), "1.5")
    monkeypatch.setenv("MODELWRIGHT_ZOO", str(own))
    for command in (["models"], ["zoo", "list"]):
        assert main(["--project", str(tmp_path), *command]) == 0
    assert "mine" in capsys.readouterr().out


def test_a_pipe_is_not_waited_for(tmp_path, capsys):
    os.mkfifo(tmp_path / "piped.yaml")
    assert main(["explain", str(tmp_path / "piped.yaml")]) == 2
    assert "piped.yaml is not a file; expected a regular file" in capsys.readouterr().err


def test_the_documented_entry_is_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "generative.md").read_text(encoding="utf-8")
    (tmp_path / "toy").mkdir()
    block = page.split("```yaml\nname: my_flow")[1].split("```")[0]
    (tmp_path / "toy" / "my_flow.yaml").write_text("name: my_flow" + block, encoding="utf-8")
    made = Zoo([tmp_path]).create_model("my_flow", rngs=0)
    assert made.example_shape == (5,)
