"""The builder of vae models."""

from modelwright.factory.family import FamilyBuilder

vae_builder = FamilyBuilder(
    {
        "modelwright.generative.vae.VAE": "modelwright.generative.vae.vae:VAE",
        "modelwright.generative.vae.BetaVAE": "modelwright.generative.vae.beta_vae:BetaVAE",
        "modelwright.generative.vae.CVAE": "modelwright.generative.vae.cvae:CVAE",
        "modelwright.generative.vae.VQVAE": "modelwright.generative.vae.vqvae:VQVAE",
    }
)
"""Builds the models of the table."""
