"""Variational autoencoders on which the laws run."""

import jax.numpy as jnp
from instances import Instance, binary, configuration, real

from modelwright.generative.protocol import Batch


def levels(shape, n_levels, n=16, context=0):
    """Whole numbers 0 to n_levels - 1, with context vectors where they have a length."""

    def make(generator):
        x = generator.integers(0, n_levels, (n, *shape))
        cond = generator.standard_normal((n, context)) if context else None
        return Batch(jnp.asarray(x, jnp.int32), None if cond is None else jnp.asarray(cond, jnp.float32))

    return make


INSTANCES = {
    "VAE, dense": Instance(
        configuration("vae.VAE", (4, 4, 1), hidden_dims=[16], output_dim=2, parameters={"importance_draws": 8}),
        binary((4, 4, 1)),
    ),
    "VAE of labels, trained with importance weights": Instance(
        configuration(
            "vae.VAE", (6,), hidden_dims=[16], output_dim=2, parameters={"n_classes": 3, "training_draws": 3}
        ),
        binary((6,), classes=3),
    ),
    "VAE, convolutions, Gaussian": Instance(
        configuration(
            "vae.VAE",
            (5, 7, 2),
            hidden_dims=[3, 4],
            output_dim=3,
            activation="silu",
            parameters={"encoder_type": "cnn", "likelihood": "gaussian", "importance_draws": 4},
        ),
        real((5, 7, 2)),
    ),
    "BetaVAE, residual, discretised logistic": Instance(
        configuration(
            "vae.BetaVAE",
            (6, 5, 1),
            hidden_dims=[3, 4],
            output_dim=2,
            activation="silu",
            parameters={
                "encoder_type": "resnet",
                "likelihood": "discretised_logistic",
                "levels": 8,
                "warm_up_steps": 10,
                "context_dim": 2,
                "importance_draws": 4,
            },
        ),
        levels((6, 5, 1), 8, context=2),
    ),
    "CVAE of labels, categorical": Instance(
        configuration(
            "vae.CVAE",
            (5,),
            hidden_dims=[16],
            output_dim=1,
            parameters={"n_classes": 2, "likelihood": "categorical", "levels": 2},
        ),
        binary((5,), classes=2),
    ),
    "CVAE of contexts, Gaussian of known scale": Instance(
        configuration(
            "vae.CVAE",
            (3,),
            hidden_dims=[16],
            output_dim=2,
            parameters={"context_dim": 2, "likelihood": "gaussian", "observation_scale": 0.7},
        ),
        real((3,), context=2),
    ),
    "VQVAE, dense": Instance(
        configuration(
            "vae.VQVAE",
            (6,),
            hidden_dims=[16],
            output_dim=2,
            parameters={"n_codes": 3, "codebook_size": 4, "prior_width": 8},
        ),
        binary((6,)),
    ),
    "VQVAE of labels, convolutions": Instance(
        configuration(
            "vae.VQVAE",
            (5, 6, 1),
            hidden_dims=[3, 4],
            output_dim=2,
            activation="silu",
            parameters={
                "encoder_type": "cnn",
                "codebook_size": 4,
                "code_prior": "independent",
                "n_classes": 3,
            },
        ),
        binary((5, 6, 1), classes=3),
    ),
}
