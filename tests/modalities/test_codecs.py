"""Codecs: there and back, log-determinants against automatic differentiation, probabilities in the data's own units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from codec_models import Takes

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.factory import create_model
from modelwright.generative.evaluation.likelihood import bits_per_dim
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import Batch
from modelwright.generative.training import Rows, Trainer, TrainingSettings
from modelwright.generative.training.examples import as_examples
from modelwright.modalities import AdaptedModel, ImageCodec, TextCodec, codec_from_document

IMAGES = np.random.default_rng(0).integers(0, 17, (6, 3, 2, 1))


def test_the_log_determinant_is_that_of_the_jacobian():
    codec = ImageCodec(levels=17, edge=0.01).fitted(Takes((3, 2, 1)))
    key = jax.random.key(1)
    with jax.enable_x64(True):
        z, log_det = codec.encode(jnp.asarray(IMAGES[:1]), key)
        y = jax.nn.sigmoid(z[0].ravel())
        # the same way from numbers in [0, levels), whose Jacobian is diagonal
        raw = (y - codec.edge) / (1.0 - 2.0 * codec.edge) * codec.levels

        def whole(raw):
            inside = codec.edge + (1.0 - 2.0 * codec.edge) * raw / codec.levels
            return jnp.log(inside) - jnp.log1p(-inside)

        exact = jnp.linalg.slogdet(jax.jacobian(whole)(raw))[1]
    assert abs(float(exact - log_det[0])) < 1e-4  # single precision inside


@pytest.mark.parametrize("edge", [0.0, 1e-6, 0.05])
def test_images_come_back_as_they_were(edge):
    codec = ImageCodec(levels=17, edge=edge).fitted(Takes((3, 2, 1)))
    z, _ = codec.encode(jnp.asarray(IMAGES), jax.random.key(0))
    assert (np.asarray(codec.decode(z)) == IMAGES).all()


def test_the_mean_over_the_gaps_is_the_probability_of_a_whole_number():
    # logistic density of the logit of a uniform number is uniform: every level has probability 1/17 exactly
    codec = ImageCodec(levels=17, edge=0.0)
    model = AdaptedModel(Takes((1,)), ImageCodec(levels=17, edge=1e-7))
    x = jnp.arange(17)[:, None]
    found = model.log_prob(x, key=jax.random.key(2))
    assert found.kind == "bound"
    np.testing.assert_allclose(found.value, -np.log(17.0), atol=1e-4)  # single precision
    assert codec.kind_of("exact") == "exact"  # nothing is known of a model that it was not fitted to


def test_what_a_model_takes_decides():
    assert ImageCodec(levels=17).fitted(Takes((2,), levels=17)).takes == "levels"
    assert ImageCodec(levels=17).fitted(Takes((2,), levels=2)).takes == "binary"
    assert ImageCodec(levels=17).fitted(Takes((2,))).takes == "real"
    with pytest.raises(ConfigurationError, match=r"levels: images and model differ in how many values"):
        ImageCodec(levels=17).fitted(Takes((2,), levels=5))


def test_images_become_black_and_white_at_half_or_by_chance():
    x = jnp.array([[0, 8, 9, 16]])
    half = ImageCodec(levels=17).fitted(Takes((4,), levels=2))
    assert half.encode(x, jax.random.key(0))[0].tolist() == [[0.0, 0.0, 1.0, 1.0]]
    chance = ImageCodec(levels=17, binarize="sample").fitted(Takes((4,), levels=2))
    draws = jnp.stack([chance.encode(x, jax.random.key(k))[0][0] for k in range(500)])
    # four standard errors of a share of 500
    np.testing.assert_allclose(draws.mean(0), x[0] / 16, atol=4 * 0.5 / np.sqrt(500))


def test_what_is_said_of_black_and_white_is_not_said_of_greys():
    config = ModelConfiguration(
        name="x", model_class="modelwright.generative.autoregressive.MADE", input_dim=1, hidden_dims=[4]
    )
    raw = jnp.arange(256)[:, None]
    half = create_model(config, rngs=0, modality="image").log_prob(raw)
    drawn = create_model(config, rngs=0, modality={"name": "image", "binarize": "sample"}).log_prob(raw)
    plain = create_model(config, rngs=0, modality={"name": "image", "levels": 2}).log_prob(raw[:2])
    assert (half.kind, drawn.kind, plain.kind) == ("exact", "bound", "exact")
    assert str(bits_per_dim(half, (1,))).endswith("of the image in black and white, split at half of the levels")
    assert plain.of == ""
    with pytest.raises(ConfigurationError, match=r"of: probabilities of different things do not compare"):
        half.minus(LogProb(half.value, "exact"))


def test_channels_first_are_turned_at_the_door():
    codec = ImageCodec(layout="channels_first").fitted(Takes((4, 5, 3)))
    raw = np.random.default_rng(1).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    inside = codec.prepare(raw)
    assert inside.shape == (2, 4, 5, 3)
    assert (codec.present(inside) == raw).all()


def test_what_is_prepared_stays_as_it_is():
    raw = np.random.default_rng(1).integers(0, 256, (2, 3, 4, 5)).astype(np.uint8)
    for layout, images in (("channels_first", raw), ("channels_last", np.moveaxis(raw, 1, -1))):
        codec = ImageCodec(layout=layout).fitted(Takes((4, 5, 3)))
        assert (codec.prepare(codec.prepare(images)) == np.moveaxis(raw, 1, -1)).all()
    grey = ImageCodec(layout="channels_first").fitted(Takes((4, 5, 1)))
    assert (grey.prepare(raw[:, 0]) == raw[:, 0, ..., None]).all()
    symbols = TextCodec.of("abc").prepare("cab")
    assert TextCodec.of("abc").prepare(jnp.asarray(symbols)).tolist() == symbols.tolist() == [2, 0, 1]


def test_a_training_takes_images_in_the_layout_of_the_codec():
    raw = np.random.default_rng(1).integers(0, 17, (16, 3, 2, 4))
    config = ModelConfiguration(
        name="x", model_class="modelwright.generative.vae.VAE", input_dim=(2, 4, 3), hidden_dims=[4], output_dim=2
    )
    modality = {"name": "image", "levels": 17, "layout": "channels_first"}
    settings, found = TrainingSettings(batch_size=8), []
    for data in (raw, jnp.asarray(raw), Rows(jnp.asarray(np.moveaxis(raw, 1, -1)))):
        model = create_model(config, rngs=0, modality=modality)
        assert model.latent_dim == 2
        found.append(Trainer(model, settings).fit(data, steps=1, eval_data=data).evaluations)
    assert found[0] == found[1] == found[2]
    with pytest.raises(DataError, match=r"data: images of another shape; .* make the codec with layout=\"channels_f"):
        Trainer(create_model(config, rngs=0, modality="image")).fit(raw, steps=1)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 2, 4), r"channels come last: numpy.moveaxis\(data, 1, -1\), or a modality with layout='channels_first'"),
        ((24,), "reshape the data if their numbers are in this order, or set input_dim to their shape"),
        ((2, 4), "got .*; set input_dim to their shape"),
    ],
)
def test_examples_of_another_shape_are_told_what_to_do(shape, message):
    with pytest.raises(DataError, match=message):
        as_examples(np.zeros((5, *shape)), Takes((2, 4, 3)))


def test_latents_pass_through_the_codec():
    model = AdaptedModel(Takes((2,), levels=5), ImageCodec(levels=5))
    assert model.encode(jnp.array([[0, 4]])).tolist() == [[0, 4]]
    found = model.decode(jnp.array([[3.9, 0.4]]))  # means of whole numbers, which cutting off would make smaller
    assert found.tolist() == [[4, 0]]
    assert found.dtype == jnp.int32
    key = jax.random.key(4)
    assert (model.decode(jnp.full((1, 2), 2.6), key=key) == jnp.round(2.6 + jax.random.uniform(key, (1, 2)))).all()


def test_the_noise_in_the_gaps_is_not_that_of_the_model():
    model = AdaptedModel(Takes((2,)), ImageCodec(levels=1 + 1, edge=0.0))
    x, key = jnp.zeros((1, 2), jnp.int32), jax.random.key(4)
    in_gaps = model.encode(x)  # the model adds nothing without a key
    assert (in_gaps > 0).all()
    # with one key for both, noise halved less noise
    noise = jax.random.uniform(key, (1, 2))
    assert (model.encode(x, key=key) != noise / 2 - noise).all()
    model.begin(Batch(x), key=key)
    assert (model.inner.began_with[...] != noise / 2 - noise).all()


def test_grey_images_may_lack_an_axis_of_channels():
    codec = ImageCodec().fitted(Takes((4, 5, 1)))
    assert codec.prepare(np.full((2, 4, 5), 7, np.uint8)).shape == (2, 4, 5, 1)
    assert ImageCodec().fitted(Takes((20,))).prepare(np.full((2, 4, 5), 7, np.uint8)).shape == (2, 20)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (
            np.full((1, 2), 0.5),
            r"data: images of fractions; expected whole numbers from 0 to 255, got 'numbers such",
        ),
        (
            np.full((1, 2), 256),
            r"data: numbers outside of the levels; expected whole numbers from 0 to 255, got '256",
        ),
        (np.full((1, 2), -1), r"data: numbers outside of the levels"),
        (
            np.eye(2, dtype=int),
            r"data: nothing but zeros and ones: nearly black images; expected whole numbers up to 255",
        ),
        (np.zeros((1, 3), int), r"data: images of another shape; expected \(n, 2\), got \(1, 3\)"),
        ([[1, 2], [3]], "data: images of unequal shapes; expected an array of numbers"),
    ],
)
def test_other_numbers_are_no_images(raw, message):
    with pytest.raises(DataError, match=message):
        ImageCodec().fitted(Takes((2,))).prepare(raw)


def test_a_single_number_is_no_image():
    with pytest.raises(DataError, match=r"data: images of another shape; expected \(n, 1\), got \(\)"):
        ImageCodec().fitted(Takes((1,))).prepare(5)


def test_black_images_are_images():
    black = np.zeros((2, 2), np.uint8)
    assert ImageCodec().fitted(Takes((2,))).prepare(black).tolist() == black.tolist()
    half = np.eye(2, dtype=int)  # of three levels, 1 is half of white
    assert ImageCodec(levels=3).fitted(Takes((2,))).prepare(half).tolist() == half.tolist()


@pytest.mark.parametrize("levels", [None, 2, 17], ids=["real", "binary", "levels"])
def test_what_is_no_number_is_not_shown_as_black(levels):
    codec = ImageCodec(levels=17).fitted(Takes((2,), levels=levels))
    decoded = jax.jit(codec.decode)(jnp.array([[jnp.nan, 1.0]]))
    assert (decoded < 0).tolist() == [[True, False]]
    with pytest.raises(DataError, match=r"x: 1 numbers of images are missing; .*if a model drew them, it has diverged"):
        codec.present(np.asarray(decoded))


@pytest.mark.parametrize(
    "codec", [ImageCodec(levels=17, edge=0.1).fitted(Takes((2, 2, 1))), TextCodec.of("hello")], ids=["image", "text"]
)
def test_codecs_come_back_from_their_description(codec):
    assert codec_from_document(codec.to_document()) == codec


def test_a_modality_that_does_not_go_with_a_family_says_with_which_it_does():
    flow = ModelConfiguration(name="x", model_class="modelwright.generative.flow.RealNVP", input_dim=4)
    with pytest.raises(ConfigurationError, match=r"Failed to apply modality 'text': .*goes with autoregressive"):
        create_model(flow, rngs=0, modality="text")


def test_losses_are_in_the_units_of_the_data():
    model_class = "modelwright.generative.flow.RealNVP"
    config = ModelConfiguration(name="x", model_class=model_class, input_dim=(4,), hidden_dims=[4])
    model = create_model(config, rngs=0, modality="image")
    batch, key = Batch(jnp.array([[0, 1, 2, 255], [9, 8, 7, 6]])), jax.random.key(3)
    loss = model.objectives()[0].loss(model, batch, key, jnp.asarray(0)).value
    assert float(loss) == pytest.approx(float(model.loss(batch, key=key, step=jnp.asarray(0)).value), rel=1e-6)
    assert float(loss) == pytest.approx(float(model.held_out_loss(batch, key=key).value), rel=1e-6)


def test_an_adapted_model_is_not_the_model_unchanged():
    config = ModelConfiguration(
        name="x", model_class="modelwright.generative.flow.RealNVP", input_dim=(4,), hidden_dims=[4]
    )
    plain, adapted = create_model(config, rngs=0), create_model(config, rngs=0, modality="image")
    x = jnp.array([[0, 1, 2, 255]])
    assert float(plain.log_prob(x.astype(float)).value[0]) != float(adapted.log_prob(x).value[0])
    assert adapted.sample(3, key=jax.random.key(0)).dtype == jnp.int32
    assert type(adapted.inner) is type(plain)


@pytest.mark.parametrize(
    "codec",
    [
        ImageCodec(levels=8).fitted(Takes((2,))),
        ImageCodec(levels=8).fitted(Takes((2,), levels=2)),
        ImageCodec(levels=8, binarize="sample").fitted(Takes((2,), levels=2)),
        ImageCodec(levels=8).fitted(Takes((2,), levels=8)),
        TextCodec("abcdefgh").fitted(Takes((2,), levels=8)),
    ],
    ids=["real", "threshold", "by chance", "levels", "text"],
)
def test_what_is_no_example_has_no_probability(codec):
    # bytes have no 300, so that the numbers are floats: as they are, scaled, beyond both ends, missing
    x = jnp.array([[0.0, 7.0], [0.9, 3.0], [3.0, 8.0], [-1.0, 0.0], [jnp.nan, 1.0], [300.0, 0.0]])
    z, log_det = codec.encode(x, jax.random.key(0))
    assert jnp.isfinite(log_det).tolist() == [True] + [False] * 5
    assert (log_det[1:] == -jnp.inf).all()
    assert jnp.isfinite(z).all()  # so that the model's own log probability does not make NaN of it


def test_models_with_a_codec_refuse_what_is_no_example():
    model = AdaptedModel(Takes((2,), levels=8), ImageCodec(levels=8))
    scaled = jnp.array([[0.0, 0.9]])
    assert float(model.log_prob(scaled).value[0]) == -np.inf
    for asked in (model.encode, lambda x: model.check(Batch(x))):
        with pytest.raises(ConfigurationError, match=r"x: data outside of what .* from 0 to 7, got 0.899"):
            asked(scaled)
