"""The probability of an entity's sums: against adaptive quadrature in 30 digits, closed forms and limits."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.bayesian.event_rates.density import negative_binomial_logpmf
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows, log_marginal

DIGITS = 30
DOUBLE = 2.0**-52


def by_mpmath(
    shape: float, rate: float, inverse: float, exposure: list[float], total: list[float], number: list[float]
) -> mp.mpf:
    """Log of the integral over x = log theta by adaptive quadrature, the mode and many other points as breaks."""
    with mp.workdps(DIGITS):
        a, b, k = mp.mpf(shape), mp.mpf(rate), mp.mpf(inverse)
        groups = [(mp.mpf(e), mp.mpf(s), mp.mpf(n)) for e, s, n in zip(exposure, total, number, strict=True) if n > 0]
        constant = a * mp.log(b) - mp.loggamma(a)
        for e, s, n in groups:
            constant -= mp.loggamma(s + 1)
            if inverse == 0:
                constant += s * mp.log(n * e)
            else:
                constant += mp.loggamma(s + n / k) - mp.loggamma(n / k) + s * mp.log(e * k)

        def log_f(x: mp.mpf) -> mp.mpf:
            theta = mp.exp(x)
            value = a * x - b * theta
            for e, s, n in groups:
                value += s * x - (n * theta * e if inverse == 0 else (s + n / k) * mp.log1p(theta * e * k))
            return value

        def slope_at(x: mp.mpf) -> mp.mpf:
            theta = mp.exp(x)
            return a - b * theta + sum(s - (s * k + n) * theta * e / (1 + theta * e * k) for e, s, n in groups)

        slope = a + sum(s for _, s, _ in groups)
        drag = b + sum((s * k + n) * e for e, s, n in groups)
        low, high = mp.log(slope / drag) - 1, mp.log(slope / b) + 1
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if slope_at(middle) > 0 else (low, middle)
        mode = (low + high) / 2
        top = log_f(mode)
        curvature = b * mp.exp(mode) + sum(
            (s * k + n) * mp.exp(mode) * e / (1 + mp.exp(mode) * e * k) ** 2 for e, s, n in groups
        )
        sd = 1 / mp.sqrt(curvature)
        # left of `edge` the integrand is exp(slope x) to 20 digits
        edge = mp.log(slope / drag) - mp.log(1 + max((e * k for e, _, _ in groups), default=0)) - 50
        breaks, tail = [mode], mp.mpf(0)
        for sign in (-1, 1):
            width, x = min(sd, mp.mpf(1)), mode
            while log_f(x) - top > -60 and not (sign < 0 and x < edge):
                x = x + sign * width
                width = min(width * mp.mpf("1.5"), mp.mpf(3))
                breaks.append(x)
            if sign < 0:
                tail = mp.exp(log_f(x) - top) / slope
        integral = mp.quad(lambda x: mp.exp(log_f(x) - top), sorted(breaks)) + tail
        return constant + top + mp.log(integral)


def ours(shape: float, rate: float, inverse: float, *windows: list[float]) -> float:
    population = Population(np.array([shape]), np.array([rate]), np.array([inverse]))
    return float(log_marginal(population, Windows(*(np.array(part, float) for part in windows)))[0])


def error_of(*case: object) -> tuple[float, float]:
    """Relative error of the integral, and the bound on it: 1e-8, and no better than a double holds its logarithm."""
    truth = by_mpmath(*case)
    return abs(float(mp.mpf(ours(*case)) - truth)), 1e-8 + 4 * DOUBLE * abs(float(truth))


GRID = [
    (shape, shape / mean, 1 / phi, [1.0], [float(total)], [float(number)])
    for shape, phi, (total, number, mean) in zip(
        [1e-4, 1e-2, 0.3, 1.0, 3.0, 10.0, 100.0, 1e4] * 3,
        [1e-3, 1e6, 1.0, 30.0, 0.05, 1e4, 1e-2] * 4,
        [
            (0, 1, 5.0),
            (0, 100_000, 0.01),
            (1, 1, 1.0),
            (3, 20, 2.0),
            (50, 7, 5.0),
            (1_000, 20, 40.0),
            (10_000_000, 1, 100.0),
            (10_000_000, 100_000, 100.0),
            (9_999_999, 20, 1e5),
        ]
        * 3,
        strict=False,
    )
]


def test_equals_adaptive_quadrature_on_a_grid(capsys: pytest.CaptureFixture) -> None:
    errors = [error_of(*case) for case in GRID]
    with capsys.disabled():
        print(f" largest relative error of {len(GRID)} integrals {max(error for error, _ in errors):.1e} ", end="")
    for case, (error, bound) in zip(GRID, errors, strict=True):
        assert error <= bound, case


@settings(max_examples=30)
@given(
    shape=st.floats(-4, 4).map(lambda x: 10.0**x),
    mean=st.floats(-3, 6).map(lambda x: 10.0**x),
    phi=st.one_of(st.floats(-3, 6).map(lambda x: 10.0**x), st.just(np.inf)),
    groups=st.lists(
        st.tuples(
            st.floats(-2, 2).map(lambda x: 10.0**x),
            st.one_of(st.just(0), st.integers(0, 30), st.floats(0, 7).map(lambda x: int(10.0**x))),
            st.one_of(st.integers(0, 30), st.floats(0, 5).map(lambda x: int(10.0**x))),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_equals_adaptive_quadrature_everywhere(shape: float, mean: float, phi: float, groups: list) -> None:
    exposure = [e for e, _, _ in groups]
    total = [float(s if n else 0) for _, s, n in groups]  # no windows, no events
    number = [float(n) for _, _, n in groups]
    error, bound = error_of(shape, shape / mean, 1.0 / phi, exposure, total, number)
    assert error <= bound


@settings(max_examples=100)
@given(
    shape=st.floats(-4, 4).map(lambda x: 10.0**x),
    mean=st.floats(-3, 6).map(lambda x: 10.0**x),
    total=st.one_of(st.integers(0, 50), st.integers(0, 10**7)),
    number=st.integers(1, 10**5),
)
def test_poisson_sums_are_negative_binomial(shape: float, mean: float, total: int, number: int) -> None:
    truth = float(negative_binomial_logpmf(total, mean * number, shape))
    found = ours(shape, shape / mean, 0.0, [1.0], [total], [number])
    # the bound asked of the integral; a logarithm is held to a relative 2^-52
    assert found == pytest.approx(truth, abs=1e-8 + 8 * DOUBLE * abs(truth))


def test_large_concentrations_tend_to_poisson() -> None:
    windows = ([1.0, 2.5], [3000.0, 40.0], [20.0, 3.0])
    poisson = ours(2.0, 0.02, 0.0, *windows)
    gaps = [abs(ours(2.0, 0.02, 1.0 / phi, *windows) - poisson) for phi in (1e4, 1e6, 1e8, 1e12, 1e300)]
    # the first correction is of order S^2 / (2 n phi)
    assert all(
        gap <= 3000.0**2 / (20 * phi) + 1e-9 for gap, phi in zip(gaps, (1e4, 1e6, 1e8, 1e12, 1e300), strict=True)
    )
    assert gaps[0] > gaps[1] > gaps[2]


def test_sums_of_no_windows_have_probability_one() -> None:
    population = Population(np.array([1e-4, 1.0, 1e4]), np.array([3.0, 0.5, 20.0]), np.array([0.0, 2.0, 1e3]))
    nothing = Windows(np.empty(0), np.empty(0), np.empty(0))
    assert log_marginal(population, nothing) == pytest.approx(np.zeros(3), abs=1e-10)
    unseen = Windows(np.array([2.0]), np.array([0.0]), np.array([0.0]))
    assert log_marginal(population, unseen) == pytest.approx(np.zeros(3), abs=1e-10)


def test_probabilities_of_all_sums_add_up_to_one() -> None:
    sums = np.arange(20_000.0)[:, None]
    population = Population(np.array([2.0, 0.3]), np.array([0.5, 0.05]), np.array([0.4, 0.02]))
    table = log_marginal(population, Windows(np.ones_like(sums), sums, np.full_like(sums, 5.0)))
    # what lies beyond 20,000 is below 1e-12 of the whole for both; rounding of 20,000 terms
    assert np.exp(table).sum(0) == pytest.approx(np.ones(2), abs=1e-10)


def test_rows_and_threads_do_not_change_the_answer() -> None:
    generator = np.random.default_rng(3)
    population = Population(*(np.exp(generator.normal(0, 1, 500)) for _ in range(3)))
    total = np.floor(np.exp(generator.uniform(0, 9, (90, 2))))
    rows = Windows(np.tile([1.0, 3.0], (90, 1)), total, np.full((90, 2), 4.0))
    together = log_marginal(population, rows, cores=2)
    assert (log_marginal(population, rows, cores=1) == together).all()
    one = log_marginal(population, Windows(rows.exposure[7], rows.total[7], rows.number[7]))
    assert one == pytest.approx(together[7], abs=1e-11)  # other rows change which points a chunk adds beyond the tail
