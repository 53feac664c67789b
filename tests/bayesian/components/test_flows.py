"""Flows: Jacobians against autodiff, the way back, densities that integrate to one, nothing left out of the mask."""

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

from modelwright.bayesian.components.flow_guide import NormalizingFlowGuide, coupling
from modelwright.bayesian.components.flow_transforms import SinhArcsinhTransform, halves
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite, Start
from modelwright.core.errors import ConfigurationError

# compiled once and run once: compiling costs more than running
UNOPTIMISED = {"xla_backend_optimization_level": 0}


def site_of(n: int) -> GuideSite:
    bijector, start = biject_to(constraints.real), Start(location=0.3, spread=0.7)
    return GuideSite("x", constraints.real, bijector, (n,), ("n_genes",), None, start)


def parameters_of(run: Any, noise: float, seed: int = 3) -> dict[str, Any]:
    """What a function registers, moved by noise (relative where it has to stay positive)."""
    with handlers.trace() as trace, handlers.seed(rng_seed=0):
        run()
    numbers, found = np.random.default_rng(seed), {}
    for name, entry in trace.items():
        factor = "constraint" in entry["kwargs"]
        leaves, tree = jax.tree.flatten(entry["value"])
        moves = [noise * numbers.standard_normal(np.shape(leaf)) for leaf in leaves]
        moved = [leaf * np.exp(move) if factor else leaf + move for leaf, move in zip(leaves, moves, strict=True)]
        found[name] = jax.tree.unflatten(tree, moved)
    return found


def flow_at(n: int, noise: float) -> Any:
    """Log density of a perturbed flow of n numbers, as a function."""
    guide = NormalizingFlowGuide(n_layers=2, hidden_dims=(6,))
    parameters = parameters_of(lambda: guide.distribution(site_of(n), GuideContext()), noise)

    def base() -> dist.Distribution:
        with handlers.substitute(data=parameters), handlers.seed(rng_seed=0):
            return guide.distribution(site_of(n), GuideContext())

    return base


def test_the_bend_round_trips_and_has_autodiff_s_slope() -> None:
    bend, x = SinhArcsinhTransform(0.7, 0.6), np.array([-30.0, -1.0, 0.0, 0.5, 30.0])
    with jax.enable_x64(True):
        y = bend(x)
        np.testing.assert_allclose(bend.inv(y), x, rtol=1e-10, atol=1e-12)
        slope = jax.vmap(jax.grad(lambda one: bend(one)))(jnp.asarray(x))
        np.testing.assert_allclose(bend.log_abs_det_jacobian(x, y), jnp.log(slope), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(SinhArcsinhTransform(0.0, 1.0)(x), x, rtol=1e-12)


def test_a_coupling_moves_every_number_of_one_half_by_every_number_of_the_other() -> None:
    def values(x: Any) -> Any:
        parameters = parameters_of(lambda: coupling("net", 5, 0, (8,)), 0.5)
        with handlers.substitute(data=parameters), handlers.seed(rng_seed=0):
            step = coupling("net", 5, 0, (8,))
        jacobian = jax.jacfwd(step)(x)
        return step.log_abs_det_jacobian(x, step(x)), jnp.linalg.slogdet(jacobian)[1], step.inv(step(x)), jacobian

    x = np.array([0.3, -0.2, 0.9, 0.1, -0.7])
    with jax.enable_x64(True):
        found, expected, back, jacobian = map(np.asarray, jax.jit(values, compiler_options=UNOPTIMISED)(x))
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    np.testing.assert_allclose(back, x, rtol=1e-10)
    passing, moved = (np.array(part) for part in halves(5, 0))
    np.testing.assert_array_equal(jacobian[np.ix_(passing, passing)], np.eye(3))
    np.testing.assert_array_equal(jacobian[np.ix_(passing, moved)], 0.0)
    assert np.all(jacobian[np.ix_(moved, passing)] != 0.0)
    assert np.count_nonzero(jacobian[np.ix_(moved, moved)]) == len(moved)  # the diagonal alone


def test_two_layers_of_three_numbers_leave_nothing_out() -> None:
    def through(z: Any) -> Any:
        for transform in flow_at(3, 0.5)().transforms:
            z = transform(z)
        return z

    jacobian = jax.jit(jax.jacfwd(through), compiler_options=UNOPTIMISED)(jnp.asarray([0.2, -0.4, 1.1]))
    assert np.all(np.asarray(jacobian) != 0.0)


@pytest.mark.parametrize("n", [1, 2])
def test_the_density_integrates_to_one(n: int) -> None:
    with jax.enable_x64(True):
        # the trapezoidal rule converges fast on smooth functions; what is left comes from the box's edges
        axis, base = np.linspace(-60.0, 60.0, 4001) if n == 1 else np.linspace(-14.0, 14.0, 281), flow_at(n, 0.15)
        grid = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), axis=-1)
        density = np.asarray(jax.jit(lambda at: jnp.exp(base().log_prob(at)))(grid))
    assert abs(density.sum() * (axis[1] - axis[0]) ** n - 1.0) < 1e-4


def test_it_begins_as_the_normal_distribution_of_the_start() -> None:
    u = np.float32([[0.3, 1.0, -0.4], [1.5, 0.0, 0.3]])
    found = jax.jit(lambda at: flow_at(3, 0.0)().log_prob(at), compiler_options=UNOPTIMISED)(u)
    # the couplings' networks begin small and not at zero
    np.testing.assert_allclose(found, dist.Normal(0.3, 0.7).log_prob(u).sum(-1), atol=0.05)


def test_refusals() -> None:
    with pytest.raises(ConfigurationError, match="n_layers"):
        NormalizingFlowGuide(n_layers=0)
    with pytest.raises(ConfigurationError, match="hidden_dims"):
        NormalizingFlowGuide(hidden_dims=(0,))


@pytest.mark.slow
def test_it_fits_a_skewed_posterior_that_a_normal_cannot() -> None:
    """Target Gumbel(0, 1) on the real line: the best normal has 0.05 nats to go, the flow hardly any."""
    guide = NormalizingFlowGuide(n_layers=2)
    site = GuideSite("x", constraints.real, biject_to(constraints.real), (), (), None, Start(0.0, 1.0))

    def model() -> None:
        numpyro.sample("x", dist.Gumbel(0.0, 1.0))

    def drawn() -> None:
        numpyro.sample("x", site.constrained(guide.distribution(site, GuideContext())))

    svi = SVI(model, drawn, optax.adam(optax.cosine_decay_schedule(1e-2, 2000)), Trace_ELBO(32))
    fitted = svi.run(random.key(0), 2000, progress_bar=False).params
    with handlers.substitute(data=fitted), handlers.seed(rng_seed=0):
        base = guide.distribution(site, GuideContext())
    draws = base.sample(random.key(1), (20_000,))
    gap = base.log_prob(draws) - dist.Gumbel(0.0, 1.0).log_prob(draws)
    assert float(gap.mean()) < 0.01 + 4.0 * float(gap.std()) / np.sqrt(20_000)
