"""Densities of rates and of sums of counts relative to their largest values, and these: no digits are lost at any size.

Every function is a difference that vanishes at the peak, computed as such, or a value at the peak, from Stirling's
series; that of ten million events is as exact as that of three.
"""

import numpy as np

from modelwright.bayesian.event_rates.density import stirling_error

POISSON = 1e-200
"""An inverse concentration below this is zero."""


def log_gamma_density(theta: np.ndarray, shape: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """Log density of x = log theta at theta, for theta of a Gamma distribution, without cancellation.

    Written as its largest value, log(shape / (2 pi))/2 - (Stirling's error of Gamma(shape)), less what theta is off.
    """
    largest = 0.5 * np.log(shape / (2.0 * np.pi)) - stirling_error(shape)
    off = rate * theta - shape
    return np.asarray(largest - off + shape * _log_ratio(off / shape, rate * theta / shape))


def deviance(total: np.ndarray, mean: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Log of NB(total | mean) over NB(total | mean = total), whose concentration is 1/inverse: zero or less."""
    off = mean - total
    safe = np.where(total > 0, total, 1.0)
    own = np.where(total > 0, total * _log_ratio(off / safe, mean / safe), 0.0)
    scale = inverse / (1.0 + total * inverse)
    poisson = scale < POISSON
    safe = np.where(poisson, 1.0, scale)
    of_all = _log_ratio(off * scale, (1.0 + mean * inverse) / (1.0 + total * inverse)) / safe
    return np.asarray(own - np.where(poisson, off, of_all))


def log_largest(total: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """Log of NB(total | mean = total), the largest value over its mean; the concentration is 1/inverse, or infinite."""
    some = np.where(total > 0, total, 1.0)
    with np.errstate(divide="ignore"):
        concentration = 1.0 / inverse
        own, of_all = _stirling(some), _stirling(some + concentration)
    found = of_all - _stirling(concentration) - own - 0.5 * np.log(2.0 * np.pi * some * (1.0 + some * inverse))
    return np.where(total > 0, found, 0.0)


def spread_loss(total: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """(S + c) log(1 + S/c) - S with c = 1/inverse: zero at c = infinity."""
    share = total * inverse
    rises = np.log1p(share)
    with np.errstate(divide="ignore", invalid="ignore"):
        remainder = np.where(share > 1e-8, (share - rises) / inverse, 0.5 * share * total)
    return np.asarray(total * rises - remainder)


def _stirling(x: np.ndarray) -> np.ndarray:
    """`density.stirling_error`, at the price of its series where nothing else is needed."""
    if x.min(initial=np.inf) < 16.0:
        return stirling_error(x)
    inverse = 1.0 / x
    square = inverse * inverse
    series = square * (1 / 1188 - square * (691 / 360360 - square / 156)) - 1 / 1680
    return np.asarray(inverse * (1 / 12 + square * (square * (1 / 1260 + square * series) - 1 / 360)))


def _log_ratio(excess: np.ndarray, ratio: np.ndarray) -> np.ndarray:
    """log(1 + excess), where ratio is 1 + excess with all its digits."""
    return np.where(np.abs(excess) < 0.5, np.log1p(np.maximum(excess, -0.5)), np.log(ratio))
