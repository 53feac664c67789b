"""Mixtures of multivariate Student t distributions: proposals with tails heavier than what they imitate."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

_ROUNDS = 40
_RIDGE = 0.001
"""Share of the overall covariance that is added to every component's, so that none collapses onto a few points."""

_ONE_THREAD = 200_000
"""Multiplications of a matrix product below which OpenBLAS keeps to one thread (it begins to share from 262,144)."""


@dataclass(frozen=True, eq=False)
class StudentMixture:
    """A mixture of multivariate t distributions in d dimensions.

    Args:
        share: Probability of each component, shape (n,).
        location: Their locations, shape (n, d).
        factor: Lower Cholesky factors of their scale matrices, shape (n, d, d).
        df: Their degrees of freedom, shape (n,).

    Example:
        >>> cauchy = StudentMixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), np.ones(1))
        >>> bool(np.isclose(cauchy.log_density(np.zeros((1, 1))), -np.log(np.pi)))
        True
    """

    share: np.ndarray
    location: np.ndarray
    factor: np.ndarray
    df: np.ndarray

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Log density at points (n, d), shape (n,)."""
        return _log_sum(self._log_parts(points))

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """Independent draws, shape (size, d)."""
        which = generator.choice(len(self.share), size=size, p=self.share)
        normal = generator.standard_normal((size, self.location.shape[1]))
        spread = np.sqrt(self.df[which] / generator.chisquare(self.df[which]))
        turned = (self.factor[which] * normal[:, None, :]).sum(-1)
        return np.asarray(self.location[which] + spread[:, None] * turned)

    def _log_parts(self, points: np.ndarray) -> np.ndarray:
        """Log of share times density of each component, shape (components, n)."""
        d = points.shape[1]
        distance = np.empty((len(self.share), len(points)))
        for j in range(len(self.share)):
            unit = _solved(self.factor[j], points - self.location[j])
            distance[j] = (unit * unit).sum(1)
        half = 0.5 * (self.df + d)
        log_constant = gammaln(half) - gammaln(0.5 * self.df) - 0.5 * d * np.log(self.df * np.pi)
        log_constant -= np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(1)
        log_parts = np.log(self.share) + log_constant - half * np.log1p(distance / self.df[:, None]).T
        return np.asarray(log_parts.T)


def single_student(location: np.ndarray, covariance: np.ndarray, df: float) -> StudentMixture:
    """One t distribution with a location (d,) and scale matrix (d, d)."""
    return StudentMixture(np.ones(1), location[None], np.linalg.cholesky(covariance)[None], np.array([float(df)]))


def with_wide_component(mixture: StudentMixture, *, share: float, widening: float, df: float) -> StudentMixture:
    """A mixture with one more component around all of it, against tails that the others miss."""
    mean, covariance = _moments_of(mixture)
    return StudentMixture(
        np.r_[(1.0 - share) * mixture.share, share],
        np.concatenate([mixture.location, mean[None]]),
        np.concatenate([mixture.factor, widening * np.linalg.cholesky(covariance)[None]]),
        np.r_[mixture.df, df],
    )


def fit_mixture(
    points: np.ndarray, weights: np.ndarray, *, components: int, df: float, generator: np.random.Generator
) -> StudentMixture:
    """The mixture most likely to have drawn weighted points, by expectation maximisation from random centres.

    Args:
        points: Shape (n, d).
        weights: Not negative, summing to 1, shape (n,).
        components: Number of components; those that nothing belongs to are dropped.
        df: Degrees of freedom of all of them.
        generator: Chooses the first centres.

    Source:
        D. Peel, G. J. McLachlan (2000), Robust mixture modelling using the t distribution,
        https://doi.org/10.1023/A:1008981510081; importance weights in place of counts: O. Cappé, R. Douc, A. Guillin,
        J.-M. Marin, C. P. Robert (2008), https://doi.org/10.1007/s11222-008-9059-x.
    """
    d = points.shape[1]
    mean = (weights[:, None] * points).sum(0)
    away = points - mean
    overall = (weights[:, None, None] * away[:, :, None] * away[:, None, :]).sum(0)
    whole = np.linalg.cholesky(overall + 1e-12 * np.diag(np.diagonal(overall)))
    unit = _solved(whole, away)  # mean zero, covariance one: what follows need not care about scales
    a, b = np.triu_indices(d)
    features = np.concatenate([np.ones((1, len(unit))), unit.T, (unit[:, a] * unit[:, b]).T])
    share = np.full(components, 1.0 / components)
    location = unit[generator.choice(len(unit), size=components, p=weights)] if components > 1 else np.zeros((1, d))
    scale = np.repeat(np.eye(d)[None] * components ** (-2.0 / d), components, axis=0)
    before = -np.inf
    for _ in range(_ROUNDS):
        log_parts, distance = _expected(features, share, location, scale, df)
        log_sum = _log_sum(log_parts)
        belongs = weights * np.exp(log_parts - log_sum)
        share = belongs.sum(1)
        kept = share > 1e-3
        belongs, distance, share = belongs[kept], distance[kept], share[kept]
        pull = belongs * ((df + d) / (df + distance))
        moments = _summed_products(pull, features)
        location = moments[:, 1 : d + 1] / moments[:, :1]
        second = np.empty((len(moments), d, d))
        second[:, a, b] = second[:, b, a] = moments[:, d + 1 :]
        second -= moments[:, :1, None] * location[:, :, None] * location[:, None]
        scale = second / share[:, None, None] + _RIDGE * np.eye(d)
        share = share / share.sum()
        now = float((weights * log_sum).sum())
        if now - before < 1e-4:
            break
        before = now
    return StudentMixture(
        share,
        mean + (whole * location[:, None, :]).sum(-1),
        np.stack([(whole[:, :, None] * one).sum(1) for one in np.linalg.cholesky(scale)]),
        np.full(len(share), float(df)),
    )


def _expected(
    features: np.ndarray, share: np.ndarray, location: np.ndarray, scale: np.ndarray, df: float
) -> tuple[np.ndarray, np.ndarray]:
    """Log of share times density up to a constant, and squared distance, of every component at every point."""
    d = location.shape[1]
    precision = np.linalg.inv(scale)
    turned = (precision * location[:, None, :]).sum(-1)
    a, b = np.triu_indices(d)
    twice = np.where(a == b, 1.0, 2.0) * precision[:, a, b]
    form = np.concatenate([(turned * location).sum(1)[:, None], -2.0 * turned, twice], axis=1)
    distance = np.maximum(_products(form, features), 0.0)
    heights = np.log(share) - 0.5 * np.linalg.slogdet(scale)[1]
    return heights[:, None] - 0.5 * (df + d) * np.log1p(distance / df), distance


def _products(form: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Matrix product (j, p) (p, n), in parts."""
    found = np.empty((len(form), features.shape[1]))
    for part in _parts(form, features.shape[1]):
        found[:, part] = form @ features[:, part]
    return found


def _summed_products(pull: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Matrix product (j, n) (n, p) of the transposed features, in parts."""
    found = np.zeros((len(pull), len(features)))
    for part in _parts(found, features.shape[1]):
        found += pull[:, part] @ features[:, part].T
    return found


def _parts(matrix: np.ndarray, n: int) -> Iterator[slice]:
    """Columns in parts so small that BLAS works on each in one thread: the same sums on every number of cores."""
    size = max(1, _ONE_THREAD // matrix.size)
    return (slice(begin, begin + size) for begin in range(0, n, size))


def _log_sum(log_parts: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials over the first axis."""
    largest = log_parts.max(0)
    return np.asarray(largest + np.log(np.exp(log_parts - largest).sum(0)))


def _solved(factor: np.ndarray, away: np.ndarray) -> np.ndarray:
    """Solve factor z = away for each row, by forward substitution: the same on every number of cores, without BLAS."""
    unit = away.copy()
    for k in range(len(factor)):
        unit[:, k] -= (unit[:, :k] * factor[k, :k]).sum(1)
        unit[:, k] /= factor[k, k]
    return unit


def _moments_of(mixture: StudentMixture) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance, taking each component's scale matrix for its covariance."""
    mean = (mixture.share[:, None] * mixture.location).sum(0)
    within = (mixture.factor[:, :, None, :] * mixture.factor[:, None, :, :]).sum(-1)
    away = mixture.location - mean
    return mean, (mixture.share[:, None, None] * (within + away[:, :, None] * away[:, None, :])).sum(0)
