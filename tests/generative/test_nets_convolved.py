"""Convolutions whose gradients are written out: those of JAX's own, in the order of axes that is fast in a loop."""

import re

import jax
import numpy as np
import pytest
from flax import nnx

from modelwright.generative.nets.convolved import convolved, of_layers


def reference(x, kernel, padding, strides=(1, 1)):
    return jax.lax.conv_general_dilated(x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def drawn(*shapes):
    return [jax.random.normal(jax.random.key(k), shape) for k, shape in enumerate(shapes)]


@pytest.mark.parametrize("strides", [(1, 1), (2, 2), (2, 3)])
@pytest.mark.parametrize("padding", [((2, 0), (2, 2)), ((0, 0), (1, 3)), ((0, 2), (4, 0)), ((0, 0), (0, 0))])
def test_values_and_both_gradients_are_those_of_a_convolution(padding, strides):
    x, kernel = drawn((2, 6, 7, 4), (3, 5, 4, 2))
    ours, back = jax.vjp(lambda *both: convolved(*both, padding, strides), x, kernel)
    wanted, back_wanted = jax.vjp(lambda *both: reference(*both, padding, strides), x, kernel)
    (slope,) = drawn(ours.shape)
    np.testing.assert_allclose(ours, wanted, atol=1e-5)  # sums of 60 products in float32, in another order at most
    for found, expected in zip(back(slope), back_wanted(slope), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-4)  # of up to 84


def test_a_gradient_of_a_gradient_is_that_of_a_convolution():
    x, kernel = drawn((1, 3, 3, 2), (2, 2, 2, 2))

    def steepness(made, kernel):
        return (jax.grad(lambda x: (made(x, kernel, ((1, 0), (1, 0))) ** 2).sum())(x) ** 2).sum()

    found, wanted = (
        jax.grad(lambda kernel, made=made: steepness(made, kernel))(kernel) for made in (convolved, reference)
    )
    np.testing.assert_allclose(found, wanted, rtol=1e-4)


@pytest.mark.skipif(
    jax.default_backend() != "cpu", reason="it is the compiler for processors that leaves the order as it is"
)
def test_in_a_loop_every_convolution_has_the_order_that_is_fast():
    x, kernel = drawn((2, 4, 4, 3), (3, 3, 3, 5))

    def orders(made):
        def step(_, kernel):
            return kernel + jax.grad(lambda *both: (made(*both, ((2, 0), (1, 1))) ** 2).sum(), (0, 1))(x, kernel)[1]

        compiled = jax.jit(lambda kernel: jax.lax.fori_loop(0, 2, step, kernel)).lower(kernel).compile()
        return set(re.findall(r"dim_labels=(\S+?),? ", compiled.as_text() + " "))

    assert orders(convolved) == {"b01f_01io->b01f"}
    assert orders(reference) != {"b01f_01io->b01f"}  # where this fails, the compiler has learnt it and this file can go


@pytest.mark.parametrize(
    "how", [{"strides": 2}, {"padding": "VALID"}, {"kernel_dilation": 2}, {"feature_group_count": 2}]
)
def test_layers_are_those_of_flax(how):
    ours, theirs = (
        nnx.Conv(4, 6, (3, 3), rngs=nnx.Rngs(0), **how, **more) for more in ({"conv_general_dilated": of_layers}, {})
    )
    (x,) = drawn((2, 7, 8, 4))
    found, wanted = (nnx.to_pure_dict(nnx.grad(lambda net: (net(x) ** 2).sum())(net)) for net in (ours, theirs))
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)
    np.testing.assert_allclose(found["kernel"], wanted["kernel"], rtol=1e-4, atol=1e-4)
