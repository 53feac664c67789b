"""The trainer: what it computes against plain loops, what it costs, and what it refuses."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from trained_models import BITS, Duel, Normal, Slopes, codes, leaves, vae

from modelwright.configuration import ModelConfiguration
from modelwright.core.seeds import named_seed
from modelwright.factory import create_model
from modelwright.generative.protocol import Loss
from modelwright.generative.training import Rows, Trainer, TrainingDefaults, TrainingSettings, Windows
from modelwright.generative.training.evaluation import held_out_loss
from modelwright.generative.training.examples import numbers_of_steps
from modelwright.generative.training.placement import Placement
from modelwright.generative.training.steps import MOST_LOST, advance


def test_steps_are_those_of_a_plain_loop():
    settings = TrainingSettings(batch_size=16, learning_rate=0.05, clip=1.0)
    x = np.random.default_rng(1).standard_normal((64, 2)).astype(np.float32) + 3.0
    fit = Trainer(Normal(), settings).fit(x, steps=30)
    mean = jnp.zeros(2)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.05))
    state = optimizer.init(mean)
    for step in range(30):
        batch = x[numbers_of_steps(64, 16, step, 1, 0)[0]]
        gradient = jax.grad(lambda mean, batch=batch: 0.5 * jnp.square(batch - mean).sum(-1).mean())(mean)
        changes, state = optimizer.update(gradient, state)
        mean = optax.apply_updates(mean, changes)
    # the same formula in single precision, thirty times over
    np.testing.assert_allclose(fit.model.mean[...], mean, rtol=1e-5)


def test_every_example_comes_once_in_an_epoch():
    numbers = numbers_of_steps(12, 4, 0, 6, seed=3)
    assert sorted(numbers[:3].ravel()) == list(range(12))
    assert sorted(numbers[3:].ravel()) == list(range(12))
    assert (numbers[:3] != numbers[3:]).any()


def test_the_order_follows_from_seed_and_step():
    whole = numbers_of_steps(10, 3, 0, 9, seed=5)
    assert (numbers_of_steps(10, 3, 4, 5, seed=5) == whole[4:]).all()
    assert (numbers_of_steps(10, 3, 0, 9, seed=6) != whole).any()


def test_objectives_move_their_own_parameters_in_their_turns():
    x = np.arange(24.0).reshape(24, 1)
    fit = Trainer(Duel(), TrainingSettings(batch_size=4)).fit(x, steps=3)
    # Adam's first update has the length of the learning rate; the generator had one turn of three steps
    np.testing.assert_allclose(fit.model.generator[...], 1.0 - 1e-3, rtol=1e-5)
    assert abs(float(fit.model.critic[...]) - 1.0) > 2e-3
    assert set(fit.history) == {
        "step",
        *(f"{who} {what}" for who in ("critic", "generator") for what in ("loss", "gradient norm")),
        "generator product",
        "generator seen",
    }
    # a whole number, seen in the generator's turn alone: after the two updates of the critic before it
    np.testing.assert_array_equal(fit.history["generator seen"], [2.0, np.nan, np.nan])


def test_updates_that_are_no_numbers_are_left_out_and_end_the_training():
    x = np.ones((8, 2), np.float32)
    fit = Trainer(Normal(broken_from=5), TrainingSettings(batch_size=4)).fit(x, steps=2000)
    assert fit.ended == "diverged"
    assert np.isfinite(fit.model.mean[...]).all()
    assert fit.skipped == fit.steps - 5 == MOST_LOST + 1


def test_what_is_made_every_third_step_diverges_too():
    class Broken(Duel):
        def objectives(self):
            return tuple(replace(each, loss=self._broken) for each in super().objectives())

        @staticmethod
        def _broken(model, batch, key, step):
            return Loss(model.critic[...] * model.generator[...] * jnp.nan, {})

    fit = Trainer(Broken(), TrainingSettings(batch_size=4)).fit(np.arange(24.0).reshape(24, 1), steps=3000)
    assert fit.ended == "diverged"
    assert fit.steps < 20


def test_one_objective_that_is_lost_ends_the_training_of_all():
    class Lost(Duel):
        @staticmethod
        def _critic(model, batch, key, step):
            return Loss(model.critic[...] * jnp.nan, {})

    fit = Trainer(Lost(), TrainingSettings(batch_size=4)).fit(np.arange(24.0).reshape(24, 1), steps=3000)
    assert fit.ended == "diverged"
    assert fit.steps == MOST_LOST // 2 + 1  # two updates of the critic in each


@pytest.mark.parametrize(
    ("settings", "of_step"),
    [
        ({"schedule": "linear"}, [1.0, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]),
        ({"warm_up": 3}, [0.0, 1 / 3, 2 / 3, 1.0, 1.0, 1.0]),
    ],
)
def test_learning_rates_are_those_of_the_step_however_many_updates_it_has(settings, of_step):
    fit = Trainer(Slopes(), TrainingSettings(learning_rate=1.0, **settings)).fit(np.ones((8, 1)), steps=6)
    # single precision
    assert float(fit.model.kernel[...]) == pytest.approx(1.0 + 2 * sum(of_step), rel=1e-5)
    assert float(fit.model.bias[...]) == pytest.approx(1.0 + of_step[0] + of_step[3], rel=1e-5)


def test_weight_decay_pulls_kernels_alone():
    settings = TrainingSettings(learning_rate=0.1, weight_decay=0.5)
    fit = Trainer(Slopes(slope=0.0), settings).fit(np.ones((8, 1)), steps=6)
    assert float(fit.model.kernel[...]) == pytest.approx((1.0 - 0.1 * 0.5) ** 12, rel=1e-5)  # single precision
    assert float(fit.model.bias[...]) == 1.0


def test_patience_keeps_the_codebook_of_the_best_look():
    settings = TrainingSettings(batch_size=16, learning_rate=0.05)
    arguments = {"steps": 60, "eval_data": BITS[:32], "evaluate_every": 5, "patience": 100}
    fit = Trainer(codes(), settings).fit(BITS[32:], **arguments)
    graph, params, rest = nnx.split(fit.model, nnx.Param, ...)
    key = jax.random.key(named_seed(settings.seed, "training"))
    again = held_out_loss(graph, params, rest, Rows(jnp.asarray(BITS[:32])), 256, key)
    assert fit.best[0] < 60
    assert again == pytest.approx(fit.best[1], rel=1e-6)  # the same computation in single precision


def test_patience_of_the_configuration_is_used():
    config = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.vae.VAE",
        input_dim=6,
        hidden_dims=[8],
        output_dim=2,
        metadata={"training_defaults": {"steps": 400, "patience": 1, "learning_rate": 0.05}},
    )
    assert Trainer(create_model(config, rngs=0)).fit(BITS, eval_data=BITS[:16], evaluate_every=2).ended == "early"


def test_models_begin_with_examples_from_everywhere():
    config = ModelConfiguration(name="x", model_class="modelwright.generative.flow.MAF", input_dim=1, hidden_dims=[4])
    x = np.sort(np.random.default_rng(0).standard_normal((4000, 1)), axis=0)
    fit = Trainer(create_model(config, rngs=0), TrainingSettings(learning_rate=1e-9)).fit(x, steps=1)
    # entropy 1.42; the first 512 of the sorted numbers have another mean and spread, and gave 8.4
    assert fit.history["loss"][0] < 1.8


def test_patience_keeps_the_best_parameters():
    generator = np.random.default_rng(2)
    x, held_out = generator.standard_normal((2, 32, 2)).astype(np.float32)
    settings = TrainingSettings(batch_size=32, learning_rate=0.2)
    fit = Trainer(Normal(), settings).fit(x, steps=4000, eval_data=held_out, evaluate_every=1, patience=5)
    assert fit.ended == "early"
    assert fit.steps - fit.best[0] == 5
    again = -np.asarray(fit.model.log_prob(jnp.asarray(held_out)).value).mean()
    np.testing.assert_allclose(again, fit.best[1], rtol=1e-5)  # the same formula in single precision


def test_held_out_losses_count_every_example_once():
    x = np.random.default_rng(3).standard_normal((37, 2)).astype(np.float32)
    fit = Trainer(Normal(), TrainingSettings(batch_size=8)).fit(x, steps=1, eval_data=x)
    exact = -np.asarray(fit.model.log_prob(jnp.asarray(x)).value).mean()
    np.testing.assert_allclose(fit.evaluations[-1][1], exact, rtol=1e-5)  # single precision


def test_an_average_follows_the_parameters():
    fit = Trainer(Slopes(), TrainingSettings(learning_rate=0.1, ema=0.5)).fit(np.ones((8, 1)), steps=12)
    average = 1.0
    for step in range(12):
        parameter = 1.0 + 0.2 * (step + 1)  # two updates of 0.1 in each step
        decay = min(0.5, (1 + step) / (10 + step))  # the second from step 8 on
        average = decay * average + (1.0 - decay) * parameter
    assert float(fit.model.kernel[...]) == pytest.approx(average, rel=1e-5)  # single precision


def test_half_precision_is_that_of_the_parameters_in_the_loss_alone():
    seen = []

    class Seen(Normal):
        def loss(self, batch, *, key, step):
            seen.append(self.mean[...].dtype)
            return super().loss(batch, key=key, step=step)

    fit = Trainer(Seen(), TrainingSettings(batch_size=4, precision="bfloat16")).fit(np.ones((8, 2)), steps=1)
    assert set(seen) == {jnp.dtype(jnp.bfloat16)}
    assert fit.model.mean[...].dtype == np.float32


def test_half_precision_leaves_what_is_exact_alone():
    config = ModelConfiguration(
        name="x", model_class="modelwright.generative.flow.RealNVP", input_dim=2, hidden_dims=[4], parameters={}
    )
    x = np.random.default_rng(0).normal([1001.9, -501.1], 1.0, (256, 2))
    settings = TrainingSettings(batch_size=256, learning_rate=1e-9, precision="bfloat16")
    fit = Trainer(create_model(config, rngs=0), settings).fit(x, steps=1, eval_data=x)
    # shifts of the data in half precision would be off by up to 2 of their deviations; networks are off by 1/256
    assert fit.history["loss"][0] == pytest.approx(fit.evaluations[-1][1], abs=0.02)


def test_half_precision_is_near_single():
    single = Trainer(vae(), TrainingSettings(batch_size=96)).fit(BITS, steps=3).history["loss"]
    half = Trainer(vae(), TrainingSettings(batch_size=96, precision="bfloat16")).fit(BITS, steps=3)
    # eight bits of mantissa: a relative 1/256 in every activation
    np.testing.assert_allclose(half.history["loss"], single, rtol=0.02)
    assert all(leaf.dtype == np.float32 for leaf in leaves(half.model))


def test_stretches_of_any_length_share_one_program():
    before = advance._cache_size()
    Trainer(vae(), TrainingSettings(batch_size=16)).fit(BITS, steps=130, evaluate_every=7)
    assert advance._cache_size() - before == 1


def test_windows_are_taken_everywhere():
    windows = Windows(jnp.arange(10), 4)
    assert windows.size == 7
    assert windows.take(jnp.array([0, 6])).x.tolist() == [[0, 1, 2, 3], [6, 7, 8, 9]]
    assert [Windows(jnp.arange(n), 4, stride=3).size for n in (0, 3, 4, 6, 7, 10)] == [0, 0, 1, 1, 2, 3]
    assert Windows(jnp.arange(10), 4, stride=3).take(jnp.array([2])).x.tolist() == [[6, 7, 8, 9]]


def test_conditions_go_with_their_examples():
    rows = Rows(jnp.arange(6.0)[:, None], jnp.arange(6))
    batch = rows.take(jnp.array([4, 1]))
    assert batch.x[:, 0].tolist() == batch.cond.tolist() == [4, 1]


def notes_of(fit):
    """The notes that a training leaves with whoever watches it."""
    notes = []
    fit(lambda event: notes.append(event.note) if event.note else None)
    return notes


def test_devices_that_stand_idle_are_told_of(monkeypatch):
    train = partial(Trainer(vae()).fit, BITS, steps=1)
    assert notes_of(lambda progress: train(batch_size=5, progress=progress)) == []
    monkeypatch.setattr(jax, "local_devices", lambda: jax.devices()[:1] * 4)
    (note,) = notes_of(lambda progress: train(batch_size=5, progress=progress))
    assert note == (
        "training on 1 of 4 devices: batches of 5 examples do not divide into more; "
        "a batch_size that is a multiple of 4 uses all"
    )


def test_going_on_with_other_devices_is_told_of(monkeypatch, tmp_path):
    train = partial(Trainer(vae(), TrainingSettings(batch_size=8)).fit, BITS, checkpoint_dir=tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(Placement, "n_devices", 4)
        train(steps=1)
    notes = notes_of(lambda progress: train(steps=2, progress=progress))
    assert any(note.startswith("going on with 1 in place of 4 devices: sums over a batch") for note in notes)
    notes = notes_of(lambda progress: train(steps=3, progress=progress))
    assert not any("devices" in note for note in notes)


SHARDED = """
import jax, numpy as np, json, sys
from flax import nnx
from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.training import Trainer, TrainingSettings, course
config = ModelConfiguration(name="x", model_class="modelwright.generative.vae.VAE", input_dim=6, hidden_dims=[8],
                            output_dim=2)
bits = np.random.default_rng(0).integers(0, 2, (96, 6))
texts = []
advance = course.advance
def seen(*arguments):
    if not texts:
        texts.append(advance.lower(*arguments).compile().as_text())
    return advance(*arguments)
course.advance = seen
fit = Trainer(create_model(config, rngs=0), TrainingSettings(batch_size=16)).fit(bits, steps=40, eval_data=bits)
print(json.dumps({"devices": len(jax.devices()), "shared": "all-reduce" in texts[0], "loss": fit.evaluations[-1][1],
                  "params": [np.asarray(l).ravel().tolist() for l in jax.tree.leaves(nnx.state(fit.model))]}))
"""


def test_several_devices_reach_what_one_does():
    def run(count):
        flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
        found = subprocess.run(
            [sys.executable, "-c", SHARDED], check=True, env={**os.environ, **flags}, capture_output=True, timeout=300
        )
        return json.loads(found.stdout)

    one, four = run(1), run(4)
    assert (one["devices"], four["devices"]) == (1, 4)
    assert (one["shared"], four["shared"]) == (False, True)  # sums over the devices, each with its part of a batch
    # sums over the batch in another order, forty steps of Adam in single precision
    np.testing.assert_allclose(four["loss"], one["loss"], rtol=1e-3)
    for a, b in zip(one["params"], four["params"], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_training_defaults_of_the_configuration_are_used():
    config = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.vae.VAE",
        input_dim=6,
        hidden_dims=[8],
        output_dim=2,
        metadata={"training_defaults": {"batch_size": 12, "epochs": 2, "learning_rate": 0.02}},
    )
    model = create_model(config, rngs=0)
    assert TrainingDefaults.of(model).settings.learning_rate == 0.02
    assert Trainer(model).fit(BITS).steps == 16
