"""Generative models on the command line: train, sample, predict, score, report, certify, explain, zoo."""

import json
import resource

import numpy as np
import pytest
from flax import nnx

from modelwright.catalog.generative_answers import shape_of_samples
from modelwright.catalog.generative_files import RULE, check_samples_kind, write_samples
from modelwright.catalog.model_registry import ModelRegistry
from modelwright.cli.app import main
from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.data.examples import load_examples, load_whole
from modelwright.factory.stored_models import model_from_parts
from modelwright.zoo import zoo

NAMES = ("transformer_text", "vae_digits")


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with a short training of the digits' autoencoder."""
    folder = tmp_path_factory.mktemp("project")
    code = main(["--project", str(folder), "train", "vae_digits", "--steps", "60", "--quiet"])
    assert code == 0
    return folder


def run(project, capsys, *words):
    code = main(["--project", str(project), *words])
    return code, capsys.readouterr()


def test_a_run_is_kept_with_its_model(project):
    files = {path.name for path in (project / "models" / "vae_digits").rglob("*") if path.is_file()}
    assert {"model.safetensors", "model.json", "history.json", "samples.png"} <= files
    assert not list((project / "models" / "vae_digits").rglob("state-*"))  # what a killed training would go on from
    description = next((project / "models" / "vae_digits").rglob("model.json"))
    model = model_from_parts(
        json.loads(description.read_text(encoding="utf-8")), description.with_suffix(".safetensors")
    )
    assert model.example_shape == (8, 8, 1)


def test_a_figure_for_other_settings_is_not_judged(project, capsys):
    code, said = run(project, capsys, "report", "vae_digits", "--json")
    assert code == 0
    findings = {f["name"]: f for f in json.loads(said.out)["verdict"]["findings"]}
    assert findings["figure"]["grade"] == "unknown"
    assert "steps differ" in findings["figure"]["sentence"]


@pytest.mark.parametrize("suffix", ["png", "npy", "txt"])
def test_samples_are_written(project, capsys, tmp_path, suffix):
    out = tmp_path / f"samples.{suffix}"
    code, _ = run(project, capsys, "sample", "vae_digits", "--n", "10", "--out", str(out), "--seed", "3")
    assert code == 0
    if suffix == "npy":
        first = np.load(out)
        run(project, capsys, "sample", "vae_digits", "--n", "10", "--out", str(out), "--seed", "3")
        assert first.shape == (10, 8, 8, 1)
        assert (np.load(out) == first).all()
    assert out.stat().st_size > 100


def test_samples_of_no_known_kind_are_refused_before_anything_is_drawn(project, capsys, tmp_path):
    code, said = run(project, capsys, "sample", "vae_digits", "--out", str(tmp_path / "samples.gif"))
    assert code == 2
    assert "out: no kind of file for samples; expected a name ending in .png, .npy, .txt or .json" in said.err


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_drawn(project, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("modelwright.cli.generate.generative", None)  # not asked for
    (tmp_path / "folder.npy").mkdir()
    code, said = run(project, capsys, "sample", "vae_digits", "--out", str(tmp_path / "folder.npy"))
    assert code == 2
    assert "out: is a folder; expected the name of a file" in said.err
    (tmp_path / "file").write_text("kept", encoding="utf-8")
    code, said = run(project, capsys, "sample", "vae_digits", "--out", str(tmp_path / "file" / "x.npy"))
    assert code == 74
    assert "a part of the path is a file, not a folder" in said.err


def test_samples_that_a_file_cannot_hold_are_refused_before_anything_is_drawn(project, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("modelwright.catalog.generative_answers.drawn", None)
    out = str(tmp_path / "x.png")
    code, said = run(project, capsys, "sample", "vae_digits", "--n", "1001", "--out", out)
    assert code == 2
    assert "n: too many images for one picture; expected at most 1,000, got 1001; write them to a name" in said.err
    with pytest.raises(ConfigurationError, match=r"out: samples are texts; expected a name ending in \.txt or"):
        check_samples_kind(tmp_path / "x.npy", 2, None)
    with pytest.raises(
        ConfigurationError, match=r"out: samples are arrays; expected a name ending in \.png, \.npy or \.txt"
    ):
        check_samples_kind(tmp_path / "x.json", 2, (2,))


def test_texts_of_several_lines_are_told_apart(tmp_path):
    texts = ["a\nb", "c\n\nd"]
    write_samples(tmp_path / "x.json", texts)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == texts
    write_samples(tmp_path / "x.txt", texts)
    assert (tmp_path / "x.txt").read_text(encoding="utf-8")[:-1].split(f"\n{RULE}\n") == texts


def test_a_text_is_known_as_one_before_it_is_drawn():
    text, digits = (nnx.eval_shape(lambda name=name: zoo.create_model(name, rngs=0)) for name in NAMES)
    assert (shape_of_samples(text), shape_of_samples(digits)) == (None, (8, 8, 1))


@pytest.mark.parametrize("suffix", ["png", "npy", "txt"])
def test_samples_that_do_not_fit_on_the_disk_leave_the_old_file(tmp_path, suffix):
    path = tmp_path / f"samples.{suffix}"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(StorageError, match=f"cannot write {path}: the file may not grow so large here"):
            write_samples(path, np.arange(640).reshape(10, 8, 8, 1) % 17)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_log_probabilities_are_predicted(project, capsys):
    code, said = run(project, capsys, "predict", "vae_digits", "--limit", "3", "--json")
    answer = json.loads(said.out)
    assert code == 0
    assert len(answer["predictions"]) == 3
    assert answer["credible_intervals"][0] == {"kind": "bound"}
    assert all(-64 < row["log_prob"] < 0 for row in answer["predictions"])


def test_surprising_examples_come_first(project, capsys):
    code, said = run(project, capsys, "score", "vae_digits", "--json", "--top", "5")
    scores = [row["surprise"] for row in json.loads(said.out)["scores"]]
    assert code == 0
    assert scores == sorted(scores, reverse=True)


def test_data_that_are_named_are_taken_whole_and_in_their_order(project, capsys, tmp_path):
    x = load_whole("digits").x[:25]
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", x[::-1])
    answers = []
    for name in ("x.npy", "y.npy"):
        code, said = run(
            project, capsys, "predict", "vae_digits", "--data", str(tmp_path / name), "--limit", "99", "--json"
        )
        answers.append(json.loads(said.out))
        assert code == 0
    assert [row["example"] for row in answers[0]["predictions"]] == list(range(25))
    assert "25 examples" in answers[0]["notes"][0]
    forth, back = ([row["log_prob"] for row in answer["predictions"]] for answer in answers)
    # A bound drawn anew for each place: 64 latents leave it some tenths of a nat, digits differ by several nats.
    assert np.abs(np.subtract(forth, back[::-1])).mean() < 0.5 * np.abs(np.subtract(forth, back)).mean()
    code, said = run(project, capsys, "score", "vae_digits", "--data", str(tmp_path / "x.npy"), "--json", "--top", "99")
    scores = {row["example"]: row["surprise"] for row in json.loads(said.out)["scores"]}
    assert code == 0
    assert [scores[k] for k in range(25)] == pytest.approx([-value for value in forth], abs=1e-3)  # rounded to 4 places


def test_without_data_the_held_out_part_is_named_by_its_rows_in_the_set(project, capsys):
    _, said = run(project, capsys, "predict", "vae_digits", "--limit", "999", "--json")
    answer = json.loads(said.out)
    assert [row["example"] for row in answer["predictions"]] == load_examples("digits").test.rows.tolist()
    assert "180 examples: those of digits that are reported on, held out of the training" in answer["notes"][0]


@pytest.mark.slow
def test_a_trained_model_keeps_the_laws(project, capsys):
    code, said = run(project, capsys, "certify", "vae_digits", "--json")
    document = json.loads(said.out)
    assert code == 0
    assert document["weights"].startswith("run ")
    names = " ".join(row["law"] for row in document["laws"])
    assert "keys decide what is drawn" in names  # of all models
    assert "the divergence in closed form" in names  # of autoencoders, behind the codec
    assert all(row["holds"] for row in document["laws"])


def test_ctrl_c_while_certifying_is_a_sentence_and_an_exit_code(project, capsys, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("modelwright.catalog.generative_certificates.certificate", pressed)
    code, said = run(project, capsys, "certify", "vae_digits")
    assert code == 130
    assert said.err.strip() == "modelwright: interrupted"  # and nothing of a run, since none is kept


def test_what_is_no_generative_model_is_not_certified(project, capsys):
    code, said = run(project, capsys, "certify", "event_rates")
    assert code == 2
    assert "event_rates is no generative model" in said.err


def test_a_configuration_is_explained(project, capsys, tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(
        "name: x\nmodel_class: modelwright.generative.vae.VAE\ninput_dim: [28, 28, 1]\noutput_dim: 3\n",
        encoding="utf-8",
    )
    code, said = run(project, capsys, "explain", str(path), "--json")
    values = {row[0]: row for row in json.loads(said.out)[0]["rows"]}
    assert code == 0
    assert values["input_dim"][1:3] == ["28 x 28 x 1", "given"]
    assert values["activation"][1:3] == ["relu", "default of VAE"]


SMALL = "name: x\nmodel_class: modelwright.generative.vae.VAE\ninput_dim: [4, 4, 1]\nhidden_dims: [3]\noutput_dim: 3\n"


@pytest.mark.parametrize(
    ("content", "words", "modality"),
    [
        (SMALL, (), "none"),
        (SMALL + "modality: image\n", (), "image"),
        (SMALL + "modality: image\n", ("--modality", "{name: image, levels: 4}"), "image (levels 4)"),
        (SMALL + "type: vae\ndescription: y\nmodality: image\nexpected: {construction_only: z}\n", (), "image"),
    ],
)
def test_a_file_is_explained_with_its_modality(capsys, tmp_path, content, words, modality):
    (tmp_path / "x.yaml").write_text(content, encoding="utf-8")
    code, said = run(tmp_path, capsys, "explain", str(tmp_path / "x.yaml"), *words, "--json")
    assert code == 0, said.err
    assert {row[0]: row[1] for table in json.loads(said.out) for row in table["rows"]}["modality"] == modality


def test_a_folder_of_the_name_of_an_entry_stands_in_nobodys_way(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "vae_digits").mkdir()
    assert run(tmp_path, capsys, "explain", "vae_digits")[0] == 0
    (tmp_path / "folder").mkdir()
    code, said = run(tmp_path, capsys, "explain", "folder")
    assert (code, "folder is not a file; expected a regular file" in said.err) == (2, True)


@pytest.mark.parametrize(
    ("name", "content", "code", "sentence"),
    [
        ("empty.yaml", b"", 2, "empty.yaml: is empty; expected a mapping of keys to values"),
        ("empty.json", b"\n", 2, "empty.json: is empty; expected a mapping of keys to values"),
        ("binary.yaml", b"\xff\x00", 2, "binary.yaml is not UTF-8 text"),
        ("list.yaml", b"- a\n", 2, "list.yaml: not a description; expected a mapping of keys to values, got ['a']"),
        ("nameless.yaml", b"model_class: x\n", 2, "name: is missing in"),
        ("vae_digit", None, 6, "configuration: no file and no entry of the zoo is called"),
        ("", None, 6, "configuration: no file and no entry of the zoo is called ''"),
    ],
)
def test_what_cannot_be_explained_is_refused(capsys, tmp_path, monkeypatch, name, content, code, sentence):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    found, said = run(tmp_path, capsys, "explain", name)
    assert found == code
    assert sentence in said.err


def test_a_name_that_is_nearly_one_of_the_zoo_is_named_when_explained(project, capsys):
    _, said = run(project, capsys, "explain", "vae_digit")
    assert "did you mean 'vae_digits'?" in said.err


@pytest.mark.parametrize("words", [("certify", "vae_digits"), ("zoo", "verify", "vae_digits")])
def test_a_seed_that_is_none_is_refused_before_a_model_is_built(project, capsys, words):
    code, said = run(project, capsys, *words, "--seed", "-1")
    assert code == 2
    assert said.err == "modelwright: seed: not a seed; expected an integer from 0 to 4294967295, got -1\n"


def test_a_verification_says_what_was_looked_at(project, capsys):
    code, said = run(project, capsys, "zoo", "verify", "vae_protein", "--quiet")
    assert code == 0
    assert "good: built, and one step of training on 2 made-up examples moved 12 of 12" in said.out
    assert "good: sample of shape (2, 219); log_prob of shape (2,)" in said.out


def test_data_for_an_entry_that_is_only_built_are_refused(project, capsys):
    code, said = run(project, capsys, "zoo", "verify", "vae_protein", "--data", "x.npy")
    assert code == 2
    assert "data: vae_protein is only built and makes one step on made-up examples" in said.err


def test_an_entry_of_the_zoo_is_explained_with_its_modality(project, capsys):
    code, said = run(project, capsys, "explain", "vae_digits", "--json")
    values = {row[0]: row[1] for table in json.loads(said.out) for row in table["rows"]}
    assert code == 0
    assert values["modality"] == "image (levels 17)"
    assert values["schedule"] in ("constant", "cosine", "linear")


def test_the_zoo_is_listed_and_shown(project, capsys):
    code, said = run(project, capsys, "zoo", "list", "--category", "vision")
    assert code == 0
    assert "vae_digits" in said.out
    assert "flow_moons" not in said.out
    code, said = run(project, capsys, "zoo", "show", "vae_digits")
    assert code == 0
    assert "training_defaults" in said.out


def test_entries_of_the_zoo_are_in_the_catalog(project, capsys):
    code, said = run(project, capsys, "models", "--json")
    found = {row["model_id"]: row for row in json.loads(said.out)["models"]}
    assert code == 0
    assert found["vae_digits"]["is_trained"]
    assert not found["flow_moons"]["is_trained"]


def test_data_of_another_shape_are_refused_before_a_run_is_opened_or_a_model_built(project, capsys, monkeypatch):
    monkeypatch.setattr("modelwright.catalog.generative_training.train_entry", None)
    runs = set((project / "models" / "vae_digits").rglob("*"))
    code, said = run(project, capsys, "train", "vae_digits", "--data", "moons", "--quiet")
    assert code == 3
    assert "data: images of another shape; expected (n, 8, 8, 1), got (8000, 2)" in said.err
    assert set((project / "models" / "vae_digits").rglob("*")) == runs


def test_help_says_what_holds_for_generative_models(project, capsys):
    _, train = run(project, capsys, "train", "vae_digits", "--help")
    _, score = run(project, capsys, "score", "vae_digits", "--help")
    _, of_entities = run(project, capsys, "score", "event_rates", "--help")
    assert "file [default: digits]" in " ".join(train.out.split())
    assert "[default: those held out of the training]" in " ".join(score.out.split())
    assert "minus their log probability" in score.out
    assert "--silent" not in score.out
    assert "--silent" in of_entities.out


def test_an_update_is_offered_for_no_generative_model(project, capsys):
    _, listed = run(project, capsys, "update", "--help")
    assert "event_rates" in listed.out
    assert "vae_digits" not in listed.out
    code, said = run(project, capsys, "update", "vae_digits", "--help")
    assert code == 2
    assert "the model vae_digits cannot take new data into a trained run; train it on all data" in said.err


def test_silent_entities_are_refused_where_there_are_none(project):
    model = ModelRegistry(project).load_model_instance("vae_digits")
    with pytest.raises(ConfigurationError, match="silent: no entities that could be silent; leave it out"):
        model.score({}, include_silent=True)


@pytest.mark.parametrize("command", ["train", "score"])
def test_an_empty_name_of_data_does_not_stand_for_the_built_in_ones(project, capsys, command):
    code, said = run(project, capsys, command, "vae_digits", "--data", "")
    assert code == 2
    assert "data: is empty; expected text; leave it out" in said.err


def test_a_text_whose_parts_hold_no_example_is_refused(capsys, tmp_path):
    (tmp_path / "short.txt").write_text("to be or not to be " * 50, encoding="utf-8")  # 950, of them 48 to report on
    code, said = run(tmp_path, capsys, "train", "transformer_text", "--data", str(tmp_path / "short.txt"), "--quiet")
    assert code == 3
    assert "a part is shorter than one example; expected at least 64 symbols in its last twentieth, got 4" in said.err
    assert not (tmp_path / "models").exists()


def test_a_set_that_is_not_there_names_the_nearest(project, capsys):
    code, said = run(project, capsys, "train", "vae_digits", "--data", "digit", "--quiet")
    assert code == 6
    assert "did you mean 'digits'?" in said.err


def test_verifying_what_is_too_large_makes_one_step(project, capsys):
    code, said = run(project, capsys, "zoo", "verify", "vae_protein", "--json")
    document = json.loads(said.out)
    assert code == 0
    assert document["verdict"]["grade"] == "good"
    assert "one step of training on 2 made-up examples moved" in document["verdict"]["findings"][0]["sentence"]
