"""Operations are counted by how often they are done, not by how often they are written."""

import jax
import jax.numpy as jnp
import pytest

from modelwright.configuration import ModelConfiguration
from modelwright.factory.explanation import explain
from modelwright.factory.work import operations


def count(function, *arguments):
    return operations(jax.make_jaxpr(function)(*arguments))


def test_a_dense_layer_in_closed_form():
    n, wide, out = 5, 7, 3
    w, b, x = jnp.ones((wide, out)), jnp.ones(out), jnp.ones((n, wide))
    layer = lambda x: jnp.tanh(x @ w + b)  # noqa: E731
    assert count(layer, x) == 2 * n * wide * out + n * out + n * out  # products, biases, tanh
    assert count(jax.jit(layer), x) == count(layer, x)  # whether it is compiled by itself or not
    assert count(jax.checkpoint(layer), x) == count(layer, x)


def test_a_convolution_in_closed_form():
    x, kernel = jnp.ones((2, 8, 9, 3)), jnp.ones((5, 4, 3, 6))
    axes = ("NHWC", "HWIO", "NHWC")

    def convolve(x):
        return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=axes)

    assert count(convolve, x) == 2 * (2 * 8 * 9 * 6) * (5 * 4 * 3)


def test_a_loop_counts_as_often_as_it_turns():
    w, x = jnp.ones((4, 4)), jnp.ones(4)
    once = count(lambda x: w @ x, x)
    assert count(lambda x: jax.lax.scan(lambda x, _: (w @ x, None), x, length=10)[0], x) == 10 * once
    nested = lambda x, _: (jax.lax.scan(lambda x, _: (w @ x, None), x, length=3)[0], None)  # noqa: E731
    assert count(lambda x: jax.lax.scan(nested, x, length=5)[0], x) == 15 * once


def test_a_loop_without_a_known_end_is_not_counted():
    assert count(lambda x: jax.lax.while_loop(lambda x: x < 10.0, lambda x: x + 1.0, x), 0.0) is None


def test_the_dearest_branch_counts():
    w, x = jnp.ones((4, 4)), jnp.ones(4)
    choose = lambda p, x: jax.lax.cond(p, lambda x: w @ x, lambda x: x, x)  # noqa: E731
    assert 32 <= count(choose, True, x) <= 34  # the choice itself is one or two


@pytest.mark.parametrize(
    ("model_class", "fields", "parameter"),
    [
        ("flow.MAF", {"input_dim": 3, "hidden_dims": [16]}, "n_transforms"),
        ("autoregressive.Transformer", {"input_dim": [8], "hidden_dims": [16]}, "n_layers"),
    ],
)
def test_ten_layers_take_ten_times_the_work_of_one(model_class, fields, parameter):
    def work(n):
        more = {"vocabulary": 4} if model_class.endswith("Transformer") else {}
        config = ModelConfiguration(
            name="x",
            model_class=f"modelwright.generative.{model_class}",
            parameters={parameter: n, **more},
            metadata={"training_defaults": {"batch_size": 4}},
            **fields,
        )
        return explain(config).flops

    assert 8.0 <= work(10) / work(1) <= 12.0
