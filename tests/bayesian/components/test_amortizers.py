"""Amortizers: outputs where they may be, a start where the site starts, and as narrow as the data allow."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
import pytest
from jax import random
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.infer import SVI, Trace_ELBO
from scipy.special import digamma, polygamma

from modelwright.bayesian.components.amortized_guide import AmortizedGuide, as_rows, from_rows
from modelwright.bayesian.components.amortizers import Amortizer
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite, Start
from modelwright.bayesian.components.observed import observe
from modelwright.bayesian.components.setup_guide import sample_unit
from modelwright.bayesian.components.sufficient_statistics import NON_ZERO_COUNT, TOTAL_COUNT, SufficientStatistic
from modelwright.core.errors import ConfigurationError

N_CELLS = 200


def site_of(n_cells: int, start: Start) -> GuideSite:
    return GuideSite("p", constraints.unit_interval, biject_to(constraints.unit_interval), (), (), n_cells, start)


def test_outputs_stay_where_they_may_be_and_reach_far() -> None:
    """Positive outputs for inputs far outside the data's range, without a floor or a ceiling that matters."""
    amortizer = Amortizer(TOTAL_COUNT, (8,), {"alpha": "positive", "share": "unit_interval", "loc": "real"})
    inputs = np.float32([[-1e5], [0.0], [1e6]])

    def outputs() -> Any:
        with handlers.seed(rng_seed=0):
            return amortizer.outputs("net", inputs, 2)

    found = jax.jit(outputs, compiler_options={"xla_backend_optimization_level": 0})()
    assert {name: part.shape for name, part in found.items()} == dict.fromkeys(amortizer.kinds, (3, 2))
    assert bool(jnp.all(found["alpha"] >= 0))
    assert float(found["alpha"].max()) > 100.0
    assert bool(jnp.all((found["share"] >= 0) & (found["share"] <= 1)))


def test_the_network_is_registered_once_and_does_not_grow_with_the_cells() -> None:
    def sizes(n_cells: int) -> dict[str, Any]:
        data = observe(np.ones((n_cells, 3), int), statistics=[TOTAL_COUNT])
        guide = AmortizedGuide(Amortizer(TOTAL_COUNT, (4,)))

        def registered() -> dict[str, Any]:
            with handlers.trace() as trace, handlers.seed(rng_seed=0):
                guide.distribution(site_of(n_cells, Start()), GuideContext(data=data))
            return {name: site["value"] for name, site in trace.items() if site["type"] == "param"}

        return jax.tree.map(lambda leaf: leaf.shape, jax.eval_shape(registered))

    assert sizes(5) == sizes(9)
    assert set(sizes(5)) == {"p$offset", "p$slopes", "p$width", "p_amortizer$params"}


def test_it_begins_at_the_straight_line_through_the_start() -> None:
    counts = np.random.default_rng(1).poisson(np.geomspace(2, 60, 30)[:, None], (30, 4))
    data = observe(counts, statistics=[TOTAL_COUNT])
    start = Start(location=-3.0 + 1.5 * np.log1p(counts.sum(1)), spread=0.05)
    with handlers.seed(rng_seed=0):
        base = AmortizedGuide(Amortizer(TOTAL_COUNT, (8,))).distribution(site_of(30, start), GuideContext(data=data))
    # the network begins within a percent or two of nothing
    np.testing.assert_allclose(base.mean, start.location, atol=0.06)
    np.testing.assert_allclose(jnp.sqrt(base.variance), 0.05, rtol=0.06)


def test_rows_of_genes_and_back() -> None:
    site = GuideSite("x", constraints.real, biject_to(constraints.real), (2, 3), ("n_components", "n_genes"))
    parameter = jnp.arange(6.0).reshape(2, 3)
    rows = as_rows(parameter, site)
    assert rows.tolist() == [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]]
    np.testing.assert_array_equal(from_rows(rows, site), parameter)


def test_refusals() -> None:
    with pytest.raises(
        ConfigurationError, match=r"which numbers 'log_alpha' can be is not known.*did you mean 'alpha'"
    ):
        Amortizer(TOTAL_COUNT, (8,), ("log_alpha", "log_beta"))
    with pytest.raises(ConfigurationError, match="not a kind of output"):
        Amortizer(TOTAL_COUNT, (8,), {"alpha": "identity"})
    with pytest.raises(ConfigurationError, match="normal distribution on the unconstrained scale"):
        AmortizedGuide(Amortizer(TOTAL_COUNT, (8,), ("alpha", "beta")))
    amortized = AmortizedGuide(Amortizer(NON_ZERO_COUNT, (8,)))
    data = observe(np.ones((4, 3), int), statistics=[TOTAL_COUNT, NON_ZERO_COUNT])
    with pytest.raises(ConfigurationError, match="needs the data"):
        amortized.distribution(site_of(4, Start()), GuideContext())
    with handlers.seed(rng_seed=0), pytest.raises(ConfigurationError, match="another number of cells than the data"):
        amortized.distribution(site_of(5, Start()), GuideContext(data=data))


@pytest.mark.slow
def test_a_fit_is_as_certain_as_thousands_of_molecules_allow_and_no_more() -> None:
    """k_c ~ Binomial(n_c, p_c), p_c ~ Beta(1, 1): the posterior of logit p_c has digamma mean and trigamma variance."""
    numbers = np.random.default_rng(2)
    n = np.repeat([5, 5000], N_CELLS // 2)
    k = numbers.binomial(n, numbers.beta(1.0, 1.0, N_CELLS))
    seen = SufficientStatistic(
        "log_odds_and_certainty",
        lambda table: np.stack(
            [np.log((table[:, 0] + 1) / (table[:, 1] + 1)), np.log(1 / (table + 1).astype(float)).sum(1)], 1
        ),
        2,
        axes=("cells",),
    )
    data = observe(np.stack([k, n - k], 1), statistics=[seen])
    amortized = AmortizedGuide(Amortizer(seen, (32, 32)))
    site = site_of(N_CELLS, Start())

    def model(batch_size: int) -> None:
        with numpyro.plate("cells", N_CELLS, subsample_size=batch_size) as cells:
            p = numpyro.sample("p", dist.Beta(1.0, 1.0))
            numpyro.sample("k", dist.Binomial(jnp.asarray(n)[cells], p), obs=jnp.asarray(k)[cells])

    def guide(batch_size: int) -> None:
        plate = numpyro.plate("cells", N_CELLS, subsample_size=batch_size)
        with plate as cells:
            context = GuideContext(cells=cells, data=data)
        sample_unit([None], amortized, [site], context, plate)

    svi = SVI(model, guide, optax.adam(optax.cosine_decay_schedule(1e-2, 4000)), Trace_ELBO(4))
    fitted = svi.run(random.key(0), 4000, 100, progress_bar=False).params
    with handlers.substitute(data=fitted), handlers.seed(rng_seed=0):
        base = amortized.distribution(site, GuideContext(data=data))
    mean = digamma(k + 1) - digamma(n - k + 1)
    deviation = np.sqrt(polygamma(1, k + 1) + polygamma(1, n - k + 1))
    # within a third of the exact spread, be it 0.03 or 1, and the ratio of spreads right within a tenth for most cells
    assert float(np.median(np.abs(base.mean - mean) / deviation)) < 0.35
    ratio = np.asarray(jnp.sqrt(base.variance)) / deviation
    assert 0.85 < np.median(ratio[: N_CELLS // 2]) < 1.15
    assert 0.8 < np.median(ratio[N_CELLS // 2 :]) < 1.25
