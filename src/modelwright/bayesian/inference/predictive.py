"""Which draws to use for predictions, and the groups of a trace that hold them.

Predictions have one number per draw and observation, so a long table times many draws would not fit anywhere. Draws
are then thinned evenly: every k-th of each chain, with their old numbers as labels and `thinned_every` as attribute.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.core.errors import ConfigurationError

ELEMENT_BUDGET = 20_000_000
"""Numbers that one group may hold: 160 MB in double precision."""


def thinning_step(n_chains: int, n_draws: int, per_draw: int, *, budget: int = ELEMENT_BUDGET) -> int:
    """The smallest k so that every k-th draw of each chain stays within the budget; at least one draw is kept.

    Args:
        n_chains: Chains.
        n_draws: Draws per chain.
        per_draw: Numbers per draw.
        budget: Numbers in all.

    Example:
        >>> thinning_step(4, 1000, 6000)
        2
    """
    allowed = max(1, budget // max(1, n_chains * per_draw))
    return max(1, -(-n_draws // allowed))


def thinned(posterior: xr.Dataset, step: int, *, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Every `step`-th draw of each chain as numpy arrays, with the chains laid end to end: shape (draws, ...)."""
    if step < 1:
        raise ConfigurationError("not usable", field="step", expected="a whole number of at least 1", got=step)
    chosen = posterior.isel(draw=slice(None, None, step))
    arrays = {str(name): chosen[name].to_numpy() for name in (names or posterior.data_vars)}
    return {name: array.reshape(-1, *array.shape[2:]) for name, array in arrays.items()}


def predictive_group(
    arrays: Mapping[str, np.ndarray],
    posterior: xr.Dataset,
    step: int,
    *,
    coords: Mapping[str, Any],
    dims: Mapping[str, Sequence[str]],
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A group of values computed from `thinned` draws.

    Args:
        arrays: name -> values, shape (draws, ...), draws as `thinned` lays them.
        posterior: Where the draws came from.
        step: How they were thinned.
        coords: Labels of dimensions.
        dims: name -> dimensions after chain and draw.
        attrs: Further attributes.
    """
    n_chains = posterior.sizes["chain"]
    draw = posterior["draw"].to_numpy()[::step]
    shaped = {name: array.reshape(n_chains, len(draw), *array.shape[1:]) for name, array in arrays.items()}
    return draws_dataset(shaped, coords=coords, dims=dims, draw=draw, attrs={"thinned_every": step, **(attrs or {})})
