"""One form of trace for all engines: the same groups, statistics, coordinates and attributes.

An engine hands over plain numpy arrays; this file makes the groups of a trace from them, so that whoever reads a trace
need not know which engine drew it.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.trace_groups import TraceGroups

if TYPE_CHECKING:
    from modelwright.bayesian.quiet_arviz import az

CHAIN = "chain"
DRAW = "draw"

STATISTICS: dict[str, Any] = {
    "diverging": np.bool_,
    "energy": np.float64,
    "tree_depth": np.int64,
    "reached_max_tree_depth": np.bool_,
    "n_steps": np.int64,
    "acceptance_rate": np.float64,
    "step_size": np.float64,
    "lp": np.float64,
}
"""What `sample_stats` holds after any engine that runs NUTS, and as which type; each of shape (chain, draw).

`energy` is the Hamiltonian and `lp` the log density of the unconstrained variables (Jacobians included), both up to
the same constant; `tree_depth` counts doublings; `n_steps` counts leapfrog steps; `acceptance_rate` is the mean over
the trajectory, what the step size is tuned by.
"""

OF_PROPOSALS: dict[str, Any] = {"accepted": np.bool_}
"""What `sample_stats` holds besides of draws that were proposed independently, which have no trajectories: whether any
proposal was accepted since the draw before.
"""


def tree_depth_of(n_steps: np.ndarray) -> np.ndarray:
    """Doublings tried in a trajectory of `n_steps` steps, a last and discarded one included.

    Trying d doublings takes from 2^(d-1) to 2^d - 1 steps.

    Example:
        >>> tree_depth_of(np.array([1, 2, 3, 7, 11])).tolist()
        [1, 2, 2, 3, 4]
    """
    return np.floor(np.log2(np.maximum(n_steps, 1))).astype(np.int64) + 1


def draws_dataset(
    arrays: Mapping[str, np.ndarray],
    *,
    coords: Mapping[str, Sequence[Any] | np.ndarray] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    draw: np.ndarray | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """A dataset of draws with named dimensions.

    Args:
        arrays: name -> array of shape (chain, draw, ...).
        coords: dimension -> its labels; only those in use are kept.
        dims: name -> the dimensions after chain and draw; unnamed ones are called `{name}_dim_0` and so on.
        draw: Labels of the draws, shape (draw,); 0, 1, ... by default. Thinned draws keep their old numbers.
        attrs: Attributes; strings, numbers and flat lists of them.

    Example:
        >>> draws_dataset({"x": np.zeros((2, 3, 4))}, dims={"x": ["place"]}).sizes["place"]
        4
    """
    variables: dict[str, Any] = {}
    used: dict[str, Any] = {}
    for name, array in arrays.items():
        named = list((dims or {}).get(name, ()))
        named += [f"{name}_dim_{k}" for k in range(len(named), array.ndim - 2)]
        variables[name] = ((CHAIN, DRAW, *named), array)
        for axis, dimension in enumerate(named):
            labels = (coords or {}).get(dimension)
            used[dimension] = np.arange(array.shape[2 + axis]) if labels is None else np.asarray(labels)
        used[CHAIN] = np.arange(array.shape[0])
        used[DRAW] = np.arange(array.shape[1]) if draw is None else np.asarray(draw)
    return xr.Dataset(variables, coords=used, attrs=dict(attrs or {}))


def assemble_trace(
    posterior: Mapping[str, np.ndarray],
    statistics: Mapping[str, np.ndarray],
    settings: NutsSettings,
    **facts: Any,
) -> "az.InferenceData":
    """The trace of one sampling as an `InferenceData`; the arguments are those of `assemble_groups`."""
    return assemble_groups(posterior, statistics, settings, **facts).to_inference_data()


def assemble_groups(
    posterior: Mapping[str, np.ndarray],
    statistics: Mapping[str, np.ndarray],
    settings: NutsSettings,
    *,
    engine: str,
    engine_version: str,
    sampling_seconds: float,
    platform: str = "cpu",
    at_once: int = 1,
    coords: Mapping[str, Sequence[Any] | np.ndarray] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    of_nuts: bool = True,
) -> TraceGroups:
    """The trace of one sampling.

    Args:
        posterior: name -> draws, shape (chain, draw, ...).
        statistics: The entries of `STATISTICS` and `OF_PROPOSALS` that the engine has, shape (chain, draw) each.
        settings: What the engine was asked for.
        engine: Name of the engine.
        engine_version: Version of its package.
        sampling_seconds: Wall time of compiling and sampling.
        platform: "cpu" or "gpu".
        at_once: Chains that ran at the same time.
        coords: Labels of dimensions.
        dims: name -> dimensions after chain and draw.
        of_nuts: Whether the No-U-Turn sampler drew it, so that its tuning is a fact about these draws.

    Returns:
        Groups `posterior` and `sample_stats`; the attributes of both say engine, version, seconds, settings.
    """
    attrs = {
        "engine": engine,
        "engine_version": engine_version,
        "platform": platform,
        "sampling_seconds": float(sampling_seconds),
        "draws": settings.draws,
        "chains": settings.chains,
        "chains_at_once": at_once,
        "seed": settings.seed,
    }
    if of_nuts:
        attrs |= {
            "tuning_steps": settings.tune,
            "target_accept": settings.target_accept,
            "max_tree_depth": settings.max_tree_depth,
        }
    kinds = STATISTICS | OF_PROPOSALS
    typed = {name: np.asarray(statistics[name]).astype(kind) for name, kind in kinds.items() if name in statistics}
    return TraceGroups(
        {
            "posterior": draws_dataset(posterior, coords=coords, dims=dims, attrs=attrs),
            "sample_stats": draws_dataset(typed, attrs=attrs),
        }
    )
