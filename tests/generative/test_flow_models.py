"""Flows as models: what is refused, what keys do, what is there before training, how large the compiled program is."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from flow_instances import flow

from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
from modelwright.factory.builders.flow import flow_builder
from modelwright.generative.protocol import Batch

NAMES = [name.rpartition(".")[2] for name in flow_builder.models]


def small(name, **parameters):
    return flow(name, (2, 2, 1) if name == "Glow" else 2, **({"n_levels": 1} if name == "Glow" else {}), **parameters)


@pytest.fixture(scope="module")
def models():
    return {name: create_model(small(name), rngs=0) for name in NAMES}


def test_the_class_is_the_one_asked_for(models):
    assert {name: type(model).__name__ for name, model in models.items()} == {name: name for name in NAMES}


def test_no_two_classes_build_the_same_flow(models):
    """An inverse autoregressive flow is no MAF, a spline flow no RealNVP: same weights' seed, other densities."""
    x = jnp.asarray([[0.4, -1.2], [1.0, 0.3]])
    found = {
        name: tuple(np.round(np.asarray(model.log_prob(x).value), 5))
        for name, model in models.items()
        if name != "Glow"
    }
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        ("RealNVP", "n_transforms"),
        ("MAF", "n_transforms"),
        ("IAF", "n_transforms"),
        ("NeuralSplineFlow", "n_transforms"),
        ("Glow", "n_steps"),
        ("Glow", "n_levels"),
    ],
)
def test_a_flow_without_layers_is_refused(name, parameter):
    with pytest.raises(ConfigurationError, match=f"parameters.{parameter}: not accepted; expected a whole number .* 1"):
        create_model(flow(name, (2, 2, 1), **{parameter: 0}), rngs=0)


def test_as_many_transforms_as_asked_for():
    made = create_model(flow("MAF", 2, n_transforms=7), rngs=0)
    assert {leaf.shape[0] for leaf in jax.tree.leaves(nnx.state(made, nnx.Param))} == {7}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            flow("Glow", (7, 8, 1), n_levels=1),
            r"Glow with n_levels = 1 halves height and width 1 times; .*divisible by 2",
        ),
        (flow("Glow", (6, 6, 1)), r"input_dim: .*divisible by 4, got \(6, 6, 1\); pad the images"),
        (flow("Glow", 12), "input_dim: .*expected height x width x channels"),
        (
            flow("RealNVP", 1),
            "input_dim: a coupling splits an example in two; .* choose modelwright.generative.flow.MAF",
        ),
        (
            flow("NeuralSplineFlow", (1, 1, 1)),
            'input_dim: a coupling splits an example in two; .* set parameters.transform to "autoregressive"',
        ),
        (flow("NeuralSplineFlow", 2, n_bin=4), "parameters.n_bin: NeuralSplineFlow has no such parameter; .*n_bins"),
        (flow("NeuralSplineFlow", 2, transform="copling"), "parameters.transform: .*did you mean 'coupling'"),
        (flow("MAF", 2, n_bins=4), "parameters.n_bins: MAF has no such parameter"),
        (flow("MAF", 2, n_classes=2, context_dim=1), "labels and context vectors at once"),
        (flow("MAF", 2).with_changes(output_dim=2), "output_dim: MAF does not use this"),
        (flow("Glow", (4, 4, 1)).with_changes(output_dim=2), "output_dim: Glow does not use this"),
        (flow("RealNVP", 2).with_changes(dropout_rate=0.1), "dropout_rate: RealNVP does not use this"),
        (flow("ContinuousFlow", 2, solver="euler"), "parameters.solver: .*expected one of tsit5, dopri5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_refused_says_why(config, message):
    with pytest.raises(ConfigurationError, match=message):
        create_model(config, rngs=0)


def test_examples_of_another_shape_are_refused(models):
    with pytest.raises(ConfigurationError, match=r"x: of another shape; expected \(n, 2\), got"):
        models["RealNVP"].log_prob(jnp.zeros((4, 3)))
    with pytest.raises(ConfigurationError, match=r"expected \(n, 4\), got \(3, 2, 2, 1\)"):
        models["Glow"].decode(jnp.zeros((3, 2, 2, 1)))


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_needs_a_key(models, name):
    with pytest.raises(TypeError, match="key"):
        models[name].sample(3)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_made_by_the_first_pass(name):
    model = create_model(small(name), rngs=0)
    x = jax.random.normal(jax.random.key(0), (8, *model.example_shape))
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.sgd(0.1)
    state = optimizer.init(params)  # before anything has passed through

    @jax.jit
    def step(params, state):
        def value(params):
            return nnx.merge(graph, params, rest).loss(Batch(x), key=jax.random.key(0), step=jnp.asarray(0)).value

        updates, state = optimizer.update(jax.grad(value)(params), state, params)
        return optax.apply_updates(params, updates), state

    after, _ = step(params, state)
    assert jax.tree.structure(after) == jax.tree.structure(params)
    before = jax.tree.structure(nnx.state(model))
    model.log_prob(x)
    assert jax.tree.structure(nnx.state(model)) == before


@pytest.mark.parametrize("name", ["RealNVP", "MAF", "IAF", "NeuralSplineFlow"])
def test_layers_begin_apart(models, name):
    for path, leaf in nnx.to_flat_state(nnx.state(models[name], nnx.Param)):
        if path[-1] == "kernel":
            values = np.asarray(leaf[...])
            assert (np.abs(values[0] - values[1:]).reshape(len(values) - 1, -1).max(1) > 0).all(), path


@pytest.mark.parametrize("name", ["NeuralSplineFlow", "MAF", "Glow"])
def test_the_program_does_not_grow_with_the_number_of_layers(name):
    def size(n):
        parameters = {"n_steps": n} if name == "Glow" else {"n_transforms": n}
        model = create_model(small(name, **parameters), rngs=0)
        graph, state = nnx.split(model)
        x = jnp.zeros((4, *model.example_shape))

        def value(state):
            return nnx.merge(graph, state).log_prob(x).value.sum()

        return str(jax.make_jaxpr(jax.grad(value, allow_int=True))(state)).count("\n")

    assert size(2) == size(8)


@pytest.mark.parametrize("name", ["NeuralSplineFlow", "MAF", "Glow"])
def test_half_precision_weights_give_single_precision_densities(models, name):
    graph, params, rest = nnx.split(models[name], nnx.Param, ...)

    @jax.jit
    def asked(params):
        model = nnx.merge(graph, params, rest)
        x = jax.random.normal(jax.random.key(0), (4, *model.example_shape))
        return model.log_prob(x).value, model.sample(2, key=jax.random.key(0))

    density, samples = asked(jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params))
    assert density.dtype == samples.dtype == jnp.float32
    np.testing.assert_allclose(density, asked(params)[0], atol=0.2)  # eight bits of the weights


def test_samples_of_several_keys_at_once(models):
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: models["MAF"].sample(2, key=key))(keys)
    np.testing.assert_allclose(together[1], models["MAF"].sample(2, key=keys[1]), atol=1e-6)


def test_declared_parameters_are_all_read():
    """Every declared setting is asked for, so that none can be given in vain."""
    for name in NAMES:
        model = create_model(small(name), rngs=0)
        resolved = json.dumps(sorted(parameter.name for parameter in type(model).declared))
        config = small(name, **{p.name: p.default for p in type(model).declared if p.name != "n_levels"})
        assert create_model(config, rngs=0).example_shape == model.example_shape, resolved


CORRELATION = 0.9
ENTROPY = float(np.log(2 * np.pi * np.e) + 0.5 * np.log(1 - CORRELATION**2))


def correlated(key, n):
    z = jax.random.normal(key, (n, 2))
    return jnp.stack([z[:, 0], CORRELATION * z[:, 0] + np.sqrt(1 - CORRELATION**2) * z[:, 1]], axis=-1)


def true_log_prob(x):
    rest = (x[:, 1] - CORRELATION * x[:, 0]) / np.sqrt(1 - CORRELATION**2)
    return -0.5 * (x[:, 0] ** 2 + rest**2) - np.log(2 * np.pi) - 0.5 * np.log(1 - CORRELATION**2)


def fitted_to_a_correlated_gaussian(model, steps):
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    optimizer = optax.adam(optax.cosine_decay_schedule(1e-2, steps))

    def step(carry, key):
        params, state = carry

        def value(params):
            batch = Batch(correlated(key, 256))
            return nnx.merge(graph, params, rest).loss(batch, key=key, step=jnp.asarray(0)).value

        updates, state = optimizer.update(jax.grad(value)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(1), steps)
    (params, _), _ = jax.jit(lambda carry: jax.lax.scan(step, carry, keys))((params, optimizer.init(params)))
    return nnx.merge(graph, params, rest)


@pytest.mark.parametrize(
    ("name", "parameters", "steps"),
    [
        ("RealNVP", {"n_transforms": 2}, 600),
        ("MAF", {"n_transforms": 1}, 600),
        ("IAF", {"n_transforms": 1}, 600),
        ("NeuralSplineFlow", {"n_transforms": 2}, 1200),
        pytest.param(
            "NeuralSplineFlow", {"n_transforms": 2, "transform": "autoregressive"}, 1200, marks=pytest.mark.slow
        ),
        pytest.param("ContinuousFlow", {"rtol": 1e-4, "atol": 1e-4}, 600, marks=pytest.mark.slow),
    ],
    ids=["RealNVP", "MAF", "IAF", "spline couplings", "spline autoregressive", "continuous"],
)
def test_a_correlated_gaussian_is_learned(name, parameters, steps):
    model = fitted_to_a_correlated_gaussian(create_model(flow(name, 2, **parameters), rngs=0), steps)
    x = correlated(jax.random.key(2), 10_000)
    # entropy plus divergence; the divergence as a mean difference, in which most of the noise of the draws cancels
    found = ENTROPY + float((true_log_prob(x) - model.log_prob(x).value).mean())
    assert found == pytest.approx(2.0075, abs=0.01)
