"""Laws find what they are made for: models that are wrong in one way are told from those that are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from vae_instances import INSTANCES as VAES

from modelwright.generative.laws import general, vae
from modelwright.generative.laws.law import Subject
from modelwright.generative.nets.stacked import stacked, through
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss
from modelwright.generative.vae import vqvae
from modelwright.generative.vae.autoencoder import AbstractAutoencoder


class Stack(AbstractGenerativeModel):
    """Four linear maps, of which `used` train; samples are normal numbers."""

    family = "test"
    offers = frozenset({"sample"})
    example_shape = (2,)

    def __init__(self, used=4, claimed=("sample",)):
        rngs = nnx.Rngs(0)
        self.parts = stacked(lambda: nnx.Linear(2, 2, rngs=rngs), 4)
        self.used = used
        self.offers = frozenset(claimed)

    def loss(self, batch, *, key, step):
        """Squares of what comes out."""
        takes = (jnp.arange(4) < self.used).astype(jnp.float32)
        y, _ = through(self.parts, lambda layer, h, take: (h + take * layer(h), None), batch.x, takes)
        return Loss(jnp.square(y).mean(), {})

    def sample(self, n, *, key, cond=None):
        """Normal numbers."""
        return jax.random.normal(key, (n, 2))


def subject(model):
    return Subject(model, Batch(jnp.asarray(np.random.default_rng(0).standard_normal((4, 2)), jnp.float32)))


def test_each_stacked_layer_needs_a_gradient_of_its_own():
    assert general.gradients_reach(subject(Stack())).figure == 0.0
    # one layer's kernel and bias; the whole arrays have gradients from the other three
    assert general.gradients_reach(subject(Stack(used=3))).figure == 2.0


def test_what_is_not_offered_has_to_refuse():
    assert general.offers_are_kept(subject(Stack())).figure == 0.0
    assert general.offers_are_kept(subject(Stack(claimed=()))).figure == 1.0  # samples, and says that it does not
    assert general.offers_are_kept(subject(Stack(claimed=("sample", "encode")))).figure == 1.0  # says so, and does not


def test_samples_that_look_at_other_keys_are_found(monkeypatch):
    assert general.keys_at_once(subject(Stack())).holds
    calls = []

    def drifting(self, n, *, key, cond=None):
        calls.append(1)  # a stream kept inside: a trace sees it once, calls one by one see it move
        return jax.random.normal(jax.random.fold_in(key, len(calls)), (n, 2))

    monkeypatch.setattr(Stack, "sample", drifting)
    assert not general.keys_at_once(subject(Stack())).holds


@pytest.mark.parametrize("weight", [lambda self, step: 1.0, lambda self, step: self.kl_weight])
def test_a_weight_without_warm_up_is_found(weight, monkeypatch):
    model, batch = VAES["VAE, dense"].made()
    model.kl_weight, model.warm_up_steps = 4.0, 10
    assert vae.loss_is_weighted(Subject(model, batch)).holds
    monkeypatch.setattr(AbstractAutoencoder, "weight_at", lambda self, step: jnp.asarray(weight(self, step)))
    assert not vae.loss_is_weighted(Subject(model, batch)).holds


def test_a_perplexity_of_something_else_is_found(monkeypatch):
    model, batch = VAES["VQVAE, dense"].made("perturbed")
    assert vae.perplexity_by_counting(Subject(model, batch)).holds
    right = vqvae.perplexity
    monkeypatch.setattr(vqvae, "perplexity", lambda codes, size: jnp.log(right(codes, size)) / jnp.log(2.0))
    assert not vae.perplexity_by_counting(Subject(model, batch)).holds
