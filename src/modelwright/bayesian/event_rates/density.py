"""Negative-binomial and Poisson densities and tails that keep their digits from tiny to huge concentrations.

The textbook form subtracts log-gamma functions of size phi*log(phi) from each other and loses every digit near the
Poisson limit. Loader's form is a sum of small, one-signed terms instead, and its limit phi -> infinity *is* the
Poisson density, so one function serves both: an infinite concentration means Poisson.
"""

import numpy as np
from scipy import special

_STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
_SERIES_FROM = 16.0
"""Above this the Stirling series above is exact to double precision (its first neglected term is below 2e-18)."""


def negative_binomial_logpmf(count: np.ndarray, mean: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    """Log probability of counts under a negative binomial of given mean and concentration, in nats.

        variance = mean + mean^2 / concentration;   concentration = inf is the Poisson distribution

    Computed with c = concentration, n = c + count, g(t) = t - 1 - log t and the Stirling error
    S(t) = log t! - log(sqrt(2 pi t) (t/e)^t) as

        -c g(n/(c+mean)) - count g(n mean / (count (c+mean))) + S(n) - S(c) - S(count) - log(2 pi count n/c)/2

    for positive counts, and -c log(1 + mean/c) for a count of zero.

    Args:
        count: Whole numbers from 0, any shape.
        mean: Expected count, positive, broadcastable with `count`.
        concentration: Positive, infinity allowed, broadcastable with `count`.

    Returns:
        Array of the broadcast shape.

    Source:
        C. Loader (2000), Fast and accurate computation of binomial probabilities,
        https://www.r-project.org/doc/reports/CLoader-dbinom-2002.pdf (the binomial; the same steps here).

    Example:
        >>> round(float(np.exp(negative_binomial_logpmf(2, 3.0, 1.0))), 12)  # geometric: (1/4) (3/4)^2
        0.140625
        >>> bool(np.isclose(negative_binomial_logpmf(2, 3.0, np.inf), np.log(3.0**2 / 2) - 3.0))
        True
    """
    count, mean, concentration = np.broadcast_arrays(
        np.asarray(count, float), np.asarray(mean, float), np.asarray(concentration, float)
    )
    inverse = 1.0 / concentration
    positive = np.maximum(count, 1.0)  # the branch for zero is taken below
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        scale = 1.0 + mean * inverse  # (c + mean) / c; n/c is 1 + positive * inverse
        first = _excess((positive - mean) * inverse / scale, (1.0 + positive * inverse) / scale)
        first = np.where(inverse > 0, first, 0.0) * np.where(inverse > 0, concentration, 0.0)
        second = positive * _excess(
            (mean - positive) / (positive * scale), mean / positive * (1.0 + positive * inverse) / scale
        )
        total = -first - second - stirling_error(positive) - 0.5 * np.log(2 * np.pi * positive)
        total -= 0.5 * np.log1p(positive * inverse)
        total += stirling_error(positive + concentration) - stirling_error(concentration)
        zero = -log1p_ratio(mean, inverse)
    return np.where(count == 0, zero, total)


def upper_tail(count: np.ndarray, mean: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    """P(Y >= count), itself included, with full relative precision down to the smallest doubles.

    Args and shapes as in `negative_binomial_logpmf`.

    Example:
        >>> float(upper_tail(1, 3.0, 1.0))
        0.75
    """
    count, mean, concentration = (np.asarray(part, float) for part in (count, mean, concentration))
    at_least_one = np.maximum(count, 1.0)
    if np.all(np.isinf(concentration)):
        tail = special.gammainc(at_least_one, mean)
    else:
        share = mean / (mean + concentration)
        tail = np.where(
            np.isinf(concentration),
            special.gammainc(at_least_one, mean),
            special.betainc(at_least_one, np.where(np.isinf(concentration), 1.0, concentration), share),
        )
    return np.where(count <= 0, 1.0, tail)


def lower_tail(count: np.ndarray, mean: np.ndarray, concentration: np.ndarray) -> np.ndarray:
    """P(Y <= count), itself included; args and shapes as in `negative_binomial_logpmf`.

    Example:
        >>> float(lower_tail(0, 3.0, 1.0))
        0.25
    """
    count, mean, concentration = (np.asarray(part, float) for part in (count, mean, concentration))
    more = np.maximum(count, -1.0) + 1.0
    above_zero = np.maximum(more, 1.0)
    if np.all(np.isinf(concentration)):
        tail = special.gammaincc(above_zero, mean)
    else:
        share = mean / (mean + concentration)
        tail = np.where(
            np.isinf(concentration),
            special.gammaincc(above_zero, mean),
            special.betaincc(above_zero, np.where(np.isinf(concentration), 1.0, concentration), share),
        )
    return np.where(more <= 0, 0.0, tail)


def stirling_error(x: np.ndarray) -> np.ndarray:
    """S(x) = log Gamma(x+1) - (x + 1/2) log x + x - log(2 pi)/2 for x > 0; zero at infinity.

    Example:
        >>> round(float(stirling_error(1.0)), 12)
        0.081061466795
    """
    x = np.asarray(x, float)
    large = np.maximum(x, _SERIES_FROM)
    square = 1.0 / (large * large)
    series = np.zeros_like(large)
    for coefficient in reversed(_STIRLING):
        series = series * square + coefficient
    series = series / large
    small = np.minimum(x, _SERIES_FROM)
    direct = special.gammaln(small + 1.0) - (small + 0.5) * np.log(small) + small - 0.5 * np.log(2 * np.pi)
    return np.where(x >= _SERIES_FROM, series, direct)


def log1p_ratio(mean: np.ndarray, inverse: np.ndarray) -> np.ndarray:
    """log(1 + mean*inverse) / inverse, which is `mean` where inverse (one over the concentration) is zero.

    Example:
        >>> float(log1p_ratio(3.0, 0.0))
        3.0
    """
    mean, inverse = np.asarray(mean, float), np.asarray(inverse, float)
    safe = np.where(inverse > 0, inverse, 1.0)
    return np.where(inverse > 0, np.log1p(mean * inverse) / safe, mean)


def log1p_rise(mean: np.ndarray, u: np.ndarray, inverse: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """log((1 + mean e^u inverse) / (1 + mean inverse)) / inverse: what `log1p_ratio` rises by when log mean does by u.

    Args:
        mean: Means.
        u: Differences in log mean; all arguments broadcast.
        inverse: One over the concentration.
        growth: exp(u) - 1, which who calls has at hand.

    Example:
        >>> u = np.array([-60.0])  # from a mean of 1e20 to one of 1e-6: nothing is left
        >>> float(log1p_rise(np.array([1e20]), u, np.ones(1), np.expm1(u))[0].round(4))
        -46.0517
    """
    change = mean * growth / (1.0 + mean * inverse)
    far = change * inverse < -0.5
    rises = log1p_ratio(np.where(far, 0.0, change), inverse)
    if far.any():  # 1 - 1 would be left of so large a fall
        falls = np.log1p(mean * np.exp(u) * inverse) - np.log1p(mean * inverse)
        rises = np.where(far, falls / np.where(inverse > 0, inverse, 1.0), rises)
    return rises


def _excess(t: np.ndarray, one_plus_t: np.ndarray) -> np.ndarray:
    """T - log(1 + t) without cancellation near zero, where it is t^2/2, nor near -1, where 1 + t has the digits."""
    v = t / (2.0 + t)
    square = v * v
    series = np.zeros_like(t)
    for odd in range(23, 1, -2):  # the next term is below 1e-20 of the sum for |t| < 0.3
        series = series * square + 1.0 / odd
    near = t * v - 2.0 * v * square * series
    return np.where(np.abs(t) < 0.3, near, t - np.log(one_plus_t))
