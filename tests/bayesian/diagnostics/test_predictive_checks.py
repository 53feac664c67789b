"""Predictive checks: p-values that are right, warnings that say what is wrong, pictures with sensible bins."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from modelwright.bayesian.diagnostics.predictive_checks import (
    predictive_check,
    predictive_section,
    predictive_sentences,
    predictive_table,
)
from modelwright.bayesian.diagnostics.predictive_figures import bin_counts, bin_edges, predictive_picture
from modelwright.core.errors import DataError


def trace_of(observed, replicated, *, prior=None):
    dims = ("chain", "draw", "obs")
    groups = {
        "observed_data": xr.Dataset({"y": ("obs", observed)}),
        "posterior_predictive": xr.Dataset({"y": (dims, replicated)}),
    }
    if prior is not None:
        groups["prior_predictive"] = xr.Dataset({"y": (dims, prior)})
    return xr.DataTree.from_dict(groups)


def graded(check):
    return {finding.name.removeprefix("predictive_"): str(finding.grade) for finding in check.findings}


def test_p_values_against_the_exact_distribution_of_the_mean():
    rng = np.random.default_rng(1)
    observed = rng.poisson(3.0, size=40)
    replicated = rng.poisson(3.0, size=(4, 5000, 40))
    p_value = predictive_check(trace_of(observed, replicated)).statistics[0].p_value
    total = stats.poisson(120.0)
    exact = total.sf(observed.sum()) + total.pmf(observed.sum()) / 2
    assert abs(p_value - exact) < 4 * np.sqrt(exact * (1 - exact) / 20_000)  # 4 Monte Carlo standard errors


def test_p_values_of_right_models_are_uniform():
    rng = np.random.default_rng(2)
    replicated = rng.negative_binomial(2, 0.3, size=(2, 300, 50))
    values = [
        predictive_check(trace_of(rng.negative_binomial(2, 0.3, size=50), replicated)).statistics[1].p_value
        for _ in range(200)
    ]
    assert stats.kstest(values, "uniform").pvalue > 1e-3  # seeded; a right build fails once in a thousand seeds


@pytest.mark.parametrize(
    ("spoil", "statistic", "says"),
    [
        (lambda y: np.where(np.arange(y.size) < 60, 0, y + 1), "zeros", "more empty windows than the model produces"),
        (lambda y: np.maximum(y, 1), "zeros", "fewer empty windows than the model produces"),
        (lambda y: np.r_[y[1:], 500], "maximum", "the largest count lies beyond what the model produces"),
        (lambda y: np.minimum(y, 5), "maximum", "the model produces far larger counts than the data have"),
        (lambda y: y * 2, "mean", "the data have more events than the model produces"),
        (lambda y: y // 3, "mean", "the data have fewer events than the model produces"),
        (lambda y: np.r_[y[8:], [40] * 8], "sd", "the counts vary more than the model allows"),
        (lambda y: np.full(y.size, 4), "sd", "the counts vary less than the model says"),
    ],
    ids=["switched off", "zeros dropped", "attack", "capped", "too many", "too few", "bursts", "regular"],
)
def test_what_is_wrong_is_said(spoil, statistic, says):
    rng = np.random.default_rng(3)
    observed = rng.negative_binomial(4, 0.5, size=300)
    check = predictive_check(trace_of(spoil(observed), rng.negative_binomial(4, 0.5, size=(2, 500, 300))))
    assert graded(check)[statistic] == "warning"
    finding = next(f for f in check.findings if f.name == f"predictive_{statistic}")
    assert says in finding.sentence
    assert finding.advice
    assert any(says in sentence for sentence in predictive_sentences(check))


def test_a_right_model_is_good_and_says_so_once():
    rng = np.random.default_rng(4)
    check = predictive_check(trace_of(rng.poisson(4, size=300), rng.poisson(4, size=(2, 500, 300))))
    assert set(graded(check).values()) == {"good"}
    assert predictive_sentences(check) == (
        "Posterior predictive: the data look like data of this model in mean, spread, zeros and maximum.",
    )


@pytest.mark.parametrize(
    ("replicated", "p_value", "grade"),
    [(0, 0.0, "warning"), (1, 0.005, "warning"), (2, 0.01, "good"), (198, 0.99, "good"), (199, 0.995, "warning")],
)
def test_the_limits_are_exact(replicated, p_value, grade):
    observed = np.array([1, 3])  # mean 2
    means = np.where(np.arange(200) < replicated, 3, 1)  # as many replications above as named
    check = predictive_check(trace_of(observed, np.repeat(means[None, :, None], 2, axis=2)))
    assert check.statistics[0].p_value == p_value
    assert graded(check)["mean"] == grade


def test_ties_count_half():
    same = np.tile([1, 3], (1, 200, 1))
    assert predictive_check(trace_of(np.array([1, 3]), same)).statistics[0].p_value == 0.5


def test_few_replications_are_unknown():
    check = predictive_check(trace_of(np.array([100, 3]), np.ones((1, 99, 2), int)))
    assert set(graded(check).values()) == {"unknown"}
    assert check.findings[0].sentence == "99 replications are too few for a p-value"


def test_replications_that_overflowed_are_a_problem():
    replicated = np.ones((1, 200, 2))
    replicated[0, 3, 0] = np.inf
    assert graded(predictive_check(trace_of(np.array([1, 3]), replicated)))["mean"] == "problem"


def test_missing_observations_are_left_out_on_both_sides():
    observed = np.array([1.0, np.nan, 3.0])
    check = predictive_check(trace_of(observed, np.tile([1.0, 900.0, 3.0], (1, 200, 1))))
    assert check.statistics[3].p_value == 0.5


def test_the_prior_goes_the_same_way():
    rng = np.random.default_rng(5)
    replicated = rng.poisson(4, size=(2, 300, 50))
    section = predictive_section(trace_of(rng.poisson(4, size=50), replicated, prior=replicated * 9))
    assert [picture.name for picture in section.pictures] == ["posterior_predictive", "prior_predictive"]
    assert len(section.tables) == 2
    check = predictive_check(trace_of(rng.poisson(4, size=50), replicated, prior=replicated), group="prior_predictive")
    assert check.findings[0].name == "prior_predictive_mean"


def test_refusals_say_what_to_do():
    bare = xr.DataTree.from_dict({"observed_data": xr.Dataset({"y": ("obs", np.ones(3))})})
    with pytest.raises(DataError, match=r"no group 'posterior_predictive'.*; sample the predictive distribution"):
        predictive_check(bare)
    dims = ("chain", "draw", "other")
    other = xr.DataTree.from_dict(
        {
            "observed_data": xr.Dataset({"y": ("obs", np.ones(3))}),
            "posterior_predictive": xr.Dataset({"y": (dims, np.ones((1, 200, 4)))}),
        }
    )
    with pytest.raises(DataError, match=r"posterior_predictive: .*expected 3 observations, got 4"):
        predictive_check(other)


@pytest.mark.parametrize(
    ("observed", "labels"),
    [
        ([0, 1, 2], ["0", "1", "2+"]),
        ([0, 0, 0], ["0+"]),
        ([0, 40], ["0", "1", "2", "3", "4", "5", "6", "7"]),
    ],
)
def test_small_counts_have_bins_of_their_own(observed, labels):
    observed = np.array(observed, float)
    edges, found = bin_edges(observed, observed[None])
    assert found[: len(labels)] == labels
    assert found[-1].endswith("+")
    assert len(edges) == len(found) <= 25


def test_every_value_falls_into_one_bin():
    rng = np.random.default_rng(6)
    for observed in (rng.negative_binomial(1, 0.01, size=400).astype(float), rng.normal(size=400), np.zeros(400)):
        replicated = np.stack([observed * 3 - 1, observed + 7])
        edges, _ = bin_edges(observed, replicated)
        assert bin_counts(replicated, edges).sum(axis=1).tolist() == [400, 400]


def test_pictures_are_small_and_the_same_twice():
    rng = np.random.default_rng(7)
    check = predictive_check(trace_of(rng.poisson(90, size=300), rng.poisson(90, size=(4, 500, 300))))
    picture = predictive_picture(check)
    assert len(picture.content) < 150_000
    assert predictive_picture(check) == picture
    ElementTree.fromstring(picture.content)
    assert predictive_table(check).columns[-2:] == ("p-value", "grade")


@pytest.mark.parametrize("largest", [3, 500, 200_000])
def test_bins_of_whole_numbers_are_those_of_the_same_real_numbers(largest: int) -> None:
    rows = np.random.default_rng(1).integers(0, largest, (3, 400), endpoint=True).astype(np.int32)
    for edges in (bin_edges(rows[0].astype(float), rows)[0], np.array([1.0, 1.5, 100.0])):
        found = bin_counts(rows, edges)
        assert found.dtype == np.int64
        assert found.tolist() == bin_counts(rows.astype(float), edges).tolist()
