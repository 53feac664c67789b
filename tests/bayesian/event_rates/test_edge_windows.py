"""Entities with several exposures that share tables: against quadrature for each, whatever the population."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.bayesian.event_rates import anomaly, collapsed_density, edge_cases, rate_summaries
from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.collapsed_density import CollapsedDensity
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.posterior_draws import statistics_variables
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows, cells_of
from modelwright.bayesian.event_rates.rate_quadrature import log_peak_and_integral
from modelwright.bayesian.event_rates.rate_summaries import summarise_rates
from modelwright.bayesian.event_rates.shared_grids import SumsTable, table_integrals
from modelwright.bayesian.event_rates.statistics import AlikeEntities, alike_entities, statistics_of
from modelwright.bayesian.event_rates.update_scores import score_windows_within
from modelwright.bayesian.event_rates.window_cases import AlikeWindows, alike_windows
from modelwright.core.progress import ProgressEvent
from modelwright.data.events import EventCounts

EXPOSURE = np.array([1.0, 0.4, 0.7])
NUMBER = np.array([18.0, 1.0, 1.0])


def log_like(n_entities: int, mean: float, n_windows: int = 20) -> EventCounts:
    """Windows of a log whose first and last are partial, for everybody."""
    rng = np.random.default_rng(7)
    exposure = np.r_[0.4, np.ones(n_windows - 2), 0.7]
    rate = rng.gamma(10.0, mean / 10.0, (n_entities, 1)) * exposure
    count = rng.negative_binomial(3.0, 3.0 / (3.0 + rate))
    count[0, :] = 0
    count[1, 5] = 60 * max(1, int(mean))  # somebody's burst
    names = np.repeat([f"user {k}" for k in range(n_entities)], n_windows)
    return EventCounts.from_arrays(entity=names, count=count.ravel(), exposure=np.tile(exposure, n_entities))


def trace_of(data: EventCounts, mean: float) -> az.InferenceData:
    """A posterior of the population near the truth, with the statistics of the data."""
    rng = np.random.default_rng(2)
    draws = {
        name: (("chain", "draw"), value * np.exp(0.05 * rng.standard_normal((2, 40))))
        for name, value in (("mu", mean), ("alpha", 10.0 / mean), ("phi", 3.0))
    }
    return az.InferenceData(posterior=xr.Dataset(draws), constant_data=statistics_variables(statistics_of(data)))


def one_by_one(population: Population, table: SumsTable) -> np.ndarray:
    """The integrals of a table, each on points of its own, (n_draws, n_along, n_beside)."""
    n, m = len(table.along), len(table.beside)
    total = np.concatenate([np.repeat(table.along, m)[:, None], np.tile(table.beside, (n, 1))], axis=1)
    rows = Windows(np.tile(table.exposure, (n * m, 1)), total, np.tile(table.number, (n * m, 1)))
    found = sum(log_peak_and_integral(cells_of(population, rows, slice(None), slice(None))))
    return found.reshape(n, m, len(population)).transpose(2, 0, 1)


@settings(max_examples=25)
@given(
    shape=st.floats(-4, 4).map(lambda x: 10.0**x),
    mean=st.floats(-3, 4).map(lambda x: 10.0**x),
    phi=st.one_of(st.floats(-3, 6).map(lambda x: 10.0**x), st.just(np.inf)),
    along=st.lists(st.integers(0, 3000), min_size=1, max_size=4, unique=True),
    beside=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 2000)), min_size=1, max_size=4),
)
def test_shared_grids_equal_integrals_on_their_own(shape, mean, phi, along, beside) -> None:
    population = Population(np.array([shape, 1.5]), np.array([shape / mean, 0.3]), np.array([1.0 / phi, 0.2]))
    table = SumsTable(EXPOSURE, NUMBER, np.sort(along).astype(float), np.array(beside, float))
    truth = one_by_one(population, table)
    seen = 0
    for part in table_integrals(population, table):
        # the bound asked of an integral; a logarithm of that size holds no more digits
        np.testing.assert_allclose(part.log_integral, truth[part.draws], rtol=1e-14, atol=1e-8)
        seen += len(part.draws)
    assert seen == len(population)


def test_factors_that_hardly_overlap_are_integrated_alone() -> None:
    population = Population(np.array([5.0]), np.array([1.0]), np.array([0.0]))
    table = SumsTable(EXPOSURE, NUMBER, np.array([90.0, 100.0]), np.array([[9000.0, 3.0], [40.0, 3.0]]))
    (part,) = table_integrals(population, table, with_mean=True)
    truth = one_by_one(population, table)
    assert truth.min() < -600  # beyond what products of doubles hold
    np.testing.assert_allclose(part.log_integral, truth, rtol=1e-13)
    total = table.along[:, None] + table.beside.sum(1)
    np.testing.assert_allclose(part.mean[0], (5.0 + total) / (1.0 + EXPOSURE @ NUMBER), rtol=1e-9)


def test_a_reference_rate_changes_a_table_by_the_likelihood_there() -> None:
    population = Population(np.array([5.0, 2.0]), np.array([1.0, 0.5]), np.array([0.3, 0.0]))
    table = SumsTable(EXPOSURE, NUMBER, np.array([60.0, 61.0]), np.array([[2.0, 3.0]]))
    (own,), (relative,) = (list(table_integrals(population, table, reference=which)) for which in (None, 3.0))
    gap = (relative.log_integral - own.log_integral)[np.argsort(own.draws)][:, :, 0]
    inverse, n = population.inverse_concentration, NUMBER[0]
    for h, k in ((0, 0), (1, 1)):
        s = table.along[k]
        c = n / inverse[h] if inverse[h] else 1e15
        truth = s * np.log(s / n / 3.0) - (s + c) * (np.log1p(s / c) - np.log1p(n * 3.0 / c))
        assert gap[h, k] == pytest.approx(truth, abs=1e-6)  # 1e15 stands for infinity


@pytest.mark.parametrize("mean", [0.3, 5.0, 200.0])
def test_the_density_equals_that_of_every_row_on_its_own(mean: float, monkeypatch: pytest.MonkeyPatch) -> None:
    statistics = statistics_of(log_like(300, mean))
    rng = np.random.default_rng(1)
    population = Population(*(scale * np.exp(rng.normal(0, 0.5, 5)) for scale in (10.0, 10.0 / mean, 0.3)))
    population.inverse_concentration[0] = 0.0
    shared = CollapsedDensity(statistics, ModelConfig()).log_likelihood(population)
    monkeypatch.setattr(collapsed_density, "weighted_tables", lambda rows, weight: ([], np.arange(len(weight))))
    alone = CollapsedDensity(statistics, ModelConfig()).log_likelihood(population)
    # 1e-11 an entity from interpolation, and rounding of sums of the size of the answer
    np.testing.assert_allclose(shared, alone, rtol=1e-14 * 300, atol=1e-8)


def test_summaries_equal_those_of_every_row_on_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    alike = alike_entities(statistics_of(log_like(8000, 5.0)))
    population = Population(*(value * np.linspace(0.9, 1.1, 5) for value in (10.0, 2.0, 0.3)))
    assert any(piece.cell for profile in alike.profiles for piece in rate_summaries._pieces(profile.windows))
    shared = summarise_rates(population, alike)
    monkeypatch.setattr(rate_summaries, "sum_cells", lambda rows, nats: ([], np.arange(len(rows.total))))
    alone = summarise_rates(population, alike)
    np.testing.assert_allclose(shared.mean, alone.mean, rtol=1e-8)  # interpolated to 2e-9
    np.testing.assert_allclose(shared.sd, alone.sd, rtol=1e-8)
    for name in ("lower", "median", "upper"):  # of 1e-6 of a probability, a quantile's own precision
        np.testing.assert_allclose(getattr(shared, name), getattr(alone, name), rtol=1e-6)


@pytest.mark.parametrize("mean", [0.3, 5.0])
def test_scores_equal_those_by_quadrature_for_every_entity(mean: float, monkeypatch: pytest.MonkeyPatch) -> None:
    data = log_like(60, mean)
    trace = trace_of(data, mean)
    left = []

    def watched(data: EventCounts, alike: AlikeEntities, chosen: np.ndarray) -> list[AlikeWindows]:
        left.append(len(chosen))
        return alike_windows(data, alike, chosen)

    monkeypatch.setattr(anomaly, "alike_windows", watched)
    monkeypatch.setattr(edge_cases, "_pays", lambda family: True)  # as it does for thousands of entities
    shared = score_training_windows(trace, data)
    assert left[-1] < data.n_obs / 10  # nearly all of them by tables
    monkeypatch.setattr(anomaly, "score_windows_of_several", lambda p, a, d, chosen, *rest: chosen)
    alone = score_training_windows(trace, data)
    assert left[-1] == data.n_obs
    np.testing.assert_allclose(shared["score"], alone["score"], atol=1e-8)
    np.testing.assert_allclose(shared["expected"], alone["expected"], rtol=1e-8)
    for name in ("tail_probability", "lower_tail_probability"):
        # far tails by counts or by points in the rate: what lies beyond the counts is estimated
        np.testing.assert_allclose(shared[name], alone[name], rtol=1e-6, atol=1e-8)
    for name in ("lower", "upper"):
        np.testing.assert_array_equal(shared[name], alone[name])
    np.testing.assert_allclose(shared["k_hat"], alone["k_hat"], atol=1e-5)  # of the largest ratios' shape


PAYS = {
    "by tables": lambda family: True,
    "by quadrature": lambda family: False,
    "by both": lambda family: family.exposure[0] == 1.0,  # the windows between the edges, and no others
}


@pytest.mark.parametrize("pays", PAYS.values(), ids=PAYS)
@pytest.mark.parametrize("score", [score_training_windows, score_windows_within])
def test_progress_rises_to_all_windows_and_ends_once(score, pays, monkeypatch: pytest.MonkeyPatch) -> None:
    log, whole = log_like(20, 0.3), log_like(5, 0.3).to_frame()
    whole["entity"], whole["exposure"] = whole["entity"] + " of whole days", 1.0
    data = EventCounts.from_frame(pd.concat([log.to_frame(), whole]))
    monkeypatch.setattr(edge_cases, "_pays", pays)
    events: list[ProgressEvent] = []
    score(trace_of(data, 0.3), data, progress=events.append)
    done = [event.done for event in events]
    assert {(event.stage, event.total) for event in events} == {("score", data.n_obs)}
    assert done == sorted(set(done))
    assert whole.shape[0] in done[:-1]  # those of one exposure, before the others begin
    assert done[-1] == data.n_obs
