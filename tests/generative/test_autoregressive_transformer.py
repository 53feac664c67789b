"""The transformer: what it learns it continues, its first token counts, its sampler costs one compilation."""

import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from instances import configuration

from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
from modelwright.generative.autoregressive import transformer
from modelwright.generative.autoregressive.choice import Choice
from modelwright.generative.autoregressive.model import compiled_logits
from modelwright.generative.laws.autoregressive import by_loop
from modelwright.generative.protocol import Batch

CYCLE, LENGTH = 5, 8


def made(length=LENGTH, seed=0, **parameters):
    settings = {"vocabulary": CYCLE, "n_layers": 2, "n_heads": 2, **parameters}
    config = configuration("autoregressive.Transformer", (length,), hidden_dims=[16], parameters=settings)
    return create_model(config, rngs=seed)


@pytest.fixture(scope="module")
def cyclic():
    """A transformer that has learned 0, 1, 2, 3, 4, 0, ... from any beginning."""
    model = made()
    graph, params = nnx.split(model)
    x = (jnp.arange(CYCLE)[:, None] + jnp.arange(LENGTH)) % CYCLE
    optimizer = optax.adam(0.01)

    @jax.jit
    def train(params):
        def loss(params):
            return nnx.merge(graph, params).loss(Batch(x), key=jax.random.key(0), step=jnp.array(0)).value

        def step(carry, _):
            params, state = carry
            value, gradient = jax.value_and_grad(loss)(params)
            changes, state = optimizer.update(gradient, state)
            return (optax.apply_updates(params, changes), state), value

        return jax.lax.scan(step, (params, optimizer.init(params)), None, length=250)

    (params, _), values = train(params)
    nnx.update(model, params)
    return model, x, np.asarray(values)


def test_a_learned_cycle_goes_on_from_any_prompt(cyclic):
    model, x, _ = cyclic
    for given in (1, 3, LENGTH - 1):
        found = model.continue_from(x[:, :given], LENGTH - given, key=jax.random.key(1), temperature=0.0)
        assert found.tolist() == x.tolist()


def test_the_first_token_counts(cyclic):
    model, x, values = cyclic
    # all that is left to know of a cycle is where it begins: log 5 nats, the loss of a perfect model
    assert values[-1] == pytest.approx(np.log(CYCLE), abs=0.02)  # what 250 steps leave
    assert values.min() >= np.log(CYCLE) - 1e-4  # single precision
    np.testing.assert_allclose(model.log_prob(x).value, -np.log(CYCLE), atol=0.05)


def test_samples_of_a_learned_cycle_begin_anywhere(cyclic):
    model, _, _ = cyclic
    found = np.asarray(model.sample(500, key=jax.random.key(2)))
    assert ((np.diff(found, axis=1) % CYCLE == 1).all(axis=1)).mean() > 0.95
    assert (np.bincount(found[:, 0], minlength=CYCLE) > 60).all()  # 100 each are expected, standard error 9


def test_prompts_keep_what_the_choice_keeps():
    model = made(seed=3)
    prompt = jnp.array([[1, 4, 2]])
    logits = np.asarray(compiled_logits(model, jnp.pad(prompt, ((0, 0), (0, LENGTH - 3)))), float)[0, 3] * 1.0
    choice = Choice(0.5, 4, 0.9)
    many = jnp.broadcast_to(prompt, (4000, 3))
    found = model.continue_from(many, 1, key=jax.random.key(0), temperature=0.5, top_k=4, top_p=0.9)
    p = by_loop(logits, choice)
    share = np.bincount(found[:, 3], minlength=CYCLE) / 4000
    assert (np.abs(share - p) <= 4.0 * np.sqrt(p * (1.0 - p) / 4000)).all()  # four standard errors


def test_keys_are_given():
    model = made()
    with pytest.raises(TypeError, match="key"):
        model.sample(2)
    with pytest.raises(TypeError, match="key"):
        model.continue_from(jnp.zeros((1, 1), int), 2)
    one, two = (model.sample(4, key=jax.random.key(k)) for k in (0, 1))
    assert (one != two).any()


def test_parameters_are_there_from_the_start_and_no_two_layers_alike():
    model = made(n_layers=3)
    before = jax.tree.map(lambda leaf: leaf.shape, nnx.state(model))
    model.sample(1, key=jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, nnx.state(model)) == before
    for name in ("to_attention", "from_attention", "to_dense", "from_dense"):
        kernel = np.asarray(getattr(model.net.layers, name).kernel[...])
        assert kernel.shape[0] == 3
        assert len(np.unique(kernel.reshape(3, -1)[:, 0])) == 3


def test_sampling_again_compiles_nothing():
    model = made()
    model.sample(2, key=jax.random.key(0))
    compiled = transformer._continued._cache_size()
    model.sample(2, key=jax.random.key(1))
    made(seed=1).sample(2, key=jax.random.key(0))  # the same structure, other weights
    assert transformer._continued._cache_size() == compiled


@pytest.mark.parametrize("n", [1, 3])
def test_a_step_writes_into_what_is_kept(n):
    # room for 2 heads x 40 positions x 8 numbers for each example: copying it at every step was half of the time
    graph, state = nnx.split(made(length=40))
    begun = (graph, state, jnp.zeros((n, 0), jnp.int32), jax.random.key(0), None)
    compiled = transformer._continued.lower(*begun, 40, Choice()).compile().as_text()
    kept = rf"f32\[(?:{n},2|{2 * n}),40,8\]"
    assert re.search(kept, compiled) is not None
    assert re.search(rf"= {kept}\S* copy\(", compiled) is None


def test_what_is_no_token_has_no_probability():
    x = jnp.zeros((3, LENGTH), int).at[0, 2].set(CYCLE).at[1, 0].set(-1)
    found = np.asarray(made().log_prob(x).value)
    assert np.isneginf(found[:2]).all()
    assert np.isfinite(found[2])


def test_bfloat16_parameters_give_logits_in_single_precision():
    model = made(positions="rotary", n_classes=2)
    exact = model.log_prob(jnp.zeros((2, LENGTH), int), cond=jnp.array([0, 1])).value
    nnx.update(model, jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), nnx.state(model)))
    found = model.log_prob(jnp.zeros((2, LENGTH), int), cond=jnp.array([0, 1])).value
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, rtol=0.02)  # eight bits
    assert model.sample(2, key=jax.random.key(0), cond=jnp.array([0, 1])).shape == (2, LENGTH)


def test_dropout_is_by_key():
    config = configuration(
        "autoregressive.Transformer",
        (4,),
        hidden_dims=[8],
        dropout_rate=0.5,
        parameters={"vocabulary": 3, "n_layers": 2},
    )
    model, batch = create_model(config, rngs=0), Batch(jnp.array([[0, 1, 2, 1]]))
    losses = [float(model.loss(batch, key=jax.random.key(k), step=jnp.array(0)).value) for k in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]
    assert float(model.log_prob(batch.x).value[0]) == float(model.log_prob(batch.x).value[0])


@pytest.mark.slow
def test_another_process_says_the_same():
    # Python salts the hashes of texts anew in every process: nothing here may rest on one
    code = (
        "import jax.numpy as jnp, sys; sys.path.insert(0, 'tests/generative'); "
        "from test_autoregressive_transformer import made; "
        "print(float(made().log_prob(jnp.array([[0, 1, 2, 3, 4, 3, 2, 1]])).value[0]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "12345"}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    here = float(made().log_prob(jnp.array([[0, 1, 2, 3, 4, 3, 2, 1]])).value[0])
    assert float(ended.stdout) == pytest.approx(here, rel=1e-6)


@pytest.mark.parametrize(
    ("prompt", "n_tokens", "message"),
    [
        (["to be"], 2, "prompt: no array of numbers"),
        ("to be", 2, "prompt: no array of numbers"),
        (None, 2, "prompt: no array of numbers; .* got None"),
        ([[1], [2, 3]], 2, "prompt: no array of numbers"),
        (np.zeros((0, 2), int), 2, "prompt: there are none; expected at least one"),
        (np.array([[2**32 + 1, 2]]), 2, "prompt: beyond the whole numbers of 32 bits in which models compute"),
        (
            [[0, 1, 9]],
            2,
            r"prompt: tokens that are not in the vocabulary; expected whole numbers from 0 to 4, got \[9\]",
        ),
        ([[0.0, 1.0]], 2, "prompt: no prompt; expected whole numbers, shape"),
        ([0, 1], 2, r"prompt: no prompt; expected whole numbers, shape \(n, given\), got 'int64 of shape \(2,\)'"),
        ([[0] * 6], 3, "n_tokens: a prompt of 6 tokens leaves room for 2; expected a whole number from 1 to 2, got 3"),
        ([[0] * 6], 0, "n_tokens: not accepted; expected a whole number of at least 1, got 0"),
        ([[0] * 6], 2.0, "n_tokens: not accepted; .* got 2.0"),
        ([[0] * 6], True, "n_tokens: not accepted; .* got True"),
        ([[0] * 6], None, "n_tokens: not accepted; .* got None"),
    ],
    ids=str,
)
def test_refused_prompts(prompt, n_tokens, message):
    with pytest.raises(ConfigurationError, match=message):
        made().continue_from(prompt, n_tokens, key=jax.random.key(0))


def test_a_prompt_of_constants_is_checked_in_a_function_that_is_compiled():
    model = made()
    with pytest.raises(ConfigurationError, match="prompt: tokens that are not in the vocabulary"):
        jax.jit(lambda key: model.continue_from([[9]], 1, key=key))(jax.random.key(0))
