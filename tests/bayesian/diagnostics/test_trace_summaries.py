"""Summaries of whole traces: blocks, names, intervals, and what 100,000 rates cost."""

import time
import tracemalloc

import numpy as np
import pytest
import xarray as xr

from modelwright.bayesian.diagnostics import summaries
from modelwright.bayesian.diagnostics.groups import find_group, need_group, need_variable, parameter_label
from modelwright.bayesian.diagnostics.loo import arviz
from modelwright.bayesian.diagnostics.summaries import interval, summarise, trace_statistics
from modelwright.core.errors import ConfigurationError, DataError


def trace_of(**variables):
    """A trace whose posterior has the given draws; trailing dimensions are called after the variable."""
    data = {
        name: (("chain", "draw", *(f"{name}_dim{i}" for i in range(values.ndim - 2))), values)
        for name, values in variables.items()
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(data)})


@pytest.fixture
def draws():
    return np.random.default_rng(1).gamma(2.0, size=(4, 60, 7, 3))


def test_blocks_do_not_change_anything(draws, monkeypatch):
    whole = summarise(trace_of(mu=draws[..., 0, 0], beta=draws))
    monkeypatch.setattr(summaries, "READ_ELEMENTS", 4 * 60 * 3 * 2)  # two rows of beta at a time
    monkeypatch.setattr(summaries, "WORK_ELEMENTS", 4 * 60)  # one parameter at a time
    by_pieces = summarise(trace_of(mu=draws[..., 0, 0], beta=draws))
    assert by_pieces.index.tolist() == whole.index.tolist()
    np.testing.assert_array_equal(by_pieces.to_numpy(), whole.to_numpy())


def test_the_same_figures_as_arviz(draws):
    az = arviz()
    table = summarise(trace_of(beta=draws), kind="highest_density", probability=0.8)
    for position in range(21):
        values = draws.reshape(4, 60, -1)[..., position]
        row = table.iloc[position]
        assert row["mean"] == pytest.approx(values.mean(), rel=1e-10)
        assert row["sd"] == pytest.approx(values.std(ddof=1), rel=1e-10)
        assert row["r_hat"] == pytest.approx(az.rhat(values), rel=1e-10)
        assert row["ess_tail"] == pytest.approx(az.ess(values, method="tail"), rel=1e-10)
        assert (row["lower"], row["upper"]) == tuple(az.hdi(values.ravel(), hdi_prob=0.8))
    assert table.attrs == {"interval_kind": "highest_density", "interval_probability": 0.8}


def test_arviz_traces_are_read_like_stored_ones(draws):
    az = arviz()
    ours = summarise(trace_of(beta=draws))
    theirs = summarise(az.from_dict(posterior={"beta": draws}))
    np.testing.assert_array_equal(ours.to_numpy(), theirs.to_numpy())


def test_equal_tailed_interval_of_a_known_distribution():
    lower, upper = interval(np.linspace(0, 1, 10_001)[None], probability=0.9, kind="equal_tailed")
    assert lower[0] == pytest.approx(0.05, abs=1e-10)  # the same formula in float64
    assert upper[0] == pytest.approx(0.95, abs=1e-10)


def test_the_shortest_interval_lies_where_the_density_is():
    draws = np.random.default_rng(2).exponential(size=(1, 4000))
    lower, upper = interval(draws, probability=0.5, kind="highest_density")
    tails = interval(draws, probability=0.5, kind="equal_tailed")
    assert upper[0] - lower[0] < tails[1][0] - tails[0][0]
    assert lower[0] < 0.02  # the density is largest at zero


def test_labels_use_coordinates_then_positions():
    theta = xr.DataArray(
        np.zeros((1, 4, 2, 2)), dims=("chain", "draw", "entity", "k"), coords={"entity": ["ann", "bob"]}, name="theta"
    )
    assert parameter_label(theta, 2) == "theta[bob, 0]"
    assert summarise(xr.DataTree.from_dict({"posterior": theta.to_dataset()})).index.tolist() == [
        "theta[ann, 0]",
        "theta[ann, 1]",
        "theta[bob, 0]",
        "theta[bob, 1]",
    ]


def test_progress_counts_every_parameter(draws):
    events = []
    trace_statistics(trace_of(mu=draws[..., 0, 0], beta=draws), progress=events.append)
    assert (events[-1].stage, events[-1].done, events[-1].total, events[-1].unit) == ("summarise", 22, 22, "parameters")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.0}, "probability: not a probability; expected a number between 0 and 1, got 1.0; try 0.9"),
        (
            {"probability": np.nan},
            "probability: not a probability; expected a number between 0 and 1, got nan; try 0.9",
        ),
        ({"kind": "hdi"}, "kind: not a kind of interval; expected 'equal_tailed' or 'highest_density', got 'hdi'"),
        ({"names": ["gamma"]}, "names: no such parameter; expected some of mu, got 'gamma'"),
    ],
)
def test_refusals_name_the_field(draws, options, message):
    with pytest.raises(ConfigurationError) as caught:
        summarise(trace_of(mu=draws[..., 0, 0]), **options)
    assert str(caught.value) == message


def test_refusals_of_traces():
    tree = xr.DataTree.from_dict({"prior": xr.Dataset({"mu": (("chain", "draw"), np.zeros((1, 5)))})})
    with pytest.raises(DataError, match=r"the trace has no group 'posterior'.*got \['prior'\]; sample the model first"):
        trace_statistics(tree)
    assert find_group(tree, "posterior") is None
    group = need_group(tree, "prior", todo="")
    with pytest.raises(DataError, match="variable: no such variable; expected one of mu, got 'y'"):
        need_variable(group, "y", group_name="prior")
    with pytest.raises(DataError, match="cannot tell which variable of 'prior' to use; expected one of mu, nu"):
        need_variable(group.assign(nu=group["mu"]), None, group_name="prior")
    words = xr.DataTree.from_dict({"posterior": xr.Dataset({"w": (("chain", "draw"), np.array([["a", "b"]]))})})
    with pytest.raises(ConfigurationError, match="w: not numeric"):
        trace_statistics(words)


def test_empty_and_short_variables_are_no_trouble():
    (none,) = trace_statistics(trace_of(none=np.zeros((4, 10, 0))))
    assert none.mean.shape == (0,)
    (once,) = trace_statistics(trace_of(once=np.zeros((1, 1))))
    assert np.isnan(once.r_hat[0])
    assert once.constant[0]


def test_memory_stays_bounded():
    draws = np.random.default_rng(3).normal(size=(4, 250, 20_000))  # 160 MB
    tracemalloc.start()
    trace_statistics(trace_of(theta=draws))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A read block of 32 MB is held twice (as read and transposed), beside small work arrays and results
    assert peak < 100e6


@pytest.mark.slow
def test_a_hundred_thousand_rates_take_no_minutes():
    draws = np.random.default_rng(4).normal(size=(4, 1000, 100_000))  # 3.2 GB
    trace = trace_of(theta=draws)
    events = []
    began = time.process_time()  # of all threads: what others do on the machine does not count
    (theta,) = trace_statistics(trace, progress=events.append)
    seconds = time.process_time() - began
    assert theta.r_hat.size == 100_000
    assert len(events) >= 100
    # 68 s of processor time when written, shared by up to four threads: 34 s on two free cores
    assert seconds < 110
