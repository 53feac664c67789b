"""Kernels of counts against arithmetic with fifty digits: value and gradient, float32 and float64, tiny to huge."""

import itertools
from functools import cache

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest
from scipy import stats

from modelwright.bayesian.components.count_kernels import (
    negative_binomial_log_prob,
    negative_binomial_mean_log_prob,
    poisson_log_prob,
)
from modelwright.bayesian.components.stirling_series import digamma_rise, log_beta, log_rise
from modelwright.bayesian.components.zero_inflation import (
    log_zero_with_gate,
    zero_inflated_negative_binomial_log_prob,
    zero_inflated_poisson_log_prob,
)

CONCENTRATION = [1e-6, 1e-3, 0.3, 1.0, 3.99, 4.0, 9.99, 10.0, 37.0, 1e3, 1e5, 1e8]
MEAN = [1e-8, 0.3, 5.2, 1e4, 1e7]
COUNT = [0, 1, 2, 17, 12_345, 10_000_000]
KINDS = [np.float32, np.float64]
# Errors are counted in units of rounding (eps) of the type. Found on this grid: 3 in float32 and 11 in float64, where
# Stirling's formula is reached in ten steps instead of four. 16 is 2e-6 in float32 and 4e-15 in float64.
UNITS = 16
# Where two terms of one sign each are left to cancel, units of their sum.
SLOPE_UNITS = 48


def exactly(function, *arguments):
    with mpmath.workdps(50):
        return function(*(mpmath.mpf(float(each)) for each in arguments))


def x64(kind):
    return jax.enable_x64(kind is np.float64)


@cache
def grid(kind):
    """Arguments, what the kernels say and their derivatives, from one compiled function."""
    points = list(itertools.product(COUNT, MEAN, CONCENTRATION))
    near = [(m + d, m, r) for m in (5.0, 1e4, 1e7) for d in (-1, 0, int(3 * m**0.5)) for r in CONCENTRATION]
    y, mean, r = (np.array(part, kind) for part in zip(*points + near, strict=True))
    logits = np.log(mean.astype(float) / r.astype(float)).astype(kind)

    def everything(y, mean, r, logits):
        return {
            "mean": jax.value_and_grad(lambda m, c: negative_binomial_mean_log_prob(y, m, c), (0, 1))(mean, r),
            "logits": jax.value_and_grad(lambda c, at: negative_binomial_log_prob(y, c, at), (0, 1))(r, logits),
            "poisson": jax.value_and_grad(lambda m: poisson_log_prob(y, m))(mean),
            "rise": jax.value_and_grad(lambda c: log_rise(c, y))(r),
            "limit": negative_binomial_mean_log_prob(y, mean, jnp.inf),
        }

    with x64(kind):
        found = jax.jit(jax.vmap(everything))(y, mean, r, logits)
    return (y, mean, r, logits), jax.tree.map(np.asarray, found)


def units(found, truth, size, kind):
    """Largest error in units of rounding of `size`, and where it is."""
    floor = float(np.finfo(kind).tiny)  # below the smallest normal number nothing has its digits
    off = [abs(float(f) - t) / max(s, floor) for f, t, s in zip(found, truth, size, strict=True)]

    return max(off) / float(np.finfo(kind).eps)


def value_size(truth):
    return [max(mpmath.mpf(1), abs(t)) for t in truth]


def log_coefficient(y, r):
    return mpmath.loggamma(y + r) - mpmath.loggamma(r) - mpmath.loggamma(y + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_by_mean_value_and_gradient_keep_their_digits(kind):
    (y, mean, r, _), found = grid(kind)
    value, (in_mean, in_concentration) = found["mean"]
    assert value.dtype == kind
    value_truth, mean_truth, concentration_truth, size = [], [], [], []
    with mpmath.workdps(50):
        for at in zip(y, mean, r, strict=True):
            k, m, c = (mpmath.mpf(float(each)) for each in at)
            value_truth.append(log_coefficient(k, c) + c * mpmath.log(c / (c + m)) + k * mpmath.log(m / (c + m)))
            mean_truth.append((k - m) / (m * (1 + m / c)))
            delta = (k - m) / (c + m)
            falling = delta - mpmath.log1p(delta)
            rising = mpmath.digamma(k + c) - mpmath.digamma(c) - mpmath.log((k + c) / c)
            concentration_truth.append(rising - falling)
            size.append(rising + falling)
        assert units(value, value_truth, value_size(value_truth), kind) < UNITS
        assert units(in_mean, mean_truth, [abs(t) for t in mean_truth], kind) < UNITS
        assert units(in_concentration, concentration_truth, size, kind) < SLOPE_UNITS


@pytest.mark.parametrize("kind", KINDS)
def test_by_logits_value_and_gradient_are_those_of_log_odds_a_few_units_away(kind):
    (y, _, r, logits), found = grid(kind)
    value, (in_concentration, in_logits) = found["logits"]
    value_truth, spread, size, slope, slope_size = [], [], [], [], []
    with mpmath.workdps(50):
        for at in zip(y, r, logits, strict=True):
            k, c, e = (mpmath.mpf(float(each)) for each in at)
            q = 1 / (1 + mpmath.exp(e))
            value_truth.append(log_coefficient(k, c) + c * mpmath.log(q) + k * mpmath.log1p(-q))
            spread.append(k * q - c * (1 - q))
            size.append(k * q + c * (1 - q))
            rise = mpmath.digamma(k + c) - mpmath.digamma(c)
            slope.append(rise + mpmath.log(q))
            slope_size.append(size[-1] / c if c > size[-1] else rise - mpmath.log(q))
        # |derivative in the log-odds| is what moving them by one costs: by a unit of rounding, units of it
        moved = [s + abs(d) for s, d in zip(value_size(value_truth), spread, strict=True)]
        assert units(value, value_truth, moved, kind) < UNITS
        assert units(in_logits, spread, size, kind) < UNITS
        assert units(in_concentration, slope, slope_size, kind) < SLOPE_UNITS


@pytest.mark.parametrize("kind", KINDS)
def test_poisson_and_the_limit_of_the_negative_binomial(kind):
    (y, mean, _, _), found = grid(kind)
    value, in_mean = found["poisson"]
    with mpmath.workdps(50):
        pairs = [(mpmath.mpf(float(k)), mpmath.mpf(float(m))) for k, m in zip(y, mean, strict=True)]
        truth = [k * mpmath.log(m) - m - mpmath.loggamma(k + 1) for k, m in pairs]
        assert units(value, truth, value_size(truth), kind) < UNITS
        assert units(found["limit"], truth, value_size(truth), kind) < UNITS
        slope = [(k - m) / m for k, m in pairs]
        assert units(in_mean, slope, [abs(t) for t in slope], kind) < UNITS


@pytest.mark.parametrize("kind", KINDS)
def test_differences_of_log_gamma_and_digamma(kind):
    (y, _, r, _), found = grid(kind)
    value, slope = found["rise"]
    with mpmath.workdps(50):
        pairs = [(mpmath.mpf(float(k)), mpmath.mpf(float(c))) for k, c in zip(y, r, strict=True)]
        truth = [mpmath.loggamma(k + c) - mpmath.loggamma(c) for k, c in pairs]
        assert units(value, truth, value_size(truth), kind) < UNITS
        truth = [mpmath.digamma(k + c) - mpmath.digamma(c) for k, c in pairs]
        assert units(slope, truth, truth, kind) < UNITS


def test_second_derivatives_are_exact_too():
    at = [(3, 0.7, 0.4), (12, 1e4, -7.0), (0, 2.0, 1.0), (250, 8.0, 3.0)]
    y, r, logits = (np.array(part, float) for part in zip(*at, strict=True))
    with jax.enable_x64(True):
        hessian = jax.jit(jax.vmap(jax.hessian(lambda c, e, k: negative_binomial_log_prob(k, c, e), (0, 1))))
        (cc, ce), (_, ee) = hessian(r, logits, y)
        bent = jax.jit(jax.vmap(jax.grad(digamma_rise)))(r, y)
    p = 1 / (1 + np.exp(-logits))
    trigamma = [
        float(exactly(lambda c, k: mpmath.polygamma(1, c + k) - mpmath.polygamma(1, c), *each))
        for each in zip(r, y, strict=True)
    ]
    np.testing.assert_allclose(cc, trigamma, rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(bent, trigamma, rtol=1e-10, atol=1e-18)
    np.testing.assert_allclose(ce, -p, rtol=1e-13)
    np.testing.assert_allclose(ee, -(y + r) * p * (1 - p), rtol=1e-13)


def test_probabilities_add_up_to_one_and_have_the_stated_mean():
    count = np.arange(6000.0)
    with jax.enable_x64(True):
        log_prob = jax.jit(
            lambda y: (
                negative_binomial_log_prob(y, 1.5, 2.0),
                negative_binomial_mean_log_prob(y, 1.5 * np.exp(2.0), 1.5),
                zero_inflated_negative_binomial_log_prob(y, 1.5, 2.0, -1.0),
                zero_inflated_poisson_log_prob(y, 7.0, 0.5),
            )
        )
        first, second, gated, poisson = (np.exp(each) for each in log_prob(count))
    for probability in (first, second, gated, poisson):
        assert probability.sum() == pytest.approx(1.0, abs=1e-13)  # sums of 6,000 terms in float64
    np.testing.assert_allclose(first, second, rtol=1e-11, atol=1e-300)
    np.testing.assert_allclose(first, stats.nbinom.pmf(count, 1.5, 1 / (1 + np.exp(2.0))), rtol=1e-11, atol=1e-300)
    assert first @ count == pytest.approx(1.5 * np.exp(2.0), rel=1e-12)
    open_share = 1 / (1 + np.exp(-1.0))
    assert gated[0] == pytest.approx(1 - open_share + open_share * first[0], rel=1e-13)
    assert gated @ count == pytest.approx(open_share * 1.5 * np.exp(2.0), rel=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_gated_zero_keeps_its_digits_at_both_ends(kind):
    gates, log_zeros = [-1000.0, -80.0, -20.0, -1.0, 0.0, 3.0, 40.0], [-1e-12, -1e-4, -0.5, -3.0, -60.0, -900.0]
    gate, log_zero = (np.ravel(part).astype(kind) for part in np.meshgrid(gates, log_zeros))
    with x64(kind):
        value, (in_gate, in_zero) = jax.jit(jax.vmap(jax.value_and_grad(log_zero_with_gate, (0, 1))))(gate, log_zero)
    assert value.dtype == kind
    truth, gate_truth, zero_truth = [], [], []
    with mpmath.workdps(500):  # pi = exp(-1000) beside one
        for g, f in zip(gate, log_zero, strict=True):
            pi, zero = 1 / (1 + mpmath.exp(-mpmath.mpf(float(g)))), mpmath.exp(mpmath.mpf(float(f)))
            whole = pi + (1 - pi) * zero
            truth.append(mpmath.log(whole))
            gate_truth.append(pi * (1 - pi) * (1 - zero) / whole)
            zero_truth.append((1 - pi) * zero / whole)
        assert units(value, truth, value_size(truth), kind) < UNITS
        assert units(in_gate, gate_truth, [mpmath.mpf(1)] * len(truth), kind) < UNITS
        assert units(in_zero, zero_truth, [mpmath.mpf(1)] * len(truth), kind) < UNITS


@pytest.mark.parametrize("kind", KINDS)
def test_log_beta_and_its_gradient(kind):
    a, b = (np.ravel(part).astype(kind) for part in np.meshgrid([0.01, 1.0, 7.5, 2e3], [0.3, 8.0, 40.0, 3e5]))
    with x64(kind):
        value, slopes = jax.jit(jax.vmap(jax.value_and_grad(log_beta, (0, 1))))(a, b)
    with mpmath.workdps(50):
        pairs = [(mpmath.mpf(float(s)), mpmath.mpf(float(t))) for s, t in zip(a, b, strict=True)]
        truth = [mpmath.log(mpmath.beta(s, t)) for s, t in pairs]
        assert units(value, truth, value_size(truth), kind) < UNITS
        truth = [mpmath.digamma(s) - mpmath.digamma(s + t) for s, t in pairs]
        assert units(slopes[0], truth, [abs(t) for t in truth], kind) < UNITS
        truth = [mpmath.digamma(t) - mpmath.digamma(s + t) for s, t in pairs]
        assert units(slopes[1], truth, [abs(t) for t in truth], kind) < UNITS


def test_whole_numbers_and_mixed_shapes_are_taken_in_the_type_of_the_parameters():
    assert not jax.config.jax_enable_x64  # nothing that was imported has switched it on
    count = np.arange(6).reshape(3, 2)
    r, logits = jnp.array([1.0, 2.0], jnp.float32), jnp.zeros((3, 1), jnp.float32)
    found, slopes = jax.jit(jax.value_and_grad(lambda r, e: negative_binomial_log_prob(count, r, e).sum(), (0, 1)))(
        r, logits
    )
    assert found.dtype == jnp.float32
    assert [each.shape for each in slopes] == [(2,), (3, 1)]
    truth = stats.nbinom.logpmf(count, np.array([1.0, 2.0]), 0.5).sum()
    assert float(found) == pytest.approx(truth, rel=1e-6)
