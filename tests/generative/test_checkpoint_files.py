"""Files of checkpoints: what is written, what is removed, what a damaged one says; nothing is trained for it."""

import copy
import json

import numpy as np
import pytest
from trained_models import Normal

from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.generative.training import Trainer, TrainingSettings, checkpoints, course
from modelwright.generative.training.checkpoints import MANIFEST, held, read_best, read_checkpoint, write_checkpoint
from modelwright.generative.training.manifest import checked_manifest

HISTORY = {"history": {"step": [1.0], "loss": [None]}, "evaluations": [[1, None], [2, 0.5]], "every": 1}
X = np.ones((8, 2), np.float32)
LEFT_OUT = object()


def training(*, schedule="cosine", final_rate=0.0, modality=None, **fields):
    configuration = {"name": "x", "model_class": "a.VAE", "hidden_dims": [8], "parameters": {"beta": 1.0}, **fields}
    configuration = {name: value for name, value in configuration.items() if value is not LEFT_OUT}
    return {
        "settings": {"schedule": schedule, "final_rate": final_rate},
        "recipe": json.dumps({"configuration": configuration, "modality": modality}),
    }


def written(folder, step=5, value=1.0, what=None):
    write_checkpoint(folder, what or training(), step, {"x": np.full(2, value)}, HISTORY)


def value_in(folder, what=None):
    return read_checkpoint(folder, what or training(), {"x": np.zeros(2)})[1]["x"][0]


def arrays_of(folder):
    return {path.name for path in folder.glob("*.safetensors")}


def test_only_what_a_training_wrote_itself_is_removed(tmp_path):
    others = {"state-mine.safetensors", "state-9.safetensors", "state-9-0123.safetensors"}
    for name in others:
        (tmp_path / name).touch()
    written(tmp_path, step=1)
    written(tmp_path, step=2)
    assert len(arrays_of(tmp_path) - others) == 1
    assert others < arrays_of(tmp_path)


def test_what_killed_writers_left_is_removed(tmp_path):
    left = [f".state-7-{'0' * 16}.safetensors.ab_c1.partial.safetensors", ".manifest.json.x9y8.partial.json"]
    others = [".state-mine.safetensors.ab.partial.safetensors", ".notes.json.ab.partial.json"]
    for name in (*left, *others):
        (tmp_path / name).touch()
    written(tmp_path)
    assert {path.name for path in tmp_path.glob(".*.partial.*")} == set(others)


def test_a_manifest_of_millions_of_looks_is_read(tmp_path):
    what = {**training(), "objectives": ["x" * 2**26]}  # bytes that are quickly read, more than other files may have
    written(tmp_path, what=what)
    assert value_in(tmp_path, what) == 1.0


def test_a_model_is_read_while_its_training_writes_the_next_checkpoint(tmp_path, monkeypatch):
    def written_state(step, value):
        best = ({"a": np.full(2, value)}, {"b": np.full(1, value)})
        write_checkpoint(tmp_path, training(), step, {"best": best}, {**HISTORY, "evaluations": [[1, 0.5]]})

    read, calls = checkpoints.read_arrays, []

    def overtaken(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            written_state(6, 2.0)
        return read(*arguments)

    written_state(5, 1.0)
    monkeypatch.setattr(checkpoints, "read_arrays", overtaken)
    like = ({"a": np.zeros(2)}, {"b": np.zeros(1)})
    assert read_best(tmp_path, like)[0]["a"].tolist() == [2.0, 2.0]
    next(tmp_path.glob("state-*")).unlink()
    with pytest.raises(StorageError, match="cannot read"):
        read_best(tmp_path, like)


def test_arrays_named_by_their_step_alone_are_read_and_then_removed(tmp_path):
    written(tmp_path)
    manifest = json.loads((tmp_path / MANIFEST).read_text())
    (tmp_path / manifest["arrays"]["file"]).rename(tmp_path / "state-5.safetensors")
    manifest["arrays"]["file"] = "state-5.safetensors"
    (tmp_path / MANIFEST).write_text(json.dumps(manifest))
    assert value_in(tmp_path) == 1.0
    written(tmp_path, step=6)
    assert len(arrays_of(tmp_path)) == 1
    assert "state-5.safetensors" not in arrays_of(tmp_path)


def test_a_kill_between_arrays_and_manifest_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    def killed(*arguments):
        raise KeyboardInterrupt

    written(tmp_path, value=1.0)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "write_text", killed)
        with pytest.raises(KeyboardInterrupt):
            written(tmp_path, value=2.0)  # of the same step
    assert value_in(tmp_path) == 1.0
    written(tmp_path, value=3.0)
    assert (value_in(tmp_path), len(arrays_of(tmp_path))) == (3.0, 1)


def test_a_folder_is_of_one_training_at_a_time(tmp_path, monkeypatch):
    def another(*arguments):
        with pytest.raises(ConfigurationError, match=r"checkpoint_dir: another training writes its checkpoints into"):
            Trainer(Normal()).fit(X, steps=1, checkpoint_dir=tmp_path)
        raise ArithmeticError

    monkeypatch.setattr(course, "advance", another)
    with pytest.raises(ArithmeticError):
        Trainer(Normal()).fit(X, steps=1, checkpoint_dir=tmp_path)
    with held(tmp_path):
        pass


def test_notes_do_not_make_another_training(tmp_path):
    written(tmp_path)
    notes = {"name": "y", "description": "d", "version": "2", "tags": ["t"], "metadata": {"training_defaults": {}}}
    assert value_in(tmp_path, training(**notes)) == 1.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parameters": {"beta": 2.0}}, r"^parameters.beta: .* expected 1.0 as in the checkpoint, got 2.0;"),
        ({"parameters": {}}, r"^parameters.beta: .* expected 1.0 as in the checkpoint, got None;"),
        ({"hidden_dims": [8, 9]}, r"^hidden_dims: .* expected \[8\] as in the checkpoint, got \[8, 9\];"),
        ({"modality": {"name": "image"}}, r"^modality: .* expected None as in the checkpoint, got {'name': 'image'};"),
        ({"final_rate": 0.5}, r"^final_rate: .* expected 0.0 as in the checkpoint, got 0.5;"),
    ],
)
def test_what_makes_another_training_is_named(tmp_path, changes, message):
    written(tmp_path)
    with pytest.raises(ConfigurationError, match=message):
        value_in(tmp_path, training(**changes))


@pytest.mark.parametrize(
    ("before", "now"),
    [({"activation": None}, {}), ({}, {"activation": None}), ({"parameters": {}}, {"parameters": LEFT_OUT})],
)
def test_none_is_what_nothing_is(tmp_path, before, now):
    written(tmp_path, what=training(**before))
    assert value_in(tmp_path, training(**now)) == 1.0
    with pytest.raises(ConfigurationError, match=r"^hidden_dims: "):
        value_in(tmp_path, training(**now, hidden_dims=[9]))


def test_a_final_rate_that_nobody_read_is_none(tmp_path):
    written(tmp_path, what=training(schedule="constant", final_rate=0.5))
    assert value_in(tmp_path, training(schedule="constant")) == 1.0


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("step", "two", "step is something else; expected a whole number of at least 0, got 'two'"),
        ("training", 3, "training is something else; expected a mapping, got 3"),
        ("training", {}, "training.recipe is missing"),
        ("training.recipe", "{}", "training.recipe is something else; expected a configuration and a modality"),
        ("history", {}, "history.history is missing"),
        ("history.history", {"loss": ["a"]}, "history.history is something else"),
        ("history.evaluations", [[1]], "history.evaluations is something else; expected rows of a step and a loss"),
        ("history.every", 0, "history.every is something else"),
        ("arrays", {}, "arrays.file is missing"),
        ("arrays.sha256", None, "arrays.sha256 is something else; expected a SHA-256, got None"),
    ],
)
def test_every_part_of_a_damaged_manifest_is_named(path, value, message):
    manifest = {
        "format": 2,
        "step": 2,
        "training": copy.deepcopy(training()),
        "history": copy.deepcopy(HISTORY),
        "arrays": {"file": "f", "sha256": "0"},
    }
    assert checked_manifest(copy.deepcopy(manifest), source="m") == manifest
    *above, last = path.split(".")
    place = manifest
    for key in above:
        place = place[key]
    place[last] = value
    with pytest.raises(StorageError, match=f"^m is damaged: {message}"):
        checked_manifest(manifest, source="m")


def test_a_rate_that_rises_to_the_end_is_remarked(monkeypatch):
    monkeypatch.setattr(course.Course, "_stretches", lambda *arguments: None)
    notes = []
    for warm_up in (4, 5):
        settings = TrainingSettings(warm_up=warm_up)
        Trainer(Normal(), settings).fit(X, steps=5, progress=lambda event: notes.append(event.note))
    said = "the learning rate is still rising at the end: a warm_up of 5 steps in a training of 5"
    assert [note for note in notes if note] == [said]


def test_numbers_of_large_batches_are_made_ready_for_few_steps(monkeypatch):
    shapes = []

    def seen(program, state, examples, numbers, *others):
        shapes.append(numbers.shape)
        raise ArithmeticError

    monkeypatch.setattr(course, "advance", seen)
    for batch_size in (4, 2**15):
        with pytest.raises(ArithmeticError):
            Trainer(Normal(), TrainingSettings(batch_size=batch_size)).fit(np.ones((2**15, 2), np.float32), steps=600)
    assert shapes == [(512, 1, 4), (128, 1, 2**15)]
