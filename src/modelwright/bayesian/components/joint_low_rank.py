"""One normal distribution over several variables together, of low rank beside its diagonal.

    u = (u_a, u_b, ...) ~ Normal(loc, W W' + diag(d)),    a = bijector_a(u_a),    b = bijector_b(u_b), ...

The vector u is sampled at an auxiliary site; each variable then is a point mass at its value that carries the logarithm
of its bijector's derivative, as in NumPyro's continuous autoguides.
"""

import itertools
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import random
from numpyro.distributions import constraints

from modelwright.bayesian.components.centres import centre_of
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, reshaped
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite
from modelwright.core.errors import ConfigurationError


class AbstractJointGuideFamily(AbstractGuideFamily):
    """A family of distributions of several variables' u laid end to end.

    Variables whose family has the same `group` are drawn together.
    """

    group: str

    @abstractmethod
    def joint_distribution(self, sites: Sequence[GuideSite], context: GuideContext) -> dist.Distribution:
        """Register the parameters of all variables and return the distribution of their u, laid end to end.

        Called outside of all plates.

        Args:
            sites: The variables, all of single cells or none.
            context: As for a single variable.

        Returns:
            Event shape (n,), n = `positions(sites)` in all; batch shape (n_batch,) for variables of single cells,
            else ().
        """

    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """The distribution of a variable that is alone in its group."""
        return reshaped(self.joint_distribution((site,), context), site.unconstrained_shape)


@dataclass(frozen=True)
class JointLowRankGuide(AbstractJointGuideFamily):
    """A normal distribution over several variables, covariance W W' + diag(d), W of shape (n, rank).

    Parameters `{group}$loc` (..., n), `{group}$factor` (..., n, rank) and `{group}$scale` (..., n), the square root of
    d, with the cells first for variables of single cells: a covariance per cell, over all that one cell has.
    `correlations.unconstrained_correlations` reads correlations out of them.

    Args:
        rank: Columns of W.
        group: Variables with the same are drawn together; also the parameters' names begin with it.

    Raises:
        ConfigurationError: a rank or a name that cannot be used.

    Source:
        D. J. Rezende, S. Mohamed, D. Wierstra (2014), Stochastic backpropagation and approximate inference in deep
        generative models, https://proceedings.mlr.press/v32/rezende14.html.

    Example:
        >>> from numpyro.distributions import biject_to, constraints
        >>> p = GuideSite("p", constraints.unit_interval, biject_to(constraints.unit_interval), (), ())
        >>> mu = GuideSite("mu", constraints.positive, biject_to(constraints.positive), (3,), ("n_genes",))
        >>> positions([p, mu])
        {'p': slice(0, 1, None), 'mu': slice(1, 4, None)}
        >>> JointLowRankGuide(rank=2).joint_distribution([p, mu], GuideContext()).event_shape
        (4,)
    """

    rank: int
    group: str = "joint"

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, int) or self.rank < 1:
            raise ConfigurationError("not usable", field="rank", expected="a whole number of at least 1", got=self.rank)
        if not isinstance(self.group, str) or not self.group.isidentifier():
            raise ConfigurationError(
                "not usable", field="group", expected="a name such as 'expression'", got=self.group
            )

    def joint_distribution(self, sites: Sequence[GuideSite], context: GuideContext) -> dist.Distribution:
        """See `AbstractJointGuideFamily.joint_distribution`."""
        first_site = sites[0]
        loc = numpyro.param(f"{self.group}$loc", _laid_end_to_end(sites, [site.starting_location() for site in sites]))
        spread = _laid_end_to_end(sites, [site.starting_spread() for site in sites])
        scale = numpyro.param(f"{self.group}$scale", spread, constraint=constraints.softplus_positive)
        # small and not zero: at W = 0 its gradient vanishes by symmetry
        noise = random.normal(random.key(0), (spread.shape[-1], self.rank))
        factor = numpyro.param(f"{self.group}$factor", 0.1 * spread[..., None] * noise / self.rank**0.5)
        loc, scale, factor = (context.of_cells(part, first_site) for part in (loc, scale, factor))
        return dist.LowRankMultivariateNormal(loc, factor, scale**2)


def positions(sites: Sequence[GuideSite]) -> dict[str, slice]:
    """Where each variable's numbers lie in the joint vector.

    Args:
        sites: The variables in their order.

    Returns:
        Name -> slice, in the order given.
    """
    ends = list(itertools.accumulate((site.size for site in sites), initial=0))
    return {site.name: slice(*ends[k : k + 2]) for k, site in enumerate(sites)}


def joint_groups(families: Mapping[str, AbstractGuideFamily]) -> dict[str, tuple[str, ...]]:
    """Which variables are drawn together.

    Args:
        families: Variable -> its family.

    Returns:
        Group -> its variables, in the order given; none of families of single variables.

    Raises:
        ConfigurationError: two unlike families that share a group.
    """
    found: dict[str, list[str]] = {}
    for name, family in families.items():
        if isinstance(family, AbstractJointGuideFamily):
            found.setdefault(family.group, []).append(name)
    for group, names in found.items():
        for other in names[1:]:
            if families[other] != families[names[0]]:
                raise ConfigurationError(
                    f"{names[0]!r} and {other!r} share the group {group!r} and have unlike families",
                    field=f"{other}.guide_family",
                    expected=repr(families[names[0]]),
                    got=families[other],
                    todo="give them the same family, or groups of different names",
                )
    return {group: tuple(names) for group, names in found.items()}


def sample_jointly(
    family: AbstractJointGuideFamily, sites: Sequence[GuideSite], context: GuideContext, plate: Any = None
) -> tuple[dict[str, Any], GuideContext]:
    """Sample several variables together in a guide: the joint vector, then each of them.

    log q(values) = log q(u) - sum over variables of log |d bijector / du|; the first summand belongs to the auxiliary
    site `_{group}_joint`, each of the others to its variable's site.

    Args:
        family: The joint family.
        sites: The variables, all of single cells or none.
        context: As for a single variable.
        plate: The plate of cells, entered here for variables of single cells.

    Returns:
        Variable -> value, and the context that remembers them.

    Raises:
        ConfigurationError: variables of single cells together with others.
    """
    of_cells = {site.n_units for site in sites}
    if len(of_cells) > 1:
        apart = {site.name: "cells" if site.n_units is not None else "global" for site in sites}
        raise ConfigurationError(
            "variables of single cells and others cannot be drawn together",
            field=f"group {family.group}",
            got=apart,
            todo="give them groups of different names",
        )
    joint = family.joint_distribution(sites, context)
    centre = centre_of(joint)
    values, drawn, centres = {}, {}, {}
    with nullcontext() if sites[0].n_units is None else plate:
        u = numpyro.sample(f"_{family.group}_joint", joint, infer={"is_auxiliary": True})
        for site in sites:
            at = positions(sites)[site.name]
            drawn[site.name], centres[site.name] = (
                jnp.reshape(part[..., at], (*part.shape[:-1], *site.unconstrained_shape)) for part in (u, centre)
            )
            value = site.onto_support(drawn[site.name])
            log_density = -site.onto_support.log_abs_det_jacobian(drawn[site.name], value)
            point = dist.Delta(value, log_density=log_density, event_dim=len(site.event_shape))
            values[site.name] = numpyro.sample(site.name, point)
    return values, replace(
        context,
        values={**context.values, **drawn},
        locations={**context.locations, **centres},
        sites={**context.sites, **{site.name: site for site in sites}},
    )


def _laid_end_to_end(sites: Sequence[GuideSite], parts: Sequence[Any]) -> Any:
    units = () if sites[0].n_units is None else (sites[0].n_units,)
    return jnp.concatenate(
        [part.reshape((*units, site.size)) for site, part in zip(sites, parts, strict=True)], axis=-1
    )
