"""MAF: masked autoregressive flow."""

import math
from typing import ClassVar, final

from flax import nnx

from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.scalars import Affine
from modelwright.generative.flow.stacks import STACK, masked_autoregressive, stack_of
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class MAF(AbstractFlow):
    """A stack of affine autoregressive transforms: the density takes one pass, a sample as many as it has numbers.

    `input_dim` is the shape of an example, taken as one vector; `hidden_dims` the widths of the masked layers in every
    transform. There is no `output_dim`.

    Source: G. Papamakarios, T. Pavlakou, I. Murray (2017), https://arxiv.org/abs/1705.07057.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (*STACK, *CONDITIONS)

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "MAF":
        """The model that a configuration asks for."""
        shape, condition = reading.input_dim(), Condition.read(reading)
        n, activation = math.prod(shape), reading.activation("relu")
        make = masked_autoregressive(reading, n, Affine(), condition.width, activation, rngs=rngs)
        return cls(stack_of(reading, n, make, rngs=rngs), shape, condition=condition)
