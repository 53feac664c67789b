"""Families of installed packages: a function of each adds its builder to the registry.

    [project.entry-points."modelwright.families"]
    gaussian = "my_package.families:register"

The name is the type, the value a function that is called with the registry and registers that type. Only what is
installed is looked at; no file, form or environment variable names code.
"""

import importlib
import re
from typing import TYPE_CHECKING

from modelwright.core.entry_points import Declared, declared_in
from modelwright.core.errors import ConfigurationError

if TYPE_CHECKING:
    from modelwright.factory.model_types import ModelTypeRegistry

GROUP = "modelwright.families"

_TARGET = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)")


def add_installed_families(registry: "ModelTypeRegistry") -> dict[str, ConfigurationError]:
    """Let every installed family register itself.

    Args:
        registry: Where they go.

    Returns:
        Type -> what is wrong with the plug-in that was to bring it. One that is broken hides no other.
    """
    problems: dict[str, ConfigurationError] = {}
    for declared in declared_in(GROUP):
        if isinstance(declared, ConfigurationError):
            problems.setdefault("a plug-in", declared)
            continue
        before = set(registry.builders)
        try:
            _add(declared, registry)
        except (Exception, SystemExit) as error:  # anybody's code: whatever it raises becomes one sentence
            said = str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
            problem = ConfigurationError(
                f"the plug-in {declared.package} cannot add the family {declared.name!r} by {declared.value}: {said}",
                field=GROUP,
                todo=f"correct or uninstall {declared.package}",
            )
            problem.__cause__ = error
            taken = declared.name in before  # what was there stays usable
            problems.setdefault(f"{declared.name} of {declared.package}" if taken else declared.name, problem)
    return problems


def _add(declared: Declared, registry: "ModelTypeRegistry") -> None:
    target = _TARGET.fullmatch(declared.value)
    if target is None:
        raise ConfigurationError("not an entry point of families", expected="'module:function'", got=declared.value)
    if declared.name in registry.builders:
        raise ConfigurationError("a builder is registered for this type already", todo="choose another name")
    register = getattr(importlib.import_module(target[1]), target[2])
    register(registry)
    if declared.name not in registry.builders:
        raise ConfigurationError("the function registers no type of this name")
