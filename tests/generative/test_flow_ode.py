"""The flow of a linear differential equation is known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from instances import configuration
from scipy.linalg import expm

from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
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


def small(**parameters):
    return create_model(configuration("flow.ContinuousFlow", 2, hidden_dims=[], parameters=parameters), rngs=0)


def test_too_few_steps_are_an_error_or_no_number():
    model = small(max_steps=1, rtol=1e-12, atol=1e-12)
    with pytest.raises(ConfigurationError, match=r"parameters.max_steps: .* did not reach the end for 2 of 2 examples"):
        model.log_prob(jnp.ones((2, 2)))
    with pytest.raises(ConfigurationError, match=r"parameters.max_steps: "):
        model.decode(jnp.ones((1, 2)))
    assert np.isnan(jax.jit(lambda x: model.log_prob(x).value)(jnp.ones((1, 2)))).all()


def test_what_is_no_number_spoils_no_other_example():
    model, x = small(), jnp.array([[jnp.nan, 0.0], [jnp.inf, 0.0], [0.5, 1.0]])
    found = model.log_prob(x).value
    assert np.isnan(found).tolist() == [True, True, False]
    np.testing.assert_allclose(found[2:], model.log_prob(x[2:]).value, rtol=1e-6)


def test_a_label_that_is_traced_and_not_known_spoils_no_other_example():
    model = small(n_classes=3)
    found = jax.jit(lambda labels: model.log_prob(jnp.ones((2, 2)), cond=labels).value)(jnp.array([7, 1]))
    assert np.isnan(found).tolist() == [True, False]
