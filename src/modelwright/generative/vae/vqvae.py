"""The autoencoder with codes for latents."""

import math
from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.core.errors import ConfigurationError
from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.likelihoods.observation import AbstractObservation
from modelwright.generative.log_prob import Kind, LogProb
from modelwright.generative.parameters import Parameter
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss, Objective
from modelwright.generative.reading import Reading
from modelwright.generative.vae.code_prior import CausalPrior, IndependentPrior
from modelwright.generative.vae.codebook import Codebook, perplexity
from modelwright.generative.vae.coders import CODERS, LIKELIHOODS, Coder, Coding, latent_dim_of, observation_of

_PRIOR = nnx.PathContains("prior")


@final
class VQVAE(AbstractGenerativeModel):
    """Every vector that the encoder puts out is rounded to the nearest of a codebook; the decoder sees the rounded.

        -log p(x | e) + commitment_weight |z - stop(e)|^2,   e the vectors nearest to z = encoder(x)

    Gradients pass through the rounding as if it were not there. The codebook is no parameter: `loss` moves it along as
    a moving average. A second objective trains the prior over rows of codes, and moves the prior alone, so that the
    model can be sampled and has a likelihood bound:

        log p(x) = log sum_c p(c) p(x | c) >= log p(c(x)) + log p(x | c(x)),   c(x) the codes of x,

    tight where no other codes explain x. Metrics: distortion (-log p(x | e), nats), commitment (the squared distance,
    unweighted), perplexity (codes used evenly in the batch), restarted (codes that started again), prior (-log p(c),
    nats).

    output_dim is the size of the vectors; hidden_dims mean what they mean to the VAE. Convolutions leave a grid of
    codes, one for each place of the last stage; a dense encoder puts out a row of `n_codes`.

    Args:
        encoder: (x, cond, key) -> shape (n, *grid, latent_dim).
        decoder: (vectors, cond, key) -> shape (n, *example_shape, outputs).
        codebook: The vectors.
        prior: Over rows of prod(grid) codes.
        observation: The likelihood.
        grid: Shape of the codes of one example.
        example_shape: Shape of one example.
        commitment_weight: Of the squared distance.
        condition: What it is conditioned on.

    Source: A. van den Oord, O. Vinyals, K. Kavukcuoglu (2017), https://arxiv.org/abs/1711.00937.
    """

    family: ClassVar[str] = "vae"
    offers: ClassVar[frozenset[str]] = frozenset({"sample", "log_prob", "encode", "decode", "condition"})
    log_prob_kind: ClassVar[Kind | None] = "bound"
    declared: ClassVar[tuple[Parameter, ...]] = (
        *CODERS,
        *LIKELIHOODS,
        Parameter("codebook_size", "integer", 512, "codes that there are", 2),
        Parameter("n_codes", "integer", 16, "codes of one example (mlp encoder)", 1),
        Parameter("commitment_weight", "number", 0.25, "weight of the distance from encoder to codebook", 0.0),
        Parameter("codebook_decay", "number", 0.99, "share of the moving averages kept in each step", 0.0, 0.999999),
        Parameter("restart_share", "number", 0.03, "share of the mean use below which a code starts again", 0.0, 1.0),
        Parameter(
            "code_prior",
            "choice",
            "causal",
            "each code given those before, or alone",
            choices=("causal", "independent"),
        ),
        Parameter("prior_width", "integer", 64, "channels of the causal prior", 1),
        *CONDITIONS,
    )

    def __init__(
        self,
        encoder: Coder,
        decoder: Coder,
        codebook: Codebook,
        prior: CausalPrior | IndependentPrior,
        observation: AbstractObservation,
        grid: tuple[int, ...],
        example_shape: tuple[int, ...],
        *,
        commitment_weight: float = 0.25,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
    ) -> None:
        self.encoder = encoder
        self.decoder = decoder
        self.codebook = codebook
        self.prior = prior
        self.observation = observation
        self.levels = observation.levels
        self.grid = self.latent_shape = tuple(grid)
        self.latent_levels = codebook.size
        self.latent_dim = codebook.vectors.shape[-1]
        self.example_shape = tuple(example_shape)
        self.commitment_weight = commitment_weight
        self.condition = condition

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "VQVAE":
        """The model that a configuration asks for."""
        dim, condition, observation = latent_dim_of(reading, 16), Condition.read(reading), observation_of(reading)
        coding = Coding.read(reading, condition)
        n_codes = reading.parameter("n_codes") if coding.encoder_type == "mlp" else 0
        encoder, grid = coding.grid_encoder(n_codes, dim, rngs=rngs)
        size, length, context = reading.parameter("codebook_size"), math.prod(grid), condition.width
        codebook = Codebook(
            size,
            dim,
            decay=reading.parameter("codebook_decay"),
            restart_share=reading.parameter("restart_share"),
            rngs=rngs,
        )
        if reading.parameter("code_prior") == "causal":
            prior = CausalPrior(length, size, width=reading.parameter("prior_width"), context=context, rngs=rngs)
        else:
            prior = IndependentPrior(length, size, context=context, rngs=rngs)
        return cls(
            encoder,
            coding.decoder((*grid, dim), observation.outputs, rngs=rngs),
            codebook,
            prior,
            observation,
            grid,
            coding.shape,
            commitment_weight=reading.parameter("commitment_weight"),
            condition=condition,
        )

    def check(self, batch: Batch) -> None:
        """Refuse data that the likelihood has no probability for."""
        self.observation.check(batch.x)

    def begin(self, batch: Batch, *, key: PRNGKeyArray) -> None:
        """Put the codes where the encoder's vectors are, and let the decoder put out what data look like on average."""
        context = self.condition.vectors(batch.cond, len(batch.x))
        self.codebook.begin(self._vectors(batch.x, context, None), key)
        self.decoder.begin(batch.x, self.observation.start)

    def objectives(self) -> tuple[Objective, ...]:
        """The autoencoder's turn, then the prior's; each leaves the other's parameters as they are."""
        return (
            Objective("autoencoder", autoencoder_loss, nnx.All(nnx.Param, nnx.Not(_PRIOR))),
            Objective("prior", prior_loss, nnx.All(nnx.Param, _PRIOR)),
        )

    def loss(self, batch: Batch, *, key: PRNGKeyArray, step: Array) -> Loss:
        """The sum of both objectives: their gradients do not meet, as no gradient passes through codes."""
        one, two = (objective.loss(self, batch, key, step) for objective in self.objectives())
        return Loss(one.value + two.value, {**one.metrics, **two.metrics})

    def held_out_loss(self, batch: Batch, *, key: PRNGKeyArray) -> Loss:
        """The negative bound, nats per example; the codebook stays as it is."""
        return Loss(-self.log_prob(batch.x, cond=batch.cond).mean(), {})

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Array:
        """Examples drawn from p(x | c) with codes c from the prior, shape (n, *example_shape)."""
        of_codes, of_example = jax.random.split(key)
        codes = self.prior.sample(n, of_codes, self.condition.vectors(cond, n))
        return self.decode(codes.reshape(n, *self.grid), key=of_example, cond=cond)

    def log_prob(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> LogProb:
        """The bound log p(c(x)) + log p(x | c(x)), nats per example, shape (n,); nothing in it is random."""
        context = self.condition.vectors(cond, len(x))
        codes = self.codebook.nearest(self._vectors(x, context, None))
        return LogProb(self.joint(x, codes, context), "bound")

    def joint(self, x: Array, codes: Int[Array, "n *grid"], context: Float[Array, "n width"] | None) -> Array:
        """Log p(c) + log p(x | c) of examples and codes, nats, shape (n,)."""
        output = self.decoder(self.codebook.vectors_of(codes), context, None)
        each = self.observation.log_prob(output, x).reshape(len(x), -1)
        return self.prior.log_prob(codes.reshape(len(x), -1), context) + each.sum(-1)

    def encode(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The codes of each example, whole numbers, shape (n, *grid); a key changes nothing.

        An example with what is no number, or infinite, has none: each is -1, which `decode` does not take.
        """
        x = jnp.asarray(x)
        codes = self.codebook.nearest(self._vectors(x, self.condition.vectors(cond, len(x)), None))
        known = jnp.isfinite(x).reshape(len(x), -1).all(-1)
        return jnp.where(known.reshape(-1, *(1,) * len(self.grid)), codes, -1)

    def decode(self, z: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The mean example of each grid of codes, or a draw with a key, shape (n, *example_shape).

        Raises:
            ConfigurationError: a code is none of the codebook's; what is traced becomes no number in its place.
        """
        self._check_codes(z)
        unknown = ((z < 0) | (z >= self.codebook.size))[..., None]
        vectors = jnp.where(unknown, jnp.nan, self.codebook.vectors_of(z))
        output = self.decoder(vectors, self.condition.vectors(cond, len(z)), None)
        return self.observation.mean(output) if key is None else self.observation.sample(output, key)

    def _check_codes(self, z: Array) -> None:
        if isinstance(z, jax.core.Tracer):
            return
        known = np.asarray(z)
        if known.min() < 0 or known.max() >= self.codebook.size:
            raise ConfigurationError(
                "codes that the model does not know",
                field="z",
                expected=f"whole numbers from 0 to {self.codebook.size - 1}",
                got=f"{known.min()} to {known.max()}",
            )

    def _vectors(self, x: Array, context: Array | None, key: PRNGKeyArray | None) -> Float[Array, "n *grid dim"]:
        z = self.encoder(self.observation.as_input(x), context, key)
        return z.astype(jnp.promote_types(z.dtype, jnp.float32))


def autoencoder_loss(model: VQVAE, batch: Batch, key: PRNGKeyArray, step: Array) -> Loss:
    """What encoder and decoder are trained by; moves the codebook along, in place."""
    of_encoder, of_decoder, of_codes = jax.random.split(key, 3)
    context = model.condition.vectors(batch.cond, len(batch.x))
    z = model._vectors(batch.x, context, of_encoder)
    quantised, codes = model.codebook.quantised(z)
    output = model.decoder(quantised, context, of_decoder)
    n = len(batch.x)
    distortion = -model.observation.log_prob(output, batch.x).reshape(n, -1).sum(-1).mean()
    distance = jnp.square(z - jax.lax.stop_gradient(model.codebook.vectors_of(codes)))
    commitment = distance.reshape(n, -1).sum(-1).mean()
    restarted = model.codebook.update(z, codes, of_codes)
    used = perplexity(codes, model.codebook.size)
    metrics = {"distortion": distortion, "commitment": commitment, "perplexity": used, "restarted": restarted}
    return Loss(distortion + model.commitment_weight * commitment, metrics)


def prior_loss(model: VQVAE, batch: Batch, key: PRNGKeyArray, step: Array) -> Loss:
    """What the prior over codes is trained by: -log p(c(x)), nats per example."""
    context = model.condition.vectors(batch.cond, len(batch.x))
    codes = model.codebook.nearest(model._vectors(batch.x, context, None)).reshape(len(batch.x), -1)
    value = -model.prior.log_prob(codes, context).mean()
    return Loss(value, {"prior": value})
