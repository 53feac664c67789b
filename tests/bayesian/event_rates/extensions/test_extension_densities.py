"""The same log density in PyMC, in NumPyro and written out with SciPy; its limits are the base model."""

from typing import Any

import jax
import numpy as np
import pytest
from numpyro.infer.util import log_density, potential_energy
from scipy import stats

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions.design import Design, design_of
from modelwright.bayesian.event_rates.extensions.draws import deviations, log_likelihoods_extended
from modelwright.bayesian.event_rates.extensions.fit import coordinates
from modelwright.bayesian.event_rates.extensions.numpyro_model import extended_event_rates
from modelwright.bayesian.event_rates.extensions.pymc_model import build_extended_model
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.start import extended_start
from modelwright.bayesian.event_rates.numpyro_model import hierarchical_negbinom
from modelwright.bayesian.event_rates.observations import compress
from modelwright.data.events import EventCounts

SAME_FORMULA = 1e-10  # the rung of the ladder: same formula, double precision

COVARIATES = {"chosen": "covariates", "covariates": "tier,size,day_of_week,load"}
COMBINATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "covariates": (COVARIATES, {}),
    "covariates, noncentered": (COVARIATES, {"parameterization": "noncentered"}),
    "covariates, mean_scaled": (COVARIATES, {"parameterization": "mean_scaled"}),
    "temporal": ({"chosen": "temporal"}, {}),
    "volumes": ({"chosen": "volumes"}, {"shape_prior": None}),
    "volumes, noncentered": ({"chosen": "volumes"}, {"parameterization": "noncentered", "likelihood": "poisson"}),
    "zero inflation": ({"chosen": "zero_inflation"}, {"shape_prior": "gamma(2, 1)"}),
    "zero inflation, poisson": ({"chosen": "zero_inflation"}, {"likelihood": "poisson"}),
    "random walk": ({"chosen": "drift"}, {}),
    "seasons": ({"chosen": "drift", "drift": "day_of_week"}, {"likelihood": "poisson"}),
    "everything": (
        {**COVARIATES, "chosen": "covariates,temporal,volumes,zero_inflation,drift", "drift": "random_walk"},
        {},
    ),
}


def observations() -> EventCounts:
    """Five entities with gaps between their days, three exposures, columns of both levels, volumes; zeros included."""
    rng = np.random.default_rng(11)
    entity = np.sort(np.concatenate([np.arange(5), rng.integers(0, 5, 45)]))
    day = np.concatenate([np.sort(rng.choice(30, n, replace=False)) for n in np.bincount(entity)])
    count = rng.negative_binomial(1, 0.1, 50) * (rng.random(50) < 0.7)
    return EventCounts.from_arrays(
        entity=[f"e{k}" for k in entity],
        count=count,
        exposure=rng.choice([0.25, 1.0, 3.0], 50),
        window_start=np.datetime64("2024-01-01", "ns") + day * np.timedelta64(1, "D"),
        window="1D",
        covariates={
            "tier": np.array(["basic", "gold", "silver", "basic", "gold"])[entity],
            "size": np.array([1.0, 4.0, 2.0, 8.0, 5.0])[entity],
            "load": rng.normal(10.0, 3.0, 50),
        },
        volume=np.where(count > 0, rng.lognormal(5.0, 1.0, 50) * count, np.nan),
    )


def point(design: Design, config: ModelConfig, extensions: Extensions, seed: int) -> dict[str, np.ndarray]:
    """A random value of every sampled variable, on its own scale."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, value in extended_start(design, config, extensions).values.items():
        shape = np.shape(value)
        if name in ("psi", "rho", "correlation_raw"):
            found[name] = rng.uniform(0.2, 0.9, shape)
        elif name.endswith(("_raw", "_standard")) and name != "theta_raw":
            found[name] = rng.normal(0.0, 0.7, shape)
        elif name in ("log_theta", "nu", "volume_mean"):
            found[name] = rng.normal(1.0, 1.0, shape)
        else:
            found[name] = rng.gamma(2.0, 1.0, shape)
    return found


UNIT = ("psi", "rho", "correlation_raw")


def unconstrained(name: str, value: np.ndarray, positive: set[str]) -> np.ndarray:
    if name in UNIT:
        return np.log(value) - np.log1p(-value)
    return np.log(value) if name in positive else value


def parameters(design: Design, config: ModelConfig, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What a trace would hold at a point, with one draw; from the formulas of the description."""
    found = {name: value for name, value in values.items() if not name.endswith(("_raw", "_standard"))}
    for name, level in (("beta", design.entity_level), ("gamma", design.window_level)):
        if level is not None:
            found[name] = level.contrasts @ values[f"{name}_raw"]
    if design.drift is not None:
        standard = values["drift_raw"] / values["drift_scale"] ** design.centring
        found["drift"] = values["drift_scale"] * design.drift.basis @ standard
    if design.steps is not None:
        found["log_deviation"] = deviations(
            design.steps, values["rho"][None], values["tau"][None], values["deviation_raw"][None]
        )[0]
    shift = 0.0 if design.entity_level is None else design.entity_level.matrix @ found["beta"]
    if "shape" in values:
        found["mu"] = values["shape"] / values["alpha"]
    if "log_theta" in values:
        found["theta"] = np.exp(values["log_theta"])
    elif "theta_standard" in values:
        rho = 2 * values["correlation_raw"] - 1
        found["theta"] = np.exp(np.log(values["mu"]) + shift + values["rate_sd"] * values["theta_standard"])
        together = rho * values["theta_standard"] + np.sqrt(1 - rho**2) * values["nu_standard"]
        found["nu"] = values["volume_mean"] + values["volume_sd"] * together
    elif "theta_raw" in values:
        scale = values["mu"] if config.parameterization == "mean_scaled" else 1 / values["alpha"]
        found["theta"] = values["theta_raw"] * np.exp(shift) * scale
    return found


def written_out(
    data: EventCounts, design: Design, config: ModelConfig, extensions: Extensions, values: dict[str, np.ndarray]
) -> float:
    """The log joint density by SciPy, from the formulas of the description, observation by observation."""
    found = parameters(design, config, values)
    shift = 0.0 if design.entity_level is None else design.entity_level.matrix @ found["beta"]
    total = sum(float(np.sum(prior.log_density(values[name]))) for name, prior in config.hyperpriors().items()
                if name in values)  # fmt: skip
    for name in ("beta_raw", "gamma_raw"):
        if name in values:
            total += stats.norm(0, extensions.coefficient_prior_sd).logpdf(values[name]).sum()
    if "drift_raw" in values:
        total += stats.norm(0, values["drift_scale"] ** design.centring).logpdf(values["drift_raw"]).sum()
    for name in ("deviation_raw", "theta_standard", "nu_standard"):
        if name in values:
            total += stats.norm.logpdf(values[name]).sum()
    half_normal = {
        "drift_scale": extensions.drift_prior_sd,
        "tau": extensions.tau_prior_sd,
        "sigma": extensions.sigma_prior_sd,
    }
    for name, scale in half_normal.items():
        if name in values:
            total += stats.halfnorm(scale=scale).logpdf(values[name])
    for name in ("rate_sd", "volume_sd"):
        if name in values:
            total += stats.gamma(2, scale=extensions.spread_prior_mean / 2).logpdf(values[name])
    for name, beta in (("psi", stats.beta(2, 1)), ("rho", stats.beta(2, 2)), ("correlation_raw", stats.beta(2, 2))):
        if name in values:
            total += beta.logpdf(values[name])
    if extensions.has("volumes"):
        total += stats.norm(extensions.volume_prior_mean, extensions.volume_prior_sd).logpdf(values["volume_mean"])
        if "log_theta" in values:
            rho = 2 * values["correlation_raw"] - 1
            s, v = values["rate_sd"], values["volume_sd"]
            both = np.stack([values["log_theta"] - np.log(values["mu"]) - shift, values["nu"] - values["volume_mean"]])
            total += stats.multivariate_normal([0, 0], [[s**2, rho * s * v], [rho * s * v, v**2]]).logpdf(both.T).sum()
    else:
        mu, alpha = found["mu"], values["alpha"]
        match config.parameterization:
            case "centered":
                total += stats.gamma(mu * alpha, scale=np.exp(shift) / alpha).logpdf(values["theta"]).sum()
            case "noncentered":
                total += stats.gamma(mu * alpha).logpdf(values["theta_raw"]).sum()
            case _:
                total += stats.gamma(alpha, scale=1 / alpha).logpdf(values["theta_raw"]).sum()
    log_mean = np.log(found["theta"])[data.entity_idx] + np.log(data.exposure)
    log_mean += 0.0 if design.window_level is None else design.window_level.matrix @ found["gamma"]
    log_mean += 0.0 if design.drift is None else found["drift"][design.drift.level]
    log_mean += found.get("log_deviation", 0.0)
    mean = np.exp(log_mean)
    phi, psi = values.get("phi"), values.get("psi")
    counts = stats.poisson(mean) if phi is None else stats.nbinom(phi, phi / (phi + mean))
    each = counts.logpmf(data.count)
    if psi is not None:
        each = np.where(data.count > 0, np.log(psi) + each, np.log(1 - psi + psi * np.exp(each)))
    if extensions.has("volumes"):
        some = data.count > 0
        scale = np.exp(found["nu"][data.entity_idx][some]) * data.count[some]
        each[some] += stats.lognorm(values["sigma"], scale=scale).logpdf(data.volume[some])
    one = {name: np.asarray(value)[None] for name, value in found.items()}
    np.testing.assert_allclose(log_likelihoods_extended(one, design)[0], each, rtol=SAME_FORMULA, atol=SAME_FORMULA)
    return float(total + each.sum())


OFTEN = ("volumes, noncentered", "everything")
"""Together these have every extension, both likelihoods and both kinds of rates."""


@pytest.mark.parametrize(
    "name", [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in COMBINATIONS]
)
def test_log_density_agrees_in_both_engines_and_on_paper(name: str) -> None:
    chosen, settings = COMBINATIONS[name]
    extensions = Extensions.create(**chosen, coefficient_prior_sd=0.8, tau_prior_sd=0.7)
    config = ModelConfig.create(**settings)
    data = observations()
    design = design_of(data, extensions)
    model = build_extended_model(design, config, extensions, coords=coordinates(data, design))
    with model:
        # interpreted, since compiling C for each of these models would take a minute; term by term, since the sum of
        # them all has more arguments than an interpreted addition can take
        plain = model.compile_logp(jacobian=False, sum=False, mode="FAST_COMPILE")
        bent = model.compile_logp(jacobian=True, sum=False, mode="FAST_COMPILE")
    transformed = {model.rvs_to_values[rv].name: rv.name for rv in model.free_RVs}
    positive = {plain_name for theirs, plain_name in transformed.items() if theirs.endswith("_log__")}
    for seed in range(2):
        values = point(design, config, extensions, seed)
        assert set(values) == set(transformed.values())
        free = {name: unconstrained(name, value, positive) for name, value in values.items()}
        pymc_point = {theirs: free[ours] for theirs, ours in transformed.items()}
        expected = written_out(data, design, config, extensions, values)
        jacobian = sum(float(np.sum(free[name])) for name in positive)
        jacobian += sum(float(np.sum(np.log(values[name] * (1 - values[name])))) for name in UNIT if name in values)
        with jax.enable_x64(True):
            args = (design, config, extensions)
            ours = float(log_density(extended_event_rates, args, {}, values)[0])
            ours_bent = -float(potential_energy(extended_event_rates, args, {}, free))
        np.testing.assert_allclose(ours, expected, rtol=SAME_FORMULA)
        np.testing.assert_allclose(sum(term.sum() for term in plain(pymc_point)), expected, rtol=SAME_FORMULA)
        np.testing.assert_allclose(ours_bent, expected + jacobian, rtol=SAME_FORMULA)
        np.testing.assert_allclose(sum(term.sum() for term in bent(pymc_point)), ours_bent, rtol=SAME_FORMULA)


@pytest.mark.parametrize("likelihood", ["negative_binomial", "poisson"])
def test_without_effect_every_extension_is_the_base_model(likelihood: str) -> None:
    data = observations()
    config = ModelConfig(likelihood=likelihood)
    extensions = Extensions.create(
        chosen="covariates,temporal,zero_inflation,drift", covariates="tier,size,day_of_week,load"
    )
    design = design_of(data, extensions)
    values = point(design, config, extensions, 3)
    values |= {name: np.zeros_like(values[name]) for name in ("beta_raw", "gamma_raw", "deviation_raw", "drift_raw")}
    values["psi"] = np.asarray(1.0 - 1e-16)  # the double before 1: at 1 itself a window without events has log 0
    added = stats.norm(0, 1).logpdf(np.zeros(len(values["beta_raw"]) + len(values["gamma_raw"]))).sum()
    added += stats.norm.logpdf(np.zeros(len(values["deviation_raw"]))).sum()
    added += stats.norm(0, values["drift_scale"] ** design.centring).logpdf(values["drift_raw"]).sum()
    added += stats.halfnorm(scale=0.5).logpdf(values["drift_scale"]) + stats.halfnorm(scale=0.5).logpdf(values["tau"])
    added += stats.beta(2, 1).logpdf(values["psi"]) + stats.beta(2, 2).logpdf(values["rho"])
    base = {name: values[name] for name in ("mu", "alpha", "phi", "theta") if name in values}
    with jax.enable_x64(True):
        extended = float(log_density(extended_event_rates, (design, config, extensions), {}, values)[0])
        alone = float(log_density(hierarchical_negbinom, (compress(design.observations), config), {}, base)[0])
    np.testing.assert_allclose(extended - added, alone, rtol=SAME_FORMULA)


def test_a_deviation_of_no_size_is_none() -> None:
    data = observations()
    extensions = Extensions.create(chosen="temporal")
    design = design_of(data, extensions)
    assert design.steps is not None
    raw = np.random.default_rng(0).normal(size=(1, data.n_obs))
    assert not deviations(design.steps, np.array([0.5]), np.array([0.0]), raw).any()


def test_deviations_are_stationary_with_the_correlation_of_their_gap() -> None:
    data = observations()
    design = design_of(data, Extensions.create(chosen="temporal"))
    assert design.steps is not None
    rho, tau, draws = 0.8, 0.6, 40_000
    raw = np.random.default_rng(0).normal(size=(draws, data.n_obs))
    found = deviations(design.steps, np.full(draws, rho), np.full(draws, tau), raw)
    covariance = found.T @ found / draws
    days = data.window_start.astype("datetime64[D]").astype(int)
    same = data.entity_idx[:, None] == data.entity_idx
    expected = np.where(same, tau**2 * rho ** np.abs(days[:, None] - days), 0.0)
    # standard error of a covariance of normals, four of them, and once more as many for the largest of 2,500
    error = np.sqrt((tau**4 + expected**2) / draws)
    assert (np.abs(covariance - expected) / error).max() < 5.5
