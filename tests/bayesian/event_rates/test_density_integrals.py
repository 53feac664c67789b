"""Integrals over a rate: against adaptive quadrature and the conjugate closed form, over the range of everything."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from modelwright.bayesian.event_rates.density import negative_binomial_logpmf
from modelwright.bayesian.event_rates.leave_one_out import (
    EntityWindows,
    every_second_point,
    leave_one_out,
    rate_distribution,
)
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows


def entity_of(count: list[float], exposure: list[float]) -> EntityWindows:
    pairs, times = np.unique(np.stack([exposure, count]), axis=1, return_counts=True)
    return EntityWindows(pairs[1], pairs[0], times)


def population_of(shape: float, rate: float, concentration: float) -> Population:
    return Population(np.array([shape]), np.array([rate]), np.array([1.0 / concentration]))


def log_density_by_window(population: Population, entity: EntityWindows) -> dict[tuple[float, float], float]:
    found = {}
    for part in leave_one_out(population, entity):
        for row, index in enumerate(part.index):
            found[float(entity.count[index]), float(entity.exposure[index])] = float(part.log_density[row, 0])
            assert part.probability[row].sum() == pytest.approx(1.0, abs=1e-9)
    assert len(found) == len(entity.count)
    return found


def integral_by_quad(
    shape: float, rate: float, concentration: float, count: list[float], exposure: list[float]
) -> float:
    """log of the integral over x = log theta, by SciPy's adaptive quadrature in pieces around the mode."""
    constant = shape * math.log(rate) - math.lgamma(shape)
    for y in count:
        constant -= math.lgamma(y + 1)
        if math.isfinite(concentration):  # log of (c)(c+1)...(c+y-1)/c^y
            constant += math.fsum(math.log1p(i / concentration) for i in range(int(y)))

    def log_f(x: float) -> float:
        theta = math.exp(x)
        value = constant + shape * x - rate * theta
        for y, e in zip(count, exposure, strict=True):
            if math.isfinite(concentration):
                value += y * (x + math.log(e)) - (y + concentration) * math.log1p(theta * e / concentration)
            else:
                value += y * (x + math.log(e)) - theta * e
        return value

    grid = np.linspace(-60, 12, 7201)
    values = np.array([log_f(x) for x in grid])
    top, kept = values.max(), grid[values > values.max() - 50]
    pieces = np.linspace(kept[0] - 0.02, kept[-1] + 0.02, 25)
    total = math.fsum(
        integrate.quad(lambda x: math.exp(log_f(x) - top), a, b, epsabs=1e-14, epsrel=1e-11, limit=200)[0]
        for a, b in itertools.pairwise(pieces)
    )
    return math.log(total) + top


CASES = {
    "everyday": (10.0, 2.0, 3.0, [4, 6, 5, 200, 0, 5], [1.0] * 6),
    "unequal exposures": (3.0, 0.5, 2.0, [2, 0, 9, 4], [0.3, 1.0, 2.5, 1.0]),
    "one long window hides the others": (2.0, 1.0, 4.0, [1, 3, 900], [1.0, 1.0, 500.0]),
    "nearly Poisson": (5.0, 1.0, 1e8, [3, 4, 12], [1.0, 2.0, 1.0]),
    "Poisson": (5.0, 1.0, np.inf, [3, 4, 12], [1.0, 2.0, 1.0]),
    "strong overdispersion": (5.0, 1.0, 1e-3, [0, 0, 40], [1.0, 1.0, 1.0]),
    "a single window": (4.0, 2.0, 1.0, [17], [1.0]),
    "large counts": (50.0, 0.01, 8.0, [100_000, 3_000, 5_200], [1.0, 1.0, 1.0]),
    "precise rate, far window": (2.0, 0.01, 1e5, [2_000, 2_100, 6_000], [1.0, 1.0, 1.0]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_leaving_out_equals_adaptive_quadrature(case: tuple) -> None:
    shape, rate, concentration, count, exposure = case
    found = log_density_by_window(population_of(shape, rate, concentration), entity_of(count, exposure))
    everything = integral_by_quad(shape, rate, concentration, count, exposure)
    for j in range(len(count)):
        rest = [count[:j] + count[j + 1 :], exposure[:j] + exposure[j + 1 :]]
        truth = everything - integral_by_quad(shape, rate, concentration, *rest)
        # the bound asked of an entity's integral: 1e-8 relative, that is 1e-8 nats
        assert found[float(count[j]), float(exposure[j])] == pytest.approx(truth, abs=1e-8)


@settings(max_examples=60)
@given(
    shape=st.floats(-6, 6).map(np.exp),
    rate=st.floats(-5, 5).map(np.exp),
    windows=st.lists(
        st.tuples(st.integers(0, 10**7), st.sampled_from([0.01, 0.5, 1.0, 1.0, 40.0])), min_size=1, max_size=9
    ),
)
def test_poisson_windows_follow_the_conjugate_closed_form(shape: float, rate: float, windows: list) -> None:
    """Gamma-Poisson: the other windows leave Gamma(a, b), and the window is NB(mean a e/b, concentration a)."""
    count, exposure = ([float(part[k]) for part in windows] for k in range(2))
    found = log_density_by_window(population_of(shape, rate, np.inf), entity_of(count, exposure))
    for y, e in zip(count, exposure, strict=True):
        a, b = shape + sum(count) - y, rate + sum(exposure) - e
        truth = float(negative_binomial_logpmf(y, a * e / b, a))
        # rounding of sums of size total * log grows with the total
        assert found[y, e] == pytest.approx(truth, abs=1e-9 + 1e-14 * sum(count))


@pytest.mark.parametrize("shape", [1e-3, 0.01, 0.3])
@pytest.mark.parametrize("count", [[3, 0, 0], [1, 0], [0, 0, 0, 0, 0, 2, 0]])
def test_rare_events_leave_a_rate_spread_over_many_orders_of_magnitude(shape: float, count: list[int]) -> None:
    found = log_density_by_window(population_of(shape, 0.5, np.inf), entity_of(count, [1.0] * len(count)))
    for y in set(count):
        a, b = shape + sum(count) - y, 0.5 + len(count) - 1
        assert found[float(y), 1.0] == pytest.approx(float(negative_binomial_logpmf(y, a / b, a)), abs=1e-9)


@pytest.mark.parametrize(
    ("count", "exposure"),
    [
        ([1, 2, 3, 4, 5, 3000], [1.0] * 5 + [1000.0]),  # without the long window much less is known
        ([4, 5, 6, 7, 5000, 400], [1.0] * 4 + [1000.0, 1.0]),  # the burst is not the largest count
        ([90, 95, 100, 105, 110, 0], [1.0] * 5 + [20.0]),  # a long silence
    ],
    ids=["long window", "burst", "silence"],
)
def test_one_grid_serves_every_window_that_is_left_out(count: list[int], exposure: list[float]) -> None:
    found = log_density_by_window(population_of(2.0, 0.5, np.inf), entity_of(count, exposure))
    for y, e in zip(count, exposure, strict=True):
        a, b = 2.0 + sum(count) - y, 0.5 + sum(exposure) - e
        assert found[float(y), e] == pytest.approx(float(negative_binomial_logpmf(y, a * e / b, a)), abs=1e-9)


@pytest.mark.parametrize("concentration", [1e10, 1e13])
def test_huge_concentrations_approach_the_poisson_answer(concentration: float) -> None:
    entity = entity_of([3, 40, 5], [1.0, 2.0, 0.5])
    poisson = log_density_by_window(population_of(2.0, 0.3, np.inf), entity)
    near = log_density_by_window(population_of(2.0, 0.3, concentration), entity)
    for key, value in poisson.items():
        assert near[key] == pytest.approx(value, abs=1e-9 + 1e4 / concentration)  # count^2 / (2 concentration) at most


def test_one_missing_of_many_alike_is_the_same_whichever_it_is() -> None:
    entity = EntityWindows(np.array([2.0, 5.0]), np.array([1.0, 1.0]), np.array([3, 2]))
    again = entity_of([5, 2, 2, 5, 2], [1.0] * 5)
    population = population_of(3.0, 1.0, 2.0)
    assert log_density_by_window(population, entity) == log_density_by_window(population, again)


@pytest.mark.parametrize("shape", [1e-3, 0.05, 1.0, 30.0, 1e5])
def test_without_windows_the_rate_is_the_population(shape: float) -> None:
    nothing = Windows(np.empty(0), np.empty(0), np.empty(0))
    theta, probability = rate_distribution(population_of(shape, 0.7, 2.0), nothing)
    truth = stats.gamma(shape, scale=1 / 0.7)
    assert (theta * probability).sum() == pytest.approx(truth.mean(), rel=1e-9)
    assert (theta**2 * probability).sum() == pytest.approx(truth.var() + truth.mean() ** 2, rel=1e-9)


@pytest.mark.parametrize("shape", [1e-3, 0.01, 0.05, 0.3, 1.0, 6.25, 30.0, 1e5])
def test_half_of_a_grid_keeps_the_tail_of_tiny_rates(shape: float) -> None:
    nothing = Windows(np.empty(0), np.empty(0), np.empty(0))
    theta, probability = every_second_point(*rate_distribution(population_of(shape, 0.7, 2.0), nothing))
    truth = stats.gamma(shape, scale=1 / 0.7)
    # twice the spacing: relative error 2 |Gamma(s + 2 pi i/step)|/Gamma(s), below 5e-6 (see `rate_integrals`), for the
    # total and for the moment
    assert (theta * probability).sum() == pytest.approx(truth.mean(), rel=1e-5)
    empty = (probability * (1 + theta / 2.0) ** -2.0).sum()  # P(no event in a window), concentration 2
    x = np.linspace(-60 / shape, 8, 400_001) if shape < 1 else None
    if x is not None:  # in log rate: the tail that theta itself cannot show
        weight = np.exp(shape * x - 0.7 * np.exp(x))
        assert empty == pytest.approx((weight * (1 + np.exp(x) / 2.0) ** -2.0).sum() / weight.sum(), abs=1e-5)


def test_conjugate_rate_given_windows() -> None:
    theta, probability = rate_distribution(
        population_of(2.0, 0.5, np.inf), Windows(np.array([1.0, 2.0]), np.array([3.0, 8.0]), np.array([2.0, 1.0]))
    )
    truth = stats.gamma(2.0 + 11.0, scale=1 / (0.5 + 4.0))
    assert (theta * probability).sum() == pytest.approx(truth.mean(), rel=1e-9)
    assert (theta**2 * probability).sum() - truth.mean() ** 2 == pytest.approx(truth.var(), rel=1e-8)
