"""The centre of a base distribution, whatever it was put together from."""

from typing import Any

import numpyro.distributions as dist


def centre_of(base: dist.Distribution) -> Any:
    """Where a distribution on R^n has its middle: the mean, or where transforms take the mean of what they transform.

    Args:
        base: A distribution on R^n, such as guide families return.

    Returns:
        Shape batch shape + event shape.

    Example:
        >>> shift = dist.transforms.AffineTransform(2.0, 1.0)
        >>> float(centre_of(dist.TransformedDistribution(dist.Normal(1.0, 0.5), shift)))
        3.0
    """
    if isinstance(base, dist.Independent):
        return centre_of(base.base_dist)
    if isinstance(base, dist.TransformedDistribution):
        middle = centre_of(base.base_dist)
        for transform in base.transforms:
            middle = transform(middle)
        return middle
    return base.mean
