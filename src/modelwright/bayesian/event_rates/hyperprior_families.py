"""The distributions that hyperpriors may be: what is known of each by name.

All are distributions of a positive number x, with normalised densities:

    exponential(rate)              rate exp(-rate x)
    half_normal(scale)             sqrt(2/pi) / scale exp(-x^2 / (2 scale^2))
    gamma(shape, rate)             rate^shape / Gamma(shape) x^(shape - 1) exp(-rate x)
    log_normal(location, scale)    log x ~ Normal(location, scale)
    half_cauchy(scale)             2 / (pi scale (1 + (x/scale)^2))
    half_student_t(df, scale)      2 / (sqrt(df) B(df/2, 1/2) scale) (1 + (x/scale)^2 / df)^(-(df + 1)/2)
    inverse_gamma(shape, scale)    scale^shape / Gamma(shape) x^(-shape - 1) exp(-scale / x)
    uniform(low, high)             1 / (high - low) between low and high, nothing outside

Half-Cauchy and half-Student-t priors of scales: Gelman 2006, https://doi.org/10.1214/06-BA117A.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

_LOG_2 = math.log(2.0)


@dataclass(frozen=True)
class Family:
    """What is known of a distribution by name; functions take its arguments last."""

    arguments: tuple[str, ...]
    log_density: Callable[..., Any]  # (array namespace, x, log x, *arguments)
    draw: Callable[..., np.ndarray]  # (generator, size, *arguments)
    quantile: Callable[..., float]  # (p, *arguments)
    mean: Callable[..., float]


def _log_student(xp: Any, _: Any, log_x: Any, df: float, scale: float) -> Any:
    # log(2 / (sqrt(df) B(df/2, 1/2) scale)): the difference of two log Gammas would lose digits at many degrees
    constant = _LOG_2 - float(special.betaln(0.5 * df, 0.5)) - 0.5 * math.log(df) - math.log(scale)
    return constant - 0.5 * (df + 1.0) * xp.logaddexp(0.0, 2.0 * (log_x - math.log(scale)) - math.log(df))


def _student_mean(df: float, scale: float) -> float:
    if df <= 1.0:
        return math.inf
    return 2.0 * scale * math.sqrt(df) / (math.exp(special.betaln(0.5 * df, 0.5)) * (df - 1.0))


FAMILIES: dict[str, Family] = {
    "exponential": Family(
        ("rate",),
        lambda xp, x, log_x, rate: math.log(rate) - rate * x,
        lambda generator, size, rate: generator.exponential(1.0 / rate, size),
        lambda p, rate: -math.log1p(-p) / rate,
        lambda rate: 1.0 / rate,
    ),
    "half_normal": Family(
        ("scale",),
        lambda xp, x, log_x, scale: 0.5 * math.log(2.0 / math.pi) - math.log(scale) - 0.5 * (x / scale) ** 2,
        lambda generator, size, scale: np.abs(generator.normal(0.0, scale, size)),
        lambda p, scale: scale * math.sqrt(2.0) * special.erfinv(p),
        lambda scale: scale * math.sqrt(2.0 / math.pi),
    ),
    "gamma": Family(
        ("shape", "rate"),
        lambda xp, x, log_x, shape, rate: (
            shape * math.log(rate) - math.lgamma(shape) + (shape - 1.0) * log_x - rate * x
        ),
        lambda generator, size, shape, rate: generator.standard_gamma(shape, size) / rate,
        lambda p, shape, rate: special.gammaincinv(shape, p) / rate,
        lambda shape, rate: shape / rate,
    ),
    "log_normal": Family(
        ("location", "scale"),
        lambda xp, x, log_x, location, scale: (
            -0.5 * math.log(2.0 * math.pi) - math.log(scale) - log_x - 0.5 * ((log_x - location) / scale) ** 2
        ),
        lambda generator, size, location, scale: np.exp(generator.normal(location, scale, size)),
        lambda p, location, scale: np.exp(location + scale * special.ndtri(p)),
        lambda location, scale: np.exp(location + 0.5 * scale**2),
    ),
    "half_cauchy": Family(
        ("scale",),
        lambda xp, x, log_x, scale: _log_student(xp, x, log_x, 1.0, scale),
        lambda generator, size, scale: scale * np.abs(generator.standard_cauchy(size)),
        lambda p, scale: scale * math.tan(0.5 * math.pi * p),
        lambda scale: math.inf,
    ),
    "half_student_t": Family(
        ("df", "scale"),
        _log_student,
        lambda generator, size, df, scale: scale * np.abs(generator.standard_t(df, size)),
        lambda p, df, scale: scale * special.stdtrit(df, 0.5 + 0.5 * p),
        _student_mean,
    ),
    "inverse_gamma": Family(
        ("shape", "scale"),
        lambda xp, x, log_x, shape, scale: (
            shape * math.log(scale) - math.lgamma(shape) - (shape + 1.0) * log_x - scale / x
        ),
        lambda generator, size, shape, scale: scale / generator.standard_gamma(shape, size),
        lambda p, shape, scale: scale / special.gammainccinv(shape, p),
        lambda shape, scale: scale / (shape - 1.0) if shape > 1.0 else math.inf,
    ),
    "uniform": Family(
        ("low", "high"),
        lambda xp, x, log_x, low, high: 0.0 * x - math.log(high - low),
        lambda generator, size, low, high: generator.uniform(low, high, size),
        lambda p, low, high: low + p * (high - low),
        lambda low, high: 0.5 * (low + high),
    ),
}
"""By name, in the order in which they are listed."""
