"""Products by blocks are the density's own, and are left alone where rows see more than one number of a site."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest

from modelwright.bayesian.diagnostics import data_information as information_module
from modelwright.bayesian.diagnostics.data_information import data_information, posterior_rows
from modelwright.bayesian.diagnostics.row_blocks import blocks_of_curvature, by_blocks
from modelwright.bayesian.inference.curvature import hessian_products
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.inference.unconstrained import Unconstrained
from modelwright.bayesian.single_cell.count_models import count_model
from modelwright.data.counts import simulate_counts

GENERATOR = np.random.default_rng(0)
TABLE = GENERATOR.poisson(3.0, (6, 4)).astype(float)


def hierarchy(y: np.ndarray) -> None:
    """Cells with a prior of unknown width, genes, and rows that see one of each."""
    width = numpyro.sample("width", dist.LogNormal(0.0, 1.0))
    level = numpyro.sample("level", dist.LogNormal(0.0, 1.0).expand([y.shape[1]]).to_event(1))
    with numpyro.plate("cell", y.shape[0]):
        size = numpyro.sample("size", dist.Normal(0.0, width))
        numpyro.sample("y", dist.Poisson(level * jnp.exp(size)[:, None]).to_event(1), obs=y)


def neighbours(y: np.ndarray) -> None:
    """As many numbers as rows, each of which sees two of them."""
    with numpyro.plate("cell", y.shape[0]):
        size = numpyro.sample("size", dist.Normal(0.0, 1.0))
        rate = jnp.exp(size + 0.5 * jnp.roll(size, 1))
        numpyro.sample("y", dist.Poisson(rate[:, None] * jnp.ones(y.shape[1])).to_event(1), obs=y)


def counted(kind: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    counts = simulate_counts(kind, n_cells=7, n_genes=5, p=0.6, seed=0).counts
    model = count_model(kind, "mean_prob", entries="dense", cells="sampled")
    with jax.enable_x64(True):
        return model, (model.data_for(counts),)


slow = pytest.mark.slow  # derivatives of derivatives of the kernels of counts take long to compile
MODELS = [
    pytest.param(lambda: (hierarchy, (TABLE,)), id="hierarchy"),
    pytest.param(lambda: counted("nbvcp"), id="nbvcp", marks=slow),
    pytest.param(lambda: counted("zinbvcp"), id="zinbvcp", marks=slow),
]


def density_of(model: Any, data: tuple[Any, ...]) -> tuple[Unconstrained, np.ndarray]:
    density = Unconstrained.of(model, Call.of(data, {}))
    return density, np.random.default_rng(2).normal(0.0, 0.5, density.size)


@pytest.mark.parametrize("make", MODELS)
def test_curvature_by_blocks_is_that_of_the_density(make: Any) -> None:
    with jax.enable_x64(True):
        density, z = density_of(*make())
        own = hessian_products(density, z)
        blocks = blocks_of_curvature(density, z, lambda at, arrays: posterior_rows(density, at, arrays))
        found = by_blocks(density, blocks, own)
        assert found is not own
        whole = np.eye(density.size)
        np.testing.assert_allclose(found(whole), own(whole), atol=1e-9 * np.abs(own(whole)).max())  # rounding


@pytest.mark.parametrize("make", MODELS)
def test_scores_by_blocks_are_those_of_the_rows(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with jax.enable_x64(True):
        density, z = density_of(*make())
        own = data_information(density, z)
        monkeypatch.setattr(information_module, "FEWEST", 0)
        by = data_information(density, z)
        assert own is not None
        assert by is not None
        assert own.of_hierarchy == by.of_hierarchy
        whole = np.eye(density.size)
        expected = own.products(whole)
        np.testing.assert_allclose(by.products(whole), expected, atol=1e-9 * np.abs(expected).max())  # rounding


def test_rows_that_see_two_numbers_of_a_site_are_left_to_the_density() -> None:
    with jax.enable_x64(True):
        density, z = density_of(neighbours, (TABLE,))
        own = hessian_products(density, z)
        blocks = blocks_of_curvature(density, z, lambda at, arrays: posterior_rows(density, at, arrays))
        assert blocks
        assert by_blocks(density, blocks, own) is own


def test_data_in_one_number_have_no_blocks() -> None:
    def summed(y: np.ndarray) -> None:
        a = numpyro.sample("a", dist.Normal(0.0, 1.0).expand([3]).to_event(1))
        numpyro.factor("y", dist.Normal(a, 1.0).log_prob(y).sum())

    with jax.enable_x64(True):
        density, z = density_of(summed, (np.zeros(3),))
        assert blocks_of_curvature(density, z, lambda at, arrays: posterior_rows(density, at, arrays)) == []
