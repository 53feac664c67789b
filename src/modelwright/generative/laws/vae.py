"""Laws of autoencoders: divergences, bounds, likelihoods and codes are what their formulas say."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from modelwright.generative.laws.law import FEW, Law, Measured, Subject, condition_of, largest, loose, one_condition
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.vae.autoencoder import AbstractAutoencoder, log_mean_exp
from modelwright.generative.vae.code_prior import CausalPrior
from modelwright.generative.vae.latent import NormalLatent
from modelwright.generative.vae.vqvae import VQVAE, autoencoder_loss

_MOST_ROWS = 4096
_REACH = 14.0
"""Quadrature over the latent: deviations of the prior to either side of the posterior's mean."""

_POINTS = 128
"""Points to either side, the closer the nearer to that mean: a posterior may be far narrower than the prior."""

STANDARD_ERRORS = 4.0


def divergence_in_closed_form(subject: Subject) -> Measured:
    """KL(q || p) in closed form is the mean of log q(z) - log p(z) over z from q."""
    x, context, key = subject.batch.x, _context(subject, len(subject.batch.x)), subject.key("divergence")

    def difference(model: AbstractAutoencoder) -> Array:
        q, p = model.posterior(x, context), model.prior_of(context, len(x))
        z = q.draw(key, (4096,))
        return (q.log_prob(z) - p.log_prob(z)).mean(1) - q.divergence(p).sum(-1).mean()

    return _in_standard_errors(_of(subject, difference), "between the divergence and its Monte Carlo mean")


def bound_grows_with_draws(subject: Subject) -> Measured:
    """The bound of 8 latents is on average the logarithm of the mean of 8 weights, each from a bound of 1 latent.

    A bound of 1 latent is the logarithm of its weight, so that bounds of 1 say how high that of 8 has to be:
    above them, unless the posterior is exact. One that ignores the number of latents would be as high as they are.
    """
    single, found = _bounds(subject, 1, 1024), _bounds(subject, 8, 128)
    wanted = log_mean_exp(single.reshape(128, 8, -1).swapaxes(0, 1).reshape(8, -1)).reshape(128, -1)
    growth = float(wanted.mean() - single.mean())
    words = f"standard errors from the growth of {growth:.3g} nats that single latents say:"
    return Measured(abs(_standard_errors(found.mean(1) - wanted.mean(1))), STANDARD_ERRORS, words)


def loss_is_the_bound(subject: Subject) -> Measured:
    """Minus the unweighted loss is on average the bound of as many latents as training draws."""
    batch = subject.batch

    def both(model: AbstractAutoencoder, key: Array) -> Array:
        of_loss, of_bound = jax.random.split(key)
        loss = model.loss(batch, key=of_loss, step=jnp.asarray(0))
        value = loss.value if model.training_draws > 1 else loss.metrics["distortion"] + loss.metrics["rate"]
        bound = model.importance_weighted(batch.x, model.training_draws, key=of_bound, cond=batch.cond)
        return value + bound.mean()

    return _in_standard_errors(_of_keys(subject, both, "loss", 256), "between the loss and minus the bound")


def loss_is_weighted(subject: Subject) -> Measured:
    """The loss is the distortion plus the rate by its weight: kl_weight, times step / warm_up_steps while below 1."""
    key, steps, own = subject.key("weighted"), (0, 3, 1_000_000), subject.model
    one = lambda model, step: model.loss(subject.batch, key=key, step=step)  # noqa: E731
    losses = _of(subject, lambda model: jax.lax.map(lambda step: one(model, step), jnp.asarray(steps)))
    share = jnp.asarray([min(1.0, step / own.warm_up_steps) if own.warm_up_steps else 1.0 for step in steps])
    parts = losses.metrics["distortion"] + own.kl_weight * share * losses.metrics["rate"]
    figure = largest((losses.value - parts) / (1.0 + jnp.abs(parts)))
    # the same sum in single precision; the rate may be a thousandth of the distortion, and has to be seen
    return Measured(figure, loose(subject, 1e-10, 1e-6), f"relative difference after {steps} steps")


def bound_below_likelihood(subject: Subject) -> Measured:
    """The bound is on average at most log p(x) by quadrature over the latent."""
    bounds, x, context = _bounds(subject, 32), subject.batch.x[:FEW], _context(subject, FEW)
    exact = _of(subject, lambda model: log_likelihood_by_quadrature(model, x, context, model.posterior(x, context)))
    worst = max(_standard_errors(bounds[:, k] - exact[k]) for k in range(FEW))
    return Measured(worst, STANDARD_ERRORS, "standard errors by which the bound is above the log likelihood:")


def likelihood_is_normalised(subject: Subject) -> Measured:
    """The likelihood of every number given a latent sums, or integrates, to one."""

    def total(model: AbstractGenerativeModel) -> Array:
        observation, output = model.observation, _some_output(subject, model)
        if observation.discrete:
            of_value = lambda value: observation.log_prob(output, jnp.full(output.shape[:-1], value))  # noqa: E731
            return jnp.exp(jax.vmap(of_value)(jnp.arange(observation.levels))).sum(0)
        # even steps of t in x = mean + spread sinh(t): fine near the mean, and as far out as tails may reach
        t, mean = jnp.linspace(-14.0, 14.0, 8001), observation.mean(output)
        keys = jax.random.split(subject.key("spread"), 64)
        spread = jax.vmap(lambda key: observation.sample(output, key) - mean)(keys).std(0)
        density = jax.vmap(lambda t: jnp.exp(observation.log_prob(output, mean + spread * jnp.sinh(t))) * jnp.cosh(t))(
            t
        )
        return spread * density.sum(0) * (t[1] - t[0])

    tolerance = 1e-4 if subject.model.observation.discrete else 1e-3
    return Measured(largest(_of(subject, total) - 1.0), tolerance, "difference of the total from 1")


def mean_is_that_of_draws(subject: Subject) -> Measured:
    """What is decoded without a key is the mean of what is decoded with keys; entries with random signs are added."""
    signs = subject.key("signs")

    def difference(model: AbstractGenerativeModel, key: Array) -> Array:
        output, observation = _some_output(subject, model), model.observation
        sign = jax.random.rademacher(signs, output.shape[:-1], jnp.float32)
        return ((observation.sample(output, key) - observation.mean(output)) * sign).sum()

    return _in_standard_errors(_of_keys(subject, difference, "draws", 2048), "between the mean and draws")


def samples_are_possible(subject: Subject) -> Measured:
    """What is sampled can be observed: its likelihood is not zero."""
    key, cond = subject.key("possible"), condition_of(subject)
    wrong = _of(subject, lambda model: (~model.observation.possible(model.sample(FEW, key=key, cond=cond))).sum())
    return Measured(float(wrong), 0.0, "sampled numbers that the likelihood excludes:")


def rounding_passes_gradients(subject: Subject) -> Measured:
    """The encoder's gradient of the distortion is that of the codes' vectors, as if its own vectors were these."""
    batch, key = subject.batch, subject.key("rounding")
    context = _context(subject, len(batch.x))

    def gradients(model: VQVAE) -> tuple[Any, Any]:
        graph, params, rest = nnx.split(model, nnx.Param, ...)

        def distortion(params: nnx.State) -> Array:
            own = nnx.merge(graph, params, rest, copy=True)
            return autoencoder_loss(own, batch, key, jnp.asarray(0)).metrics["distortion"]

        encoder, of_encoder, others = nnx.split(model.encoder, nnx.Param, ...)

        def vectors(of_encoder: nnx.State) -> Array:
            return nnx.merge(encoder, of_encoder, others)(model.observation.as_input(batch.x), context, None)

        def of_codes(e: Array) -> Array:
            each = model.observation.log_prob(model.decoder(e, context, None), batch.x)
            return -each.reshape(len(batch.x), -1).sum(-1).mean()

        z, back = jax.vjp(vectors, of_encoder)
        rounded = model.codebook.vectors_of(model.codebook.nearest(z))
        return jax.grad(distortion)(params)["encoder"], back(jax.grad(of_codes)(rounded).astype(z.dtype))[0]

    found, wanted = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in _of(subject, gradients))
    difference = float(np.abs(found - wanted).max() / (1e-6 + np.abs(wanted).max()))
    return Measured(difference, loose(subject, 1e-8, 1e-4), "relative difference of the two gradients")


def perplexity_by_counting(subject: Subject) -> Measured:
    """The perplexity of a batch is exp of the entropy of how often each code is used, counted one by one."""
    key, batch, size = subject.key("perplexity"), subject.batch, subject.model.codebook.size

    def both(model: VQVAE) -> tuple[Array, Array]:
        codes = model.encode(batch.x, cond=batch.cond)  # before the loss moves the codebook
        return codes, autoencoder_loss(model, batch, key, jnp.asarray(0)).metrics["perplexity"]

    codes, found = _of(subject, both)
    share = np.bincount(np.asarray(codes).reshape(-1), minlength=size) / codes.size
    used = share[share > 0.0]
    wanted = float(np.exp(-(used * np.log(used)).sum()))
    words = f"{float(found):.4g} of {size} codes used for {wanted:.4g}, a relative difference of"
    return Measured(abs(float(found) - wanted) / wanted, 1e-5, words)


def code_prior_is_normalised(subject: Subject) -> Measured:
    """The probabilities of all rows of codes sum to one."""
    rows = _rows(subject.model)
    context = _one_context(subject, len(rows))
    total = _of(subject, lambda model: jnp.exp(model.prior.log_prob(rows, context)).sum())
    return Measured(float(jnp.abs(total - 1.0)), loose(subject, 1e-10, 1e-4), "difference of the sum from 1")


def code_prior_looks_back_at_all(subject: Subject) -> Measured:
    """The distribution of a code changes with each code before it, and with no other."""
    size, length = subject.model.codebook.size, subject.model.prior.length
    codes = jax.random.randint(subject.key("row"), (1, length), 0, size)
    others = jnp.concatenate([codes, (codes + jnp.eye(length, dtype=codes.dtype)) % size])
    context = _one_context(subject, len(others))
    logits = _of(subject, lambda model: model.prior.logits(others, context))
    changed = (logits[1:] != logits[0]).any(-1)  # [which code was changed, which distribution changed]
    wrong = (changed != jnp.triu(jnp.ones((length, length), bool), 1)).sum()
    words = "pairs of places that look at each other and should not, or do not and should:"
    return Measured(float(wrong), 0.0, words)


def code_bound_below_likelihood(subject: Subject) -> Measured:
    """The bound is at most log p(x) = log sum_c p(c) p(x | c) over all rows of codes."""
    x, cond, context = subject.batch.x[:FEW], condition_of(subject), _context(subject, FEW)
    rows = _rows(subject.model).reshape(-1, *subject.model.grid)

    def both(model: VQVAE) -> tuple[Array, Array]:
        exact = []
        for k in range(FEW):
            own = None if context is None else jnp.broadcast_to(context[k], (len(rows), context.shape[-1]))
            joint = model.joint(jnp.broadcast_to(x[k], (len(rows), *x.shape[1:])), rows, own)
            exact.append(jax.nn.logsumexp(joint))
        return model.log_prob(x, cond=cond).value, jnp.stack(exact)

    bound, exact = _of(subject, both)
    tolerance = loose(subject, 1e-10, 1e-5) * (1.0 + largest(exact))
    words = "nats by which the bound is above the log likelihood:"
    return Measured(float((bound - exact).max()), tolerance, words)


def log_likelihood_by_quadrature(
    model: AbstractAutoencoder, x: Array, context: Float[Array, "n width"] | None, near: NormalLatent
) -> Float[Array, " n"]:
    """Log p(x) = log of the integral of p(x | z) p(z), for latents of one or two numbers, nats, shape (n,).

    Args:
        model: The model.
        x: Examples.
        context: Of each.
        near: Where p(x | z) p(z) may be narrow: there are more points the closer to its mean.
    """
    prior, found = model.prior_of(context, len(x)), []
    for k in range(len(x)):
        deviation = jnp.exp(0.5 * prior.log_variance[k])
        centre, width = (near.mean[k] - prior.mean[k]) / deviation, jnp.exp(0.5 * near.log_variance[k]) / deviation
        sides, lengths = jax.vmap(_axis)(centre, width)
        grid = jnp.stack(jnp.meshgrid(*sides, indexing="ij"), -1).reshape(-1, model.latent_dim)
        cells = jnp.stack(jnp.meshgrid(*lengths, indexing="ij"), -1).reshape(-1, model.latent_dim)
        log_weight = (jnp.log(cells) - 0.5 * (jnp.square(grid) + math.log(2.0 * math.pi))).sum(-1)
        z = prior.mean[k] + deviation * grid
        own = None if context is None else jnp.broadcast_to(context[k], (len(z), context.shape[-1]))
        each = model.observation.log_prob(model.decoder(z, own, None), x[k]).reshape(len(z), -1).sum(-1)
        found.append(jax.nn.logsumexp(each + log_weight))
    return jnp.stack(found)


def _axis(centre: Float[Array, ""], width: Float[Array, ""]) -> tuple[Float[Array, " points"], Float[Array, " points"]]:
    """Points along one number of the latent, in deviations of the prior, and the length that each stands for."""
    step = jnp.arcsinh(_REACH / width) / _POINTS
    t = step * jnp.arange(-_POINTS, _POINTS + 1)
    return centre + width * jnp.sinh(t), width * jnp.cosh(t) * step


def _of(subject: Subject, function: Callable[[Any], Any]) -> Any:
    """What a function of the model gives, compiled; it works on a copy, as losses may move codebooks."""
    graph, state = nnx.split(subject.model)
    return jax.jit(lambda state: function(nnx.merge(graph, state, copy=True)))(state)


def _of_keys(subject: Subject, function: Callable[[Any, Array], Array], name: str, n: int) -> Array:
    keys = jax.random.split(subject.key(name), n)
    return _of(subject, lambda model: jax.lax.map(lambda key: function(model, key), keys))


def _bounds(subject: Subject, draws: int, replicates: int = 64) -> Float[Array, "replicates n"]:
    x, cond = subject.batch.x[:FEW], condition_of(subject)
    bound = lambda model, key: model.importance_weighted(x, draws, key=key, cond=cond).value  # noqa: E731
    return _of_keys(subject, bound, f"bounds {draws}", replicates)


def _some_output(subject: Subject, model: Any) -> Array:
    context = _context(subject, FEW)
    if isinstance(model, VQVAE):
        codes = jax.random.randint(subject.key("codes"), (FEW, *model.grid), 0, model.codebook.size)
        return model.decoder(model.codebook.vectors_of(codes), context, None)
    return model.decoder(model.prior_of(context, FEW).draw(subject.key("latents")), context, None)


def _standard_errors(difference: Array) -> float:
    return float(difference.mean() / (difference.std(ddof=1) / len(difference) ** 0.5 + 1e-6))


def _in_standard_errors(difference: Array, words: str) -> Measured:
    return Measured(abs(_standard_errors(difference)), STANDARD_ERRORS, f"standard errors {words}:")


def _context(subject: Subject, n: int) -> Array | None:
    return subject.model.condition.vectors(condition_of(subject, n), n)


def _one_context(subject: Subject, n: int) -> Array | None:
    return subject.model.condition.vectors(one_condition(subject, n), n)


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
    Law("more importance weights, a higher bound, as high as they say", _normal, bound_grows_with_draws),
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
    Law(
        "rounding to a code passes gradients on unchanged",
        lambda model: _coded(model) and not _leaves_out(model),
        rounding_passes_gradients,
    ),
    Law(
        "the perplexity of codes is that of their counts",
        lambda model: _coded(model) and not _leaves_out(model),
        perplexity_by_counting,
    ),
    Law("the probabilities of all rows of codes sum to one", _few_rows, code_prior_is_normalised),
    Law(
        "the prior of a code looks at all before it and no other",
        lambda model: _coded(model) and isinstance(model.prior, CausalPrior),
        code_prior_looks_back_at_all,
    ),
    Law("the bound is below the likelihood over all codes", _few_rows, code_bound_below_likelihood),
)
