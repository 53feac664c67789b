"""Models with a codec before them, on which the laws of every model run; raw data are whole numbers."""

from instances import Instance, configuration, tokens
from vae_instances import levels

from modelwright.modalities import ImageCodec, TextCodec

INSTANCES = {
    "images before a flow": Instance(
        configuration("flow.RealNVP", (2, 2, 1), hidden_dims=[8], activation="tanh", parameters={"n_transforms": 2}),
        levels((2, 2, 1), 8),
        ImageCodec(levels=8, edge=0.05),
    ),
    "images before an autoencoder of zeros and ones": Instance(
        configuration("vae.VAE", (2, 3, 1), hidden_dims=[8], output_dim=2, parameters={"importance_draws": 4}),
        levels((2, 3, 1), 8),
        ImageCodec(levels=8),
    ),
    "text before a transformer": Instance(
        configuration(
            "autoregressive.Transformer",
            (4,),
            hidden_dims=[8],
            parameters={"vocabulary": 3, "n_layers": 1, "n_heads": 2},
        ),
        tokens(4, 3),
        TextCodec("abc"),
    ),
}
