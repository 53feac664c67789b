"""What a person may choose about the event-rate model, and what they are told otherwise."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.hyperpriors import Hyperprior
from modelwright.core.errors import ConfigurationError


def test_defaults_are_those_of_the_description() -> None:
    config = ModelConfig()
    assert (config.n_samples, config.n_tune, config.n_chains) == (2000, 1000, 4)
    assert (config.target_accept, config.random_seed, config.max_tree_depth) == (0.9, 42, 10)
    assert (config.mu_prior_rate, config.alpha_prior_sd, config.overdispersion_prior_sd) == (0.1, 2.0, 2.0)
    assert config.likelihood == "negative_binomial"


def test_nothing_can_be_changed_afterwards() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ModelConfig().n_samples = 3  # type: ignore[misc]


def test_json_round_trip_is_exact() -> None:
    config = ModelConfig(parameterization="mean_scaled", mu_prior_rate=0.3)
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_a_whole_float_is_a_whole_number() -> None:
    assert ModelConfig.create(n_samples=4348.0).n_samples == 4348


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_samples": 0}, "n_samples: not usable; expected a whole number at least 1 and at most 10,000,000, got 0"),
        ({"n_chains": True}, "n_chains: not usable; expected a whole number at least 1 and at most 1,024, got True"),
        ({"n_tune": "50"}, "n_tune: not usable; expected a whole number at least 1 and at most 10,000,000, got '50'"),
        ({"n_tune": 1.5}, "n_tune: not usable; expected a whole number at least 1 and at most 10,000,000, got 1.5"),
        ({"target_accept": 1.0}, "target_accept: not usable; expected a number above 0 and below 1, got 1.0"),
        ({"target_accept": float("nan")}, "target_accept: not usable; expected a number above 0 and below 1, got nan"),
        (
            {"alpha_prior_sd": 1e999},
            "alpha_prior_sd: not usable; expected a number at least 1e-09 and at most 1e+06, got inf",
        ),
        (
            {"likelihood": "poison"},
            "likelihood: not one of the choices; expected 'negative_binomial' or 'poisson', got 'poison'; "
            "did you mean 'poisson'?",
        ),
        (
            {"parameterization": None},
            "parameterization: not one of the choices; expected 'centered' or 'noncentered' or 'mean_scaled'",
        ),
    ],
)
def test_refusals_name_field_expectation_and_what_came(settings: dict, message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ModelConfig.create(**settings)
    assert str(refusal.value) == message


def test_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"parametrization: .*; did you mean 'parameterization'"):
        ModelConfig.create(parametrization="centered")


@given(
    st.dictionaries(
        st.sampled_from([*ModelConfig.model_fields, "other"]), st.none() | st.text() | st.floats() | st.integers()
    )
)
def test_whatever_comes_is_taken_or_refused_by_name(settings: dict) -> None:
    refused: str | None = None
    try:
        ModelConfig.create(**settings)
    except ConfigurationError as refusal:
        refused = refusal.field
    assert refused is None or refused in settings


def priors(**settings: object) -> dict[str, str]:
    return {name: str(prior) for name, prior in ModelConfig.create(**settings).hyperpriors().items()}


def test_priors_are_those_of_the_numbers_unless_named() -> None:
    assert priors() == {"mu": "exponential(0.1)", "alpha": "half_normal(2)", "phi": "half_normal(2)"}
    assert priors(mu_prior_rate=0.5, alpha_prior_sd=3, overdispersion_prior_sd=1e-3) == {
        "mu": "exponential(0.5)",
        "alpha": "half_normal(3)",
        "phi": "half_normal(0.001)",
    }
    assert priors(mu_prior="gamma(2,.5)", phi_prior="half_cauchy(1)") == {
        "mu": "gamma(2, 0.5)",
        "alpha": "half_normal(2)",
        "phi": "half_cauchy(1)",
    }


def test_the_classic_pump_priors_can_be_written() -> None:
    classic = {"likelihood": "poisson", "shape_prior": "exponential(1)", "alpha_prior": "gamma(0.1, 1)"}
    assert priors(**classic) == {"shape": "exponential(1)", "alpha": "gamma(0.1, 1)"}


def test_priors_are_kept_in_one_spelling() -> None:
    config = ModelConfig.create(mu_prior=" gamma( 2.0,.50 )", alpha_prior=Hyperprior("exponential", (1.0,)))
    assert (config.mu_prior, config.alpha_prior) == ("gamma(2, 0.5)", "exponential(1)")
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config
    assert ModelConfig.model_validate(ModelConfig().model_dump()) == ModelConfig()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"mu_prior": "gamma(2, 1)", "mu_prior_rate": 0.2},
            "mu_prior: mu_prior_rate says another prior; got 'gamma(2, 1)'; leave out mu_prior_rate or mu_prior",
        ),
        (
            {"shape_prior": "exponential(1)", "mu_prior_rate": 0.2},
            "shape_prior: mu_prior_rate says another prior; got 'exponential(1)'; leave out mu_prior_rate or "
            "shape_prior",
        ),
        (
            {"alpha_prior": "exponential(1)", "alpha_prior_sd": 1.0},
            "alpha_prior: alpha_prior_sd says another prior; got 'exponential(1)'; leave out alpha_prior_sd or "
            "alpha_prior",
        ),
        (
            {"phi_prior": "exponential(1)", "overdispersion_prior_sd": 1.0},
            "phi_prior: overdispersion_prior_sd says another prior; got 'exponential(1)'; leave out "
            "overdispersion_prior_sd or phi_prior",
        ),
        (
            {"shape_prior": "exponential(1)", "mu_prior": "gamma(1, 1)"},
            "shape_prior: mu = shape / alpha follows from it, and has a prior too; got 'exponential(1)'; leave out "
            "shape_prior or mu_prior",
        ),
        (
            {"shape_prior": "exponential(1)", "parameterization": "mean_scaled"},
            "shape_prior: in mean_scaled the shape is alpha itself; got 'exponential(1)'; give alpha_prior, or choose "
            "another parameterization",
        ),
        (
            {"overdispersion_prior_sd": 3.0, "likelihood": "poisson"},
            "overdispersion_prior_sd: a Poisson likelihood has no phi; got 3.0; leave out overdispersion_prior_sd, or "
            "choose likelihood negative_binomial",
        ),
        (
            {"phi_prior": "exponential(1)", "likelihood": "poisson"},
            "phi_prior: a Poisson likelihood has no phi; got 'exponential(1)'; leave out phi_prior, or choose "
            "likelihood negative_binomial",
        ),
        ({"alpha_prior": "gamma(1)"}, "alpha_prior: gamma takes 2 arguments; expected gamma(shape, rate), got 1"),
    ],
)
def test_priors_that_contradict_or_are_none_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        ModelConfig.create(**settings)
    assert str(refusal.value) == message
