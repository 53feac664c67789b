"""Mixtures of multivariate Student t distributions: proposals with tails heavier than what they imitate."""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

_ROUNDS = 40
_RIDGE = 0.01
"""Share of the overall covariance that is added to every component's, so that none collapses onto a few points."""


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
        return np.asarray(logsumexp(self._log_parts(points)[0], axis=0))

    def draw(self, size: int, generator: np.random.Generator) -> np.ndarray:
        """Independent draws, shape (size, d)."""
        which = generator.choice(len(self.share), size=size, p=self.share)
        normal = generator.standard_normal((size, self.location.shape[1]))
        spread = np.sqrt(self.df[which] / generator.chisquare(self.df[which]))
        turned = (self.factor[which] * normal[:, None, :]).sum(-1)
        return np.asarray(self.location[which] + spread[:, None] * turned)

    def _log_parts(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log of share times density, and squared distance in units of the scale, of each component: (n, points)."""
        d = points.shape[1]
        distance = np.empty((len(self.share), len(points)))
        for j in range(len(self.share)):
            away = points - self.location[j]
            for k in range(d):  # forward substitution: the same on every machine, without BLAS
                away[:, k] -= (away[:, :k] * self.factor[j, k, :k]).sum(1)
                away[:, k] /= self.factor[j, k, k]
            distance[j] = (away * away).sum(1)
        half = 0.5 * (self.df + d)
        log_constant = gammaln(half) - gammaln(0.5 * self.df) - 0.5 * d * np.log(self.df * np.pi)
        log_constant -= np.log(np.diagonal(self.factor, axis1=1, axis2=2)).sum(1)
        log_parts = np.log(self.share) + log_constant - half * np.log1p(distance / self.df[:, None]).T
        return log_parts.T, distance


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
    overall = _outer(weights, away) + 1e-12 * np.eye(d)
    if components == 1:
        mixture = single_student(mean, overall, df)
    else:
        location = points[generator.choice(len(points), size=components, p=weights, replace=True)]
        factor = np.linalg.cholesky(overall) * components ** (-1.0 / d)
        mixture = StudentMixture(
            np.full(components, 1.0 / components),
            location,
            np.repeat(factor[None], components, axis=0),
            np.full(components, float(df)),
        )
    for _ in range(_ROUNDS):
        log_parts, distance = mixture._log_parts(points)
        belongs = weights * np.exp(log_parts - logsumexp(log_parts, axis=0))
        share = belongs.sum(1)
        kept = share > 1e-3
        belongs, distance, share = belongs[kept], distance[kept], share[kept]
        pull = belongs * (df + d) / (df + distance)
        location = np.stack([(one[:, None] * points).sum(0) / one.sum() for one in pull])
        scales = [
            _outer(one / total, points - centre) + _RIDGE * overall
            for one, total, centre in zip(pull, share, location, strict=True)
        ]
        factor = np.linalg.cholesky(np.stack(scales))
        mixture = StudentMixture(share / share.sum(), location, factor, np.full(len(share), float(df)))
    return mixture


def _outer(weights: np.ndarray, away: np.ndarray) -> np.ndarray:
    return np.asarray((weights[:, None, None] * away[:, :, None] * away[:, None, :]).sum(0))


def _moments_of(mixture: StudentMixture) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance, taking each component's scale matrix for its covariance."""
    mean = (mixture.share[:, None] * mixture.location).sum(0)
    within = (mixture.factor[:, :, None, :] * mixture.factor[:, None, :, :]).sum(-1)
    away = mixture.location - mean
    return mean, (mixture.share[:, None, None] * (within + away[:, :, None] * away[:, None, :])).sum(0)
