"""Where the chains start: near the posterior's bulk, found by moments and a two-dimensional search.

Rates are estimated entity by entity, the population's parameters as the mode given these rates, in turns. This costs
milliseconds and spares the warm-up the way from one event per window to a million.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize
from scipy.special import gammaln

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.hyperpriors import Hyperprior
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE, THETA, THETA_RAW
from modelwright.bayesian.event_rates.observations import CompressedCounts

_ROUNDS = 3
_LOG_BOUNDS = (-18.0, 18.0)
"""Search range of the logarithms: a millionth of a percent to 66 million events per unit."""


@dataclass(frozen=True)
class Start:
    """A starting point.

    Args:
        values: Variable -> value, on its own scale.
        scales: Variable -> rough posterior standard deviation of its logarithm.
    """

    values: dict[str, np.ndarray]
    scales: dict[str, np.ndarray]


def starting_point(counts: CompressedCounts, config: ModelConfig) -> Start:
    """A point near the bulk of the posterior, for the variables that `config.parameterization` samples.

    Example:
        >>> from modelwright.bayesian.event_rates.observations import check_observations, compress
        >>> data = compress(check_observations([4, 6, 90, 110], [0, 0, 1, 1], 2))
        >>> start = starting_point(data, ModelConfig(likelihood="poisson"))
        >>> bool(80 < start.values["theta"][1] < 120)
        True
    """
    n = counts.n_entities
    total = np.bincount(counts.entity, weights=counts.total, minlength=n)
    exposed = np.bincount(counts.entity, weights=counts.windows * counts.exposure, minlength=n)
    windows = np.bincount(counts.entity, weights=counts.windows, minlength=n)
    pooled = (total.sum() + 0.5) / exposed.sum()
    theta = (total + 0.5) / (exposed + 0.5 / pooled)
    phi, worth = 1.0, np.ones(n)
    for _ in range(_ROUNDS):
        if config.likelihood == "negative_binomial":
            phi = _concentration(counts, theta, config)
            # a negative binomial window tells as much of its rate as a Poisson window that is shorter by this factor
            worth = 1.0 / (1.0 + theta * exposed / np.maximum(windows, 1.0) / phi)
        mu, alpha = _population(worth * total, worth * exposed, config)
        shape, rate = _gamma(mu, alpha, config)
        theta = np.maximum((worth * total + shape) / (worth * exposed + rate), 1e-12)
    spread = 1.0 / np.sqrt(worth * total + shape + 1e-2)
    level = {SHAPE: np.asarray(shape)} if SHAPE in config.hyperpriors() else {MU: np.asarray(mu)}
    values: dict[str, np.ndarray] = {**level, ALPHA: np.asarray(alpha)}
    many = np.asarray(1.0 / np.sqrt(n + 1.0))
    scales: dict[str, np.ndarray] = dict.fromkeys(values, many)
    if config.likelihood == "negative_binomial":
        values[PHI] = np.asarray(phi)
        scales[PHI] = np.asarray(1.0 / np.sqrt(windows.sum() + 1.0))
    match config.parameterization:
        case "centered":
            values[THETA], scales[THETA] = theta, spread
        case "noncentered":
            values[THETA_RAW], scales[THETA_RAW] = theta * alpha, spread
        case "mean_scaled":
            values[THETA_RAW], scales[THETA_RAW] = theta / mu, spread
    return Start(values, scales)


def _population(total: np.ndarray, exposed: np.ndarray, config: ModelConfig) -> tuple[float, float]:
    """Mode of (log mu, log alpha) with the rates integrated out: Gamma rates make Poisson sums negative binomial.

    Searched in the logarithms of the two parameters that have priors, (mu, alpha) or (shape, alpha): a shift of one by
    the other, so that the same point is the mode.
    """
    (level, of_level), (_, of_alpha) = list(config.hyperpriors().items())[:2]
    # entities with the same sums share a term; as complex numbers pairs are sorted in one go
    pairs, times = np.unique(total + 1j * exposed, return_counts=True)
    n, total, exposed = len(total), pairs.real, pairs.imag
    bounds = np.array([_log_bounds(of_level), _log_bounds(of_alpha)])

    def hyperparameters(point: np.ndarray) -> tuple[float, float]:
        first, alpha = np.exp(point)
        return (first / alpha, alpha) if level == SHAPE else (first, alpha)

    def negative(point: np.ndarray) -> float:
        shape, rate = _gamma(*hyperparameters(point), config)
        each = gammaln(total + shape) - (total + shape) * np.log(rate + exposed)
        marginal = float(times @ each) + n * (shape * np.log(rate) - gammaln(shape))
        first, alpha = np.exp(point)
        prior = of_level.log_density(first) + of_alpha.log_density(alpha) + point.sum()
        return -float(marginal + prior)

    theta = (total + 0.5) / (exposed + 0.5)
    mean = float(times @ theta) / n
    variance = float(times @ (theta - mean) ** 2) / n
    first = np.clip(np.log([mean, mean / max(variance, 1e-6)]), -15.0, 15.0)
    if level == SHAPE:
        first[0] = np.clip(first.sum(), -15.0, 15.0)
    first = np.clip(first, *bounds.T)
    found = optimize.minimize(negative, first, method="Nelder-Mead", bounds=bounds)
    mu, alpha = hyperparameters(found.x)
    return float(mu), float(alpha)


def _log_bounds(prior: Hyperprior) -> tuple[float, float]:
    """Where the logarithm of a parameter is searched: inside of the prior, and off its edges, where there are any."""
    low, high = prior.support
    if not math.isfinite(high):
        return _LOG_BOUNDS
    edge = low + 1e-4 * min(low, high - low) if low > 0.0 else min(math.exp(_LOG_BOUNDS[0]), 1e-4 * high)
    return math.log(edge), math.log(high - 1e-4 * (high - low))


def _gamma(mu: float, alpha: float, config: ModelConfig) -> tuple[float, float]:
    """Shape and rate of the population's Gamma distribution."""
    return (alpha, alpha / mu) if config.parameterization == "mean_scaled" else (mu * alpha, alpha)


def _concentration(counts: CompressedCounts, theta: np.ndarray, config: ModelConfig) -> float:
    """Mode of log phi given the rates."""
    mean = theta[counts.entity] * counts.exposure
    prior = config.hyperpriors()[PHI]

    def negative(log_phi: float) -> float:
        phi = np.exp(log_phi)
        rates = -np.sum((counts.total + counts.windows * phi) * np.log1p(mean / phi))
        rising = np.sum(counts.times * (gammaln(counts.count + phi) - gammaln(phi) - counts.count * log_phi))
        return -float(rates + rising + prior.log_density(phi) + log_phi)

    low, high = _log_bounds(prior)
    bounds = (max(low, -12.0), min(high, 12.0)) if low < 12.0 and high > -12.0 else (low, high)
    found = optimize.minimize_scalar(negative, bounds=bounds, method="bounded")
    return float(np.exp(found.x))
