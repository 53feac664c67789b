"""The builder of vae models."""

from typing import ClassVar, final

from modelwright.factory.family import AbstractFamilyBuilder


@final
class VAEBuilder(AbstractFamilyBuilder):
    """Builds the models of the table."""

    models: ClassVar[dict[str, str]] = {
        "modelwright.generative.vae.VAE": "modelwright.generative.vae.vae:VAE",
        "modelwright.generative.vae.BetaVAE": "modelwright.generative.vae.beta_vae:BetaVAE",
        "modelwright.generative.vae.CVAE": "modelwright.generative.vae.cvae:CVAE",
        "modelwright.generative.vae.VQVAE": "modelwright.generative.vae.vqvae:VQVAE",
    }
