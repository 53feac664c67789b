"""Laws of autoencoders: divergences, bounds, likelihoods and codes are what their formulas say."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from modelwright.generative.laws.law import Law, Measured, Subject, largest, loose
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.vae.autoencoder import AbstractAutoencoder
from modelwright.generative.vae.code_prior import CausalPrior
from modelwright.generative.vae.vqvae import VQVAE, autoencoder_loss

_N = 3
_MOST_ROWS = 4096
_REACH, _CELL = 7.0, 0.1
"""Quadrature over the latent: standard deviations of the prior to either side, and between two points."""

STANDARD_ERRORS = 4.0


def divergence_in_closed_form(subject: Subject) -> Measured:
    """KL(q || p) in closed form is the mean of log q(z) - log p(z) over z from q."""
    model, context = subject.model, _context(subject, len(subject.batch.x))
    q, p = model.posterior(subject.batch.x, context), model.prior_of(context, len(subject.batch.x))
    z = q.draw(subject.key("divergence"), (4096,))
    drawn = (q.log_prob(z) - p.log_prob(z)).mean(1)
    return _in_standard_errors(
        drawn - q.divergence(p).sum(-1).mean(), "between the divergence and its Monte Carlo mean"
    )


def bound_grows_with_draws(subject: Subject) -> Measured:
    """The importance-weighted bound of 4 K latents is on average at least that of K."""
    bounds = [_bounds(subject, draws).mean(1) for draws in (1, 4, 16)]
    worst = max(_standard_errors(low - high) for low, high in itertools.pairwise(bounds))
    return Measured(worst, STANDARD_ERRORS, "standard errors by which a bound of fewer latents is higher:")


def loss_is_the_bound(subject: Subject) -> Measured:
    """Minus the unweighted loss is on average the bound of as many latents as training draws."""
    model, batch = subject.model, subject.batch

    def drawn(model: AbstractAutoencoder, key: Array) -> Array:
        loss = model.loss(batch, key=key, step=jnp.asarray(0))
        return loss.value if model.training_draws > 1 else loss.metrics["distortion"] + loss.metrics["rate"]

    losses = _of_keys(subject, drawn, "loss", 256)
    draws = model.training_draws
    bounds = _of_keys(subject, lambda model, key: _bound(model, batch.x, batch.cond, draws, key), "bounds", 256)
    return _in_standard_errors(losses + bounds.mean(1), "between the loss and minus the bound")


def loss_is_weighted(subject: Subject) -> Measured:
    """The loss is the distortion plus kl_weight times the rate."""
    loss = subject.model.loss(subject.batch, key=subject.key("weighted"), step=jnp.asarray(3))
    parts = loss.metrics["distortion"] + loss.metrics["kl_weight"] * loss.metrics["rate"]
    return Measured(float(jnp.abs(loss.value - parts) / (1.0 + jnp.abs(parts))), 1e-5, "relative difference")


def bound_below_likelihood(subject: Subject) -> Measured:
    """The bound is on average at most log p(x) by quadrature over the latent."""
    bounds = _bounds(subject, 64)
    exact = log_likelihood_by_quadrature(subject.model, subject.batch.x[:_N], _context(subject, _N))
    worst = max(_standard_errors(bounds[:, k] - exact[k]) for k in range(_N))
    return Measured(worst, STANDARD_ERRORS, "standard errors by which the bound is above the log likelihood:")


def likelihood_is_normalised(subject: Subject) -> Measured:
    """The likelihood of every number given a latent sums, or integrates, to one."""
    observation, output = subject.model.observation, _some_output(subject)
    if observation.discrete:
        values = jnp.arange(getattr(observation, "levels", 2))
        log_probs = jax.vmap(lambda value: observation.log_prob(output, jnp.full(output.shape[:-1], value)))(values)
        total = jnp.exp(log_probs).sum(0)
    else:
        # even steps of t in x = mean + sinh(t) / 100: fine near the mean, and as far out as tails may reach
        t = jnp.linspace(-14.0, 14.0, 8001)
        offset, slope = jnp.sinh(t) / 100.0, jnp.cosh(t) / 100.0
        mean = observation.mean(output)
        density = jax.vmap(lambda away: jnp.exp(observation.log_prob(output, mean + away)))(offset)
        total = (density * slope.reshape(-1, *(1,) * mean.ndim)).sum(0) * (t[1] - t[0])
    return Measured(largest(total - 1.0), 1e-3 if not observation.discrete else 1e-4, "difference of the total from 1")


def mean_is_that_of_draws(subject: Subject) -> Measured:
    """What decode gives without a key is the mean of what it gives with keys; entries with random signs are added."""
    output, observation = _some_output(subject), subject.model.observation
    keys = jax.random.split(subject.key("draws"), 2048)
    sign = jax.random.rademacher(subject.key("signs"), output.shape[:-1], jnp.float32)
    drawn = jax.lax.map(lambda key: ((observation.sample(output, key) - observation.mean(output)) * sign).sum(), keys)
    return _in_standard_errors(drawn, "between the mean and draws")


def samples_are_possible(subject: Subject) -> Measured:
    """What is sampled can be observed: its likelihood is not zero."""
    samples = subject.model.sample(_N, key=subject.key("possible"), cond=_cond(subject))
    wrong = (~subject.model.observation.possible(samples)).sum()
    return Measured(float(wrong), 0.0, "sampled numbers that the likelihood excludes:")


def rounding_passes_gradients(subject: Subject) -> Measured:
    """The gradient with respect to what is rounded is that with respect to the rounded."""
    model = subject.model
    z = jax.random.normal(subject.key("z"), (5, model.latent_dim))
    slope = jax.random.normal(subject.key("slope"), z.shape)
    found = jax.grad(lambda z: (model.codebook.quantised(z)[0] * slope).sum())(z)
    rounded = model.codebook.quantised(z)[0] - model.codebook.vectors_of(model.codebook.nearest(z))
    return Measured(largest(found - slope) + max(0.0, largest(rounded) - 1e-5), 0.0, "difference of the two gradients")


def perplexity_is_bounded(subject: Subject) -> Measured:
    """The perplexity of the codes lies between 1 and the size of the codebook."""
    graph, state = nnx.split(subject.model)  # a copy: the loss moves the codebook
    loss = autoencoder_loss(nnx.merge(graph, state), subject.batch, subject.key("perplexity"), jnp.asarray(0))
    found, size = float(loss.metrics["perplexity"]), subject.model.codebook.size
    return Measured(
        max(found - size, 1.0 - found), 1e-4 * size, f"{found:.3g} codes of {size} used, beyond the limits by"
    )


def code_prior_is_normalised(subject: Subject) -> Measured:
    """The probabilities of all rows of codes sum to one."""
    rows = _rows(subject.model)
    total = jnp.exp(subject.model.prior.log_prob(rows, _one_context(subject, len(rows)))).sum()
    return Measured(float(jnp.abs(total - 1.0)), loose(subject, 1e-10, 1e-4), "difference of the sum from 1")


def code_prior_looks_back_at_all(subject: Subject) -> Measured:
    """The distribution of a code changes with each code before it, and with no other."""
    prior, size = subject.model.prior, subject.model.codebook.size
    codes = jax.random.randint(subject.key("row"), (1, prior.length), 0, size)
    context, wrong = _one_context(subject, 1), 0
    for place in range(prior.length):
        others = codes.at[0, place].set((codes[0, place] + 1) % size)
        changed = (prior.logits(others, context) != prior.logits(codes, context))[0].any(-1)
        wrong += int((changed != (jnp.arange(prior.length) > place)).sum())
    return Measured(float(wrong), 0.0, "pairs of places that look at each other and should not, or do not and should:")


def code_bound_below_likelihood(subject: Subject) -> Measured:
    """The bound is at most log p(x) = log sum_c p(c) p(x | c) over all rows of codes."""
    model, context = subject.model, _context(subject, _N)
    rows = _rows(model).reshape(-1, *model.grid)
    exact = []
    for k, x in enumerate(subject.batch.x[:_N]):
        own = None if context is None else jnp.broadcast_to(context[k], (len(rows), context.shape[-1]))
        exact.append(jax.nn.logsumexp(model.joint(jnp.broadcast_to(x, (len(rows), *x.shape)), rows, own)))
    above = model.log_prob(subject.batch.x[:_N], cond=_cond(subject)).value - jnp.stack(exact)
    scale = 1.0 + float(jnp.abs(jnp.stack(exact)).max())
    return Measured(float(above.max()), 1e-5 * scale, "nats by which the bound is above the log likelihood:")


def log_likelihood_by_quadrature(
    model: AbstractAutoencoder, x: Array, context: Float[Array, "n width"] | None
) -> Float[Array, " n"]:
    """Log p(x) = log of the integral of p(x | z) p(z), for latents of one or two numbers, nats, shape (n,)."""
    axis = jnp.arange(-_REACH, _REACH + _CELL / 2, _CELL)
    grid = jnp.stack(jnp.meshgrid(*[axis] * model.latent_dim, indexing="ij"), -1).reshape(-1, model.latent_dim)
    prior, found = model.prior_of(context, len(x)), []
    for k in range(len(x)):
        deviation = jnp.exp(0.5 * prior.log_variance[k])
        z = prior.mean[k] + deviation * grid
        own = None if context is None else jnp.broadcast_to(context[k], (len(z), context.shape[-1]))
        each = model.observation.log_prob(model.decoder(z, own, None), x[k]).reshape(len(z), -1).sum(-1)
        log_prior = -0.5 * (jnp.square(grid) + math.log(2.0 * math.pi)).sum(-1)
        found.append(jax.nn.logsumexp(each + log_prior) + model.latent_dim * math.log(_CELL))
    return jnp.stack(found)


def _bound(model: AbstractAutoencoder, x: Array, cond: Array | None, draws: int, key: Array) -> Array:
    return model.importance_weighted(x, draws, key=key, cond=cond).value


def _bounds(subject: Subject, draws: int) -> Float[Array, "replicates n"]:
    x, cond = subject.batch.x[:_N], _cond(subject)
    return _of_keys(subject, lambda model, key: _bound(model, x, cond, draws, key), f"bounds {draws}", 64)


def _of_keys(subject: Subject, function: Callable[[Any, Array], Array], name: str, n: int) -> Array:
    graph, state = nnx.split(subject.model)
    keys = jax.random.split(subject.key(name), n)
    return jax.jit(lambda state: jax.lax.map(lambda key: function(nnx.merge(graph, state), key), keys))(state)


def _some_output(subject: Subject) -> Array:
    model, context = subject.model, _context(subject, _N)
    if isinstance(model, VQVAE):
        codes = jax.random.randint(subject.key("codes"), (_N, *model.grid), 0, model.codebook.size)
        return model.decoder(model.codebook.vectors_of(codes), context, None)
    return model.decoder(model.prior_of(context, _N).draw(subject.key("latents")), context, None)


def _standard_errors(difference: Array) -> float:
    return float(difference.mean() / (difference.std(ddof=1) / len(difference) ** 0.5 + 1e-6))


def _in_standard_errors(difference: Array, words: str) -> Measured:
    return Measured(abs(_standard_errors(difference)), STANDARD_ERRORS, f"standard errors {words}:")


def _cond(subject: Subject) -> Array | None:
    return None if subject.batch.cond is None else subject.batch.cond[:_N]


def _context(subject: Subject, n: int) -> Array | None:
    cond = subject.batch.cond
    return subject.model.condition.vectors(None if cond is None else cond[:n], n)


def _one_context(subject: Subject, n: int) -> Array | None:
    context = _context(subject, 1)
    return None if context is None else jnp.broadcast_to(context, (n, context.shape[-1]))


def _rows(model: VQVAE) -> Array:
    return jnp.asarray(list(itertools.product(range(model.codebook.size), repeat=math.prod(model.grid))))


def _normal(model: AbstractGenerativeModel) -> bool:
    return isinstance(model, AbstractAutoencoder)


def _coded(model: AbstractGenerativeModel) -> bool:
    return isinstance(model, VQVAE)


def _leaves_out(model: AbstractGenerativeModel) -> bool:
    return any(getattr(module, "dropout_rate", 0.0) > 0.0 for _, module in nnx.iter_modules(model))


def _few_rows(model: AbstractGenerativeModel) -> bool:
    return isinstance(model, VQVAE) and model.codebook.size ** math.prod(model.grid) <= _MOST_ROWS


def _any(model: AbstractGenerativeModel) -> bool:
    return _normal(model) or _coded(model)


VAE_LAWS = (
    Law("the divergence in closed form is that of draws", _normal, divergence_in_closed_form),
    Law("more importance weights, a higher bound", _normal, bound_grows_with_draws),
    Law(
        "the loss without its weight is minus the bound",
        lambda model: _normal(model) and not _leaves_out(model),
        loss_is_the_bound,
    ),
    Law(
        "the loss is the distortion and the weighted rate",
        lambda model: _normal(model) and model.training_draws == 1,
        loss_is_weighted,
    ),
    Law(
        "the bound is below the likelihood by quadrature",
        lambda model: _normal(model) and model.latent_dim <= 2,
        bound_below_likelihood,
    ),
    Law("the likelihood is normalised", _any, likelihood_is_normalised),
    Law("the decoded mean is that of draws", _any, mean_is_that_of_draws),
    Law("what is sampled can be observed", _any, samples_are_possible),
    Law("rounding to a code passes gradients on unchanged", _coded, rounding_passes_gradients),
    Law("the perplexity of codes is at most their number", _coded, perplexity_is_bounded),
    Law("the probabilities of all rows of codes sum to one", _few_rows, code_prior_is_normalised),
    Law(
        "the prior of a code looks at all before it and no other",
        lambda model: _coded(model) and isinstance(model.prior, CausalPrior),
        code_prior_looks_back_at_all,
    ),
    Law("the bound is below the likelihood over all codes", _few_rows, code_bound_below_likelihood),
)
