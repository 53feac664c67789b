"""Autoregressive models on which the laws run."""

import jax.numpy as jnp
import numpy as np
from instances import Instance, binary, configuration, tokens

from modelwright.generative.protocol import Batch


def symbols(shape, levels, n=16, classes=0, context=0):
    """Examples of whole numbers, with labels or context vectors."""

    def make(generator):
        x = jnp.asarray(generator.integers(0, levels, (n, *shape)))
        if classes:
            return Batch(x, jnp.asarray(generator.integers(0, classes, n)))
        return Batch(x, jnp.asarray(generator.standard_normal((n, context)).astype(np.float32)) if context else None)

    return make


def amplitudes(length, n=16):
    """Examples of numbers from -1 to 1."""
    return lambda generator: Batch(jnp.asarray(generator.uniform(-1.0, 1.0, (n, length)).astype(np.float32)))


def _made(name, shape, batch, **more):
    fields = {key: more.pop(key) for key in ("hidden_dims", "dropout_rate") if key in more}
    return Instance(configuration(f"autoregressive.{name}", shape, **fields, parameters=more), batch)


INSTANCES = {
    "Transformer": _made(
        "Transformer", (5,), tokens(5, 3), hidden_dims=[8], dropout_rate=0.1, vocabulary=3, n_layers=2, n_heads=2
    ),
    "Transformer of labels, rotary": _made(
        "Transformer",
        (4,),
        symbols((4,), 4, classes=3),
        hidden_dims=[8],
        vocabulary=4,
        n_layers=2,
        n_heads=2,
        positions="rotary",
        n_classes=3,
    ),
    "PixelCNN of two channels": _made(
        "PixelCNN", (2, 2, 2), symbols((2, 2, 2), 2), hidden_dims=[4], levels=2, n_layers=2, kernel_size=3
    ),
    "PixelCNN of four columns, labels": _made(
        "PixelCNN",
        (4, 4, 1),
        symbols((4, 4, 1), 5, classes=2),
        hidden_dims=[6],
        levels=5,
        n_layers=2,
        kernel_size=3,
        n_classes=2,
    ),
    "WaveNet": _made(
        "WaveNet", (8,), symbols((8,), 2, context=2), hidden_dims=[6], levels=2, n_layers=2, context_dim=2
    ),
    "WaveNet of amplitudes": _made(
        "WaveNet",
        (4,),
        amplitudes(4),
        hidden_dims=[6],
        levels=4,
        encoding="mu_law",
        n_layers=2,
        n_cycles=2,
        kernel_size=3,
    ),
    "MADE": _made("MADE", (6,), binary((6,), classes=2), hidden_dims=[16], n_classes=2),
    "MADE of levels, shuffled": _made(
        "MADE", (2, 2, 1), symbols((2, 2, 1), 4), hidden_dims=[16, 16], levels=4, order="random", order_seed=0
    ),
}
