"""Labels that a model is conditioned on are checked, inside of compiled functions, too."""

import jax
import jax.numpy as jnp
import pytest

from modelwright.core.errors import ConfigurationError
from modelwright.generative.conditioning import Condition


def test_known_labels_may_stand_in_a_function_that_is_compiled():
    labels = jnp.array([0, 2])
    found = jax.jit(lambda scale: scale * Condition(n_classes=3).vectors(labels, 2))(1.0)
    assert found.tolist() == [[1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize("compiled", [False, True])
def test_labels_that_are_not_known_are_refused(compiled):
    labels = jnp.array([0, 3])

    def vectors(scale):
        return scale * Condition(n_classes=3).vectors(labels, 2)

    with pytest.raises(ConfigurationError, match="expected whole numbers from 0 to 2, got '0 to 3'"):
        (jax.jit(vectors) if compiled else vectors)(1.0)
