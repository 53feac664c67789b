"""Hyperpriors: densities against SciPy and quadrature, draws against distribution functions, texts there and back."""

import itertools
import math

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from modelwright.bayesian.event_rates.hyperpriors import (
    DRAWN_BETWEEN,
    LONGEST_TEXT,
    NAMES,
    Hyperprior,
    parse_hyperprior,
    signature,
)
from modelwright.bayesian.event_rates.hyperpriors_jax import jax_log_density
from modelwright.core.errors import ConfigurationError


class HalfStudent:
    """|T| for T ~ Student(df, 0, scale), by SciPy's Student."""

    def __init__(self, df: float, scale: float) -> None:
        self.whole = stats.t(df, scale=scale)

    def logpdf(self, x: np.ndarray) -> np.ndarray:
        return math.log(2.0) + self.whole.logpdf(x)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        return 2.0 * self.whole.cdf(x) - 1.0

    def ppf(self, p: np.ndarray) -> np.ndarray:
        return self.whole.ppf(0.5 + 0.5 * p)

    def mean(self) -> float:
        return float(integrate.quad(lambda x: 2.0 * x * self.whole.pdf(x), 0.0, np.inf)[0])


SAME = {
    "exponential(0.1)": stats.expon(scale=10.0),
    "exponential(25)": stats.expon(scale=0.04),
    "half_normal(2)": stats.halfnorm(scale=2.0),
    "gamma(0.1, 1)": stats.gamma(0.1),
    "gamma(30, 4)": stats.gamma(30.0, scale=0.25),
    "log_normal(-1, 0.5)": stats.lognorm(0.5, scale=math.exp(-1.0)),
    "half_cauchy(3)": stats.halfcauchy(scale=3.0),
    "half_student_t(4, 2.5)": HalfStudent(4.0, 2.5),
    "inverse_gamma(2, 3)": stats.invgamma(2.0, scale=3.0),
    "uniform(0.5, 4)": stats.uniform(0.5, 3.5),
}
EVERY = list(SAME)
SAME_FORMULA = 1e-10  # the rung of the ladder: same formula, double precision


def test_every_prior_is_compared() -> None:
    assert {parse_hyperprior(text).name for text in EVERY} == set(NAMES)


@pytest.mark.parametrize("text", EVERY)
def test_log_density_is_scipys(text: str) -> None:
    prior, scipys = parse_hyperprior(text), SAME[text]
    x = np.concatenate([np.geomspace(1e-12, 1e8, 81), scipys.ppf(np.linspace(0.01, 0.99, 50))])
    low, high = prior.support
    inside = (x > low) & (x < high)
    np.testing.assert_allclose(prior.log_density(x[inside]), scipys.logpdf(x[inside]), rtol=SAME_FORMULA, atol=1e-12)
    assert (prior.log_density(x[~inside]) == -np.inf).all()
    assert prior.log_density([-1.0, 0.0]).tolist() == [-np.inf, -np.inf]
    assert np.ndim(prior.log_density(1.0)) == 0


@pytest.mark.parametrize("text", EVERY)
def test_density_integrates_to_one(text: str) -> None:
    prior = parse_hyperprior(text)
    # over log x, where every one of them is smooth; beyond e^-350 lies 1e-15 of gamma(0.1, 1)
    low, high = (max(edge, 1e-300) for edge in prior.support)
    cuts = np.log([prior.quantile(p) for p in (0.01, 0.5, 0.99)])
    ends = [max(np.log(low), -350.0), *cuts, min(np.log(min(high, 1e300)), 80.0)]
    parts = [
        integrate.quad(lambda z: math.exp(float(prior.log_density(math.exp(z))) + z), a, b, epsabs=1e-13, limit=200)[0]
        for a, b in itertools.pairwise(ends)
    ]
    assert abs(sum(parts) - 1.0) < 1e-9  # what adaptive quadrature reaches


@pytest.mark.parametrize("text", EVERY)
def test_draws_follow_the_distribution(text: str) -> None:
    prior, scipys = parse_hyperprior(text), SAME[text]
    drawn = prior.draw((50, 80), np.random.default_rng(3))
    assert drawn.shape == (50, 80)
    # Monte Carlo: a seeded test of level 1e-3
    assert stats.kstest(drawn.ravel(), scipys.cdf).pvalue > 1e-3
    assert (drawn > prior.support[0]).all()
    assert (drawn < prior.support[1]).all()


@pytest.mark.parametrize("text", EVERY)
def test_summaries_for_display(text: str) -> None:
    prior, scipys = parse_hyperprior(text), SAME[text]
    for p in (1e-3, 0.05, 0.5, 0.95, 0.999):
        np.testing.assert_allclose(prior.quantile(p), scipys.ppf(p), rtol=1e-8)
    assert prior.median == prior.quantile(0.5)
    np.testing.assert_allclose(prior.mean, scipys.mean(), rtol=1e-8)


def test_tails_without_a_mean_say_so() -> None:
    for text in ("half_cauchy(1)", "half_student_t(1, 2)", "inverse_gamma(1, 2)", "log_normal(0, 100)"):
        assert parse_hyperprior(text).mean == math.inf


@pytest.mark.parametrize("text", EVERY)
def test_jax_has_the_same_density_and_a_derivative_everywhere(text: str) -> None:
    prior = parse_hyperprior(text)
    x = np.concatenate([[-1.0, 0.0, 0.5, 4.0], np.geomspace(1e-9, 1e6, 61)])
    with jax.enable_x64(True):
        found = np.asarray(jax_log_density(prior, x))
        slope = np.asarray(jax.vmap(jax.grad(lambda one: jax_log_density(prior, one)))(x))
    expected = prior.log_density(x)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(expected))
    finite = np.isfinite(expected)
    np.testing.assert_allclose(found[finite], expected[finite], rtol=1e-12, atol=1e-12)  # same formula, other library
    assert np.isfinite(slope).all()
    assert (slope[~finite] == 0).all()
    inner = np.array([prior.quantile(p) for p in (0.1, 0.5, 0.9)])
    step = 1e-5 * inner
    differences = (prior.log_density(inner + step) - prior.log_density(inner - step)) / (2 * step)
    with jax.enable_x64(True):
        slope = np.asarray(jax.vmap(jax.grad(lambda one: jax_log_density(prior, one)))(inner))
    np.testing.assert_allclose(slope, differences, rtol=1e-3, atol=1e-6)  # the rung of finite differences


def test_extremes_stay_finite_and_accurate() -> None:
    many = Hyperprior("half_student_t", (1e12, 1.0))
    np.testing.assert_allclose(many.log_density(1.5), stats.halfnorm.logpdf(1.5), rtol=1e-9)
    at_1e200 = math.log(2.0 / math.pi) - 400.0 * math.log(10.0)  # 1 + x^2 is x^2 there, which overflows
    np.testing.assert_allclose(Hyperprior("half_cauchy", (1.0,)).log_density(1e200), at_1e200, rtol=SAME_FORMULA)
    vague = parse_hyperprior("gamma(0.001, 0.001)").draw(1000, np.random.default_rng(0))  # half of it underflows
    assert vague.min() == DRAWN_BETWEEN[0]
    assert np.isfinite(vague).all()
    assert np.isfinite(parse_hyperprior("inverse_gamma(1e-9, 1)").draw(100, np.random.default_rng(0))).all()


@given(st.sampled_from(NAMES), st.lists(st.floats(1e-12, 1e6), min_size=2, max_size=2))
def test_texts_read_back_as_the_same_prior(name: str, numbers: list[float]) -> None:
    given_numbers = [min(number, 100.0) for number in numbers] if name == "log_normal" else sorted(numbers)
    if name == "uniform" and given_numbers[0] == given_numbers[1]:
        given_numbers[0] = 0.0
    prior = Hyperprior(name, tuple(given_numbers[: signature(name).count(",") + 1]))
    assert parse_hyperprior(str(prior)) == prior
    assert parse_hyperprior(f"  {str(prior).replace(',', ' , ')} ") == prior


def test_how_a_prior_is_shown() -> None:
    assert str(parse_hyperprior(" half_student_t ( 3.0,2.50 )")) == "half_student_t(3, 2.5)"
    assert parse_hyperprior("half_student_t(3, 2.5)").formula == "HalfStudentT(3, 2.5)"
    assert str(parse_hyperprior("uniform(0, 1e9)")) == "uniform(0, 1e+09)"


@given(st.text() | st.text("gamma(),.1eE-+ _\n", max_size=30) | st.none() | st.floats() | st.binary())
def test_whatever_comes_is_read_or_refused_in_words(text: object) -> None:
    refused = None
    try:
        parse_hyperprior(text, field="mu_prior")
    except ConfigurationError as refusal:
        refused = refusal
    assert refused is None or (refused.field == "mu_prior" and (refused.todo or refused.expected))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "gama(1, 2)",
            "prior: no prior is called that; got 'gama'; did you mean 'gamma'? known: exponential, half_normal, gamma, "
            "log_normal, half_cauchy, half_student_t, inverse_gamma, uniform",
        ),
        ("gamma(1)", "prior: gamma takes 2 arguments; expected gamma(shape, rate), got 1"),
        ("half_normal()", "prior: half_normal takes one argument; expected half_normal(scale), got 0"),
        ("gamma(1, -2)", "prior: rate of gamma is not usable; expected a number from 1e-12 to 1e+12, got '-2'"),
        ("gamma(1, nan)", "prior: rate of gamma is not usable; expected a number from 1e-12 to 1e+12, got 'nan'"),
        ("gamma(inf, 1)", "prior: shape of gamma is not usable; expected a number from 1e-12 to 1e+06, got 'inf'"),
        ("gamma(1e999, 1)", "prior: shape of gamma is not usable; expected a number from 1e-12 to 1e+06, got '1e999'"),
        ("gamma(1_0, 1)", "prior: shape of gamma is not usable; expected a number from 1e-12 to 1e+06, got '1_0'"),
        ("exponential(٣)", "prior: rate of exponential is not usable; expected a number from 1e-12 to 1e+12, got '٣'"),
        ("uniform(-1, 3)", "prior: low of uniform is not usable; expected a number from 0 to 1e+12, got '-1'"),
        ("uniform(3, 3)", "prior: nothing lies between; expected low below high, got (3.0, 3.0)"),
    ],
)
def test_refusals_name_what_was_expected_and_what_came(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        parse_hyperprior(text)
    assert str(refusal.value) == message


@pytest.mark.parametrize("text", ["gamma", "gamma(1, 2", "gamma((1), 2)", "__import__('os')", "", "1", 3, None, "(1)"])
def test_what_is_no_call_is_told_how_priors_are_written(text: object) -> None:
    with pytest.raises(ConfigurationError, match=r"known: .*exponential") as refusal:
        parse_hyperprior(text)
    assert refusal.value.field == "prior"


def test_a_huge_text_is_refused_unread_and_shortened() -> None:
    with pytest.raises(ConfigurationError, match=f"too long, 10,000,000 characters; expected at most {LONGEST_TEXT}"):
        parse_hyperprior("gamma(1, 2)" + " " * 9_999_989)
    with pytest.raises(ConfigurationError, match="shape of gamma is not usable"):
        Hyperprior("gamma", (10**400, 1))
    with pytest.raises(ConfigurationError, match="p: not a probability"):
        Hyperprior("exponential", (1.0,)).quantile(1.0)
