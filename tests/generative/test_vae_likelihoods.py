"""Likelihoods against SciPy, by enumeration and by draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from modelwright.core.errors import ConfigurationError
from modelwright.generative.likelihoods.bernoulli import Bernoulli
from modelwright.generative.likelihoods.gaussian import Gaussian
from modelwright.generative.likelihoods.levels import Categorical, DiscretisedLogistic

DISCRETE = {
    "bernoulli": (Bernoulli(), 2),
    "logistic, 2 levels": (DiscretisedLogistic(2), 2),
    "logistic, 256 levels": (DiscretisedLogistic(256), 256),
    "categorical, 5 levels": (Categorical(5), 5),
}


def outputs(observation, n=7, size=1.5):
    return size * jax.random.normal(jax.random.key(0), (n, observation.outputs))


def table(observation, levels, output):
    """Probability of each level, shape (n, levels)."""
    values = jnp.arange(levels)
    return jnp.exp(jax.vmap(lambda v: observation.log_prob(output, jnp.full(len(output), v)))(values)).T


@pytest.mark.parametrize("size", [1.5, 30.0], ids=["usual outputs", "outputs far out"])
@pytest.mark.parametrize("name", DISCRETE)
def test_probabilities_sum_to_one(name, size):
    observation, levels = DISCRETE[name]
    with jax.enable_x64(True):
        total = table(observation, levels, outputs(observation, size=size).astype(jnp.float64)).sum(1)
    np.testing.assert_allclose(total, 1.0, rtol=0, atol=1e-10)  # the same formula in double precision


@pytest.mark.parametrize("name", DISCRETE)
def test_mean_and_draws_are_of_the_probabilities(name):
    observation, levels = DISCRETE[name]
    output = outputs(observation)
    p = np.asarray(table(observation, levels, output), np.float64)
    expected = p @ np.arange(levels)
    np.testing.assert_allclose(observation.mean(output), expected, rtol=1e-4, atol=1e-5)  # single precision
    n = 4000
    drawn = jax.vmap(lambda key: observation.sample(output, key))(jax.random.split(jax.random.key(1), n))
    drawn = np.asarray(drawn)
    assert drawn.min() >= 0
    assert drawn.max() <= levels - 1
    for k in (0, levels - 1):  # the ends, where probability is collected
        spread = np.sqrt(p[:, k] * (1 - p[:, k]) / n) + 1e-6
        assert (np.abs((drawn == k).mean(0) - p[:, k]) <= 4 * spread).all()
    deviation = np.sqrt(p @ np.arange(levels) ** 2 - expected**2)
    assert (np.abs(drawn.mean(0) - expected) <= 4 * deviation / n**0.5 + 1e-6).all()


def test_discretised_logistic_is_a_difference_of_distribution_functions():
    observation, output = DiscretisedLogistic(11), jnp.array([[0.3, -1.2]])
    edges = 2 * (np.arange(12) - 0.5) / 10 - 1
    cdf = stats.logistic(loc=0.3, scale=np.exp(-10 * np.tanh(0.12))).cdf(edges)
    cdf[0], cdf[-1] = 0.0, 1.0
    np.testing.assert_allclose(table(observation, 11, output)[0], np.diff(cdf), rtol=2e-5)  # single precision


def test_discretised_logistic_is_finite_far_from_its_centre():
    value, slope = jax.value_and_grad(
        lambda m: DiscretisedLogistic(256).log_prob(jnp.array([m, -6.0]), jnp.array(255))
    )(-1.0)
    assert np.isfinite(value)
    assert value < -100
    assert slope > 0  # towards the observed level


def test_gaussian_is_that_of_scipy():
    x, output = jnp.array([0.3, -2.0, 5.0]), outputs(Gaussian(), 3)
    log_variance = 14 * np.tanh(np.asarray(output[:, 1]) / 14)
    expected = stats.norm(output[:, 0], np.exp(log_variance / 2)).logpdf(x)
    np.testing.assert_allclose(Gaussian().log_prob(output, x), expected, rtol=1e-5)
    expected = stats.norm(output[:, 0], 0.2).logpdf(x)
    np.testing.assert_allclose(Gaussian(0.2).log_prob(output[:, :1], x), expected, rtol=1e-5)


@pytest.mark.parametrize("scale", [None, 0.4])
def test_what_is_no_number_has_no_density(scale):
    x = jnp.array([jnp.nan, jnp.inf, 0.0])
    found = Gaussian(scale).log_prob(jnp.zeros((3, 1 if scale else 2)), x)
    assert np.isneginf(found).tolist() == [True, True, False]


@pytest.mark.parametrize("scale", [None, 0.4])
def test_gaussian_draws_have_its_mean_and_scale(scale):
    observation = Gaussian(scale)
    output = outputs(observation, 1)
    drawn = jax.vmap(lambda key: observation.sample(output, key))(jax.random.split(jax.random.key(1), 4000))[:, 0]
    deviation = float(jnp.exp(observation.log_variance(output) / 2)[0])
    assert abs(float(drawn.mean() - observation.mean(output)[0])) <= 4 * deviation / 4000**0.5
    assert abs(float(drawn.std()) / deviation - 1) <= 4 / 8000**0.5  # standard error of a standard deviation


def test_greys_have_no_probability_as_zeros_and_ones():
    assert Bernoulli().log_prob(jnp.zeros((3, 1)), jnp.array([0.0, 0.5, 1.0])).tolist()[1] == -np.inf
    assert Categorical(3).log_prob(jnp.zeros((1, 3)), jnp.array([3])).tolist() == [-np.inf]
    assert DiscretisedLogistic(3).log_prob(jnp.zeros((1, 2)), jnp.array([-1])).tolist() == [-np.inf]
    with pytest.raises(ConfigurationError, match=r"Bernoulli .* some of the data; expected 0 or 1, got 0\.5"):
        Bernoulli().check(jnp.array([0.0, 0.5]))
    with pytest.raises(ConfigurationError, match=r"expected whole numbers 0 to 15, got 16"):
        DiscretisedLogistic(16).check(jnp.array([0, 16], jnp.uint8))


def test_bytes_are_taken_as_they_are():
    x = jnp.array([0, 128, 255], jnp.uint8)
    for observation in (DiscretisedLogistic(1000), Categorical(1000)):
        output = jnp.zeros((3, observation.outputs))
        np.testing.assert_allclose(
            observation.log_prob(output, x), observation.log_prob(output, x.astype(jnp.float32)), rtol=1e-6
        )
    np.testing.assert_allclose(DiscretisedLogistic(256).as_input(x), [-1, 1 / 255, 1], atol=1e-6)


@pytest.mark.parametrize("name", ["bernoulli", "categorical, 5 levels", "logistic, 256 levels"])
def test_start_has_the_mean_of_the_data(name):
    observation, levels = DISCRETE[name]
    x = jnp.asarray(np.random.default_rng(0).binomial(levels - 1, [0.3, 0.5], (400, 2)))
    mean = observation.mean(observation.start(x))
    # smoothing moves a share by 1 / 400, a level by as much of the range; what the logistic's ends cut off is less
    np.testing.assert_allclose(mean, np.asarray(x).mean(0), atol=levels / 400)


def test_gaussian_start_is_the_best_constant():
    x = jnp.asarray(np.random.default_rng(0).normal(3.0, 0.5, (500, 1)), jnp.float32)
    best = Gaussian().start(x)
    log_prob = lambda output: float(Gaussian().log_prob(jnp.broadcast_to(output, (500, 1, 2)), x).mean())  # noqa: E731
    for change in ([0.1, 0], [-0.1, 0], [0, 0.1], [0, -0.1]):
        assert log_prob(best) > log_prob(best + jnp.asarray(change))
