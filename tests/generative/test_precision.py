"""A model in half precision computes in it: one number of more bits left inside would raise all that follows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from sequential_instances import INSTANCES as SEQUENTIAL
from vae_instances import INSTANCES as VAES

from modelwright.generative.precision import lowered

INSTANCES = {**VAES, **SEQUENTIAL}


def in_single_precision(jaxpr):
    """Shapes of what is multiplied by matrices or convolved in single precision, within loops too."""
    found = set()
    for equation in jaxpr.eqns:
        product = equation.primitive.name in ("dot_general", "conv_general_dilated")
        if product and any(each.aval.dtype == jnp.float32 for each in equation.invars):
            found.add(tuple(each.aval.shape for each in equation.invars))
        for inner in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(inner, "jaxpr", inner)
            found |= in_single_precision(inner) if hasattr(inner, "eqns") else set()
    return found


@pytest.mark.parametrize(
    "name",
    [
        "Transformer of labels, rotary",
        "PixelCNN of four columns, labels",
        "WaveNet",
        "MADE",
        "VAE of labels, trained with importance weights",
        "CVAE of contexts, Gaussian of known scale",
        "VQVAE, dense",
        "VQVAE of labels, convolutions",
    ],
)
def test_no_product_is_left_in_single_precision(name):
    batch = INSTANCES[name].batch(np.random.default_rng(0))
    graph, params, rest = nnx.split(nnx.eval_shape(INSTANCES[name].outline), nnx.Param, ...)

    def loss(params, rest, key):
        return nnx.merge(graph, lowered(params), rest).loss(batch, key=key, step=0).value

    def drawn(params, rest, key):
        return nnx.merge(graph, lowered(params), rest).sample(len(batch.x), key=key, cond=batch.cond)

    # vectors are rounded to those of a codebook, which is no parameter, in its own precision
    codebook = getattr(nnx.merge(graph, params, rest), "codebook", None)
    for asked in (loss, drawn):
        found = in_single_precision(jax.make_jaxpr(asked)(params, rest, jax.random.key(0)).jaxpr)
        assert {each for each in found if codebook is None or each[1] != codebook.vectors.shape[::-1]} == set()
