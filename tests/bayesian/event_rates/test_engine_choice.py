"""Which engine is taken, in which form rates are kept, and what is said when something cannot be had."""

import pytest

from modelwright.bayesian.event_rates.engines import NOT_COLLAPSIBLE, choose_engine, choose_rates
from modelwright.core.errors import ConfigurationError, NotFoundError


def test_the_base_model_is_collapsed_and_says_why() -> None:
    chosen = choose_engine()
    assert chosen.name == "collapsed"
    assert chosen.reason == "every rate can be integrated out exactly, so only the population is sampled"


@pytest.mark.parametrize("extension", sorted(NOT_COLLAPSIBLE))
def test_an_extension_that_cannot_be_collapsed_is_sampled_and_says_why(extension: str) -> None:
    chosen = choose_engine(extensions=["covariates", extension])
    assert chosen.name == "numpyro"
    assert f"with {extension}: {NOT_COLLAPSIBLE[extension]}" in chosen.reason


def test_asking_for_the_impossible_is_refused_with_the_reason() -> None:
    with pytest.raises(
        ConfigurationError, match="engine: the rates cannot be integrated out with temporal: each window"
    ):
        choose_engine("collapsed", extensions=["temporal"])
    with pytest.raises(
        ConfigurationError, match="platform: the collapsed engine runs on the CPU; expected 'cpu', got 'gp"
    ):
        choose_engine("collapsed", platform="gpu")
    with pytest.raises(NotFoundError, match=r"no engine is called 'colapsed'; did you mean 'collapsed'"):
        choose_engine("colapsed")


@pytest.mark.parametrize("name", ["numpyro", "pymc", "nutpie", "collapsed"])
def test_what_is_asked_for_by_name_is_taken(name: str) -> None:
    assert choose_engine(name).name == name


@pytest.mark.parametrize(
    ("entities", "draws", "form"),
    [(100_000, 1000, "draws"), (100_001, 10, "summary"), (50_000, 8000, "summary"), (12_000, 8000, "draws")],
)
def test_rates_are_drawn_as_long_as_there_is_room(entities: int, draws: int, form: str) -> None:
    chosen = choose_rates("auto", n_entities=entities, n_draws=draws)
    assert chosen.name == form
    assert chosen.reason


def test_draws_can_be_asked_for_up_to_a_limit_that_is_said() -> None:
    assert choose_rates("draws", n_entities=200_000, n_draws=1000).name == "draws"
    with pytest.raises(ConfigurationError, match=r"rates: 8,000 draws of 1,000,000 rates would take 64 GB; .*summary"):
        choose_rates("draws", n_entities=10**6, n_draws=8000)
    with pytest.raises(ConfigurationError, match="did you mean 'summary'"):
        choose_rates("summry", n_entities=10, n_draws=10)
