"""The density of the population with rates integrated out: against dense sums, SciPy's quadrature, and JAX."""

import jax
import numpy as np
import pytest
from numpyro.infer.util import potential_energy
from scipy import stats
from scipy.special import gammaln

from modelwright.bayesian.event_rates.collapsed_density import CollapsedDensity, likelihood_terms, to_population
from modelwright.bayesian.event_rates.collapsed_numpyro import collapsed_model
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.density import negative_binomial_logpmf
from modelwright.bayesian.event_rates.octave_nodes import octave_nodes
from modelwright.bayesian.event_rates.simulate import simulate_event_rates
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, statistics_of
from modelwright.data.events import EventCounts


def small_counts(exposures: tuple[float, ...] = (1.0,), entities: int = 12, scale: float = 10.0) -> EventCounts:
    generator = np.random.default_rng(5)
    entity = np.repeat(np.arange(entities), 5)
    exposure = generator.choice(exposures, len(entity))
    theta = generator.gamma(2.0, 0.5, entities) * scale
    theta[: entities // 3] *= 1e-3
    count = generator.poisson(theta[entity] * exposure * generator.gamma(2.0, 0.5, len(entity)))
    return EventCounts.from_arrays(entity=[f"e{i:03d}" for i in entity], count=count, exposure=exposure)


def dense_log_likelihood(data: EventCounts, shape: float, rate: float, phi: float) -> float:
    """Window by window, each entity's rate integrated by the trapezoid rule over a grid far finer than needed."""
    x = np.linspace(-40.0, 12.0, 60_001)
    theta, total = np.exp(x), 0.0
    prior = stats.gamma(shape, scale=1.0 / rate).logpdf(theta) + x
    for entity in range(data.n_entities):
        here = data.entity_idx == entity
        density = prior.copy()
        for count, exposure in zip(data.count[here], data.exposure[here], strict=True):
            density += negative_binomial_logpmf(count, theta * exposure, phi)
        total += np.logaddexp.reduce(density) + np.log(x[1] - x[0])
    return float(total)


@pytest.mark.parametrize("exposures", [(1.0,), (0.5, 2.0)], ids=["equal", "unequal"])
def test_equals_the_dense_likelihood(exposures: tuple[float, ...]) -> None:
    data = small_counts(exposures)
    points = {"mu": [3.0, 30.0, 20.0, 0.5], "alpha": [0.5, 0.05, 0.1, 3.0], "phi": [2.0, 0.1, 1e5, 0.01]}
    population = to_population({name: np.array(values) for name, values in points.items()}, "centered")
    found = CollapsedDensity(statistics_of(data), ModelConfig()).log_likelihood(population)
    for k in range(4):
        mu, alpha, phi = (points[name][k] for name in ("mu", "alpha", "phi"))
        # the same number in float64 by another road, 60 windows summed at 60,001 points
        assert found[k] == pytest.approx(dense_log_likelihood(data, mu * alpha, alpha, phi), rel=1e-10)


@pytest.mark.parametrize("inverse", [0.0, 1e-300, 1e-12])
def test_the_poisson_limit_is_exact(inverse: float) -> None:
    data = small_counts(scale=1e4)
    density = CollapsedDensity(statistics_of(data), ModelConfig())
    values = {"mu": np.array([3000.0]), "alpha": np.array([1e-3])}
    poisson = density.log_likelihood(to_population(values, "centered"))
    near = to_population(values, "centered")
    near = type(near)(near.shape, near.rate, np.array([inverse]))
    # a correction of sum of y^2 / (2 phi), below 1e-3 at the last of these
    assert density.log_likelihood(near) == pytest.approx(poisson, abs=1e-7 + inverse * float((data.count**2).sum()))
    gamma_poisson = 0.0
    statistics = statistics_of(data)
    for total, windows in zip(statistics.total, statistics.windows, strict=True):
        gamma_poisson += float(negative_binomial_logpmf(total, 3000.0 * windows, 3.0))
    multinomial = sum(
        float(stats.multinomial.logpmf(data.count[data.entity_idx == k], int(statistics.total[k]), np.full(5, 0.2)))
        for k in range(data.n_entities)
    )
    assert poisson[0] == pytest.approx(gamma_poisson + multinomial, rel=1e-10)


def test_sums_by_octaves_equal_sums_over_every_entity(monkeypatch: pytest.MonkeyPatch) -> None:
    data = simulate_event_rates(4000, 6, mu=40.0, alpha=0.05, phi=2.0, seed=3)[0]
    statistics = statistics_of(data)
    gathered = CollapsedDensity(statistics, ModelConfig())
    points = np.random.default_rng(1).normal(0.0, 2.0, (25, 3))
    few = gathered(points)
    monkeypatch.setattr("modelwright.bayesian.event_rates.octave_nodes.FIRST", 1e12)
    every = CollapsedDensity(statistics, ModelConfig())
    assert len(every.terms.weight[0]) > 4 * len(gathered.terms.weight[0])
    # rounding of a sum of 24,000 terms of either sign
    assert few == pytest.approx(every(points), rel=1e-12)


def test_octave_nodes_keep_sums_of_analytic_functions() -> None:
    generator = np.random.default_rng(2)
    numbers = np.unique(generator.integers(0, 200_000, 30_000)).astype(float)
    weights = generator.integers(1, 50, len(numbers)).astype(float)
    points, kept = octave_nodes(numbers, weights)
    assert len(points) < 330
    for f in (np.ones_like, lambda y: np.log(y + 0.01), lambda y: gammaln(y + 0.3), lambda y: 1.0 / (y + 5.0)):
        assert (kept * f(points)).sum() == pytest.approx((weights * f(numbers)).sum(), rel=1e-12)


def test_cost_does_not_depend_on_entities_or_observations() -> None:
    sizes = []
    for entities in (2_000, 20_000):
        data = simulate_event_rates(entities, 20, mu=5.0, alpha=1.0, phi=2.0, seed=1)[0]
        terms = likelihood_terms(statistics_of(data))
        sizes.append(sum(len(weight) for weight in terms.weight) + len(terms.large))
    assert sizes[1] < 1.3 * sizes[0] < 400


CONFIGS = {
    "negative binomial": {},
    "poisson": {"likelihood": "poisson"},
    "mean scaled": {"parameterization": "mean_scaled"},
    "a prior of the shape": {"shape_prior": "exponential(1)", "alpha_prior": "gamma(0.1, 1)"},
    "uniform": {"alpha_prior": "uniform(0.01, 5)", "phi_prior": "half_cauchy(2)"},
}


@pytest.mark.parametrize("name", CONFIGS)
def test_jax_has_the_same_density_and_its_gradient(name: str) -> None:
    case, exposures = CONFIGS[name], (0.5, 2.0) if name in ("negative binomial", "a prior of the shape") else (1.0,)
    config = ModelConfig(**case)
    density = CollapsedDensity(statistics_of(small_counts(exposures, entities=9)), config)
    points = np.random.default_rng(1).normal(0.0, 2.0, (12, len(density.names)))
    here = density(points)
    with jax.enable_x64(True):

        def log_density(point: jax.Array) -> jax.Array:
            values = dict(zip(density.names, point, strict=True))
            return -potential_energy(collapsed_model, (density.terms, config), {}, values)

        both = jax.jit(jax.value_and_grad(log_density))
        there, gradient = (np.array(part) for part in zip(*[both(point) for point in points], strict=True))
    assert there == pytest.approx(here, rel=1e-9)  # two quadratures, each within 1e-10 of the integral
    step = 1e-4
    for k in range(len(density.names)):
        move = step * np.eye(len(density.names))[k]
        difference = (density(points + move) - density(points - move)) / (2 * step)
        assert gradient[:, k] == pytest.approx(difference, rel=1e-3, abs=1e-3)  # finite differences


@pytest.mark.parametrize("case", CONFIGS.values(), ids=CONFIGS.keys())
def test_coordinates_go_back_and_forth(case: dict) -> None:
    density = CollapsedDensity(statistics_of(small_counts()), ModelConfig(**case))
    points = np.random.default_rng(1).normal(0.0, 1.0, (2, 7, len(density.names)))
    values = density.values(points)
    assert next(iter(values)) == "mu"
    assert density.point(values) == pytest.approx(points, abs=1e-12)


def test_points_far_out_have_no_density_and_do_not_fail() -> None:
    density = CollapsedDensity(statistics_of(small_counts()), ModelConfig())
    far = np.array(
        [
            [800.0, 0.0, 0.0],
            [0.0, -800.0, 0.0],
            [0.0, 0.0, np.nan],
            [-69.0, 69.0, -69.0],
            [69.0, -69.0, 69.0],
            [69.0, 69.0, 0.0],
        ]
    )
    values = density(far)
    assert (values[:3] == -np.inf).all()
    assert not np.isnan(values).any()


def test_no_information_leaves_the_prior() -> None:
    """An entity that is only listed: the likelihood of no windows is one."""
    empty = SufficientStatistics(("a",), np.empty(0, np.int64), *[np.empty(0)] * 5)
    density = CollapsedDensity(empty, ModelConfig())
    point = np.array([[0.3, -0.2, 0.1]])
    mu, alpha, phi = np.exp(point[0])
    prior = stats.expon(scale=10).logpdf(mu) + stats.halfnorm(scale=2).logpdf([alpha, phi]).sum() + point.sum()
    assert density(point)[0] == pytest.approx(prior, abs=1e-10)


def test_an_interrupt_between_blocks_is_passed_on() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    density = CollapsedDensity(statistics_of(small_counts()), ModelConfig(), tick=stop)
    with pytest.raises(KeyboardInterrupt):
        density(np.zeros((4, 3)))


def test_threads_do_not_change_the_density() -> None:
    statistics = statistics_of(small_counts((0.5, 1.0, 2.0), entities=60))
    points = np.random.default_rng(1).normal(0.0, 1.0, (700, 3))
    one, four = (CollapsedDensity(statistics, ModelConfig(), cores=cores)(points) for cores in (1, 4))
    assert (one == four).all()
