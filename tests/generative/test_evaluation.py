"""Measures of models and samples against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from adapted_instances import INSTANCES as ADAPTED
from instances import configuration
from scipy import stats
from vae_instances import INSTANCES

from modelwright.core.errors import CapabilityError, ConfigurationError, DataError
from modelwright.factory import create_model
from modelwright.generative.conditioning import Condition
from modelwright.generative.evaluation.discrepancy import maximum_mean_discrepancy
from modelwright.generative.evaluation.likelihood import bits_per_dim, importance_weighted
from modelwright.generative.evaluation.two_sample import classifier_two_sample, wilson_interval
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.modalities import ImageCodec


def test_bits_of_eight_levels_drawn_evenly_are_three():
    found = bits_per_dim(LogProb(jnp.full(10, -12 * np.log(8)), "exact"), (2, 2, 3))
    assert found.value == pytest.approx(3.0, rel=1e-6)  # single precision of the values given
    assert found.standard_error == pytest.approx(0.0, abs=1e-6)
    assert found.n_dimensions == 12


def test_bits_of_a_bound_say_so():
    found = bits_per_dim(LogProb(jnp.array([-1.0, -2.0]), "bound"), (3,))
    assert found.value == pytest.approx(1.5 / (3 * np.log(2)))
    assert found.standard_error == pytest.approx(0.5 / (3 * np.log(2)))  # sqrt(1/2) / sqrt(2)
    assert str(found).startswith("at most 0.7213")


def test_bits_of_what_is_not_normalised_are_refused():
    with pytest.raises(ConfigurationError, match="no number of bits"):
        bits_per_dim(LogProb(jnp.zeros(2), "unnormalized"), (3,))


def test_weighted_bound_does_not_depend_on_what_is_looked_at_together():
    model, batch = INSTANCES["VAE of labels, trained with importance weights"].made()
    whole = importance_weighted(model, batch.x, 40, chunk=16, cond=batch.cond)
    parts = importance_weighted(model, batch.x, 40, chunk=5, cond=batch.cond)
    assert whole.log_prob.shape == parts.log_prob.shape == (16,)
    assert whole.as_log_prob().kind == "bound"
    own = lambda key: model.importance_weighted(batch.x, 40, key=key, cond=batch.cond).value.mean()  # noqa: E731
    means = jax.jit(jax.vmap(own))(jax.random.split(jax.random.key(9), 64))
    for found in (whole.mean, parts.mean):
        assert abs(found - float(means.mean())) < 4 * float(means.std()) * (1 + 1 / 64) ** 0.5


def test_weighted_bound_needs_latents():
    with pytest.raises(CapabilityError, match="VQVAE draws no latents to be weighted"):
        importance_weighted(INSTANCES["VQVAE, dense"].made()[0], jnp.zeros((2, 6)))


def test_the_weighted_bound_of_an_adapted_model_is_that_of_the_model_inside():
    model, batch = ADAPTED["images before an autoencoder of zeros and ones"].made()
    found = importance_weighted(model, batch.x, 40)
    assert found.as_log_prob().of == model.log_prob(batch.x).of == model.codec.probability_of != ""
    coded, _ = model.codec.encode(batch.x, jax.random.key(0))  # by a threshold: nothing is drawn, nothing is stretched
    own = lambda key: model.inner.importance_weighted(coded, 40, key=key).value.mean()  # noqa: E731
    means = jax.jit(jax.vmap(own))(jax.random.split(jax.random.key(9), 64))
    assert abs(found.mean - float(means.mean())) < 4 * float(means.std()) * (1 + 1 / 64) ** 0.5


def test_the_weighted_bound_of_an_adapted_model_counts_the_log_determinant():
    config = configuration("vae.VAE", (2, 2, 1), hidden_dims=[8], output_dim=2, parameters={"likelihood": "gaussian"})
    model = create_model(config, rngs=0, modality=ImageCodec(levels=8, edge=0.0))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 8, (16, 2, 2, 1)))
    found = importance_weighted(model, x, 400)
    inside = importance_weighted(model.inner, (x + 0.5) / 8, 400)
    # four numbers, each stretched by 8; where in its gap a number lies moves the bound by a share of a nat
    assert abs(found.mean - inside.mean + 4 * np.log(8)) < 0.5


class Weighing(AbstractGenerativeModel):
    """A model whose bound is the sum of an example, of the draws, and of what it is conditioned on."""

    example_shape = (6,)

    def __init__(self, condition=Condition(n_classes=3)):  # noqa: B008
        self.condition = condition

    def importance_weighted(self, x, draws, *, key, cond=None):
        return LogProb(x.sum(-1) + draws + self.condition.vectors(cond, len(x)) @ jnp.arange(3.0), "bound")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"cond": jnp.full(16, 99)}, "cond: labels that the model does not know; expected whole numbers from 0 to 2"),
        ({"cond": jnp.zeros(32, int)}, "cond: of another shape; expected 16 labels"),
        ({"cond": None}, "cond: the model is conditioned on something"),
        ({"x": jnp.zeros((0, 6)), "cond": jnp.zeros(0, int)}, "x: there are none; expected at least one"),
        ({"x": jnp.zeros((16, 5))}, r"x: of another shape; expected \(n, 6\)"),
        ({"draws": 2.5}, "draws: not accepted; expected a whole number of at least 1, got 2.5"),
        ({"draws": "5"}, "draws: not accepted"),
        ({"chunk": 4.0}, "chunk: not accepted"),
        ({"chunk": 0}, "chunk: not accepted"),
    ],
)
def test_arguments_of_the_weighted_bound_are_checked_before_it_is_compiled(given, message):
    given = {"x": jnp.zeros((16, 6)), "cond": jnp.zeros(16, int), "draws": 2, "chunk": 4} | given
    with pytest.raises(ConfigurationError, match=message):
        importance_weighted(Weighing(), **given)


def test_the_weighted_bound_takes_lists_and_one_condition_for_all():
    x = np.arange(96.0).reshape(16, 6)
    for cond in (1, [1] * 16, jnp.ones(16, int)):
        found = importance_weighted(Weighing(), x.tolist(), 2, chunk=5, cond=cond)
        assert found.log_prob.tolist() == (x.sum(-1) + 2 + 1).tolist()
    vector = importance_weighted(Weighing(Condition(context_dim=3)), x, 2, chunk=3, cond=np.array([0.0, 1.0, 0.0]))
    assert vector.log_prob.tolist() == (x.sum(-1) + 2 + 1).tolist()


def test_an_adapted_model_without_latents_says_which_model_has_none():
    model, batch = ADAPTED["images before a flow"].made()
    with pytest.raises(CapabilityError, match="RealNVP draws no latents to be weighted"):
        importance_weighted(model, batch.x)


def gaussian_kernel_mean(distance, variance, bandwidth, d):
    """E k(a, b) for a - b normal with mean of a given length and variance in each of d dimensions."""
    total = bandwidth**2 + variance
    return (bandwidth**2 / total) ** (d / 2) * np.exp(-(distance**2) / (2 * total))


def test_discrepancy_of_two_normals_is_that_in_closed_form():
    d, h, shift, scale = 3, 1.5, 0.8, 1.4
    exact = (
        gaussian_kernel_mean(0, 2, h, d)
        + gaussian_kernel_mean(0, 2 * scale**2, h, d)
        - 2 * gaussian_kernel_mean(shift, 1 + scale**2, h, d)
    )
    found = []
    for seed in range(40):
        generator = np.random.default_rng(seed)
        x, y = generator.normal(size=(60, d)), generator.normal(size=(50, d)) * scale + np.array([shift, 0, 0])
        found.append(maximum_mean_discrepancy(x, y, bandwidth=h, permutations=1).squared)
    # unbiased: the mean of forty estimates is the exact value within four standard errors
    assert abs(np.mean(found) - exact) < 4 * np.std(found, ddof=1) / 40**0.5
    assert exact > 8 * np.std(found, ddof=1) / 40**0.5


def test_discrepancy_is_that_of_the_pairs_one_by_one():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(5, 2)), generator.normal(size=(4, 2))
    k = lambda a, b: np.exp(-((a - b) ** 2).sum() / 2)  # noqa: E731
    within = [np.mean([k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j]) for s in (x, y)]
    expected = sum(within) - 2 * np.mean([k(a, b) for a in x for b in y])
    assert maximum_mean_discrepancy(x, y, bandwidth=1.0).squared == pytest.approx(expected, rel=1e-10)


def test_p_values_of_one_distribution_are_even():
    generator = np.random.default_rng(1)
    draw = lambda: generator.normal(size=(20, 2))  # noqa: E731
    p_values = [maximum_mean_discrepancy(draw(), draw(), permutations=99, seed=k).p_value for k in range(100)]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001
    assert maximum_mean_discrepancy(draw(), draw() + 1.5, permutations=99).p_value == 0.01


def test_bandwidth_is_the_median_distance():
    x, y = np.array([[0.0], [1.0]]), np.array([[3.0], [7.0]])
    # distances 1, 3, 7, 2, 6, 4
    assert maximum_mean_discrepancy(x, y).bandwidth == pytest.approx(np.sqrt((3**2 + 4**2) / 2))


def test_sets_that_do_not_compare_are_refused():
    with pytest.raises(DataError, match=r"expected examples of shape \(2,\), got \(3, 4\)"):
        maximum_mean_discrepancy(np.zeros((3, 2)), np.zeros((3, 4)))
    with pytest.raises(ConfigurationError, match="most examples are the same: give a bandwidth"):
        maximum_mean_discrepancy(np.zeros((3, 2)), np.zeros((3, 2)))
    with pytest.raises(DataError, match="x: not all numbers are finite"):
        classifier_two_sample(np.full((3, 2), np.nan), np.zeros((3, 2)))
    with pytest.raises(ConfigurationError, match="expected logistic or neighbours, got 'tree'"):
        classifier_two_sample(np.zeros((9, 2)), np.zeros((9, 2)), classifier="tree")
    for wrong in ("0,9", None, 1.0, np.zeros(2)):
        with pytest.raises(ConfigurationError, match="probability: no probability; expected a number between 0 and 1"):
            classifier_two_sample(np.zeros((9, 2)), np.zeros((9, 2)), probability=wrong)


@pytest.mark.parametrize("classifier", ["logistic", "neighbours"])
def test_two_shifted_normals_are_told_apart_as_well_as_can_be(classifier):
    generator = np.random.default_rng(0)
    found = classifier_two_sample(
        generator.normal(size=(900, 1)), generator.normal(1.5, 1, size=(700, 1)), classifier=classifier
    )
    best = stats.norm.cdf(0.75)  # of the threshold half-way
    error = np.sqrt(best * (1 - best) / 700)
    # neighbours lose a little by voting: at most 4 points here
    assert -4 * error - (0.04 if classifier == "neighbours" else 0.0) < found.accuracy - best < 4 * error
    assert found.n == 350  # the other halves
    assert found.told_apart
    assert found.p_value < 1e-6


@pytest.mark.parametrize("classifier", ["logistic", "neighbours"])
def test_one_distribution_is_not_told_apart(classifier):
    generator = np.random.default_rng(3)
    found = classifier_two_sample(
        generator.normal(size=(300, 3)), generator.normal(size=(300, 3)), classifier=classifier
    )
    assert abs(found.accuracy - 0.5) < 4 * 0.5 / 300**0.5
    assert found.interval[0] < 0.5 < found.interval[1]


def test_one_distribution_is_told_apart_as_seldom_as_is_said():
    generator = np.random.default_rng(0)
    found = [classifier_two_sample(*generator.normal(size=(2, 50, 2)), seed=k) for k in range(60)]
    outside = sum(not low <= 0.5 <= high for low, high in (each.interval for each in found))
    low = sum(each.p_value <= 0.05 for each in found)
    most = stats.binom.ppf(0.999, 60, 0.05)
    assert outside <= most
    assert low <= most


def test_a_difference_of_spread_is_seen_by_neighbours():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(400, 2)), 3 * generator.normal(size=(400, 2))
    assert classifier_two_sample(x, y, classifier="neighbours").told_apart


@pytest.mark.parametrize("n", [5, 9, 10, 30])
def test_few_examples_far_apart_are_told_apart_by_neighbours(n):
    x = np.random.default_rng(4).standard_normal((n, 2))
    assert classifier_two_sample(x, x[::-1] + 1000.0, classifier="neighbours").accuracy == 1.0


def test_examples_are_never_predicted_by_what_has_seen_them():
    # two sets of the same rows: who has seen a row knows its neighbour; left out, the accuracy is at most one half
    x = np.random.default_rng(0).normal(size=(200, 4))
    assert classifier_two_sample(x, x, classifier="neighbours").accuracy < 0.5


def test_wilson_intervals_cover():
    n, p = 40, 0.6
    covered = [low <= p <= high for low, high in (wilson_interval(k, n) for k in range(n + 1))]
    assert stats.binom.pmf(range(n + 1), n, p)[covered].sum() == pytest.approx(0.95, abs=0.02)
