"""A table from names to things, refusing what would hide a mistake."""

import importlib
from collections.abc import Iterator
from typing import Generic, TypeVar, cast

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """Name -> object, or name -> "module:attribute" that is imported when first asked for.

    The table is written by code, never by a file: a name that misses raises with the nearest match, and nothing a
    person sends can name a module.

    Args:
        kind: What is registered, for messages ("engine").

    Example:
        >>> shapes = Registry("shape")
        >>> shapes.add("square", 4)
        >>> shapes["square"]
        4
        >>> shapes["sqare"]
        Traceback (most recent call last):
        modelwright.core.errors.NotFoundError: no shape is called 'sqare'; did you mean 'square'? known: square
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._table: dict[str, T | str] = {}

    def add(self, name: str, thing: T) -> None:
        """Register an object under a new name; a second registration of one name is an error."""
        self._put(name, thing)

    def add_lazy(self, name: str, target: str) -> None:
        """Register "module:attribute", imported at the first look-up."""
        module, separator, attribute = target.partition(":")
        if not (module and separator and attribute):
            raise ConfigurationError("not a lazy target", field=name, expected="'module:attribute'", got=target)
        self._put(name, _Lazy(target))

    def _put(self, name: str, thing: "T | str") -> None:
        if name in self._table:
            raise ConfigurationError(
                f"a {self.kind} of this name is registered already", field=name, todo="choose another name"
            )
        self._table[name] = thing

    def __getitem__(self, name: str) -> T:
        if name not in self._table:
            raise unknown_name(self.kind, name, self._table)
        found = self._table[name]
        if isinstance(found, _Lazy):
            module, _, attribute = found.partition(":")
            found = cast(T, getattr(importlib.import_module(module), attribute))
            self._table[name] = found
        return cast(T, found)

    def __contains__(self, name: object) -> bool:
        return name in self._table

    def __iter__(self) -> Iterator[str]:
        return iter(self._table)

    def __len__(self) -> int:
        return len(self._table)


class _Lazy(str):
    """Marks a table entry that is still a "module:attribute"."""

    __slots__ = ()
