"""Sufficient statistics: they add up exactly, and say all that the likelihood needs."""

import numpy as np
import pytest

from modelwright.bayesian.event_rates import statistics as st
from modelwright.bayesian.event_rates.observations import check_observations, compress
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts


def _data(seed: int, n_entities: int = 30, exposures: tuple[float, ...] = (1.0,)) -> EventCounts:
    generator = np.random.default_rng(seed)
    n = 12 * n_entities
    entity = [f"e{k:03d}" for k in generator.integers(0, n_entities, n)]
    counts = generator.negative_binomial(2, 0.3, n)
    return EventCounts.from_arrays(entity=entity, count=counts, exposure=generator.choice(exposures, n))


def _same(first: st.SufficientStatistics, second: st.SufficientStatistics) -> None:
    assert first.entities == second.entities
    for name in ("entity", "exposure", "windows", "total", "count", "times"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name), err_msg=name)


@pytest.mark.parametrize("exposures", [(1.0,), (1.0, 0.5), (0.3, 0.7, 2.0, 1e-3)], ids=["equal", "two", "four"])
def test_they_are_what_the_samplers_likelihood_is_compressed_to(exposures: tuple[float, ...]) -> None:
    data = _data(1, exposures=exposures)
    mine = st.statistics_of(data).compressed()
    theirs = compress(check_observations(data.count, data.entity_idx, data.n_entities, data.exposure))
    for name in ("entity", "exposure", "windows", "total", "count", "times", "constant", "n_entities", "n_small"):
        # the constant sums one term less (log 0! = 0), so its last digits may differ
        np.testing.assert_allclose(getattr(mine, name), getattr(theirs, name), rtol=1e-14, err_msg=name)


@pytest.mark.parametrize("exposures", [(1.0,), (1.0, 0.5, 0.1)], ids=["equal", "unequal"])
def test_statistics_of_parts_add_up_to_those_of_the_whole(exposures: tuple[float, ...]) -> None:
    data = _data(2, exposures=exposures)
    frame = data.to_frame()
    cut = np.random.default_rng(3).random(len(frame)) < 0.4
    parts = [st.statistics_of(EventCounts.from_frame(frame[half])) for half in (cut, ~cut)]
    _same(st.merged(*parts), st.statistics_of(data))
    _same(st.merged(*parts[::-1]), st.statistics_of(data))


def test_tables_hold_all_of_them() -> None:
    found = st.statistics_of(_data(4, exposures=(1.0, 2.0)))
    _same(st.from_frames(st.frames(found)), found)


def test_a_missing_column_is_named() -> None:
    tables = st.frames(st.statistics_of(_data(5)))
    tables["statistics"] = tables["statistics"].drop(columns="total")
    with pytest.raises(DataError, match="statistics: not the statistics of an event-rate model; expected a column tot"):
        st.from_frames(tables)


@pytest.mark.parametrize("exposures", [(1.0,), (1.0, 0.5, 0.1)], ids=["equal", "unequal"])
def test_alike_entities_stand_for_every_entity_with_its_own_sums(exposures: tuple[float, ...]) -> None:
    found = st.statistics_of(_data(6, n_entities=400, exposures=exposures))
    alike = st.alike_entities(found)
    assert sum(profile.times.sum() for profile in alike.profiles) == found.n_entities
    for entity in range(found.n_entities):
        windows, row = alike.profiles[alike.profile[entity]].windows, alike.row[entity]
        mine = found.entity == entity
        for name, values in (("exposure", found.exposure), ("total", found.total), ("number", found.windows)):
            np.testing.assert_array_equal(getattr(windows, name)[row], values[mine])
    if len(exposures) == 1:
        pairs = set(zip(found.total.tolist(), found.windows.tolist(), strict=True))
        assert alike.n_rows == len(pairs) < found.n_entities


def test_counts_too_large_to_tally_by_position_are_sorted() -> None:
    found = st.statistics_of(EventCounts.from_arrays(entity=["a", "b", "c"], count=[2**40, 0, 2**40]))
    assert found.count.tolist() == [2.0**40]
    assert found.times.tolist() == [2.0]
