"""Trainings of zoo entries from data to outcome, those that go wrong or can be asked little among them."""

import json
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from modelwright.catalog import generative_training
from modelwright.catalog.generative_pictures import image_grid, loss_picture, points_png
from modelwright.catalog.generative_training import train_entry
from modelwright.core.errors import DataError
from modelwright.core.progress import ignore_progress
from modelwright.core.verdict import Grade
from modelwright.data.examples import load_examples
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Loss
from modelwright.generative.training import Fit
from modelwright.zoo import zoo


def finding(outcome, name):
    return next(found for found in outcome.verdict.findings if found.name == name)


@pytest.mark.parametrize(
    "losses",
    [
        [3.0, 2.0, 1.0, math.nan],
        [math.nan] * 4,
        [3.0, math.inf, 2.0, -math.inf, 1.0],
        [],
    ],
)
def test_a_loss_that_is_not_finite_has_a_picture(losses):
    history = {"step": [float(k) for k in range(len(losses))], "loss": losses}
    fit = Fit(None, len(losses), "diverged", history, [(1, math.nan)], 1.0, 3)
    assert loss_picture(fit).content.startswith(b"<?xml")


DIVERGING = {"seed": 0, "steps": 400, "learning_rate": 1e3}


def test_a_training_that_diverged_is_kept(tmp_path):
    outcome = train_entry(
        zoo, "flow_moons", load_examples("moons"), DIVERGING, folder=tmp_path, progress=ignore_progress
    )
    assert finding(outcome, "course").grade is Grade.PROBLEM
    assert math.isnan(outcome.documents["history"]["loss"][-1])


def test_a_training_that_diverged_is_not_gone_on_with_whatever_happens_to_its_report(tmp_path):
    def pressed(event):
        if event.stage == "check":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_entry(zoo, "flow_moons", load_examples("moons"), DIVERGING, folder=tmp_path, progress=pressed)
    assert list(tmp_path.iterdir()) == []  # no lock, either


class Normal(AbstractGenerativeModel):
    """A normal distribution of unit spread, which offers what a test wants of it."""

    family = "normal"
    offers = frozenset({"sample", "log_prob"})

    def __init__(self, kind):
        self.mean = nnx.Param(jnp.zeros(2))
        self.example_shape = (2,)
        self.kind = kind
        self.recipe = json.dumps({"configuration": zoo.configuration("flow_moons", steps=3).to_document()})

    def loss(self, batch, *, key, step):
        return Loss(0.5 * ((batch.x - self.mean[...]) ** 2).sum(-1).mean(), {})

    def log_prob(self, x, *, key=None, cond=None):
        return LogProb(-0.5 * ((x - self.mean[...]) ** 2).sum(-1), self.kind)

    def sample(self, n, *, key, cond=None):
        return self.mean[...] + jax.random.normal(key, (n, 2))


class Sampling(Normal):
    """The same without log probabilities."""

    offers = frozenset({"sample"})
    log_prob = AbstractGenerativeModel.log_prob


@dataclass
class OwnZoo:
    """A zoo of one model, made by hand."""

    model: AbstractGenerativeModel

    def entry(self, name):
        return zoo.entry("flow_moons")

    def configuration(self, name, **overrides):
        return zoo.configuration("flow_moons", **overrides)

    def create_model(self, name, *, rngs, **overrides):
        return self.model


@pytest.mark.parametrize(
    ("model", "sentence", "said"),
    [
        (Sampling("exact"), "no figure: Sampling gives no log probabilities", None),
        (
            Normal("unnormalized"),
            "no figure: log probabilities of Normal are known up to a constant only",
            "On 1,000 examples held out: ",
        ),
    ],
)
def test_a_model_without_a_figure_is_trained_and_reported_without_one(tmp_path, model, sentence, said):
    overrides = {"seed": 0, "steps": 3}
    data = load_examples("moons")
    outcome = train_entry(OwnZoo(model), "mine", data, overrides, folder=tmp_path, progress=ignore_progress)
    assert finding(outcome, "figure").sentence == sentence
    assert finding(outcome, "figure").grade is Grade.UNKNOWN
    assert not {"nats", "nats_error", "bits_per_dim"} & set(outcome.metrics)
    assert outcome.metrics["steps"] == 3
    text = outcome.sections[0].text
    assert text == () if said is None else text[0].startswith(said) and "known up to a constant only" in text[0]


def test_samples_that_are_no_data_do_not_lose_what_was_trained(monkeypatch):
    def missing(*args, **options):
        raise DataError("3 numbers of images are missing", field="x")

    monkeypatch.setattr(generative_training, "drawn", missing)
    model = AbstractGenerativeModel()
    model.offers = frozenset({"sample"})
    assert generative_training._samples(model, None) == (None, "x: 3 numbers of images are missing")


def test_pictures_of_samples_that_are_no_numbers_show_the_others():
    points = np.random.default_rng(0).normal(size=(64, 2))
    far = np.concatenate([points, [[1e6, 0.0]]])
    content = points_png(np.concatenate([far, [[np.nan, 0.0]]]))
    assert content != points_png(far)  # it is said
    images = np.linspace(0.0, 1.0, 64).reshape(4, 4, 4, 1)
    damaged = images.copy()
    damaged[0, 0, 0] = np.nan
    assert image_grid(damaged) != image_grid(np.full_like(images, np.nan))
    assert image_grid(np.full_like(images, np.nan)) == image_grid(np.full_like(images, np.inf))
