"""The flow of a linear differential equation is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.linalg import expm

from modelwright.generative.flow.ode import OdeFlow
from modelwright.generative.nets.dense import DenseNet

MATRIX = np.array([[0.3, -1.0], [0.8, -0.7]])


def linear(**settings):
    net = DenseNet(3, (), 2, rngs=nnx.Rngs(0))
    net.layers[0].kernel = nnx.Param(jnp.asarray(np.vstack([MATRIX.T, np.zeros((1, 2))])))
    net.layers[0].bias = nnx.Param(jnp.zeros(2))
    return OdeFlow(net, **{"solver": "tsit5", "rtol": 1e-8, "atol": 1e-8, "max_steps": 256, **settings})


@pytest.mark.parametrize("solver", ["tsit5", "dopri5"])
def test_a_linear_equation_in_closed_form(solver):
    with jax.enable_x64(True):
        x = jax.random.normal(jax.random.key(0), (3, 2), float)
        flow = linear(solver=solver)
        y, log_det = flow.forward(x)
        # hundred times the tolerance of a step
        np.testing.assert_allclose(y, x @ expm(MATRIX).T, atol=1e-6)
        np.testing.assert_allclose(log_det, np.trace(MATRIX), atol=1e-6)
        np.testing.assert_allclose(flow.inverse(y)[0], x, atol=1e-6)


def test_too_few_steps_are_an_error():
    with pytest.raises(Exception, match="maximum number of solver steps"):
        linear(max_steps=1).forward(jnp.ones((1, 2)))
