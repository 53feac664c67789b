"""Modelwright: describe a probabilistic model, train it, learn whether to trust it, ask it questions.

Names are resolved when first used (PEP 562), so importing this package loads no framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modelwright.catalog.model_registry import get_registry as get_registry
    from modelwright.configuration import ModelConfiguration as ModelConfiguration
    from modelwright.factory import create_model as create_model
    from modelwright.runs.store import load_run as load_run

__version__ = "0.1.0"

_LAZY = {
    "ModelConfiguration": "modelwright.configuration",
    "create_model": "modelwright.factory",
    "get_registry": "modelwright.catalog.model_registry",
    "load_run": "modelwright.runs.store",
}

__all__ = ["ModelConfiguration", "__version__", "create_model", "get_registry", "load_run"]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(importlib.import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'modelwright' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
