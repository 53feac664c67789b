"""Encoders, decoders and likelihoods of autoencoders, by name: what a configuration asks for, made of parts.

The meaning of hidden_dims goes with `encoder_type`: widths of dense layers for mlp; for cnn and resnet the channels of
the stages, each of which halves height and width.
"""

from dataclasses import dataclass
from typing import Any, TypeAlias, final

from flax import nnx

from modelwright.core.errors import ConfigurationError
from modelwright.generative.conditioning import Condition
from modelwright.generative.likelihoods.bernoulli import Bernoulli
from modelwright.generative.likelihoods.gaussian import Gaussian
from modelwright.generative.likelihoods.levels import Categorical, DiscretisedLogistic
from modelwright.generative.likelihoods.observation import AbstractObservation
from modelwright.generative.nets.convolution import ConvolutionDecoder, ConvolutionEncoder, image_shape
from modelwright.generative.nets.reshaped import ReshapedNet
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading

NETS = ("mlp", "cnn", "resnet")

CODERS = (
    Parameter("encoder_type", "choice", "mlp", "network from example to latent", choices=NETS),
    Parameter("decoder_type", "choice", None, "network from latent to example; the encoder's by default", choices=NETS),
    Parameter("kernel_size", "integer", 3, "height and width of convolutions (cnn, resnet)", 1, 31),
    Parameter("residual_blocks", "integer", 1, "residual blocks after each stage (resnet)", 1, 100),
)
"""The parameters of the networks that every autoencoder shares."""

LIKELIHOODS = (
    Parameter(
        "likelihood",
        "choice",
        "bernoulli",
        "of an example given the latent: bernoulli for data of 0 and 1, gaussian for real numbers, "
        "discretised_logistic and categorical for whole numbers 0 to levels - 1",
        choices=("bernoulli", "gaussian", "discretised_logistic", "categorical"),
    ),
    Parameter("levels", "integer", 256, "whole numbers that an entry can be (discretised_logistic, categorical)", 2),
    Parameter(
        "observation_scale",
        "number",
        None,
        "standard deviation of a gaussian likelihood, in units of the data; learned for every number where left out",
        1e-6,
    ),
)
"""The parameters of the likelihood."""

Coder: TypeAlias = Any
"""A network called with (inputs, context or None, key or None)."""


def latent_dim_of(reading: Reading, default: int) -> int:
    """The size of the latent: what autoencoders mean by output_dim."""
    found = reading.output_dim(default)
    if not isinstance(found, int):
        raise ConfigurationError("the latent is a vector", field="output_dim", expected="a whole number", got=found)
    return found


def observation_of(reading: Reading) -> AbstractObservation:
    """The likelihood that a configuration asks for."""
    match reading.parameter("likelihood"):
        case "bernoulli":
            return Bernoulli()
        case "gaussian":
            return Gaussian(reading.parameter("observation_scale"))
        case "discretised_logistic":
            return DiscretisedLogistic(reading.parameter("levels"))
    return Categorical(reading.parameter("levels"))


@final
@dataclass(frozen=True)
class Coding:
    """What the encoder and the decoder of one model are made of.

    Args:
        shape: Of an example.
        hidden_dims: As in the module's description, from example to latent; the decoder takes them in reverse.
        activation: Name of the non-linearity.
        dropout_rate: Share of units left out while training.
        encoder_type, decoder_type: mlp, cnn or resnet.
        kernel_size: Of convolutions.
        residual_blocks: After each stage of a resnet.
        condition: What both networks see beside their inputs.
    """

    shape: tuple[int, ...]
    hidden_dims: tuple[int, ...]
    activation: str
    dropout_rate: float
    encoder_type: str
    decoder_type: str
    kernel_size: int
    residual_blocks: int
    condition: Condition

    @staticmethod
    def read(reading: Reading, condition: Condition) -> "Coding":
        """What a configuration asks for; only what the networks use is asked for."""
        shape, encoder_type = reading.input_dim(), reading.parameter("encoder_type")
        decoder_type = reading.parameter("decoder_type", encoder_type)
        types = {encoder_type, decoder_type}
        hidden_dims = reading.hidden_dims((256, 128) if encoder_type == "mlp" else (32, 64))
        if types & {"cnn", "resnet"}:
            image_shape(shape)
            if not hidden_dims:
                raise ConfigurationError(
                    "convolutions need at least one stage", field="hidden_dims", expected="numbers of channels", got=()
                )
        return Coding(
            shape,
            hidden_dims,
            reading.activation("relu") if hidden_dims else "relu",
            reading.dropout_rate() if hidden_dims else 0.0,
            encoder_type,
            decoder_type,
            reading.parameter("kernel_size") if types & {"cnn", "resnet"} else 0,
            reading.parameter("residual_blocks") if "resnet" in types else 0,
            condition,
        )

    def encoder(self, n_out: int, *, rngs: nnx.Rngs) -> Coder:
        """The network from an example to `n_out` numbers."""
        if self.encoder_type == "mlp":
            return ReshapedNet(self.shape, (n_out,), self.hidden_dims, rngs=rngs, **self._dense())
        return ConvolutionEncoder(self.shape, n_out, self.hidden_dims, rngs=rngs, **self._stages(self.encoder_type))

    def grid_encoder(self, n_vectors: int, n_out: int, *, rngs: nnx.Rngs) -> tuple[Coder, tuple[int, ...]]:
        """The network from an example to a grid of vectors of `n_out` numbers, and the shape of the grid.

        Args:
            n_vectors: Vectors of a dense network, whose grid is a row; convolutions leave a grid of their own.
            n_out: Numbers of each vector.
            rngs: Of the initial weights.
        """
        if self.encoder_type == "mlp":
            return ReshapedNet(self.shape, (n_vectors, n_out), self.hidden_dims, rngs=rngs, **self._dense()), (
                n_vectors,
            )
        net = ConvolutionEncoder(
            self.shape, n_out, self.hidden_dims, to_grid=True, rngs=rngs, **self._stages(self.encoder_type)
        )
        return net, net.grid

    def decoder(self, in_shape: tuple[int, ...], outputs: int, *, rngs: nnx.Rngs) -> Coder:
        """The network from a latent to `outputs` numbers for each number of an example."""
        hidden_dims = self.hidden_dims[::-1]
        if self.decoder_type == "mlp":
            return ReshapedNet(in_shape, (*self.shape, outputs), hidden_dims, rngs=rngs, **self._dense())
        settings = self._stages(self.decoder_type)
        return ConvolutionDecoder(in_shape, self.shape, outputs, hidden_dims, rngs=rngs, **settings)

    def _dense(self) -> dict[str, Any]:
        return {
            "context": self.condition.width,
            "activation": self.activation,
            "dropout_rate": self.dropout_rate,
        }

    def _stages(self, kind: str) -> dict[str, Any]:
        blocks = self.residual_blocks if kind == "resnet" else 0
        return {**self._dense(), "kernel_size": self.kernel_size, "blocks": blocks}
