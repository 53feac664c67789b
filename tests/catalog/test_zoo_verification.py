"""What is found of entries that are too large to be trained: one step, and answers of the right shapes."""

import jax.numpy as jnp
import pytest
from flax import nnx

from modelwright.catalog.zoo_verification import TRACED_BEYOND, answers_finding, verified
from modelwright.core.progress import ignore_progress
from modelwright.core.verdict import Grade
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.zoo import Zoo

ENTRY = """
name: mine
model_class: modelwright.generative.{model}
type: {type}
description: A small one.
input_dim: 3
hidden_dims: [4]
parameters: {parameters}
expected: {{construction_only: it is only looked at}}
"""


class Answering(AbstractGenerativeModel):
    """Answers with what it is given."""

    family = "autoregressive"
    offers = frozenset({"sample", "log_prob"})

    def __init__(self, size, samples, log_probs):
        self.weight = nnx.Param(jnp.ones(()))
        self.example_shape = (size,)
        self.answers = nnx.data((samples, log_probs))

    def sample(self, n, *, key, cond=None):
        return self.answers[0] * self.weight[...]

    def log_prob(self, x, *, key=None, cond=None):
        return LogProb(self.answers[1] * self.weight[...], "exact")


@pytest.mark.parametrize(
    ("model", "parameters"),
    [
        pytest.param("vae.VAE", "{likelihood: gaussian}", marks=pytest.mark.slow),
        ("vae.CVAE", "{n_classes: 3}"),
        pytest.param("flow.MAF", "{context_dim: 2}", marks=pytest.mark.slow),
        ("autoregressive.MADE", "{}"),
    ],
)
def test_an_entry_of_any_family_is_asked(tmp_path, model, parameters):
    (tmp_path / "toy").mkdir()
    family = model.partition(".")[0]
    text = ENTRY.format(model=model, type=family, parameters=parameters)
    (tmp_path / "toy" / "mine.yaml").write_text(text, encoding="utf-8")
    found = verified("mine", data=None, seed=0, progress=ignore_progress, entries=Zoo([tmp_path]))
    construction, answers = found.verdict.findings
    assert found.verdict.grade is Grade.GOOD
    assert "it is only looked at" in construction.sentence
    assert answers.sentence == "sample of shape (2, 3); log_prob of shape (2,)"


@pytest.mark.parametrize(
    ("samples", "log_probs", "sentence"),
    [
        (jnp.zeros((2, 4)), jnp.zeros(2), r"sample of shape (2, 4) in place of (2, 3)"),
        (jnp.zeros((2, 3)), jnp.zeros((2, 3)), r"log_prob of shape (2, 3) in place of (2,)"),
        (jnp.zeros((2, 3)), jnp.array([0.0, jnp.nan]), r"log_prob of shape (2,), not finite"),
    ],
)
def test_wrong_answers_are_a_problem(samples, log_probs, sentence):
    found = answers_finding(Answering(3, samples, log_probs), jnp.zeros((2, 3)), None)
    assert found.grade is Grade.PROBLEM
    assert found.value == 1
    assert sentence in found.sentence


def test_what_takes_thousands_of_passes_is_only_traced():
    size = TRACED_BEYOND + 1
    found = answers_finding(Answering(size, jnp.full((2, size), jnp.nan), jnp.zeros(2)), jnp.zeros((2, size)), None)
    assert found.grade is Grade.GOOD  # that the numbers are none is not seen, nor are they drawn
    assert f"sample of shape (2, {size}), traced only: 1,025 passes; log_prob of shape (2,)" in found.sentence
    wrong = answers_finding(Answering(size, jnp.zeros((2, 1)), jnp.zeros(2)), jnp.zeros((2, size)), None)
    assert wrong.grade is Grade.PROBLEM
