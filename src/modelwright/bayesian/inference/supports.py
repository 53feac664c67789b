"""Where a distribution puts its numbers, in words that can be compared."""

from typing import Any

import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import constraints


def support_in_words(distribution: Any) -> str:
    """The support of single numbers, "" for a point mass, whose value says nothing of where others could lie.

    Example:
        >>> import numpyro.distributions as dist
        >>> support_in_words(dist.HalfNormal(1.0).expand([3]).to_event(1)), support_in_words(dist.Dirichlet(np.ones(3)))
        ('(0, inf)', 'simplex')
    """
    while isinstance(distribution, dist.Independent | dist.ExpandedDistribution | dist.MaskedDistribution):
        distribution = distribution.base_dist
    if isinstance(distribution, dist.Delta):
        return ""
    support = distribution.support
    while isinstance(support, type(constraints.independent(constraints.real, 1))):
        support = support.base_constraint
    if support is constraints.real:
        return "(-inf, inf)"
    if support is constraints.simplex:
        return "simplex"
    low, high = getattr(support, "lower_bound", None), getattr(support, "upper_bound", np.inf)
    if low is None or support.is_discrete:
        return str(support)
    return f"({float(low):g}, {float(high):g})"
