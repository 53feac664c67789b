"""Options of codecs: what is accepted, and what is refused by name."""

import jax
import jax.numpy as jnp
import pytest
from codec_models import Takes

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError, NotFoundError
from modelwright.factory import create_model
from modelwright.modalities import ImageCodec, TextCodec, codec_named


@pytest.mark.parametrize("modality", [{"nam": "image"}, {"name": 3}, 3])
def test_what_is_no_modality_is_refused(modality):
    config = ModelConfiguration(name="x", model_class="modelwright.generative.flow.MAF", input_dim=2, hidden_dims=[4])
    with pytest.raises(ConfigurationError, match=r"modality: not a modality; expected a name, a mapping with a name"):
        create_model(config, rngs=0, modality=modality)


def test_options_of_a_mapping_are_checked():
    config = ModelConfiguration(name="x", model_class="modelwright.generative.flow.MAF", input_dim=2, hidden_dims=[4])
    with pytest.raises(ConfigurationError, match=r"Failed to apply modality 'image': levls: the modality image takes"):
        create_model(config, rngs=0, modality={"name": "image", "levls": 17})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"levels": 1}, "levels: not accepted; expected a whole number from 2 to 65536, got 1"),
        ({"edge": 0.5}, "edge: not accepted; expected a number from 0 to below 0.5, got 0.5"),
        ({"edge": -0.1}, "edge: not accepted"),
        ({"binarize": "half"}, "binarize: not accepted; expected one of threshold, sample, got 'half'"),
        ({"layout": "chw"}, "layout: not accepted; expected one of channels_last, channels_first"),
        ({"levls": 3}, "levls: the modality image takes no such option"),
        ({"families": []}, "families: the modality image takes no such option; expected levels, binarize, edge, "),
        ({"levels": True}, "levels: not accepted; expected a whole number from 2 to 65536, got True"),
        ({"levels": None}, "levels: not accepted; .*, got nothing"),
        ({"edge": "tiny"}, "edge: not accepted; expected a number from 0 to below 0.5, got 'tiny'"),
        ({"edge": None}, "edge: not accepted"),
        ({"edge": [0.1]}, "edge: not accepted"),
        ({"binarize": ["sample"]}, "binarize: not accepted"),
        ({"layout": {"a": 1}}, "layout: not accepted"),
        ({"shape": 3}, "shape: not accepted; expected a list of whole numbers above 0, got 3"),
        ({"shape": "83"}, "shape: not accepted"),
        ({"shape": [8, 0]}, "shape: not accepted"),
        ({"shape": [8, "x"]}, "shape: not accepted"),
        ({"takes": "reals"}, "takes: not accepted; expected one of levels, binary, real, got 'reals'"),
        ({"takes": 3}, "takes: not accepted"),
        ({"takes": None}, "takes: not accepted"),
        ({"shape": None}, "shape: not accepted"),
    ],
)
def test_options_that_are_wrong_are_named(options, message):
    with pytest.raises(ConfigurationError, match=message):
        codec_named("image", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alphabet": None}, "alphabet: not text; expected the characters, each once; empty for bytes, got nothing"),
        ({"alphabet": 123}, "alphabet: not text; .* got 123; write digits in quotes"),
        ({"alphabet": ["a", "b"]}, "alphabet: not text"),
        ({"alphabet": "a\ud800"}, r"alphabet: '\\ud800' is half of a surrogate pair; expected whole characters"),
        ({"length": "long"}, "length: not accepted; expected a whole number, got 'long'"),
        ({"length": -1}, "length: not accepted"),
        ({"length": None}, "length: not accepted"),
    ],
)
def test_options_of_texts_that_are_wrong_are_named(options, message):
    with pytest.raises(ConfigurationError, match=message):
        codec_named("text", **options)


def test_numbers_written_as_text_are_numbers():
    # YAML 1.1 reads 1e-6 as text
    given = codec_named("image", levels="17", edge="1e-6", shape=["2", 3.0, 1])
    assert given == ImageCodec(levels=17, edge=1e-6, shape=(2, 3, 1))
    assert type(given.edge) is float
    assert codec_named("text", length="3").length == 3


@pytest.mark.parametrize("modality", [{"name": "image", 1: 2}, {"name": "image", "shape": 3}, {1: 2, "name": "text"}])
def test_no_mapping_brings_a_fault(modality):
    config = ModelConfiguration(name="x", model_class="modelwright.generative.flow.MAF", input_dim=2, hidden_dims=[4])
    with pytest.raises(ConfigurationError, match=rf"Failed to apply modality '{modality['name']}': (1|shape): "):
        create_model(config, rngs=0, modality=modality)


@pytest.mark.parametrize(
    ("codec", "model", "message"),
    [
        (ImageCodec(shape=(4, 5, 3)), Takes((4, 5, 1)), r"shape: not that of the model, .*; expected \(4, 5, 1\), got"),
        (
            ImageCodec(takes="binary"),
            Takes((2,)),
            "takes: not that of the model, .*; expected real, got 'binary'; leave",
        ),
        (ImageCodec(takes="levels"), Takes((2,), levels=2), "takes: not that of the model"),
        (TextCodec("ab", length=4), Takes((3,), levels=2), "length: not that of the model, .*; expected 3, got 4"),
        (
            ImageCodec(edge=0.1),
            Takes((2,), levels=2),
            "edge: read by nobody: the model takes zeros and ones; expected only with .* real numbers, got 0.1; leave",
        ),
        (ImageCodec(binarize="sample"), Takes((2,)), "binarize: read by nobody: the model takes real numbers"),
        (ImageCodec(levels=4, edge=0.1), Takes((2,), levels=4), "edge: read by nobody: .* the levels themselves"),
        (ImageCodec(binarize="sample", takes="real"), Takes((2,)), "binarize: read by nobody"),
    ],
)
def test_what_would_have_no_effect_is_refused(codec, model, message):
    with pytest.raises(ConfigurationError, match=message):
        codec.fitted(model)


def test_an_edge_that_is_none_is_refused_for_a_new_model_and_read_of_a_stored_one():
    with pytest.raises(ConfigurationError, match=r"edge: so small an edge is none .*; expected .*, got 5e-08"):
        ImageCodec(levels=2, edge=5e-8).fitted(Takes((2,)))
    assert ImageCodec(levels=2, edge=5e-8, shape=(2,), takes="real").fitted(Takes((2,))).edge == 5e-8
    assert ImageCodec(edge=0.1, shape=(2,), takes="binary").fitted(Takes((2,), levels=2)).edge == 0.1


def test_the_smallest_edge_keeps_the_logit_finite(monkeypatch):
    largest = 1.0 - 2.0**-24  # below 1 in single precision
    monkeypatch.setattr(jax.random, "uniform", lambda key, shape: jnp.full(shape, largest))
    codec = ImageCodec(levels=2, edge=1e-7).fitted(Takes((2,)))
    z, log_det = codec.encode(jnp.array([[0, 1]]), jax.random.key(0))
    assert jnp.isfinite(z).all()
    assert jnp.isfinite(log_det).all()


def test_what_is_taken_from_the_model_may_be_said():
    for codec, model in (
        (ImageCodec(levels=17), Takes((3, 2, 1))),
        (ImageCodec(levels=17), Takes((4,), levels=2)),
        (ImageCodec(levels=17), Takes((4,), levels=17)),
        (TextCodec("ab"), Takes((3,), levels=2)),
    ):
        fitted = codec.fitted(model)
        assert fitted != codec
        assert fitted.fitted(model) == fitted


def test_an_unknown_modality_names_the_nearest():
    with pytest.raises(NotFoundError, match=r"no modality is called 'imag'; did you mean 'image'\?"):
        codec_named("imag")
