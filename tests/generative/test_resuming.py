"""Trainings that were stopped: gone on with, they are the uninterrupted ones; others are refused."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from trained_models import BITS, Duel, Normal, OwnStream, same, vae

from modelwright.core.errors import ConfigurationError, StorageError
from modelwright.factory.stored_models import load_model
from modelwright.generative.training import Trainer, TrainingSettings, course


def test_a_resumed_training_is_the_uninterrupted_one(tmp_path):
    settings = TrainingSettings(batch_size=16, schedule="constant", ema=0.9)
    whole, parts = vae(), vae()
    Trainer(whole, settings).fit(BITS, steps=50)
    Trainer(parts, settings).fit(BITS, steps=23, checkpoint_dir=tmp_path)
    fit = Trainer(vae(rngs=9), settings).fit(BITS, steps=50, checkpoint_dir=tmp_path)
    assert fit.steps == 50
    assert not same(whole, parts)
    assert same(whole, fit.model)


def test_buffers_and_several_optimisers_are_resumed_too(tmp_path):
    x = np.arange(24.0).reshape(24, 1)
    settings = TrainingSettings(batch_size=4)
    whole, parts = Duel(), Duel()
    Trainer(whole, settings).fit(x, steps=20)
    Trainer(parts, settings).fit(x, steps=7, checkpoint_dir=tmp_path)
    fit = Trainer(Duel(), settings).fit(x, steps=20, checkpoint_dir=tmp_path)
    assert same(whole, fit.model)
    assert int(fit.model.place[...]) == 40


def test_streams_of_keys_within_a_model_are_resumed_too(tmp_path):
    x = np.random.default_rng(0).normal(size=(24, 2)).astype(np.float32)
    settings = TrainingSettings(batch_size=4)
    whole, parts = OwnStream(), OwnStream()
    Trainer(whole, settings).fit(x, steps=20)
    Trainer(parts, settings).fit(x, steps=7, checkpoint_dir=tmp_path)
    resumed = Trainer(OwnStream(), settings).fit(x, steps=20, checkpoint_dir=tmp_path).model
    assert (whole.mean[...] == resumed.mean[...]).all()
    assert int(resumed.dropout.rngs.count[...]) == 20


KILLED = """
import os, sys, signal
import numpy as np
from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.training import Trainer, TrainingSettings
config = ModelConfiguration(name="x", model_class="modelwright.generative.vae.VAE", input_dim=6, hidden_dims=[8],
                            output_dim=2)
bits = np.random.default_rng(0).integers(0, 2, (96, 6))
def watch(event):
    if event.done >= 40 and len(sys.argv) > 2:
        os.kill(os.getpid(), signal.SIGKILL)
Trainer(create_model(config, rngs=0), TrainingSettings(batch_size=16)).fit(
    bits, steps=400, checkpoint_dir=sys.argv[1], checkpoint_seconds=0.0, progress=watch, evaluate_every=10)
"""


def test_a_killed_training_resumes_to_the_bit(tmp_path):
    def run(*arguments):
        code = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False, env=os.environ, timeout=300)
        return code.returncode

    assert run(str(tmp_path / "killed"), "kill") < 0
    kept = json.loads((tmp_path / "killed" / "manifest.json").read_text(encoding="utf-8"))
    assert 0 < kept["step"] < 400
    assert run(str(tmp_path / "killed")) == 0
    assert run(str(tmp_path / "whole")) == 0
    states = [next((tmp_path / name).glob("state-400-*.safetensors")).read_bytes() for name in ("killed", "whole")]
    assert states[0] == states[1]


def test_a_checkpoint_of_another_training_is_refused(tmp_path):
    Trainer(vae(), TrainingSettings(batch_size=16)).fit(BITS, steps=5, checkpoint_dir=tmp_path)
    with pytest.raises(
        ConfigurationError, match=r"learning_rate: the checkpoint in .* is of another training; expected"
    ):
        Trainer(vae(), TrainingSettings(batch_size=16, learning_rate=0.1)).fit(BITS, steps=9, checkpoint_dir=tmp_path)
    fit = Trainer(vae(), TrainingSettings(batch_size=16)).fit
    shape = rf"int32 of shape \({len(BITS)}, 6\)"
    for data, more, message in (
        (1 - BITS, {}, rf"^data: .*; expected {shape} as in the checkpoint, got others of the same shape;"),
        (BITS[1:], {}, rf"^data: .*; expected {shape} as in the checkpoint, got int32 of shape "),
        (BITS, {"eval_data": BITS}, rf"^eval_data: .*; expected none as in the checkpoint, got {shape};"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            fit(data, steps=9, checkpoint_dir=tmp_path, **more)
    fit = Trainer(vae(), TrainingSettings(batch_size=16, learning_rate=0.1)).fit(
        BITS, steps=9, checkpoint_dir=tmp_path, resume=False
    )
    assert fit.steps == 9


def test_what_is_held_out_and_how_often_it_is_looked_at_make_a_training(tmp_path):
    fit = Trainer(vae(), TrainingSettings(batch_size=16)).fit
    fit(BITS, steps=5, eval_data=BITS, evaluate_every=5, checkpoint_dir=tmp_path)
    for more, message in (
        ({"eval_data": 1 - BITS, "evaluate_every": 5}, r"^eval_data: .*, got others of the same shape;"),
        ({"eval_data": BITS[1:], "evaluate_every": 5}, r"^eval_data: .*, got int32 of shape \(95, 6\);"),
        ({}, r"^eval_data: .*; expected int32 of shape .* as in the checkpoint, got none;"),
        ({"eval_data": BITS, "evaluate_every": 2}, r"^evaluate_every: .*; expected 5 as in the checkpoint, got 2;"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            fit(BITS, steps=9, checkpoint_dir=tmp_path, **more)


@pytest.mark.parametrize("at", [10, 20])
def test_a_look_that_was_broken_off_is_made_again(tmp_path, monkeypatch, at):
    settings, look = TrainingSettings(learning_rate=0.01), course.held_out_loss
    arguments = {"steps": 20, "eval_data": BITS[:32], "evaluate_every": 5, "patience": 3}
    whole = Trainer(vae(), settings).fit(BITS, **arguments)
    calls = []

    def broken_off(*given):
        calls.append(given)
        if 5 * len(calls) == at:
            raise KeyboardInterrupt  # as the second Ctrl-C does
        return look(*given)

    monkeypatch.setattr(course, "held_out_loss", broken_off)
    with pytest.raises(KeyboardInterrupt):
        Trainer(vae(), settings).fit(BITS, checkpoint_dir=tmp_path, **arguments)
    monkeypatch.setattr(course, "held_out_loss", look)
    resumed = Trainer(vae(), settings).fit(BITS, checkpoint_dir=tmp_path, **arguments)
    assert resumed.evaluations == whole.evaluations
    assert [step for step, _ in whole.evaluations] == [5, 10, 15, 20]
    assert same(resumed.model, whole.model)


def test_an_interrupt_waits_until_steps_are_made(tmp_path, monkeypatch):
    settings, advance, calls = TrainingSettings(learning_rate=0.01), course.advance, []
    whole = Trainer(vae(), settings).fit(BITS, steps=60)

    def pressed_meanwhile(*arguments):
        found = advance(*arguments)  # what was given is donated, and what came back not yet anybody's
        calls.append(arguments)
        if len(calls) == 3:
            signal.raise_signal(signal.SIGINT)
        return found

    monkeypatch.setattr(course, "advance", pressed_meanwhile)
    with pytest.raises(KeyboardInterrupt):
        Trainer(vae(), settings).fit(BITS, steps=60, checkpoint_dir=tmp_path)
    assert len(calls) == 3
    fit = Trainer(vae(), settings).fit(BITS, steps=60, checkpoint_dir=tmp_path, resume=True)
    assert same(fit.model, whole.model)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_steps_that_were_broken_off_leave_the_checkpoint_before(tmp_path, monkeypatch):
    settings = TrainingSettings(learning_rate=0.01)
    Trainer(vae(), settings).fit(BITS, steps=20, checkpoint_dir=tmp_path)
    kept = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    advance = course.advance

    def broken(*arguments):
        advance(*arguments)  # what was given is donated: there is nothing left to be kept
        raise KeyboardInterrupt

    monkeypatch.setattr(course, "advance", broken)
    with pytest.raises(KeyboardInterrupt):
        Trainer(vae(), settings).fit(BITS, steps=40, checkpoint_dir=tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == kept


def test_a_checkpoint_is_a_model_too(tmp_path):
    arguments = {"eval_data": BITS[:32], "evaluate_every": 2, "patience": 3, "checkpoint_dir": tmp_path}
    fit = Trainer(vae(), TrainingSettings(learning_rate=0.2)).fit(BITS, steps=60, **arguments)
    assert fit.best[0] < fit.steps
    model = load_model(tmp_path)
    assert same(model, fit.model)
    assert model.begun


@pytest.mark.parametrize("ema", [None, 0.9])
def test_a_checkpoint_whose_last_look_is_the_best_is_the_model_of_that_look(tmp_path, ema):
    arguments = {"eval_data": BITS, "evaluate_every": 20, "patience": 5, "checkpoint_dir": tmp_path}
    fit = Trainer(vae(), TrainingSettings(learning_rate=0.01, ema=ema)).fit(BITS, steps=49, **arguments)
    assert fit.best[0] == 49
    assert same(load_model(tmp_path), fit.model)


def test_a_damaged_manifest_is_told_from_none(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": 2}')
    with pytest.raises(StorageError, match=r"manifest.json is damaged: step is missing"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text('{"format": 1}')
    with pytest.raises(StorageError, match=r"model.json describes no model: configuration is missing"):
        load_model(tmp_path)


def test_a_folder_that_takes_no_checkpoints_is_refused_before_a_step_is_made(tmp_path):
    (tmp_path / "file").touch()
    model = vae()
    with pytest.raises(StorageError):
        Trainer(model).fit(BITS, steps=1, checkpoint_dir=tmp_path / "file")
    assert same(model, vae())


def test_what_was_trained_is_in_the_model_although_the_disk_is_full(tmp_path, monkeypatch):
    def full(*arguments):
        raise StorageError("no space left on device")

    monkeypatch.setattr(course, "write_checkpoint", full)
    model, settings = vae(), TrainingSettings(learning_rate=0.01)
    with pytest.raises(StorageError):
        Trainer(model, settings).fit(BITS, steps=5, checkpoint_dir=tmp_path)
    assert same(model, Trainer(vae(), settings).fit(BITS, steps=5).model)


def test_a_checkpoint_of_a_model_made_by_hand_is_no_model(tmp_path):
    Trainer(Normal(), TrainingSettings()).fit(np.ones((8, 2)), steps=2, checkpoint_dir=tmp_path)
    with pytest.raises(ConfigurationError, match=r"model: the checkpoint in .* not made from a configuration alone"):
        load_model(tmp_path)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    Trainer(vae(), TrainingSettings(batch_size=16)).fit(BITS, steps=5, checkpoint_dir=tmp_path)
    arrays = next(tmp_path.glob("state-*.safetensors"))
    arrays.write_bytes(arrays.read_bytes()[:-3])
    with pytest.raises(StorageError, match=r"is damaged"):
        Trainer(vae(), TrainingSettings(batch_size=16)).fit(BITS, steps=9, checkpoint_dir=tmp_path)


def test_resuming_needs_a_checkpoint(tmp_path):
    with pytest.raises(ConfigurationError, match=r"resume: there is no checkpoint to resume from"):
        Trainer(vae()).fit(BITS, steps=5, checkpoint_dir=tmp_path, resume=True)


def test_what_ended_early_is_not_gone_on_with(tmp_path):
    generator = np.random.default_rng(2)
    x, held_out = generator.standard_normal((2, 32, 2)).astype(np.float32)
    arguments = {"steps": 4000, "eval_data": held_out, "evaluate_every": 1, "patience": 5, "checkpoint_dir": tmp_path}
    settings = TrainingSettings(batch_size=32, learning_rate=0.2)
    first = Trainer(Normal(), settings).fit(x, **arguments)
    again = Trainer(Normal(), settings).fit(x, **arguments)
    assert (again.ended, again.steps) == ("early", first.steps)


def test_fewer_steps_than_the_checkpoint_has_are_refused(tmp_path):
    Trainer(vae(), TrainingSettings(batch_size=16)).fit(BITS, steps=9, checkpoint_dir=tmp_path)
    with pytest.raises(ConfigurationError, match=r"steps: the checkpoint in .* has made 9 steps; expected at least 9"):
        Trainer(vae(), TrainingSettings(batch_size=16)).fit(BITS, steps=5, checkpoint_dir=tmp_path)


def test_more_patience_goes_on(tmp_path):
    generator = np.random.default_rng(2)
    x, held_out = generator.standard_normal((2, 32, 2)).astype(np.float32)
    arguments = {"steps": 200, "eval_data": held_out, "evaluate_every": 1, "checkpoint_dir": tmp_path}
    settings = TrainingSettings(batch_size=32, learning_rate=0.2)
    first = Trainer(Normal(), settings).fit(x, patience=3, **arguments)
    again = Trainer(Normal(), settings).fit(x, patience=1000, **arguments)
    assert first.ended == "early"
    assert (again.ended, again.steps) == ("complete", 200)


def test_a_longer_training_forgets_the_look_at_the_end_of_the_shorter_one(tmp_path):
    x, held_out = np.full((8, 2), 10.0, np.float32), np.full((4, 2), 0.55, np.float32)
    arguments = {"eval_data": held_out, "evaluate_every": 2, "patience": 100}
    settings = TrainingSettings(batch_size=8, learning_rate=0.2)  # far from 10 each step is about as long as that

    def mean(fit):
        return float(fit.model.mean[...][0])

    for _ in range(2):  # trained, and read back
        short = Trainer(Normal(), settings).fit(x, steps=3, checkpoint_dir=tmp_path, **arguments)
        assert (short.best[0], mean(short)) == (3, pytest.approx(0.6, rel=0.02))
    longer = Trainer(Normal(), settings).fit(x, steps=6, checkpoint_dir=tmp_path, **arguments)
    whole = Trainer(Normal(), settings).fit(x, steps=6, **arguments)
    assert longer.evaluations == whole.evaluations
    assert (longer.best[0], mean(longer)) == (2, mean(whole)) == (2, pytest.approx(0.4, rel=0.02))


def test_losses_that_are_not_finite_are_read_back(tmp_path):
    x = np.ones((8, 2), np.float32)
    far = np.full((4, 2), 3e38, np.float32)  # whose square is no number of single precision
    arguments = {"eval_data": far, "evaluate_every": 2, "checkpoint_dir": tmp_path}
    Trainer(Normal(), TrainingSettings(batch_size=4)).fit(x, steps=4, **arguments)
    fit = Trainer(Normal(), TrainingSettings(batch_size=4)).fit(x, steps=6, **arguments)
    assert [loss for _, loss in fit.evaluations] == [np.inf] * 3
