"""What small trained models answer: on numbers at the edge of the device's, on contexts, on data that changed."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from modelwright.catalog.generative_answers import drawn, held_out_nats, log_probabilities
from modelwright.catalog.generative_model import GenerativeModel
from modelwright.catalog.zoo_models import metadata_of
from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import CapabilityError, DataError
from modelwright.data.examples import Examples, load_examples
from modelwright.factory import create_model
from modelwright.modalities import ImageCodec, TextCodec
from modelwright.zoo import Zoo

ENTRY = """
name: mine
model_class: modelwright.generative.flow.MAF
type: flow
description: A small one.
input_dim: 2
hidden_dims: [4]
parameters: {parameters}
metadata: {{training_defaults: {{steps: 2, batch_size: 8}}}}
expected: {{construction_only: it is only looked at}}
"""


def made(model, shape, modality=None, **parameters):
    config = ModelConfiguration(
        name="x",
        model_class=f"modelwright.generative.{model}",
        input_dim=shape,
        hidden_dims=[4],
        parameters=parameters,
        **({"output_dim": 2} if model.startswith("vae") else {}),
    )
    return create_model(config, rngs=0, modality=modality)


def catalogued(folder, parameters="{}"):
    (folder / "zoo" / "toy").mkdir(parents=True)
    (folder / "zoo" / "toy" / "mine.yaml").write_text(ENTRY.format(parameters=parameters), encoding="utf-8")
    zoo = Zoo([folder / "zoo"])
    return GenerativeModel("mine", metadata_of(zoo.entry("mine")), folder, zoo)


def trained(model, path):
    model.train(model.load_data(data=str(path)), data_options={"data": str(path)})


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A model trained on a file, and the file."""
    folder = tmp_path_factory.mktemp("project")
    path = folder / "points.npy"
    np.save(path, np.random.default_rng(0).normal(size=(40, 2)))
    model = catalogued(folder)
    trained(model, path)
    return model, path


def test_whole_numbers_beyond_the_device_are_asked_about_as_they_are():
    model = made("flow.MAF", 2)
    large, wrapped = np.array([[2**32 + 5, 1]]), np.array([[5, 1]])
    found = log_probabilities(model, Examples(large), limit=None).value
    assert found[0] == log_probabilities(model, Examples(large.astype(np.float32)), limit=None).value[0]
    assert found[0] != log_probabilities(model, Examples(wrapped), limit=None).value[0]


def test_what_a_solver_does_not_reach_is_said():
    model = made("flow.ContinuousFlow", 2, max_steps=2, rtol=1e-9, atol=1e-9)
    with pytest.raises(DataError, match=r"8 of 8 samples are no numbers; train .*, or raise parameters.max_steps"):
        drawn(model, 8, seed=0, label=None)
    found = held_out_nats(model, Examples(np.zeros((3, 2))))
    assert (math.isnan(found.nats), found.lost) == (True, 3)
    assert found.sentence.endswith(
        "3 of 3 have no log probability: the model gives no number; raise parameters.max_steps."
    )


def test_numbers_beyond_single_precision_are_refused():
    with pytest.raises(
        DataError, match=r"data: 1 numbers are beyond single precision, .*, got 1e\+300; scale the data"
    ):
        log_probabilities(made("flow.MAF", 2), Examples(np.array([[1e300, 0.0]])), limit=None)


def test_numbers_that_the_model_does_not_know_are_refused():
    with pytest.raises(DataError, match="data: numbers that the model does not know"):
        log_probabilities(made("autoregressive.MADE", 2), Examples(np.array([[0, 7]])), limit=None)


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (np.array(["a", "b"]), "labels: labels that are no numbers; expected numbers, got '<U1'"),
        (np.array([0.5, 1.0]), "labels: labels that are no whole numbers; expected whole numbers from 0 to 2"),
        (np.array([0.0, np.nan]), "labels: labels that are no whole numbers"),
        (np.array([0, 3]), "labels: labels that the model does not know; .* from 0 to 2, got '0 to 3'"),
        (np.array([0, 2**32 + 1]), "labels: labels that the model does not know"),  # 1, where 32 bits are left of it
        (np.array([0, -1]), "labels: labels that the model does not know"),
    ],
)
def test_labels_that_are_none_are_refused(labels, sentence):
    with pytest.raises(DataError, match=sentence):
        log_probabilities(made("flow.MAF", 2, n_classes=3), Examples(np.zeros((2, 2)), labels), limit=None)


def test_labels_that_are_whole_are_taken_whatever_their_type():
    model = made("flow.MAF", 2, n_classes=3)
    found = [
        log_probabilities(model, Examples(np.zeros((2, 2)), np.array([2, 0], kind)), limit=1).value.tolist()
        for kind in (np.int64, np.uint8, float)
    ]
    assert found[0] == found[1] == found[2]


def test_labels_that_the_model_does_not_ask_for_are_left_alone():
    found = log_probabilities(made("flow.MAF", 2), Examples(np.zeros((2, 2)), np.array(["a", "b"])), limit=None)
    assert found.value.shape == (2,)


def test_an_example_of_which_the_log_probability_is_no_number_is_the_most_surprising(project, tmp_path):
    model, _ = project
    x = np.random.default_rng(1).normal(size=(12, 2))
    x[7] = 3e38
    np.save(tmp_path / "x.npy", x)
    scored = model.score({"data": str(tmp_path / "x.npy")})
    assert scored.frame["example"][0] == 7
    assert math.isnan(scored.frame["surprise"][0])


def test_of_a_text_windows_are_counted():
    text = "abcabcbacb" * 10
    reached = held_out_nats(made("autoregressive.MADE", 8, TextCodec("abc"), levels=3), Examples(text))
    assert (reached.n, reached.windows_of) == (12, 8)
    assert reached.sentence.startswith("On 12 windows of 8 symbols held out: ")


def test_what_the_log_probabilities_are_of_is_said():
    model = made("vae.VAE", (2, 3, 1), ImageCodec(levels=8))
    x = np.random.default_rng(0).integers(0, 8, (5, 2, 3, 1))
    reached = held_out_nats(model, Examples(x))
    assert reached.n == 5
    assert reached.of == log_probabilities(model, Examples(x), limit=None).of != ""
    assert reached.sentence.endswith(f"(a lower bound of the log probability), of {reached.of}.")


def test_one_example_has_no_standard_error():
    assert math.isnan(held_out_nats(made("flow.MAF", 2), Examples(np.zeros((1, 2)))).error)


def test_samples_are_drawn_in_the_contexts_that_are_given():
    model = made("flow.MAF", 2, context_dim=3)
    contexts = np.random.default_rng(0).normal(size=(2, 3))
    found = drawn(model, 5, seed=0, label=None, contexts=contexts)
    inner = jnp.asarray(contexts)[jnp.array([0, 1, 0, 1, 0])]
    np.testing.assert_allclose(found, drawn(model, 5, seed=0, label=None, contexts=inner), rtol=1e-6)
    assert found.shape == (5, 2)


def test_many_samples_are_drawn_a_block_at_a_time(monkeypatch):
    monkeypatch.setattr("modelwright.catalog.generative_answers.BLOCK", 4)
    model = made("flow.MAF", 2, n_classes=3)
    asked = []
    monkeypatch.setattr(
        type(model),
        "sample",
        lambda self, n, *, key, cond: asked.append(n) or jax.random.normal(key, (n, 2)) + cond[:, None],
    )
    found = drawn(model, 10, seed=0, label=None)
    assert found.shape == (10, 2)
    assert asked == [4]  # one program, whatever the number of blocks and the size of the last
    assert len(np.unique((found - np.arange(10)[:, None] % 3).round(4))) == 20  # every block draws anew
    np.testing.assert_array_equal(drawn(model, 7, seed=0, label=None), found[:7])
    cond = jnp.arange(4) % 3
    np.testing.assert_allclose(found[:4], model.sample(4, key=jax.random.key(0), cond=cond), rtol=1e-6)


def test_a_model_of_contexts_is_trained_to_its_end_and_says_that_it_cannot_be_sampled_without(tmp_path):
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=generator.normal(size=(40, 2)), y=generator.normal(size=(40, 3)))
    model = catalogued(tmp_path, "{context_dim: 3}")
    trained(model, tmp_path / "x.npz")
    with pytest.raises(CapabilityError, match="the model is conditioned on vectors of 3 numbers, and none are given"):
        model.sample(3)


@pytest.mark.parametrize("whole", [True, False], ids=["all", "one held out"])
def test_what_was_held_out_is_not_asked_of_data_that_changed(project, whole):
    model, path = project
    before = model.answer({"limit": 2})
    assert "held out of the training" in before["notes"][0]
    kept = path.read_bytes()
    x = np.load(path)
    x[... if whole else load_examples(str(path)).test.rows[0]] += 1.0
    np.save(path, x)
    try:
        for ask in (lambda: model.answer({"limit": 2}), lambda: model.score({})):
            with pytest.raises(DataError, match=r"points\.npy has changed since the training.*--data names the data"):
                ask()
        named = model.answer({"limit": 2, "data": str(path)})  # named, they are what they are
        assert len(named["predictions"]) == 2
    finally:
        path.write_bytes(kept)
    assert model.answer({"limit": 2})["predictions"] == before["predictions"]
