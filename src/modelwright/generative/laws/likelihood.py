"""Laws of an autoencoder's likelihood: it is normalised, and what is decoded and sampled are draws of it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from modelwright.generative.laws.autoencoder import (
    STANDARD_ERRORS,
    compiled,
    context_of,
    in_standard_errors,
    is_coded,
    is_normal,
    over_keys,
    standard_errors,
)
from modelwright.generative.laws.chance import FEWEST, MOST_SYMBOLS, at_once, beyond_chance, distribution_apart
from modelwright.generative.laws.law import FEW, Law, Measured, Subject, condition_of, largest, one_condition
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.vae.vqvae import VQVAE

_AT_ONCE = 64
"""Samples drawn at a time, so that the decoder of many fits into memory."""


def likelihood_is_normalised(subject: Subject) -> Measured:
    """The likelihood of every number given a latent sums, or integrates, to one."""
    total = lambda model: integrated(subject, model, _some_output(subject, model))[0]  # noqa: E731
    tolerance = 1e-4 if subject.model.observation.discrete else 1e-3
    return Measured(largest(compiled(subject, total) - 1.0), tolerance, "difference of the total from 1")


def mean_is_that_of_draws(subject: Subject) -> Measured:
    """What is decoded without a key is the mean of what is decoded with keys.

    Of real numbers the draws are asked, entries with random signs added; of whole numbers their probabilities: a rare
    value may not be drawn at all.
    """
    signs = subject.key("signs")
    if subject.model.observation.discrete:
        return _mean_of_probabilities(subject)

    def difference(model: AbstractGenerativeModel, key: Array) -> tuple[Array, Array]:
        output, observation = _some_output(subject, model), model.observation
        sign = jax.random.rademacher(signs, output.shape[:-1], jnp.float32)
        drawn = observation.sample(output, key)
        return ((drawn - observation.mean(output)) * sign).sum(), jnp.abs(drawn).sum()

    return in_standard_errors(*over_keys(subject, difference, "draws", 2048), "between the mean and draws")


def _mean_of_probabilities(subject: Subject) -> Measured:
    def both(model: AbstractGenerativeModel) -> tuple[Array, Array]:
        output = _some_output(subject, model)
        p = jnp.exp(_of_values(model.observation, output))
        values = jnp.arange(len(p), dtype=p.dtype).reshape(-1, *[1] * (p.ndim - 1))
        return model.observation.mean(output), (p * values).sum(0)

    found, wanted = compiled(subject, both)
    levels = subject.model.observation.levels
    return Measured(largest(found - wanted) / levels, 1e-4, "difference from the mean of the values, a level's share")


def samples_are_possible(subject: Subject) -> Measured:
    """What is sampled can be observed: its likelihood is not zero."""
    key, cond = subject.key("possible"), condition_of(subject)
    wrong = compiled(subject, lambda model: (~model.observation.possible(model.sample(FEW, key=key, cond=cond))).sum())
    return Measured(float(wrong), 0.0, "sampled numbers that the likelihood excludes:")


def draws_are_of_the_likelihood(subject: Subject) -> Measured:
    """Numbers drawn given a latent are those of the likelihood.

    Whole numbers are scored as `beyond_chance` says. Of real numbers the mean log likelihood is minus the entropy, an
    integral over the likelihood: what is drawn with another spread is found, however right both are by themselves.
    Numbers are added as they are and with random signs: those drawn too wide must not make up for those drawn too
    narrowly.
    """
    generator = np.random.default_rng(subject.seed)
    if subject.model.observation.discrete:
        return _draws_of_values(subject)

    def both(model: AbstractGenerativeModel) -> tuple[Array, Array]:
        output, observation = _some_output(subject, model), model.observation
        each = lambda key: observation.log_prob(output, observation.sample(output, key))  # noqa: E731
        keys = jax.random.split(subject.key("of the likelihood"), 1024)
        return jax.lax.map(each, keys), integrated(subject, model, output)[1]

    of_draws, negative_entropy = (np.asarray(each, np.float64) for each in compiled(subject, both))
    apart = (of_draws - negative_entropy).reshape(len(of_draws), -1)
    signs = generator.choice([-1.0, 1.0], (apart.shape[1], 5))
    signs[:, 0] = 1.0
    scale = float(np.abs(of_draws).reshape(len(of_draws), -1).sum(1).max())
    worst = max(abs(standard_errors(sums, scale)) for sums in jnp.asarray(apart @ signs).T)
    return Measured(worst, STANDARD_ERRORS, "standard errors between draws and minus the entropy:")


def _draws_of_values(subject: Subject) -> Measured:
    d, levels = FEW * int(np.prod(subject.model.example_shape)), subject.model.observation.levels
    n = int(np.clip(MOST_SYMBOLS // d, FEWEST, 1024))

    def both(model: AbstractGenerativeModel) -> tuple[Array, Array]:
        output = _some_output(subject, model)
        keys = jax.random.split(subject.key("of the likelihood"), n)
        drawn = jax.lax.map(lambda key: model.observation.sample(output, key), keys)
        return drawn.reshape(n, -1), _of_values(model.observation, output).reshape(levels, -1).T

    drawn, log_p = (np.asarray(each) for each in compiled(subject, both))
    rows = at_once(d, levels)
    parts = (drawn[k : k + rows] for k in range(0, n, rows))
    return beyond_chance(((part, np.broadcast_to(log_p, (len(part), *log_p.shape))) for part in parts), subject.seed)


def samples_by_definition(subject: Subject) -> Measured:
    """Samples have the distribution of the likelihood's draws at decoded draws of the prior.

    Both are drawn, with keys of their own, and compared by the largest difference of their cumulative frequencies
    (Kolmogorov and Smirnov): of sums of all numbers with random signs, and of their squared distance from the mean.
    At most what chance exceeds in one of 100,000 cases.
    """
    cond = one_condition(subject, _AT_ONCE)

    def both(model: AbstractGenerativeModel, key: Array) -> Array:
        of_model, of_latent, of_example = jax.random.split(key, 3)
        context = model.condition.vectors(cond, _AT_ONCE)
        if isinstance(model, VQVAE):
            codes = model.prior.sample(_AT_ONCE, of_latent, context)
            latent = model.codebook.vectors_of(codes.reshape(_AT_ONCE, *model.grid))
        else:
            prior = model.prior_of(context, _AT_ONCE)
            noise = jax.random.normal(of_latent, prior.mean.shape)
            latent = prior.mean + jnp.exp(0.5 * prior.log_variance) * noise
        wanted = model.observation.sample(model.decoder(latent, context, None), of_example)
        found = model.sample(_AT_ONCE, key=of_model, cond=cond)
        return jnp.stack([each.reshape(_AT_ONCE, -1).astype(jnp.float32) for each in (found, wanted)])

    drawn = np.asarray(over_keys(subject, both, "by definition", 16), np.float64).swapaxes(0, 1)
    figure, most = distribution_apart(*drawn.reshape(2, -1, drawn.shape[-1]), seed=subject.seed)
    return Measured(figure, most, "largest difference of cumulative frequencies")


def integrated(subject: Subject, model: Any, output: Array) -> tuple[Array, Array]:
    """The total of the likelihood of each number given the decoder's output, and minus its entropy in nats."""
    observation = model.observation
    if observation.discrete:
        log_p, weights = _of_values(observation, output), jnp.ones(())
    else:
        # even steps of t in x = mean + spread sinh(t): fine near the mean, and as far out as tails may reach
        t, mean = jnp.linspace(-14.0, 14.0, 8001), observation.mean(output)
        keys = jax.random.split(subject.key("spread"), 64)
        spread = jax.vmap(lambda key: observation.sample(output, key) - mean)(keys).std(0)
        log_p = jax.vmap(lambda t: observation.log_prob(output, mean + spread * jnp.sinh(t)))(t)
        weights = (t[1] - t[0]) * spread * jnp.cosh(t).reshape(-1, *[1] * spread.ndim)
    p = jnp.exp(log_p)
    return (p * weights).sum(0), jnp.where(p > 0.0, p * log_p * weights, 0.0).sum(0)


def _of_values(observation: Any, output: Array) -> Array:
    """The log probability of each value for each number, shape (levels, *numbers)."""
    of_value = lambda value: observation.log_prob(output, jnp.full(output.shape[:-1], value))  # noqa: E731
    return jax.vmap(of_value)(jnp.arange(observation.levels))


def _some_output(subject: Subject, model: Any) -> Array:
    context = context_of(subject, FEW)
    if isinstance(model, VQVAE):
        codes = jax.random.randint(subject.key("codes"), (FEW, *model.grid), 0, model.codebook.size)
        return model.decoder(model.codebook.vectors_of(codes), context, None)
    return model.decoder(model.prior_of(context, FEW).draw(subject.key("latents")), context, None)


def _any(model: AbstractGenerativeModel) -> bool:
    return is_normal(model) or is_coded(model)


LIKELIHOOD_LAWS = (
    Law("the likelihood is normalised", _any, likelihood_is_normalised),
    Law("the likelihood draws what it gives probability to", _any, draws_are_of_the_likelihood),
    Law("the decoded mean is that of draws", _any, mean_is_that_of_draws),
    Law("what is sampled can be observed", _any, samples_are_possible),
    Law("samples are draws of the likelihood at draws of the prior", _any, samples_by_definition),
)
