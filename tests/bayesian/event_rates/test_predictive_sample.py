"""Of more windows than can be predicted a thousand times each, those of some entities are taken, whole."""

import numpy as np
import pytest

from modelwright.bayesian.event_rates import predictive_sample as ps
from modelwright.data.events import EventCounts


def _data(n_entities: int, seed: int = 0) -> EventCounts:
    generator = np.random.default_rng(seed)
    windows = generator.integers(1, 9, n_entities)
    entity = np.repeat([f"e{k:05d}" for k in range(n_entities)], windows)
    counts = generator.poisson(3, len(entity))
    return EventCounts.from_arrays(entity=entity, count=counts, exposure=generator.choice([0.5, 1.0], len(entity)))


def test_few_windows_are_all_taken() -> None:
    data = _data(40)
    sample = ps.predictive_sample(data)
    assert sample.complete
    np.testing.assert_array_equal(sample.row, np.arange(data.n_obs))
    np.testing.assert_array_equal(sample.observations.entity_idx, data.entity_idx)


def test_of_many_whole_entities_are_taken_and_the_same_ones_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ps, "COMPLETE_UP_TO", 1000)
    monkeypatch.setattr(ps, "SAMPLED_WINDOWS", 300)
    data = _data(500)
    sample, again = ps.predictive_sample(data), ps.predictive_sample(data)
    np.testing.assert_array_equal(sample.row, again.row)
    assert not sample.complete
    assert 250 <= len(sample.row) <= 300
    assert len(np.unique(sample.entity)) == sample.observations.n_entities
    np.testing.assert_array_equal(sample.entity[sample.observations.entity_idx], data.entity_idx[sample.row])
    np.testing.assert_array_equal(sample.observations.y, data.count[sample.row])
    np.testing.assert_array_equal(sample.observations.exposure, data.exposure[sample.row])
    whole = np.isin(data.entity_idx, sample.entity)
    np.testing.assert_array_equal(np.flatnonzero(whole), sample.row)


def test_an_entity_with_more_windows_than_the_sample_is_taken_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ps, "COMPLETE_UP_TO", 10)
    monkeypatch.setattr(ps, "SAMPLED_WINDOWS", 5)
    data = EventCounts.from_arrays(entity=["a"] * 30 + ["b"] * 30, count=[1] * 60)
    assert len(ps.predictive_sample(data).row) == 30
