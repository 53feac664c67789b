"""Scores from tables of integrals: equal to quadrature window by window, to closed forms, and counted right."""

import arviz as az
import mpmath
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from modelwright.bayesian.event_rates import anomaly, count_tables
from modelwright.bayesian.event_rates.anomaly import score_new_windows, score_training_windows
from modelwright.bayesian.event_rates.count_tables import Cases, score_cases
from modelwright.bayesian.event_rates.density import lower_tail, negative_binomial_logpmf, upper_tail
from modelwright.bayesian.event_rates.forecast import forecast
from modelwright.bayesian.event_rates.left_out_weights import without_window
from modelwright.bayesian.event_rates.posterior_draws import entity_labels, statistics_in, statistics_variables
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.statistics import alike_entities, statistics_of
from modelwright.bayesian.event_rates.window_cases import WindowCases, alike_windows, cases_left_out, distinct_pairs
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts

NUMBERS = ["expected", "score", "tail_probability", "lower_tail_probability"]


def trace_of(data: EventCounts, *, poisson: bool = False, spread: float = 0.1, draws: int = 60) -> az.InferenceData:
    """A summary trace: draws of the population and the statistics, no rates."""
    rng = np.random.default_rng(3)
    names = ("mu", "alpha") if poisson else ("mu", "alpha", "phi")
    variables = {
        name: (("chain", "draw"), centre * np.exp(spread * rng.normal(size=(2, draws))))
        for name, centre in zip(names, (5.0, 2.0, 3.0), strict=False)
    }
    return az.InferenceData(posterior=xr.Dataset(variables), constant_data=statistics_variables(statistics_of(data)))


def counts(n_entities: int = 12, n_windows: int = 9, outlier: int = 60, exposure: float = 1.0) -> EventCounts:
    rng = np.random.default_rng(1)
    count = rng.negative_binomial(3, 3 / (3 + exposure * rng.gamma(10, 0.5, (n_entities, 1))), (n_entities, n_windows))
    count[0, 0] = outlier
    names = np.repeat([f"e{k:02d}" for k in range(n_entities)], n_windows)
    return EventCounts.from_arrays(entity=names, count=count.ravel(), exposure=np.full(count.size, exposure))


@pytest.mark.parametrize("poisson", [False, True], ids=["negbinom", "poisson"])
@pytest.mark.parametrize("common", [True, False], ids=["one grid", "a grid per draw"])
def test_tables_and_quadrature_give_the_same(poisson: bool, common: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    data = counts(exposure=0.7)
    trace = trace_of(data, poisson=poisson)
    tabulated = score_training_windows(trace, data)

    def none_tabulated(*args: object) -> WindowCases:
        found = cases_left_out(*args)
        return WindowCases(found.cases.part(np.empty(0, dtype=int)), np.full_like(found.case, -1))

    monkeypatch.setattr(anomaly, "cases_left_out", none_tabulated)
    if not common:
        from modelwright.bayesian.event_rates import quadrature_scores

        monkeypatch.setattr(quadrature_scores, "leave_out_together", lambda *args: None)
    found = score_training_windows(trace, data)
    # two quadratures of the same integrals, 1e-8 nats; tails by every second point of a grid, 5e-6
    np.testing.assert_allclose(tabulated["score"], found["score"], atol=1e-7)
    np.testing.assert_allclose(tabulated["expected"], found["expected"], rtol=1e-5)
    for name in ("tail_probability", "lower_tail_probability"):
        np.testing.assert_allclose(tabulated[name], found[name], rtol=2e-5, atol=2e-8)
    for name in ("lower", "upper"):
        np.testing.assert_array_equal(tabulated[name], found[name])
    np.testing.assert_allclose(tabulated["k_hat"], found["k_hat"], atol=1e-4)


@given(
    shape=st.floats(-3, 5).map(np.exp),
    rate=st.floats(-4, 4).map(np.exp),
    exposure=st.sampled_from([0.01, 1.0, 7.0]),
    number=st.integers(0, 50),
    total=st.integers(0, 500),
    count=st.integers(0, 400),
)
def test_poisson_cases_follow_the_conjugate_closed_form(
    shape: float, rate: float, exposure: float, number: int, total: int, count: int
) -> None:
    """What Gamma(a, b) predicts of Poisson counts is NB(mean a e/b, concentration a), far tails included."""
    total = total if number else 0
    population = Population(*(np.full(30, value) for value in (shape, rate, 0.0)))
    case = Cases(*(np.array([float(value)]) for value in (exposure, number, total, count)))
    a, b = shape + total, rate + number * exposure
    mean = a * exposure / b
    if mean + 10 * np.sqrt(mean + mean**2 / a) > count_tables.LONGEST_TABLE:
        return
    found = score_cases(population, case, 0.8, leave_one_out=False, cores=1)
    p = found.prediction
    assert found.score[0] == pytest.approx(-float(negative_binomial_logpmf(count, mean, a)), abs=1e-8)
    assert p.expected[0] == pytest.approx(mean, rel=1e-9)
    # what lies beyond the table is estimated where it is up to 1e-7 of a small tail
    assert p.upper_tail[0] == pytest.approx(float(upper_tail(count, mean, a)), rel=1e-5, abs=1e-300)
    assert p.lower_tail[0] == pytest.approx(float(lower_tail(count, mean, a)), rel=1e-8, abs=1e-300)
    truth = stats.nbinom(a, b / (b + exposure))
    for value, level in ((p.lower[0], 0.1), (p.median[0], 0.5), (p.upper[0], 0.9)):
        assert truth.cdf(value) >= level - 1e-9
        assert value == 0 or truth.cdf(value - 1) <= level + 1e-9


@pytest.mark.parametrize("concentration", [np.inf, 40.0])
@pytest.mark.parametrize(("number", "total", "count"), [(1e5, 9_999_900, 300), (20, 80, 4)])
def test_scores_keep_their_digits_at_ten_million_events(
    concentration: float, number: float, total: float, count: float
) -> None:
    """Ratios of integrals in 30 digits; without a reference rate these are of the size S log S, and 4e-8 is lost."""
    shape, rate = 3.0, 0.5
    with mpmath.workdps(30):
        a, b, y = mpmath.mpf(shape), mpmath.mpf(rate), mpmath.mpf(count)
        if np.isinf(concentration):
            post, length = a + total, b + number
            truth = mpmath.loggamma(post + y) - mpmath.loggamma(post) - mpmath.loggamma(y + 1)
            truth += post * mpmath.log(length / (length + 1)) - y * mpmath.log(length + 1)
        else:
            c = mpmath.mpf(concentration)

            def log_z(events: mpmath.mpf, windows: float) -> mpmath.mpf:
                def log_f(x: mpmath.mpf) -> mpmath.mpf:
                    theta = mpmath.exp(x)
                    return (a + events) * x - b * theta - (events + windows * c) * mpmath.log1p(theta / c)

                mean = (a + events) / (b + windows)  # near the mode, and what the pieces are laid around
                mode, top = mpmath.log(mean), log_f(mpmath.log(mean))
                sd = 1 / mpmath.sqrt(b * mean + windows * mean / (1 + mean / c))
                points = [mode + k * sd for k in (-16, -8, -4, 0, 4, 8, 16)]
                return mpmath.log(mpmath.quad(lambda x: mpmath.exp(log_f(x) - top), points)) + top

            truth = log_z(mpmath.mpf(total) + y, number + 1) - log_z(mpmath.mpf(total), number)
            truth += mpmath.loggamma(y + c) - mpmath.loggamma(c) - mpmath.loggamma(y + 1) - y * mpmath.log(c)
        truth = -float(truth)
    population = Population(*(np.full(30, value) for value in (shape, rate, 1.0 / concentration)))
    case = Cases(*(np.array([float(value)]) for value in (1.0, number, total, count)))
    found = score_cases(population, case, 0.9, leave_one_out=False, cores=1)
    assert found.score[0] == pytest.approx(truth, abs=1e-8)  # the bound asked of an integral


def test_a_tail_longer_than_any_table_is_integrated() -> None:
    """Rates nearly always nothing, else up to thousands: the tail falls by e only every 50,000 counts."""
    a, b, count = 1e-9, 2e-5, 50
    population = Population(*(np.full(30, value) for value in (a, b, 0.0)))
    case = Cases(*(np.array([float(value)]) for value in (1.0, 0.0, 0.0, count)))
    found = score_cases(population, case, 0.9, leave_one_out=False)
    assert found.prediction.upper_tail[0] == pytest.approx(float(upper_tail(count, a / b, a)), rel=1e-5)
    assert found.prediction.upper_tail[0] < 1e-7


def test_distinct_cases_are_those_of_a_plain_count() -> None:
    rng = np.random.default_rng(5)
    names = rng.integers(0, 40, 900).astype(str)
    count = rng.choice([0, 1, 2, 3, 50, 20_000_000], 900, p=[0.3, 0.3, 0.2, 0.15, 0.04, 0.01])
    exposure = np.where(rng.random(900) < 0.001, 2.0, 1.0)
    data = EventCounts.from_arrays(entity=names, count=count, exposure=exposure)
    population = Population(np.full(5, 10.0), np.full(5, 2.0), np.full(5, 0.3))
    alike = alike_entities(statistics_of(data))
    found = cases_left_out(population, alike, data)
    frame = data.to_frame()
    sums = frame.groupby("entity")["count"].transform("sum") - frame["count"]
    others = frame.groupby("entity")["count"].transform("size") - 1
    for row in range(data.n_obs):
        mine = frame[frame["entity"] == frame["entity"][row]]
        if found.case[row] < 0:
            assert mine["exposure"].nunique() > 1 or mine["count"].max() > 4000
            continue
        case = found.case[row]
        assert found.cases.total[case] == sums[row]
        assert found.cases.number[case] == others[row]
        assert found.cases.count[case] == frame["count"][row]
    used = found.case[found.case >= 0]
    assert len(np.unique(used)) == len(found.cases.count)
    rest = np.flatnonzero(found.case < 0)
    groups = alike_windows(data, alike, rest)
    assert sorted(np.concatenate([group.rows for group in groups])) == rest.tolist()
    for group in groups:
        np.testing.assert_array_equal(group.windows.count[group.where], data.count[group.rows])
        np.testing.assert_array_equal(group.windows.exposure[group.where], data.exposure[group.rows])
        for entity in np.unique(data.entity_idx[group.rows]):
            mine = data.entity_idx == entity
            np.testing.assert_array_equal(group.windows.sums.exposure, np.unique(data.exposure[mine]))
            assert group.windows.sums.total.sum() == data.count[mine].sum()
            assert group.windows.sums.number.sum() == mine.sum()


@pytest.mark.parametrize("largest", [9, 10**15])
@pytest.mark.parametrize("stop", [3, 10**9], ids=["dense", "sparse"])
def test_distinct_pairs_in_every_way_they_are_found(largest: int, stop: int) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.choice([0, 1, stop - 1], 5000), rng.choice([0, 4, largest], 5000)
    pairs = distinct_pairs(lambda here: first[here], stop, second)
    truth, where = np.unique(np.stack([first, second]), axis=1, return_inverse=True)
    np.testing.assert_array_equal(np.stack([pairs.first, pairs.second]), truth)
    np.testing.assert_array_equal(pairs.spread(np.arange(truth.shape[1])), where.reshape(-1))


def test_a_window_that_pulls_on_no_draw_is_reliable_whatever_its_tail() -> None:
    rng = np.random.default_rng(1)
    heavy = rng.standard_t(1.5, (1, 400))
    weights, k_hat, score = without_window(-2.0 - 1e-5 * heavy)
    assert k_hat[0] == 0.0
    assert score[0] == pytest.approx(2.0, abs=1e-3)
    assert without_window(-2.0 - heavy)[1][0] > 0.5
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_known_entities_are_predicted_from_their_statistics() -> None:
    """Poisson and one draw: Gamma(a + S, b + n e) is the posterior, whatever the exposures of the new windows."""
    data = EventCounts.from_arrays(
        entity=["a"] * 3 + ["b"] * 2 + ["c"], count=[4, 6, 2, 30, 1, 50_000], exposure=[1.0, 1.0, 1.0, 1.0, 0.5, 1.0]
    )
    trace = trace_of(data, poisson=True, spread=0.0, draws=15)
    new = pd.DataFrame(
        {
            "entity": ["a", "a", "b", "x", "x", "c", "a"],
            "count": [5, 40, 3, 9, 9, 49_000, 5],
            "exposure": [1.0, 1.0, 1.0, 1.0, 2.0, 1.0, 0.25],
        }
    )
    found = score_new_windows(trace, new)
    assert (found["known_entity"] == (found["entity"] != "x")).all()
    posterior = {"a": (22.0, 5.0), "b": (41.0, 3.5), "x": (10.0, 2.0), "c": (50_010.0, 3.0)}
    for row in range(len(new)):
        a, b = posterior[found["entity"][row]]
        mean, count = a * found["exposure"][row] / b, found["count"][row]
        truth = -float(negative_binomial_logpmf(count, mean, a))
        assert found["score"][row] == pytest.approx(truth, abs=1e-6), row
        assert found["expected"][row] == pytest.approx(mean, rel=1e-5)
        assert found["tail_probability"][row] == pytest.approx(float(upper_tail(count, mean, a)), rel=1e-4)


def test_ordinary_counts_of_other_exposures_are_as_exact_as_rare_ones() -> None:
    """Read off the two tails, or a ratio of integrals: the same, over draws that differ in everything."""
    from modelwright.bayesian.event_rates import new_windows
    from modelwright.bayesian.event_rates.posterior_draws import population_draws

    data = EventCounts.from_arrays(entity=["a"] * 4, count=[3, 0, 9, 4], exposure=[1.0, 1.0, 1.0, 0.4])
    trace = trace_of(data, spread=0.1)
    count = np.arange(60)
    found = score_new_windows(trace, pd.DataFrame({"entity": "a", "count": count, "exposure": 0.7}))
    windows = alike_entities(statistics_of(data)).profiles[0].windows
    one = Windows(windows.exposure[0], windows.total[0], windows.number[0])
    truth = -new_windows._log_predictive(population_draws(trace, 400), one, 0.7, count.astype(float))
    np.testing.assert_allclose(found["score"].to_numpy(), truth, atol=1e-6)
    assert truth[-1] > 10 > -np.log(1e-4) > truth[5]


def test_statistics_and_draws_of_rates_score_new_windows_alike() -> None:
    """An older trace has rates instead of statistics: the same scores within Monte Carlo error."""
    from modelwright.bayesian.event_rates.posterior_draws import population_draws
    from modelwright.bayesian.event_rates.rate_posteriors import draw_rates

    data = counts(n_entities=4)
    trace = trace_of(data, spread=0.05, draws=2000)
    population = population_draws(trace, 4000)
    rates = draw_rates(population, alike_entities(statistics_of(data)), np.random.default_rng(0))
    old = trace.posterior.assign(theta=(("chain", "draw", "entity"), rates.reshape(2, 2000, 4)))
    old = az.InferenceData(posterior=old.assign_coords(entity=list(data.entities)))
    new = pd.DataFrame({"entity": np.repeat(data.entities, 3), "count": np.tile([0, 5, 25], 4)})
    exact, drawn = score_new_windows(trace, new, draws=4000), score_new_windows(old, new, draws=4000)
    concentration = population.concentration
    for row in range(len(new)):
        p = np.exp(negative_binomial_logpmf(new["count"][row], rates[:, row // 3], concentration))
        error = p.std() / p.mean() / np.sqrt(len(p))  # of the drawn rates; the exact side has the same populations
        assert exact["score"][row] == pytest.approx(drawn["score"][row], abs=4 * error)
    assert (exact["known_entity"] & drawn["known_entity"]).all()


def test_a_trace_without_rates_forecasts_exactly() -> None:
    data = EventCounts.from_arrays(entity=["a"] * 3 + ["b"], count=[4, 6, 2, 30])
    trace = trace_of(data, poisson=True, spread=0.0)
    assert entity_labels(trace) == ("a", "b")
    found = forecast(trace, "a", horizon=3, interval=0.8)
    rate = stats.gamma(22.0, scale=1 / 5.0)
    assert found["known_entity"] is True
    assert found["rate"]["mean"] == pytest.approx(22 / 5, rel=1e-5)
    assert [found["rate"]["lower"], found["rate"]["upper"]] == pytest.approx(rate.ppf([0.1, 0.9]), rel=1e-5)
    for h in range(1, 4):
        total = stats.nbinom(22.0, 5.0 / (5.0 + h))
        interval = found["credible_intervals"][h - 1]
        assert (interval["total_lower"], interval["total_upper"]) == (total.ppf(0.1), total.ppf(0.9))


def test_statistics_survive_a_trace_and_their_absence_is_told() -> None:
    data = counts()
    trace = trace_of(data)
    found, truth = statistics_in(trace), statistics_of(data)
    assert found is not None
    assert found.entities == truth.entities
    for name in ("entity", "exposure", "windows", "total", "count", "times"):
        np.testing.assert_array_equal(getattr(found, name), getattr(truth, name))
    del trace.constant_data
    assert statistics_in(trace) is None
    with pytest.raises(DataError, match="the trace does not say which entities it knows"):
        score_new_windows(trace, pd.DataFrame({"entity": ["e00"], "count": [1]}))


def test_windows_with_other_sums_are_refused_by_a_trace_that_carries_statistics() -> None:
    data = counts()
    trace = trace_of(data)
    other = EventCounts.from_arrays(entity=np.repeat(data.entities, 9), count=data.count[::-1])
    with pytest.raises(DataError, match="these are not the windows the model was trained on"):
        score_training_windows(trace, other)
    assert len(score_training_windows(trace, data, draws=25)) == data.n_obs


@pytest.mark.slow
def test_two_million_windows_take_seconds() -> None:
    import time

    rng = np.random.default_rng(0)
    n = 100_000
    count = rng.negative_binomial(3, 3 / (3 + rng.gamma(10, 0.5, n)[:, None]), (n, 20)).ravel()
    data = EventCounts(
        entity_idx=np.repeat(np.arange(n), 20),
        entities=tuple(f"u{k}" for k in range(n)),
        count=count,
        exposure=np.ones(20 * n),
        window_start=None,
        window_label=np.tile([f"w{k:02d}" for k in range(20)], n),
    )
    trace = trace_of(data, spread=0.003, draws=500)
    started = time.process_time()  # of this process, so that others on the machine do not count
    found = score_training_windows(trace, data)
    assert time.process_time() - started < 15
    assert len(found) == 2_000_000
    assert isinstance(found["entity"].dtype, pd.CategoricalDtype)
    started = time.process_time()
    assert np.isfinite(score_new_windows(trace, data)["score"]).all()
    assert time.process_time() - started < 15
