"""What each autoencoder adds: weights, conditions, codes, reports."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from instances import configuration
from vae_instances import INSTANCES

from modelwright.core.errors import ConfigurationError
from modelwright.factory import create_model
from modelwright.generative.laws.vae import log_likelihood_by_quadrature
from modelwright.generative.protocol import Batch
from modelwright.generative.training.settings import TrainingSettings
from modelwright.generative.training.trainer import Trainer
from modelwright.generative.vae.autoencoder import log_mean_exp, log_mean_exp_of
from modelwright.generative.vae.beta_vae import BetaVAE
from modelwright.generative.vae.code_prior import CausalPrior
from modelwright.generative.vae.codebook import Codebook, perplexity
from modelwright.generative.vae.cvae import CVAE
from modelwright.generative.vae.report import latent_report
from modelwright.generative.vae.vae import VAE
from modelwright.generative.vae.vqvae import VQVAE

CLASSES = {"VAE": VAE, "BetaVAE": BetaVAE, "CVAE": CVAE, "VQVAE": VQVAE}


def small(model_class, **parameters):
    parameters |= {"n_classes": 2} if model_class == "CVAE" else {}
    return create_model(
        configuration(f"vae.{model_class}", (4,), hidden_dims=[8], output_dim=2, parameters=parameters), rngs=0
    )


@pytest.mark.parametrize("name", CLASSES)
def test_a_name_makes_exactly_its_class(name):
    assert type(small(name)) is CLASSES[name]


@pytest.mark.parametrize("name", CLASSES)
def test_classes_are_final(name):
    assert CLASSES[name].__final__


def loss(model, step=0, x=None):
    x = jnp.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]) if x is None else x
    return model.loss(Batch(x), key=jax.random.key(0), step=jnp.asarray(step))


@pytest.mark.parametrize(("step", "weight"), [(0, 0.0), (5, 1.5), (10, 3.0), (1000, 3.0)])
def test_beta_warms_up(step, weight):
    model = small("BetaVAE", beta=3.0, warm_up_steps=10)
    found = loss(model, step)
    assert float(found.metrics["kl_weight"]) == pytest.approx(weight)
    assert float(found.value) == pytest.approx(float(found.metrics["distortion"] + weight * found.metrics["rate"]))


def test_beta_is_not_one_unasked():
    assert float(loss(small("BetaVAE")).metrics["kl_weight"]) == 4.0
    assert float(loss(small("VAE", kl_weight=0.5, beta=3.0)).metrics["kl_weight"]) == 1.5


def test_without_its_weight_the_divergence_has_no_gradient():
    model = small("VAE", kl_weight=0.0)
    found = loss(model)
    assert float(found.value) == float(found.metrics["distortion"])  # an autoencoder


def test_importance_weighted_loss_is_the_bound_of_its_own_draws():
    model, x = small("VAE", training_draws=5), jnp.array([[0.0, 1.0, 1.0, 0.0]])
    q, p = model.posterior(x, None), model.prior_of(None, 1)
    z = q.draw(jax.random.split(jax.random.key(0), 3)[0], (5,))
    logits = jnp.stack([model.decoder(each, None, None)[..., 0] for each in z])
    log_joint = (x * logits - jnp.log1p(jnp.exp(logits))).sum(-1) + p.log_prob(z)
    expected = -jnp.log(jnp.exp(log_joint - q.log_prob(z)).mean(0))
    np.testing.assert_allclose(loss(model, x=x).value, expected[0], rtol=1e-5)  # single precision


def test_bound_of_many_latents_is_the_likelihood_by_quadrature():
    model, batch = INSTANCES["VAE, dense"].made()
    exact = log_likelihood_by_quadrature(model, batch.x[:4], None, model.posterior(batch.x[:4], None))
    keys = jax.random.split(jax.random.key(0), 16)
    bounds = jnp.stack([model.importance_weighted(batch.x[:4], 512, key=key).value for key in keys])
    error = bounds.std(0, ddof=1) / len(keys) ** 0.5
    # the gap that is left is half the relative variance of the mean weight, the square of the spread of the bounds
    assert (jnp.abs(bounds.mean(0) - exact) < 4 * error + bounds.var(0)).all()
    total = 0.0
    corners = jnp.asarray(np.indices((2,) * 4).reshape(4, -1).T, jnp.float32)
    model = small("VAE")
    total = jnp.exp(log_likelihood_by_quadrature(model, corners, None, model.posterior(corners, None))).sum()
    assert float(total) == pytest.approx(1.0, abs=1e-5)  # all sixteen examples that there are


def test_log_mean_exp_of_equal_weights_is_that_weight():
    np.testing.assert_allclose(log_mean_exp(jnp.full((50, 2), -1000.0)), -1000.0)


def test_log_prob_takes_no_more_memory_for_more_draws():
    model = small("VAE")
    graph, state = nnx.split(model)

    def temporary(draws):
        run = lambda state, x: nnx.merge(graph, state).importance_weighted(x, draws, key=jax.random.key(0)).value  # noqa: E731
        return jax.jit(run).lower(state, jnp.zeros((512, 4))).compile().memory_analysis().temp_size_in_bytes

    # a log weight of each draw and example is kept, and its key: 4 bytes and 8; not the output of the decoder
    assert temporary(1000) - temporary(10) <= 990 * (2 * 4 * 512 + 16)


def test_a_conditional_model_needs_a_condition():
    with pytest.raises(ConfigurationError, match="CVAE needs something to be conditioned on"):
        create_model(configuration("vae.CVAE", (4,)), rngs=0)


def test_a_conditional_model_learns_what_each_label_looks_like():
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, 400)
    x = (generator.random((400, 4)) < np.where(labels[:, None], 0.9, 0.1)).astype(np.float32)
    model = small("CVAE")
    Trainer(model, TrainingSettings(batch_size=50, learning_rate=0.01)).fit((x, labels), steps=300)
    for label in (0, 1):
        share = float(model.sample(500, key=jax.random.key(label), cond=jnp.asarray(label)).mean())
        assert abs(share - (0.1 + 0.8 * label)) < 0.05  # four standard errors of 2,000 entries are 0.027
    report = latent_report(model, jnp.asarray(x), cond=jnp.asarray(labels))
    assert report.divergence.sum() < 0.2  # the prior of the label says what there is to say


def test_the_latent_report_counts_what_is_used():
    generator = np.random.default_rng(0)
    x = np.repeat(generator.integers(0, 2, (400, 1)), 12, axis=1).astype(np.float32)
    one = configuration("vae.VAE", (12,), hidden_dims=[8], output_dim=3)
    model = create_model(one, rngs=0)
    Trainer(model, TrainingSettings(batch_size=50, learning_rate=0.01)).fit(x, steps=400)
    report = latent_report(model, jnp.asarray(x), chunk=150)
    assert report.n_active == 1  # there is one bit to be said
    assert 0.6 < report.divergence.sum() < 1.2  # at least log 2
    assert "1 of 3 latents are active" in str(report)


def test_a_context_for_all_is_no_row_of_each_example():
    fields = {"hidden_dims": [], "output_dim": 1, "parameters": {"context_dim": 3}}
    model = create_model(configuration("vae.VAE", (2,), **fields), rngs=0)
    x, context = jnp.eye(3, 2), jnp.arange(3.0)
    every = latent_report(model, x, cond=jnp.tile(context, (3, 1)), chunk=2)
    np.testing.assert_array_equal(latent_report(model, x, cond=context, chunk=2).divergence, every.divergence)


def test_a_collapsed_posterior_is_reported():
    model = small("VAE")
    last = model.encoder.net.layers[-1]
    last.kernel[...] = jnp.zeros_like(last.kernel[...])
    report = latent_report(model, jnp.eye(4))
    assert report.collapsed
    assert report.divergence.max() < 1e-6
    assert "the posterior has collapsed" in str(report)
    assert float(loss(model).metrics["active_units"]) == 0


def test_codes_are_the_nearest():
    codebook = Codebook(7, 3, rngs=nnx.Rngs(0))
    z = jax.random.normal(jax.random.key(1), (4, 5, 3))
    distances = np.linalg.norm(np.asarray(z)[..., None, :] - np.asarray(codebook.vectors[...]), axis=-1)
    assert (np.asarray(codebook.nearest(z)) == distances.argmin(-1)).all()


def test_what_is_no_number_has_no_code():
    fields = {"hidden_dims": [], "output_dim": 2, "parameters": {"codebook_size": 4, "n_codes": 2}}
    model = create_model(configuration("vae.VQVAE", (2,), **fields), rngs=0)
    codes = model.encode(np.array([[0.0, 1.0], [np.nan, 0.0], [0.0, np.inf]]))
    assert (codes == -1).all(-1).tolist() == [False, True, True]
    assert (codes[0] >= 0).all()
    with pytest.raises(ConfigurationError, match="z: codes that the model does not know"):
        model.decode(codes)


def test_codes_far_from_zero_are_the_nearest():
    codebook = Codebook(3, 2, rngs=nnx.Rngs(0))
    codebook._put(4096.0 + jnp.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), jnp.ones(3))
    z = 4096.0 + jnp.array([[0.25, 0.125], [0.75, 0.25], [0.25, 0.75], [0.375, 0.625]])  # exact in single precision
    assert codebook.nearest(z).tolist() == [0, 1, 2, 2]


def test_codebook_follows_the_moving_averages():
    codebook = Codebook(2, 1, decay=0.9, restart_share=0.0, rngs=nnx.Rngs(0))
    codebook.begin(jnp.array([[0.0], [1.0]]), jax.random.key(0))
    codebook._put(jnp.array([[0.0], [1.0]]), jnp.ones(2))
    z = jnp.array([[0.2], [0.4], [2.0]])
    codebook.update(z, codebook.nearest(z), jax.random.key(0))
    # N = 0.9 + 0.1 n, m = 0.9 m + 0.1 sum of z
    np.testing.assert_allclose(codebook.counts[...], [1.1, 1.0], rtol=1e-6)
    np.testing.assert_allclose(codebook.vectors[...].ravel(), [0.06 / 1.1, 1.1], rtol=1e-6)


@pytest.mark.parametrize("decay", [0.99, 0.9999])
def test_a_codebook_stays_where_its_data_stay(decay):
    codebook = Codebook(64, 1, decay=decay, restart_share=0.0, rngs=nnx.Rngs(0))
    codebook._put(jnp.arange(64.0)[:, None], jnp.ones(64))
    graph, state = nnx.split(codebook)
    z = jnp.asarray([[3.0]] * 5 + [[7.0]])  # the other codes are never used

    def update(state, key):
        codebook = nnx.merge(graph, state)
        codebook.update(z, codebook.nearest(z), key)
        return nnx.state(codebook), None

    state, _ = jax.jit(lambda state: jax.lax.scan(update, state, jax.random.split(jax.random.key(0), 20_000)))(state)
    vectors = np.asarray(nnx.merge(graph, state).vectors[...]).ravel()
    np.testing.assert_allclose(vectors, np.arange(64.0), rtol=1e-4)  # rounding of as many quotients, without drift


def test_dead_codes_start_again_where_data_are():
    codebook = Codebook(3, 1, decay=0.5, restart_share=0.1, rngs=nnx.Rngs(0))
    codebook._put(jnp.array([[0.0], [1.0], [99.0]]), jnp.ones(3))
    z = jnp.array([[0.1], [0.9], [1.1], [-0.1]])
    restarted = [int(codebook.update(z, codebook.nearest(z), jax.random.key(k))) for k in range(8)]
    assert sum(restarted) == 1
    assert float(jnp.abs(codebook.vectors[...]).max()) < 1.2


def test_perplexity_of_even_use_is_the_number_of_codes():
    assert float(perplexity(jnp.arange(8), 8)) == pytest.approx(8.0, rel=1e-5)
    assert float(perplexity(jnp.zeros(8, jnp.int32), 8)) == 1.0


def test_the_prior_sees_the_first_code_from_the_last():
    prior = CausalPrior(40, 3, width=4, rngs=nnx.Rngs(0))
    codes = jnp.zeros((2, 40), jnp.int32).at[1, 0].set(2)
    one, other = prior.logits(codes)
    assert (one[0] == other[0]).all()
    assert (one[39] != other[39]).any()


def test_drawn_codes_have_the_probabilities_of_the_prior():
    prior = CausalPrior(3, 2, width=8, rngs=nnx.Rngs(1))
    rows = jnp.asarray(np.indices((2, 2, 2)).reshape(3, -1).T)
    p = np.asarray(jnp.exp(prior.log_prob(rows)))
    drawn = np.asarray(prior.sample(4000, jax.random.key(0))) @ [4, 2, 1]
    share = np.bincount(drawn, minlength=8) / 4000
    assert (np.abs(share - p) < 4 * np.sqrt(p * (1 - p) / 4000)).all()


def test_objectives_move_their_own_parameters():
    model = small("VQVAE", codebook_size=4, n_codes=2, prior_width=4)
    params = nnx.state(model, nnx.Param)
    whole = len(jax.tree.leaves(params))
    moved = [nnx.split_state(params, each.moves, ...)[0] for each in model.objectives()]
    assert sum(len(jax.tree.leaves(each)) for each in moved) == whole
    assert set(nnx.to_pure_dict(moved[0])) == {"encoder", "decoder"}
    assert set(nnx.to_pure_dict(moved[1])) == {"prior"}


def test_codes_are_trained_with_their_prior():
    generator = np.random.default_rng(0)
    patterns = np.array([[0, 0, 1, 1], [1, 1, 0, 0], [1, 0, 0, 1]])
    x = patterns[generator.integers(0, 3, 600)].astype(np.float32)
    model = small("VQVAE", codebook_size=6, n_codes=2, prior_width=16)
    fit = Trainer(model, TrainingSettings(batch_size=60, learning_rate=0.01)).fit(x, steps=600)
    assert fit.ended == "complete"
    bound = float(model.log_prob(jnp.asarray(x)).mean())
    assert -1.25 < bound < -1.05  # at most minus the entropy, log 3 = 1.0986, and that of 600 draws a little apart
    samples = np.asarray(model.sample(300, key=jax.random.key(0)))
    assert np.mean([any((row == pattern).all() for pattern in patterns) for row in samples]) > 0.95


@pytest.mark.parametrize(("name", "draws"), [*((name, 1) for name in CLASSES), ("VAE", 20)])
def test_held_out_loss_is_unweighted_and_changes_nothing(name, draws):
    model = small(name, **({"beta": 9.0} if name == "BetaVAE" else {"training_draws": draws} if draws > 1 else {}))
    graph, state = nnx.split(model)
    batch = Batch(jnp.array([[0.0, 1.0, 1.0, 0.0]]), jnp.array([1]) if name == "CVAE" else None)

    def both(state, key):
        model = nnx.merge(graph, state, copy=True)
        of_loss, of_bound = jax.random.split(key)
        loss = model.held_out_loss(batch, key=of_loss).value
        if name == "VQVAE":
            bound = model.log_prob(batch.x)
        else:
            bound = model.importance_weighted(batch.x, draws, key=of_bound, cond=batch.cond)
        return loss + bound.mean(), nnx.state(model)

    keys = jax.random.split(jax.random.key(0), 256)
    apart, after = jax.jit(lambda state: jax.vmap(lambda key: both(state, key))(keys))(state)
    assert abs(float(apart.mean())) <= 4 * float(apart.std()) / 16 + 1e-5
    leaves = zip(jax.tree.leaves(state), jax.tree.leaves(after), strict=True)
    assert all((a == b).all() for a, b in leaves)


def test_the_mean_weight_needs_no_weights_to_be_kept():
    keys = jax.random.split(jax.random.key(0), 50)
    size = jnp.array([0.1, 30.0, 1e3, 0.0])  # far apart, so that the largest changes on the way

    def log_weight(key):
        return -5000.0 + size * jax.random.normal(key, (4,))

    def impossible(key):
        return jnp.full(4, -jnp.inf)

    found = jax.jit(lambda keys: log_mean_exp_of(log_weight, keys))(keys)
    np.testing.assert_allclose(found, log_mean_exp(jax.vmap(log_weight)(keys)), rtol=1e-6)  # single precision
    assert (log_mean_exp_of(impossible, keys) == -jnp.inf).all()


def test_the_mean_weight_has_the_slope_of_its_formula():
    keys = jax.random.split(jax.random.key(0), 5)

    def along(a):
        return lambda key: a * jax.random.normal(key, (3,))

    kept = jax.grad(lambda a: log_mean_exp(jax.vmap(along(a))(keys)).sum())(1.5)
    np.testing.assert_allclose(jax.grad(lambda a: log_mean_exp_of(along(a), keys).sum())(1.5), kept, rtol=1e-5)
