"""The table of scores: what it says of training windows, new windows and strangers, whatever the order and the size."""

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats

from modelwright.bayesian.event_rates.anomaly import (
    rank_windows,
    ranking_score,
    score_new_windows,
    score_training_windows,
    score_training_windows_in_sample,
)
from modelwright.bayesian.event_rates.leave_one_out import EntityWindows, leave_one_out
from modelwright.bayesian.event_rates.rate_integrals import Population
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.data.events import EventCounts

MU, ALPHA, PHI = 5.0, 2.0, 3.0
COLUMNS = ["entity", "window", "count", "exposure", "expected", "lower", "upper", "score"]
COLUMNS += ["tail_probability", "lower_tail_probability", "known_entity"]


def trace_of(
    entities: tuple[str, ...], rates: np.ndarray, *, mu: float = MU, alpha: float = ALPHA, phi: float | None = PHI,
    spread: float = 0.0, draws: int = 60,
) -> az.InferenceData:  # fmt: skip
    """A posterior of known hyperparameters (or spread a little around them) and known rates."""
    rng = np.random.default_rng(3)
    around = np.exp(spread * rng.normal(size=(3, 2, draws)))
    values = {"mu": mu * around[0], "alpha": alpha * around[1]} | ({} if phi is None else {"phi": phi * around[2]})
    variables = {name: (("chain", "draw"), value) for name, value in values.items()}
    variables["theta"] = (("chain", "draw", "entity"), np.broadcast_to(rates, (2, draws, len(entities))).copy())
    return az.InferenceData(posterior=xr.Dataset(variables, coords={"entity": list(entities)}))


def counts(seed: int = 1, n_entities: int = 5, n_windows: int = 8, exposure: np.ndarray | None = None) -> EventCounts:
    rng = np.random.default_rng(seed)
    rates = rng.gamma(MU * ALPHA, 1 / ALPHA, n_entities)
    names = np.repeat([f"e{k}" for k in range(n_entities)], n_windows)
    count = rng.negative_binomial(PHI, PHI / (PHI + np.repeat(rates, n_windows)))
    starts = np.tile(np.datetime64("2024-03-01") + np.arange(n_windows), n_entities)
    return EventCounts.from_arrays(entity=names, count=count, window_start=starts, exposure=exposure)


def predictive_pmf(others: list[float], exposures: list[float], exposure: float, stop: int, phi: float) -> np.ndarray:
    """p(k | the entity's other windows) for k below stop, by a plain sum over a fine grid of the rate."""
    x = np.linspace(-8, 5, 1201)
    theta = np.exp(x)
    log_f = stats.gamma(MU * ALPHA, scale=1 / ALPHA).logpdf(theta) + x
    for y, e in zip(others, exposures, strict=True):
        log_f += stats.nbinom(phi, phi / (phi + theta * e)).logpmf(y)
    weight = np.exp(log_f - log_f.max())
    weight /= weight.sum()
    k = np.arange(stop)[:, None]
    return np.asarray(stats.nbinom(phi, phi / (phi + theta * exposure)).pmf(k) @ weight)


@pytest.mark.parametrize("unequal", [False, True], ids=["equal exposures", "unequal exposures"])
def test_with_known_hyperparameters_everything_follows_from_the_predictive_probabilities(unequal: bool) -> None:
    exposure = np.random.default_rng(4).choice([0.25, 1.0, 3.0], 40) if unequal else None
    data = counts(exposure=exposure)
    found = score_training_windows(trace_of(data.entities, np.ones(5)), data, interval=0.8)
    assert (found["k_hat"] == 0).all()  # all draws are the same: nothing to weigh
    for row in (0, 7, 19, 33):
        mine = (data.entity_idx == data.entity_idx[row]) & (np.arange(data.n_obs) != row)
        pmf = predictive_pmf(list(data.count[mine]), list(data.exposure[mine]), data.exposure[row], 500, PHI)
        below = np.cumsum(pmf)
        y = data.count[row]
        # two quadratures of smooth functions, both beyond 1e-9; tails take every second point of the grid: 1e-5
        assert found["score"][row] == pytest.approx(-np.log(pmf[y]), abs=1e-8)
        assert found["expected"][row] == pytest.approx(pmf @ np.arange(500), rel=1e-5)
        assert found["tail_probability"][row] == pytest.approx(pmf[y:].sum(), rel=1e-5)
        assert found["lower_tail_probability"][row] == pytest.approx(below[y], rel=1e-5)
        assert found["lower"][row] == np.searchsorted(below, 0.1)
        assert found["upper"][row] == np.searchsorted(below, 0.9)


def test_columns_and_facts_are_those_of_the_data() -> None:
    data = counts()
    frame = data.to_frame().assign(label=[1] + [0] * 39, kind=["burst"] + [""] * 39)
    labelled = EventCounts.from_frame(frame)
    found = score_training_windows(trace_of(data.entities, np.ones(5)), labelled)
    assert found.columns.tolist() == [COLUMNS[0], "window_start", *COLUMNS[1:], "k_hat", "label", "kind"]
    assert found.attrs["interval"] == 0.9
    pd.testing.assert_frame_equal(
        found[["entity", "window", "count"]], frame[["entity", "window", "count"]], check_frame_type=True
    )
    assert found["known_entity"].all()


def test_the_order_of_entities_and_windows_does_not_matter() -> None:
    data = counts()
    frame = data.to_frame()
    trace = trace_of(data.entities, np.arange(1.0, 6.0), spread=0.05)
    straight = score_training_windows(trace, data)
    shuffled = EventCounts.from_frame(frame.sample(frac=1.0, random_state=0))
    other = score_training_windows(trace, shuffled)
    keys = ["entity", "window"]
    pd.testing.assert_frame_equal(
        straight.sort_values(keys, ignore_index=True), other.sort_values(keys, ignore_index=True), rtol=1e-9
    )


def test_windows_alike_score_alike_and_entities_alike_too() -> None:
    data = EventCounts.from_arrays(entity=["a"] * 4 + ["b"] * 4, count=[2, 7, 2, 40, 40, 2, 7, 2])
    found = score_training_windows(trace_of(data.entities, np.ones(2), spread=0.1), data).set_index(["entity", "count"])
    np.testing.assert_array_equal(found.loc[("a", 2), "score"], found.loc[("b", 2), "score"])
    assert found.loc[("a", 40), "score"].item() == found.loc[("b", 40), "score"].item()


def test_an_anomaly_scores_more_left_out_than_in_sample() -> None:
    data = EventCounts.from_arrays(entity=["a"] * 6 + ["b"] * 6, count=[4, 5, 3, 4, 150, 4, 5, 6, 4, 5, 6, 5])
    rates = np.array([25.0, 5.2])  # what a posterior makes of them: the anomaly has moved a's rate
    trace = trace_of(data.entities, rates)
    left_out, in_sample = score_training_windows(trace, data), score_training_windows_in_sample(trace, data)
    assert left_out["score"][4] > in_sample["score"][4] + 10
    assert left_out["expected"][4] < 6 < in_sample["expected"][4]
    assert "k_hat" not in in_sample


def test_known_entities_are_averaged_over_their_posterior() -> None:
    trace = trace_of(("a", "b"), np.array([2.0, 9.0]))
    rng = np.random.default_rng(8)
    rates = rng.gamma(20, 0.1, (2, 60))
    trace.posterior["theta"][:, :, 0] = rates
    found = score_new_windows(trace, pd.DataFrame({"entity": ["b", "a"], "count": [3, 6], "exposure": [1.0, 2.0]}))
    mean = 2.0 * rates.ravel()
    truth = stats.nbinom(PHI, PHI / (PHI + mean))
    assert found["entity"].tolist() == ["b", "a"]
    assert found["score"][1] == pytest.approx(-np.log(truth.pmf(6).mean()), abs=1e-10)  # same formula
    assert found["tail_probability"][1] == pytest.approx(truth.sf(5).mean(), rel=1e-10)
    assert found["lower_tail_probability"][1] == pytest.approx(truth.cdf(6).mean(), rel=1e-10)
    assert found["expected"][1] == pytest.approx(mean.mean(), rel=1e-12)


@pytest.mark.parametrize("count", [45, 80, 700])
def test_a_far_tail_keeps_its_digits(count: int) -> None:
    found = score_new_windows(trace_of(("a",), np.array([2.0])), pd.DataFrame({"entity": ["a"], "count": [count]}))
    truth = stats.nbinom(PHI, PHI / (PHI + 2.0))
    assert found["tail_probability"][0] == pytest.approx(truth.sf(count - 1), rel=1e-9)
    assert found["tail_probability"][0] < 1e-7
    assert found["lower_tail_probability"][0] == pytest.approx(1.0, abs=1e-12)


def test_strangers_are_predicted_from_the_population_each_window_on_its_own() -> None:
    trace = trace_of(("a",), np.array([2.0]))
    new = pd.DataFrame(
        {"entity": ["x", "x", "a"], "count": [0, 25, 1], "window_start": ["2024-03-01", "2024-03-02", "2024-03-01"]}
    )
    found = score_new_windows(trace, new)
    assert found["known_entity"].tolist() == [False, False, True]
    pmf = predictive_pmf([], [], 1.0, 400, PHI)
    assert found["score"][0] == pytest.approx(-np.log(pmf[0]), abs=1e-8)
    assert found["score"][1] == pytest.approx(-np.log(pmf[25]), abs=1e-8)
    assert found["tail_probability"][1] == pytest.approx(pmf[25:].sum(), rel=1e-5)
    np.testing.assert_allclose(found["expected"][:2], MU, rtol=1e-5)


def test_a_poisson_trace_has_no_concentration() -> None:
    trace = trace_of(("a",), np.array([4.0]), phi=None)
    found = score_new_windows(trace, pd.DataFrame({"entity": ["a", "new"], "count": [9, 9]}))
    assert found["score"][0] == pytest.approx(-stats.poisson(4.0).logpmf(9), abs=1e-10)
    gamma_poisson = stats.nbinom(MU * ALPHA, ALPHA / (ALPHA + 1))
    assert found["score"][1] == pytest.approx(-gamma_poisson.logpmf(9), abs=1e-8)


def test_counts_beyond_the_table_have_right_tails_and_intervals() -> None:
    """Ten million events: the interval's ends are interpolated, the tails are not."""
    trace = trace_of(("a",), np.array([1e7]), phi=50.0)
    found = score_new_windows(
        trace, pd.DataFrame({"entity": ["a"] * 2, "count": [11_000_000, 2_000_000]}), interval=0.9
    )
    truth = stats.nbinom(50.0, 50.0 / (50.0 + 1e7))
    width = truth.ppf(0.95) - truth.ppf(0.05)
    assert found["lower"][0] == pytest.approx(truth.ppf(0.05), abs=0.01 * width)  # linear between points 1/40 sd apart
    assert found["upper"][0] == pytest.approx(truth.ppf(0.95), abs=0.01 * width)
    np.testing.assert_allclose(found["tail_probability"], truth.sf(found["count"] - 1), rtol=1e-6)
    np.testing.assert_allclose(found["lower_tail_probability"], truth.cdf(found["count"]), rtol=1e-6)


def test_leave_one_out_with_large_counts_and_one_far_window() -> None:
    data = EventCounts.from_arrays(entity=["a"] * 5, count=[90_000, 110_000, 100_000, 95_000, 4_000_000])
    trace = trace_of(("a",), np.array([1e5]), mu=1e5, alpha=1e-4, phi=20.0)
    found = score_training_windows(trace, data)
    assert found["score"].idxmax() == 4
    theta = np.exp(np.linspace(np.log(2e4), np.log(5e5), 4001))  # rates, for a plain sum
    log_f = stats.gamma(10.0, scale=1e4).logpdf(theta) + np.log(theta)
    for y in data.count[:4]:
        log_f += stats.nbinom(20.0, 20.0 / (20.0 + theta)).logpmf(y)
    weight = np.exp(log_f - log_f.max()) / np.exp(log_f - log_f.max()).sum()
    assert found["expected"][4] == pytest.approx(weight @ theta, rel=1e-6)
    below = [weight @ stats.nbinom(20.0, 20.0 / (20.0 + theta)).cdf(found[end][4]) for end in ("lower", "upper")]
    assert below == pytest.approx([0.05, 0.95], abs=1e-4)  # linear between points 1/40 sd apart
    # P(Y <= y) and P(Y >= y) overlap in y alone
    overlap = found["tail_probability"] + found["lower_tail_probability"] - 1
    np.testing.assert_allclose(overlap, np.exp(-found["score"]), atol=1e-5)


def test_one_window_alone_is_predicted_by_the_population() -> None:
    population = Population(np.array([MU * ALPHA]), np.array([ALPHA]), np.array([1 / PHI]))
    (part,) = leave_one_out(population, EntityWindows(np.array([12.0]), np.array([1.0]), np.array([1.0])))
    pmf = predictive_pmf([], [], 1.0, 400, PHI)
    assert part.log_density.item() == pytest.approx(np.log(pmf[12]), abs=1e-8)


def test_ranking_puts_ties_in_the_order_of_the_table() -> None:
    tails = {"tail_probability": [0.2, 0.01, 0.2, 0.5], "lower_tail_probability": [0.9, 0.99, 0.9, 0.01]}
    table = pd.DataFrame({"entity": list("abcd"), "score": [3.0, 5.0, 3.0, 4.0], **tails})
    assert rank_windows(table)["entity"].tolist() == ["b", "d", "a", "c"]
    assert rank_windows(table)["rank"].tolist() == [1, 2, 3, 4]
    assert rank_windows(table, direction="high")["entity"].tolist() == ["b", "a", "c", "d"]
    assert rank_windows(table, direction="low")["entity"].tolist() == ["d", "a", "c", "b"]


def test_a_long_run_of_ties_keeps_the_order_of_the_table() -> None:
    score = np.tile([1.0, 2.0, 3.0], 400)
    table = pd.DataFrame(
        {"row": np.arange(1200), "score": score, "tail_probability": 1.0, "lower_tail_probability": 1.0}
    )
    assert rank_windows(table)["row"].tolist() == sorted(range(1200), key=lambda row: -score[row])


def test_tails_below_the_smallest_double_still_rank_by_their_density() -> None:
    table = pd.DataFrame(
        {"score": [900.0, 800.0, 10.0], "tail_probability": [0.0, 0.0, 1e-4], "lower_tail_probability": 1.0}
    )
    assert ranking_score(table, direction="high").tolist() == [900.0, 800.0, pytest.approx(-np.log(1e-4))]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda t, d: score_training_windows(t, d, interval=90), ConfigurationError, "interval: not a probability"),
        (lambda t, d: score_new_windows(t, d, interval=0.0), ConfigurationError, "interval: not a probability"),
        (
            lambda t, d: score_training_windows(t, d, draws=5),
            ConfigurationError,
            "draws: too few draws; expected a whole number of at least 25, got 5",
        ),
        (lambda t, d: score_new_windows(t, "today.csv"), DataError, "data: not windows to score"),
        (lambda t, d: score_new_windows(t, pd.DataFrame({"entity": ["a"], "cuont": [1]})), DataError, "count"),
        (lambda t, d: score_new_windows(az.InferenceData(), d), DataError, "trace: the trace has no mu"),
        (
            lambda t, d: rank_windows(score_new_windows(t, d), direction="hihg"),
            ConfigurationError,
            "direction: not a direction; expected 'both', 'high' or 'low', got 'hihg'; did you mean 'high'?",
        ),
        (
            lambda t, d: score_training_windows(t, EventCounts.from_arrays(entity=["zed"], count=[1])),
            DataError,
            "data: these are not the windows the model was trained on, such as 'zed'",
        ),
    ],
)
def test_what_is_wrong_is_named(call, error, message) -> None:
    data = counts()
    with pytest.raises(error) as refusal:
        call(trace_of(data.entities, np.ones(5)), data)
    assert message in str(refusal.value)
    assert not isinstance(refusal.value, NotFoundError)


@pytest.mark.parametrize("differs", ["count", "exposure", "entity"])
def test_other_windows_than_those_of_training_are_refused(differs: str) -> None:
    data = counts()
    stored = {"count": data.count, "exposure": data.exposure, "entity": data.entity_idx}
    same = {name: ("obs", np.array(values)) for name, values in stored.items()}
    other = same | {differs: ("obs", np.array(stored[differs])[::-1] + (differs != "entity"))}
    for columns, refused in ((same, False), (other, True)):
        trace = trace_of(data.entities, np.ones(5))
        constant = {"exposure": columns["exposure"], "entity_idx": columns["entity"]}
        trace.add_groups({"observed_data": xr.Dataset({"y": columns["count"]}), "constant_data": xr.Dataset(constant)})
        if refused:
            with pytest.raises(DataError, match=f"not the windows the model was trained on: they differ in {differs};"):
                score_training_windows(trace, data)
        else:
            assert len(score_training_windows(trace, data, draws=25)) == data.n_obs


@pytest.mark.slow
def test_a_hundred_thousand_windows_take_less_than_a_minute() -> None:
    import time

    data = counts(n_entities=3400, n_windows=30)
    trace = trace_of(data.entities, np.ones(3400), spread=0.05, draws=300)
    started = time.perf_counter()
    found = score_training_windows(trace, data)
    assert len(found) == 102_000
    assert np.isfinite(found["score"]).all()
    assert time.perf_counter() - started < 60
