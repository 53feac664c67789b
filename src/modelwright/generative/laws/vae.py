"""Laws of autoencoders with a normal latent: divergences, bounds and losses are what their formulas say."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from modelwright.generative.laws.autoencoder import (
    STANDARD_ERRORS,
    compiled,
    context_of,
    in_standard_errors,
    is_normal,
    over_keys,
    standard_errors,
)
from modelwright.generative.laws.law import FEW, Law, Measured, Subject, condition_of, largest, leaves_out, loose
from modelwright.generative.vae.autoencoder import AbstractAutoencoder, log_mean_exp
from modelwright.generative.vae.latent import NormalLatent

_REACH = 14.0
"""Quadrature over the latent: deviations of the prior to either side of the posterior's mean."""

_POINTS = 128
"""Points to either side, the closer the nearer to that mean: a posterior may be far narrower than the prior."""


def divergence_in_closed_form(subject: Subject) -> Measured:
    """KL(q || p) in closed form is the mean of log q(z) - log p(z) over z from q."""
    x, context, key = subject.batch.x, context_of(subject, len(subject.batch.x)), subject.key("divergence")

    def difference(model: AbstractAutoencoder) -> tuple[Array, Array]:
        q, p = model.posterior(x, context), model.prior_of(context, len(x))
        z = q.draw(key, (4096,))
        found, wanted = (q.log_prob(z) - p.log_prob(z)).mean(1), q.divergence(p).sum(-1).mean()
        return found - wanted, jnp.abs(q.log_prob(z)).max()

    return in_standard_errors(*compiled(subject, difference), "between the divergence and its Monte Carlo mean")


def bound_grows_with_draws(subject: Subject) -> Measured:
    """The bound of 8 latents is on average the logarithm of the mean of 8 weights, each from a bound of 1 latent.

    A bound of 1 latent is the logarithm of its weight, so that bounds of 1 say how high that of 8 has to be:
    above them, unless the posterior is exact. One that ignores the number of latents would be as high as they are.
    """
    single, found = _bounds(subject, 1, 1024), _bounds(subject, 8, 128)
    wanted = log_mean_exp(single.reshape(128, 8, -1).swapaxes(0, 1).reshape(8, -1)).reshape(128, -1)
    growth = float(wanted.mean() - single.mean())
    words = f"standard errors from the growth of {growth:.3g} nats that single latents say:"
    return Measured(abs(standard_errors(found.mean(1) - wanted.mean(1), wanted)), STANDARD_ERRORS, words)


def log_prob_is_the_bound(subject: Subject) -> Measured:
    """The log probability is the importance-weighted bound of as many latents as the model says, drawn by its key.

    The same formula with the same key, so that nothing is between them but rounding.
    """
    x, cond, key = subject.batch.x[:FEW], condition_of(subject), subject.key("log_prob")

    def both(model: AbstractAutoencoder) -> tuple[Array, Array]:
        wanted = model.importance_weighted(x, model.draws, key=key, cond=cond)
        return model.log_prob(x, key=key, cond=cond).value, wanted.value

    found, wanted = compiled(subject, both)
    return Measured(
        largest(found - wanted) / (1.0 + largest(wanted)), loose(subject, 1e-10, 1e-5), "relative difference"
    )


def held_out_loss_is_the_bound(subject: Subject) -> Measured:
    """The held-out loss is minus the unweighted bound of the latents that the posterior draws by the same key.

    The same formula with the same key, so that nothing is between them but rounding: the spread of bounds of one latent
    would hide a loss that is off by a nat. No unit is left out in it.
    """
    batch, key, n = subject.batch, subject.key("held out"), len(subject.batch.x)
    context = context_of(subject, n)

    def both(model: AbstractAutoencoder) -> tuple[Array, Array]:
        q, p = model.posterior(batch.x, context), model.prior_of(context, n)
        z = q.draw(key, (model.training_draws,))

        def of_latents(z: Array) -> Array:
            return model.observation.log_prob(model.decoder(z, context, None), batch.x).reshape(n, -1).sum(-1)

        log_likelihood = jax.lax.map(of_latents, z)
        bound = log_likelihood.mean() - q.divergence(p).sum(-1).mean()
        if model.training_draws > 1:
            bound = log_mean_exp(log_likelihood + p.log_prob(z) - q.log_prob(z)).mean()
        return model.held_out_loss(batch, key=key).value, -bound

    found, wanted = compiled(subject, both)
    return Measured(
        largest(found - wanted) / (1.0 + largest(wanted)), loose(subject, 1e-10, 1e-5), "relative difference"
    )


def loss_is_the_bound(subject: Subject) -> Measured:
    """Minus the unweighted loss is on average the bound of as many latents as training draws."""
    batch = subject.batch

    def both(model: AbstractAutoencoder, key: Array) -> tuple[Array, Array]:
        of_loss, of_bound = jax.random.split(key)
        loss = model.loss(batch, key=of_loss, step=jnp.asarray(0))
        value = loss.value if model.training_draws > 1 else loss.metrics["distortion"] + loss.metrics["rate"]
        bound = model.importance_weighted(batch.x, model.training_draws, key=of_bound, cond=batch.cond)
        return value + bound.mean(), bound.mean()

    return in_standard_errors(*over_keys(subject, both, "loss", 256), "between the loss and minus the bound")


def loss_is_weighted(subject: Subject) -> Measured:
    """The loss is the distortion plus the rate by its weight: kl_weight, times step / warm_up_steps while below 1."""
    key, steps, own = subject.key("weighted"), (0, 3, 1_000_000), subject.model
    one = lambda model, step: model.loss(subject.batch, key=key, step=step)  # noqa: E731
    losses = compiled(subject, lambda model: jax.lax.map(lambda step: one(model, step), jnp.asarray(steps)))
    share = jnp.asarray([min(1.0, step / own.warm_up_steps) if own.warm_up_steps else 1.0 for step in steps])
    parts = losses.metrics["distortion"] + own.kl_weight * share * losses.metrics["rate"]
    figure = largest((losses.value - parts) / (1.0 + jnp.abs(parts)))
    # the same sum in single precision; the rate may be a thousandth of the distortion, and has to be seen
    return Measured(figure, loose(subject, 1e-10, 1e-6), f"relative difference after {steps} steps")


def bound_below_likelihood(subject: Subject) -> Measured:
    """The bound is on average at most log p(x) by quadrature over the latent."""
    bounds, x, context = _bounds(subject, 32), subject.batch.x[:FEW], context_of(subject, FEW)
    exact = compiled(
        subject, lambda model: log_likelihood_by_quadrature(model, x, context, model.posterior(x, context))
    )
    worst = max(standard_errors(bounds[:, k] - exact[k], exact[k]) for k in range(FEW))
    return Measured(worst, STANDARD_ERRORS, "standard errors by which the bound is above the log likelihood:")


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


def _bounds(subject: Subject, draws: int, replicates: int = 64) -> Float[Array, "replicates n"]:
    x, cond = subject.batch.x[:FEW], condition_of(subject)
    bound = lambda model, key: model.importance_weighted(x, draws, key=key, cond=cond).value  # noqa: E731
    return over_keys(subject, bound, f"bounds {draws}", replicates)


VAE_LAWS = (
    Law("the divergence in closed form is that of draws", is_normal, divergence_in_closed_form),
    Law("the log probability is the bound of as many latents as it says", is_normal, log_prob_is_the_bound),
    Law("more importance weights, a higher bound, as high as they say", is_normal, bound_grows_with_draws),
    Law("the held-out loss is minus the bound of its draws", is_normal, held_out_loss_is_the_bound),
    Law(
        "the loss without its weight is minus the bound",
        lambda model: is_normal(model) and not leaves_out(model),
        loss_is_the_bound,
    ),
    Law(
        "the loss is the distortion and the weighted rate",
        lambda model: is_normal(model) and model.training_draws == 1,
        loss_is_weighted,
    ),
    Law(
        "the bound is below the likelihood by quadrature",
        lambda model: is_normal(model) and model.latent_dim <= 2,
        bound_below_likelihood,
    ),
)
