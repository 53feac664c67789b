"""Distributions of counts: under transformations and handlers, their moments, and what capture does to them."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import numpyro
import pytest
from numpyro.infer.util import log_density

from modelwright.bayesian.components.count_distributions import (
    NegativeBinomialByLogits,
    NegativeBinomialByMean,
    PoissonByMean,
    ZeroInflated,
    captured_logits,
)
from modelwright.core.errors import ConfigurationError

INSTANCES = {
    "by logits": lambda: NegativeBinomialByLogits(jnp.array([0.7, 3.0]), 1.0),
    "by mean": lambda: NegativeBinomialByMean(jnp.array([0.7, 3.0]), jnp.array([2.0, jnp.inf])),
    "poisson": lambda: PoissonByMean(jnp.array([0.7, 3.0])),
    "gated": lambda: ZeroInflated(NegativeBinomialByLogits(jnp.array([0.7, 3.0]), 1.0), jnp.array([-1.0, 1.0])),
    "one gate": lambda: ZeroInflated(PoissonByMean(3.0), jnp.array([-1.0, 1.0])),
}


@pytest.fixture(params=INSTANCES.values(), ids=INSTANCES.keys())
def instance(request):
    return request.param()


def test_moments_are_those_of_the_probabilities(instance):
    assert instance.batch_shape == (2,)
    count = np.arange(400)
    probability = np.exp(np.asarray(instance.log_prob(count[:, None]), float))
    np.testing.assert_allclose(probability.sum(0), 1.0, atol=1e-5)  # float32, sums of 400
    np.testing.assert_allclose(count @ probability, instance.mean, rtol=1e-5)
    centred = (count[:, None] - np.asarray(instance.mean)) ** 2
    np.testing.assert_allclose((centred * probability).sum(0), instance.variance, rtol=1e-4)


@pytest.mark.slow  # each compiles a sampler; the models' own tests draw from one in the default suite
def test_draws_have_the_moments(instance):
    n = 4000
    draws = np.asarray(jax.jit(lambda key: instance.sample(key, (n,)))(jax.random.key(3)))
    assert draws.shape == (n, 2)
    assert draws.dtype.kind == "i"
    mean, sd = np.asarray(instance.mean), np.sqrt(np.asarray(instance.variance))
    assert np.all(np.abs(draws.mean(0) - mean) < 4 * sd / np.sqrt(n))
    # zeros: a binomial share, four of its standard errors
    share = np.exp(np.asarray(instance.log_prob(jnp.zeros(2, int))))
    assert np.all(np.abs((draws == 0).mean(0) - share) < 4 * np.sqrt(share * (1 - share) / n))


def test_survives_compilation_and_mapping_as_a_pytree(instance):
    value = jnp.array([0, 4])
    through = jax.jit(lambda d, v: d.log_prob(v))(instance, value)
    np.testing.assert_allclose(through, instance.log_prob(value), rtol=1e-6)


@pytest.mark.slow
def test_log_odds_per_cell_and_concentrations_per_gene_in_plates():
    counts = np.array([[0, 3, 1], [2, 0, 9]])

    def model(counts=None):
        r = numpyro.sample("r", numpyro.distributions.LogNormal(0.0, 1.0).expand([3]).to_event(1))
        logits = numpyro.sample("logits", numpyro.distributions.Normal(0.0, 1.0).expand([2, 1]).to_event(2))
        with numpyro.plate("cells", 2, dim=-2), numpyro.plate("genes", 3, dim=-1):
            numpyro.sample("counts", ZeroInflated(NegativeBinomialByLogits(r, logits), -1.0), obs=counts)

    values = {"r": jnp.array([0.5, 1.0, 2.0]), "logits": jnp.array([[0.0], [1.0]])}
    joint, trace = log_density(model, (counts,), {}, values)
    assert trace["counts"]["fn"].batch_shape == (2, 3)
    assert np.isfinite(joint)
    drawn = numpyro.handlers.trace(numpyro.handlers.seed(numpyro.handlers.substitute(model, values), 0)).get_trace()
    assert drawn["counts"]["value"].shape == (2, 3)


def test_invalid_parameters_and_counts_are_refused_when_asked():
    with pytest.raises(ValueError, match="concentration"):
        NegativeBinomialByLogits(-1.0, 0.0, validate_args=True)
    with pytest.raises(ValueError, match="mean"):
        PoissonByMean(-1.0, validate_args=True)
    with pytest.raises(ValueError, match="mean"):
        NegativeBinomialByMean(-1.0, 1.0, validate_args=True)
    with pytest.raises(ConfigurationError, match="not a random key"):
        NegativeBinomialByLogits(1.0, 0.0).sample(7)


@pytest.mark.parametrize(("r", "p", "nu"), [(0.4, 0.6, 0.1), (5.0, 0.3, 0.8), (2.0, 0.5, 1.0)])
def test_thinned_counts_are_negative_binomial_of_the_captured_log_odds(r, p, nu):
    with jax.enable_x64(True):
        logits = np.log(p / (1 - p))
        captured = captured_logits(logits, capture=nu)
        found = np.exp(NegativeBinomialByLogits(r, captured).log_prob(jnp.arange(4)))
        p_hat = p * nu / (1 - p * (1 - nu))
        assert float(jax.nn.sigmoid(captured)) == pytest.approx(p_hat, rel=1e-13)
        if nu < 1:
            phi, phi_capture = (1 - p) / p, (1 - nu) / nu
            odds_form = captured_logits(logits, capture_logits=np.log(nu / (1 - nu)))
            assert float(odds_form) == pytest.approx(-np.log(phi * (1 + phi_capture)), rel=1e-13)
    with mpmath.workdps(30):
        for seen in range(4):
            # what there was, of which each molecule is kept with probability nu
            terms = [
                mpmath.gamma(there + r) / mpmath.gamma(r) / mpmath.factorial(there)
                * mpmath.mpf(1 - p) ** r * mpmath.mpf(p) ** there
                * mpmath.binomial(there, seen) * mpmath.mpf(nu) ** seen * mpmath.mpf(1 - nu) ** (there - seen)
                for there in range(seen, 300)
            ]  # fmt: skip
            assert found[seen] == pytest.approx(float(mpmath.fsum(terms)), rel=1e-11)


def test_capture_is_given_once():
    with pytest.raises(ConfigurationError, match="either capture or capture_logits"):
        captured_logits(0.0)
    with pytest.raises(ConfigurationError, match="twice"):
        captured_logits(0.0, capture=0.5, capture_logits=0.0)
