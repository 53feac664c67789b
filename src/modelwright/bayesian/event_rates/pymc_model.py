"""The event-rate model for PyMC, written observation by observation; nutpie samples it too."""

from collections.abc import Sequence
from typing import Any

import modelwright.bayesian.quiet_arviz  # noqa: F401 (before PyMC, which imports ArviZ)

# isort: split
import numpy as np
import pymc as pm

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.hyperpriors import Hyperprior
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
from modelwright.bayesian.event_rates.observations import check_observations
from modelwright.bayesian.inference.pytensor_blas import accept_missing_blas
from modelwright.core.errors import DataError


def build_hierarchical_negbinom_model(
    y: Any,
    entity_idx: Any,
    n_entities: int,
    config: ModelConfig,
    *,
    exposure: Any | None = None,
    entities: Sequence[str] | None = None,
) -> pm.Model:
    """The model of `config`, ready to sample.

        mu, alpha, phi ~ config.hyperpriors()
        theta_i ~ Gamma(shape = mu * alpha, rate = alpha)
        y_ij ~ NegativeBinomial(mean = theta_i * exposure_ij, concentration = phi)   or   Poisson(theta_i * exposure_ij)

    Args:
        y: Counts, shape (n_obs,).
        entity_idx: Positions of the entities, shape (n_obs,), in 0 .. n_entities - 1.
        n_entities: Entities.
        config: Priors, likelihood, parameterisation.
        exposure: Length of each window in units of exposure, shape (n_obs,); 1 everywhere by default.
        entities: Labels of the entities, for the coordinate; 0, 1, ... by default.

    Returns:
        A model with coordinates `entity` and `obs`, data `entity_idx` and `exposure`, variables `mu`, `alpha`, `phi`
        (absent for a Poisson likelihood), `theta` (entity) and `y` (obs). With a prior of the shape, `shape` is a
        free variable and `mu` a deterministic one.

    Raises:
        DataError: naming the argument and the first position at fault.

    Example:
        >>> model = build_hierarchical_negbinom_model([3, 0, 4], [0, 0, 1], 2, ModelConfig())
        >>> [variable.name for variable in model.free_RVs]
        ['mu', 'alpha', 'phi', 'theta']
    """
    accept_missing_blas()
    data = check_observations(y, entity_idx, n_entities, exposure)
    labels = np.arange(data.n_entities) if entities is None else np.asarray(entities, dtype=str)
    if len(labels) != data.n_entities or len(set(labels.tolist())) != data.n_entities:
        raise DataError(
            "not one label per entity", field="entities", expected=f"{data.n_entities} distinct labels", got=len(labels)
        )
    with pm.Model(coords={ENTITY: labels, OBS: np.arange(len(data.y))}) as model:
        which = pm.Data(ENTITY_IDX, data.entity_idx, dims=OBS)
        lengths = pm.Data(EXPOSURE, data.exposure, dims=OBS)
        # all before the rates, so that the order of variables is the order of the formulas
        drawn = {name: pymc_variable(prior, name) for name, prior in config.hyperpriors().items()}
        alpha, phi = drawn[ALPHA], drawn.get(PHI)
        if SHAPE in drawn:
            shape = drawn[SHAPE]
            mu = pm.Deterministic(MU, shape / alpha)
        else:
            mu = drawn[MU]
            shape = mu * alpha
        match config.parameterization:
            case "centered":
                theta = pm.Gamma(THETA, alpha=shape, beta=alpha, dims=ENTITY)
            case "noncentered":
                raw = pm.Gamma(THETA_RAW, alpha=shape, beta=1.0, dims=ENTITY)
                theta = pm.Deterministic(THETA, raw / alpha, dims=ENTITY)
            case "mean_scaled":
                raw = pm.Gamma(THETA_RAW, alpha=alpha, beta=alpha, dims=ENTITY)
                theta = pm.Deterministic(THETA, raw * mu, dims=ENTITY)
        mean = theta[which] * lengths
        if phi is None:
            pm.Poisson(Y, mu=mean, observed=data.y, dims=OBS)
        else:
            pm.NegativeBinomial(Y, mu=mean, alpha=phi, observed=data.y, dims=OBS)
    return model


def pymc_variable(prior: Hyperprior, name: str) -> Any:
    """A variable of the PyMC model that is open, with a hyperprior as its distribution."""
    match prior.name, prior.arguments:
        case "exponential", (rate,):
            return pm.Exponential(name, lam=rate)
        case "half_normal", (scale,):
            return pm.HalfNormal(name, sigma=scale)
        case "gamma", (shape, rate):
            return pm.Gamma(name, alpha=shape, beta=rate)
        case "log_normal", (location, scale):
            return pm.LogNormal(name, mu=location, sigma=scale)
        case "half_cauchy", (scale,):
            return pm.HalfCauchy(name, beta=scale)
        case "half_student_t", (df, scale):
            return pm.HalfStudentT(name, nu=df, sigma=scale)
        case "inverse_gamma", (shape, scale):
            return pm.InverseGamma(name, alpha=shape, beta=scale)
        case "uniform", (low, high):
            return pm.Uniform(name, lower=low, upper=high)
    raise NotImplementedError(prior.name)
