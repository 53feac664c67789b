"""Fitting a model: NUTS with any of three engines, SVI, Laplace's approximation, pathfinder; one kind of result.

`svi`, `nuts` and `laplace` are loaded when they are first asked for: each needs JAX and NumPyro.
"""

from importlib import import_module
from typing import Any

_FOUND_IN = {
    "laplace": "modelwright.bayesian.inference.map_laplace",
    "nuts": "modelwright.bayesian.inference.sampled_fit",
    "svi": "modelwright.bayesian.inference.variational",
}


def __getattr__(name: str) -> Any:
    """The function of this name, from the module that holds it."""
    if name not in _FOUND_IN:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_FOUND_IN[name]), name)
