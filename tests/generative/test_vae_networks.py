"""Encoders and decoders: shapes exactly as configured, every block its own, nothing made late."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from instances import configuration

from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
from modelwright.generative.nets.convolution import ConvolutionDecoder, ConvolutionEncoder
from modelwright.generative.nets.residual import ResidualBlock
from modelwright.generative.protocol import Batch

SHAPES = [(28, 28, 1), (32, 32, 3), (5, 7, 2), (1, 3, 1)]


def shape_of(net, *arguments):
    """Shape of an output, without computing it."""
    graph, state = nnx.split(net)
    return jax.eval_shape(lambda state, *arguments: nnx.merge(graph, state)(*arguments), state, *arguments).shape


@pytest.mark.parametrize("blocks", [0, 1], ids=["cnn", "resnet"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_come_back_in_their_shape(shape, blocks):
    how = {"blocks": blocks, "context": 2, "rngs": nnx.Rngs(0)}
    x, cond = jnp.zeros((3, *shape)), jnp.zeros((3, 2))
    assert shape_of(ConvolutionEncoder(shape, 5, (2, 3, 4), **how), x, cond) == (3, 5)
    grid_encoder = ConvolutionEncoder(shape, 5, (2, 3, 4), to_grid=True, **how)
    assert shape_of(grid_encoder, x, cond) == (3, *grid_encoder.grid, 5)
    for in_shape in ((5,), (*grid_encoder.grid, 5), (6, 5)):
        decoder = ConvolutionDecoder(in_shape, shape, 2, (4, 3, 2), **how)
        assert shape_of(decoder, jnp.zeros((3, *in_shape)), cond) == (3, *shape, 2)


@pytest.mark.parametrize("model_class", ["VAE", "VQVAE"])
@pytest.mark.parametrize("types", [("mlp", "mlp"), ("cnn", "cnn"), ("resnet", "mlp"), ("mlp", "cnn")], ids=str)
def test_every_pair_of_networks_goes_together(model_class, types):
    parameters = {"encoder_type": types[0], "decoder_type": types[1]}
    small = configuration(f"vae.{model_class}", (7, 6, 2), hidden_dims=[3, 2], output_dim=2, parameters=parameters)
    model = create_model(small, rngs=0)
    graph, state = nnx.split(model)
    run = lambda state, x: nnx.merge(graph, state).decode(nnx.merge(graph, state).encode(x))  # noqa: E731
    assert jax.eval_shape(run, state, jnp.zeros((2, 7, 6, 2))).shape == (2, 7, 6, 2)
    assert model.latent_dim == 2


def test_first_and_last_pixels_are_reached():
    # odd sizes are cut on the way up: no row or column may be left without its own output
    decoder = ConvolutionDecoder((2,), (5, 3, 1), 1, (4, 4), activation="tanh", rngs=nnx.Rngs(0))
    found = np.asarray(decoder(jnp.ones((1, 2))))[0, :, :, 0, 0]
    assert len(np.unique(found.round(6))) > 8
    encoder = ConvolutionEncoder((5, 3, 1), 2, (4, 4), activation="tanh", rngs=nnx.Rngs(0))
    slope = jax.grad(lambda x: encoder(x).sum())(jnp.zeros((1, 5, 3, 1)))
    assert (slope != 0).all()


def test_context_changes_outputs():
    encoder = ConvolutionEncoder((4, 4, 1), 2, (3,), context=2, rngs=nnx.Rngs(0))
    decoder = ConvolutionDecoder((2,), (4, 4, 1), 1, (3,), context=2, rngs=nnx.Rngs(0))
    for net, x in ((encoder, jnp.ones((1, 4, 4, 1))), (decoder, jnp.ones((1, 2)))):
        assert (net(x, jnp.array([[1.0, 0.0]])) != net(x, jnp.array([[0.0, 1.0]]))).any()


def test_units_are_left_out_with_a_key_only():
    net = ConvolutionEncoder((4, 4, 1), 2, (8,), blocks=1, dropout_rate=0.5, rngs=nnx.Rngs(0))
    x = jnp.ones((1, 4, 4, 1))
    assert (net(x) == net(x)).all()
    assert (net(x, None, jax.random.key(0)) != net(x, None, jax.random.key(1))).any()


def test_blocks_begin_apart_and_nothing_is_made_late():
    net = ConvolutionEncoder((4, 4, 1), 2, (4,), blocks=2, rngs=nnx.Rngs(0))
    first, second = net.blocks[0]
    assert (first.first.kernel[...] != second.first.kernel[...]).any()
    before = jax.tree.structure(nnx.state(net))
    net(jnp.ones((1, 4, 4, 1)))
    assert jax.tree.structure(nnx.state(net)) == before


@pytest.mark.parametrize("model_class", ["VAE", "VQVAE"])
def test_a_loss_makes_no_parameters(model_class):
    model = create_model(configuration(f"vae.{model_class}", (4,), hidden_dims=[3], output_dim=2), rngs=0)
    before = jax.tree.structure(nnx.state(model))
    model.loss(Batch(jnp.ones((2, 4))), key=jax.random.key(0), step=jnp.asarray(0))
    assert jax.tree.structure(nnx.state(model)) == before


def test_networks_run_in_the_precision_of_their_parameters():
    encoder = ConvolutionEncoder((4, 4, 1), 2, (3,), blocks=1, context=1, rngs=nnx.Rngs(0))
    nnx.update(encoder, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), nnx.state(encoder)))
    assert encoder(jnp.ones((1, 4, 4, 1)), jnp.ones((1, 1))).dtype == jnp.bfloat16


def test_a_residual_block_begins_near_its_input():
    h = jax.random.normal(jax.random.key(0), (2, 6, 6, 8))
    inner = ResidualBlock(8, 3, rngs=nnx.Rngs(0))(h) - h
    assert 0 < float(inner.std()) < 0.5  # of inputs of 1; sqrt(0.1 / 4) is expected of two relus and the small start


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_begin_puts_the_mean_of_the_data_out(kind):
    generator = np.random.default_rng(0)
    x = jnp.asarray(generator.random((500, 6, 4, 2)) < generator.uniform(0.0, 1.0, (6, 4, 2)), jnp.float32)
    parameters = {"encoder_type": kind}
    model = create_model(
        configuration("vae.VAE", (6, 4, 2), hidden_dims=[4], output_dim=2, parameters=parameters), rngs=0
    )
    model.begin(Batch(x), key=jax.random.key(0))
    # the last layer without its weights puts out its bias: one for each number, or one for each channel
    last = model.decoder.net.layers[-1] if kind == "mlp" else model.decoder.last
    last.kernel[...] = jnp.zeros_like(last.kernel[...])
    over = 0 if kind == "mlp" else (0, 1, 2)
    n = 500 if kind == "mlp" else 500 * 24
    expected = (np.asarray(x).sum(over) + 1) / (n + 2)  # one 1 and one 0 more than there are
    found = model.decode(jnp.ones((3, 2)))
    np.testing.assert_allclose(found, np.broadcast_to(expected, found.shape), rtol=1e-4)  # single precision


def test_training_refuses_greys():
    model = create_model(configuration("vae.VAE", (4,), hidden_dims=[3], output_dim=2), rngs=0)
    with pytest.raises(ConfigurationError, match=r"expected 0 or 1, got 0\.25"):
        model.check(Batch(jnp.full((2, 4), 0.25)))


REFUSED = {
    "kernel of a dense network": ({"kernel_size": 5}, "kernel_size: VAE does not use this"),
    "blocks of plain convolutions": (
        {"encoder_type": "cnn", "residual_blocks": 2},
        "residual_blocks: VAE does not use this",
    ),
    "levels of bernoulli": ({"levels": 4}, "levels: VAE does not use this"),
    "scale of bernoulli": ({"observation_scale": 0.1}, "observation_scale: VAE does not use this"),
    "a misspelt name": ({"encoder_typ": "cnn"}, "did you mean 'encoder_type'"),
    "a misspelt choice": ({"encoder_type": "cn"}, "did you mean 'cnn'"),
    "importance weights and a weight": ({"training_draws": 5, "beta": 2.0}, "leave no divergence to be weighted"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_used_is_refused(name):
    parameters, words = REFUSED[name]
    with pytest.raises(ConfigurationError, match=words):
        create_model(configuration("vae.VAE", (4, 4, 1), hidden_dims=[3], output_dim=2, parameters=parameters), rngs=0)


def test_convolutions_of_vectors_are_refused():
    with pytest.raises(ConfigurationError, match="convolutions are of images; expected height, width and channels"):
        create_model(configuration("vae.VAE", (4,), parameters={"encoder_type": "cnn"}), rngs=0)
