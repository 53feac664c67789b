"""Laws find samplers that draw from something else, and log probabilities and losses that are not what they say."""

import jax
import jax.numpy as jnp
import pytest
from adapted_instances import INSTANCES as ADAPTED
from flax import nnx
from instances import Instance, configuration, real
from sequential_instances import symbols
from vae_instances import INSTANCES as VAES

from modelwright.catalog.generative_certificates import rulings_of
from modelwright.generative.autoregressive.model import AbstractAutoregressiveModel
from modelwright.generative.autoregressive.pixel_cnn import PixelCNN
from modelwright.generative.flow import flow as flows
from modelwright.generative.flow.chain import Chain
from modelwright.generative.flow.flow import AbstractFlow
from modelwright.generative.flow.maf import MAF
from modelwright.generative.laws import autoregressive, codec, codes, flow, general, likelihood, vae
from modelwright.generative.laws.law import Law, Subject, certified
from modelwright.generative.likelihoods.gaussian import Gaussian
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Loss, Objective, own_loss
from modelwright.generative.vae.autoencoder import AbstractAutoencoder
from modelwright.generative.vae.vqvae import VQVAE
from modelwright.modalities import AdaptedModel
from modelwright.modalities.text import TextCodec

# Laws change seldom, and each of these is compiled twice, right and wrong: a minute and a half in all.
pytestmark = pytest.mark.slow

# What is compiled for a model is kept by its structure: the widths here are of no other test.


def of_three_numbers(width):
    parameters = {"n_transforms": 1}
    made = configuration("flow.RealNVP", 3, hidden_dims=[width], activation="tanh", parameters=parameters)
    return Subject(*Instance(made, real((3,))).made("perturbed"))


def of_nine_pixels(width):
    parameters = {"levels": 4, "n_layers": 1, "kernel_size": 3}
    made = configuration("autoregressive.PixelCNN", (3, 3, 1), hidden_dims=[width], parameters=parameters)
    return Subject(*Instance(made, symbols((3, 3, 1), 4)).made("perturbed"))


def gaussian():
    made = configuration("vae.VAE", 3, hidden_dims=[8], parameters={"likelihood": "gaussian", "importance_draws": 2})
    return Subject(*Instance(made, real((3,))).made("perturbed"))


def coded():
    return Subject(*VAES["VQVAE, dense"].made("perturbed"))


def test_a_flow_of_three_numbers_without_its_constant_is_found(monkeypatch):
    monkeypatch.setattr(flows, "standard_normal", lambda z: -0.5 * jnp.square(z).sum(-1))
    assert not flow.density_by_definition(of_three_numbers(9)).holds


def test_a_flow_that_samples_too_narrowly_is_found(monkeypatch):
    def narrow(self, n, *, key, cond=None):
        return self.decode(0.8 * jax.random.normal(key, (n, self.latent_dim)), cond=cond)

    monkeypatch.setattr(AbstractFlow, "sample", narrow)
    subject = of_three_numbers(10)
    assert not flow.latents_are_normal(subject).holds
    assert not flow.density_on_the_way(subject).holds


def no_log_determinant(self, batch, *, key, step):
    return Loss(-flows.standard_normal(self.encode(batch.x)).mean(), {})


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("loss", no_log_determinant), ("held_out_loss", lambda self, batch, *, key: Loss(jnp.zeros(()), {}))],
)
def test_an_exact_model_with_another_loss_is_found(name, wrong, monkeypatch):
    subject = of_three_numbers(11)
    assert general.losses_are_likelihoods(subject).holds
    monkeypatch.setattr(AbstractFlow, name, wrong)
    assert not general.losses_are_likelihoods(subject).holds


def test_an_objective_that_moves_no_parameter_is_found(monkeypatch):
    subject = of_three_numbers(11)
    monkeypatch.setattr(
        AbstractFlow, "objectives", lambda self: (Objective("loss", own_loss, nnx.PathContains("nothing")),)
    )
    assert general.gradients_reach(subject).figure == len(jax.tree.leaves(nnx.state(subject.model, nnx.Param)))


def test_a_first_symbol_left_out_is_found_beyond_enumeration(monkeypatch):
    def scored(self, x, vectors, key):
        log_p = jax.nn.log_softmax(self.logits(x, vectors, key))
        return jnp.take_along_axis(log_p, x[..., None], -1).reshape(len(x), -1)[:, 1:].sum(-1)

    monkeypatch.setattr(AbstractAutoregressiveModel, "_scored", scored)
    assert not autoregressive.log_prob_is_of_logits(of_nine_pixels(5)).holds


@pytest.mark.parametrize("wrong", ["rolled", "noise"])
def test_samples_of_something_else_are_found_beyond_enumeration(wrong, monkeypatch):
    right = PixelCNN.sample

    def sample(self, n, *, key, cond=None):
        if wrong == "noise":
            return jax.random.randint(key, (n, *self.example_shape), 0, 4)
        drawn = right(self, n, key=key, cond=cond).reshape(n, -1)
        return jnp.roll(drawn, 1, axis=1).reshape(n, *self.example_shape)

    monkeypatch.setattr(PixelCNN, "sample", sample)
    assert not autoregressive.draws_from_its_logits(of_nine_pixels(6)).holds


def test_an_autoencoder_above_its_bound_is_found(monkeypatch):
    right = AbstractAutoencoder.log_prob

    def above(self, x, *, key=None, cond=None):
        return LogProb(right(self, x, key=key, cond=cond).value + 0.01, "bound")

    monkeypatch.setattr(AbstractAutoencoder, "log_prob", above)
    assert not vae.log_prob_is_the_bound(gaussian()).holds


def test_a_held_out_loss_of_nothing_is_found(monkeypatch):
    monkeypatch.setattr(AbstractAutoencoder, "held_out_loss", lambda self, batch, *, key: Loss(jnp.zeros(()), {}))
    assert not vae.held_out_loss_is_the_bound(gaussian()).holds


def wide(self, n, *, key, cond=None):
    of_latent, of_example = jax.random.split(key)
    return self.decode(10.0 * self.prior_of(None, n).draw(of_latent), key=of_example)


def means(self, n, *, key, cond=None):
    return self.decode(self.prior_of(None, n).draw(key))


@pytest.mark.parametrize("wrong", [wide, means])
def test_an_autoencoder_that_samples_something_else_is_found(wrong, monkeypatch):
    monkeypatch.setattr(AbstractAutoencoder, "sample", wrong)
    assert not likelihood.samples_by_definition(gaussian()).holds


def test_a_variance_taken_for_a_deviation_is_found(monkeypatch):
    def sample(self, output, key):
        noise = jax.random.normal(key, output.shape[:-1])
        return self.mean(output) + jnp.exp(self.log_variance(output)) * noise

    monkeypatch.setattr(Gaussian, "sample", sample)
    assert not likelihood.draws_are_of_the_likelihood(gaussian()).holds


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("log_prob", lambda right: lambda self, x, **more: LogProb(right(self, x, **more).value - 1.0, "bound")),
        ("held_out_loss", lambda right: lambda self, batch, *, key: Loss(jnp.zeros(()), {})),
    ],
)
def test_a_model_of_codes_beside_its_bound_is_found(name, wrong, monkeypatch):
    monkeypatch.setattr(VQVAE, name, wrong(getattr(VQVAE, name)))
    assert not codes.bound_is_the_joint(coded()).holds


def test_codes_that_ignore_their_prior_are_found(monkeypatch):
    def uniform(self, n, key, context=None):
        return jax.random.randint(key, (n, self.length), 0, 4)

    subject = coded()
    bias = subject.model.prior.last.bias
    bias[...] = jnp.array([4.0, 0.0, 0.0, 0.0])
    subject.model.codebook.vectors[...] = 3.0 * jax.random.normal(jax.random.key(0), (4, 2))
    monkeypatch.setattr(
        VQVAE,
        "sample",
        lambda self, n, *, key, cond=None: self.decode(uniform(self.prior, n, key).reshape(n, *self.grid), key=key),
    )
    assert not likelihood.samples_by_definition(subject).holds
    monkeypatch.setattr(type(subject.model.prior), "sample", uniform)
    assert not codes.code_prior_draws_what_it_says(subject).holds


def unadapted(name):
    def own(self, x, *, key=None, cond=None):
        of_codec, of_model = jax.random.split(jax.random.key(0) if key is None else key)
        return self.inner.log_prob(self.codec.encode(x, of_codec)[0], key=of_model, cond=cond)

    def loss(self, batch, *, key, step=None):
        of_codec, of_model = jax.random.split(key)
        inside = self._inside(batch, of_codec)[0]
        more = {} if step is None else {"step": step}
        return getattr(self.inner, name)(inside, key=of_model, **more)

    return own if name == "log_prob" else loss


@pytest.mark.parametrize("name", ["log_prob", "loss", "held_out_loss"])
def test_an_adapted_model_without_the_log_determinant_is_found(name, monkeypatch):
    subject = Subject(*ADAPTED["images before a flow"].made())
    monkeypatch.setattr(AdaptedModel, name, unadapted(name))
    assert not codec.densities_of_raw_data(subject).holds


def test_a_text_codec_that_reads_backwards_is_found(monkeypatch):
    subject = Subject(*ADAPTED["text before a transformer"].made())
    right = TextCodec._symbols
    monkeypatch.setattr(TextCodec, "_symbols", lambda self, text: right(self, text[::-1]))
    assert not codec.reads_what_it_shows(subject).holds


def test_an_exception_is_a_law_that_does_not_hold():
    def broken(subject):
        raise IndexError("list index\nout of range")

    (ruling,) = certified(gaussian(), [Law("a law", lambda model: True, broken)])
    assert ruling.line == "FAIL  a law: IndexError: list index out of range; inf (at most 0)"


def test_a_flow_of_no_layers_fails_and_does_not_end_the_certificate():
    rulings = rulings_of(MAF(Chain([]), (3,)), 0)
    assert [ruling.measured.holds for ruling in rulings] == [False]
    assert "IndexError" in rulings[0].line


def test_a_model_that_samples_nothing_is_still_refused():
    from modelwright.core.errors import CapabilityError

    class Silent(AbstractGenerativeModel):
        family = "test"
        example_shape = (2,)

    with pytest.raises(CapabilityError):
        rulings_of(Silent(), 0)
