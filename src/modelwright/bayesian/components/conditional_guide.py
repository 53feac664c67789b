"""Conditioning the guide of one variable on variables drawn before it.

A gene's mean and a success probability that all genes share lie on a ridge: where the probability is drawn high, the
means have to follow. Independent guides cannot, and are too narrow along the ridge or stand off it. One slope per gene,

    u_g = u_g' + slope_g (u_p - centre_p),    u' ~ the family,

gives the whole of that direction for as many numbers as there are genes. Slopes multiply deviations from the other's
centre, so that moving that centre does not drag the means along.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions.transforms import AffineTransform, IndependentTransform

from modelwright.bayesian.components.centres import centre_of
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, MeanFieldGuide
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite
from modelwright.bayesian.components.sufficient_statistics import SufficientStatistic
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

LARGEST_MATRIX = 10_000
"""Slopes of a matrix between two variables that share no axes; more are refused. Arbitrary: a hundred by a hundred."""


@dataclass(frozen=True)
class ConditionalGuide(AbstractGuideFamily):
    """A family whose location moves linearly with variables drawn before it, all on the unconstrained scale.

    Parameters `{name}$slopes_on_{other}`, beginning at `site.start.slopes`, else at zero, besides those of the family:

    - the other is a single number, or runs over axes that this variable has as well: one slope per number of this
      variable, on the other's number at the same place (one slope per gene on a success probability that all share);
    - any other: a matrix (n, n_other), where that has at most `LARGEST_MATRIX` entries.

    Of variables of single cells, every cell has its own slopes; a matrix is the same for all cells.

    Args:
        on: Names of the variables to condition on; the guide builder draws them before.
        family: Of the deviations from the line.

    Raises:
        ConfigurationError: names that cannot be used; while the guide runs, a variable that was not drawn before, one
            of single cells for a variable that is not, too large a matrix.

    Source:
        R. Ranganath, D. Tran, D. M. Blei (2016), Hierarchical variational models,
        https://proceedings.mlr.press/v48/ranganath16.html, on why mean-field guides fail and what dependence buys.

    Example:
        >>> ConditionalGuide(on=("p",)).family
        MeanFieldGuide()
    """

    on: tuple[str, ...]
    family: AbstractGuideFamily = field(default_factory=MeanFieldGuide)

    def __post_init__(self) -> None:
        names = self.on
        if isinstance(names, str) or not isinstance(names, Sequence) or not all(isinstance(n, str) for n in names):
            raise ConfigurationError("not names", field="on", expected='a tuple such as ("p",)', got=names)
        if not names or len(set(names)) < len(names):
            raise ConfigurationError("not usable", field="on", expected="at least one name, each once", got=names)
        object.__setattr__(self, "on", tuple(names))
        if not isinstance(self.family, AbstractGuideFamily):
            raise ConfigurationError("not a guide family", field="family", expected="MeanFieldGuide()", got=self.family)

    @property
    def conditions_on(self) -> tuple[str, ...]:
        """Names of the variables that have to be drawn before."""
        return self.on

    @property
    def statistics(self) -> tuple[SufficientStatistic, ...]:
        """What the family of the deviations looks at in the data."""
        return self.family.statistics

    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """See `AbstractGuideFamily.distribution`."""
        shift = sum(_line(site, name, context) for name in self.on)
        axes = len(site.unconstrained_shape)
        moved = IndependentTransform(AffineTransform(shift, 1.0), axes) if axes else AffineTransform(shift, 1.0)
        return dist.TransformedDistribution(self.family.distribution(site, context), moved)


def remembered(context: GuideContext, site: GuideSite, base: dist.Distribution, u: Any) -> GuideContext:
    """The context for variables drawn after this one.

    Args:
        context: The context so far.
        site: The variable.
        base: The distribution its u came from.
        u: Its unconstrained value, shape batch shape + `site.unconstrained_shape`.
    """
    return replace(
        context,
        values={**context.values, site.name: u},
        locations={**context.locations, site.name: centre_of(base)},
        sites={**context.sites, site.name: site},
    )


def _line(site: GuideSite, name: str, context: GuideContext) -> Any:
    """What one other variable adds to the location, shape batch shape + `site.unconstrained_shape`."""
    if name not in context.sites:
        raise ConfigurationError(
            f"is to be conditioned on {name!r}, which is not drawn before it",
            field=site.name,
            todo=suggestion(name, context.sites),
        )
    other = context.sites[name]
    if other.n_units is not None and site.n_units is None:
        raise ConfigurationError(
            f"is to be conditioned on {name!r}, which every cell has its own of",
            field=site.name,
            todo=f"condition {name} on {site.name} instead",
        )
    deviation = context.values[name] - context.locations[name]
    batch = jnp.shape(deviation)[: jnp.ndim(deviation) - len(other.unconstrained_shape)]
    parameter, start = f"{site.name}$slopes_on_{name}", jnp.asarray(site.start.slopes.get(name, 0.0), float)
    beside = _beside(other, site)
    if beside is not None:
        slopes = numpyro.param(parameter, jnp.broadcast_to(start, site.parameter_shape))
        return context.of_cells(slopes, site) * jnp.reshape(deviation, (*batch, *beside))
    if site.size * other.size > LARGEST_MATRIX:
        raise ConfigurationError(
            f"shares no axes with {name!r}, and a matrix of slopes would be too large",
            field=site.name,
            expected=f"at most {LARGEST_MATRIX} slopes",
            got=site.size * other.size,
            todo=f"draw both with one JointLowRankGuide, or leave {name} out",
        )
    matrix = numpyro.param(parameter, jnp.broadcast_to(start, (site.size, other.size)))
    moved = jnp.reshape(deviation, (*batch, other.size)) @ matrix.T
    return jnp.reshape(moved, (*batch, *site.unconstrained_shape))


def _beside(other: GuideSite, site: GuideSite) -> tuple[int, ...] | None:
    """Shape in which the other's u broadcasts to this one's; None where it has axes that this one has not."""
    if other.size == 1:
        return (1,) * len(site.unconstrained_shape)
    lengths = dict(zip(other.axes, other.unconstrained_shape, strict=True))
    here = dict(zip(site.axes, site.unconstrained_shape, strict=True))
    if any(here.get(axis) != length for axis, length in lengths.items()):
        return None
    found = tuple(lengths.get(axis, 1) for axis in site.axes)
    # axes in another order would be put beside the wrong numbers
    in_order = tuple(axis for axis in site.axes if axis in lengths) == other.axes
    return found if in_order and math.prod(found) == other.size else None
