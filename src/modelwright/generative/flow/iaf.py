"""IAF: inverse autoregressive flow."""

import math
from typing import ClassVar, final

from flax import nnx

from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.flow.chain import Inverted
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.scalars import Affine
from modelwright.generative.flow.stacks import STACK, masked_autoregressive, stack_of
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class IAF(AbstractFlow):
    """A stack of autoregressive transforms turned round.

    A sample takes one pass, a density as many as there are numbers. Made for samples whose density is wanted along with
    them (`sample_with_log_prob`); the density of given examples is just as exact, and slow to train by where there are
    many numbers.

    `input_dim` is the shape of an example, taken as one vector; `hidden_dims` the widths of the masked layers in every
    transform. There is no `output_dim`.

    Source: D. Kingma et al. (2016), https://arxiv.org/abs/1606.04934.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (*STACK, *CONDITIONS)

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "IAF":
        """The model that a configuration asks for."""
        shape, condition = reading.input_dim(), Condition.read(reading)
        n, activation = math.prod(shape), reading.activation("relu")
        make = masked_autoregressive(reading, n, Affine(), condition.width, activation, rngs=rngs)
        return cls(stack_of(reading, n, lambda: Inverted(make()), rngs=rngs), shape, condition=condition)
