"""Labels that a model is conditioned on are checked, inside of compiled functions, too; traced ones become NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from instances import configuration

from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
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


def test_one_label_for_all_is_checked_in_a_function_that_is_compiled():
    with pytest.raises(ConfigurationError, match="expected whole numbers from 0 to 2, got '3 to 3'"):
        jax.jit(lambda scale: scale * Condition(n_classes=3).vectors(3, 2))(1.0)


def test_labels_that_are_traced_and_not_known_are_no_number():
    found = jax.jit(lambda labels: Condition(n_classes=3).vectors(labels, 4))(jnp.array([-1, 0, 2, 3]))
    np.testing.assert_array_equal(found, [[np.nan] * 3, [1, 0, 0], [0, 0, 1], [np.nan] * 3])


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("vae.CVAE", (2,), {"importance_draws": 1}),
        ("autoregressive.MADE", (2,), {}),
        ("flow.MAF", 2, {"n_transforms": 1}),
    ],
)
def test_a_label_that_is_traced_and_not_known_is_seen_in_the_result(name, shape, parameters):
    given = {"output_dim": 1} if name == "vae.CVAE" else {}
    parameters = {**parameters, "n_classes": 3}
    model = create_model(configuration(name, shape, hidden_dims=[4], parameters=parameters, **given), rngs=0)
    graph, state = nnx.split(model)
    found = jax.jit(lambda labels: nnx.merge(graph, state).log_prob(jnp.zeros((3, 2)), cond=labels).value)
    assert np.isnan(found(jnp.array([2, 3, -1]))).tolist() == [False, True, True]


def test_codes_that_are_not_known_are_refused_or_no_number():
    shape = {"hidden_dims": [4], "output_dim": 2, "parameters": {"codebook_size": 4, "n_codes": 2}}
    model = create_model(configuration("vae.VQVAE", (2,), **shape), rngs=0)
    with pytest.raises(
        ConfigurationError, match=r"z: codes that the model does not know; .* from 0 to 3, got '1 to 4'"
    ):
        model.decode(jnp.array([[1, 4]]))
    graph, state = nnx.split(model)
    found = jax.jit(lambda z: nnx.merge(graph, state).decode(z))(jnp.array([[1, 3], [1, 4]]))
    assert np.isnan(found).any(-1).tolist() == [False, True]


@pytest.mark.parametrize("cond", ["a", [[1], [1, 2]]])
def test_what_is_no_array_is_no_condition(cond):
    with pytest.raises(ConfigurationError, match="cond: no array of numbers; expected 2 labels, got"):
        Condition(n_classes=3).vectors(cond, 2)


@pytest.mark.parametrize(
    ("cond", "message"),
    [
        ([0.0, np.nan], "cond: context vectors with what is no number; expected finite numbers, .* got nan"),
        (jnp.array([[0.0, jnp.inf]]), "cond: context vectors with what is no number; .* got inf"),
        (np.array([0.0, 1e300]), r"cond: context vectors with what is no number; .* got 1e\+300"),
        (np.array([0, 2**32]), "cond: beyond the whole numbers of 32 bits"),
    ],
)
def test_what_is_no_number_is_no_context(cond, message):
    with pytest.raises(ConfigurationError, match=message):
        Condition(context_dim=2).vectors(cond, 1)
