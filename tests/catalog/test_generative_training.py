"""Trainings of zoo entries from data to outcome, those that go wrong or can be asked little among them."""

import math

import pytest

from modelwright.catalog.generative_pictures import loss_picture
from modelwright.catalog.generative_training import train_entry
from modelwright.core.progress import ignore_progress
from modelwright.core.verdict import Grade
from modelwright.data.examples import load_examples
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
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == []
