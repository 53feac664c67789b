"""NumPyro's autoguides, which look at the model when they are first called and keep what they saw.

What they keep has to be made of numbers, not of what a compiler traces, and has to be of the call at hand: another
number of rows, all rows instead of a mini-batch, another precision. So they are set up anew, outside of compilation,
on a copy.
"""

import copy
from collections.abc import Callable, Mapping
from typing import Any

import jax
from numpyro.handlers import seed
from numpyro.infer import init_to_uniform, init_to_value
from numpyro.infer.autoguide import AutoGuide

from modelwright.bayesian.inference.tracing import TRACING, Call


def begun_at(guide: Callable[..., Any], values: Mapping[str, Any]) -> Callable[..., Any]:
    """An autoguide that begins at given values; any other guide, or one told where to begin by its maker, as it is.

    Args:
        guide: The guide.
        values: Latent site -> value; sites without one begin as they would.
    """
    if not isinstance(guide, AutoGuide) or not values or guide.init_loc_fn is not init_to_uniform:
        return guide
    begun = copy.copy(guide)
    begun.init_loc_fn = init_to_value(values=dict(values))
    return begun


def settled_guide(guide: Callable[..., Any], call: Call, seed_number: int) -> Callable[..., Any]:
    """A guide that can be traced under this call: an autoguide set up for it, any other guide as it is.

    Args:
        guide: The guide.
        call: What it will be called with.
        seed_number: Seed of the starting values that the autoguide chooses.
    """
    if not isinstance(guide, AutoGuide):
        return guide
    settled = copy.copy(guide)
    settled.prototype_trace = None
    args, kwargs = call.arguments(call.device_arrays())
    with TRACING:
        seed(settled, jax.random.key(seed_number))(*args, **kwargs)
    return settled
