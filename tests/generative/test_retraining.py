"""Models that are trained again: a start from the data comes once, whichever way a model came back."""

import json

import jax
import numpy as np
import pytest
from flax import nnx
from trained_models import BITS, codes, flow, vae

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
from modelwright.factory.stored_models import load_model, save_model
from modelwright.generative.training import Trainer, TrainingSettings

NOISE = np.random.default_rng(1).normal(size=(96, 6)).astype(np.float32)
MODELS = {
    # the codebook as good as stands still: what is seen of it is whether it was drawn anew
    "a codebook and the bias of a decoder": (lambda: codes(codebook_decay=0.999999, restart_share=0.0), BITS),
    "layers that standardise": (flow, NOISE + BITS),
}


def looked_at(model, data, **arguments):
    """The held-out loss after some steps."""
    learning_rate = arguments.pop("learning_rate", 0.03)
    settings = TrainingSettings(batch_size=32, learning_rate=learning_rate)
    return Trainer(model, settings).fit(data, eval_data=data, **arguments).evaluations[-1][1]


@pytest.mark.parametrize("name", MODELS)
def test_what_was_trained_is_not_begun_again(name, tmp_path):
    make, data = MODELS[name]
    model = make()
    trained = looked_at(model, data, steps=60, checkpoint_dir=tmp_path / "checkpoints")
    model = load_model(save_model(model, tmp_path / "model"))
    # Adam's step is at most about the learning rate: nothing has moved
    assert looked_at(model, data, steps=1, learning_rate=1e-9) == pytest.approx(trained, rel=1e-4)
    assert looked_at(model, data, steps=1, learning_rate=1e-9) == pytest.approx(trained, rel=1e-4)
    resumed = make()
    looked_at(resumed, data, steps=60, checkpoint_dir=tmp_path / "checkpoints")
    assert looked_at(resumed, data, steps=1, learning_rate=1e-9) == pytest.approx(trained, rel=1e-4)


def test_what_was_never_trained_is_begun_after_it_came_back(tmp_path):
    loss = [looked_at(model, BITS, steps=1) for model in (vae(), load_model(save_model(vae(), tmp_path)))]
    assert loss[0] == loss[1]


def test_a_model_trained_through_its_codec_has_begun_without_it():
    config = ModelConfiguration(
        name="x", model_class="modelwright.generative.flow.MAF", input_dim=(6,), hidden_dims=[4]
    )
    model = create_model(config, rngs=0, modality="image")
    graph, state = nnx.split(model)
    assert not nnx.merge(graph, state).inner.begun
    Trainer(model, TrainingSettings(batch_size=32)).fit(np.arange(576).reshape(96, 6) % 256, steps=1)
    assert model.begun
    assert model.inner.begun
    assert nnx.merge(*nnx.split(model)).begun
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model.inner))]
    Trainer(model.inner, TrainingSettings(batch_size=32, learning_rate=1e-9)).fit(NOISE, steps=1)
    for one, other in zip(before, jax.tree.leaves(nnx.state(model.inner)), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


def test_data_are_looked_at_again_by_a_model_that_has_begun():
    model = vae()
    Trainer(model, TrainingSettings(batch_size=32)).fit(BITS, steps=1)
    model.levels = None  # whatever else would have refused them
    with pytest.raises(ConfigurationError, match=r"the Bernoulli likelihood has no probability for some of the data"):
        Trainer(model, TrainingSettings(batch_size=32)).fit(BITS + 0.25, steps=1)


def test_what_a_stored_model_brings_and_nobody_reads_keeps_nobody_from_training_it():
    model = vae()
    made_from = json.loads(model.recipe)
    made_from["configuration"]["metadata"] = {"training_defaults": {"final_rate": 0.1, "steps": 3}}  # accepted once
    model.recipe = json.dumps(made_from)
    assert Trainer(model).fit(BITS).steps == 3
    assert Trainer(model, TrainingSettings(schedule="cosine")).fit(BITS, steps=2).steps == 2
