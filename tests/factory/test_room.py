"""Models that there is no room for are refused before anything of them is made; small ones are not even counted."""

import pytest

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model, room
from modelwright.factory.explanation import explain
from modelwright.generative.protocol import count_parameters

BILLION = 10**9


def described(name, input_dim, hidden_dims=None, **parameters):
    model_class = f"modelwright.generative.{name}"
    return ModelConfiguration(
        name="x", model_class=model_class, input_dim=input_dim, hidden_dims=hidden_dims, parameters=parameters
    )


@pytest.mark.parametrize(
    ("configuration", "field"),
    [
        (described("vae.VAE", 784, n_classes=BILLION), "parameters.n_classes"),
        (described("vae.VAE", 784, n_classes=str(BILLION)), "parameters.n_classes"),
        (described("vae.VAE", 784, [BILLION]), "hidden_dims"),
        (described("vae.VAE", (BILLION, BILLION, 4)), "input_dim"),
        (described("vae.VQVAE", 784, codebook_size=BILLION), "parameters.codebook_size"),
        (described("flow.RealNVP", BILLION), "input_dim"),
        (described("autoregressive.Transformer", 8, [100_000], n_layers=2), "hidden_dims"),
    ],
)
def test_what_no_memory_holds_is_refused_with_figures(monkeypatch, configuration, field):
    monkeypatch.setattr(room, "memory_of_models", lambda: 64 * 2**30)  # whatever machine runs this test
    message = (
        rf"^{field}: the numbers of this model alone take [0-9,.]+ GiB; expected a model of at most 64.0 GiB, the mem"
    )
    with pytest.raises(ConfigurationError, match=message):
        create_model(configuration, rngs=0)


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        (described("autoregressive.MADE", 784, levels=BILLION), "a layer of masks too wide to be kept unit by unit"),
        (described("autoregressive.PixelCNN", (8, 8, 1), levels=BILLION), "a masked convolution of too many weights"),
        (described("flow.MAF", BILLION), "a layer of masks too wide to be kept unit by unit"),
        (described("flow.MAF", 2, n_transforms=10**6), "parameters.n_transforms: .* from 1 to 256, got 1000000"),
        (described("flow.Glow", (4, 4, 1), n_steps=10**6), "parameters.n_steps: not accepted"),
        (described("autoregressive.Transformer", 4, n_layers=10**6), "parameters.n_layers: not accepted"),
        (described("autoregressive.WaveNet", 4, n_cycles=10**6), "parameters.n_cycles: not accepted"),
        (described("vae.VAE", 4, importance_draws=BILLION), "parameters.importance_draws: not accepted"),
        (described("vae.VAE", 4, [2] * 257), "hidden_dims: too many layers; expected at most 256 widths, got 257"),
    ],
)
def test_what_would_never_end_is_refused_by_explain_too(configuration, message):
    for ask in (explain, lambda each: create_model(each, rngs=0)):
        with pytest.raises(ConfigurationError, match=message):
            ask(configuration)


def test_the_figure_is_that_of_the_model(monkeypatch):
    configuration = described("autoregressive.MADE", 3, [5])
    model = create_model(configuration, rngs=0)
    monkeypatch.setattr(room, "memory_of_models", lambda: 4 * count_parameters(model))
    create_model(configuration, rngs=0)
    monkeypatch.setattr(room, "memory_of_models", lambda: 4 * count_parameters(model) - 1)
    with pytest.raises(
        ConfigurationError, match=f"alone take {4 * count_parameters(model)} bytes; expected a model of"
    ):
        create_model(configuration, rngs=0)


def test_small_models_are_not_counted(monkeypatch):
    monkeypatch.setattr(room, "_bytes_of", lambda *_: pytest.fail("counted"))
    create_model(described("vae.VAE", 784, [512, 256]), rngs=0)


def test_the_memory_is_that_of_the_machine():
    found = room.memory_of_models()
    assert found is None or found > 2**20
