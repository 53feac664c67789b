"""How the next symbol is drawn: against the definition written as a loop, closed forms, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modelwright.core.errors import ConfigurationError
from modelwright.generative.autoregressive.choice import Choice
from modelwright.generative.laws.autoregressive import by_loop

CHOICES = {
    "everything": Choice(),
    "sharper": Choice(0.5),
    "flatter, two": Choice(3.0, 2),
    "nucleus": Choice(top_p=0.7),
    "nucleus of three": Choice(0.8, 3, 0.8),
    "more than there are": Choice(top_k=99),
    "nucleus of everything": Choice(top_p=1.0),
    "nucleus of one": Choice(top_p=1e-9),
    "the likeliest": Choice(0.0),
}


@pytest.mark.parametrize("choice", CHOICES.values(), ids=CHOICES)
def test_is_what_the_definition_says(choice):
    generator = np.random.default_rng(0)
    logits = generator.standard_normal((50, 7)) * 2.0
    logits[:10] = np.round(logits[:10])  # with ties
    found = np.exp(np.asarray(choice.log_probabilities(jnp.asarray(logits, jnp.float32))))
    wanted = np.stack([by_loop(row, choice) for row in logits])
    np.testing.assert_allclose(found, wanted, atol=1e-5)  # single precision


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        (Choice(0.5), [0.25 / 0.375, 0.0625 / 0.375, 0.0625 / 0.375]),  # p^2
        (Choice(top_k=1), [1.0, 0.0, 0.0]),
        (Choice(top_k=2), [2 / 3, 1 / 3, 0.0]),  # of equally likely ones the smaller
        (Choice(top_p=0.5), [1.0, 0.0, 0.0]),  # 0.5 is at least 0.5
        (Choice(top_p=0.6), [2 / 3, 1 / 3, 0.0]),
        (Choice(top_k=2, top_p=0.6), [1.0, 0.0, 0.0]),  # 2/3 of the two kept are enough
    ],
    ids=str,
)
def test_closed_forms(choice, wanted):
    found = jnp.exp(choice.log_probabilities(jnp.log(jnp.array([0.5, 0.25, 0.25]))))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("temperature", [1e-20, 1e-37, 1e-38, 1e-300])
def test_the_coldest_draw_is_the_likeliest(temperature):
    choice, logits = Choice(temperature), jnp.array([0.0, 1.0, 3.0])
    np.testing.assert_array_equal(jnp.exp(choice.log_probabilities(logits)), [0.0, 0.0, 1.0])
    assert choice.draw(logits, jax.random.key(0)) == 2


def test_draws_go_with_the_probabilities():
    choice, logits = Choice(0.7, 3, 0.95), jnp.array([0.3, -1.0, 1.0, 0.9, -0.2])
    drawn = choice.draw(jnp.broadcast_to(logits, (20_000, 5)), jax.random.key(0))
    p = by_loop(np.asarray(logits, float), choice)
    found = np.bincount(drawn, minlength=5) / 20_000
    assert (np.abs(found - p) <= 4.0 * np.sqrt(p * (1.0 - p) / 20_000)).all()  # four standard errors; 0 where p is 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"temperature": -1.0}, "temperature: not accepted; expected a number of at least 0, got -1.0"),
        ({"temperature": float("nan")}, "temperature: not accepted"),
        ({"top_k": 0}, "top_k: not accepted; expected a whole number of at least 1, got 0"),
        ({"top_p": 0.0}, "top_p: not accepted; expected a number above 0, at most 1, got 0.0"),
        ({"top_p": 1.5}, "top_p: not accepted; expected a number above 0, at most 1, got 1.5"),
    ],
    ids=str,
)
def test_refusals(wrong, message):
    with pytest.raises(ConfigurationError, match=message):
        Choice(**wrong)


def test_what_stands_for_a_number_is_that_number():
    found = Choice(np.array(0.5), np.float64(2.0), "0.9")
    assert found == Choice(0.5, 2, 0.9)
    assert [type(value) for value in (found.temperature, found.top_k, found.top_p)] == [float, int, float]
    assert hash(found) == hash(Choice(0.5, 2, 0.9))
