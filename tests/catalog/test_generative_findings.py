"""What the verdict says of trainings whose outcome is made up."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from modelwright.catalog.generative_findings import (
    course_finding,
    figure_finding,
    figures_of,
    held_out_finding,
    latent_finding,
    latent_findings,
)
from modelwright.configuration import ModelConfiguration
from modelwright.core.verdict import Grade
from modelwright.data.examples import Examples
from modelwright.factory import create_model
from modelwright.generative.training import Fit
from modelwright.generative.vae.report import LatentReport
from modelwright.zoo import ZooEntry


def fit(*losses, ended="complete", skipped=0):
    return Fit(None, 10 * len(losses), ended, {}, [(10 * k, loss) for k, loss in enumerate(losses)], 1.0, skipped)


def entry(**expected):
    return ZooEntry.from_mapping(
        {
            "name": "x",
            "model_class": "modelwright.generative.flow.MAF",
            "type": "flow",
            "description": "x",
            "expected": {"metric": "nats", "value": -5.0, "tolerance": 0.1, "minutes": 1, "data": "moons", **expected},
        }
    )


def figure(nats, error, *, size=2, is_text=False, own=(), data="moons", **expected):
    return figure_finding(entry(**expected), data, figures_of(nats, error, size, is_text=is_text), own)


@pytest.mark.parametrize("nats", [-7.0, 0.0, 7.0])
def test_errors_are_divided_as_their_figures_are(nats):
    bits, text = figures_of(nats, 0.7, 10, is_text=False), figures_of(nats, 0.7, 10, is_text=True)
    assert bits["nats"] == (nats, 0.7)
    assert bits["bits_per_dim"] == pytest.approx((nats / 10 / math.log(2), 0.07 / math.log(2)))
    assert text["nats_per_symbol"] == pytest.approx((nats / 10, 0.07))


@pytest.mark.parametrize(
    ("nats", "grade"), [(-5.2, "warning"), (-5.05, "good"), (-4.91, "good"), (-4.89, "problem"), (0.5, "problem")]
)
def test_a_figure_is_reached_within_its_tolerance_and_suspected_beyond(nats, grade):
    found = figure(nats, 3.0)  # how much examples differ is no reason: they are always the same
    assert str(found.grade) == grade


@pytest.mark.parametrize(
    ("metric", "is_text", "per_nat"), [("bits_per_dim", False, 2 * math.log(2)), ("nats_per_symbol", True, 2)]
)
def test_the_figure_per_number_has_its_own_unit(metric, is_text, per_nat):
    for nats, grade in ((-4.91, Grade.GOOD), (-4.89, Grade.PROBLEM)):
        found = figure(nats, 0.1, is_text=is_text, metric=metric, value=-5.0 / per_nat, tolerance=0.1 / per_nat)
        assert found.grade is grade


def test_a_figure_that_is_no_number_is_not_reached():
    assert figure(math.nan, 0.1).grade is Grade.PROBLEM


def test_a_figure_for_something_else_is_not_judged():
    assert "steps differ" in figure(-5.0, 0.1, own=["steps"]).sentence
    assert figure(-5.0, 0.1, data="rings").grade is Grade.UNKNOWN
    assert "days" in figure(-5.0, 0.1, construction_only="days").sentence


@pytest.mark.parametrize("offset", [-1000.0, -3.0, 0.0, 3.0, 1000.0])
def test_a_rise_is_judged_alike_whatever_the_units_of_the_data(offset):
    # In other units each density is multiplied by a constant: the losses move by as much, the rise stays.
    assert held_out_finding(fit(offset + 2.0, offset, offset + 0.05), 10, 0.01).grade is Grade.GOOD
    rising = held_out_finding(fit(offset + 2.0, offset, offset + 0.2), 10, 0.01)
    assert rising.grade is Grade.WARNING
    assert rising.value == pytest.approx(0.02)
    assert "at step 10" in rising.sentence


def test_a_rise_within_two_standard_errors_is_none():
    assert held_out_finding(fit(2.0, 1.0, 1.19), 10, 0.1).grade is Grade.GOOD
    assert held_out_finding(fit(2.0, 1.0, 1.21), 10, 0.1).grade is Grade.WARNING


def test_a_training_that_was_stopped_early_has_its_best_parameters():
    assert held_out_finding(fit(2.0, 1.0, 9.0, ended="early"), 1, 0.0).grade is Grade.GOOD


@pytest.mark.parametrize(("losses", "error"), [((), 0.1), ((1.0, math.nan), 0.1), ((1.0, 1.0), math.nan)])
def test_what_is_not_known_is_not_good(losses, error):
    found = held_out_finding(fit(*losses), 1, error)
    assert found.grade is Grade.UNKNOWN
    assert found.value is None


def test_updates_left_out_are_told():
    assert course_finding(fit(1.0), None).grade is Grade.GOOD
    assert course_finding(fit(1.0, skipped=2), None).grade is Grade.WARNING
    diverged = fit(1.0, skipped=2, ended="diverged")
    assert course_finding(diverged, None).grade is Grade.PROBLEM
    assert course_finding(diverged, None).advice.endswith("or clip the gradient.")
    assert course_finding(diverged, "raise max_steps").advice.endswith("or clip the gradient, or raise max_steps.")


@pytest.mark.parametrize(
    ("active", "n", "grade"), [(0, 2, "warning"), (1, 2, "good"), (1, 10, "good"), (1, 11, "warning"), (64, 64, "good")]
)
def test_a_latent_that_says_nothing_is_a_warning(active, n, grade):
    used = np.arange(n) < active
    found = latent_finding(LatentReport(used * 1.0, used * 0.5, used, 100))
    assert str(found.grade) == grade
    assert found.value == active
    assert ("the posterior has collapsed" in found.sentence) == (active == 0)
    assert bool(found.advice) == (grade == "warning")


@pytest.mark.parametrize(
    ("name", "shape", "modality", "parameters"),
    [("VAE", 4, None, {}), ("CVAE", 4, None, {"n_classes": 2}), ("VAE", (2, 2, 1), "image", {})],
)
def test_the_latent_of_an_autoencoder_is_looked_at(name, shape, modality, parameters):
    config = ModelConfiguration(
        name="x",
        model_class=f"modelwright.generative.vae.{name}",
        input_dim=shape,
        hidden_dims=[8],
        output_dim=2,
        parameters=parameters,
    )
    model = create_model(config, rngs=0, modality=modality)
    x = np.random.default_rng(0).integers(0, model.levels or 2, (20, *model.example_shape)).astype(np.uint8)
    part = Examples(x, np.arange(20) % 2)
    (found,) = latent_findings(model, part)
    assert found.value == 2  # what is not trained yet varies with the example, too
    last = (model if modality is None else model.inner).encoder.net.layers[-1]
    last.kernel[...] = jnp.zeros_like(last.kernel[...])
    (found,) = latent_findings(model, part)
    assert found.grade is Grade.WARNING
    assert "20 examples" in found.sentence


def test_a_model_without_a_normal_latent_has_no_such_finding():
    config = ModelConfiguration(name="x", model_class="modelwright.generative.flow.MAF", input_dim=2, hidden_dims=[4])
    assert latent_findings(create_model(config, rngs=0), Examples(np.zeros((3, 2)))) == ()
