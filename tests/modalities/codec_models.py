"""A model by which codecs decide what to do."""

import jax
import jax.numpy as jnp
from flax import nnx

from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel


class Takes(AbstractGenerativeModel):
    """A model that says what it takes, with the log probability of a product of logistic densities (or nothing)."""

    family = "flow"
    offers = frozenset({"log_prob", "sample"})
    log_prob_kind = "exact"

    def __init__(self, shape, levels=None, family="flow"):
        self.example_shape, self.levels, self.family = shape, levels, family
        self.latent_dim = 7
        self.began_with = nnx.Variable(jnp.zeros((1, *shape)))

    def log_prob(self, x, *, key=None, cond=None):
        each = -x - 2.0 * jax.nn.softplus(-x)
        return LogProb(each.reshape(len(x), -1).sum(-1), "exact")

    def sample(self, n, *, key, cond=None):
        return jax.random.logistic(key, (n, *self.example_shape))

    def encode(self, x, *, key=None, cond=None):
        return x if key is None else x - jax.random.uniform(key, x.shape)

    def decode(self, z, *, key=None, cond=None):
        return z if key is None else z + jax.random.uniform(key, z.shape)

    def begin(self, batch, *, key):
        self.began_with[...] = batch.x - jax.random.uniform(key, batch.x.shape)
