"""Encoders and decoders of autoencoders, by name: what a configuration asks for, made of the networks in `nets`."""

from typing import Any

from flax import nnx

from modelwright.generative.conditioning import Condition
from modelwright.generative.likelihoods.bernoulli import Bernoulli
from modelwright.generative.likelihoods.observation import AbstractObservation
from modelwright.generative.nets.reshaped import ReshapedNet
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading

CODERS = (
    Parameter("encoder_type", "choice", "mlp", "network from example to latent", choices=("mlp",)),
    Parameter("decoder_type", "choice", "mlp", "network from latent to example", choices=("mlp",)),
    Parameter("likelihood", "choice", "bernoulli", "of an example given the latent", choices=("bernoulli",)),
)
"""The parameters that every autoencoder shares."""


def observation_of(reading: Reading) -> AbstractObservation:
    """The likelihood that a configuration asks for."""
    reading.parameter("likelihood")
    return Bernoulli()


def encoder_of(reading: Reading, n_out: int, condition: Condition, *, rngs: nnx.Rngs) -> Any:
    """The network from an example to `n_out` numbers; hidden layers in the order of hidden_dims."""
    reading.parameter("encoder_type")
    return ReshapedNet(
        reading.input_dim(),
        (n_out,),
        reading.hidden_dims((256, 128)),
        context=condition.width,
        activation=reading.activation("relu"),
        dropout_rate=reading.dropout_rate(),
        rngs=rngs,
    )


def decoder_of(reading: Reading, latent_dim: int, outputs: int, condition: Condition, *, rngs: nnx.Rngs) -> Any:
    """The network from a latent to `outputs` numbers for each number of an example; hidden layers in reverse."""
    reading.parameter("decoder_type")
    return ReshapedNet(
        (latent_dim,),
        (*reading.input_dim(), outputs),
        reading.hidden_dims((256, 128))[::-1],
        context=condition.width,
        activation=reading.activation("relu"),
        dropout_rate=reading.dropout_rate(),
        rngs=rngs,
    )
