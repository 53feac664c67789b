"""Dispatch: a pair of one's own takes one registered function."""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro import handlers
from numpyro.distributions import biject_to, constraints

from modelwright.bayesian.builders.parameter_specs import BetaSpec, LogNormalSpec
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, MeanFieldGuide
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite
from modelwright.bayesian.components.setup_guide import GuideDispatch, sample_unit, setup_guide, unconstrained
from modelwright.core.errors import ConfigurationError

P = GuideSite("p", constraints.unit_interval, biject_to(constraints.unit_interval), (), ())


@dataclass(frozen=True)
class Kumaraswamy(AbstractGuideFamily):
    """A family of a user's own."""

    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        raise AssertionError("only ever used with a Beta specification")


@setup_guide.register(BetaSpec, Kumaraswamy)
def _(spec: Any, family: Any, site: GuideSite, context: GuideContext) -> dist.Distribution:
    alpha = numpyro.param(f"{site.name}_alpha", 2.0, constraint=constraints.positive)
    return unconstrained(dist.Kumaraswamy(alpha, 3.0), site)


def test_a_registered_pair_is_used_and_only_for_its_specification() -> None:
    spec = BetaSpec("p", (), (1.0, 1.0))
    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        values, context = sample_unit([spec], Kumaraswamy(), [P], GuideContext())
    site = trace["p"]
    np.testing.assert_allclose(
        site["fn"].log_prob(values["p"]), dist.Kumaraswamy(2.0, 3.0).log_prob(values["p"]), rtol=1e-4
    )
    np.testing.assert_allclose(context.values["p"], jnp.log(values["p"] / (1 - values["p"])), rtol=1e-4)
    with pytest.raises(AssertionError, match="only ever used with a Beta"):
        setup_guide(LogNormalSpec("mu", (), (0.0, 1.0)), Kumaraswamy(), P, GuideContext())


def test_a_pair_of_another_shape_or_no_family_is_refused() -> None:
    dispatch = GuideDispatch()
    dispatch.register(object, MeanFieldGuide)(lambda spec, family, site, context: dist.Normal(jnp.zeros(3), 1.0))
    with pytest.raises(ConfigurationError, match="its guide MeanFieldGuide has another shape"):
        dispatch(None, MeanFieldGuide(), P, GuideContext())
    with pytest.raises(ConfigurationError, match="not a guide family"):
        dispatch(None, "mean field", P, GuideContext())
