"""Predictive distributions of single windows under an extended model.

Draw by draw a window's count is negative binomial (or Poisson) with mean exp(eta), eta known or, where a deviation or a
drift was not sampled, Normal(m, s); with zero inflation it is zero with probability 1 - psi besides. Over the draws
that is a mixture, with weights where draws count differently.

The integral over eta is taken by Gauss and Hermite's rule around the peak of the integrand, so that it is right far
out in the tails too, where anomalies are.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from modelwright.bayesian.event_rates.count_mixture import Nodes, Prediction, predict
from modelwright.bayesian.event_rates.density import negative_binomial_logpmf

_ROUNDS = 12
_POINTS, _WEIGHTS = np.polynomial.hermite_e.hermegauss(17)
_LOG_WEIGHTS = np.log(_WEIGHTS) + 0.5 * _POINTS**2  # of an integral of f itself, not of f times exp(-x^2/2)
_FEW_POINTS, _FEW_WEIGHTS = np.polynomial.hermite_e.hermegauss(7)
_MOST_NODES = 8000
_LARGEST_LOG_MEAN = 43.0  # e^43 is what an int64 holds


@dataclass(frozen=True, eq=False)
class Components:
    """The components of one window's predictive distribution, each array (n_components,).

    Args:
        log_mean: Mean of eta.
        spread: Standard deviation of eta, 0 where it is known.
        phi: Concentration, infinite for Poisson counts.
        psi: Probability of being active, 1 without zero inflation.
        weight: Weights, summing to 1.
    """

    log_mean: np.ndarray
    spread: np.ndarray
    phi: np.ndarray
    psi: np.ndarray
    weight: np.ndarray


def log_densities(
    count: np.ndarray, log_mean: np.ndarray, spread: np.ndarray, phi: np.ndarray, psi: np.ndarray
) -> np.ndarray:
    """Log probability of counts under each component, in nats; all arguments broadcast.

    Args:
        count: Whole numbers from 0.
        log_mean: Mean of eta.
        spread: Its standard deviation.
        phi: Concentration, infinite for Poisson counts.
        psi: Probability of being active.

    Example:
        >>> one = np.ones(1)
        >>> log_densities(np.zeros(1), np.log(3 * one), 0 * one, one, one).round(6).tolist()  # 1 / (1 + 3)
        [-1.386294]
    """
    count, log_mean, spread, phi, psi = np.broadcast_arrays(count, log_mean, spread, phi, psi)
    log_mean = np.minimum(log_mean, _LARGEST_LOG_MEAN)
    active = np.empty(log_mean.shape)
    known = spread <= 0
    active[known] = negative_binomial_logpmf(count[known], np.exp(log_mean[known]), phi[known])
    if not known.all():
        rest = ~known
        active[rest] = _integrated(count[rest].astype(float), log_mean[rest], spread[rest], phi[rest])
    with np.errstate(divide="ignore"):  # psi = 1
        return np.where(
            count > 0, np.log(psi) + active, np.logaddexp(np.log1p(-psi), np.log(psi) + np.where(count > 0, 0, active))
        )


def _integrated(count: np.ndarray, log_mean: np.ndarray, spread: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """Log of the integral of NB(count; e^eta, phi) Normal(eta; log_mean, spread), all arrays (n,)."""
    inverse, precision = 1.0 / phi, 1.0 / spread**2
    # The peak lies between the mean of eta and log count; without events, where the slope of the likelihood, which is
    # never below -min(e^eta, phi), is balanced.
    observed = np.log(np.maximum(count, 0.5))
    low = np.where(count > 0, np.minimum(log_mean, observed), log_mean - np.minimum(np.exp(log_mean), phi) / precision)
    high = np.where(count > 0, np.maximum(log_mean, observed), log_mean)
    eta = high
    for _ in range(_ROUNDS):
        mean = np.exp(np.minimum(eta, _LARGEST_LOG_MEAN))
        ratio = 1.0 + mean * inverse
        slope = (count - mean) / ratio - (eta - log_mean) * precision
        bend = (1.0 + count * inverse) * mean / ratio**2 + precision
        low, high = np.where(slope >= 0, eta, low), np.where(slope < 0, eta, high)
        step, slack = eta + slope / bend, 0.1 / np.sqrt(bend)
        inside = (step > low - slack) & (step < high + slack)
        eta = np.where(inside, np.clip(step, low, high), 0.5 * (low + high))
    mean = np.exp(np.minimum(eta, _LARGEST_LOG_MEAN))
    width = 1.0 / np.sqrt((1.0 + count * inverse) * mean / (1.0 + mean * inverse) ** 2 + precision)
    points = eta[:, None] + width[:, None] * _POINTS
    each = negative_binomial_logpmf(count[:, None], np.exp(np.minimum(points, _LARGEST_LOG_MEAN)), phi[:, None])
    each += _LOG_WEIGHTS - 0.5 * precision[:, None] * (points - log_mean[:, None]) ** 2
    return special.logsumexp(each, axis=1) + np.log(width / spread) - 0.5 * np.log(2.0 * np.pi)


def summarise(count: float, parts: Components, probability: float) -> Prediction:
    """What to expect of a window's count, and the tails at the count that was observed; arrays of length 1."""
    log_mean, weight, phi, psi = parts.log_mean, parts.weight, parts.phi, parts.psi
    if (parts.spread > 0).any():
        if len(log_mean) * len(_FEW_POINTS) <= _MOST_NODES:
            share = _FEW_WEIGHTS / _FEW_WEIGHTS.sum()
            log_mean = (log_mean[:, None] + parts.spread[:, None] * _FEW_POINTS).ravel()
            weight = (weight[:, None] * share).ravel()
            phi, psi = np.repeat(phi, len(share)), np.repeat(psi, len(share))
        else:
            log_mean = log_mean + parts.spread * stratified_normals(len(log_mean))
    mean = np.exp(np.minimum(log_mean, _LARGEST_LOG_MEAN))
    if (psi < 1).any():
        # what is not active is a component that has no events; as many of these as of the others, so that thinning
        # either thins both
        mean, phi = np.concatenate([mean, np.zeros(len(mean))]), np.concatenate([phi, np.ones(len(phi))])
        weight = np.concatenate([weight * psi, weight * (1.0 - psi)])
    return predict(Nodes(mean, phi), weight[None], np.array([count]), probability)


def stratified_normals(n: int) -> np.ndarray:
    """Standard normal quantiles at (k + 1/2)/n in an order that has nothing to do with that of draws, shape (n,).

    Example:
        >>> bool(abs(stratified_normals(100).mean()) < 1e-12)
        True
    """
    order = np.random.default_rng(20240101).permutation(n)  # a constant of the method, the same for everyone
    return special.ndtri((order + 0.5) / n)
