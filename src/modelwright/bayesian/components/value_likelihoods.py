"""Likelihoods of values that are no counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpyro.distributions as dist

from modelwright.bayesian.components.likelihoods import AbstractLikelihood


@final
@dataclass(frozen=True)
class GaussianLikelihood(AbstractLikelihood):
    """x_cg ~ Normal(mu, sigma).

    Args:
        mean: Name of mu.
        sd: Name of sigma, above 0.

    Example:
        >>> GaussianLikelihood().parameters
        ('mu', 'sigma')
    """

    mean: str = "mu"
    sd: str = "sigma"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it needs."""
        return (self.mean, self.sd)

    @property
    def observes_counts(self) -> bool:
        """Any number may be observed."""
        return False

    def distribution(self, values: Mapping[str, Any]) -> dist.Distribution:
        """See `AbstractLikelihood.distribution`."""
        return dist.Normal(values[self.mean], values[self.sd])


@final
@dataclass(frozen=True)
class LogNormalLikelihood(AbstractLikelihood):
    """log x_cg ~ Normal(mu, sigma), for values above 0.

    Args:
        location: Name of mu, on the log scale.
        scale: Name of sigma, above 0.

    Example:
        >>> LogNormalLikelihood(location="level").parameters
        ('level', 'sigma')
    """

    location: str = "mu"
    scale: str = "sigma"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it needs."""
        return (self.location, self.scale)

    @property
    def observes_counts(self) -> bool:
        """Any number above 0 may be observed."""
        return False

    def distribution(self, values: Mapping[str, Any]) -> dist.Distribution:
        """See `AbstractLikelihood.distribution`."""
        return dist.LogNormal(values[self.location], values[self.scale])
