"""What to expect of a count whose distribution is a weighted mixture of negative binomials.

Whatever is integrated over (hyperparameter draws, points in the rate), a predictive distribution ends as nodes, each a
negative binomial with its mean and concentration, and weights. Several windows may weigh the same nodes differently;
then their tails and quantiles are one matrix product away from the nodes' probabilities.
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

from modelwright.bayesian.event_rates.density import log1p_ratio, lower_tail, negative_binomial_logpmf, upper_tail

LARGEST_TABLE = 2000
"""Counts tabulated one by one; beyond, interval ends are interpolated between points of the distribution function."""

_CHUNK = 32
_MOST_NODES = 1500
_GOLDEN = 0.5 * (np.sqrt(5.0) - 1.0)


@dataclass(frozen=True, eq=False)
class Nodes:
    """Negative binomials that predictive distributions are mixtures of, each array (n_nodes,)."""

    mean: np.ndarray
    concentration: np.ndarray


@dataclass(frozen=True, eq=False)
class Prediction:
    """Of each row: expected count, equal-tailed interval, median and the tails at the observed count, all (rows,).

    Args:
        expected: Mean of the predictive distribution.
        lower: Its (1 - probability)/2 quantile: the smallest count with at least that much probability up to it.
        median: Its 1/2 quantile.
        upper: Its (1 + probability)/2 quantile.
        upper_tail: P(Y >= count).
        lower_tail: P(Y <= count).
    """

    expected: np.ndarray
    lower: np.ndarray
    median: np.ndarray
    upper: np.ndarray
    upper_tail: np.ndarray
    lower_tail: np.ndarray


def predict(nodes: Nodes, weights: np.ndarray, count: np.ndarray, probability: float) -> Prediction:
    """Summarise mixtures of common nodes.

    Args:
        nodes: The negative binomials.
        weights: Shape (rows, n_nodes), each row summing to 1.
        count: Observed counts, shape (rows,).
        probability: Of the equal-tailed interval.

    Returns:
        A `Prediction` of arrays of shape (rows,).

    Example:
        >>> geometric = Nodes(np.array([3.0]), np.array([1.0]))
        >>> found = predict(geometric, np.ones((1, 1)), np.array([1]), 0.5)
        >>> [float(part[0].round(9)) for part in (found.lower, found.median, found.upper, found.upper_tail)]
        [0.0, 2.0, 4.0, 0.75]
    """
    levels = np.array([(1 - probability) / 2, 0.5, (1 + probability) / 2])
    expected = weights @ nodes.mean
    variance = weights @ (nodes.mean + nodes.mean**2 * (1 + 1 / nodes.concentration)) - expected**2
    spread = np.sqrt(np.maximum(variance, 1e-300))
    if (expected + 12 * spread).max() <= LARGEST_TABLE:
        used = weights.max(0) > 1e-10
        used_nodes = Nodes(nodes.mean[used], nodes.concentration[used])
        quantiles, before, now = _tabulated(used_nodes, weights[:, used], count, levels)
    else:
        nodes, weights = _thinned(nodes, weights)
        quantiles = interpolated_quantiles(nodes, weights, levels, expected, spread)
        before, now = np.full(len(count), np.nan), np.full(len(count), np.nan)
    upper, lower = 1.0 - before, now
    for row in np.flatnonzero(~(upper > 1e-5)):  # also where the table did not reach: NaN compares false
        # 1 - P(Y < count) has no digits left in the far tail: sum there node by node.
        used = weights[row] > 0
        weight, mean, concentration = weights[row, used], nodes.mean[used], nodes.concentration[used]
        upper[row] = weight @ upper_tail(count[row], mean, concentration)
        if np.isnan(lower[row]):
            lower[row] = 1.0 - weight @ upper_tail(count[row] + 1, mean, concentration)
            if lower[row] < 1e-5:
                lower[row] = weight @ lower_tail(count[row], mean, concentration)
    return Prediction(expected, *quantiles.T, np.clip(upper, 0.0, 1.0), np.clip(lower, 0.0, 1.0))


def probabilities(nodes: Nodes, start: int, stop: int) -> np.ndarray:
    """P(Y = k) for k from start to stop - 1 under every node, shape (stop - start, n_nodes).

    The first by its logarithm, the others by P(k+1) = P(k) (concentration + k)/(k + 1) * mean/(concentration + mean).

    Example:
        >>> probabilities(Nodes(np.array([1.0]), np.array([1.0])), 0, 3)[:, 0].round(9).tolist()
        [0.5, 0.25, 0.125]
    """
    found = np.empty((stop - start, len(nodes.mean)))
    inverse = 1.0 / nodes.concentration
    if start == 0:  # the same as below, several times faster
        found[0] = np.exp(-log1p_ratio(nodes.mean, inverse))
    else:
        found[0] = np.exp(negative_binomial_logpmf(start, nodes.mean, nodes.concentration))
    share = nodes.mean / (1.0 + nodes.mean * inverse)  # concentration * mean/(concentration + mean)
    more = share * inverse
    for row in range(1, stop - start):
        k = start + row - 1
        np.multiply(found[row - 1], (share + k * more) / (k + 1), out=found[row])
    return found


def _tabulated(
    nodes: Nodes, weights: np.ndarray, count: np.ndarray, levels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quantiles (rows, levels), P(Y < count) and P(Y <= count); NaN where the count lies beyond what was tabulated."""
    rows = len(weights)
    quantiles = np.full((rows, len(levels)), np.nan)
    before, now = np.full(rows, np.nan), np.full(rows, np.nan)
    reached, start = np.zeros(rows), 0
    while np.isnan(quantiles).any():
        stop = start + _CHUNK
        cumulative = reached[:, None] + np.cumsum(weights @ probabilities(nodes, start, stop).T, axis=1)
        here = np.flatnonzero((count >= start) & (count < stop))
        at = count[here].astype(int) - start
        now[here] = cumulative[here, at]
        before[here] = np.where(at > 0, cumulative[here, np.maximum(at - 1, 0)], reached[here])
        for column, level in enumerate(levels):
            found = np.isnan(quantiles[:, column]) & (cumulative[:, -1] >= level)
            quantiles[found, column] = start + np.argmax(cumulative[found] >= level, axis=1)
        reached, start = cumulative[:, -1], stop
        if start > 50 * LARGEST_TABLE:  # the last digits of a level so near 1 that rounding never reaches it
            quantiles = np.where(np.isnan(quantiles), start, quantiles)
    return quantiles, before, now


def _thinned(nodes: Nodes, weights: np.ndarray) -> tuple[Nodes, np.ndarray]:
    """One of every few nodes, so that tails of large counts, a beta integral each, stay affordable.

    Which of the few varies along a sequence that repeats nothing: nodes come as points of one draw after the other, and
    a constant stride may fall in step with them and see the same few points of every draw.
    """
    stride = -(-len(nodes.mean) // _MOST_NODES)
    if stride == 1:
        return nodes, weights
    blocks = np.arange(len(nodes.mean) // stride)
    chosen = blocks * stride + (np.modf(blocks * _GOLDEN)[0] * stride).astype(np.int64)
    kept = weights[:, chosen]
    total = kept.sum(1, keepdims=True)
    if (total <= 0.2 / stride).any():  # some row lives on nodes that thinning would drop
        return nodes, weights
    return Nodes(nodes.mean[chosen], nodes.concentration[chosen]), kept / total


def interpolated_quantiles(
    nodes: Nodes, weights: np.ndarray, levels: np.ndarray, expected: np.ndarray, spread: np.ndarray
) -> np.ndarray:
    """Quantiles of large counts, interpolated in the distribution function and rounded up, shape (rows, levels).

    Args:
        nodes: The negative binomials.
        weights: Shape (rows, n_nodes), each row summing to 1.
        levels: Probabilities.
        expected: Mean of each row's mixture.
        spread: Its standard deviation.
    """
    shape = np.maximum((expected / spread) ** 2, 1e-3)
    quantiles = np.empty((len(weights), len(levels)))
    for column, level in enumerate(levels):
        guess = special.gammaincinv(shape, level) * expected / shape  # a Gamma of the same mean and variance
        low, high = guess.min() - 0.2 * spread.max(), guess.max() + 0.2 * spread.max()
        for _ in range(60):
            points = np.unique(np.floor(np.maximum(np.linspace(low, high, 17), -1.0)))
            below = 1.0 - weights @ upper_tail(points + 1, nodes.mean[:, None], nodes.concentration[:, None])
            too_high, too_low = (below[:, 0] > level).any() and points[0] >= 0, (below[:, -1] < level).any()
            if not too_high and not too_low:
                break
            width = high - low
            low, high = low - (2 * width if too_high else 0.0), high + (2 * width if too_low else 0.0)
        for row in range(len(weights)):
            increasing = np.maximum.accumulate(below[row])
            quantiles[row, column] = max(0.0, np.ceil(np.interp(level, increasing, points) - 1e-6))
    return quantiles
