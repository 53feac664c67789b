"""Laws find what they are made for: models that are wrong in one way are told from those that are not."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_instances import INSTANCES as ADAPTED
from flax import nnx
from instances import Instance, binary, configuration, real
from sequential_instances import INSTANCES as SEQUENTIAL
from vae_instances import INSTANCES as VAES

from modelwright.factory.stored_models import load_model, save_model
from modelwright.generative.autoregressive.made import MADE
from modelwright.generative.autoregressive.transformer import Transformer
from modelwright.generative.conditioning import Condition
from modelwright.generative.flow.autoregressive import MaskedAutoregressive
from modelwright.generative.flow.chain import Chain
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.maf import MAF
from modelwright.generative.flow.scalars import Affine
from modelwright.generative.laws import autoregressive, codec, codes, flow, general, vae
from modelwright.generative.laws.law import Subject
from modelwright.generative.nets.masked import MaskedNet
from modelwright.generative.nets.stacked import stacked, through
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss
from modelwright.generative.vae import vqvae
from modelwright.generative.vae.autoencoder import AbstractAutoencoder
from modelwright.generative.vae.codebook import Codebook
from modelwright.modalities import ImageCodec


class Stack(AbstractGenerativeModel):
    """Four linear maps, of which `used` train; samples are normal numbers."""

    family = "test"
    offers = frozenset({"sample"})
    example_shape = (2,)

    def __init__(self, used=4, claimed=("sample",), condition=Condition()):  # noqa: B008 (frozen)
        rngs = nnx.Rngs(0)
        self.parts = stacked(lambda: nnx.Linear(2, 2, rngs=rngs), 4)
        self.used = used
        self.offers = frozenset(claimed)
        self.condition = condition

    def loss(self, batch, *, key, step):
        """Squares of what comes out."""
        takes = (jnp.arange(4) < self.used).astype(jnp.float32)
        y, _ = through(self.parts, lambda layer, h, take: (h + take * layer(h), None), batch.x, takes)
        return Loss(jnp.square(y).mean(), {})

    def sample(self, n, *, key, cond=None):
        """Normal numbers."""
        return jax.random.normal(key, (n, 2))


def subject(model):
    return Subject(model, Batch(jnp.asarray(np.random.default_rng(0).standard_normal((4, 2)), jnp.float32)))


def test_each_stacked_layer_needs_a_gradient_of_its_own():
    assert general.gradients_reach(subject(Stack())).figure == 0.0
    # one layer's kernel and bias; the whole arrays have gradients from the other three
    assert general.gradients_reach(subject(Stack(used=3))).figure == 2.0


def test_what_is_not_offered_has_to_refuse():
    assert general.offers_are_kept(subject(Stack())).figure == 0.0
    assert general.offers_are_kept(subject(Stack(claimed=()))).figure == 1.0  # samples, and says that it does not
    assert general.offers_are_kept(subject(Stack(claimed=("sample", "encode")))).figure == 1.0  # says so, and does not


def test_samples_that_look_at_other_keys_are_found(monkeypatch):
    assert general.keys_at_once(subject(Stack())).holds
    calls = []

    def drifting(self, n, *, key, cond=None):
        calls.append(1)  # a stream kept inside: a trace sees it once, calls one by one see it move
        return jax.random.normal(jax.random.fold_in(key, len(calls)), (n, 2))

    monkeypatch.setattr(Stack, "sample", drifting)
    assert not general.keys_at_once(subject(Stack())).holds


@pytest.mark.parametrize("weight", [lambda self, step: 1.0, lambda self, step: self.kl_weight])
def test_a_weight_without_warm_up_is_found(weight, monkeypatch):
    model, batch = VAES["VAE, dense"].made()
    model.kl_weight, model.warm_up_steps = 4.0, 10
    assert vae.loss_is_weighted(Subject(model, batch)).holds
    monkeypatch.setattr(AbstractAutoencoder, "weight_at", lambda self, step: jnp.asarray(weight(self, step)))
    assert not vae.loss_is_weighted(Subject(model, batch)).holds


def test_a_perplexity_of_something_else_is_found(monkeypatch):
    model, batch = VAES["VQVAE, dense"].made("perturbed")
    assert codes.perplexity_by_counting(Subject(model, batch)).holds
    right = vqvae.perplexity
    monkeypatch.setattr(vqvae, "perplexity", lambda codes, size: jnp.log(right(codes, size)) / jnp.log(2.0))
    assert not codes.perplexity_by_counting(Subject(model, batch)).holds


def test_a_condition_that_changes_nothing_is_found():
    x = jnp.zeros((4, 2))
    stack = Stack(condition=Condition(n_classes=3))
    assert general.condition_matters(Subject(stack, Batch(x, jnp.arange(4) % 3))).figure == 1.0


def test_a_bound_that_ignores_the_number_of_latents_is_found(monkeypatch):
    subject = Subject(*VAES["VAE, dense"].made("perturbed"))
    assert vae.bound_grows_with_draws(subject).holds
    right = AbstractAutoencoder.importance_weighted
    monkeypatch.setattr(
        AbstractAutoencoder,
        "importance_weighted",
        lambda self, x, draws, *, key, cond=None: right(self, x, 1, key=key, cond=cond),
    )
    assert not vae.bound_grows_with_draws(subject).holds


@pytest.mark.parametrize(
    "ignored",
    [pytest.param("temperature", marks=pytest.mark.slow), pytest.param("top_k", marks=pytest.mark.slow), "top_p"],
)
def test_a_model_that_ignores_a_choice_is_found(ignored, monkeypatch):
    subject = Subject(*SEQUENTIAL["Transformer"].made("perturbed"))
    right = Transformer.continue_from

    def careless(self, prompt, n_tokens, *, key, cond=None, **choice):
        return right(
            self, prompt, n_tokens, key=key, cond=cond, **{**choice, ignored: {"temperature": 1.0}.get(ignored)}
        )

    monkeypatch.setattr(Transformer, "continue_from", careless)
    assert not autoregressive.choices_by_definition(subject).holds


def test_a_network_in_a_circle_is_found_whatever_the_model_says(monkeypatch):
    def everything(self, symbols, vectors=None, key=None):
        return jax.nn.one_hot(symbols, 2) + symbols.sum(-1)[:, None, None] * jnp.array([1.0, 2.0])

    monkeypatch.setattr(MADE, "logits", everything)
    # a shape of its own, as what is compiled for a model is kept by its structure
    model, batch = Instance(configuration("autoregressive.MADE", (3,), hidden_dims=[7]), binary((3,))).made()
    assert autoregressive.has_an_order(Subject(model, batch)).figure == 3.0


def test_codes_that_pass_no_gradient_on_are_found(monkeypatch):
    subject = Subject(*VAES["VQVAE, dense"].made("perturbed"))
    assert codes.rounding_passes_gradients(subject).holds
    monkeypatch.setattr(Codebook, "quantised", lambda self, z: (self.vectors_of(self.nearest(z)), self.nearest(z)))
    assert not codes.rounding_passes_gradients(subject).holds


@pytest.mark.parametrize("name", ["flow.MAF", "flow.NeuralSplineFlow", "flow.IAF", "autoregressive.MADE"])
def test_a_single_number_has_no_parameters_that_train_nothing(name, tmp_path):
    parameters = {"transform": "autoregressive"} if name.endswith("SplineFlow") else {}
    examples = binary if name.endswith("MADE") else real
    made = Instance(configuration(name, 1, hidden_dims=[7], parameters=parameters), examples((1,)))
    subject = Subject(*made.made("perturbed"))
    assert general.gradients_reach(subject).holds
    again = load_model(save_model(subject.model, tmp_path))
    np.testing.assert_array_equal(again.log_prob(subject.batch.x).value, subject.model.log_prob(subject.batch.x).value)


def test_layers_that_see_nothing_are_found_wherever_they_stand():
    net = MaskedNet(3, (8,), 2, order=(0, 1, 2), rngs=nnx.Rngs(0))
    model = MAF(Chain([MaskedAutoregressive(net, Affine(), (0, 1, 2))]), (3,))
    batch = Batch(jnp.asarray(np.random.default_rng(0).standard_normal((4, 3)), jnp.float32))
    assert flow.masks_are_complete(Subject(model, batch)).holds
    last = net.last.kernel
    last[...] = 0.0 * last[...]
    assert flow.masks_are_complete(Subject(model, batch)).figure == 3.0  # entries below the diagonal


def test_an_inverse_that_is_wrong_in_the_fourth_digit_is_found(monkeypatch):
    right = AbstractFlow.decode
    monkeypatch.setattr(
        AbstractFlow, "decode", lambda self, z, *, key=None, cond=None: right(self, z, cond=cond) * 1.0001
    )
    made = Instance(configuration("flow.RealNVP", 3, hidden_dims=[7], parameters={"n_transforms": 1}), real((3,)))
    assert not flow.round_trips(Subject(*made.made())).holds


@pytest.mark.parametrize(
    ("law", "name", "wrong"),
    [
        (
            codec.log_determinant,
            "encode",
            lambda right, self, *given: (right(self, *given)[0], 1.01 * right(self, *given)[1]),
        ),
        (codec.gives_back, "decode", lambda right, self, *given: jnp.maximum(right(self, *given) - 1, 0)),
        (
            codec.gives_back,
            "encode",
            lambda right, self, *given: (right(self, *given)[0] + 0.01, right(self, *given)[1]),
        ),
    ],
)
def test_a_codec_that_is_wrong_is_found(law, name, wrong, monkeypatch):
    model, _ = ADAPTED["images before a flow"].made()
    x = jnp.asarray(np.random.default_rng(0).integers(0, 8, (3, 2, 2, 1)), jnp.int32)
    assert law(Subject(model, Batch(x))).holds
    right = getattr(ImageCodec, name)
    monkeypatch.setattr(ImageCodec, name, lambda self, *given: wrong(right, self, *given))
    assert not law(Subject(model, Batch(x))).holds


def test_what_a_codec_of_fewer_values_gives_it_gives_again(monkeypatch):
    model, batch = ADAPTED["images before an autoencoder of zeros and ones"].made()
    assert codec.gives_back(Subject(model, batch)).holds
    assert codec.log_determinant(Subject(model, batch)).figure == 0.0
    sampled = dataclasses.replace(model.codec, binarize="sample")
    monkeypatch.setattr(model, "codec", sampled)
    assert codec.gives_back(Subject(model, batch)).holds
    right = ImageCodec.decode
    monkeypatch.setattr(ImageCodec, "decode", lambda self, z: right(self, 1 - z))
    assert not codec.gives_back(Subject(model, batch)).holds
