"""The builder of vae models."""

from typing import TYPE_CHECKING, Any, ClassVar, final

from modelwright.configuration import ModelConfiguration
from modelwright.factory.family import build

if TYPE_CHECKING:
    from flax import nnx

    from modelwright.generative.protocol import AbstractGenerativeModel


@final
class VAEBuilder:
    """Builds the models of the table."""

    models: ClassVar[dict[str, str]] = {
        "modelwright.generative.vae.VAE": "modelwright.generative.vae.vae:VAE",
        "modelwright.generative.vae.BetaVAE": "modelwright.generative.vae.beta_vae:BetaVAE",
        "modelwright.generative.vae.CVAE": "modelwright.generative.vae.cvae:CVAE",
        "modelwright.generative.vae.VQVAE": "modelwright.generative.vae.vqvae:VQVAE",
    }

    def build(self, config: ModelConfiguration, *, rngs: "nnx.Rngs", **kwargs: Any) -> "AbstractGenerativeModel":
        """The model of a configuration; see `modelwright.factory.family.build`."""
        return build(config, self.models, rngs=rngs, **kwargs)[0]
