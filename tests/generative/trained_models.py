"""Models and data that the tests of the trainer train."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.factory import create_model
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Loss, Objective

BITS = np.random.default_rng(0).integers(0, 2, (96, 6))


def vae(rngs=0, **parameters):
    config = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.vae.VAE",
        input_dim=6,
        hidden_dims=[8],
        output_dim=2,
        parameters=parameters,
    )
    return create_model(config, rngs=rngs)


def leaves(model):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(model))]


def same(one, other):
    return all((a == b).all() for a, b in zip(leaves(one), leaves(other), strict=True))


class Normal(AbstractGenerativeModel):
    """A normal distribution of unit variance about a learned mean."""

    family = "test"
    offers = frozenset({"log_prob"})
    log_prob_kind = "exact"
    example_shape = (2,)

    def __init__(self, broken_from=None):
        self.mean = nnx.Param(jnp.zeros(2))
        self.broken_from = broken_from

    def loss(self, batch, *, key, step):
        value = -self.log_prob(batch.x).mean()
        if self.broken_from is not None:
            value = jnp.where(step >= self.broken_from, jnp.nan, value)
        return Loss(value, {})

    def log_prob(self, x, *, key=None, cond=None):
        return LogProb((-0.5 * jnp.square(x - self.mean) - 0.5 * jnp.log(2 * jnp.pi)).sum(-1), "exact")


class Count(nnx.Variable):
    """A number that losses change."""


class Duel(AbstractGenerativeModel):
    """Two players: one moves twice in each step, the other every third step; what they see goes into a buffer."""

    family = "test"
    example_shape = (1,)

    def __init__(self):
        self.critic = nnx.Param(jnp.ones(()))
        self.generator = nnx.Param(jnp.ones(()))
        self.buffer = Count(jnp.zeros((4,)))
        self.place = Count(jnp.zeros((), jnp.int32))

    def objectives(self):
        return (
            Objective("critic", self._critic, nnx.PathContains("critic"), repeats=2),
            Objective("generator", self._generator, nnx.PathContains("generator"), every=3),
        )

    @staticmethod
    def _critic(model, batch, key, step):
        model.buffer[...] = model.buffer[...].at[model.place[...] % 4].set(batch.x.mean())
        model.place[...] = model.place[...] + 1
        noise = jax.random.normal(key) * 0.01
        return Loss(jnp.square(model.critic[...] - model.generator[...] - batch.x.mean() + noise), {})

    @staticmethod
    def _generator(model, batch, key, step):
        product = model.critic[...] * model.generator[...]
        return Loss(product, {"product": product, "seen": model.place[...]})


class OwnStream(AbstractGenerativeModel):
    """A mean of data of which each number is left out by a stream of keys that the model keeps, as Flax offers it."""

    family = "test"
    example_shape = (2,)

    def __init__(self):
        self.mean = nnx.Param(jnp.zeros(2))
        self.dropout = nnx.Dropout(0.5, rngs=nnx.Rngs(0))

    def loss(self, batch, *, key, step):
        return Loss(jnp.square(self.dropout(batch.x) - self.mean[...]).sum(-1).mean(), {})


class Slopes(AbstractGenerativeModel):
    """Two numbers with losses of constant slope, along which each update of Adam is the learning rate of that step."""

    family = "test"
    example_shape = (1,)

    def __init__(self, slope=1.0):
        self.kernel = nnx.Param(jnp.ones(()))
        self.bias = nnx.Param(jnp.ones(()))
        self.slope = slope

    def objectives(self):
        return (
            Objective("kernel", self._falling, nnx.PathContains("kernel"), repeats=2),
            Objective("bias", self._falling, nnx.PathContains("bias"), every=3),
        )

    @staticmethod
    def _falling(model, batch, key, step):
        return Loss(-model.slope * (model.kernel[...] + model.bias[...]), {})


def flow(rngs=0):
    """A flow of two transforms, each with a layer that standardises."""
    config = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.flow.MAF",
        input_dim=6,
        hidden_dims=[8],
        parameters={"n_transforms": 2},
    )
    return create_model(config, rngs=rngs)


def codes(rngs=0, **parameters):
    """An autoencoder of codes, whose codebook moves without gradients."""
    config = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.vae.VQVAE",
        input_dim=6,
        hidden_dims=[8],
        output_dim=2,
        parameters={"codebook_size": 4, "n_codes": 2, "code_prior": "independent", **parameters},
    )
    return create_model(config, rngs=rngs)
