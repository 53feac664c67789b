"""Drawing a parameter from its prior inside a model; open to specifications of one's own."""

from collections.abc import Mapping
from functools import singledispatch
from typing import Any

import numpyro

from modelwright.bayesian.builders.specification import AbstractParamSpec


@singledispatch
def sample_prior(spec: Any, values: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    """Sample a parameter's site.

    A specification of another kind registers a function of its own with `@sample_prior.register`. Called outside of all
    plates for parameters without the axis of cells, else inside the plate of cells.

    Args:
        spec: The specification; dispatched on its class.
        values: Parameters that its prior's arguments name, as they were drawn (of the mini-batch's cells).
        sizes: Length of every axis.

    Returns:
        The value, shape `spec.event_shape(sizes)`, inside the plate with the cells in front.
    """
    raise TypeError(f"no way is registered to sample the prior of a {type(spec).__name__}")


@sample_prior.register
def _(spec: AbstractParamSpec, values: Mapping[str, Any], sizes: Mapping[str, int]) -> Any:
    return numpyro.sample(spec.name, spec.prior(values, sizes))
