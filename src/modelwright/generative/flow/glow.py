"""Glow: couplings of images at several scales."""

from typing import ClassVar, final

from flax import nnx

from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.flow.act_norm import ActNorm
from modelwright.generative.flow.bijection import AbstractBijection
from modelwright.generative.flow.chain import Chain, Repeated
from modelwright.generative.flow.coupling import Coupling
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.images import MultiScale, level_shapes
from modelwright.generative.flow.invertible_linear import InvertibleLinear
from modelwright.generative.flow.scalars import Affine
from modelwright.generative.nets.pixelwise import PixelNet
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading

LAST_SCALE = 0.1
"""Factor of the last weights of each coupling: dozens of couplings of images begin close to the identity."""


@final
class Glow(AbstractFlow):
    """At each scale: steps of normalisation, 1 x 1 convolution and affine coupling; then half of the channels leave.

    `input_dim` is height x width x channels, the first two divisible by 2^n_levels; `hidden_dims` the channels between
    the convolutions of every coupling (3 x 3 first and last, 1 x 1 between). There is no `output_dim`.

    Source: D. Kingma, P. Dhariwal (2018), https://arxiv.org/abs/1807.03039.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        Parameter("n_levels", "integer", 2, "scales; each halves height and width", 1, 8),
        Parameter("n_steps", "integer", 4, "steps of flow at each scale", 1, 128),
        *CONDITIONS,
    )

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "Glow":
        """The model that a configuration asks for."""
        shape, condition = reading.input_dim(), Condition.read(reading)
        levels, n_steps = reading.parameter("n_levels"), reading.parameter("n_steps")
        hidden, activation = reading.hidden_dims((64, 64)), reading.activation("relu")
        if len(shape) != 3 or shape[0] % 2**levels or shape[1] % 2**levels:
            raise reading.refuse(
                "input_dim",
                f"Glow with n_levels = {levels} halves height and width {levels} times",
                expected=f"height x width x channels, height and width divisible by {2**levels}",
                got=shape,
                todo="pad the images, lower n_levels, or choose RealNVP or MAF, which take any shape",
            )

        def coupling(channels: int) -> AbstractBijection:
            kept = channels // 2
            net = PixelNet(
                kept + condition.width,
                hidden,
                (channels - kept) * Affine().n_parameters,
                activation=activation,
                last_scale=LAST_SCALE,
                rngs=rngs,
            )
            return Coupling(net, Affine(), kept)

        def step(channels: int) -> AbstractBijection:
            return Chain([ActNorm(channels), InvertibleLinear(channels, rngs=rngs), coupling(channels)])

        channels = [each[-1] for each in level_shapes(shape, levels)]
        steps = [Repeated(lambda c=c: step(c), n_steps) for c in channels]
        splits = [coupling(c) for c in channels[:-1]]
        return cls(MultiScale(shape, steps, splits), shape, inner_shape=shape, condition=condition)
