"""Integrals over many rates at once: against mpmath and the conjugate closed form."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from modelwright.bayesian.event_rates.rate_curves import EXACT, Curves, curves_of, log_integral_and_mean
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows


def population_of(shape: float, rate: float, concentration: float) -> Population:
    return Population(np.array([shape]), np.array([rate]), np.array([1.0 / concentration]))


def windows_of(exposure: list[float], total: list[float], number: list[float]) -> Windows:
    return Windows(np.array([exposure]), np.array([total]), np.array([number]))


def by_mpmath(
    shape: float, rate: float, concentration: float, windows: Windows, reference: float
) -> tuple[float, float]:
    """log Z and the mean rate, in 30 digits, by tanh-sinh quadrature in pieces."""
    with mpmath.workdps(30):
        a, b, c = mpmath.mpf(shape), mpmath.mpf(rate), mpmath.mpf(concentration)
        parts = list(
            zip(*(part[0].tolist() for part in (windows.exposure, windows.total, windows.number)), strict=True)
        )

        def log_f(x: mpmath.mpf) -> mpmath.mpf:
            theta = mpmath.exp(x)
            value = a * (x + mpmath.log(b)) - mpmath.loggamma(a) - b * theta
            for e, total, number in parts:
                value += total * (x - mpmath.log(reference))
                value -= (
                    number * (theta - reference) * e
                    if np.isinf(concentration)
                    else (total + number * c) * (mpmath.log1p(theta * e / c) - mpmath.log1p(reference * e / c))
                )
            return value

        population = population_of(shape, rate, concentration)
        curve = curves_of(population, windows)
        left, right, _ = (float(part[0]) for part in curve.extent(EXACT))
        centre = mpmath.log(curve.mode[0])
        top = log_f(centre)
        points = [centre + left - 300 / (a + windows.total.sum()), *(centre + left * k / 8 for k in range(8, 0, -1))]
        points += [centre + right * k / 8 for k in range(9)]
        whole = mpmath.quad(lambda x: mpmath.exp(log_f(x) - top), points)
        first = mpmath.quad(lambda x: mpmath.exp(log_f(x) - top + x), points)
        return float(mpmath.log(whole) + top), float(first / whole)


CASES = {
    "everyday": (10.0, 2.0, 3.0, [1.0], [100.0], [20.0]),
    "nothing seen": (10.0, 2.0, 3.0, [1.0], [0.0], [0.0]),
    "no events, tiny shape": (1e-4, 1.0, 3.0, [1.0], [0.0], [20.0]),
    "strong overdispersion": (1e-3, 2.0, 1e-3, [1.0], [5.0], [3.0]),
    "large shape, nearly Poisson": (1e4, 1.0, 1e6, [2.0], [1e5], [20.0]),
    "ten million events": (0.5, 0.5, 50.0, [1.0], [1e7], [1e3]),
    "Poisson": (5.0, 2.0, np.inf, [1.0], [30.0], [4.0]),
    "long exposure": (0.3, 0.01, 1e4, [1e3], [300.0], [2.0]),
    "several exposures": (3.0, 0.5, 2.0, [0.3, 1.0, 2.5], [2.0, 9.0, 4.0], [1.0, 2.0, 1.0]),
    "one long window": (2.0, 1.0, 4.0, [1.0, 500.0], [4.0, 900.0], [2.0, 1.0]),
    "flat top, steep flank": (0.5, 0.001, 0.01, [1.0], [500.0], [3.0]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_integral_and_mean_equal_mpmath(case: tuple) -> None:
    shape, rate, concentration, *arrays = case
    windows = windows_of(*arrays)
    reference = (shape + sum(arrays[1])) / (rate + np.dot(arrays[0], arrays[2]))
    log_z, mean = log_integral_and_mean(population_of(shape, rate, concentration), windows, reference)
    true_log_z, true_mean = by_mpmath(shape, rate, concentration, windows, reference)
    # the trapezoid rule and what is cut off err by 1e-11; the mode over the reference is rounded, to the power of S
    assert log_z[0, 0] == pytest.approx(true_log_z, abs=2e-11 + 2.0**-52 * sum(arrays[1]))
    assert mean[0, 0] == pytest.approx(true_mean, rel=1e-10)


@given(
    shape=st.floats(-9, 9).map(np.exp),
    rate=st.floats(-6, 6).map(np.exp),
    totals=st.lists(st.integers(0, 10**6), min_size=1, max_size=4),
    number=st.integers(1, 10**5),
)
def test_poisson_windows_follow_the_conjugate_closed_form(shape: float, rate: float, totals: list, number: int) -> None:
    exposure = 0.5 + np.arange(len(totals))
    windows = Windows(exposure[None], np.array([totals], float), np.full((1, len(totals)), float(number)))
    a, b = shape + sum(totals), rate + number * exposure.sum()
    log_z, mean = log_integral_and_mean(population_of(shape, rate, np.inf), windows, a / b)
    truth = shape * np.log(rate) - special.gammaln(shape) + special.gammaln(a) - a * np.log(b)
    truth += number * exposure.sum() * a / b - sum(totals) * np.log(a / b)
    scale = a * abs(np.log(b)) + special.gammaln(a + 2) + shape * abs(np.log(rate)) + sum(totals)
    assert log_z[0, 0] == pytest.approx(truth, abs=1e-10 + 1e-15 * scale)
    assert mean[0, 0] == pytest.approx(a / b, rel=1e-10)


def test_derivatives_are_those_of_the_log_density() -> None:
    population = Population(np.array([3.0, 0.2]), np.array([0.5, 4.0]), np.array([0.5, 0.0]))
    windows = Windows(
        np.array([[0.3, 2.0], [1.0, 5.0]]), np.array([[2.0, 9.0], [0.0, 3.0]]), np.array([[1.0, 3.0]] * 2)
    )
    curves: Curves = curves_of(population, windows)
    offset = np.tile(np.linspace(-3, 2, 11), (4, 1))
    h = 1e-4
    first, second = curves.derivatives(offset)
    numeric = (curves.log(offset + h) - curves.log(offset - h)) / (2 * h)
    twice = (curves.derivatives(offset + h)[0] - curves.derivatives(offset - h)[0]) / (2 * h)
    np.testing.assert_allclose(first, numeric, rtol=1e-3, atol=1e-6)  # finite differences
    np.testing.assert_allclose(second, twice, rtol=1e-3, atol=1e-6)
    assert np.abs(curves.derivatives(np.zeros((4, 1)))[0]).max() < 1e-2  # the mode, as far as it has to be found
