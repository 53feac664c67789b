"""A mapping that cannot be changed, and can be hashed, copied and sent to another process."""

from collections.abc import Iterator, Mapping
from typing import Any, final


@final
class FrozenMapping(Mapping[str, Any]):
    """A read-only mapping; equal to any mapping of the same items, and hashable where its values are.

    Args:
        items: What is in it; a copy is kept.

    Example:
        >>> FrozenMapping({"a": 1}) == {"a": 1}, len({FrozenMapping({"a": 1}), FrozenMapping({"a": 1})})
        (True, 1)
    """

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] | None = None) -> None:
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> Any:
        return self._items[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self}

    def copy(self) -> dict[str, Any]:
        """A dictionary of the same items, which may be changed."""
        return dict(self)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return f"FrozenMapping({self._items!r})"

    def __reduce__(self) -> tuple[type["FrozenMapping"], tuple[dict[str, Any]]]:
        return FrozenMapping, (self._items,)
