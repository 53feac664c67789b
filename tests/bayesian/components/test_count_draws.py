"""Counts drawn by NumPy follow the probabilities that their distributions state."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from scipy import stats

from modelwright.bayesian.components.count_distributions import (
    NegativeBinomialByLogits,
    NegativeBinomialByMean,
    PoissonByMean,
    ZeroInflated,
)
from modelwright.bayesian.components.count_draws import LARGEST_MEAN, draw_counts

N = 20_000

INSTANCES = {
    "by logits": lambda: NegativeBinomialByLogits(jnp.array([0.7, 3.0]), 1.0),
    "mostly zero": lambda: NegativeBinomialByLogits(jnp.array([1e-3, 0.05]), 5.0),
    "by mean": lambda: NegativeBinomialByMean(jnp.array([0.7, 3.0]), jnp.array([2.0, jnp.inf])),
    "poisson": lambda: PoissonByMean(jnp.array([0.7, 3.0])),
    "gated": lambda: ZeroInflated(NegativeBinomialByLogits(jnp.array([0.7, 3.0]), 1.0), jnp.array([-1.0, 1.0])),
    "drawn by its own method": lambda: dist.Binomial(60, jnp.array([0.02, 0.1])),
}


@pytest.mark.parametrize("make", INSTANCES.values(), ids=INSTANCES)
def test_draws_follow_the_probabilities(make):
    each = make()
    drawn = draw_counts(each.expand((N, 2)).to_event(1), np.random.default_rng(1))
    assert drawn.shape == (N, 2)
    assert drawn.dtype.kind == "i"
    for k in range(2):
        count = np.arange(60)
        with np.errstate(divide="ignore"):
            probability = np.exp(np.asarray(each.log_prob(jnp.stack([count, count], -1)), float))[:, k]
        expected = N * np.append(probability, max(1.0 - probability.sum(), 0.0))
        seen = np.bincount(np.minimum(drawn[:, k], 60), minlength=61)
        usual = expected > 5.0  # where Pearson's statistic is distributed as chi-square
        apart, rest = (seen - expected)[usual], N - expected[usual].sum()
        statistic = (apart**2 / expected[usual]).sum() + apart.sum() ** 2 / max(rest, 5.0)
        assert statistic < stats.chi2.isf(1e-4, usual.sum())


def test_cells_and_genes_are_laid_out_as_their_parameters():
    """Means differ by four orders along each axis, beyond any draw."""
    with jax.enable_x64(True):
        of_cells = jnp.log(jnp.array([1.0, 1e4]))[:, None]
        fn = NegativeBinomialByLogits(jnp.array([10.0, 1e5, 1e9]), of_cells).to_event(1)
        drawn = draw_counts(fn, np.random.default_rng(0))
    expected = np.minimum(np.array([10.0, 1e5, 1e9]) * np.array([[1.0], [1e4]]), LARGEST_MEAN)
    assert np.all(np.abs(np.log(drawn / expected)) < 2.0)  # six standard deviations of the smallest Gamma


def test_equal_generators_draw_equal_counts():
    fn = PoissonByMean(jnp.full(50, 3.0))
    first, again, other = (draw_counts(fn, np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert (first == again).all()
    assert not (first == other).all()


def test_a_mixture_is_drawn_by_its_own_method():
    parts = NegativeBinomialByLogits(jnp.array([[1.0], [50.0]]), jnp.array([0.0, 1.0])).to_event(1)
    mixture = dist.MixtureSameFamily(dist.Categorical(probs=jnp.array([0.5, 0.5])), parts)
    drawn = draw_counts(mixture.expand((400,)), np.random.default_rng(0))
    assert drawn.shape == (400, 2)
    # the components' means are (1, e) and 50 times that: four standard errors of a binomial share
    assert abs((drawn[:, 1] > 30).mean() - 0.5) < 4 * 0.5 / np.sqrt(400)
