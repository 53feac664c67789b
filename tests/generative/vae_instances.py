"""Variational autoencoders on which the laws run."""

from instances import Instance, binary, configuration

INSTANCES = {
    "VAE, dense": Instance(
        configuration("vae.VAE", (4, 4, 1), hidden_dims=[16], output_dim=3, parameters={"importance_draws": 8}),
        binary((4, 4, 1)),
    ),
    "VAE of labels": Instance(
        configuration("vae.VAE", (6,), hidden_dims=[16], output_dim=2, parameters={"n_classes": 3}),
        binary((6,), classes=3),
    ),
}
