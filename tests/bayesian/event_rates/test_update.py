"""An updated model is the model trained on everything: the same draws, the same rates, the same scores."""

import numpy as np
import pandas as pd
import pytest

from modelwright.bayesian.event_rates.anomaly import score_new_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.outcome import event_rates_outcome
from modelwright.bayesian.event_rates.posterior_draws import statistics_in
from modelwright.bayesian.event_rates.streaming import fold
from modelwright.bayesian.event_rates.update import fit_folded, load_new_windows, recall, remember
from modelwright.bayesian.event_rates.update_outcome import ON_ARRIVAL, update_outcome
from modelwright.bayesian.event_rates.windows_seen import DOCUMENT, TABLE
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import load_events

CONFIG = ModelConfig.create(n_samples=100, n_tune=100, n_chains=2, random_seed=5)
OPTIONS = {"entity": "user", "time": "at", "window": "1D", "span": "whole", "label": "attack"}


def security_log() -> pd.DataFrame:
    """Ten days of eight users, the ninth from the sixth day on; ann attacks on the last."""
    rng = np.random.default_rng(11)
    rows = []
    for user in range(9):
        rate = rng.gamma(2.0, 2.0)
        for day in range(5 if user == 8 else 0, 10):
            seconds = np.sort(rng.integers(0, 86_400, rng.poisson(rate)))
            start = pd.Timestamp("2024-03-01") + pd.Timedelta(days=day)
            rows += [(f"user_{user}", start + pd.Timedelta(seconds=int(s)), 0) for s in seconds]
    rows += [("user_0", pd.Timestamp("2024-03-10T03:00:00") + pd.Timedelta(seconds=i), 1) for i in range(60)]
    return pd.DataFrame(rows, columns=["user", "at", "attack"]).sort_values("at", ignore_index=True)


@pytest.fixture(scope="module")
def log() -> pd.DataFrame:
    return security_log()


@pytest.fixture(scope="module")
def updated(log):
    """Trained up to noon of the seventh, updated to the middle of the ninth, and again to the end."""
    cuts = pd.to_datetime(["2024-03-07T12:00", "2024-03-09T18:30"])
    parts = [log[log["at"] < cuts[0]], log[(log["at"] >= cuts[0]) & (log["at"] < cuts[1])], log[log["at"] >= cuts[1]]]
    data = load_events(parts[0], **OPTIONS)
    trace, kept, before, outcome = fit_event_rates(data, CONFIG), remember(data), None, None
    for part in parts[1:]:
        seen = recall(kept[0][TABLE], kept[1][DOCUMENT], run="20240301T000000Z-000000")
        given = {"data": part, "label": "attack"}
        new = load_new_windows(given, {**OPTIONS, "data": "old.csv"}, seen)
        folded = fold(statistics_in(trace), new.counts, seen)
        before, trace = trace, fit_folded(folded, CONFIG)
        outcome = update_outcome(before, trace, folded, CONFIG)
        kept = (outcome.tables, outcome.documents)
    return outcome, before, folded, new


@pytest.fixture(scope="module")
def at_once(log):
    data = load_events(log, **OPTIONS)
    trace = fit_event_rates(data, CONFIG)
    return event_rates_outcome(trace, data, CONFIG)


def test_draws_and_rates_are_those_of_a_training_on_everything(updated, at_once) -> None:
    outcome, *_ = updated
    for name in ("mu", "alpha", "phi", "theta"):
        mine, theirs = outcome.trace.posterior[name], at_once.trace.posterior[name]
        assert np.array_equal(mine.values, theirs.values), name  # the same statistics, the same seed
    assert outcome.trace.posterior["entity"].values.tolist() == at_once.trace.posterior["entity"].values.tolist()
    rates, expected = outcome.tables["rates"], at_once.tables["rates"]
    assert rates["entity"].tolist() == expected["entity"].tolist()
    for name in rates.columns[1:]:
        # Sums of exposures are added in another order; everything else is the same numbers.
        np.testing.assert_allclose(rates[name], expected[name], rtol=1e-12, atol=0, err_msg=name)
    for name in ("n_entities", "n_obs", "events", "mu_mean", "alpha_mean", "phi_mean", "r_hat_max", "ess_bulk_min"):
        assert outcome.metrics[name] == at_once.metrics[name], name


def test_new_windows_have_the_scores_of_a_training_on_everything(updated, at_once) -> None:
    outcome, _, folded, _ = updated
    keys = ["entity", "window"]
    both = outcome.tables["scores"].merge(at_once.tables["scores"], on=keys, suffixes=("", "_all"))
    assert len(both) == len(outcome.tables["scores"]) == folded.windows.n_obs
    assert set(both["window"]) == {"2024-03-09", "2024-03-10"}  # the ninth had been cut off
    for name in ("count", "exposure", "lower", "upper", "label"):
        assert both[name].tolist() == both[f"{name}_all"].tolist(), name
    # Averaged over the same draws; entities with a partial window are integrated on grids laid for other windows.
    np.testing.assert_allclose(both["score"], both["score_all"], rtol=1e-5)
    np.testing.assert_allclose(both["expected"], both["expected_all"], rtol=1e-5)


def test_on_arrival_windows_are_scored_by_what_had_not_seen_them(updated) -> None:
    outcome, before, folded, _ = updated
    arrived = outcome.tables[ON_ARRIVAL]
    expected = score_new_windows(before, folded.arrived)
    pd.testing.assert_frame_equal(arrived, expected)
    worst = arrived.sort_values("score").iloc[-1]
    assert (worst["entity"], worst["window"], bool(worst["label"])) == ("user_0", "2024-03-10", True)
    # Afterwards the attack has raised the rate of user_0 and surprises less, though it is left out of its own.
    assert outcome.metrics["new_events"] == int(arrived["count"].sum())
    assert outcome.metrics["elpd_on_arrival"] == pytest.approx(-arrived["score"].sum())


def test_the_report_begins_with_what_is_new(updated) -> None:
    outcome, _, folded, _ = updated
    first = outcome.sections[0]
    assert first.title == "New windows"
    assert first.tables[0].headline
    assert first.tables[0].rows[0][:3] == (1, "user_0", "2024-03-10")
    assert "The old windows are known by their sums." in first.text[0]
    assert f"A window that had been cut off was completed for {folded.completed} entities" in first.text[2]
    assert outcome.metrics["attacks"] == 1
    engine = next(section for section in outcome.sections if section.title == "How it was computed")
    assert "Engine: collapsed (old windows are known by their sums alone" in engine.text[0]


def test_what_was_assumed_is_said(updated) -> None:
    *_, new = updated
    assert new.notes[0] == (
        "the window 2024-03-10 is taken as observed until the last event, and the next update completes it; "
        "if these data hold all of it, add --edge-windows whole"
    )
    assert new.options["window"] == "1D"


def test_notes_name_the_silent_and_the_new(log) -> None:
    (tables, documents) = remember(load_events(log, **OPTIONS))
    seen = recall(tables[TABLE], documents[DOCUMENT], run="20240301T000000Z-000000")
    later = pd.DataFrame({"who": ["zoe"], "at": ["2024-03-12"]})
    new = load_new_windows({"data": later, "entity": "who", "edge_windows": "whole"}, OPTIONS, seen)
    assert new.notes == (
        "known entities that do not occur in the new data: 9; they count as silent up to the newest window",
        "entities that are new: 1",
    )


def test_what_cannot_be_taken_in_is_refused(log) -> None:
    tables, documents = remember(load_events(log, **OPTIONS))
    seen = recall(tables[TABLE], documents[DOCUMENT], run="20240301T000000Z-000000")
    with pytest.raises(DataError, match="these windows were taken in already"):
        load_new_windows({"data": log, "label": "attack"}, OPTIONS, seen)
    with pytest.raises(ConfigurationError, match="data: needed to update and not given; add --data"):
        load_new_windows({}, {**OPTIONS, "data": "old.csv"}, seen)
    with pytest.raises(ConfigurationError, match="run 20240301T000000Z-000000 has not kept what updates need"):
        recall(None, None, run="20240301T000000Z-000000")
