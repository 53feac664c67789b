"""The norm of a gradient, whatever the sizes of its arrays."""

import jax
import numpy as np
import optax
import pytest

from modelwright.generative.training.steps import norm_of


@pytest.mark.parametrize(
    "shapes", [[(48, 5)], [(7,), (16,), ()], [(0, 5), (3, 3)], [(2, 3, 8)], [(128,)], [(64, 48), (3,)]]
)
def test_it_is_that_of_all_numbers(shapes):
    tree = [jax.random.normal(jax.random.key(k), shape) for k, shape in enumerate(shapes)]
    wanted = np.sqrt(sum(float(np.square(np.asarray(leaf, np.float64)).sum()) for leaf in tree))
    np.testing.assert_allclose(norm_of(tree), wanted, rtol=1e-6)  # rounding of single precision
    np.testing.assert_allclose(norm_of(tree), optax.tree.norm(tree), rtol=1e-6)


@pytest.mark.parametrize("size", [1, 16, 128, 384])
def test_one_number_that_is_none_is_seen(size):
    assert np.isnan(norm_of({"a": np.array([0.0] * (size - 1) + [np.nan], np.float32)}))
