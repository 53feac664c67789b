"""Rates given the population: distribution functions, draws and summaries against closed forms and quadrature."""

import itertools

import arviz as az
import numpy as np
import pytest
from scipy import integrate, special, stats

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.posterior_draws import population_draws
from modelwright.bayesian.event_rates.rate_curves import curves_of
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.rate_posteriors import draw_rates
from modelwright.bayesian.event_rates.rate_summaries import summarise_rates
from modelwright.bayesian.event_rates.statistics import AlikeEntities, Profile, alike_entities, statistics_of
from modelwright.data.events import EventCounts

INTERVALS = [0.001, *np.linspace(0.05, 0.95, 19), 0.99, 0.999, 0.9999, 1 - 1e-6, 1 - 1e-9]


def population_of(shape: float, rate: float, concentration: float, draws: int = 1) -> Population:
    return Population(*(np.full(draws, float(value)) for value in (shape, rate, 1.0 / concentration)))


def alike_of(counts: dict[str, list[int]], exposures: dict[str, list[float]] | None = None) -> AlikeEntities:
    names = [name for name, values in counts.items() for _ in values]
    exposure = None if exposures is None else [e for name in counts for e in exposures[name]]
    data = EventCounts.from_arrays(
        entity=names, count=[y for values in counts.values() for y in values], exposure=exposure
    )
    return alike_entities(statistics_of(data))


def distribution_function(population: Population, windows: Windows, x: np.ndarray) -> np.ndarray:
    """F(x) of log rate by SciPy's adaptive quadrature between neighbouring points."""
    curve = curves_of(population, windows)

    def density(t: float) -> float:
        return float(np.exp(curve.log(np.array([[t]]) - np.log(curve.mode[0]))[0, 0]))

    edges = np.r_[x.min() - 40 / curve.slope[0], np.sort(x), np.log(curve.mode[0]) + np.linspace(0, 12, 40)]
    edges = np.unique(edges)
    pieces = [
        integrate.quad(density, a, b, epsabs=1e-15, epsrel=1e-10, limit=200)[0] for a, b in itertools.pairwise(edges)
    ]
    cumulative = np.r_[0.0, np.cumsum(pieces)]
    return np.interp(x, edges, cumulative) / cumulative[-1]


CASES = {
    "everyday": (10.0, 2.0, 3.0, [1.0], [100.0], [20.0]),
    "no events": (10.0, 2.0, 3.0, [1.0], [0.0], [20.0]),
    "never seen": (2.0, 0.5, 3.0, [1.0], [0.0], [0.0]),
    "one event": (1.0, 1.0, 1.0, [1.0], [1.0], [1.0]),
    "small shape": (0.05, 0.1, 0.1, [1.0], [0.0], [5.0]),
    "strong overdispersion": (0.5, 0.001, 0.01, [1.0], [500.0], [3.0]),
    "wide": (3.0, 1e-5, 0.3, [1.0], [4.0], [1.0]),
    "precise": (1e4, 1.0, 1e6, [2.0], [1e5], [20.0]),
    "several exposures": (3.0, 0.5, 2.0, [0.3, 1.0, 50.0], [2.0, 9.0, 80.0], [1.0, 2.0, 1.0]),
}


def one_row(windows: Windows) -> AlikeEntities:
    return AlikeEntities((Profile(windows, np.ones(1)),), np.zeros(1, dtype=int), np.zeros(1, dtype=int))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_quantiles_err_by_less_than_a_millionth_in_probability(case: tuple) -> None:
    shape, rate, concentration, *arrays = case
    population, windows = population_of(shape, rate, concentration), Windows(*(np.array([part]) for part in arrays))
    level, quantile = [], []
    for interval in INTERVALS:
        found = summarise_rates(population, one_row(windows), interval)
        level += [(1 - interval) / 2, (1 + interval) / 2]
        quantile += [found.lower[0], found.upper[0]]
    order = np.argsort(level)
    x = np.log(quantile)[order]
    assert (np.diff(x) > 0).all()
    assert np.abs(distribution_function(population, windows, x) - np.array(level)[order]).max() < 1e-6


def test_nothing_seen_of_a_tiny_shape_is_exact_down_to_the_smallest_rates() -> None:
    """Half of the probability of Gamma(0.001) lies below e^-693; far below its mean F = (b x)^a / Gamma(a + 1)."""
    population, windows = population_of(1e-3, 2.0, 5.0), Windows(np.ones((1, 1)), np.zeros((1, 1)), np.zeros((1, 1)))
    found = summarise_rates(population, one_row(windows), 0.9)
    truth = (np.log(0.5) + special.gammaln(1.001)) / 1e-3 - np.log(2.0)
    assert 1e-3 * (np.log(found.median[0]) - truth) == pytest.approx(0.0, abs=1e-6)  # that is, in log probability
    assert stats.gamma(1e-3, scale=0.5).cdf(found.upper[0]) == pytest.approx(0.95, abs=1e-6)
    assert found.lower[0] == np.finfo(float).tiny  # e^-2996 is no double
    assert found.mean[0] == pytest.approx(1e-3 / 2, rel=1e-6)


def test_draws_follow_the_distribution_whatever_the_number_of_cores() -> None:
    alike = alike_of({"a": [4, 6, 2], "b": [6, 4, 2], "c": [0, 0, 0], "d": [9]})
    population = population_of(2.0, 0.5, 3.0, draws=4000)
    rates = draw_rates(population, alike, np.random.default_rng(3), cores=1)
    np.testing.assert_array_equal(rates, draw_rates(population, alike, np.random.default_rng(3), cores=4))
    assert rates.shape == (4000, 4)
    assert rates.dtype == np.float64
    windows = alike.profiles[0].windows
    for entity in range(4):
        row = alike.row[entity]
        one = Windows(windows.exposure[[row]], windows.total[[row]], windows.number[[row]])
        x = np.sort(np.log(rates[:, entity]))[::40]
        cdf = distribution_function(population_of(2.0, 0.5, 3.0), one, x)
        # Kolmogorov and Smirnov: beyond 2.1/sqrt(n) once in 3,000 times
        assert np.abs(cdf - (np.arange(100) * 40 + 0.5) / 4000).max() < 2.1 / np.sqrt(4000)
    # alike entities have the same distribution, and draws of their own
    assert abs(np.corrcoef(np.log(rates[:, :2]).T)[0, 1]) < 4 / np.sqrt(4000)


def test_every_draw_of_the_population_moves_its_own_draw_of_the_rates() -> None:
    alike = alike_of({"a": [4], "b": [0]})
    shape = np.linspace(50.0, 5000.0, 300)
    population = Population(shape, np.full(300, 10.0), np.full(300, 1 / 3.0))
    rates = draw_rates(population, alike, np.random.default_rng(0))
    z = (rates - shape[:, None] / 10) / (np.sqrt(shape)[:, None] / 10)
    assert np.abs(z).max() < 6  # rates stay near their own population's mean, which the one window hardly moves


def test_several_profiles_and_rows_come_back_in_the_order_of_the_entities() -> None:
    counts = {"a": [100, 100], "b": [1, 5000, 2], "c": [3], "d": [100, 100], "e": [0]}
    exposures = {"a": [1.0, 1.0], "b": [1.0, 500.0, 1.0], "c": [0.5], "d": [1.0, 1.0], "e": [1e-6]}
    alike = alike_of(counts, exposures)
    population = population_of(3.0, 0.5, 4.0, draws=3000)
    rates = draw_rates(population, alike, np.random.default_rng(5))
    found = summarise_rates(population_of(3.0, 0.5, 4.0), alike).per_entity(alike)
    error = found["sd"] / np.sqrt(3000)
    assert (np.abs(rates.mean(0) - found["mean"]) < 4 * error).all()
    for name, level in (("lower", 0.05), ("median", 0.5), ("upper", 0.95)):
        below = (rates <= found[name]).mean(0)
        assert (np.abs(below - level) < 4 * np.sqrt(level * (1 - level) / 3000)).all()


def test_poisson_draws_are_the_conjugate_posterior_and_the_limit_of_the_others() -> None:
    alike = alike_of({"a": [4, 6, 2], "b": [0, 0, 0]})
    for concentration in (np.inf, 1e9):  # closed form, and quadrature at nearly the same model
        rates = draw_rates(population_of(2.0, 0.5, concentration, draws=4000), alike, np.random.default_rng(8))
        for entity, total in enumerate((12, 0)):
            assert stats.kstest(rates[:, entity], stats.gamma(2.0 + total, scale=1 / 3.5).cdf).pvalue > 1e-3


def test_draws_of_a_tiny_shape_are_positive_numbers() -> None:
    alike = alike_of({"a": [0, 0], "b": [7, 0]})
    for concentration in (np.inf, 2.0):
        rates = draw_rates(population_of(1e-4, 0.5, concentration, draws=2000), alike, np.random.default_rng(2))
        assert (rates > 0).all()
        assert np.isfinite(np.log(rates)).all()
        # P(theta < 1e-300) is about (1e-300)^shape = 0.933, and of the entity that was active nothing
        assert (rates[:, 0] < 1e-300).mean() == pytest.approx(0.933, abs=4 * np.sqrt(0.933 * 0.067 / 2000) + 1e-3)
        assert rates[:, 1].min() > 1e-3


@pytest.mark.parametrize("shape", [8.0, 0.02], ids=["everyday", "rare"])
def test_summaries_of_poisson_rates_are_those_of_a_mixture_of_gammas(shape: float) -> None:
    rng = np.random.default_rng(4)
    a, b = shape * np.exp(0.3 * rng.normal(size=200)), 2.0 * np.exp(0.3 * rng.normal(size=200))
    alike = alike_of({"a": [12, 3], "b": [0, 0], "c": [2000]})
    found = summarise_rates(Population(a, b, np.zeros(200)), alike, 0.8).per_entity(alike)
    for entity, (total, number) in enumerate(((15, 2), (0, 2), (2000, 1))):
        s, r = a + total, b + number
        mean = (s / r).mean()
        assert found["mean"][entity] == pytest.approx(mean, rel=1e-8)  # quadrature 1e-11, cut off at e^-19
        assert found["sd"][entity] == pytest.approx(np.sqrt((s * (s + 1) / r**2).mean() - mean**2), rel=1e-6)
        for name, level in (("lower", 0.1), ("median", 0.5), ("upper", 0.9)):
            below = stats.gamma(s, scale=1 / r).cdf(found[name][entity]).mean()
            assert below == pytest.approx(level, abs=1e-6), (entity, name)


def test_summaries_do_not_depend_on_cores_and_hardly_on_thinning() -> None:
    rng = np.random.default_rng(6)
    population = Population(*(value * np.exp(0.02 * rng.normal(size=600)) for value in (10.0, 2.0, 0.3)))
    alike = alike_of({f"e{k}": [k, 2 * k % 7] for k in range(30)})
    found = summarise_rates(population, alike, cores=1)
    np.testing.assert_array_equal(found.mean, summarise_rates(population, alike, cores=3).mean)
    thinned = summarise_rates(population, alike, most_draws=150)
    # an average over 150 of 600 draws that move the mean rate by some 2 %: within 4 of its standard errors
    np.testing.assert_allclose(thinned.mean, found.mean, rtol=4 * 0.03 / np.sqrt(150))


@pytest.mark.slow
def test_summaries_agree_with_draws_by_nuts() -> None:
    rng = np.random.default_rng(9)
    counts = rng.negative_binomial(3, 3 / (3 + rng.gamma(4, 1.5, 20)[:, None]), (20, 6))
    data = EventCounts.from_arrays(entity=np.repeat([f"e{k:02d}" for k in range(20)], 6), count=counts.ravel())
    config = ModelConfig.create(n_samples=600, n_tune=400, n_chains=2, target_accept=0.8)
    trace = fit_event_rates(data, config, engine="numpyro", predictive_draws=1, prior_draws=1, cores=1)
    alike = alike_entities(statistics_of(data))
    found = summarise_rates(population_draws(trace, 1200), alike).per_entity(alike)
    theta = trace.posterior["theta"]
    error = az.mcse(theta, method="mean")["theta"].values
    spread = found["sd"] / np.sqrt(2 * az.ess(theta, method="sd")["theta"].values)
    assert (np.abs(theta.mean(("chain", "draw")).values - found["mean"]) < 4 * error).all()
    assert (np.abs(theta.std(("chain", "draw")).values - found["sd"]) < 4 * spread).all()
