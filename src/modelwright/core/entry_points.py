"""What installed packages declare for us: their entry points, read without importing anything."""

import importlib.metadata
from collections.abc import Iterator
from dataclasses import dataclass

from modelwright.core.errors import ConfigurationError


@dataclass(frozen=True)
class Declared:
    """One entry point.

    Args:
        name: Left of the equals sign.
        value: Right of it.
        package: What declares it, as it is installed.
    """

    name: str
    value: str
    package: str


def declared_in(group: str) -> Iterator[Declared | ConfigurationError]:
    """The entry points of a group, and for each package whose entry points cannot be read the error that says so.

    Of a package that is on the path twice the first counts, which is the one that Python imports.

    Args:
        group: Such as "modelwright.models".
    """
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        try:
            # The text before the objects: parsing the entry points of everything installed takes longer than the rest.
            if group not in (distribution.read_text("entry_points.txt") or ""):
                continue
            package = distribution.metadata["Name"]
            points = [point for point in distribution.entry_points if point.group == group]
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:  # what a damaged file raises
            yield ConfigurationError(f"its entry points cannot be read: {error}", todo="install the plug-in again")
            continue
        if package in seen:
            continue
        seen.add(package)
        for point in points:
            yield Declared(point.name, point.value, package)
