"""Masked networks see exactly what comes before: strictly, and completely."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from modelwright.core.errors import ConfigurationError
from modelwright.generative.nets.masked import MaskedNet

ORDERS = {"natural": (0, 1, 2, 3, 4), "reversed": (4, 3, 2, 1, 0), "shuffled": (3, 0, 4, 1, 2)}


def reach(net, n_in, context=0):
    """Which input (and context) each output moves with, over several points: a unit may be flat at one."""
    x = jax.random.normal(jax.random.key(1), (8, n_in + context))

    def out(v):
        return jnp.abs(net(v[None, :n_in], v[None, n_in:] if context else None)[0]).sum(-1)

    return np.asarray(jax.jit(lambda x: jnp.abs(jax.vmap(jax.jacobian(out))(x)).max(0) > 0)(x))


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("hidden", [(4,), (7, 7, 7), (2, 3), (1,)], ids=str)
def test_output_sees_all_that_comes_before_and_nothing_else(order, hidden):
    net = MaskedNet(5, hidden, 2, order=order, activation="tanh", rngs=nnx.Rngs(0))
    places = np.asarray(order)
    np.testing.assert_array_equal(reach(net, 5), places[None, :] < places[:, None])


@pytest.mark.parametrize("hidden", [(8, 8), (2,)], ids=str)
def test_two_numbers_are_not_cut_off_by_depth(hidden):
    net = MaskedNet(2, hidden, 1, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(reach(net, 2), [[False, False], [True, False]])


@pytest.mark.parametrize("hidden", [(8, 8), (2,)], ids=str)
def test_every_output_sees_the_context(hidden):
    seen = reach(MaskedNet(3, hidden, 2, context=2, activation="tanh", rngs=nnx.Rngs(0)), 3, 2)
    assert seen[:, 3:].all()
    np.testing.assert_array_equal(seen[:, :3], np.tri(3, k=-1, dtype=bool))


def test_a_single_number_sees_its_context_through_the_hidden_layer():
    net = MaskedNet(1, (8,), 1, context=1, activation="tanh", rngs=nnx.Rngs(0))
    out = net(jnp.zeros((3, 1)), jnp.asarray([[-2.0], [0.0], [1.0]]))[:, 0, 0]
    assert abs(float((out[2] - out[1]) / 1 - (out[1] - out[0]) / 2)) > 1e-3  # not linear in the context


def test_half_precision_weights_give_half_precision_outputs():
    net = MaskedNet(3, (8,), 2, rngs=nnx.Rngs(0))
    graph, state = nnx.split(net)
    half = nnx.merge(graph, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), state))
    assert half(jnp.ones((2, 3))).dtype == jnp.bfloat16


def test_what_is_no_order_is_refused():
    with pytest.raises(ConfigurationError, match="order: not an order; expected each of 0 to 2 once"):
        MaskedNet(3, (8,), 1, order=(1, 2, 3), rngs=nnx.Rngs(0))


def test_without_hidden_layer_it_is_refused():
    with pytest.raises(ConfigurationError, match="hidden_dims: a masked network needs a hidden layer"):
        MaskedNet(3, (), 1, rngs=nnx.Rngs(0))
