"""Exposures eighteen orders of magnitude apart within one entity: the integrals keep their digits, the scores exist."""

import mpmath
import numpy as np
import pytest

from modelwright.bayesian.event_rates.anomaly import score_training_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.count_mixture import Prediction
from modelwright.bayesian.event_rates.density import log1p_rise
from modelwright.bayesian.event_rates.fit import fit_event_rates
from modelwright.bayesian.event_rates.leave_one_out import EntityWindows, leave_one_out
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows, log_marginal
from modelwright.bayesian.event_rates.score_table import ScoreColumns
from modelwright.bayesian.event_rates.statistics import EXPOSURES, statistics_of
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts

EXPOSURE = np.array([1e-9, 1.0, 1e9])
POPULATION = Population(np.array([0.3, 4e-9, 0.8]), np.array([1e-9, 5e-9, 0.1]), np.array([1.0, 1.5, 0.3]))


@pytest.mark.parametrize("inverse", [1e-6, 1.0, 50.0])
@pytest.mark.parametrize("mean", [1e-12, 1.0, 1e20])
def test_a_rise_of_the_logarithm_keeps_its_digits_however_far_it_falls(mean: float, inverse: float) -> None:
    u = np.array([-300.0, -46.0, -1.0, -1e-9, 0.0, 1e-9, 2.0, 30.0])
    found = log1p_rise(np.array([mean]), u, np.array([inverse]), np.expm1(u))
    with mpmath.workdps(50):
        m, c = mpmath.mpf(mean), mpmath.mpf(inverse)
        truth = [float(mpmath.log((1 + m * mpmath.exp(v) * c) / (1 + m * c)) / c) for v in u.tolist()]
    # a few roundings of two logarithms that may be 46 nats while their difference is above one half: 1e-12 relative
    np.testing.assert_allclose(found, truth, rtol=1e-12)


@pytest.mark.parametrize("count", [(3, 0, 5), (1, 2, 5_000_000_000), (0, 1, 0), (7, 0, 0)], ids=str)
def test_a_window_left_out_is_a_ratio_of_the_integrals_with_and_without_it(count: tuple[int, ...]) -> None:
    counts = np.array(count, float)
    ones = np.ones(3)
    everything = log_marginal(POPULATION, Windows(EXPOSURE, counts, ones))
    found = np.full((3, 3), np.nan)
    for part in leave_one_out(POPULATION, EntityWindows(counts, EXPOSURE, ones)):
        found[part.index] = part.log_density
        np.testing.assert_allclose(part.probability.sum(-1), 1.0, rtol=1e-10)  # the same formula
    for j in range(3):
        others = np.arange(3) != j
        without = log_marginal(POPULATION, Windows(EXPOSURE[others], counts[others], ones[others]))
        # another quadrature, either right to some 1e-8; terms as large as the counts cancel
        np.testing.assert_allclose(found[j], everything - without, rtol=0, atol=1e-6 + 5e-15 * counts.sum())


def test_an_interval_beyond_whole_numbers_ends_at_the_largest_of_them() -> None:
    one, where = np.ones(1), np.zeros(1, int)
    columns = ScoreColumns(1, k_hat=False)
    columns.fill(where, where, Prediction(one, 0 * one, one, 1e25 * one, one, one), one, None)
    table = columns.table(EventCounts.from_arrays(entity=["a"], count=[1]), np.array([True]), 0.9)
    assert 9.2e18 < table["upper"][0] < 2**63


@pytest.mark.parametrize("far", [(1e-9, 1e9), EXPOSURES], ids=str)
def test_windows_of_far_exposures_are_scored(far: tuple[float, float]) -> None:
    data = EventCounts.from_arrays(entity=["a", "a", "b", "b"], count=[3, 5, 2, 4], exposure=far * 2)
    trace = fit_event_rates(data, ModelConfig(n_samples=50, n_chains=2), engine="collapsed", prior_draws=10)
    scores = score_training_windows(trace, data)
    assert np.isfinite(scores[["expected", "score"]].to_numpy()).all()
    assert (scores["lower"] <= scores["upper"]).all()


@pytest.mark.parametrize("wrong", [1e-320, 1e300])
def test_exposures_beyond_arithmetic_are_refused(wrong: float) -> None:
    data = EventCounts.from_arrays(entity=["a", "b"], count=[3, 5], exposure=[1.0, wrong])
    with pytest.raises(DataError, match="exposure: an exposure at position 1 that no rate can be told from; expected"):
        statistics_of(data)
