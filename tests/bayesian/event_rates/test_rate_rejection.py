"""Draws of rates by rejection: distributed as the density says, wherever its mass lies, and cheap to get."""

import numpy as np
import pytest
from scipy import integrate, stats

from modelwright.bayesian.event_rates import rate_rejection as rr
from modelwright.bayesian.event_rates.rate_curves import curves_of
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows

CASES = {
    "ordinary": (2.5, 0.5, 2.0, [1.0], [90.0], [20.0]),
    "no events, tiny shape": (0.01, 0.5, 1.0, [1.0], [0.0], [5.0]),
    "no windows at all": (0.3, 2.0, 1.0, [1.0], [0.0], [0.0]),
    "a billion events": (5.0, 0.1, 50.0, [1.0], [1e9], [1000.0]),
    "hardly more than Poisson": (3.0, 1.0, 1e9, [1.0], [12.0], [3.0]),
    "very dispersed": (20.0, 4.0, 0.01, [1.0], [400.0], [3.0]),
    "several exposures": (1.5, 0.7, 1.3, [0.1, 1.0, 7.0], [0.0, 5.0, 80.0], [2.0, 3.0, 4.0]),
}


def _curves(shape: float, rate: float, phi: float, exposure: list, total: list, number: list, copies: int = 1):
    population = Population(*(np.full(copies, value) for value in (shape, rate, 1.0 / phi)))
    return curves_of(population, Windows(*(np.array([part]) for part in (exposure, total, number))))


@pytest.mark.parametrize("case", CASES)
def test_the_draws_follow_the_density(case: str) -> None:
    shape, rate, phi, exposure, total, number = CASES[case]
    n = 40_000
    curves = _curves(*CASES[case])
    x = rr.draw_log_rates(curves, 1, np.zeros(n, int), np.random.default_rng(7))[0]
    centre = float(np.log(curves.mode[0]))

    def density(u: np.ndarray) -> np.ndarray:
        value = shape * u - rate * curves.mode[0] * np.expm1(u)
        for e, s, m in zip(exposure, total, number, strict=True):
            mean = curves.mode[0] * e
            value = value + s * u - (s + m * phi) * np.log1p(mean * np.expm1(u) / (phi + mean))
        return np.exp(value)

    # Independent truth: a plain cumulative Simpson rule on points fine enough for every case, from far in the tail.
    low, high = x.min() - centre, x.max() - centre
    slope = shape + sum(total)
    points = np.linspace(low - min(40 / slope, 4000.0), high + min(high - low, 3.0), 2_000_001)
    cumulative = integrate.cumulative_simpson(density(points), x=points, initial=0.0)
    uniform = np.interp(x - centre, points, cumulative / cumulative[-1])
    # A seeded test at level 1e-4: seven cases of a right sampler all pass with probability 0.9993.
    assert stats.kstest(uniform, "uniform").pvalue > 1e-4
    # Neighbouring draws are independent: the correlation of n pairs is below 4 / sqrt(n).
    assert abs(np.corrcoef(uniform[1:], uniform[:-1])[0, 1]) < 4 / np.sqrt(n)


@pytest.mark.parametrize("case", CASES)
def test_most_proposals_are_taken(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proposed = []
    propose = rr._propose

    def counted(tangents, generator):
        offset, taken = propose(tangents, generator)
        proposed.append(taken.size)
        return offset, taken

    monkeypatch.setattr(rr, "_propose", counted)
    rr.draw_log_rates(_curves(*CASES[case]), 1, np.zeros(20_000, int), np.random.default_rng(1))
    # Three tangents at g = -1 leave 2 sqrt(2) / sqrt(2 pi) = 1.13 proposals a draw for a normal density; an exponential
    # tail has at most e/(e - 1) = 1.58.
    assert sum(proposed) < 1.7 * 20_000


def test_every_draw_of_the_hyperparameters_has_its_own_density() -> None:
    population = Population(np.array([2.0, 2.0, 2.0]), np.array([1.0, 10.0, 100.0]), np.full(3, 0.5))
    curves = curves_of(population, Windows(np.ones((2, 1)), np.array([[0.0], [50.0]]), np.full((2, 1), 4.0)))
    row = np.repeat([0, 1], 5000)
    x = np.exp(rr.draw_log_rates(curves, 3, row, np.random.default_rng(2)))
    for draw in range(3):
        for which in range(2):
            alone = _curves(2.0, population.rate[draw], 2.0, [1.0], [50.0 * which], [4.0])
            one = rr.draw_log_rates(alone, 1, np.zeros(5000, int), np.random.default_rng(3))
            mine = x[draw, row == which]
            error = np.hypot(mine.std() / np.sqrt(len(mine)), np.exp(one).std() / np.sqrt(one.size))
            assert abs(mine.mean() - np.exp(one).mean()) < 4 * error
