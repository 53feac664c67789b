"""What models are asked with is looked at before anything else, in every class, and leaves nothing in compiled code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_instances import INSTANCES as ADAPTED
from flax import nnx
from flow_instances import INSTANCES as FLOWS
from sequential_instances import INSTANCES as SEQUENTIAL
from vae_instances import INSTANCES as VAES

from modelwright.core.errors import ConfigurationError
from modelwright.generative.protocol import CHECKED, AbstractGenerativeModel

INSTANCES = {**VAES, **FLOWS, **SEQUENTIAL, **ADAPTED}
FIRST_OF_A_CLASS = {instance.configuration.model_class: name for name, instance in reversed(INSTANCES.items())}
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def models():
    """One of every class and three with codecs, as outlines: what is refused is refused before there are numbers."""
    names = [*FIRST_OF_A_CLASS.values(), *ADAPTED]
    return {name: nnx.eval_shape(INSTANCES[name].outline) for name in names}


def wrong_questions(model):
    shape = model.example_shape
    words = ", ".join(map(str, shape))
    yield "sample", (0,), {"key": KEY}, r"n: not accepted; expected a whole number of at least 1, got 0"
    yield "sample", (-1,), {"key": KEY}, r"n: not accepted; .* got -1"
    yield "sample", (2.5,), {}, r"n: not accepted; .* got 2.5"
    yield "sample", (True,), {"key": KEY}, r"n: not accepted; .* got True"
    yield "sample", (2,), {"key": None}, r"key: not a key; expected a JAX key such as jax.random.key\(0\), got None"
    yield "sample", (), {"n": 2, "key": 3}, r"key: not a key; .* got 3"
    yield "sample", (2,), {"key": np.zeros(3, np.uint32)}, r"key: not a key; .* got uint32 of shape \(3,\)"
    yield "sample", (2,), {"key": jax.random.split(KEY, 4)}, r"key: several keys; .*shape \(4,\)'; use jax.vmap"
    yield "log_prob", (None,), {}, r"x: no array of numbers; expected an array of shape \(n, .* got None"
    yield "log_prob", (np.full((2, *shape), "a"),), {}, r"x: no array of numbers; .* got '<U1 of shape"
    yield "log_prob", ([[1], [1, 2]],), {}, r"x: no array of numbers"
    yield (
        "log_prob",
        (np.zeros(shape),),
        {},
        rf"x: of another shape; expected \(n, {words}\), .* an example .* x\[None\]",
    )
    yield "log_prob", (np.zeros((3, *shape, 7)),), {}, r"x: of another shape"
    yield "log_prob", (np.zeros((0, *shape)),), {}, r"x: there are none; expected at least one"
    yield "log_prob", (np.zeros((2, *shape)),), {"key": 3}, r"key: not a key"
    yield "log_prob", (np.full((2, *shape), 2**32),), {}, r"x: beyond the whole numbers of 32 bits .* got 4294967296"
    if hasattr(model, "importance_weighted"):
        for draws in (0, 2.0, "a", None, True):
            yield "importance_weighted", (np.zeros((2, *shape)), draws), {"key": KEY}, r"draws: not accepted"
    if "encode" in model.offers:
        yield "encode", (None,), {}, r"x: no array of numbers"
        yield "decode", (None,), {}, r"z: no array of numbers"
        yield "decode", (np.zeros((2, *model.latent_shape, 7)),), {}, r"z: of another shape; expected \(n, "
    if model.latent_levels:
        yield "decode", (np.zeros((2, *model.latent_shape)),), {}, r"z: the latents of VQVAE are codes; expected whole"


def test_every_model_says_what_it_cannot_take(models):
    asked = 0
    for model in models.values():
        for method, args, kwargs, message in wrong_questions(model):
            with pytest.raises(ConfigurationError, match=message):
                getattr(model, method)(*args, **kwargs)
            asked += 1
    assert asked > 15 * len(models)


def test_a_latent_has_the_shape_that_is_said(models):
    for name, model in models.items():
        if "encode" not in model.offers:
            assert model.latent_shape is None
            continue
        batch = INSTANCES[name].batch(np.random.default_rng(0))
        graph, state = nnx.split(model)
        found = jax.eval_shape(
            lambda state, batch, graph=graph: nnx.merge(graph, state).encode(batch.x, cond=batch.cond), state, batch
        )
        assert found.shape[1:] == tuple(model.latent_shape), name
        assert jnp.issubdtype(found.dtype, jnp.integer) == (model.latent_levels is not None), name


def test_a_number_that_is_traced_is_refused(models):
    model = models[FIRST_OF_A_CLASS["modelwright.generative.flow.MAF"]]
    with pytest.raises(ConfigurationError, match=r"n: not known before compilation; .* static_argnums"):
        jax.jit(lambda n: model.sample(n, key=KEY))(3)


class Shifted(AbstractGenerativeModel):
    """Somebody else's model."""

    family = "shifted"
    offers = frozenset({"sample", "log_prob"})

    def __init__(self):
        self.shift = nnx.Param(jnp.ones(2))
        self.example_shape = (2,)

    def sample(self, n, *, key, cond=None):
        return self.shift + jax.random.normal(key, (n, 2))

    def log_prob(self, x, *, key=None, cond=None):
        return -jnp.square(x - self.shift).sum(-1)


def test_what_is_right_passes_in_every_form():
    model = Shifted()
    raw = jax.random.key_data(KEY)
    assert (model.sample(np.int64(2), key=raw) == model.sample(n=2, key=KEY)).all()
    assert model.log_prob([[1, 1], [2, 1]]).tolist() == [0.0, -1.0]
    assert jax.vmap(lambda key: model.sample(1, key=key))(jax.random.split(KEY, 3)).shape == (3, 1, 2)
    assert jax.vmap(lambda x: model.log_prob(x[None]))(jnp.ones((3, 2))).shape == (3, 1)


def test_nothing_is_left_of_the_checks_in_compiled_code():
    model, x = Shifted(), jnp.ones((3, 2))
    for name, argument in (("log_prob", x), ("sample", 3)):
        own = getattr(Shifted, name).__wrapped__
        with_checks, without = (
            str(jax.make_jaxpr(lambda key, call=call: call(argument, key=key))(KEY))  # noqa: B023 (called at once)
            for call in (getattr(model, name), lambda *args, **kwargs: own(model, *args, **kwargs))  # noqa: B023
        )
        assert with_checks == without


def test_each_check_is_of_a_method_that_some_class_has():
    written = {name for model in AbstractGenerativeModel.__subclasses__() for name in vars(model)} | {
        name
        for model in AbstractGenerativeModel.__subclasses__()
        for sub in model.__subclasses__()
        for name in vars(sub)
    }
    assert set(CHECKED) <= written
