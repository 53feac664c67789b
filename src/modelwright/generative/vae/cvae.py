"""The conditional autoencoder: examples of a label, or of a context."""

from typing import ClassVar, final

from flax import nnx
from jaxtyping import Array, Float

from modelwright.core.errors import ConfigurationError
from modelwright.generative.conditioning import Condition
from modelwright.generative.nets.dense import DenseNet
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading
from modelwright.generative.vae.autoencoder import SHARED, AbstractAutoencoder, parts_of


@final
class CVAE(AbstractAutoencoder):
    """The VAE of p(x | c), with a prior p(z | c) that is learned, or standard normal.

    c stands beside the inputs of encoder and decoder: a label as a one-hot vector, or a context vector. One of
    n_classes and context_dim has to be given. output_dim and hidden_dims mean what they mean to the VAE.

    Source: K. Sohn, H. Lee, X. Yan (2015),
    https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        *SHARED,
        Parameter("prior", "choice", "learned", "p(z | c), or standard normal", choices=("learned", "standard")),
        Parameter("kl_weight", "number", 1.0, "weight of the divergence in the loss; 1 is the bound", 0.0),
    )

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "CVAE":
        """The model that a configuration asks for."""
        condition, learned = Condition.read(reading), reading.parameter("prior") == "learned"
        if not condition.width:
            raise ConfigurationError(
                "CVAE needs something to be conditioned on",
                field="parameters.n_classes",
                expected="n_classes or context_dim of at least 1",
                got=0,
                todo="set one of them, or choose VAE",
            )
        parts = parts_of(reading, rngs=rngs)
        return cls(
            **parts,
            kl_weight=reading.parameter("kl_weight"),
            prior=ConditionalPrior(condition, parts["latent_dim"], rngs=rngs) if learned else None,
        )


@final
class ConditionalPrior(nnx.Module):
    """From a context to the means and raw log variances of the latent: a table of labels, or a small network.

    Args:
        condition: What the context is.
        latent_dim: Size of the latent.
        rngs: Of the initial weights.
    """

    def __init__(self, condition: Condition, latent_dim: int, *, rngs: nnx.Rngs) -> None:
        hidden_dims = () if condition.n_classes else (64,)  # one-hot labels need no more than a row each
        self.net = DenseNet(condition.width, hidden_dims, 2 * latent_dim, activation="silu", rngs=rngs)

    def __call__(self, context: Float[Array, "n width"]) -> Float[Array, "n two_latent"]:
        """The means and raw log variances given each context."""
        return self.net(context)
