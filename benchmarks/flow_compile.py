"""Seconds that the compiler takes for a neural spline flow of ten layers: its loss and gradient, its density, samples.

    python benchmarks/flow_compile.py [--layers 10] [--hidden 128 128] [--dim 8]

Identical layers are kept stacked and run in a loop, so that the compiler sees one of them; --layers 1 beside it shows
how little more ten cost. Tracing is included, running is not.

Exit status: 0 when loss and gradient of both kinds, coupling and autoregressive, take at most 20 s.
"""

import argparse
import sys
import time

import jax
import jax.numpy as jnp
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.protocol import Batch


def seconds(function, *arguments):
    """Of tracing and compiling a function."""
    began = time.perf_counter()
    jax.jit(function).lower(*arguments).compile()
    return time.perf_counter() - began


def row(transform, layers, hidden, dim):
    """Print a row for one kind and number of layers; seconds for loss and gradient."""
    config = ModelConfiguration(
        name="splines",
        model_class="modelwright.generative.flow.NeuralSplineFlow",
        input_dim=dim,
        hidden_dims=hidden,
        parameters={"n_transforms": layers, "transform": transform},
    )
    graph, params, rest = nnx.split(create_model(config, rngs=0), nnx.Param, ...)
    x, key, step = jnp.zeros((256, dim)), jax.random.key(0), jnp.zeros((), jnp.int32)

    def loss(params, x, key):
        model = nnx.merge(graph, params, rest, copy=True)
        return model.objectives()[0].loss(model, Batch(x, None), key, step).value

    found = {
        "loss and gradient": seconds(jax.value_and_grad(loss), params, x, key),
        "log density": seconds(lambda p, x: nnx.merge(graph, p, rest).log_prob(x).value, params, x),
        "samples": seconds(lambda p, key: nnx.merge(graph, p, rest).sample(256, key=key), params, key),
    }
    print(f"| {transform} | {layers} | " + " | ".join(f"{value:.1f}" for value in found.values()) + " |", flush=True)
    return found["loss and gradient"]


def main():
    """Print the table; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=10)
    parser.add_argument("--hidden", type=int, nargs="+", default=[128, 128])
    parser.add_argument("--dim", type=int, default=8)
    asked = parser.parse_args()
    print("| splines | layers | loss and gradient, s | log density, s | samples, s |")
    print("|---|---|---|---|---|")
    slowest = 0.0
    for transform in ("coupling", "autoregressive"):
        row(transform, 1, asked.hidden, asked.dim)
        slowest = max(slowest, row(transform, asked.layers, asked.hidden, asked.dim))
    return 0 if slowest <= 20.0 else 1


if __name__ == "__main__":
    sys.exit(main())
