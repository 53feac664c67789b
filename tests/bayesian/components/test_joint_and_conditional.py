"""Guides over two variables, at the exact posterior: every single draw of the bound is the log evidence.

Two positive variables with log a, log b ~ Normal(0, 1) and an observation of log a + log b with standard deviation s.
The posterior of (log a, log b) is normal with covariance I - c 11', c = 1/(s^2 + 2).
"""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.distributions import biject_to, constraints
from numpyro.infer import Trace_ELBO

from modelwright.bayesian.components.conditional_guide import ConditionalGuide, remembered
from modelwright.bayesian.components.correlations import unconstrained_correlations
from modelwright.bayesian.components.guide_families import LowRankGuide, MeanFieldGuide
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite, Start
from modelwright.bayesian.components.joint_low_rank import JointLowRankGuide, joint_groups, sample_jointly
from modelwright.bayesian.components.setup_guide import sample_unit
from modelwright.core.errors import ConfigurationError, NotFoundError

SEEN, NOISE = 1.5, 0.5
SHRINK = 1.0 / (NOISE**2 + 2.0)
CENTRE = SHRINK * SEEN
N_CELLS = 5
CELLS = np.array([3, 0], np.int32)


def positive(name: str, shape: tuple[int, ...] = (), units: int | None = None, start: Start | None = None) -> GuideSite:
    bijector = biject_to(constraints.positive)
    return GuideSite(name, constraints.positive, bijector, shape, ("n_genes",)[: len(shape)], units, start or Start())


def model(n_cells: int | None = None, cells: Any = None) -> None:
    def both() -> None:
        a = numpyro.sample("a", dist.LogNormal(0.0, 1.0))
        b = numpyro.sample("b", dist.LogNormal(0.0, 1.0))
        numpyro.sample("seen", dist.Normal(jnp.log(a) + jnp.log(b), NOISE), obs=jnp.asarray(SEEN))

    if n_cells is None:
        both()
    else:
        with numpyro.plate("cells", n_cells, subsample_size=None if cells is None else len(cells)):
            both()


def evidence() -> float:
    return float(dist.Normal(0.0, np.sqrt(2.0 + NOISE**2)).log_prob(SEEN))


def exact_joint(units: tuple[int, ...]) -> dict[str, Any]:
    factor = np.sqrt(SHRINK) * np.array([[1.0], [-1.0]])
    return {
        "joint$loc": np.full((*units, 2), CENTRE),
        "joint$factor": np.broadcast_to(factor, (*units, 2, 1)),
        "joint$scale": np.full((*units, 2), np.sqrt(1.0 - 2.0 * SHRINK)),
    }


def exact_conditional() -> dict[str, Any]:
    marginal = 1.0 - SHRINK
    return {
        "a$loc": np.array(CENTRE),
        "a$scale": np.array(np.sqrt(marginal)),
        "b$loc": np.array(CENTRE),
        "b$scale": np.array(np.sqrt(marginal - SHRINK**2 / marginal)),
        "b$slopes_on_a": np.array(-SHRINK / marginal),
    }


def joint_guide(n_cells: int | None = None, cells: Any = None) -> None:
    sites = [positive("a", units=n_cells), positive("b", units=n_cells)]
    size = None if cells is None else len(cells)
    plate = None if n_cells is None else numpyro.plate("cells", n_cells, subsample_size=size)
    sample_jointly(JointLowRankGuide(rank=1), sites, GuideContext(cells=cells), plate)


def conditional_guide() -> None:
    context = GuideContext()
    for site, family in ((positive("a"), MeanFieldGuide()), (positive("b"), ConditionalGuide(on=("a",)))):
        _, context = sample_unit([None], family, [site], context)


def bounds(parameters: dict[str, Any], guide: Any, *arguments: Any) -> np.ndarray:
    one = jax.jit(lambda key: -Trace_ELBO().loss(key, parameters, model, guide, *arguments))
    return np.array([one(random.key(k)) for k in range(4)])


def test_a_joint_guide_at_the_posterior_has_the_evidence_in_every_draw() -> None:
    with jax.enable_x64(True):
        found = bounds(exact_joint(()), joint_guide)
        np.testing.assert_allclose(found, evidence(), rtol=1e-10)  # same formula, float64


def test_a_joint_guide_of_cells_scales_a_mini_batch_to_all_cells() -> None:
    with jax.enable_x64(True):
        found = bounds(exact_joint((N_CELLS,)), joint_guide, N_CELLS, CELLS)
        np.testing.assert_allclose(found, N_CELLS * evidence(), rtol=1e-10)


def test_a_conditional_guide_at_the_posterior_has_the_evidence_in_every_draw() -> None:
    with jax.enable_x64(True):
        found = bounds(exact_conditional(), conditional_guide)
        np.testing.assert_allclose(found, evidence(), rtol=1e-10)


def test_correlations_are_those_of_the_posterior() -> None:
    found = unconstrained_correlations(exact_joint(()), "joint")
    np.testing.assert_allclose(found, [[1.0, -SHRINK / (1 - SHRINK)], [-SHRINK / (1 - SHRINK), 1.0]], rtol=1e-12)
    of_cells = unconstrained_correlations(exact_joint((3,)), "joint", rows=[1], columns=[0])
    assert of_cells.shape == (3, 1, 1)
    with pytest.raises(NotFoundError, match="no low-rank guide of that name"):
        unconstrained_correlations(exact_joint(()), "join")


def test_groups_are_found_by_name_and_unlike_families_refused() -> None:
    low, joint = LowRankGuide(rank=2), JointLowRankGuide(rank=2)
    families = {
        "p": joint,
        "mu": JointLowRankGuide(rank=2),
        "gate": low,
        "nu": JointLowRankGuide(rank=3, group="other"),
    }
    assert joint_groups(families) == {"joint": ("p", "mu"), "other": ("nu",)}
    with pytest.raises(ConfigurationError, match="share the group 'joint' and have unlike families"):
        joint_groups({"p": joint, "mu": JointLowRankGuide(rank=3)})
    with pytest.raises(ConfigurationError, match="cannot be drawn together"):
        sample_jointly(joint, [positive("p"), positive("nu", units=4)], GuideContext())


def moved(site: GuideSite, other: GuideSite, deviation: Any, slopes: Any, cells: Any = None) -> Any:
    """How far a conditional guide's centre moves when the other is drawn off its own centre."""
    at = remembered(GuideContext(cells=cells), other, dist.Normal(jnp.ones(jnp.shape(deviation)), 1.0), 1.0 + deviation)
    site = replace(site, start=Start(slopes={other.name: slopes}))
    conditional = ConditionalGuide(on=(other.name,))
    with handlers.seed(rng_seed=0):
        return remembered(at, site, conditional.distribution(site, at), 0.0).locations[site.name]


def test_one_slope_per_gene_on_a_single_number() -> None:
    found = moved(positive("mu", (3,)), positive("p"), np.float32(0.5), np.array([1.0, -1.0, 2.0]))
    np.testing.assert_allclose(found, [0.5, -0.5, 1.0])


def test_slopes_on_a_variable_of_the_same_axes_are_elementwise() -> None:
    found = moved(positive("mu", (3,)), positive("r", (3,)), np.float32([1.0, 2.0, 3.0]), np.array([1.0, -1.0, 2.0]))
    np.testing.assert_allclose(found, [1.0, -2.0, 6.0])


def test_slopes_on_other_axes_are_a_matrix() -> None:
    other = replace(positive("w", (2,)), axes=("n_components",))
    slopes = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(moved(positive("mu", (3,)), other, np.float32([1.0, 2.0]), slopes), [1.0, 2.0, 3.0])


def test_cells_take_their_own_rows_and_genes_their_own_columns() -> None:
    site, slopes = positive("x", (3,), units=N_CELLS), np.arange(15.0).reshape(5, 3)
    found = moved(site, positive("nu", units=N_CELLS), np.float32([1.0, 2.0]), slopes, CELLS)
    np.testing.assert_allclose(found, slopes[CELLS] * np.array([[1.0], [2.0]]))
    found = moved(site, positive("mu", (3,)), np.float32([1.0, 0.0, 2.0]), slopes, CELLS)
    np.testing.assert_allclose(found, slopes[CELLS] * np.array([1.0, 0.0, 2.0]))


def test_what_cannot_be_conditioned_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="'p', which is not drawn before it"):
        ConditionalGuide(on=("p",)).distribution(positive("mu", (3,)), GuideContext())
    with pytest.raises(ConfigurationError, match="which every cell has its own of"):
        moved(positive("mu", (3,)), positive("nu", units=N_CELLS), np.zeros(N_CELLS, np.float32), 0.0)
    wide = replace(positive("w", (200,)), axes=("n_others",))
    with pytest.raises(ConfigurationError, match="would be too large"):
        moved(positive("mu", (300,)), wide, np.zeros(200, np.float32), 0.0)
    with pytest.raises(ConfigurationError, match='a tuple such as \\("p",\\)'):
        ConditionalGuide(on="p")
