"""R-hat, ESS and Monte Carlo errors against ArviZ, closed forms and chains of known autocorrelation."""

import itertools
import logging

import numpy as np
import pytest

from modelwright.bayesian.diagnostics.chain_statistics import (
    bfmi,
    ess_mean,
    mcse_mean,
    mcse_sd,
    quantile_of_sorted,
    rank_statistics,
    split_chains,
)
from modelwright.bayesian.diagnostics.loo import arviz

# The same formula in another order of summation: the ladder's second rung.
SAME_FORMULA = {"rtol": 1e-10, "atol": 0.0, "equal_nan": True}


@pytest.fixture(scope="module")
def az():
    """ArviZ without numba, whose float() of an array of length one numpy 2.4 refuses, and without its log lines."""
    module = arviz()
    had_numba = module.Numba.numba_flag
    module.Numba.disable_numba()
    level = logging.getLogger("arviz").level
    logging.getLogger("arviz").setLevel(logging.ERROR)
    yield module
    logging.getLogger("arviz").setLevel(level)
    if had_numba:
        module.Numba.enable_numba()


def chains(n_chains: int, n_draws: int) -> dict[str, np.ndarray]:
    """Chains of every character, each of shape (chain, draw)."""
    rng = np.random.default_rng([n_chains, n_draws])
    shape = (n_chains, n_draws)
    independent = rng.normal(size=shape)
    apart = independent + 3.0 * np.arange(n_chains)[:, None]
    missing = independent.copy()
    missing[0, 1] = np.nan
    one_constant = independent.copy()
    one_constant[0] = 2.0
    return {
        "independent": independent,
        "random walk": np.cumsum(independent, axis=1),
        "negatively correlated": independent * np.where(np.arange(n_draws) % 2, 1.0, -1.0) + 5.0,
        "heavy tailed": rng.standard_cauchy(size=shape),
        "apart": apart,
        "different scales": independent * (1 + 5 * np.arange(n_chains))[:, None],
        "ties": np.round(independent),
        "two values": rng.integers(0, 2, size=shape).astype(float),
        "constant": np.ones(shape),
        "one chain constant": one_constant,
        "constant but apart": np.broadcast_to(np.arange(n_chains, dtype=float)[:, None], shape).copy(),
        "trend": np.linspace(0, 1, n_draws) + 0.1 * independent,
        "tiny": 1e-12 * independent,
        "missing": missing,
    }


@pytest.mark.parametrize(
    ("n_chains", "n_draws"), list(itertools.product([1, 2, 4], [4, 5, 6, 7, 8, 9, 11, 50, 101, 400]))
)
def test_statistics_are_those_of_arviz(az, n_chains, n_draws):
    cases = chains(n_chains, n_draws)
    draws = np.stack(list(cases.values()))
    ours = rank_statistics(draws)
    with np.errstate(all="ignore"):
        for position, (name, values) in enumerate(cases.items()):
            pairs = {
                "r_hat": (ours.r_hat, az.rhat(values)),
                "ess_bulk": (ours.ess_bulk, az.ess(values, method="bulk")),
                "ess_tail": (ours.ess_tail, az.ess(values, method="tail")),
                "ess_mean": (ess_mean(draws), az.ess(values, method="mean")),
                "mcse_mean": (mcse_mean(draws), az.mcse(values, method="mean")),
                "mcse_sd": (mcse_sd(draws), az.mcse(values, method="sd")),
            }
            for statistic, (found, expected) in pairs.items():
                np.testing.assert_allclose(found[position], expected, **SAME_FORMULA, err_msg=f"{name}: {statistic}")


def test_energies_as_arviz(az):
    energy = np.cumsum(np.random.default_rng(1).normal(size=(4, 300)), axis=1)
    np.testing.assert_allclose(bfmi(energy), az.bfmi(energy), rtol=1e-10)  # the same formula


def test_independent_energies_have_twice_their_variance():
    energy = np.random.default_rng(2).normal(size=(200, 1000))
    values = bfmi(energy)
    # Monte Carlo: 4 standard errors of the mean over 200 chains, computed here
    assert abs(values.mean() - 2.0) < 4 * values.std(ddof=1) / np.sqrt(values.size)


@pytest.mark.parametrize("correlation", [-0.4, 0.0, 0.5, 0.9])
def test_autoregressive_chains_have_their_known_effective_size(correlation):
    rng = np.random.default_rng(3)
    shape = (40, 4, 4000)
    noise = rng.normal(size=shape) * np.sqrt(1 - correlation**2)
    draws = np.empty(shape)
    draws[..., 0] = rng.normal(size=shape[:-1])
    for t in range(1, shape[-1]):
        draws[..., t] = correlation * draws[..., t - 1] + noise[..., t]
    known = 4 * 4000 * (1 - correlation) / (1 + correlation)
    for sizes in (ess_mean(draws), rank_statistics(draws).ess_bulk):
        # Geyer's truncated sum is biased by a few percent at this length; 6 % is above that and below any real error
        assert sizes.mean() == pytest.approx(known, rel=0.06)
    assert np.all(rank_statistics(draws).r_hat < 1.02)


def test_the_error_of_the_mean_is_the_spread_of_means():
    draws = np.random.default_rng(4).normal(size=(400, 2, 200))
    means = draws.mean(axis=(1, 2))
    # Monte Carlo: the standard deviation of 400 means has relative error 1 / sqrt(800); 4 of these
    assert mcse_mean(draws).mean() == pytest.approx(means.std(ddof=1), rel=4 / np.sqrt(800))


def test_a_chain_that_is_apart_is_seen():
    draws = np.random.default_rng(5).normal(size=(1, 4, 500))
    assert rank_statistics(draws).r_hat[0] < 1.01
    draws[0, 3] += 2.0
    assert rank_statistics(draws).r_hat[0] > 1.2


def test_a_chain_of_another_scale_is_seen_though_its_mean_is_right():
    draws = np.random.default_rng(6).normal(size=(1, 4, 500))
    draws[0, 3] *= 4.0
    assert rank_statistics(draws).r_hat[0] > 1.1  # only the folded half sees it


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_parameters_that_are_not_finite_get_no_statistics_and_disturb_no_other(value):
    draws = np.random.default_rng(7).normal(size=(3, 2, 50))
    alone = rank_statistics(draws[[0, 2]])
    draws[1, 0, 0] = value
    together = rank_statistics(draws)
    for name in ("r_hat", "ess_bulk", "ess_tail"):
        found = getattr(together, name)
        assert np.isnan(found[1])
        np.testing.assert_array_equal(found[[0, 2]], getattr(alone, name))


@pytest.mark.parametrize("shape", [(0, 4, 100), (3, 4, 3), (3, 4, 0), (2, 0, 10)])
def test_too_little_to_say_anything(shape):
    found = rank_statistics(np.zeros(shape))
    assert found.r_hat.shape == (shape[0],)
    assert np.isnan(found.r_hat).all()
    assert np.isnan(found.ess_bulk).all()


def test_the_middle_draw_of_an_odd_chain_belongs_to_no_half():
    assert split_chains(np.arange(5.0).reshape(1, 1, 5)).tolist() == [[[0.0, 1.0], [3.0, 4.0]]]


@pytest.mark.parametrize("probability", [0.0, 0.05, 0.37, 0.5, 0.95, 1.0])
def test_quantiles_are_numpys(probability):
    rows = np.sort(np.random.default_rng(8).normal(size=(5, 33)), axis=1)
    np.testing.assert_allclose(
        quantile_of_sorted(rows, probability), np.quantile(rows, probability, axis=1), rtol=1e-10, atol=1e-12
    )
