"""Autoregressive models on which the laws run."""

from instances import Instance, configuration, tokens

INSTANCES = {
    "Transformer": Instance(
        configuration(
            "autoregressive.Transformer",
            (5,),
            hidden_dims=[8],
            parameters={"vocabulary": 3, "n_layers": 2, "n_heads": 2},
        ),
        tokens(5, 3),
    ),
}
