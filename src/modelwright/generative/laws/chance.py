"""What chance allows: how far draws may be from what they are drawn from before a law does not hold."""

import math
from collections.abc import Iterable

import numpy as np
from scipy import special, stats

from modelwright.generative.laws.law import Measured

CHANCE = 1e-5
"""How often a sound model fails a check of this file, at most."""

FEWEST, MOST = 64, 4096
"""Examples drawn, at least and at most at once."""

MOST_SYMBOLS, MOST_LOGITS = 2**16, 2**20
"""Symbols and logits at once, beyond which examples are fewer: each symbol may be a pass of a network."""

_SIGNS, _RANDOM = 4, 16
_LOWEST = -10.0
"""Log probabilities are scored down to this, so that a rare symbol's is bounded."""


def at_once(length: int, levels: int) -> int:
    """Examples of so many symbols, each one of so many levels, to draw at once."""
    return int(np.clip(min(MOST_SYMBOLS // length, MOST_LOGITS // (length * levels)), 1, MOST))


def beyond_chance(batches: Iterable[tuple[np.ndarray, np.ndarray]], seed: int) -> Measured:
    """Whether symbols are drawn from the distributions of their logits, each given those before it.

    Scores of the symbols of a place that are known before one is drawn there: the score of the drawn symbol is on
    average their mean under its distribution, whatever came before. Scored are the log probabilities themselves, the
    places added as they are and with random signs, which sees symbols in wrong places; and random numbers of each place
    and symbol. The sum over places and examples of the differences stays, but for about one case in 100,000, within

        b L / 3 + sqrt((b L / 3)^2 + 2 L v),   L = log(2 sums / 0.00001),

    v the sum of the variances (found on the way, where the inequality has a number known before: hence "about") and b
    the range of the scores. It needs no enumeration and holds for rare symbols, too, which standard errors from the
    draws do not. The figure is the largest sum as a share of this.

    Args:
        batches: Symbols, shape (n, d), and their logits, shape (n, d, levels).
        seed: Of the random scores.

    Source: D. Freedman (1975), https://doi.org/10.1214/aop/1176996452.
    """
    generator = np.random.default_rng(seed)
    signs = scores = None
    sums = variances = np.zeros(1 + _SIGNS + _RANDOM)
    for symbols, logits in batches:
        log_p = special.log_softmax(logits.astype(np.float64), axis=-1)
        if signs is None or scores is None:
            signs = generator.choice([-1.0, 1.0], (1 + _SIGNS, log_p.shape[1]))
            signs[0] = 1.0
            scores = generator.uniform(-1.0, 1.0, (_RANDOM, *log_p.shape[1:]))
        p = np.exp(log_p)
        apart, variance = _of_scores(np.maximum(log_p, _LOWEST), p, symbols)
        found = [apart.sum(0) @ signs.T]
        of_each = [np.full(1 + _SIGNS, variance.sum())]
        for own in scores:
            apart, variance = _of_scores(np.broadcast_to(own, p.shape), p, symbols)
            found.append(np.array([apart.sum()]))
            of_each.append(np.array([variance.sum()]))
        sums = sums + np.concatenate(found)
        variances = variances + np.concatenate(of_each)
    share = math.log(2.0 * len(sums) / CHANCE)
    ranges = np.repeat([-_LOWEST, 2.0], [1 + _SIGNS, _RANDOM]) * share / 3.0
    most = ranges + np.sqrt(np.square(ranges) + 2.0 * share * variances)
    figure = float(np.max(np.abs(sums) / most))
    return Measured(figure, 1.0, "distance of draws from their logits, as a share of what chance allows:")


def _of_scores(scores: np.ndarray, p: np.ndarray, symbols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Score of each symbol less the mean score, and the variance of the score."""
    mean = (p * scores).sum(-1)
    apart = np.take_along_axis(scores, symbols[..., None].astype(np.int64), axis=-1)[..., 0] - mean
    return apart, np.maximum((p * np.square(scores)).sum(-1) - np.square(mean), 0.0)


def distribution_apart(one: np.ndarray, two: np.ndarray, *, seed: int) -> tuple[float, float]:
    """How far two sets of examples differ, by Kolmogorov and Smirnov, and what chance exceeds in one of 100,000 cases.

    Args:
        one: Examples, shape (n, numbers).
        two: Examples, shape (m, numbers).
        seed: Of the random signs with which the numbers are added.
    """
    pooled = np.concatenate([one, two])
    spread = pooled.std(0)
    pooled = (pooled - pooled.mean(0)) / np.where(spread > 0.0, spread, 1.0)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (pooled.shape[1], _SIGNS))
    seen = np.concatenate([pooled @ signs, np.square(pooled).sum(-1, keepdims=True)], axis=1)
    if not np.isfinite(seen).all():
        return float("inf"), 0.0
    figures = [stats.ks_2samp(*np.split(each, [len(one)]), method="asymp").statistic for each in seen.T]
    share = CHANCE / len(figures)
    return float(max(figures)), math.sqrt(-0.5 * math.log(share / 2.0) * (len(one) + len(two)) / (len(one) * len(two)))


def beside_normal(latents: np.ndarray, *, seed: int) -> tuple[float, float]:
    """How far vectors are from independent standard normal numbers, likewise: one random direction, and their length.

    Args:
        latents: Shape (n, numbers).
        seed: Of the direction.
    """
    direction = np.random.default_rng(seed).standard_normal(latents.shape[1])
    if not np.isfinite(latents).all():
        return float("inf"), 0.0
    along = stats.kstest(latents @ direction / np.linalg.norm(direction), stats.norm.cdf).statistic
    length = stats.kstest(np.square(latents).sum(-1), stats.chi2(latents.shape[1]).cdf).statistic
    return float(max(along, length)), math.sqrt(-0.5 * math.log(CHANCE / 4.0) / len(latents))
