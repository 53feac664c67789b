"""Where the chains of an extended model start: at the base model's starting point, with no effect of any extension.

Effects start at zero, a drift and deviations small, so that what they explain is at first the concentration's. With
zero inflation the base model's start is taken from the windows with events, or else the concentration would explain
the empty ones and the chains would start in a mode of their own.
"""

from dataclasses import replace

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import Design
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.names import ALPHA, MU, SHAPE, THETA, THETA_RAW
from modelwright.bayesian.event_rates.observations import Observations, compress
from modelwright.bayesian.event_rates.start import Start, starting_point

_RHO, _TAU, _DRIFT_SCALE = 0.5, 0.3, 0.2


def extended_start(design: Design, config: ModelConfig, extensions: Extensions) -> Start:
    """A point from which the chains of an extended model find the bulk of the posterior.

    Returns:
        Values of every sampled variable on its own scale, and rough scales on the unconstrained one.
    """
    seen = design.observations
    values: dict[str, np.ndarray] = {}
    scales: dict[str, np.ndarray] = {}
    if extensions.has(names.ZERO_INFLATION):
        at = design.eventful if len(design.eventful) else np.arange(len(seen.y))
        used = Observations(seen.y[at], seen.entity_idx[at], seen.n_entities, seen.exposure[at])
        base = starting_point(compress(used), config)
        share = (len(design.eventful) + 1.0) / (len(seen.y) + 2.0)
        values[names.PSI], scales[names.PSI] = np.asarray(share), np.asarray(0.1)
    else:
        base = starting_point(design.counts, config)
    if extensions.has(names.VOLUMES):
        base = _log_normal_start(design, config, extensions, base)
    values, scales = {**base.values, **values}, {**base.scales, **scales}
    for raw, level in ((names.BETA_RAW, design.entity_level), (names.GAMMA_RAW, design.window_level)):
        if level is not None:
            values[raw] = np.zeros(level.contrasts.shape[1])
            scales[raw] = np.asarray(min(0.1, extensions.coefficient_prior_sd))
    if design.drift is not None:
        values |= {names.DRIFT_SCALE: np.asarray(_DRIFT_SCALE), names.DRIFT_RAW: np.zeros(len(design.drift.labels) - 1)}
        spread = np.sqrt(1.0 - design.centring) * _DRIFT_SCALE**design.centring  # share the data leave uncertain
        scales |= {names.DRIFT_SCALE: np.asarray(0.3), names.DRIFT_RAW: spread}
    if design.steps is not None:
        values |= {
            names.RHO: np.asarray(_RHO),
            names.TAU: np.asarray(_TAU),
            names.DEVIATION_RAW: np.zeros(design.n_obs),
        }
        scales |= {names.RHO: np.asarray(0.3), names.TAU: np.asarray(0.3), names.DEVIATION_RAW: np.asarray(0.8)}
    return Start(values, scales)


def _log_normal_start(design: Design, config: ModelConfig, extensions: Extensions, base: Start) -> Start:
    """Moments of the entities' log rates and log volumes per event."""
    theta = base.values[THETA] if THETA in base.values else _rates(config, base)
    spread = next(base.scales[name] for name in (THETA, THETA_RAW) if name in base.scales)
    log_theta = np.log(theta)
    seen = design.volumes
    assert seen is not None
    times, n = seen.times, float(seen.times.sum())
    nu = (times * seen.mean + float(times @ seen.mean) / n) / (times + 1.0)  # without events, the mean of all
    sigma = max(float(np.sqrt(seen.squares / n)), 0.05)
    rate_sd, volume_sd = max(float(log_theta.std()), 0.1), max(float(nu.std()), 0.1)
    location, volume_mean = float(log_theta.mean()), float(nu.mean())
    few = np.asarray(1.0 / np.sqrt(design.n_entities + 1.0))
    values = {
        MU: np.asarray(np.exp(location)),
        names.RATE_SD: np.asarray(rate_sd),
        names.VOLUME_MEAN: np.asarray(volume_mean),
        names.VOLUME_SD: np.asarray(volume_sd),
        names.SIGMA: np.asarray(sigma),
        names.CORRELATION_RAW: np.asarray(0.5),
    }
    scales = dict.fromkeys(values, few) | {names.VOLUME_MEAN: few * volume_sd, names.CORRELATION_RAW: 2.0 * few}
    of_volume = sigma / np.sqrt(times + 1.0)
    if config.parameterization == "centered":
        values |= {names.LOG_THETA: log_theta, names.NU: nu}
        scales |= {names.LOG_THETA: spread, names.NU: of_volume}
    else:
        values |= {
            names.THETA_STANDARD: (log_theta - location) / rate_sd,
            names.NU_STANDARD: (nu - volume_mean) / volume_sd,
        }
        scales |= {names.THETA_STANDARD: spread / rate_sd, names.NU_STANDARD: of_volume / volume_sd}
    kept = {name for name in base.values if name not in (MU, ALPHA, SHAPE, THETA, THETA_RAW)}
    return replace(
        base,
        values=values | {name: base.values[name] for name in kept},
        scales=scales | {name: base.scales[name] for name in kept},
    )


def _rates(config: ModelConfig, base: Start) -> np.ndarray:
    """Rates of a noncentered starting point."""
    return base.values[THETA_RAW] / base.values[ALPHA]
