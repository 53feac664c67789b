"""The variational autoencoder."""

from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.likelihoods.observation import AbstractObservation
from modelwright.generative.log_prob import Kind, LogProb
from modelwright.generative.parameters import Parameter
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss
from modelwright.generative.reading import Reading
from modelwright.generative.vae.coders import CODERS, decoder_of, encoder_of, observation_of
from modelwright.generative.vae.latent import NormalLatent, standard_log_prob


@final
class VAE(AbstractGenerativeModel):
    """A latent z, standard normal, and a network that turns it into a distribution over examples.

        log p(x) >= E_q[ log p(x | z) ] - KL( q(z | x) || p(z) )

    Training makes the negative of the right side small, the divergence weighted by `kl_weight`. `log_prob` is the bound
    with importance weights (Burda et al.), never weighted.

    Args:
        encoder: (x, cond, key) -> shape (n, 2 latent_dim).
        decoder: (z, cond, key) -> shape (n, *example_shape, outputs).
        observation: The likelihood.
        latent_dim: Size of z.
        example_shape: Shape of one example.
        kl_weight: Of the divergence in the loss.
        draws: Of z for `log_prob`.
        condition: What it is conditioned on.

    Source: D. Kingma, M. Welling (2014), https://arxiv.org/abs/1312.6114; Y. Burda, R. Grosse, R. Salakhutdinov
    (2016), https://arxiv.org/abs/1509.00519.
    """

    family: ClassVar[str] = "vae"
    offers: ClassVar[frozenset[str]] = frozenset({"sample", "log_prob", "encode", "decode", "condition"})
    log_prob_kind: ClassVar[Kind | None] = "bound"
    declared: ClassVar[tuple[Parameter, ...]] = (
        *CODERS,
        Parameter("kl_weight", "number", 1.0, "weight of the divergence in the loss", 0.0),
        Parameter("beta", "number", 1.0, "another factor of that weight", 0.0),
        Parameter("importance_draws", "integer", 64, "latents drawn for log_prob", 1),
        *CONDITIONS,
    )

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        observation: AbstractObservation,
        latent_dim: int,
        example_shape: tuple[int, ...],
        *,
        kl_weight: float = 1.0,
        draws: int = 64,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.observation = observation
        self.latent_dim = latent_dim
        self.example_shape = example_shape
        self.kl_weight = kl_weight
        self.draws = draws
        self.condition = condition

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "VAE":
        """The model that a configuration asks for."""
        shape, latent_dim = reading.input_dim(), reading.output_dim(2)
        condition, observation = Condition.read(reading), observation_of(reading)
        return cls(
            encoder_of(reading, 2 * latent_dim, condition, rngs=rngs),
            decoder_of(reading, latent_dim, observation.outputs, condition, rngs=rngs),
            observation,
            latent_dim,
            shape,
            kl_weight=reading.parameter("kl_weight") * reading.parameter("beta"),
            draws=reading.parameter("importance_draws"),
            condition=condition,
        )

    def loss(self, batch: Batch, *, key: PRNGKeyArray, step: Array) -> Loss:
        """The negative bound, nats per example, the divergence weighted."""
        of_draw, of_nets = jax.random.split(key)
        cond = self.condition.vectors(batch.cond, len(batch.x))
        q = NormalLatent.of(self.encoder(batch.x, cond, of_nets))
        output = self.decoder(q.draw(of_draw), cond, of_nets)
        distortion = -self._over_example(self.observation.log_prob(output, batch.x)).mean()
        rate = q.divergence().sum(-1).mean()
        return Loss(distortion + self.kl_weight * rate, {"distortion": distortion, "rate": rate})

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Array:
        """Examples drawn from p(x | z) with z from the prior, shape (n, *example_shape)."""
        of_latent, of_example = jax.random.split(key)
        return self.decode(jax.random.normal(of_latent, (n, self.latent_dim)), key=of_example, cond=cond)

    def log_prob(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> LogProb:
        """The importance-weighted bound log (1/K) sum_k p(x, z_k) / q(z_k | x), nats per example.

        Args:
            x: Examples, shape (n, *example_shape).
            key: Of the latents; key 0 when none is given.
            cond: What each is conditioned on.
        """
        key = jax.random.key(0) if key is None else key
        vectors = self.condition.vectors(cond, len(x))
        q = NormalLatent.of(self.encoder(x, vectors, None))

        def log_weight(key: PRNGKeyArray) -> Float[Array, " n"]:
            z = q.draw(key)
            of_x = self._over_example(self.observation.log_prob(self.decoder(z, vectors, None), x))
            return of_x + standard_log_prob(z) - q.log_prob(z)

        # one draw after the other: all at once would keep `draws` outputs of the decoder
        log_weights = jax.lax.map(log_weight, jax.random.split(key, self.draws))
        return LogProb(jax.nn.logsumexp(log_weights, axis=0) - jnp.log(self.draws), "bound")

    def encode(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The latent of each example, shape (n, latent_dim): the mean of q, or a draw of it with a key."""
        q = NormalLatent.of(self.encoder(x, self.condition.vectors(cond, len(x)), None))
        return q.mean if key is None else q.draw(key)

    def decode(self, z: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The mean example of each latent, or a draw with a key, shape (n, *example_shape)."""
        output = self.decoder(z, self.condition.vectors(cond, len(z)), None)
        return self.observation.mean(output) if key is None else self.observation.sample(output, key)

    def _over_example(self, each: Float[Array, "n *example"]) -> Float[Array, " n"]:
        return each.reshape(len(each), -1).sum(-1)
