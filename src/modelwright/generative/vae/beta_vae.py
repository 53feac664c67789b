"""The autoencoder whose latents are pressed towards the prior, and towards each other's independence."""

from typing import ClassVar, final

from flax import nnx

from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading
from modelwright.generative.vae.autoencoder import SHARED, AbstractAutoencoder, parts_of


@final
class BetaVAE(AbstractAutoencoder):
    """The VAE with a weight beta on the divergence, reached in equal steps from 0 where there is a warm-up.

    The loss is a bound for beta of at least 1 only, and a loose one; `log_prob` is unweighted in any case. output_dim
    and hidden_dims mean what they mean to the VAE.

    Source: I. Higgins et al. (2017), https://openreview.net/forum?id=Sy2fzU9gl; S. Bowman et al. (2016), for the
    warm-up, https://arxiv.org/abs/1511.06349.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        *SHARED,
        Parameter("beta", "number", 4.0, "weight of the divergence in the loss", 0.0),
        Parameter("warm_up_steps", "integer", 0, "steps of training in which the weight grows from 0 to beta", 0),
    )

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "BetaVAE":
        """The model that a configuration asks for."""
        return cls(
            **parts_of(reading, rngs=rngs),
            kl_weight=reading.parameter("beta"),
            warm_up_steps=reading.parameter("warm_up_steps"),
        )
