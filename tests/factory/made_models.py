"""Models that tests of the factory and of stored models share."""

import jax.numpy as jnp
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Loss

VAE = "modelwright.generative.vae.VAE"


def small(**fields):
    return ModelConfiguration(
        **{"name": "small", "model_class": VAE, "input_dim": (4, 4, 1), "hidden_dims": [8], "output_dim": 3, **fields}
    )


class Constant(AbstractGenerativeModel):
    """A third party's model: a normal distribution about a learned mean."""

    family = "constant"
    offers = frozenset({"log_prob"})
    log_prob_kind = "exact"

    def __init__(self, shape):
        self.mean = nnx.Param(jnp.zeros(shape))
        self.example_shape = shape

    def loss(self, batch, *, key, step):
        return Loss(-self.log_prob(batch.x).mean(), {})

    def log_prob(self, x, *, key=None, cond=None):
        return LogProb(-0.5 * jnp.square(x - self.mean).sum(-1), "exact")
