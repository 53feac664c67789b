"""The model's picture says which priors hold."""

import xml.etree.ElementTree as ElementTree

import pytest

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.outcome import model_picture
from modelwright.data.events import EventCounts


@pytest.mark.parametrize(
    ("settings", "shown"),
    [
        ({}, ["Exponential(0.1)", "HalfNormal(2)", "Gamma(mu alpha, alpha)"]),
        ({"phi_prior": "half_student_t(3, 1)"}, ["Exponential(0.1)", "HalfStudentT(3, 1)"]),
        (
            {"shape_prior": "exponential(1)", "alpha_prior": "gamma(0.1, 1)"},
            ["Exponential(1)", "Gamma(0.1, 1)", "Gamma(shape, alpha)", ">shape<"],
        ),
    ],
)
def test_the_models_picture_shows_the_priors_that_hold(settings: dict, shown: list[str]) -> None:
    data = EventCounts.from_arrays(entity=["a", "b"], count=[1, 2])
    picture = model_picture(data, ModelConfig.create(**settings))
    drawn = picture.content.decode()
    ElementTree.fromstring(drawn)
    assert [text for text in shown if text not in drawn] == []
    assert ("shape" if "shape_prior" in settings else "mu") in picture.alt
