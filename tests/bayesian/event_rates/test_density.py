"""Negative-binomial densities and tails against fifty-digit arithmetic, closed forms and sums."""

from decimal import Decimal, getcontext, localcontext
from fractions import Fraction

import numpy as np
import pytest
from scipy import special, stats

from modelwright.bayesian.event_rates.density import (
    lower_tail,
    negative_binomial_logpmf,
    stirling_error,
    upper_tail,
)
from modelwright.core.errors import ConfigurationError
from modelwright.core.probability import check_probability

getcontext().prec = 28
PI = Decimal("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899")
BERNOULLI = [Fraction(1, 6), Fraction(-1, 30), Fraction(1, 42), Fraction(-1, 30), Fraction(5, 66), Fraction(-691, 2730)]
BERNOULLI += [Fraction(7, 6), Fraction(-3617, 510), Fraction(43867, 798), Fraction(-174611, 330)]


def log_gamma(x: Decimal) -> Decimal:
    """Stirling's series after shifting the argument above 60: about 35 digits."""
    shift = Decimal(0)
    while x < 60:
        shift += x.ln()
        x += 1
    series = sum(
        (Decimal(b.numerator) / Decimal(b.denominator) / (2 * k * (2 * k - 1)) / x ** (2 * k - 1))
        for k, b in enumerate(BERNOULLI, start=1)
    )
    return (x - Decimal("0.5")) * x.ln() - x + (2 * PI).ln() / 2 + series - shift


def exact_logpmf(count: int, mean: float, concentration: float) -> float:
    with localcontext() as context:
        context.prec = 60
        y, m, c = Decimal(count), Decimal(mean), Decimal(concentration)
        total = log_gamma(y + c) - log_gamma(c) - log_gamma(y + 1) + c * (c / (c + m)).ln()
        return float(total + (y * (m / (c + m)).ln() if count else 0))


@pytest.mark.parametrize("count", [0, 1, 2, 7, 100, 12_345, 10_000_000])
@pytest.mark.parametrize("concentration", [1e-3, 0.3, 1.0, 17.0, 1e3, 1e6, 1e8])
@pytest.mark.parametrize("mean", [1e-6, 0.5, 5.0, 9_999.0, 1e7])
def test_logpmf_keeps_its_digits_at_every_size(count: int, mean: float, concentration: float) -> None:
    truth = exact_logpmf(count, mean, concentration)
    found = float(negative_binomial_logpmf(count, mean, concentration))
    # same formula, float64: relative, and absolute where the density is near one
    assert found == pytest.approx(truth, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("count", [0, 3, 5_000_000])
def test_poisson_is_the_limit_and_the_approach_is_smooth(count: int) -> None:
    mean = 3.0 if count < 10 else 5_000_100.0
    poisson = float(negative_binomial_logpmf(count, mean, np.inf))
    with localcontext() as context:
        context.prec = 60
        exact = Decimal(count) * Decimal(mean).ln() - Decimal(mean) - log_gamma(Decimal(count) + 1)
    assert poisson == pytest.approx(float(exact), rel=1e-12)
    # log NB - log Poisson = ((count - mean)^2 - count) / (2 phi) + O(1/phi^2)
    for concentration in (1e14, 1e18, 1e300):
        gap = float(negative_binomial_logpmf(count, mean, concentration)) - poisson
        assert gap == pytest.approx(
            ((count - mean) ** 2 - count) / (2 * concentration), rel=1e-3, abs=1e-12 * abs(poisson)
        )


def test_probabilities_add_up_to_one_and_have_the_stated_moments() -> None:
    count = np.arange(4000)
    probability = np.exp(negative_binomial_logpmf(count, 11.0, 1.5))
    assert probability.sum() == pytest.approx(1.0, abs=1e-12)
    assert probability @ count == pytest.approx(11.0, rel=1e-10)
    assert probability @ (count - 11.0) ** 2 == pytest.approx(11.0 + 11.0**2 / 1.5, rel=1e-10)


def test_arguments_broadcast() -> None:
    found = negative_binomial_logpmf(np.arange(3)[:, None], np.array([1.0, 2.0]), np.array([np.inf, 4.0]))
    truth = np.stack(
        [stats.poisson(1.0).logpmf(np.arange(3)), stats.nbinom(4.0, 4.0 / 6.0).logpmf(np.arange(3))], axis=1
    )
    np.testing.assert_allclose(found, truth, rtol=1e-12)


def test_stirling_error_is_continuous_where_the_series_takes_over() -> None:
    x = np.array([1e-3, 0.7, 15.999999, 16.0, 16.000001, 1e5])
    direct = [
        float(log_gamma(Decimal(v) + 1) - (Decimal(v) + Decimal("0.5")) * Decimal(v).ln() + Decimal(v)) for v in x
    ]
    # a difference of terms of size log(16!) = 30, hence absolute
    np.testing.assert_allclose(stirling_error(x), np.array(direct) - 0.5 * np.log(2 * np.pi), atol=2e-14)


@pytest.mark.parametrize("concentration", [0.05, 2.0, 300.0, np.inf])
def test_tails_are_sums_of_probabilities(concentration: float) -> None:
    probability = np.exp(negative_binomial_logpmf(np.arange(20_000), 6.0, concentration))
    for count in (0, 1, 5, 40):
        assert float(upper_tail(count, 6.0, concentration)) == pytest.approx(probability[count:].sum(), rel=1e-9)
        assert float(lower_tail(count, 6.0, concentration)) == pytest.approx(probability[: count + 1].sum(), rel=1e-9)


def test_far_tails_keep_relative_precision() -> None:
    count, mean, concentration = 400, 3.0, 5.0
    terms = np.exp(negative_binomial_logpmf(np.arange(count, count + 3000), mean, concentration))
    assert float(upper_tail(count, mean, concentration)) == pytest.approx(terms.sum(), rel=1e-9)
    assert float(upper_tail(count, mean, concentration)) < 1e-70
    # the largest concentrations behave like Poisson: (count^2 + mean^2) / concentration is the size of the difference
    assert float(upper_tail(30, 3.0, 1e8)) == pytest.approx(special.gammainc(30, 3.0), rel=1e-4)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (90, "interval: not a probability; expected a number between 0 and 1, got 90; write 0.9 for 90 percent"),
        (1.0, "interval: not a probability; expected a number between 0 and 1, got 1.0; try 0.9"),
        (0, "interval: not a probability; expected a number between 0 and 1, got 0; try 0.9"),
        (float("nan"), "interval: not a probability; expected a number between 0 and 1, got nan; try 0.9"),
        (True, "interval: not a probability; expected a number between 0 and 1, got True; try 0.9"),
        ("0.9", "interval: not a probability; expected a number between 0 and 1, got '0.9'; try 0.9"),
    ],
)
def test_a_wrong_interval_is_explained(value: object, message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        check_probability(value)
    assert str(refusal.value) == message
