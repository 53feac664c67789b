"""A linear autoencoder at its optimum is probabilistic PCA, whose likelihood is known (Lucas et al., 2019,
https://arxiv.org/abs/1911.02469)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import configuration
from scipy import stats

from modelwright.factory import create_model
from modelwright.generative.laws.vae import log_likelihood_by_quadrature
from modelwright.generative.protocol import Batch
from modelwright.generative.training.settings import TrainingSettings
from modelwright.generative.training.trainer import Trainer
from modelwright.generative.vae.latent import NormalLatent


@pytest.fixture(scope="module")
def data():
    generator = np.random.default_rng(0)
    return (
        generator.standard_normal((300, 2)) @ generator.standard_normal((2, 5))
        + 0.5 * generator.standard_normal((300, 5))
        + 1.0
    )


@pytest.fixture(scope="module")
def optimum(data):
    """Mean, weights (5, 2), noise variance by maximum likelihood (Tipping and Bishop, 1999), and log p(x)."""
    mean, covariance = data.mean(0), np.cov(data.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    noise = values[:3].mean()
    weights = vectors[:, 3:] * np.sqrt(values[3:] - noise)
    exact = stats.multivariate_normal(mean, weights @ weights.T + noise * np.eye(5)).logpdf(data)
    return mean, weights, noise, exact


def linear(noise):
    parameters = {"likelihood": "gaussian", "observation_scale": float(noise**0.5)}
    return create_model(configuration("vae.VAE", 5, hidden_dims=[], output_dim=2, parameters=parameters), rngs=0)


@pytest.mark.parametrize("draws", [1, 7])
def test_bound_at_the_optimum_is_the_likelihood(data, optimum, draws):
    mean, weights, noise, exact = optimum
    with jax.enable_x64(True):
        model = linear(noise)
        precision = weights.T @ weights + noise * np.eye(2)  # diagonal: the weights are orthogonal
        to_mean = weights @ np.linalg.inv(precision)
        log_variance = np.log(noise / np.diag(precision))
        encoder, decoder = model.encoder.net.layers[0], model.decoder.net.layers[0]
        encoder.kernel.set_value(jnp.asarray(np.hstack([to_mean, np.zeros((5, 2))])))
        encoder.bias.set_value(jnp.asarray(np.concatenate([-mean @ to_mean, 20 * np.arctanh(log_variance / 20)])))
        decoder.kernel.set_value(jnp.asarray(weights.T))
        decoder.bias.set_value(jnp.asarray(mean))
        x = jnp.asarray(data)
        found = model.importance_weighted(x, draws, key=jax.random.key(3)).value
        loss = model.loss(Batch(x), key=jax.random.key(0), step=jnp.asarray(0))
    # q is the posterior, so that every importance weight is p(x) itself: constants and all, for any latent drawn
    np.testing.assert_allclose(found, exact, rtol=0, atol=1e-6)
    # the loss has drawn the distortion and not the rate: right within four standard errors of 300 draws
    assert abs(float(loss.value) + exact.mean()) < 4 * 1.0 / 300**0.5


def test_trained_reaches_the_likelihood(data, optimum):
    noise, exact = optimum[2:]
    model = linear(noise)
    Trainer(model, TrainingSettings(batch_size=100, learning_rate=0.01)).fit(data.astype(np.float32), steps=1500)
    gap = exact.mean() - float(
        model.importance_weighted(jnp.asarray(data, jnp.float32), 64, key=jax.random.key(0)).mean()
    )
    assert -0.01 < gap < 0.05  # nats; of 6.6, where a fresh model is hundreds below


@pytest.mark.parametrize("noise", [1e-3, 0.03, 1.0])
def test_quadrature_finds_posteriors_however_narrow(noise):
    x = np.random.default_rng(1).standard_normal((4, 1)) + noise * np.random.default_rng(2).standard_normal((4, 3))
    parameters = {"likelihood": "gaussian", "observation_scale": noise}
    with jax.enable_x64(True):
        model = create_model(configuration("vae.VAE", 3, hidden_dims=[], output_dim=1, parameters=parameters), rngs=0)
        decoder = model.decoder.net.layers[0]
        decoder.kernel.set_value(jnp.ones((1, 3)))
        decoder.bias.set_value(jnp.zeros(3))
        precision = 1.0 + 3.0 / noise**2
        near = NormalLatent(
            jnp.asarray(x.sum(1, keepdims=True) / noise**2 / precision), jnp.full((4, 1), -np.log(precision))
        )
        found = log_likelihood_by_quadrature(model, jnp.asarray(x), None, near)
    exact = stats.multivariate_normal(np.zeros(3), np.ones((3, 3)) + noise**2 * np.eye(3)).logpdf(x)
    np.testing.assert_allclose(found, exact, atol=1e-6)  # even steps, and nothing at their ends
