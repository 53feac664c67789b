"""Where models are looked for: the package, the project, MODELWRIGHT_MODELS, and installed plug-ins, in this order.

Finding a root runs no code of it: a plug-in's package is located on the import path, not imported.
"""

import importlib.machinery
import importlib.util
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.entry_points import declared_in
from modelwright.core.errors import ConfigurationError, NotFoundError

ENTRY_POINT_GROUP = "modelwright.models"
ROOTS_VARIABLE = "MODELWRIGHT_MODELS"
PROJECT_FOLDER = "bayesian_models"

_PACKAGE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True)
class Root:
    """A folder that holds model directories, or is one.

    Args:
        path: The folder.
        origin: Who named it, in words for a person.
        package: The dotted name of the folder when it is an importable package, else None.
        expected: Whether its absence is an error: somebody named it.
    """

    path: Path
    origin: str
    package: str | None = None
    expected: bool = True


@dataclass(frozen=True)
class RootProblem:
    """A root that was named and cannot be used."""

    name: str
    origin: str
    error: ConfigurationError | NotFoundError


def default_roots(project: Path) -> list[Root | RootProblem]:
    """Every root there is for a project folder, in the order in which they win."""
    return [
        Root(Path(__file__).parent / "models", "the package", "modelwright.catalog.models"),
        Root(project / PROJECT_FOLDER, "the project", expected=False),
        *_roots_of_variable(os.environ.get(ROOTS_VARIABLE, ""), project),
        *_roots_of_plug_ins(),
    ]


def _roots_of_variable(value: str, project: Path) -> Iterator[Root]:
    for part in value.split(os.pathsep):
        if part.strip():
            # From the project: a change of the working directory must not change where code comes from.
            yield Root(project / os.path.expanduser(part.strip()), ROOTS_VARIABLE)


def _roots_of_plug_ins() -> Iterator[Root | RootProblem]:
    for declared in declared_in(ENTRY_POINT_GROUP):
        if isinstance(declared, ConfigurationError):
            yield RootProblem("plug-in", "a plug-in", declared)
        else:
            yield _root_of_entry_point(declared.name, declared.value, f"the plug-in {declared.package}")


def _root_of_entry_point(name: str, value: str, origin: str) -> Root | RootProblem:
    if not _PACKAGE.fullmatch(value):
        error = ConfigurationError(
            "not an entry point of models", field=name, expected="the dotted name of a package", got=value
        )
        return RootProblem(name, origin, error)
    folder = locate_package(value)
    if folder is None:
        missing = NotFoundError(f"{origin} names the package {value}, which is not installed", field=name)
        return RootProblem(name, origin, missing)
    return Root(folder, origin, value)


def locate_package(dotted: str) -> Path | None:
    """The folder of a package, found without importing it or its parents; None when there is none.

    Example:
        >>> locate_package("modelwright.catalog.models").name
        'models'
    """
    first, *rest = dotted.split(".")
    try:
        spec = importlib.util.find_spec(first)  # a top-level name: located by the finders, nothing runs
    except (ImportError, ValueError):  # ValueError: a module without a specification has taken the name
        return None
    for depth, _ in enumerate(rest):
        if spec is None or spec.submodule_search_locations is None:
            return None
        qualified = ".".join([first, *rest[: depth + 1]])
        spec = importlib.machinery.PathFinder.find_spec(qualified, list(spec.submodule_search_locations))
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))
