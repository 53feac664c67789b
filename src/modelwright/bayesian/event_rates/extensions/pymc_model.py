"""The extended event-rate model for PyMC, written observation by observation; nutpie samples it too."""

from typing import Any

import modelwright.bayesian.quiet_arviz  # noqa: F401 (before PyMC, which imports ArviZ)

# isort: split
import numpy as np
import pymc as pm
import pytensor.tensor as pt

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Coefficients, Design
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.windows import Steps
from modelwright.bayesian.event_rates.names import (
    ALPHA,
    ENTITY,
    ENTITY_IDX,
    EXPOSURE,
    MU,
    OBS,
    PHI,
    SHAPE,
    THETA,
    THETA_RAW,
    Y,
)
from modelwright.bayesian.event_rates.pymc_model import pymc_variable
from modelwright.bayesian.inference.pytensor_blas import accept_missing_blas


def build_extended_model(
    design: Design, config: ModelConfig, extensions: Extensions, *, coords: dict[str, Any]
) -> pm.Model:
    """The model of `config` with `extensions`, ready to sample.

    Args:
        design: The data.
        config: Priors of the base model, likelihood and parameterisation.
        extensions: What is added; see there for the formulas.
        coords: Labels of the dimensions: entity, obs and, as they are there, coefficient, window_coefficient, and that
            of the drift.

    Returns:
        A model with the variables of `extensions.names`, `y` (obs) and, with volumes, `volume`.
    """
    accept_missing_blas()
    seen = design.observations
    with pm.Model(coords=coords) as model:
        which = pm.Data(ENTITY_IDX, seen.entity_idx, dims=OBS)
        lengths = pm.Data(EXPOSURE, seen.exposure, dims=OBS)
        priors = config.hyperpriors()
        beta = _coefficients(names.BETA, names.BETA_RAW, names.COEFFICIENT, design.entity_level, extensions)
        shift = pt.zeros(design.n_entities) if beta is None else pt.dot(design.entity_level.matrix, beta)
        if extensions.has(names.VOLUMES):
            theta = _log_normal_rates(design, config, extensions, shift)
        else:
            theta = _gamma_rates(config, shift)
        mean = theta[which] * lengths * pt.exp(_window_factor(design, extensions))
        phi = None if config.likelihood == "poisson" else pymc_variable(priors[PHI], PHI)
        psi = pm.Beta(names.PSI, 2.0, 1.0) if extensions.has(names.ZERO_INFLATION) else None
        match phi is None, psi is None:
            case True, True:
                pm.Poisson(Y, mu=mean, observed=seen.y, dims=OBS)
            case True, False:
                pm.ZeroInflatedPoisson(Y, psi=psi, mu=mean, observed=seen.y, dims=OBS)
            case False, True:
                pm.NegativeBinomial(Y, mu=mean, alpha=phi, observed=seen.y, dims=OBS)
            case False, False:
                pm.ZeroInflatedNegativeBinomial(Y, psi=psi, mu=mean, alpha=phi, observed=seen.y, dims=OBS)
    return model


def _coefficients(name: str, raw: str, dimension: str, level: Coefficients | None, extensions: Extensions) -> Any:
    if level is None:
        return None
    free = pm.Normal(raw, 0.0, extensions.coefficient_prior_sd, shape=level.contrasts.shape[1])
    return pm.Deterministic(name, pt.dot(level.contrasts, free), dims=dimension)


def _gamma_rates(config: ModelConfig, shift: Any) -> Any:
    priors = config.hyperpriors()
    if SHAPE in priors:
        shape, alpha = pymc_variable(priors[SHAPE], SHAPE), pymc_variable(priors[ALPHA], ALPHA)
        mu = pm.Deterministic(MU, shape / alpha)
    else:
        mu, alpha = pymc_variable(priors[MU], MU), pymc_variable(priors[ALPHA], ALPHA)
        shape = mu * alpha
    match config.parameterization:
        case "centered":
            return pm.Gamma(THETA, alpha=shape, beta=alpha * pt.exp(-shift), dims=ENTITY)
        case "noncentered":
            raw = pm.Gamma(THETA_RAW, alpha=shape, beta=1.0, dims=ENTITY)
            return pm.Deterministic(THETA, raw * pt.exp(shift) / alpha, dims=ENTITY)
    raw = pm.Gamma(THETA_RAW, alpha=alpha, beta=alpha, dims=ENTITY)
    return pm.Deterministic(THETA, raw * pt.exp(shift) * mu, dims=ENTITY)


def _log_normal_rates(design: Design, config: ModelConfig, extensions: Extensions, shift: Any) -> Any:
    location = pt.log(pymc_variable(config.hyperpriors()[MU], MU)) + shift
    rate_sd = pm.Gamma(names.RATE_SD, alpha=2.0, beta=2.0 / extensions.spread_prior_mean)
    volume_mean = pm.Normal(names.VOLUME_MEAN, extensions.volume_prior_mean, extensions.volume_prior_sd)
    volume_sd = pm.Gamma(names.VOLUME_SD, alpha=2.0, beta=2.0 / extensions.spread_prior_mean)
    sigma = pm.HalfNormal(names.SIGMA, extensions.sigma_prior_sd)
    half = pm.Beta(names.CORRELATION_RAW, 2.0, 2.0)
    correlation = pm.Deterministic(names.CORRELATION, 2.0 * half - 1.0)
    alone = 2.0 * pt.sqrt(half * (1.0 - half))
    if config.parameterization == "centered":
        log_theta = pm.Normal(names.LOG_THETA, location, rate_sd, dims=ENTITY)
        common = volume_mean + correlation * volume_sd * (log_theta - location) / rate_sd
        nu = pm.Normal(names.NU, common, volume_sd * alone, dims=ENTITY)
    else:
        of_rate = pm.Normal(names.THETA_STANDARD, 0.0, 1.0, dims=ENTITY)
        of_volume = pm.Normal(names.NU_STANDARD, 0.0, 1.0, dims=ENTITY)
        log_theta = location + rate_sd * of_rate
        together = correlation * of_rate + alone * of_volume
        nu = pm.Deterministic(names.NU, volume_mean + volume_sd * together, dims=ENTITY)
    seen = design.observations
    expected = nu[seen.entity_idx[design.eventful]] + np.log(seen.y[design.eventful])
    pm.LogNormal(names.VOLUME, expected, sigma, observed=np.exp(design.volumes.log_volume))
    return pm.Deterministic(THETA, pt.exp(log_theta), dims=ENTITY)


def _window_factor(design: Design, extensions: Extensions) -> Any:
    log_factor = pt.zeros(design.n_obs)
    gamma = _coefficients(names.GAMMA, names.GAMMA_RAW, names.WINDOW_COEFFICIENT, design.window_level, extensions)
    if gamma is not None:
        log_factor += pt.dot(design.window_level.matrix, gamma)
    if design.drift is not None:
        scale = pm.HalfNormal(names.DRIFT_SCALE, extensions.drift_prior_sd)
        raw = pm.Normal(names.DRIFT_RAW, 0.0, scale**design.centring)
        drift = pt.dot(design.drift.basis, scale ** (1.0 - design.centring) * raw)
        log_factor += pm.Deterministic(names.DRIFT, drift, dims=design.drift.dimension)[design.drift.level]
    if design.steps is not None:
        rho, tau = pm.Beta(names.RHO, 2.0, 2.0), pm.HalfNormal(names.TAU, extensions.tau_prior_sd)
        raw = pm.Normal(names.DEVIATION_RAW, 0.0, 1.0, shape=design.n_obs)
        log_factor += pm.Deterministic(names.LOG_DEVIATION, _deviations(design.steps, rho, tau, raw), dims=OBS)
    return log_factor


def _deviations(steps: Steps, rho: Any, tau: Any, raw: Any) -> Any:
    """The recurrence of `numpyro_model.recurrence`, by the same doubling."""
    fresh = pt.where(steps.first, 1.0, pt.sqrt(-pt.expm1(2.0 * steps.gap * pt.log(rho))))
    share, total, step = pt.where(steps.first, 0.0, rho**steps.gap), tau * fresh * raw, 1
    while step < steps.longest:
        total = pt.concatenate([total[:step], total[step:] + share[step:] * total[:-step]])
        share = pt.concatenate([pt.zeros(step), share[step:] * share[:-step]])
        step *= 2
    return total
