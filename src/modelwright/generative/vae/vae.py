"""The variational autoencoder."""

from typing import ClassVar, final

from flax import nnx

from modelwright.core.errors import ConfigurationError
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading
from modelwright.generative.vae.autoencoder import SHARED, AbstractAutoencoder, parts_of


@final
class VAE(AbstractAutoencoder):
    """The variational autoencoder, on request trained with importance weights (IWAE) or conditioned.

    output_dim is the size of the latent; hidden_dims are the widths (mlp) or channels (cnn, resnet) from example to
    latent, and in reverse from latent to example.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        *SHARED,
        Parameter("kl_weight", "number", 1.0, "weight of the divergence in the loss; 1 is the bound", 0.0),
        Parameter("beta", "number", 1.0, "another factor of that weight", 0.0),
        Parameter(
            "training_draws",
            "integer",
            1,
            "latents for each example in the loss; above 1 importance-weighted",
            1,
            10_000,
        ),
    )

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "VAE":
        """The model that a configuration asks for."""
        weight = reading.parameter("kl_weight") * reading.parameter("beta")
        training_draws = reading.parameter("training_draws")
        if training_draws > 1 and weight != 1.0:
            raise ConfigurationError(
                "importance weights leave no divergence to be weighted",
                field="parameters.training_draws",
                expected="1 beside a kl_weight or beta that is not 1",
                got=training_draws,
            )
        return cls(**parts_of(reading, rngs=rngs), kl_weight=weight, training_draws=training_draws)
