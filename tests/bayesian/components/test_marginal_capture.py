"""Capture probabilities integrated out, against other quadratures of the textbook formulas."""

import itertools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import integrate, special, stats

from modelwright.bayesian.components.captured_cells import CapturedCellsLikelihood
from modelwright.bayesian.components.compressed_counts import compress_matrix
from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood
from modelwright.bayesian.components.marginal_capture import (
    LEAST_PRIOR,
    capture_quantile,
    marginal_capture_log_likelihood,
    marginal_cell_log_prob,
    marginal_total_log_prob,
)
from modelwright.core.errors import ConfigurationError

PRIORS = [(1.0, 1.0), (0.3, 0.3), (2.0, 38.0), (50.0, 3.0), (0.5, 200.0)]
GRID = list(itertools.product([0, 3, 200, 20_000], [0.05, 3.0, 800.0, 2e5], [-8.0, -1.0, 6.0], PRIORS))
NODE, WEIGHT = np.polynomial.legendre.leggauss(40)


def by_panels(total, concentration, logits, a, b):
    """Log of the integral by eighty Gauss-Legendre panels on a fine scale around the mode."""
    constant = special.gammaln(total + concentration) - special.gammaln(concentration) - special.gammaln(total + 1.0)
    constant -= special.gammaln(a) + special.gammaln(b) - special.gammaln(a + b)

    def f(x):
        log_nu = special.log_expit(x)
        at = logits + log_nu
        prior = a * log_nu + b * special.log_expit(-x)
        return prior + total * special.log_expit(at) + concentration * special.log_expit(-at)

    mode = 0.0
    for half in (300.0, 1.0, 1e-3):  # the best of a grid, then of a finer one about it
        near = mode + np.linspace(-half, half, 4001)
        mode = near[f(near).argmax()]
    far = np.geomspace(1e-5, 400.0, 2001)
    left, right = (far[np.argmax(f(mode + side * far) < f(mode) - 45.0)] for side in (-1, 1))
    share = np.linspace(0.0, 1.0, 41) ** 3
    edges = np.concatenate([mode - left * share[::-1], mode + right * share[1:]])
    half = np.diff(edges)[:, None] / 2
    x = edges[:-1, None] + half + half * NODE
    mass = np.exp(f(x) - f(mode)) * WEIGHT * half
    return constant + f(mode) + np.log(mass.sum())


def test_integrals_over_the_whole_range():
    columns = [np.array(part, float) for part in zip(*[(t, r, e, a, b) for t, r, e, (a, b) in GRID], strict=True)]
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(marginal_total_log_prob))(*columns)
    truth = [by_panels(*at) for at in zip(*columns, strict=True)]
    np.testing.assert_allclose(found, truth, rtol=1e-9, atol=1e-9)


def test_a_table_is_the_product_of_its_cells_each_integrated_over_all_its_genes():
    counts, r, logits, a, b = np.array([[0, 2, 5], [1, 0, 0], [7, 0, 0]]), np.array([0.4, 2.0, 1.1]), 1.2, 2.0, 5.0
    table = compress_matrix(counts)

    def cell(nu, y):
        odds = nu * np.exp(logits)
        return stats.nbinom.pmf(y, r, 1 / (1 + odds)).prod() * stats.beta.pdf(nu, a, b)

    truth = sum(np.log(integrate.quad(cell, 0, 1, args=(y,), epsrel=1e-12, epsabs=0)[0]) for y in counts)
    with jax.enable_x64(True):
        likelihood = jax.jit(jax.value_and_grad(lambda *at: marginal_capture_log_likelihood(table, *at), (0, 1, 2, 3)))
        at = [jnp.asarray(each) for each in (r, logits, a, b)]
        value, slopes = likelihood(*at)
        for position, slope in enumerate(slopes):  # central differences of step 1e-5: error 1e-9 of the size
            first = jnp.zeros_like(at[position]).reshape(-1).at[0].set(1e-5).reshape(at[position].shape)
            moved = [
                likelihood(*at[:position], at[position] + sign * first, *at[position + 1 :])[0] for sign in (1, -1)
            ]
            assert (moved[0] - moved[1]) / 2e-5 == pytest.approx(float(slope.reshape(-1)[0]), rel=1e-6, abs=1e-8)
        by_cell = marginal_cell_log_prob(counts, *at).sum()
    assert float(value) == pytest.approx(truth, rel=1e-10)
    assert float(by_cell) == pytest.approx(truth, rel=1e-10)


def test_quantiles_cut_off_their_share():
    total, r, logits, a, b = np.array([0.0, 40.0, 900.0]), 30.0, 4.0, 2.0, 7.0
    level, place = np.tile([0.003, 0.05, 0.5, 0.95], 3), np.repeat([0, 1, 2], 4)
    with jax.enable_x64(True):
        found = np.asarray(jax.jit(lambda q: capture_quantile(q, place, total, r, logits, a, b))(level))

    def density(nu, t):
        return stats.nbinom.pmf(t, r, 1 / (1 + nu * np.exp(logits))) * stats.beta.pdf(nu, a, b)

    def below(nu, t, start=0.0):
        return integrate.quad(density, start, nu, args=(t,), epsrel=1e-11, epsabs=0)[0]

    for q, at, nu in zip(level, place, found, strict=True):
        t = total[at]
        whole = below(nu, t) + below(1.0, t, start=nu)
        assert below(nu, t) / whole == pytest.approx(q, abs=1e-6)


def test_quantiles_of_extreme_priors_and_totals():
    """Against the distribution function by panels: sharp peaks, long tails and edges alike."""
    with jax.enable_x64(True):
        quantile = jax.jit(capture_quantile)
        for t, r, e, (a, b) in GRID[::7]:
            nu = np.asarray(quantile(np.array([0.2, 0.9]), np.zeros(2, int), np.array([float(t)]), r, e, a, b))
            share = [share_below(x, t, r, e, a, b) for x in nu]
            np.testing.assert_allclose(share, [0.2, 0.9], atol=1e-4)


def share_below(nu, total, concentration, logits, a, b):
    """Share of the distribution of the logit of nu below this one, on two million points of a fine scale."""
    x = special.logit(nu)

    def f(at):
        log_nu = special.log_expit(at)
        seen = logits + log_nu
        value = a * log_nu + b * special.log_expit(-at)
        return value + total * special.log_expit(seen) + concentration * special.log_expit(-seen)

    peak = f(x)
    near = np.geomspace(1e-6, 2000.0, 200_001)
    left, right = x - near[::-1], x + near
    highest = max(f(left).max(), f(right).max(), peak)
    of = [integrate.simpson(np.exp(f(part) - highest), x=part) for part in (left, right)]
    return of[0] / sum(of)


def by_hypergeometric(total, concentration, logits, a, b):
    """The integral in closed form, in fifty digits."""
    with mpmath.workdps(50):
        t, r, o, a, b = (mpmath.mpf(each) for each in (total, concentration, np.exp(logits), a, b))
        of_totals = mpmath.gamma(t + r) / (mpmath.gamma(r) * mpmath.factorial(t)) * o**t
        of_shares = mpmath.beta(a + t, b) / mpmath.beta(a, b) * mpmath.hyp2f1(t + r, a + t, a + b + t, -o)
        return float(mpmath.log(of_totals * of_shares))


def test_the_smallest_arguments_that_are_taken_are_integrated_right():
    priors = [(LEAST_PRIOR, 1.0), (1.0, LEAST_PRIOR), (LEAST_PRIOR, LEAST_PRIOR), (20.0, LEAST_PRIOR)]
    of_cells = [(0.0, 50.0, 0.0), (3.0, 20.0, -1.0), (40.0, 5.0, 3.0), (400.0, 50.0, 3.0)]
    cases = [(*cell, *prior) for cell in of_cells for prior in priors]
    with jax.enable_x64(True):
        found = jax.jit(jax.vmap(marginal_total_log_prob))(*np.array(cases).T)
    truth = [by_hypergeometric(*case) for case in cases]
    np.testing.assert_allclose(found, truth, rtol=0.0, atol=1e-5)  # twice what the rule errs by at this edge


def test_smaller_arguments_are_refused_and_traced_ones_have_no_density():
    for prior in ((9e-4, 1.0), (1.0, 0.0), (np.nan, 1.0)):
        with pytest.raises(ConfigurationError, match=r"prior: .* too small to integrate over; expected at least 0.001"):
            marginal_total_log_prob(3.0, 2.0, 0.0, *prior)
        with pytest.raises(ConfigurationError, match="too small to integrate over"):
            CapturedCellsLikelihood(NegativeBinomialLikelihood(capture="p_capture"), prior)
    with pytest.raises(ConfigurationError, match="the second argument"):
        capture_quantile(np.array([0.5]), np.array([0]), np.zeros(1), 2.0, 0.0, 1.0, 1e-6)
    found = jax.jit(lambda a: marginal_total_log_prob(3.0, 2.0, 0.0, a, 1.0))(np.array(9e-4))
    assert np.isnan(found)


def test_perfect_capture_is_no_capture_in_the_limit():
    with jax.enable_x64(True):
        found = marginal_total_log_prob(jnp.array([0.0, 7.0]), 3.0, 0.4, 1e9, 1.0)
    truth = stats.nbinom.logpmf([0, 7], 3.0, 1 / (1 + np.exp(0.4)))
    np.testing.assert_allclose(found, truth, atol=1e-8)  # nu is one up to 1e-9


def test_batches_are_refused():
    table = compress_matrix(np.array([[1], [2]]), np.array([0, 1]))
    with pytest.raises(ConfigurationError, match="without batches; got '2 batches'"):
        marginal_capture_log_likelihood(table, 1.0, 0.0, 1.0, 1.0)
