"""What autoencoders with a normal latent share: losses, bounds and samples. The final classes add their settings."""

from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.arguments import count
from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.likelihoods.observation import AbstractObservation
from modelwright.generative.log_prob import Kind, LogProb
from modelwright.generative.parameters import Parameter
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss
from modelwright.generative.reading import Reading
from modelwright.generative.vae.coders import CODERS, LIKELIHOODS, Coder, Coding, latent_dim_of, observation_of
from modelwright.generative.vae.latent import NormalLatent

ACTIVE = 0.01
"""A latent is active when the variance over examples of its posterior mean is above this (Burda et al., 2016)."""

SHARED = (
    *CODERS,
    *LIKELIHOODS,
    Parameter("importance_draws", "integer", 64, "latents drawn for each log_prob", 1, 1_000_000),
    *CONDITIONS,
)
"""The parameters of every autoencoder with a normal latent."""


class AbstractAutoencoder(AbstractGenerativeModel):
    """A normal latent z and a network that turns it into a distribution over examples.

        log p(x) >= E_q[ log p(x | z) ] - KL( q(z | x) || p(z) )

    Training makes the negative of the right side small, the divergence weighted by `kl_weight`, in the first
    `warm_up_steps` by a share of it that grows from 0 to 1. With `training_draws` K > 1 it is the importance-weighted
    bound that is trained on,

        log p(x) >= E[ log (1/K) sum_k p(x, z_k) / q(z_k | x) ],   z_k from q.

    `log_prob` is this bound, with `draws` latents and never weighted. Metrics: distortion (-E_q log p(x | z), nats),
    rate (the divergence, nats), active_units (latents whose posterior mean varies over the batch by more than
    `ACTIVE`), kl_weight. A rate near 0 and no active unit say that the posterior has collapsed.

    Args:
        encoder: (x, cond, key) -> shape (n, 2 latent_dim).
        decoder: (z, cond, key) -> shape (n, *example_shape, outputs).
        observation: The likelihood.
        latent_dim: Size of z.
        example_shape: Shape of one example.
        kl_weight: Of the divergence in the loss.
        warm_up_steps: Steps of training until the weight is reached.
        training_draws: Latents for each example in the loss.
        draws: Latents for `log_prob`.
        condition: What it is conditioned on.
        prior: context -> shape (n, 2 latent_dim), the means and log variances of p(z | context); standard normal where
            there is none.

    Source: D. Kingma, M. Welling (2014), https://arxiv.org/abs/1312.6114; Y. Burda, R. Grosse, R. Salakhutdinov
    (2016), https://arxiv.org/abs/1509.00519.
    """

    family: ClassVar[str] = "vae"
    offers: ClassVar[frozenset[str]] = frozenset({"sample", "log_prob", "encode", "decode", "condition"})
    log_prob_kind: ClassVar[Kind | None] = "bound"

    def __init__(
        self,
        encoder: Coder,
        decoder: Coder,
        observation: AbstractObservation,
        latent_dim: int,
        example_shape: tuple[int, ...],
        *,
        kl_weight: float = 1.0,
        warm_up_steps: int = 0,
        training_draws: int = 1,
        draws: int = 64,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
        prior: Any = None,
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.observation = observation
        self.levels = observation.levels
        self.latent_dim = latent_dim
        self.latent_shape = (latent_dim,)
        self.example_shape = tuple(example_shape)
        self.kl_weight = kl_weight
        self.warm_up_steps = warm_up_steps
        self.training_draws = training_draws
        self.draws = draws
        self.condition = condition
        self.prior = prior

    def check(self, batch: Batch) -> None:
        """Refuse data that the likelihood has no probability for."""
        self.observation.check(batch.x)

    def begin(self, batch: Batch, *, key: PRNGKeyArray) -> None:
        """Let the decoder put out what the data look like on average, in place."""
        self.decoder.begin(batch.x, self.observation.start)

    def loss(self, batch: Batch, *, key: PRNGKeyArray, step: Array) -> Loss:
        """The negative bound, nats per example, the divergence weighted."""
        of_draw, of_encoder, of_decoder = jax.random.split(key, 3)
        context = self.condition.vectors(batch.cond, len(batch.x))
        q, p = self.posterior(batch.x, context, of_encoder), self.prior_of(context, len(batch.x))
        z = q.draw(of_draw, (self.training_draws,))
        log_likelihood = self._log_likelihood(batch.x, z, context, of_decoder)
        distortion, rate = -log_likelihood.mean(), q.divergence(p).sum(-1).mean()
        weight = self.weight_at(step)
        value = distortion + weight * rate
        if self.training_draws > 1:
            value = -log_mean_exp(log_likelihood + p.log_prob(z) - q.log_prob(z)).mean()
        active = (q.mean.var(0) > ACTIVE).sum()
        return Loss(value, {"distortion": distortion, "rate": rate, "active_units": active, "kl_weight": weight})

    def held_out_loss(self, batch: Batch, *, key: PRNGKeyArray) -> Loss:
        """The negative bound of `training_draws` latents, nats per example: unweighted, no unit left out."""
        context = self.condition.vectors(batch.cond, len(batch.x))
        q, p = self.posterior(batch.x, context), self.prior_of(context, len(batch.x))
        z = q.draw(key, (self.training_draws,))
        log_likelihood = self._log_likelihood(batch.x, z, context, None)
        distortion, rate = -log_likelihood.mean(), q.divergence(p).sum(-1).mean()
        value = distortion + rate
        if self.training_draws > 1:
            value = -log_mean_exp(log_likelihood + p.log_prob(z) - q.log_prob(z)).mean()
        return Loss(value, {"distortion": distortion, "rate": rate})

    def weight_at(self, step: Array) -> Float[Array, ""]:
        """The weight of the divergence after a number of steps: min(1, step / warm_up_steps) of `kl_weight`."""
        share = jnp.minimum(1.0, step / self.warm_up_steps) if self.warm_up_steps else 1.0
        return jnp.asarray(self.kl_weight * share, jnp.float32)

    def posterior(
        self, x: Array, context: Float[Array, "n width"] | None, key: PRNGKeyArray | None = None
    ) -> NormalLatent:
        """q(z | x): of examples, given the vectors of their context; a key leaves units out."""
        return NormalLatent.of(self.encoder(self.observation.as_input(x), context, key))

    def prior_of(self, context: Float[Array, "n width"] | None, n: int) -> NormalLatent:
        """p(z), of each of n examples."""
        if self.prior is None:
            return NormalLatent.standard(n, self.latent_dim)
        return NormalLatent.of(self.prior(context))

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Array:
        """Examples drawn from p(x | z) with z from the prior, shape (n, *example_shape)."""
        of_latent, of_example = jax.random.split(key)
        z = self.prior_of(self.condition.vectors(cond, n), n).draw(of_latent)
        return self.decode(z, key=of_example, cond=cond)

    def log_prob(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> LogProb:
        """The importance-weighted bound of `draws` latents, nats per example, shape (n,).

        Args:
            x: Examples, shape (n, *example_shape).
            key: Of the latents; key 0 when none is given.
            cond: What each is conditioned on.
        """
        key = jax.random.key(0) if key is None else key
        return self.importance_weighted(x, self.draws, key=key, cond=cond)

    def importance_weighted(self, x: Array, draws: int, *, key: PRNGKeyArray, cond: Array | None = None) -> LogProb:
        """The bound log (1/K) sum_k p(x, z_k) / q(z_k | x) of K = `draws` latents, nats per example, shape (n,).

        One latent after the other, none of them and no weight kept: with each the memory it takes grows by a key.
        """
        draws = count(self, draws, "draws")
        context = self.condition.vectors(cond, len(x))
        q, p = self.posterior(x, context), self.prior_of(context, len(x))

        def log_weight(key: PRNGKeyArray) -> Float[Array, " n"]:
            z = q.draw(key)
            return self._log_likelihood(x, z[None], context, None)[0] + p.log_prob(z) - q.log_prob(z)

        return LogProb(log_mean_exp_of(log_weight, jax.random.split(key, draws)), "bound")

    def encode(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The latent of each example, shape (n, latent_dim): the mean of q, or a draw of it with a key."""
        q = self.posterior(x, self.condition.vectors(cond, len(x)))
        return q.mean if key is None else q.draw(key)

    def decode(self, z: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The mean example of each latent, or a draw with a key, shape (n, *example_shape)."""
        output = self.decoder(z, self.condition.vectors(cond, len(z)), None)
        return self.observation.mean(output) if key is None else self.observation.sample(output, key)

    def _log_likelihood(
        self, x: Array, z: Float[Array, "k n latent"], context: Array | None, key: PRNGKeyArray | None
    ) -> Float[Array, "k n"]:
        k, n = z.shape[:2]
        context = None if context is None else jnp.tile(context, (k, 1))
        output = self.decoder(z.reshape(k * n, -1), context, key)
        each = self.observation.log_prob(output.reshape(k, n, *output.shape[1:]), x)
        return each.reshape(k, n, -1).sum(-1)


def parts_of(reading: Reading, *, rngs: nnx.Rngs) -> dict[str, Any]:
    """What every autoencoder with a normal latent is made of, as arguments of its class."""
    latent_dim, condition, observation = latent_dim_of(reading, 2), Condition.read(reading), observation_of(reading)
    coding = Coding.read(reading, condition)
    return {
        "encoder": coding.encoder(2 * latent_dim, rngs=rngs),
        "decoder": coding.decoder((latent_dim,), observation.outputs, rngs=rngs),
        "observation": observation,
        "latent_dim": latent_dim,
        "example_shape": coding.shape,
        "draws": reading.parameter("importance_draws"),
        "condition": condition,
    }


def log_mean_exp(log_weights: Float[Array, "k n"]) -> Float[Array, " n"]:
    """The log of the mean weight, log (1/K) sum_k w_k, along the first axis."""
    return jax.nn.logsumexp(log_weights, axis=0) - jnp.log(len(log_weights))


def log_mean_exp_of(log_weight: Callable[[PRNGKeyArray], Float[Array, " n"]], keys: PRNGKeyArray) -> Float[Array, " n"]:
    """The log of the mean weight of K keys, without keeping the weights.

    The largest so far and the sum of the others as shares of it: of the log of the sum itself, what is added late would
    be lost to rounding.

    Example:
        >>> keys = jax.random.split(jax.random.key(0), 3)
        >>> float(log_mean_exp_of(lambda key: jnp.full(1, -1e4), keys)[0])
        -10000.0
    """

    def add(carried: tuple[Array, Array], key: PRNGKeyArray) -> tuple[tuple[Array, Array], None]:
        largest, total = carried
        each = log_weight(key)
        now = jax.lax.stop_gradient(jnp.maximum(largest, each))
        unit = jnp.where(jnp.isfinite(now), now, 0.0)  # of weights that are all 0
        return (now, total * jnp.exp(largest - unit) + jnp.exp(each - unit)), None

    shape = jax.eval_shape(log_weight, keys[0])
    none = (jnp.full(shape.shape, -jnp.inf, shape.dtype), jnp.zeros(shape.shape, shape.dtype))
    (largest, total), _ = jax.lax.scan(add, none, keys)
    unit = jnp.where(jnp.isfinite(largest), largest, 0.0)
    return unit + jnp.log(total) - jnp.log(len(keys))
