"""Forecasts: mixtures computed exactly, totals wider than independent windows, strangers told apart."""

import arviz as az
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from modelwright.bayesian.event_rates.forecast import forecast
from modelwright.core.errors import ConfigurationError
from modelwright.core.files import json_text

PHI = 4.0


def trace_of(rates: np.ndarray, *, phi: float | None = PHI, parameterization: str = "centered") -> az.InferenceData:
    """Two entities, the first with the given draws of its rate; mu = 5 and alpha = 2 exactly."""
    both = np.stack([rates, np.full_like(rates, 50.0)], axis=-1)
    values = {"mu": np.full(rates.shape, 5.0), "alpha": np.full(rates.shape, 2.0)}
    values |= {} if phi is None else {"phi": np.full(rates.shape, phi)}
    variables = {name: (("chain", "draw"), value) for name, value in values.items()}
    variables["theta"] = (("chain", "draw", "entity"), both)
    dataset = xr.Dataset(variables, coords={"entity": ["user_0001", "user_0002"]})
    dataset.attrs["parameterization"] = parameterization
    return az.InferenceData(posterior=dataset)


def certain(rate: float) -> np.ndarray:
    return np.full((2, 50), rate)


def test_with_a_certain_rate_a_forecast_is_the_negative_binomial() -> None:
    found = forecast(trace_of(certain(3.0)), "user_0001", horizon=3, interval=0.8, exposure=2.0)
    for h in range(1, 4):  # sums of negative binomials of one mean and concentration are negative binomial
        truth = stats.nbinom(h * PHI, PHI / (PHI + 6.0))
        prediction, interval = found["predictions"][h - 1], found["credible_intervals"][h - 1]
        assert prediction["window"] == h
        assert prediction["expected"] == pytest.approx(6.0, rel=1e-12)
        assert prediction["total_expected"] == pytest.approx(6.0 * h, rel=1e-12)
        assert prediction["total_median"] == truth.ppf(0.5)
        assert (interval["total_lower"], interval["total_upper"]) == (truth.ppf(0.1), truth.ppf(0.9))
        single = stats.nbinom(PHI, PHI / (PHI + 6.0))
        assert (interval["lower"], prediction["median"], interval["upper"]) == tuple(single.ppf([0.1, 0.5, 0.9]))


def test_an_uncertain_rate_is_averaged_over_and_shared_by_all_windows() -> None:
    rates = np.random.default_rng(1).gamma(9.0, 0.5, (2, 400))
    found = forecast(trace_of(rates), "user_0001", horizon=10, interval=0.9)
    draws = np.random.default_rng(2).choice(rates.ravel(), 200_000)
    totals = stats.nbinom(PHI, PHI / (PHI + draws[:, None])).rvs((200_000, 10), random_state=3).sum(1)
    interval, prediction = found["credible_intervals"][-1], found["predictions"][-1]
    assert prediction["total_expected"] == pytest.approx(10 * rates.mean(), rel=1e-12)
    for level, value in (
        (0.05, interval["total_lower"]),
        (0.5, prediction["total_median"]),
        (0.95, interval["total_upper"]),
    ):
        # the distribution function at the quantile, 4 standard errors of 200,000 draws plus one count's probability
        assert np.mean(totals <= value) >= level - 4 * np.sqrt(level * (1 - level) / 200_000)
        assert np.mean(totals <= value - 1) <= level + 4 * np.sqrt(level * (1 - level) / 200_000)
    independent = stats.nbinom(10 * PHI, PHI / (PHI + rates.mean()))
    assert interval["total_upper"] - interval["total_lower"] > 1.3 * (independent.ppf(0.95) - independent.ppf(0.05))
    assert found["rate"]["lower"] == pytest.approx(np.quantile(rates, 0.05))


def test_a_stranger_gets_the_population_and_is_told() -> None:
    found = forecast(trace_of(certain(3.0), phi=None), "user_0003", horizon=1, interval=0.9)
    assert found["known_entity"] is False
    assert found["notes"][0].startswith("'user_0003' was not in training (the nearest known name is 'user_000")
    population = stats.nbinom(10.0, 2.0 / 3.0)  # Gamma(10, 2) times Poisson
    assert found["predictions"][0]["expected"] == pytest.approx(5.0, rel=1e-5)
    interval = found["credible_intervals"][0]
    assert (interval["lower"], interval["upper"]) == (population.ppf(0.05), population.ppf(0.95))
    rate = stats.gamma(10.0, scale=0.5)
    assert found["rate"]["mean"] == pytest.approx(5.0, rel=1e-5)
    assert found["rate"]["upper"] == pytest.approx(rate.ppf(0.95), rel=1e-9)


def test_mean_scaled_rates_have_another_population() -> None:
    found = forecast(trace_of(certain(3.0), phi=None, parameterization="mean_scaled"), "new", horizon=1)
    population = stats.nbinom(2.0, 0.4 / 1.4)  # theta = 5 Gamma(2, 2), that is Gamma(2, rate 0.4)
    assert found["credible_intervals"][0]["upper"] == population.ppf(0.95)


def test_a_forecast_is_plain_data_and_the_same_every_time() -> None:
    trace = trace_of(np.random.default_rng(4).gamma(4.0, 1.0, (2, 50)))
    first, second = forecast(trace, "user_0001"), forecast(trace, "user_0001")
    assert json_text(first) == json_text(second)
    assert first["horizon"] == len(first["predictions"]) == len(first["credible_intervals"]) == 7
    assert "Intervals are equal-tailed and hold 90 % of the predictive probability." in first["notes"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"interval": 90},
            "interval: not a probability; expected a number between 0 and 1, got 90; write 0.9 for 90 percent",
        ),
        ({"horizon": 0}, "horizon: not a number of windows ahead; expected a whole number from 1 to 366, got 0"),
        ({"horizon": 2.5}, "horizon: not a number of windows ahead; expected a whole number from 1 to 366, got 2.5"),
        (
            {"horizon": 10**9},
            "horizon: not a number of windows ahead; expected a whole number from 1 to 366, got 1000000000",
        ),
        ({"horizon": True}, "horizon: not a number of windows ahead; expected a whole number from 1 to 366, got True"),
        ({"exposure": 0.0}, "exposure: not an exposure; expected a positive number, got 0.0"),
        ({"exposure": float("nan")}, "exposure: not an exposure; expected a positive number, got nan"),
        ({"exposure": float("inf")}, "exposure: not an exposure; expected a positive number, got inf"),
    ],
)
def test_what_cannot_be_forecast_is_explained(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        forecast(trace_of(certain(3.0)), "user_0001", **options)
    assert str(refusal.value) == message
