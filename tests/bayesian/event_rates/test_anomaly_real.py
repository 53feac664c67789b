"""Scores of real data: seizures of epilepsy patients and police stops, against PSIS-LOO where that can be trusted."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelwright.bayesian.diagnostics.loo import psis_loo
from modelwright.bayesian.event_rates.anomaly import rank_windows, score_training_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.data.events import EventCounts

pytestmark = pytest.mark.realdata


def test_seizures_agree_with_psis_where_psis_can_be_trusted(shared_data: Path) -> None:
    """Two ways to leave out: integrating the rate, and reweighting draws of all parameters."""
    table = pd.read_csv(shared_data / "events" / "epil.csv.gz")
    data = EventCounts.from_arrays(
        entity=table["subject"].astype(str), count=table["y"], window_label="visit " + table["period"].astype(str)
    )
    trace = fit_event_rates(data, ModelConfig.create(n_samples=1000, n_tune=500, n_chains=2), cores=1)
    scores = score_training_windows(trace, data, draws=1000)
    loo = psis_loo(trace)
    trusted = loo.k_hat < 0.5
    assert trusted.mean() > 0.8
    # Of log p by reweighting S draws the standard error is about sd(1/p)/mean(1/p)/sqrt(S); ours, with the rate
    # integrated out, is smaller.
    ratio = np.exp(-trace.log_likelihood["y"].values.reshape(-1, data.n_obs))
    error = ratio.std(0) / ratio.mean(0) / np.sqrt(len(ratio) / 2)  # draws are worth at least half independent ones
    difference = scores["score"].to_numpy() + loo.pointwise
    assert (np.abs(difference) < 4 * np.sqrt(2) * error + 0.005)[trusted].all()
    assert scores["k_hat"].max() < 0.7  # while some of PSIS' own lie above
    assert loo.k_hat.max() > 0.5
    # 76 seizures where the patient's other visits counted 18, 24 and 25; not the 102 of patient 49, whose visits all
    # count 63 or more
    first = rank_windows(scores).iloc[0]
    assert (first["entity"], first["count"]) == ("25", 76)


def test_stops_by_precinct_with_arrests_as_exposure(shared_data: Path) -> None:
    table = pd.read_csv(shared_data / "events" / "frisk_nyc_1998.csv.gz")
    exposure = np.maximum(table["arrests"], 1) / 100
    data = EventCounts.from_arrays(entity=table["precinct"].astype(str), count=table["stops"], exposure=exposure)
    trace = fit_event_rates(data, ModelConfig.create(n_samples=300, n_tune=400, n_chains=2), cores=1)
    scores = score_training_windows(trace, data)
    assert np.isfinite(scores["score"]).all()
    inside = (scores["count"] >= scores["lower"]) & (scores["count"] <= scores["upper"])
    # 90 % intervals: within 4 standard errors of a binomial share, were windows independent, and a little for misfit
    assert abs(inside.mean() - 0.9) < 4 * np.sqrt(0.09 / len(inside)) + 0.03
