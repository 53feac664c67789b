"""Windows scored within what a run knows: the same scores as with all windows at hand."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.posterior_draws import statistics_variables
from modelwright.bayesian.event_rates.statistics import statistics_of
from modelwright.bayesian.event_rates.update_scores import score_windows_within
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts

COLUMNS = ["expected", "lower", "upper", "score", "tail_probability", "lower_tail_probability", "k_hat"]


def counts_with(exposures, *, seed=1, users=12, days=9):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "entity": np.repeat([f"u{i:02d}" for i in range(users)], days),
            "window_start": np.tile(pd.date_range("2024-03-01", periods=days), users),
            "exposure": rng.choice(exposures, users * days),
        }
    )
    rates = np.repeat(rng.gamma(2.0, 2.0, users), days)
    table["count"] = rng.poisson(rates * table["exposure"])
    table.loc[[3, 40], "count"] += 60
    return EventCounts.from_frame(table, window="1D")


def trace_on(data, *, draws=60):
    rng = np.random.default_rng(2)
    shape = (2, draws)
    values = {"mu": rng.gamma(40, 0.1, shape), "alpha": rng.gamma(20, 0.025, shape), "phi": rng.gamma(50, 0.1, shape)}
    posterior = xr.Dataset({name: (("chain", "draw"), value) for name, value in values.items()})
    return az.InferenceData(posterior=posterior, constant_data=statistics_variables(statistics_of(data)))


@pytest.mark.parametrize("exposures", [[1.0], [1.0, 0.25]], ids=["equal", "unequal"])
def test_the_newest_windows_have_the_scores_they_have_among_all(exposures) -> None:
    data = counts_with(exposures)
    trace = trace_on(data)
    everything = score_training_windows(trace, data, draws=50)
    newest = data.to_frame().query("window_start >= '2024-03-06'")
    found = score_windows_within(trace, EventCounts.from_frame(newest), draws=50)
    keys = ["entity", "window_start"]
    both = found.merge(everything, on=keys, suffixes=("", "_all"), validate="one_to_one")
    assert len(both) == len(newest)
    for name in COLUMNS:
        # Tables of integrals are the same to rounding; grids of several exposures are laid for other windows, and
        # agree as the trapezoid rule does.
        tolerance = 1e-9 if exposures == [1.0] else 1e-5
        np.testing.assert_allclose(both[name], both[f"{name}_all"], rtol=tolerance, atol=tolerance, err_msg=name)
    assert found["known_entity"].all()


@pytest.mark.parametrize("exposures", [[1.0], [1.0, 0.25]], ids=["equal", "unequal"])
def test_very_many_windows_are_averaged_over_the_draws_of_a_training(exposures) -> None:
    # So many that the draws to average over are fewer where each window takes a quadrature (8,000,000 / 24,000 = 333).
    n = 24_000
    rng = np.random.default_rng(3)
    data = EventCounts.from_arrays(
        entity=np.repeat(["a", "b"], n // 2), count=rng.poisson(2.0, n), exposure=np.resize(exposures, n)
    )
    trace = trace_on(data, draws=300)
    everything, found = score_training_windows(trace, data), score_windows_within(trace, data)
    newest = score_windows_within(trace, EventCounts.from_frame(data.to_frame().head(50)))
    assert everything.attrs["draws"] == (400 if exposures == [1.0] else 333)
    assert found.attrs["draws"] == newest.attrs["draws"] == everything.attrs["draws"]
    np.testing.assert_allclose(found["score"], everything["score"], rtol=1e-9)


def test_all_windows_of_an_entity_may_be_new() -> None:
    data = counts_with([1.0, 0.5])
    trace = trace_on(data)
    everything = score_training_windows(trace, data, draws=50)
    one = data.to_frame().query("entity == 'u03'")
    found = score_windows_within(trace, EventCounts.from_frame(one), draws=50)
    np.testing.assert_allclose(found["score"], everything.query("entity == 'u03'")["score"], rtol=1e-5)


def test_windows_that_are_not_among_them_are_refused() -> None:
    data = counts_with([1.0])
    trace = trace_on(data)
    table = data.to_frame().head(3)
    for changes in ({"entity": "zoe"}, {"exposure": 0.5}, {"count": 10**6}):
        with pytest.raises(DataError, match="not all of these windows are among those the trace rests on"):
            score_windows_within(trace, EventCounts.from_frame(table.assign(**changes)))
    with pytest.raises(DataError, match="the trace carries no statistics"):
        score_windows_within(az.InferenceData(posterior=trace.posterior), data)
