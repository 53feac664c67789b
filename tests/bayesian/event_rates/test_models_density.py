"""The same log density in PyMC, in NumPyro and written out with SciPy, for every parameterisation and likelihood."""

import jax
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.infer.util import log_density, potential_energy
from scipy import stats
from scipy.special import digamma

from modelwright.bayesian.event_rates import names
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.hyperpriors import NAMES
from modelwright.bayesian.event_rates.numpyro_model import (
    hierarchical_negbinom,
    negative_binomial_log_likelihood,
    poisson_log_likelihood,
)
from modelwright.bayesian.event_rates.observations import Observations, check_observations, compress
from modelwright.bayesian.event_rates.pymc_model import build_hierarchical_negbinom_model
from modelwright.bayesian.event_rates.start import starting_point
from modelwright.core.errors import DataError

PARAMETERIZATIONS = ["centered", "noncentered", "mean_scaled"]
LIKELIHOODS = ["negative_binomial", "poisson"]
SAME_FORMULA = 1e-10  # the rung of the ladder: same formula, double precision


def observations() -> Observations:
    """Five entities, unequal windows, exposures of three lengths, counts with zeros and repetitions."""
    rng = np.random.default_rng(11)
    entity = np.sort(rng.integers(0, 5, 60))
    entity[:5] = np.arange(5)
    return check_observations(rng.negative_binomial(1, 0.1, 60), np.sort(entity), 5, rng.choice([0.25, 1.0, 3.0], 60))


def point(config: ModelConfig, seed: int) -> dict[str, np.ndarray]:
    """A random value of every sampled variable."""
    rng = np.random.default_rng(seed)
    values = {"mu": rng.gamma(2.0, 3.0), "alpha": rng.gamma(2.0, 0.5), "theta": rng.gamma(2.0, 2.0, 5)}
    if config.likelihood == "negative_binomial":
        values["phi"] = rng.gamma(2.0, 1.0)
    if config.parameterization != "centered":
        values["theta_raw"] = values.pop("theta")
    return {name: np.asarray(value) for name, value in values.items()}


def written_out(config: ModelConfig, values: dict[str, np.ndarray], data: Observations) -> float:
    """The log joint density by SciPy, from the formulas of the description."""
    mu, alpha = values["mu"], values["alpha"]
    prior = stats.expon(scale=1 / config.mu_prior_rate).logpdf(mu) + stats.halfnorm(scale=config.alpha_prior_sd).logpdf(
        alpha
    )
    match config.parameterization:
        case "centered":
            theta = values["theta"]
            rates = stats.gamma(mu * alpha, scale=1 / alpha).logpdf(theta)
        case "noncentered":
            theta = values["theta_raw"] / alpha
            rates = stats.gamma(mu * alpha).logpdf(values["theta_raw"])
        case _:
            theta = values["theta_raw"] * mu
            rates = stats.gamma(alpha, scale=1 / alpha).logpdf(values["theta_raw"])
    mean = theta[data.entity_idx] * data.exposure
    if config.likelihood == "poisson":
        likelihood = stats.poisson(mean).logpmf(data.y)
    else:
        phi = values["phi"]
        prior = prior + stats.halfnorm(scale=config.overdispersion_prior_sd).logpdf(phi)
        likelihood = stats.nbinom(phi, phi / (phi + mean)).logpmf(data.y)  # SciPy's p: of the events that end the count
    return float(prior + rates.sum() + likelihood.sum())


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
def test_log_density_agrees_in_both_engines_and_on_paper(parameterization: str, likelihood: str) -> None:
    config = ModelConfig(
        parameterization=parameterization, likelihood=likelihood, mu_prior_rate=0.2, alpha_prior_sd=3.0
    )
    data = observations()
    model = build_hierarchical_negbinom_model(data.y, data.entity_idx, 5, config, exposure=data.exposure)
    with model:
        # interpreted, since compiling C for each of six models would take a minute
        plain = model.compile_logp(jacobian=False, mode="FAST_COMPILE")
        unconstrained = model.compile_logp(jacobian=True, mode="FAST_COMPILE")
    for seed in range(3):
        values = point(config, seed)
        logs = {name: np.log(value) for name, value in values.items()}
        pymc_point = {f"{name}_log__": value for name, value in logs.items()}
        expected = written_out(config, values, data)
        with jax.enable_x64(True):
            args = (compress(data), config)
            ours = float(log_density(hierarchical_negbinom, args, {}, values)[0])
            with_jacobian = -float(potential_energy(hierarchical_negbinom, args, {}, logs))
        np.testing.assert_allclose(ours, expected, rtol=SAME_FORMULA)
        np.testing.assert_allclose(float(plain(pymc_point)), expected, rtol=SAME_FORMULA)
        np.testing.assert_allclose(with_jacobian, expected + sum(z.sum() for z in logs.values()), rtol=SAME_FORMULA)
        np.testing.assert_allclose(float(unconstrained(pymc_point)), with_jacobian, rtol=SAME_FORMULA)


OF_THE_OTHERS = {
    "exponential": ("exponential(0.2)", stats.expon(scale=5.0)),
    "half_normal": ("half_normal(3)", stats.halfnorm(scale=3.0)),
    "gamma": ("gamma(0.1, 1)", stats.gamma(0.1)),
    "log_normal": ("log_normal(1, 0.7)", stats.lognorm(0.7, scale=np.e)),
    "half_cauchy": ("half_cauchy(2)", stats.halfcauchy(scale=2.0)),
    "half_student_t": ("half_student_t(4, 2)", stats.t(4.0, scale=2.0)),
    "inverse_gamma": ("inverse_gamma(3, 2)", stats.invgamma(3.0, scale=2.0)),
    "uniform": ("uniform(0.001, 90)", stats.uniform(0.001, 89.999)),
}


def test_every_hyperprior_is_compared() -> None:
    assert set(OF_THE_OTHERS) == set(NAMES)


@pytest.mark.parametrize("of_shape", [False, True])
@pytest.mark.parametrize(("first", "second"), list(zip(NAMES, NAMES[3:] + NAMES[:3], strict=True)))
def test_named_hyperpriors_are_the_same_in_both_engines_and_on_paper(first: str, second: str, of_shape: bool) -> None:
    (text, level), (other_text, other) = OF_THE_OTHERS[first], OF_THE_OTHERS[second]
    folded = np.log(2.0) * ((first == "half_student_t") + (second == "half_student_t"))  # |T| has twice T's density
    priors = {"shape_prior" if of_shape else "mu_prior": text, "alpha_prior": other_text}
    config = ModelConfig.create(likelihood="poisson", **priors)
    data = observations()
    values = point(ModelConfig(likelihood="poisson"), 1)
    values["shape" if of_shape else "mu"] = values.pop("mu")
    alpha = values["alpha"]
    shape = values["shape"] if of_shape else values["mu"] * alpha
    expected = (
        level.logpdf(values["shape" if of_shape else "mu"])
        + other.logpdf(alpha)
        + folded
        + stats.gamma(shape, scale=1 / alpha).logpdf(values["theta"]).sum()
        + stats.poisson(values["theta"][data.entity_idx] * data.exposure).logpmf(data.y).sum()
    )
    with jax.enable_x64(True):
        args = (compress(data), config)
        ours, sites = log_density(hierarchical_negbinom, args, {}, values)
    np.testing.assert_allclose(float(ours), expected, rtol=SAME_FORMULA)
    np.testing.assert_allclose(float(sites["mu"]["value"]), shape / alpha, rtol=SAME_FORMULA)
    model = build_hierarchical_negbinom_model(data.y, data.entity_idx, 5, config, exposure=data.exposure)
    assert {variable.name for variable in model.free_RVs} == set(values)
    assert [variable.name for variable in model.deterministics] == (["mu"] if of_shape else [])
    if of_shape:
        import pymc as pm

        drawn = pm.draw([model[name] for name in ("mu", "shape", "alpha")], mode="FAST_COMPILE", random_seed=1)
        np.testing.assert_allclose(drawn[0], drawn[1] / drawn[2], rtol=SAME_FORMULA)
    with model:
        plain = model.compile_logp(jacobian=False, mode="FAST_COMPILE")
    forward = {
        variable.name: model.rvs_to_transforms[variable].forward(values[variable.name], *variable.owner.inputs).eval()
        for variable in model.free_RVs
    }
    at = {model.rvs_to_values[variable].name: forward[variable.name] for variable in model.free_RVs}
    np.testing.assert_allclose(float(plain(at)), expected, rtol=1e-8)  # through the interval's logistic and back


@pytest.mark.parametrize("priors", [{}, {"mu_prior": "uniform(5, 90)"}, {"shape_prior": "uniform(0, 0.5)"}])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_start_lies_inside_of_bounded_priors(likelihood: str, priors: dict) -> None:
    config = ModelConfig.create(likelihood=likelihood, **priors)
    start = starting_point(compress(observations()), config)
    with jax.enable_x64(True):
        density, _ = log_density(hierarchical_negbinom, (compress(observations()), config), {}, start.values)
    assert np.isfinite(float(density))
    assert set(start.values) == set(start.scales) == {*config.hyperpriors(), names.THETA}


def test_the_start_is_the_same_point_whichever_of_mu_and_shape_has_the_prior() -> None:
    flat = {"mu_prior": "log_normal(0, 100)"}, {"shape_prior": "log_normal(0, 100)"}  # the same but for rounding
    by_mu, by_shape = (
        starting_point(compress(observations()), ModelConfig.create(alpha_prior="exponential(1)", **prior)).values
        for prior in flat
    )
    # the simplex search ends within 1e-4 of the logarithms
    np.testing.assert_allclose(by_shape["shape"], by_mu["mu"] * by_mu["alpha"], rtol=3e-3)
    np.testing.assert_allclose(by_shape["alpha"], by_mu["alpha"], rtol=3e-3)


def test_the_start_heeds_a_strong_prior_of_what_it_is_about() -> None:
    for name, prior in (("mu", {"mu_prior": "gamma(1e6, 5e5)"}), ("shape", {"shape_prior": "gamma(1e6, 5e5)"})):
        values = starting_point(compress(observations()), ModelConfig.create(**prior)).values
        np.testing.assert_allclose(values[name], 2.0, rtol=0.01)  # ten standard deviations of the prior


@pytest.mark.parametrize("phi", [1e-3, 0.7, 30.0, 1e4])
@pytest.mark.parametrize("largest", [3, 60, 10**6])
def test_compressed_likelihood_and_gradient_are_the_dense_ones(largest: int, phi: float) -> None:
    rng = np.random.default_rng(5)
    n = 400
    y = np.concatenate([[0, largest], np.floor(np.exp(rng.uniform(0, np.log(largest + 1), n - 2))).astype(int) - 1])
    data = check_observations(y, rng.integers(0, 7, n), 7, rng.choice([0.5, 1.0, 2.0], n))
    theta = rng.gamma(2.0, largest / 4, 7)
    mean = theta[data.entity_idx] * data.exposure
    with jax.enable_x64(True):
        value, (by_theta, by_phi) = jax.value_and_grad(negative_binomial_log_likelihood, (1, 2))(
            compress(data), theta, np.float64(phi)
        )
        poisson, poisson_by_theta = jax.value_and_grad(poisson_log_likelihood, 1)(compress(data), theta)
    dense = stats.nbinom(phi, phi / (phi + mean)).logpmf(data.y)
    np.testing.assert_allclose(value, dense.sum(), rtol=SAME_FORMULA)
    each = data.y / mean - (data.y + phi) / (phi + mean)
    parts = digamma(data.y + phi) - digamma(phi) + np.log(phi / (phi + mean)) + (mean - data.y) / (phi + mean)
    # relative to the size of the summands, which cancel
    np.testing.assert_allclose(
        by_theta, np.bincount(data.entity_idx, each * data.exposure, 7), atol=SAME_FORMULA * np.abs(each).sum()
    )
    np.testing.assert_allclose(by_phi, parts.sum(), atol=SAME_FORMULA * np.abs(parts).sum())
    np.testing.assert_allclose(poisson, stats.poisson(mean).logpmf(data.y).sum(), rtol=SAME_FORMULA)
    each = data.y / mean - 1
    np.testing.assert_allclose(
        poisson_by_theta, np.bincount(data.entity_idx, each * data.exposure, 7), atol=SAME_FORMULA * np.abs(each).sum()
    )


def test_cost_of_the_likelihood_depends_on_entities_not_on_windows() -> None:
    rng = np.random.default_rng(0)
    few, many = (
        compress(check_observations(rng.integers(0, 9, 10 * n), np.repeat(np.arange(10), n), 10)) for n in (30, 3000)
    )
    assert len(few.total) == len(many.total) == 10
    assert len(many.count) == 8


def test_numpyros_probability_is_the_complement_of_scipys() -> None:
    total, p = 2.5, 0.3
    counts = np.arange(6)
    with jax.enable_x64(True):
        numpyros = dist.NegativeBinomialProbs(total, p)
        np.testing.assert_allclose(
            numpyros.log_prob(counts), stats.nbinom(total, 1 - p).logpmf(counts), rtol=SAME_FORMULA
        )
        np.testing.assert_allclose(numpyros.mean, total * p / (1 - p), rtol=SAME_FORMULA)


def test_pymc_model_has_the_coordinates_data_and_dimensions_promised() -> None:
    model = build_hierarchical_negbinom_model(
        [3, 0, 4], [0, 0, 1], 2, ModelConfig(), exposure=[1.0, 0.5, 2.0], entities=["a", "b"]
    )
    assert list(model.coords["entity"]) == ["a", "b"]
    assert list(model.coords["obs"]) == [0, 1, 2]
    assert model.named_vars_to_dims["theta"] == ("entity",)
    assert model.named_vars_to_dims["y"] == ("obs",)
    assert {variable.name for variable in model.data_vars} == {"entity_idx", "exposure"}
    assert [variable.name for variable in model.free_RVs] == ["mu", "alpha", "phi", "theta"]
    assert [variable.name for variable in model.observed_RVs] == ["y"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"y": [3, -1, 4]}, "y: not a count at position 1; expected whole numbers of at least 0, got -1.0"),
        ({"y": [3, 0.5, 4]}, "y: not a count at position 1; expected whole numbers of at least 0, got 0.5"),
        ({"y": [3, np.nan, 4]}, "y: not a count at position 1; expected whole numbers of at least 0, got nan"),
        ({"y": []}, "y: there are no observations; expected at least one count"),
        ({"y": ["a", "b", "c"]}, "y: not numbers; expected one number per observation, got ['a', 'b', 'c']"),
        (
            {"entity_idx": [0, 0, 2]},
            "entity_idx: not the position of an entity at position 2; expected whole numbers from 0 to 1, got 2.0",
        ),
        ({"entity_idx": [0, 0]}, "entity_idx: another length than y; expected 3 values, got 2"),
        ({"exposure": [1, 0, 1]}, "exposure: not an exposure at position 1; expected finite numbers above 0, got 0.0"),
        (
            {"exposure": [1, np.inf, 1]},
            "exposure: not an exposure at position 1; expected finite numbers above 0, got inf",
        ),
        ({"n_entities": 0}, "n_entities: not usable; expected a whole number of at least 1, got 0"),
        ({"entities": ["a", "a"]}, "entities: not one label per entity; expected 2 distinct labels, got 2"),
    ],
)
def test_model_refuses_data_that_cannot_be(wrong: dict, message: str) -> None:
    given = {"y": [3, 0, 4], "entity_idx": [0, 0, 1], "n_entities": 2, "config": ModelConfig(), **wrong}
    with pytest.raises(DataError) as refusal:
        build_hierarchical_negbinom_model(**given)
    assert str(refusal.value) == message
