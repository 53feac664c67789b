"""Guide families: base distributions on R^n, whatever variable they are for.

A family is a frozen description; `distribution` registers its parameters with NumPyro (outside of all plates, whole, so
that a mini-batch takes its rows) and returns the base distribution of u.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro.distributions import constraints

from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite
from modelwright.bayesian.components.sufficient_statistics import SufficientStatistic
from modelwright.core.errors import ConfigurationError


class AbstractGuideFamily(ABC):
    """A family of distributions on R^n."""

    @property
    def conditions_on(self) -> tuple[str, ...]:
        """Names of the variables that have to be drawn before."""
        return ()

    @property
    def statistics(self) -> tuple[SufficientStatistic, ...]:
        """What it looks at in the data."""
        return ()

    @abstractmethod
    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """Register the parameters of one variable and return the distribution of its u.

        Called outside of all plates.

        Args:
            site: The variable.
            context: The mini-batch, the data, the variables before.

        Returns:
            Event shape `site.unconstrained_shape`; batch shape (n_batch,) for a variable of single cells, else ().
        """


@dataclass(frozen=True)
class MeanFieldGuide(AbstractGuideFamily):
    """Independent normal distributions: u_k ~ Normal(loc_k, scale_k).

    Parameters `{name}$loc` and `{name}$scale` (a standard deviation), of shape `site.parameter_shape`.

    Source:
        A. Kucukelbir, D. Tran, R. Ranganath, A. Gelman, D. M. Blei (2017), Automatic differentiation variational
        inference, https://jmlr.org/papers/v18/16-107.html.
    """

    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """See `AbstractGuideFamily.distribution`."""
        loc = numpyro.param(f"{site.name}$loc", site.starting_location())
        scale = numpyro.param(f"{site.name}$scale", site.starting_spread(), constraint=constraints.softplus_positive)
        loc, scale = context.of_cells(loc, site), context.of_cells(scale, site)
        return dist.Normal(loc, scale).to_event(len(site.unconstrained_shape))


@dataclass(frozen=True)
class LowRankGuide(AbstractGuideFamily):
    """A joint normal distribution of all numbers of a unit, covariance W W' + diag(d), W of shape (n, rank).

    Parameters `{name}$loc` (..., n), `{name}$factor` (..., n, rank) and `{name}$scale` (..., n), the square root of d.
    Over genes W W' holds the correlations between genes on the unconstrained scale. A variable of single cells has a
    covariance per cell, over the axes that one cell has; with a single number that is a mean-field guide.

    Args:
        rank: Columns of W.

    Source:
        D. J. Rezende, S. Mohamed, D. Wierstra (2014), https://proceedings.mlr.press/v32/rezende14.html.
    """

    rank: int

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ConfigurationError("not usable", field="rank", expected="a whole number of at least 1", got=self.rank)

    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """See `AbstractGuideFamily.distribution`."""
        units = () if site.n_units is None else (site.n_units,)
        flat = (*units, site.size)
        loc = numpyro.param(f"{site.name}$loc", site.starting_location().reshape(flat))
        spread = site.starting_spread().reshape(flat)
        scale = numpyro.param(f"{site.name}$scale", spread, constraint=constraints.softplus_positive)
        # small and not zero: at W = 0 its gradient vanishes by symmetry
        first = 0.1 * spread[..., None] * random.normal(random.key(0), (site.size, self.rank)) / self.rank**0.5
        factor = numpyro.param(f"{site.name}$factor", first)
        loc, scale, factor = (context.of_cells(part, site) for part in (loc, scale, factor))
        joint = dist.LowRankMultivariateNormal(loc, factor, scale**2)
        return reshaped(joint, site.unconstrained_shape)


def reshaped(joint: dist.Distribution, shape: tuple[int, ...]) -> dist.Distribution:
    """A distribution of vectors as one of arrays of this shape."""
    if shape == joint.event_shape:
        return joint
    return dist.TransformedDistribution(joint, dist.transforms.ReshapeTransform(shape, joint.event_shape))
