"""The maximum mean discrepancy: how far two sets of examples are apart, and whether by more than chance."""

from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from modelwright.core.errors import ConfigurationError
from modelwright.generative.evaluation.samples import two_sets


@final
@dataclass(frozen=True)
class Discrepancy:
    """How far apart two sets of examples are.

    Args:
        squared: The unbiased estimate of MMD^2; around 0, and as often below, for two sets of one distribution.
        p_value: Share of random splits of all examples with an estimate as large.
        bandwidth: Of the kernel, in units of the data.
        n, m: Examples of each set.
        permutations: Random splits that the p-value is of.
    """

    squared: float
    p_value: float
    bandwidth: float
    n: int
    m: int
    permutations: int

    def __str__(self) -> str:
        return f"MMD^2 {self.squared:.4g} (bandwidth {self.bandwidth:.3g}), p = {self.p_value:.3g}"


def maximum_mean_discrepancy(
    x: ArrayLike, y: ArrayLike, *, bandwidth: float | None = None, permutations: int = 500, seed: int = 0
) -> Discrepancy:
    """The unbiased MMD^2 of two sets under the Gaussian kernel k(a, b) = exp(-|a - b|^2 / (2 h^2)).

        MMD^2 = mean of k over pairs within x + mean of k over pairs within y - 2 mean of k between,

    pairs of an example with itself left out. The p-value is of random splits of all examples into sets of the same
    sizes, the one that was given among them: (1 + splits as large) / (1 + splits).

    Args:
        x: Examples, shape (n, ...).
        y: Examples, shape (m, ...), each of the same shape.
        bandwidth: h, in units of the data; the median distance between examples of both sets where left out.
        permutations: Random splits.
        seed: Of the splits.

    Raises:
        DataError: the sets do not compare.
        ConfigurationError: all examples are the same, so that there is no bandwidth, or an argument is not accepted.

    Source: A. Gretton et al. (2012), https://jmlr.org/papers/v13/gretton12a.html.

    Example:
        >>> generator = np.random.default_rng(0)
        >>> found = maximum_mean_discrepancy(generator.normal(size=(50, 2)), generator.normal(2.0, 1.0, size=(50, 2)))
        >>> found.squared > 0.3, found.p_value < 0.01
        (True, True)
    """
    x, y = two_sets(x, y)
    if permutations < 1:
        raise ConfigurationError("too few", field="permutations", expected="at least 1", got=permutations)
    both = np.concatenate([x, y])
    squared_distances = cdist(both, both, "sqeuclidean")
    if bandwidth is None:
        bandwidth = float(np.sqrt(np.median(squared_distances[np.triu_indices(len(both), 1)])))
    if not (np.isfinite(bandwidth) and bandwidth > 0.0):
        raise ConfigurationError(
            "no kernel has this bandwidth",
            field="bandwidth",
            expected="a number above 0",
            got=bandwidth,
            todo="most examples are the same: give a bandwidth" if bandwidth == 0.0 else None,
        )
    kernel = np.exp(-squared_distances / (2.0 * bandwidth**2))
    np.fill_diagonal(kernel, 0.0)
    first = np.zeros((permutations + 1, len(both)))
    first[0, : len(x)] = 1.0
    generator = np.random.default_rng(seed)
    for row in first[1:]:
        row[generator.permutation(len(both))[: len(x)]] = 1.0
    found = _squared(kernel, first, len(x), len(y))
    # a hair above the figure itself: the same sum in another order is the same
    as_large = int((found[1:] >= found[0] - 1e-12).sum())
    p_value = (1 + as_large) / (1 + permutations)
    return Discrepancy(float(found[0]), p_value, float(bandwidth), len(x), len(y), permutations)


def _squared(
    kernel: Float[np.ndarray, "all all"], first: Float[np.ndarray, "splits all"], n: int, m: int
) -> Float[np.ndarray, " splits"]:
    to_first = first @ kernel
    within_first = (to_first * first).sum(1)
    between = to_first.sum(1) - within_first
    within_second = kernel.sum() - within_first - 2.0 * between
    return within_first / (n * (n - 1)) + within_second / (m * (m - 1)) - 2.0 * between / (n * m)
