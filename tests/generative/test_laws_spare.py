"""Laws do not fail sound models at their edges: dead latents, symbols that are never drawn, losses with a state."""

import jax.numpy as jnp
import numpy as np
import pytest
from instances import Instance, binary, configuration
from vae_instances import INSTANCES as VAES

from modelwright.catalog import generative_certificates
from modelwright.factory import create_model
from modelwright.generative.laws import autoregressive, codec, likelihood, vae
from modelwright.generative.laws.law import Subject
from modelwright.generative.protocol import Batch


def autoencoder(n, seed):
    made = configuration("vae.VAE", (n,), hidden_dims=[8], output_dim=2)
    model, batch = Instance(made, binary((n,))).made("fresh")
    return Subject(model, batch, seed)


@pytest.mark.parametrize("seed", [0, 1])
def test_numbers_that_are_nearly_certain(seed):
    subject = autoencoder(2, seed)
    subject.model.decoder.net.layers[-1].bias[...] = jnp.array([9.0, -10.0])
    for law in (likelihood.draws_are_of_the_likelihood, likelihood.mean_is_that_of_draws):
        measured = law(subject)
        assert measured.holds, measured


@pytest.mark.slow
def test_latents_that_died():
    subject = autoencoder(64, 0)
    for net in (subject.model.encoder.net, subject.model.decoder.net):
        for layer in net.layers:
            layer.kernel[...] = 0.0 * layer.kernel[...]
    for law in (vae.loss_is_the_bound, vae.bound_below_likelihood, vae.divergence_in_closed_form):
        measured = law(subject)
        assert measured.holds, measured


def test_a_codebook_that_moves_with_each_loss():
    model = create_model(VAES["VQVAE, dense"].configuration, rngs=0, modality="image")
    x = np.random.default_rng(0).integers(0, 256, (8, *model.example_shape))
    measured = codec.densities_of_raw_data(Subject(model, Batch(jnp.asarray(x), None), 0))
    assert measured.holds, measured


def test_the_losses_of_a_flow_behind_noise_are_looked_at(monkeypatch):
    made = configuration("flow.RealNVP", 3, hidden_dims=[4], parameters={"n_transforms": 1})
    asked = []

    def certified(subject, laws):
        asked.extend((type(subject.model).__name__, law.name) for law in laws if law.applies(subject.model))
        return ()

    monkeypatch.setattr(generative_certificates, "certified", certified)
    generative_certificates.rulings_of(create_model(made, rngs=0, modality="image"), 0)
    assert ("RealNVP", "the losses are minus the mean log probability") in asked


def test_units_that_training_has_switched_off():
    made = configuration("autoregressive.MADE", (4,), hidden_dims=[8])
    subject = Subject(*Instance(made, binary((4,))).made("fresh"))
    assert autoregressive.sees_all(subject).holds
    layer = subject.model.net.hidden[0]
    layer.bias[...] = layer.bias[...] - 100.0
    assert autoregressive.sees_all(subject).holds
    assert autoregressive.sees_no_more(subject).holds
