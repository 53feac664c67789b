"""Thinning keeps within the budget, evenly, and says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.bayesian.inference.predictive import predictive_group, thinned, thinning_step
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.core.errors import ConfigurationError


@given(st.integers(1, 8), st.integers(1, 5000), st.integers(1, 100_000), st.integers(1, 10**8))
def test_step_is_the_smallest_that_fits(n_chains: int, n_draws: int, per_draw: int, budget: int) -> None:
    step = thinning_step(n_chains, n_draws, per_draw, budget=budget)
    kept = -(-n_draws // step)
    assert kept == 1 or n_chains * kept * per_draw <= budget
    if step > 1 and n_chains * per_draw <= budget:
        assert n_chains * -(-n_draws // (step - 1)) * per_draw > budget


def test_thinned_draws_keep_their_numbers_and_chains() -> None:
    draws = np.arange(2 * 10).reshape(2, 10).astype(float)
    posterior = draws_dataset({"x": draws})
    flat = thinned(posterior, 3)
    np.testing.assert_array_equal(flat["x"], [0, 3, 6, 9, 10, 13, 16, 19])
    group = predictive_group(
        {"y": flat["x"][:, None] + np.array([0.0, 100.0])}, posterior, 3, coords={}, dims={"y": ["obs"]}
    )
    assert group["draw"].to_numpy().tolist() == [0, 3, 6, 9]
    assert group.attrs["thinned_every"] == 3
    np.testing.assert_array_equal(group["y"].sel(draw=6, obs=1), draws[:, 6] + 100.0)


def test_step_of_zero_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="step: not usable; expected a whole number of at least 1, got 0"):
        thinned(draws_dataset({"x": np.zeros((1, 2))}), 0)
