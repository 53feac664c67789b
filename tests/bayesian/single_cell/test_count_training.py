"""What a training keeps are the draws that its tables and checks are made of."""

import numpy as np
import pytest

from modelwright.bayesian.inference import laplace
from modelwright.bayesian.single_cell.count_models import count_model
from modelwright.bayesian.single_cell.training import DRAWS, trace_and_draws
from modelwright.data.counts import simulate_counts


@pytest.mark.slow  # a fit with capture probabilities, and draws of them twice
def test_trace_and_draws_are_the_same_draws_of_every_site() -> None:
    counts = simulate_counts("nbvcp", n_cells=25, n_genes=4, p=0.6, seed=0).counts
    fit = laplace(count_model("nbvcp"), counts)
    trace, draws = trace_and_draws(fit, 3)
    expected = fit.sample(DRAWS, 3)
    assert set(draws) == set(expected) == set(trace.posterior.data_vars)
    for name, values in expected.items():
        np.testing.assert_array_equal(draws[name], values)
