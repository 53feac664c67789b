"""Neural spline flow: rational-quadratic splines in couplings, or autoregressive."""

import math
from typing import ClassVar, final

from flax import nnx

from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.spline import RationalQuadraticSpline
from modelwright.generative.flow.stacks import STACK, dense_coupling, masked_autoregressive, stack_of
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class NeuralSplineFlow(AbstractFlow):
    """A stack of spline transforms: couplings (one pass either way), or autoregressive (samples one number at a time).

    `input_dim` is the shape of an example, taken as one vector; `hidden_dims` the widths of the layers in every
    transform's network. There is no `output_dim`.

    Source: C. Durkan, A. Bekasov, I. Murray, G. Papamakarios (2019), https://arxiv.org/abs/1906.04032.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "transform",
            "choice",
            "coupling",
            "coupling: half of the numbers decide on the others; autoregressive: each given those before it",
            choices=("coupling", "autoregressive"),
        ),
        Parameter("n_bins", "integer", 8, "pieces of each spline", 2, 256),
        Parameter("tail_bound", "number", 3.0, "splines act from minus to plus this, the identity beyond", 0.01),
        *STACK,
        *CONDITIONS,
    )

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "NeuralSplineFlow":
        """The model that a configuration asks for."""
        shape, condition = reading.input_dim(), Condition.read(reading)
        n, activation = math.prod(shape), reading.activation("silu")
        spline = RationalQuadraticSpline(reading.parameter("n_bins"), reading.parameter("tail_bound"))
        maker = {"coupling": dense_coupling, "autoregressive": masked_autoregressive}[reading.parameter("transform")]
        make = maker(reading, n, spline, condition.width, activation, rngs=rngs)
        return cls(stack_of(reading, n, make, rngs=rngs), shape, condition=condition)
