"""Data are held against the outline of a model, of which no weights are made."""

import jax
import numpy as np
import pytest

from modelwright.catalog.generative_data import check_examples
from modelwright.core.errors import DataError
from modelwright.data.examples import Examples, Split
from modelwright.zoo import zoo


class Looking:
    """A zoo whose one model cannot be outlined: its number of parts depends on a number drawn."""

    def create_model(self, name, *, rngs):
        return [0] * int(abs(jax.random.normal(jax.random.key(rngs))))


def split(x, labels=None):
    return Split("made up", *(Examples(x, labels) for _ in range(3)), kind="points")


def test_what_fits_is_accepted():
    check_examples(zoo, "vae_digits", split(np.full((12, 8, 8), 16)))  # grey images without an axis of channels
    check_examples(zoo, "flow_moons", split(np.zeros((12, 2), np.float32)))


@pytest.mark.parametrize(
    ("name", "x", "sentence"),
    [
        ("flow_moons", np.zeros((12, 3)), r"data: examples of another shape than the model's; expected \(n, 2\), got"),
        ("vae_digits", np.full((12, 8, 8), 17), "data: numbers outside of the levels"),
        ("transformer_text", "short", "a part is shorter than one example; expected at least 64 symbols"),
        ("flow_moons", "a text", "data: text for a model without a vocabulary"),
    ],
)
def test_what_does_not_fit_is_refused(name, x, sentence):
    with pytest.raises(DataError, match=sentence):
        check_examples(zoo, name, split(x))


def test_a_part_to_report_on_that_does_not_fit_is_found_too():
    good, bad = Examples(np.zeros((12, 2), np.float32)), Examples(np.full((12, 2), np.nan))
    with pytest.raises(DataError, match="numbers are missing or infinite"):
        check_examples(zoo, "flow_moons", Split("made up", good, good, bad, kind="points"))


def test_a_model_without_an_outline_is_left_to_its_trainer():
    check_examples(Looking(), "mine", split(np.zeros((12, 2))))
