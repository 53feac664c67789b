"""Continuous flow: one differential equation instead of layers."""

import math
from typing import ClassVar, final

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from modelwright.core.errors import ConfigurationError
from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.flow.act_norm import ActNorm
from modelwright.generative.flow.chain import Chain
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.ode import OdeFlow
from modelwright.generative.nets.dense import DenseNet
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


def _check_arrived(start: Array, end: Array, log_det: Array) -> None:
    """Refuse examples that were numbers and are none; for arrays with values, not while a function is traced."""
    if any(isinstance(each, jax.core.Tracer) for each in (start, end, log_det)):
        return
    known = np.isfinite(np.asarray(start, float)).reshape(len(start), -1).all(-1)
    lost = int((known & np.isnan(np.asarray(log_det))).sum())
    if lost:
        raise ConfigurationError(
            f"the solver did not reach the end for {lost} of {len(known)} examples",
            field="parameters.max_steps",
            expected="as many steps as the differential equation takes",
            todo="raise it, allow greater errors by parameters.rtol and atol, or leave out what is far from all data",
        )


@final
class ContinuousFlow(AbstractFlow):
    """Examples carried to the base by a differential equation, the trace of its derivative taken exactly.

    The density is exact up to the tolerances of the solver. The trace costs one derivative for each number of an
    example: made for a few dozen numbers.

    `input_dim` is the shape of an example, taken as one vector; `hidden_dims` the widths of the dense layers of the
    velocity. There is no `output_dim`, and the activation should be smooth: the solver's steps suffer from kinks. Of
    smooth ones tanh is the default: two rings are learned three times closer than with softplus in as many steps.

    Where the solver does not reach the end it is an error, or NaN in a function that is traced. Derivatives are those
    in reverse (`jax.grad`, `jax.vjp`); forward ones (`jax.jvp`, `jax.jacfwd`) JAX refuses.

    Source: R. Chen, Y. Rubanova, J. Bettencourt, D. Duvenaud (2018), https://arxiv.org/abs/1806.07366.
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        Parameter("solver", "choice", "tsit5", "of the differential equation", choices=("tsit5", "dopri5")),
        Parameter("rtol", "number", 1e-5, "error allowed in a step, as a share of the value", 1e-12, 0.1),
        Parameter("atol", "number", 1e-5, "error allowed in a step, where values are small", 1e-12, 0.1),
        Parameter(
            "max_steps",
            "integer",
            1024,
            "steps of the solver at most; what takes more has no log probability and is no sample",
            1,
        ),
        Parameter(
            "act_norm", "flag", default=True, meaning="standardise the data first, beginning with their own scale"
        ),
        *CONDITIONS,
    )

    remedy = "raise parameters.max_steps"

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "ContinuousFlow":
        """The model that a configuration asks for."""
        shape, condition = reading.input_dim(), Condition.read(reading)
        n = math.prod(shape)
        hidden, activation = reading.hidden_dims((64, 64)), reading.activation("tanh")
        net = DenseNet(n + 1 + condition.width, hidden, n, activation=activation, rngs=rngs)
        ode = OdeFlow(
            net,
            solver=reading.parameter("solver"),
            rtol=reading.parameter("rtol"),
            atol=reading.parameter("atol"),
            max_steps=reading.parameter("max_steps"),
        )
        norm = [ActNorm(n)] if reading.parameter("act_norm") else []
        return cls(Chain([*norm, ode]), shape, condition=condition)

    def _forward(self, x: Array, cond: Array | None) -> tuple[Float[Array, "n latent"], Float[Array, " n"]]:
        z, log_det = super()._forward(x, cond)
        _check_arrived(x, z, log_det)
        return z, log_det

    def _inverse(self, z: Array, cond: Array | None) -> tuple[Array, Float[Array, " n"]]:
        x, log_det = super()._inverse(z, cond)
        _check_arrived(z, x, log_det)
        return x, log_det
