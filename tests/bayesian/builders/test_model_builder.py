"""Built models: their densities written out by hand, three ways to run, and what is refused when they are built."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density
from scipy import stats

from modelwright.bayesian.builders import (
    AbstractParamSpec,
    BetaSpec,
    DirichletSpec,
    GammaSpec,
    LogNormalSpec,
    Model,
    ModelBuilder,
    NormalSpec,
    sample_prior,
)
from modelwright.bayesian.components import (
    TOTAL_COUNT,
    GaussianLikelihood,
    MixtureLikelihood,
    NegativeBinomialLikelihood,
    PoissonLikelihood,
    observe,
)
from modelwright.bayesian.components.compressed_counts import compress_matrix
from modelwright.core.errors import ConfigurationError

RNG = np.random.default_rng(1)
COUNTS = RNG.negative_binomial(2.0, 0.4, (6, 4))
VALUES: dict[str, Any] = {
    "p": np.array(0.6),
    "mu": np.array([0.5, 2.0, 3.0, 1.0]),
    "r": np.array([0.5, 2.0, 3.0, 1.0]),
    "nu": np.linspace(0.2, 0.9, 6),
    "gate": np.array([0.1, 0.3, 0.5, 0.05]),
}
NU = BetaSpec("nu", ("n_cells",), (5.0, 2.0), is_cell_specific=True)
GATE = BetaSpec("gate", ("n_genes",), (1.0, 4.0))


def example() -> ModelBuilder:
    return (
        ModelBuilder()
        .add_param(BetaSpec("p", (), (1.0, 1.0)))
        .add_param(LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True))
        .add_derived("r", lambda p, mu: mu * (1 - p) / p, ["p", "mu"])
        .with_likelihood(NegativeBinomialLikelihood())
    )


def with_r(likelihood: Any, *more: AbstractParamSpec) -> Model:
    builder = ModelBuilder().add_param(BetaSpec("p", (), (2.0, 3.0)))
    builder.add_param(GammaSpec("r", ("n_genes",), (2.0, 1.0)))
    for spec in more:
        builder.add_param(spec)
    return builder.with_likelihood(likelihood).build()


CASES: dict[str, Callable[[], Model]] = {
    "negative binomial": lambda: with_r(NegativeBinomialLikelihood()),
    "captured": lambda: with_r(NegativeBinomialLikelihood(capture="nu"), NU),
    "gated": lambda: with_r(NegativeBinomialLikelihood(gate="gate"), GATE),
    "both": lambda: with_r(NegativeBinomialLikelihood(gate="gate", capture="nu"), GATE, NU),
}


def by_hand(case: str, counts: np.ndarray) -> float:
    """Log joint density with SciPy, whose probability is the complement of ours."""
    p, r = float(VALUES["p"]), VALUES["r"]
    total = stats.beta(2, 3).logpdf(p) + stats.gamma(2).logpdf(r).sum()
    seen: Any = p
    if case in ("captured", "both"):
        nu = VALUES["nu"]
        total += stats.beta(5, 2).logpdf(nu).sum()
        seen = (p * nu / (1 - p * (1 - nu)))[:, None]
    each = stats.nbinom.logpmf(counts, r, 1 - seen)
    if case in ("gated", "both"):
        gate = VALUES["gate"]
        total += stats.beta(1, 4).logpdf(gate).sum()
        each = np.log((counts == 0) * gate + (1 - gate) * np.exp(each))
    return float(total + each.sum())


@pytest.mark.parametrize("case", CASES)
def test_the_joint_density_is_the_one_written_out(case: str) -> None:
    """A cell parameter lies in the plate and keeps its specification's prior; compressed counts say the same."""
    model = CASES[case]()
    values = {spec.name: VALUES[spec.name] for spec in model.specs}
    with jax.enable_x64(True):
        dense, trace = log_density(model, (COUNTS,), {}, values)
        assert trace["counts"]["value"].shape == COUNTS.shape
        assert float(dense) == pytest.approx(by_hand(case, COUNTS), rel=1e-11)
        packed = observe(COUNTS, compressed=compress_matrix(COUNTS), dense=False)
        assert float(log_density(model, (packed,), {}, values)[0]) == pytest.approx(float(dense), rel=1e-11)


@pytest.mark.parametrize("case", ["negative binomial", "both"])
def test_mini_batches_are_unbiased(case: str) -> None:
    """Over all mini-batches of two of six cells the scaled log density averages to that of all cells."""
    model = CASES[case]()
    values = {spec.name: VALUES[spec.name] for spec in model.specs}
    parts = []
    with jax.enable_x64(True):
        whole = float(log_density(model, (COUNTS,), {}, values)[0])
        for first in range(0, 6, 2):
            cells = jnp.array([first, first + 1])
            here = {name: value[cells] if name == "nu" else value for name, value in values.items()}
            substituted = numpyro.handlers.substitute(model, data={"cells": cells})
            parts.append(float(log_density(substituted, (COUNTS,), {"batch_size": 2}, here)[0]))
    assert np.mean(parts) == pytest.approx(whole, rel=1e-11)


def test_without_counts_they_are_drawn() -> None:
    run = numpyro.handlers.seed(example().build(), jax.random.key(0))
    trace = numpyro.handlers.trace(run).get_trace(dims={"n_cells": 2000, "n_genes": 3})
    drawn, mu, r = (np.asarray(trace[name]["value"]) for name in ("counts", "mu", "r"))
    assert drawn.shape == (2000, 3)
    error = np.sqrt((mu + mu**2 / r) / 2000)
    assert np.all(np.abs(drawn.mean(0) - mu) < 5 * error)  # five standard errors, three means


def test_the_order_of_parts_does_not_matter() -> None:
    other = (
        ModelBuilder()
        .with_likelihood(NegativeBinomialLikelihood())
        .add_derived("r", lambda p, mu: mu * (1 - p) / p, ["p", "mu"])
        .add_param(LogNormalSpec("mu", ("n_genes",), (0.0, 1.0)))
        .add_param(BetaSpec("p", (), (1.0, 1.0)))
        .build()
    )
    values = {"p": VALUES["p"], "mu": VALUES["mu"]}
    densities = [float(log_density(model, (COUNTS,), {}, values)[0]) for model in (example().build(), other)]
    assert densities[0] == densities[1]


def test_a_hierarchy_names_its_parents() -> None:
    model = (
        ModelBuilder()
        .add_param(LogNormalSpec("mu", ("n_genes",), ("level", "spread")))
        .add_param(NormalSpec("level", (), (0.0, 1.0)))
        .add_param(LogNormalSpec("spread", (), (0.0, 1.0)))
        .with_likelihood(PoissonLikelihood())
        .build()
    )
    with jax.enable_x64(True):
        values = {"mu": VALUES["mu"], "level": np.array(0.3), "spread": np.array(0.7)}
        found = float(log_density(model, (COUNTS,), {}, values)[0])
    expected = stats.lognorm(0.7, scale=np.exp(0.3)).logpdf(VALUES["mu"]).sum() + stats.norm.logpdf(0.3)
    expected += stats.lognorm(1.0).logpdf(0.7) + stats.poisson.logpmf(COUNTS, VALUES["mu"]).sum()
    assert found == pytest.approx(expected, rel=1e-11)


def test_a_mixture_sums_over_components_cell_by_cell() -> None:
    model = (
        ModelBuilder()
        .add_param(DirichletSpec("weights", ("n_components",), (1.0,)))
        .add_param(GammaSpec("r", ("n_genes",), (2.0, 1.0), is_mixture=True))
        .add_param(NU)
        .add_param(BetaSpec("p", (), (2.0, 3.0)))
        .with_likelihood(MixtureLikelihood(NegativeBinomialLikelihood(capture="nu"), 2))
        .build()
    )
    p, nu, w, r = 0.6, VALUES["nu"], np.array([0.3, 0.7]), np.stack([VALUES["r"], 2.0 * VALUES["r"][::-1]])
    with jax.enable_x64(True):
        found = float(log_density(model, (COUNTS,), {}, {"p": p, "nu": nu, "weights": w, "r": r})[0])
    seen = (p * nu / (1 - p * (1 - nu)))[:, None, None]
    each = stats.nbinom.logpmf(COUNTS[:, None], r, 1 - seen).sum(-1)
    expected = np.log(np.exp(each) @ w).sum() + stats.gamma(2).logpdf(r).sum() + stats.beta(2, 3).logpdf(p)
    expected += stats.beta(5, 2).logpdf(nu).sum() + stats.dirichlet([1, 1]).logpdf(w)
    assert found == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("dims", [(), ("n_cells",)])
def test_a_mixture_whose_parameters_are_of_no_gene_is_of_all_genes(dims: tuple[str, ...]) -> None:
    model = (
        ModelBuilder()
        .add_param(DirichletSpec("weights", ("n_components",), (1.0,)))
        .add_param(GammaSpec("mu", dims, (2.0, 1.0), is_mixture=True))
        .with_likelihood(MixtureLikelihood(PoissonLikelihood(), 2))
        .build()
    )
    drawn = numpyro.handlers.seed(model, jax.random.key(0))(dims={"n_cells": 6, "n_genes": 7})
    assert drawn.shape == (6, 7)
    w, mu = np.array([0.3, 0.7]), np.random.default_rng(3).gamma(2.0, size=(*(6 for _ in dims), 2))
    with jax.enable_x64(True):
        found = float(log_density(model, (COUNTS,), {}, {"weights": w, "mu": mu})[0])
    each = stats.poisson.logpmf(COUNTS[:, None], np.broadcast_to(mu, (6, 2))[:, :, None]).sum(-1)
    expected = np.log(np.exp(each) @ w).sum() + stats.gamma(2).logpdf(mu).sum() + stats.dirichlet([1, 1]).logpdf(w)
    assert found == pytest.approx(expected, rel=1e-11)


def test_a_mixture_of_one_is_no_mixture() -> None:
    one = (
        ModelBuilder()
        .add_param(DirichletSpec("weights", ("n_components",), (1.0,)))
        .add_param(GammaSpec("r", ("n_genes",), (2.0, 1.0), is_mixture=True))
        .add_param(BetaSpec("p", (), (2.0, 3.0)))
        .with_likelihood(MixtureLikelihood(NegativeBinomialLikelihood(), 1))
        .build()
    )
    with jax.enable_x64(True):
        values = {"p": VALUES["p"], "weights": np.ones(1), "r": VALUES["r"][None]}
        found = float(log_density(one, (COUNTS,), {}, values)[0])
    assert found == pytest.approx(by_hand("negative binomial", COUNTS), rel=1e-11)


def test_batches_have_their_own_values() -> None:
    model = (
        ModelBuilder()
        .add_param(NormalSpec("mu", ("n_batches", "n_genes"), (0.0, 1.0)))
        .add_param(LogNormalSpec("sigma", (), (0.0, 1.0)))
        .with_likelihood(GaussianLikelihood())
        .build()
    )
    batch = np.array(["b", "a", "a", "b", "a", "b"])
    mu = np.random.default_rng(2).normal(size=(2, 4))
    with jax.enable_x64(True):
        found = float(log_density(model, (observe(COUNTS, batch=batch),), {}, {"mu": mu, "sigma": 1.5})[0])
    expected = stats.norm.logpdf(COUNTS, mu[(batch == "b").astype(int)], 1.5).sum() + stats.norm.logpdf(mu).sum()
    assert found == pytest.approx(expected + stats.lognorm(1.0).logpdf(1.5), rel=1e-11)
    with pytest.raises(ConfigurationError, match="n_batches: the length of this axis is not known"):
        log_density(model, (COUNTS,), {}, {"mu": mu, "sigma": 1.5})


def test_what_is_read_off_the_counts_takes_part() -> None:
    model = (
        ModelBuilder()
        .add_param(LogNormalSpec("share", ("n_genes",), (0.0, 1.0)))
        .add_statistic("depth", TOTAL_COUNT)
        .with_likelihood(PoissonLikelihood(mean="share", scale="depth"))
        .build()
    )
    with jax.enable_x64(True):
        data = observe(COUNTS, statistics=[TOTAL_COUNT])
        found = float(log_density(model, (data,), {}, {"share": VALUES["mu"]})[0])
    mean = COUNTS.sum(1, keepdims=True) * VALUES["mu"]
    expected = stats.poisson.logpmf(COUNTS, mean).sum() + stats.lognorm(1.0).logpdf(VALUES["mu"]).sum()
    assert found == pytest.approx(expected, rel=1e-11)


def test_a_specification_of_ones_own_takes_part() -> None:
    class HeavySpec(AbstractParamSpec):
        argument_names = ("scale",)
        argument_constraints = {"scale": dist.constraints.positive}  # noqa: RUF012
        support_of_one = dist.constraints.real

        def distribution(self, *arguments: Any) -> dist.Distribution:
            raise AssertionError("sampling is registered below")

    @sample_prior.register
    def _(spec: HeavySpec, values: Any, sizes: Any) -> Any:
        return numpyro.sample(spec.name, dist.StudentT(3.0, 0.0, spec.default_params[0]))

    model = (
        ModelBuilder()
        .add_param(HeavySpec("mu", (), (2.0,)))
        .add_param(LogNormalSpec("sigma", (), (0.0, 1.0)))
        .with_likelihood(GaussianLikelihood())
        .build()
    )
    with jax.enable_x64(True):
        found = float(log_density(model, (COUNTS,), {}, {"mu": 1.0, "sigma": 1.5})[0])
    expected = stats.t(3, scale=2).logpdf(1.0) + stats.lognorm(1.0).logpdf(1.5)
    assert found == pytest.approx(expected + stats.norm.logpdf(COUNTS, 1, 1.5).sum(), rel=1e-11)
