"""Log likelihoods at the edge of what a double holds."""

import numpy as np
import pytest

from modelwright.bayesian.event_rates.count_draws import log_likelihoods
from modelwright.bayesian.event_rates.observations import check_observations


@pytest.mark.parametrize("likelihood", ["negative_binomial", "poisson"])
def test_a_rate_that_underflows_makes_a_zero_certain_and_an_event_impossible(likelihood: str) -> None:
    """Rates of tiny shape do: Gamma(0.01, 1) is below the smallest double with probability exp(-7)."""
    observations = check_observations([0, 0, 1], [0, 1, 0], 2, [1.0, 2.0, 1.0])
    draws = {"theta": np.array([[0.0, 5e-324]])}
    if likelihood == "negative_binomial":
        draws["phi"] = np.array([1.5])
    found = log_likelihoods(draws, observations)[0]
    assert (np.abs(found[:2]) < 1e-300).all()  # log(1) but for minus the mean, which is that small
    assert found[2] < -700  # the logarithm of the smallest normal double is -708
    assert np.isfinite(found).all()
