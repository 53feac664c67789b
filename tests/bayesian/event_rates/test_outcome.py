"""What a training hands over: the verdict, the figures, the report's parts and the tables, from a real small fit."""

import json
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest

from modelwright.bayesian.event_rates import figures
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.outcome import event_rates_outcome, k_hat_finding
from modelwright.bayesian.event_rates.report_sections import data_section
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.files import json_text
from modelwright.core.progress import ProgressEvent
from modelwright.core.sections import TrainingOutcome, section_document
from modelwright.core.verdict import Grade
from modelwright.data.events import EventCounts, load_events

ATTACK = 17


def labelled_counts() -> EventCounts:
    """Eight entities over ten days, one of them attacked on one day."""
    rng = np.random.default_rng(6)
    rates = rng.gamma(8.0, 0.6, 8)
    count = rng.negative_binomial(6.0, 6.0 / (6.0 + np.repeat(rates, 10)))
    label = np.zeros(80, bool)
    count[ATTACK], label[ATTACK] = 90, True
    return EventCounts.from_arrays(
        entity=np.repeat([f"user_{k}" for k in range(8)], 10),
        count=count,
        window_start=np.tile(np.datetime64("2024-03-01") + np.arange(10), 8),
        label=label,
        kind=np.where(label, "brute_force", ""),
        window="1D",
    )


@pytest.fixture(scope="module")
def fitted() -> tuple[TrainingOutcome, EventCounts, list[ProgressEvent]]:
    data, events = labelled_counts(), []
    config = ModelConfig.create(n_samples=200, n_tune=200, n_chains=2)
    trace = fit_event_rates(data, config, cores=1)
    return event_rates_outcome(trace, data, config, progress=events.append), data, events


def test_the_outcome_can_be_stored_as_plain_data(fitted) -> None:
    outcome, data, _ = fitted
    document = {
        "verdict": outcome.verdict.as_document(),
        "metrics": outcome.metrics,
        "sections": [section_document(section) for section in outcome.sections],
        "documents": outcome.documents,
    }
    assert json.loads(json_text(document))["metrics"]["n_obs"] == 80
    assert outcome.documents["data"]["fingerprint"] == data.fingerprint()
    names = [picture.name for section in outcome.sections for picture in section.pictures]
    names += [picture.name for picture in outcome.diagrams]
    assert len(set(names)) == len(names)
    assert {"shrinkage", "top_anomalies", "scores", "model", "hyperparameters", "trace_plots", "rank_plots"} <= set(
        names
    )


def test_metrics_agree_with_the_tables(fitted) -> None:
    outcome, data, _ = fitted
    scores, rates = outcome.tables["scores"], outcome.tables["rates"]
    assert outcome.metrics["elpd_loo_integrated"] == pytest.approx(-scores["score"].sum(), rel=1e-12)
    # who drew the collapsed density is told beside the engine: it may have been NUTS
    assert outcome.metrics["method"] == outcome.trace.posterior.attrs["method"] == "independence_metropolis"
    assert outcome.metrics["pr_auc"] == outcome.metrics["pr_auc_brute_force"] == 1.0
    assert scores["score"].idxmax() == ATTACK
    theta = outcome.trace.posterior["theta"]
    # the table is exact given the population's draws, which it averages over; the draws of theta err by their MCSE
    error = az.mcse(outcome.trace, var_names=["theta"])["theta"].values
    assert (np.abs(rates["mean"] - theta.mean(("chain", "draw")).values) < 4 * error).all()
    share = (theta < rates["lower"].to_numpy()).mean(("chain", "draw")).values
    # 4 standard errors of a share of 5 % among independent draws: given the population, these are
    assert (np.abs(share - 0.05) < 4 * np.sqrt(0.05 * 0.95 / (theta.sizes["chain"] * theta.sizes["draw"]))).all()
    totals = data.to_frame().groupby("entity")["count"].sum()
    assert rates.set_index("entity")["total"].to_dict() == totals.to_dict()
    assert outcome.metrics["mu_mean"] == pytest.approx(float(outcome.trace.posterior["mu"].mean()), rel=1e-10)


def test_the_verdict_holds_convergence_prediction_and_leave_one_out(fitted) -> None:
    outcome, _, events = fitted
    names = [finding.name for finding in outcome.verdict.findings]
    assert {"r_hat_max", "ess_bulk_min", "proposal_k_hat", "predictive_maximum", "k_hat_max"} <= set(names)
    assert {event.stage for event in events} >= {"score", "report"}
    titles = [section.title for section in outcome.sections]
    assert set(titles) == {
        "Data",
        "Anomalies",
        "Population",
        "What the prior expects",
        "How it was computed",
        "Rates of the entities",
        "Predictive checks",
        "Convergence",
        "How to read this",
    }
    assert titles[-1] == "How to read this"


def test_tables_survive_parquet(fitted, tmp_path) -> None:
    outcome, _, _ = fitted
    for name, table in outcome.tables.items():
        path = tmp_path / f"{name}.parquet"
        table.to_parquet(path)
        again = pd.read_parquet(path)
        assert list(again.columns) == list(table.columns)
        pd.testing.assert_frame_equal(again, table, check_dtype=False)


def test_pictures_are_the_same_bytes_every_time_and_need_no_window_system(fitted) -> None:
    outcome, _, _ = fitted
    scores, rates = outcome.tables["scores"], outcome.tables["rates"]
    for draw in (lambda: figures.anomalies_picture(scores), lambda: figures.shrinkage_picture(rates, 5.0)):
        first, second = draw(), draw()
        assert first.content == second.content
        ElementTree.fromstring(first.content)
        assert first.alt
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_pictures_of_many_entities_stay_small() -> None:
    rng = np.random.default_rng(1)
    raw = rng.gamma(2.0, 3.0, 20_000)
    rates = pd.DataFrame({"windows": rng.integers(1, 60, 20_000), "raw_rate": raw, "mean": 0.8 * raw + 1.2})
    picture = figures.shrinkage_picture(rates, 6.0)
    assert len(picture.content) < 400_000
    assert "1200 of 20000 entities are drawn" in picture.caption


def scores_of(count: list[int], entity: list[str]) -> pd.DataFrame:
    expected = np.full(len(count), 5.0)
    table = pd.DataFrame({"entity": entity, "window": [f"row {k + 1}" for k in range(len(count))], "count": count})
    return table.assign(expected=expected, lower=1, upper=9, score=np.abs(np.array(count) - 5.0))


def test_entities_with_few_windows_are_listed_instead_of_drawn_over_time() -> None:
    listed = figures.anomalies_picture(scores_of([5, 40, 3], ["a", "b", "c"]))
    assert listed.title == "The most surprising windows"
    course = figures.anomalies_picture(scores_of([5, 4, 40, 3, 6], ["a"] * 5))
    assert course.title == "The most surprising windows in their entity's course"


@pytest.mark.parametrize(
    "count", [[0] * 6, [0, 0, 0, 0, 0, 10_000_000], [1]], ids=["all zero", "one enormous", "one window"]
)
def test_pictures_of_odd_data_can_be_drawn(count: list[int]) -> None:
    table = scores_of(count, ["a <b> & $c$ \u4e2d"] * len(count))
    for picture in (figures.anomalies_picture(table), figures.scores_picture(table)):
        ElementTree.fromstring(picture.content)


def test_a_course_longer_than_the_picture_shows_the_part_around_the_anomaly() -> None:
    count = np.full(5000, 5)
    count[4321] = 90
    assert len(figures.anomalies_picture(scores_of(list(count), ["a"] * 5000)).content) < 80_000


@pytest.mark.parametrize(
    ("k_hat", "grade"),
    [([0.1] * 100, Grade.GOOD), ([0.1] * 99 + [0.9], Grade.WARNING), ([0.9] * 6 + [0.1] * 94, Grade.PROBLEM)],
)
def test_unreliable_scores_make_a_finding(k_hat: list[float], grade: Grade) -> None:
    table = pd.DataFrame({"entity": "a", "window": "w", "k_hat": k_hat})
    table.attrs["draws"] = 400
    finding = k_hat_finding(table)
    assert finding.grade is grade
    if grade is not Grade.GOOD:
        assert "windows are unreliable" in finding.sentence
        assert finding.advice


def test_of_one_draw_no_k_hat_is_told() -> None:
    scores = scores_of([1, 2], ["a", "b"]).assign(k_hat=0.0)
    scores.attrs["draws"] = 1
    finding = k_hat_finding(scores)
    assert (finding.value, finding.grade) == (None, Grade.PROBLEM)
    assert finding.sentence == "leave-one-out scores rest on a single draw, of which no k-hat can be told"
    assert "0.00" not in finding.sentence
    assert "at least 21" in finding.advice


def test_a_k_hat_that_could_not_be_fitted_is_told_without_a_number() -> None:
    table = pd.DataFrame({"entity": "a", "window": "w", "k_hat": [0.1] * 50 + [np.inf]})
    table.attrs["draws"] = 400
    finding = k_hat_finding(table)
    assert finding.value is None
    assert "k-hat infinite" in finding.sentence


def test_a_log_that_begins_within_a_window_is_said_to_be_partly_observed():
    times = pd.to_datetime(["2024-01-01 12:00:00", "2024-01-02 10:00:00", "2024-01-03 05:59:59"])
    log = pd.DataFrame({"user": ["a", "b", "a"], "at": times})
    options = {"entity": "user", "time": "at", "window": "1D"}
    (_, said) = data_section(load_events(log, **options)).text
    assert "the first window was observed to 50% and the last window was observed to 25%" in said
    assert len(data_section(load_events(log, **options, edge_windows="whole")).text) == 1
