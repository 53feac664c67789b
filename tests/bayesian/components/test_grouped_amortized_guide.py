"""Variational autoencoders as parts of a model: the parts' shapes, what log_scale means, and the bound they give."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from jax import random
from numpyro import handlers
from numpyro.infer import Trace_ELBO

from modelwright.bayesian.builders.latent_specs import GaussianLatentSpec, NormalizingFlowLatentSpec
from modelwright.bayesian.components.amortizers import Amortizer
from modelwright.bayesian.components.decoders import Decoder
from modelwright.bayesian.components.grouped_amortized_guide import GroupedAmortizedGuide
from modelwright.bayesian.components.guide_sites import GuideContext
from modelwright.bayesian.components.observed import observe
from modelwright.bayesian.components.sufficient_statistics import COUNTS
from modelwright.core.errors import ConfigurationError

N_CELLS, N_GENES = 6, 4
TABLE = np.random.default_rng(0).poisson(2.0, (N_CELLS, N_GENES))
DATA = observe(TABLE, batch=[0, 1, 0, 1, 1, 0], statistics=[COUNTS])
# compiled once and run once: compiling costs more than running
UNOPTIMISED = {"xla_backend_optimization_level": 0}
SIZES = {"n_cells": N_CELLS, "n_genes": N_GENES, "n_batches": 2}
ENCODER = Amortizer(COUNTS, (5,), ("loc", "log_scale"))
OUTPUTS = {"mu": "positive", "share": "simplex", "p": ("unit_interval", ()), "shift": ("real", ("n_genes",))}


def group_of(latent_spec: Any, **options: Any) -> GroupedAmortizedGuide:
    return GroupedAmortizedGuide(ENCODER, latent_spec, Decoder((5,), OUTPUTS, **options))


def run_model(group: GroupedAmortizedGuide) -> dict[str, Any]:
    decoding = group.decoder_module(SIZES, DATA)
    with numpyro.plate("cells", N_CELLS):
        z = numpyro.sample(group.latent_spec.sample_site, group.latent_spec.prior())
        found = group.decode(decoding, z, DATA.batch)
        numpyro.sample("counts", dist.Poisson(found["mu"]).to_event(1), obs=DATA.rows())
    return found


def run_guide(group: GroupedAmortizedGuide, cells: Any = None) -> dist.Distribution:
    variational = group.encode(GuideContext(cells=cells, data=DATA))
    with numpyro.plate("cells", N_CELLS, subsample_size=None if cells is None else len(cells)):
        numpyro.sample(group.latent_spec.sample_site, variational)
    return variational


def test_log_scale_is_a_log_variance() -> None:
    outputs = {"loc": jnp.ones((3, 2)), "log_scale": jnp.full((3, 2), 1.4)}
    for spec in (GaussianLatentSpec(2), NormalizingFlowLatentSpec(2)):
        guide = spec.make_guide_dist(outputs)
        np.testing.assert_allclose(jnp.log(guide.variance), 1.4, rtol=1e-6)
        assert (guide.batch_shape, guide.event_shape) == ((3,), (2,))


def test_the_decoder_puts_out_what_was_named_where_it_may_be() -> None:
    def values() -> Any:
        with handlers.seed(rng_seed=0):
            return run_model(group_of(GaussianLatentSpec(3), batch_covariate=True))

    found = jax.jit(values, compiler_options=UNOPTIMISED)()
    assert {name: value.shape for name, value in found.items()} == {
        "mu": (N_CELLS, N_GENES), "share": (N_CELLS, N_GENES), "p": (N_CELLS,), "shift": (N_CELLS, N_GENES),
    }  # fmt: skip
    assert float(found["mu"].min()) > 0.0
    assert 0.0 < float(found["p"].min()) < float(found["p"].max()) < 1.0
    np.testing.assert_allclose(found["share"].sum(-1), 1.0, rtol=1e-5)


def test_the_decoder_begins_at_its_starts() -> None:
    rates = np.array([0.01, 1.0, 30.0, 400.0])
    decoder = Decoder((5,), {"mu": "positive", "share": "simplex"})

    def values() -> Any:
        with handlers.seed(rng_seed=0):
            return decoder.register("net", 2, SIZES, {"mu": rates, "share": rates / rates.sum()})(jnp.ones((3, 2)))

    found = jax.jit(values, compiler_options=UNOPTIMISED)()
    # weights of the last layer begin at a hundredth
    np.testing.assert_allclose(found["mu"], np.broadcast_to(rates, (3, 4)), rtol=0.05)
    np.testing.assert_allclose(found["share"], np.broadcast_to(rates / rates.sum(), (3, 4)), rtol=0.05)


def test_the_decoder_begins_at_the_data_where_nothing_is_said() -> None:
    outputs = {"mu": "positive", "share": "simplex", "level": "positive", "rate": ("positive", ())}
    group = GroupedAmortizedGuide(
        ENCODER, GaussianLatentSpec(2), Decoder((5,), outputs), starts={"level": 7.0, "rate": 2.0}
    )

    def values(data: Any) -> Any:
        with handlers.seed(rng_seed=0):
            return group.decode(group.decoder_module(SIZES, data), jnp.ones((1, 2)))

    found = jax.jit(values, compiler_options=UNOPTIMISED)(DATA)
    mean = (TABLE.sum(axis=0) + 0.5) / N_CELLS
    for name, truth in {"mu": mean, "share": mean / mean.sum(), "level": np.full(N_GENES, 7.0)}.items():
        np.testing.assert_allclose(found[name][0], truth, rtol=0.05)
    np.testing.assert_allclose(found["rate"], 2.0, rtol=0.05)
    without = jax.jit(lambda: values(None), compiler_options=UNOPTIMISED)()
    np.testing.assert_allclose(without["share"][0], 1.0 / N_GENES, rtol=0.05)


@pytest.mark.parametrize(
    "latent_spec",
    [
        pytest.param(GaussianLatentSpec(2), marks=pytest.mark.slow, id="gaussian"),
        pytest.param(NormalizingFlowLatentSpec(2, n_layers=2, hidden_dims=(3,)), id="flow prior"),
    ],
)
def test_gradients_reach_every_weight_of_model_and_guide(latent_spec: Any) -> None:
    group = GroupedAmortizedGuide(ENCODER, latent_spec, Decoder((5,), {"mu": "positive"}))

    def gradients() -> Any:
        found = {}
        for run in (run_model, run_guide):
            with handlers.trace() as trace, handlers.seed(rng_seed=0):
                run(group)
            found |= {name: entry["value"] for name, entry in trace.items() if entry["type"] == "param"}

        def loss(values: Any) -> Any:
            return Trace_ELBO().loss(random.key(0), values, lambda: run_model(group), lambda: run_guide(group))

        return jax.grad(loss)(found)

    paths = jax.tree_util.tree_flatten_with_path(jax.jit(gradients, compiler_options=UNOPTIMISED)())[0]
    assert {path[0].key for path, _ in paths} >= {"z_encoder$params", "z_decoder$params"}
    assert [jax.tree_util.keystr(path) for path, found in paths if not np.any(found != 0.0)] == []


def test_a_mini_batch_s_guide_has_the_rows_of_the_whole() -> None:
    group, cells = group_of(GaussianLatentSpec(3)), np.array([4, 1], np.int32)

    def means() -> Any:
        encode = handlers.seed(group.encode, random.key(0))
        return [encode(GuideContext(cells=at, data=DATA)).mean for at in (None, cells)]

    whole, few = jax.jit(means, compiler_options=UNOPTIMISED)()
    assert np.ptp(whole) > 0.01
    np.testing.assert_allclose(few, np.asarray(whole)[cells], rtol=1e-5, atol=1e-7)  # float32


def test_refusals() -> None:
    with pytest.raises(ConfigurationError, match="log_scale is a log variance"):
        GroupedAmortizedGuide(Amortizer(COUNTS, (5,)), GaussianLatentSpec(2), Decoder((5,), {"mu": "positive"}))
    with pytest.raises(ConfigurationError, match="not a kind of output"):
        Decoder((5,), {"mu": "softplus"})
    with pytest.raises(ConfigurationError, match="not axes of an output of single cells"):
        Decoder((5,), {"share": ("simplex", ())})
    with pytest.raises(ConfigurationError, match="number of batches is not known"):
        Decoder((5,), {"mu": "positive"}, batch_covariate=True).register("net", 2, {"n_genes": 3})
    with pytest.raises(ConfigurationError, match="latent_dim"):
        GaussianLatentSpec(0)
