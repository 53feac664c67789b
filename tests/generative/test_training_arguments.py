"""What trainings are given: data, arguments and settings that are refused, and what numbers stay."""

import jax.numpy as jnp
import numpy as np
import pytest
from trained_models import BITS, vae

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.factory import create_model
from modelwright.generative.training import Rows, Trainer, TrainingSettings
from modelwright.generative.training.examples import as_examples


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((0, 6)), "data: there are no examples"),
        (np.zeros((4, 5)), r"data: examples of another shape than the model's; expected an array of shape \(n, 6\)"),
        (np.full((4, 6), np.nan), "data: 24 numbers are missing or infinite"),
        (Rows(jnp.full((4, 6), jnp.nan)), "data: 24 numbers are missing or infinite"),
        (np.array([["a"] * 6]), "data: not an array of numbers; .* got '<U1 of shape (1, 6)'"),
        (None, "data: not an array of numbers; expected examples along the first axis, .* got 'NoneType'"),
        ([[1, 0], [1]], "data: not an array of numbers; .* got 'list'"),
        ((BITS, np.zeros(3)), "data: conditions of other examples; expected 96 of them, got 3"),
        (BITS + 1, "data: numbers that the model does not know; expected whole numbers from 0 to 1, got '1 to 2'"),
    ],
)
def test_data_that_do_not_fit_are_refused(data, message):
    with pytest.raises(DataError, match=message.replace("(1, 6)", r"\(1, 6\)")):
        Trainer(vae()).fit(data, steps=1)


def test_large_whole_numbers_stay_what_they_are():
    config = ModelConfiguration(name="x", model_class="modelwright.generative.flow.MAF", input_dim=3, hidden_dims=[4])
    data = [[3_000_000_000, 1, 2**40]]
    assert as_examples(data, create_model(config, rngs=0)).x.tolist() == np.asarray(data, np.float32).tolist()
    with pytest.raises(DataError, match=r"data: numbers that the model does not know; .* got '5 to 4.29497e\+09'"):
        as_examples(np.array([[2**32 + 5] + [5] * 5]), vae())


def test_numbers_beyond_single_precision_are_refused():
    config = ModelConfiguration(name="x", model_class="modelwright.generative.flow.MAF", input_dim=2, hidden_dims=[4])
    model, largest = create_model(config, rngs=0), float(np.finfo(np.float32).max)
    assert as_examples(np.array([[largest, -largest]]), model).x.tolist() == [[largest, -largest]]
    for beyond in (1e300, -1e39):
        with pytest.raises(DataError, match="data: 1 numbers are beyond single precision"):
            as_examples(np.array([[beyond, 0.0]]), model)
    with pytest.raises(DataError, match="missing or infinite"):
        as_examples(np.array([[np.inf, 0.0]]), model)


@pytest.mark.parametrize("way", [lambda x: x, lambda x: (x, None), lambda x: list(x), lambda x: Rows(x)])
def test_masked_numbers_are_refused_and_counted(way):
    masked = np.ma.masked_array(np.zeros((5, 6)), np.zeros((5, 6), bool))
    if not isinstance(way(masked), Rows):  # those are arrays for JAX, which refuses any mask
        assert as_examples(way(masked), vae()).size == 5
    masked[1, 2:4] = np.ma.masked
    with pytest.raises(DataError, match="data: 2 numbers are masked; expected numbers that are all known; leave"):
        as_examples(way(masked), vae())


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(ConfigurationError, match=r"model: not a generative model; expected .*, got 'NoneType'"):
        Trainer(None)
    with pytest.raises(ConfigurationError, match=r"settings: not settings of a training; .* got 'dict'; make them"):
        Trainer(vae(), {"batch_size": 3})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps: not accepted; expected a whole number of at least 1, got 0"),
        ({"steps": 2.5}, "steps: not accepted"),
        ({}, "steps: for how long?"),
        ({"steps": 2, "patience": 3}, "patience: stopping early needs data that are not trained on"),
        ({"steps": 2, "resume": "yes"}, "resume: not accepted; expected True, False, 'auto' or 'if usable', got 'yes'"),
        ({"steps": 2, "resume": None}, "resume: not accepted; .*, got None"),
        ({"steps": 2, "batch_size": 0}, "batch_size: not accepted"),
        ({"steps": 2, "checkpoint_dir": 3}, "checkpoint_dir: not accepted; expected the path of a folder, got 3"),
        ({"steps": 2, "checkpoint_seconds": "60"}, "checkpoint_seconds: not accepted; expected a number of at least 0"),
        ({"steps": 2, "checkpoint_seconds": float("nan")}, "checkpoint_seconds: not accepted"),
        ({"steps": 2, "checkpoint_seconds": -5}, "checkpoint_seconds: not accepted"),
        ({"steps": 2, "progress": None}, "progress: not accepted; expected a function of a ProgressEvent, got None"),
    ],
)
def test_arguments_that_are_wrong_are_named(arguments, message):
    with pytest.raises(ConfigurationError, match=message.replace("?", r"\?")):
        Trainer(vae()).fit(BITS, **arguments)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": 0.0}, "learning_rate: not accepted; expected a number above 0 to 1000, got 0.0"),
        ({"learning_rate": float("nan")}, "learning_rate: not accepted"),
        ({"schedule": "cosin"}, "schedule: not accepted; expected one of constant, cosine, linear, got 'cosin'"),
        ({"final_rate": 0.1}, "final_rate: a constant learning rate does not fall; expected none .*, got 0.1; choose"),
        ({"ema": 1.0}, "ema: not accepted; expected a number from 0 to below 1, got 1.0"),
        ({"batch_size": 1.5}, "batch_size: not accepted; expected a whole number of at least 1, got 1.5"),
        ({"seed": -1}, "seed: not a seed"),
    ],
)
def test_settings_that_are_wrong_are_named(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        TrainingSettings(**settings)
