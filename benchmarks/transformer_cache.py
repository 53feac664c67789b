"""Seconds per token of the transformer's sampler, with its cache and without, at length 256, in one run.

    python benchmarks/transformer_cache.py [--width 256 --layers 6 --heads 8 --n 1 --repeats 9]

Without a cache each token takes a pass over the whole sequence, of a fixed length so that it is compiled once. Repeats
alternate, so that what else the machine does falls on both; medians are printed.

Exit status: 0 when the cache makes a token at least 20 times faster.
"""

import argparse
import sys
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model

LENGTH, VOCABULARY = 256, 65


@partial(jax.jit, static_argnums=(0, 4))
def without_cache(graph, state, x, key, count):
    """Draw the last `count` tokens, each by a pass over all positions."""
    model = nnx.merge(graph, state)

    def step(x, at):
        key, place = at
        logits = jax.lax.dynamic_index_in_dim(model.logits(x), place, axis=1, keepdims=False)
        token = jax.random.categorical(key, logits).astype(x.dtype)
        return jax.lax.dynamic_update_slice_in_dim(x, token[:, None], place, axis=1), None

    return jax.lax.scan(step, x, (jax.random.split(key, count), LENGTH - count + jnp.arange(count)))[0]


def seconds(call):
    """Wall time of one call."""
    began = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - began


def main():
    """Print the compile times, the medians and their ratio; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--n", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--count", type=int, default=16, help="tokens drawn without a cache in each repeat")
    asked = parser.parse_args()
    config = ModelConfiguration(
        name="cache",
        model_class="modelwright.generative.autoregressive.Transformer",
        input_dim=(LENGTH,),
        hidden_dims=[asked.width],
        parameters={"vocabulary": VOCABULARY, "n_layers": asked.layers, "n_heads": asked.heads},
    )
    model = create_model(config, rngs=0)
    graph, state = nnx.split(model)
    x, key = jnp.zeros((asked.n, LENGTH), jnp.int32), jax.random.key(0)

    def cached():
        return model.sample(asked.n, key=key)

    def whole():
        return without_cache(graph, state, x, key, asked.count)

    print(f"first call: {seconds(cached):.1f} s with, {seconds(whole):.1f} s without a cache")
    with_it, without = np.array(
        [(seconds(cached) / LENGTH, seconds(whole) / asked.count) for _ in range(asked.repeats)]
    ).T
    a, b = np.median(with_it), np.median(without)
    print(
        f"{asked.layers} layers x {asked.width}, {asked.n} at once, length {LENGTH}: "
        f"{1e3 * a:.3f} ms a token with a cache "
        f"({1e3 * with_it.min():.3f} to {1e3 * with_it.max():.3f}), {1e3 * b:.2f} ms without "
        f"({1e3 * without.min():.2f} to {1e3 * without.max():.2f}): {b / a:.1f} times faster; "
        f"pair by pair {np.median(without / with_it):.1f}"
    )
    return 0 if b / a >= 20.0 else 1


if __name__ == "__main__":
    sys.exit(main())
