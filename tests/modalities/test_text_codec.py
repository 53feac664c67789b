"""Texts: there and back, vocabularies, and models that are trained on a text and go on with one."""

import os
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from codec_models import Takes
from flax import nnx

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import CapabilityError, ConfigurationError, DataError
from modelwright.factory import create_model
from modelwright.generative.training import Trainer, TrainingSettings, Windows
from modelwright.generative.training.examples import as_examples
from modelwright.modalities import AdaptedModel, ImageCodec, TextCodec


@pytest.fixture(scope="module")
def of_text():
    config = ModelConfiguration(
        name="x",
        model_class="modelwright.generative.autoregressive.Transformer",
        input_dim=6,
        hidden_dims=[4],
        parameters={"vocabulary": 3, "n_layers": 1, "n_heads": 1},
    )
    return create_model(config, rngs=0, modality=TextCodec("abc"))


def test_a_training_takes_a_text(of_text):
    examples = as_examples("abcabba", of_text)
    assert isinstance(examples, Windows)
    assert (examples.sequence.tolist(), examples.length) == ([0, 1, 2, 0, 1, 1, 0], 6)
    assert as_examples(["abcabb", "bbbbbb"], of_text).x.tolist() == [[0, 1, 2, 0, 1, 1], [1] * 6]
    with pytest.raises(DataError, match=r"data: there are no examples"):
        as_examples("ab", of_text)
    with pytest.raises(DataError, match=r"data: not an array of numbers"):
        as_examples("abcabba", of_text.inner)


def test_a_text_held_out_is_looked_at_in_windows_that_follow_each_other(of_text):
    text = "abcabbacbbcabca"
    train, found = as_examples(text, of_text), []
    for held_out in (text, [text[:6], text[6:12]]):
        model = nnx.clone(of_text)
        found.append(Trainer(model, TrainingSettings(batch_size=4)).fit(train, steps=1, eval_data=held_out).evaluations)
    assert found[0] == found[1]


def test_texts_come_back_as_they_were():
    text = "to be, or not to be"
    codec = TextCodec.of(text)
    assert codec.present(codec.prepare(text)) == [text]
    assert TextCodec().present(TextCodec().prepare("naïve")) == ["naïve"]


@pytest.mark.parametrize("codec", [TextCodec(), TextCodec("abc")], ids=["bytes", "characters"])
def test_symbols_beyond_the_vocabulary_show_as_a_mark(codec):
    codec = replace(codec, length=4).fitted(Takes((4,), levels=300))  # fitted before: models of more symbols are stored
    known = codec.prepare("abca")
    for odd in (codec.vocabulary, 299, 256 + known[1], -1):
        row = known.copy()
        row[1] = odd
        assert codec.present(row) == ["a\ufffdca"]
        assert codec.present(row.astype(float)) == ["a\ufffdca"]
    for odd in (known[1] + 0.5, np.nan, np.inf):
        assert codec.present(np.array([known[0], odd, known[2], known[3]])) == ["a\ufffdca"]


def test_an_alphabet_need_not_be_in_order():
    codec = TextCodec("cba")
    assert codec.prepare("abc").tolist() == [2, 1, 0]


def test_a_character_that_is_unknown_is_named():
    with pytest.raises(DataError, match=r"data: the character 'z' at place 3 is not in the vocabulary"):
        TextCodec.of("abc").prepare("abcz")


def test_rows_of_text_have_the_models_length():
    codec = TextCodec.of("ab").fitted(Takes((3,), levels=2, family="autoregressive"))
    assert codec.prepare(["aba", "bab"]).tolist() == [[0, 1, 0], [1, 0, 1]]
    with pytest.raises(DataError, match=r"data: a text of another length than the model's; expected 3 symbols"):
        codec.prepare(["ab"])
    with pytest.raises(DataError, match=r"data: no text; expected a text, or a list of texts, got 'list'"):
        codec.prepare([1, 2])


def test_a_model_has_to_know_all_symbols():
    with pytest.raises(ConfigurationError, match=r"parameters.vocabulary: the model knows fewer symbols"):
        TextCodec.of("abc").fitted(Takes((3,), levels=2))
    with pytest.raises(ConfigurationError, match=r"parameters.vocabulary: the model knows more .* expected 3, got 4"):
        TextCodec.of("abc").fitted(Takes((3,), levels=4))


def test_half_of_a_surrogate_pair_is_no_character():
    # as open(..., errors="surrogateescape") leaves bytes that are no UTF-8
    with pytest.raises(DataError, match=r"data: the character '\\udce9' at place 2 is half of a surrogate pair"):
        TextCodec().prepare("na\udce9ve")
    with pytest.raises(DataError, match=r"data: the character '\\udce9' at place 2 is not in the vocabulary"):
        TextCodec("naive").prepare("na\udce9ve")


@pytest.mark.parametrize("text", ["", None, b"abc"])
def test_no_text_has_no_alphabet(text):
    with pytest.raises(DataError, match=r"text: no characters to make an alphabet of; .* TextCodec\(\) is"):
        TextCodec.of(text)


def test_a_character_twice_is_refused():
    with pytest.raises(ConfigurationError, match=r"alphabet: the character 'a' stands twice"):
        TextCodec("aba")


SYMBOLS = "from modelwright.modalities import TextCodec; print(TextCodec.of('hello world').prepare('world').tolist())"


def test_symbols_are_the_same_in_every_process():
    # Python salts its hashes: what follows from them differs from one process to the next
    found = {
        subprocess.run(
            [sys.executable, "-c", SYMBOLS], check=True, capture_output=True, env={**os.environ, "PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert len(found) == 1


def test_what_has_no_latent_says_so(of_text):
    assert of_text.latent_dim is None
    assert AdaptedModel(Takes((1,)), ImageCodec()).latent_dim == 7


def test_a_text_is_continued_through_its_codec(of_text):
    key = jax.random.key(0)
    found = of_text.continue_from("ab", 4, key=key, temperature=0.5, top_k=2)
    inside = of_text.inner.continue_from(jnp.array([[0, 1]]), 4, key=key, temperature=0.5, top_k=2)
    assert (found == inside).all()
    (text,) = of_text.codec.present(np.asarray(found))
    assert (text[:2], len(text)) == ("ab", 6)
    several = of_text.continue_from(["ab", "cc"], 4, key=key)
    assert (several == of_text.continue_from(np.array([[0, 1], [2, 2]]), 4, key=key)).all()


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("ad", "data: the character 'd' at place 1 is not in the vocabulary"),
        (["ab", "a"], "prompt: texts of unequal lengths; expected 2 symbols in each, as in the first, got 1"),
        ([], "prompt: no text; expected a text, or a list of texts, got 'list'"),
        ([1, 2], "prompt: no text"),
    ],
)
def test_a_prompt_that_is_no_text_is_refused(of_text, prompt, message):
    with pytest.raises(DataError, match=message):
        of_text.continue_from(prompt, 1, key=jax.random.key(0))


def test_what_a_codec_cannot_bring_to_raw_data_refuses_and_names_the_model_inside():
    model = AdaptedModel(Takes((1,)), ImageCodec())
    with pytest.raises(CapabilityError, match=r"model.inner, a Takes, has no continue_from; choose .*Transformer"):
        model.continue_from(np.zeros((1, 1), int), 2, key=jax.random.key(0))
    with pytest.raises(
        CapabilityError, match=r"what Takes draws is not that of raw data; ask model.inner for sample_with"
    ):
        model.sample_with_log_prob(2, key=jax.random.key(0))
