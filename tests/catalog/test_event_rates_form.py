"""The form of the event-rate model takes what its code takes: nothing is offered that would be refused further on."""

from typing import get_args

import pytest

from modelwright.bayesian.event_rates.config import Likelihood, ModelConfig, Parameterization
from modelwright.bayesian.event_rates.engines import Engine, Rates
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.forecast import LARGEST_HORIZON
from modelwright.bayesian.inference.samplers import ENGINES
from modelwright.catalog.model_registry import ModelRegistry
from modelwright.catalog.parameters import InferenceParameter
from modelwright.data.events import load_events

METADATA = ModelRegistry().get_model_metadata("event_rates")
TRAIN = {parameter.name: parameter for parameter in METADATA.train_params}
ASK = {parameter.name: parameter for parameter in METADATA.inference_params}


@pytest.mark.parametrize("name", [name for name, parameter in TRAIN.items() if parameter.type == "float"])
def test_bounds_of_the_form_are_those_of_the_configuration(name: str) -> None:
    settings = ModelConfig if name in ModelConfig.model_fields else Extensions
    schema = settings.model_json_schema()["properties"][name]
    assert (TRAIN[name].min_value, TRAIN[name].max_value) == (schema["minimum"], schema["maximum"])


@pytest.mark.parametrize(
    ("parameter", "known"),
    [
        (TRAIN["likelihood"], get_args(Likelihood)),
        (TRAIN["parameterization"], get_args(Parameterization)),
        (TRAIN["engine"], ("auto", "collapsed", *ENGINES)),
        (TRAIN["engine"], get_args(Engine)),
        (TRAIN["rates"], get_args(Rates)),
    ],
    ids=["likelihood", "parameterization", "samplers", "engine", "rates"],
)
def test_choices_of_the_form_are_those_of_the_code(parameter: InferenceParameter, known: tuple[str, ...]) -> None:
    assert set(parameter.options or ()) == set(known)


def test_the_form_asks_for_no_longer_a_horizon_than_a_forecast_reaches() -> None:
    assert ASK["horizon"].max_value == LARGEST_HORIZON


def test_data_options_of_the_form_are_those_of_the_loader() -> None:
    accepted = set(load_events.__kwdefaults__) | {"data", "entity"}
    assert {parameter.name for parameter in METADATA.data_params} <= accepted
    defaults = {p.name: p.default for p in METADATA.data_params if p.default is not None}
    assert defaults == {name: load_events.__kwdefaults__[name] for name in defaults}
