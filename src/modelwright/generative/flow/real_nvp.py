"""RealNVP: affine couplings."""

import math
from typing import ClassVar, final

from flax import nnx

from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.scalars import Affine
from modelwright.generative.flow.stacks import STACK, dense_coupling, stack_of
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class RealNVP(AbstractFlow):
    """A stack of affine couplings of vectors: density and samples take one pass each.

    `input_dim` is the shape of an example, taken as one vector (`Glow` is the flow of couplings for images);
    `hidden_dims` the widths of the dense layers in every coupling. There is no `output_dim`: the latent has as many
    numbers as an example.

    Source: L. Dinh, J. Sohl-Dickstein, S. Bengio (2017), https://arxiv.org/abs/1605.08803.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (*STACK, *CONDITIONS)

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "RealNVP":
        """The model that a configuration asks for."""
        shape, condition = reading.input_dim(), Condition.read(reading)
        n, activation = math.prod(shape), reading.activation("relu")
        make = dense_coupling(reading, n, Affine(), condition.width, activation, rngs=rngs)
        return cls(stack_of(reading, n, make, rngs=rngs), shape, condition=condition)
