"""A parameter checks itself when made, and its value whenever one is given."""

import math

import numpy as np
import pytest

from modelwright.catalog.parameters import InferenceParameter, validate_parameters
from modelwright.core.errors import ConfigurationError

HORIZON = InferenceParameter(name="horizon", type="integer", default=7, min_value=1, max_value=10_000)
INTERVAL = InferenceParameter(name="interval", type="float", default=0.9, min_value=0.01, max_value=0.999)
ENTITY = InferenceParameter(name="entity", type="string", required=True)
DATA = InferenceParameter(name="data", type="string", required=True, default="digits")
ENGINE = InferenceParameter(name="engine", type="select", default="pymc", options=["pymc", "nutpie", "numpyro"])
STRICT = InferenceParameter(name="strict_mode", type="boolean", default=False)


def refused(parameter: InferenceParameter, value: object) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parameter.validate_value(value)
    assert caught.value.field == parameter.name
    return str(caught.value)


@pytest.mark.parametrize(
    ("parameter", "given", "taken"),
    [
        (HORIZON, 14, 14),
        (HORIZON, 1, 1),
        (HORIZON, 10_000, 10_000),
        (INTERVAL, 0.01, 0.01),
        (INTERVAL, 0.999, 0.999),
        (HORIZON, 4348.0, 4348),
        (HORIZON, "4348", 4348),
        (HORIZON, " 12 ", 12),
        (HORIZON, "4.348e3", 4348),
        (HORIZON, np.int64(3), 3),
        (HORIZON, np.float32(3.0), 3),
        (HORIZON, None, 7),
        (HORIZON, "", 7),
        (HORIZON, "  ", 7),
        (INTERVAL, "0.5", 0.5),
        (INTERVAL, ".5", 0.5),
        (ENTITY, "user 42", "user 42"),
        (ENTITY, "line\r\nbreak\tok", "line\nbreak\tok"),
        (ENGINE, "nutpie", "nutpie"),
        (ENGINE, "", "pymc"),
        (STRICT, "false", False),
        (STRICT, "No", False),
        (STRICT, "off", False),
        (STRICT, "0", False),
        (STRICT, 0, False),
        (STRICT, "TRUE", True),
        (STRICT, "on", True),
        (STRICT, 1, True),
        (STRICT, np.bool_(True), True),
    ],
)
def test_value_is_taken_as_the_declared_type(parameter, given, taken):
    value = parameter.validate_value(given)
    assert value == taken
    assert type(value) is type(taken)


@pytest.mark.parametrize(
    ("parameter", "given", "sentence"),
    [
        (HORIZON, 4348.5, "horizon: not a whole number; expected an integer from 1 to 10000, got 4348.5"),
        (HORIZON, "4348.5", "horizon: not a whole number; expected an integer from 1 to 10000, got '4348.5'"),
        (HORIZON, True, "horizon: not a number; expected an integer from 1 to 10000, got True"),
        (HORIZON, 0, "horizon: too small; expected an integer from 1 to 10000, got 0"),
        (HORIZON, "1e999", "horizon: too large for a number; expected an integer from 1 to 10000, got '1e999'"),
        (HORIZON, math.inf, "horizon: not a finite number; expected an integer from 1 to 10000, got inf"),
        (HORIZON, "1_000", "horizon: not a number; expected an integer from 1 to 10000, got '1_000'"),
        (HORIZON, "\u0663", "horizon: not a number; expected an integer from 1 to 10000, got '\u0663'"),
        (HORIZON, [3], "horizon: not a number; expected an integer from 1 to 10000, got [3]"),
        (INTERVAL, math.nan, "interval: not a finite number; expected a number from 0.01 to 0.999, got nan"),
        (INTERVAL, "nan", "interval: not a number; expected a number from 0.01 to 0.999, got 'nan'"),
        (INTERVAL, "inf", "interval: not a number; expected a number from 0.01 to 0.999, got 'inf'"),
        (INTERVAL, 10**400, "interval: too large for a number; expected a number from 0.01 to 0.999, got 1"),
        (ENTITY, None, "entity: is required; expected text"),
        (ENTITY, "", "entity: is required; expected text"),
        (DATA, "", "data: is empty; expected text; leave it out to take digits"),
        (ENTITY, 42, "entity: not text; expected text, got 42"),
        (ENTITY, "a\0b", "entity: holds a control character; expected text without control characters"),
        (ENTITY, "\x1b[31mred", "entity: holds a control character; expected text without control characters"),
        (ENTITY, "\ud800", "entity: holds half a character (a lone surrogate); expected text that is valid Unicode"),
        (ENTITY, "x" * 10_001, "entity: too long (10001 characters); expected text of at most 10000 characters"),
        (
            ENGINE,
            "numpy",
            "engine: not one of the options; expected one of pymc, nutpie, numpyro, got 'numpy'; did you mean",
        ),
        (STRICT, "maybe", "strict_mode: neither true nor false; expected true or false, got 'maybe'"),
        (STRICT, 2, "strict_mode: neither true nor false; expected true or false, got 2"),
        (STRICT, 1.0, "strict_mode: neither true nor false; expected true or false, got 1.0"),
    ],
)
def test_refusal_names_parameter_expectation_and_value(parameter, given, sentence):
    assert refused(parameter, given).startswith(sentence)


def test_integers_stay_within_64_bits_and_do_not_pass_through_floats():
    number = InferenceParameter(name="number", type="integer")
    assert number.validate_value(str(2**63 - 1)) == 2**63 - 1
    assert "too large" in refused(number, 2**63)
    assert "too large" in refused(number, 10**5000)  # longer than what Python prints


def test_select_returns_the_option_as_declared():
    order = InferenceParameter(name="order", type="select", options=[1, 2, "many"], default="2")
    assert order.default == 2
    assert order.validate_value("1") == 1
    assert order.validate_value(1) == 1
    assert order.validate_value("many") == "many"


@pytest.mark.parametrize(
    ("declaration", "field", "sentence"),
    [
        ({"name": "a", "type": "integer", "min_value": 3, "max_value": 1}, "min_value", "expected at most 1, got 3"),
        ({"name": "a", "type": "integer", "default": 9, "max_value": 5}, "default", "expected an integer of at most 5"),
        ({"name": "a", "type": "integer", "min_value": 0.5}, "min_value", "an integer for type integer, got 0.5"),
        ({"name": "a", "type": "float", "min_value": math.nan}, "min_value", "expected a finite number, got nan"),
        ({"name": "a", "type": "float", "max_value": math.inf}, "max_value", "expected a finite number, got inf"),
        ({"name": "a", "type": "float", "max_value": True}, "max_value", "expected a number, got True"),
        ({"name": "a", "type": "string", "min_value": 1}, "min_value", "only numbers have bounds"),
        ({"name": "a", "type": "select"}, "options", "is missing"),
        ({"name": "a", "type": "select", "options": []}, "options", "0 options"),
        ({"name": "a", "type": "select", "options": ["x", "x"]}, "options", "the option 'x' stands twice"),
        ({"name": "a", "type": "select", "options": [1, "1"]}, "options", "the option '1' stands twice"),
        ({"name": "a", "type": "select", "options": [True, False]}, "options", "quote them"),
        ({"name": "a", "type": "select", "options": "xy"}, "options", "expected a list of options, got 'xy'"),
        ({"name": "a", "type": "select", "options": ["x"], "default": "y"}, "default", "expected one of x, got 'y'"),
        ({"name": "a", "type": "string", "options": ["x"]}, "options", "only a select has options"),
        ({"name": "a", "type": "boolean", "default": "maybe"}, "default", "expected true or false, got 'maybe'"),
        ({"name": "a", "type": "int"}, "type", "did you mean 'integer'"),
        ({"name": "a", "type": "string", "required": "perhaps"}, "required", "expected true or false"),
        ({"name": "class", "type": "string"}, "name", "no word of the Python language, got 'class'"),
        ({"name": "Two words", "type": "string"}, "name", "a lower-case letter followed by"),
        ({"name": "a", "type": "string", "defalt": 1}, "defalt", "did you mean 'default'?"),
        ({"name": "a"}, "type", "is missing"),
    ],
)
def test_declaration_that_contradicts_itself_is_refused(declaration, field, sentence):
    with pytest.raises(ConfigurationError) as caught:
        InferenceParameter(**declaration)
    assert caught.value.field == field
    assert sentence in str(caught.value)


def test_parameter_is_frozen_and_completed():
    lazy = InferenceParameter(name="n_draws", type="integer", default="12", min_value=1.0)
    assert (lazy.default, lazy.min_value, lazy.label) == (12, 1, "N draws")
    with pytest.raises(ValueError, match="frozen"):
        lazy.default = 3


def test_form_field_is_plain_data():
    assert HORIZON.form_field() == {
        "name": "horizon",
        "type": "integer",
        "label": "Horizon",
        "default": 7,
        "required": False,
        "min": 1,
        "max": 10_000,
        "step": 1,
        "options": [],
        "help_text": "",
    }
    assert INTERVAL.form_field()["step"] == "any"
    assert ENGINE.form_field()["options"] == ["pymc", "nutpie", "numpyro"]


def test_all_parameters_come_back_with_their_values():
    values = validate_parameters([ENTITY, HORIZON, STRICT], {"entity": "ann", "strict_mode": "yes"})
    assert values == {"entity": "ann", "horizon": 7, "strict_mode": True}
    assert list(values) == ["entity", "horizon", "strict_mode"]
    assert validate_parameters([ENTITY, HORIZON, STRICT], values) == values


def test_only_what_is_given_can_be_checked():
    assert validate_parameters([ENTITY, HORIZON], {"horizon": "3"}, only_given=True) == {"horizon": 3}


def test_unknown_name_comes_first_with_the_nearest_and_the_others_are_named():
    with pytest.raises(ConfigurationError) as caught:
        validate_parameters([ENTITY, HORIZON], {"entty": "ann", "horizon": 0})
    assert str(caught.value) == (
        "entty: unknown parameter; did you mean 'entity'? known: entity, horizon (also to correct: entity, horizon)"
    )


@pytest.mark.parametrize("given", [None, 3, "entity=ann", [("entity", "ann")]])
def test_parameters_must_be_a_mapping(given):
    with pytest.raises(ConfigurationError, match="expected a mapping of names to values"):
        validate_parameters([ENTITY], given)
