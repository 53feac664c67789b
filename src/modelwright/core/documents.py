"""Reading JSON and YAML that somebody else may have written: bounded, without tags, aliases or duplicate keys."""

import json
import stat
from pathlib import Path
from typing import Any

import yaml

from modelwright.core.errors import ConfigurationError, NotFoundError, StorageError

LARGEST_FILE = 1 << 20
"""Bytes a description may have (1 MiB): far above any real one, far below what could hurt."""

DEEPEST = 20
"""Levels of nesting a description may have."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


class _StrictLoader(yaml.SafeLoader):
    """YAML without aliases, merge keys, tags, duplicate keys, deep nesting or numbers to the base of 60."""

    _depth = 0

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        found = str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]
        if found in _NUMBERS and value is not None and ":" in value:
            # YAML 1.1 counts 1:30 to the base of 60: a time or a ratio would silently be 90.
            return "tag:yaml.org,2002:str"
        return found

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="anchors and aliases are not read", problem_mark=event.start_mark)
        if getattr(event, "tag", None):
            raise yaml.MarkedYAMLError(problem=f"the tag {event.tag} is not read", problem_mark=event.start_mark)
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {DEEPEST}", problem_mark=event.start_mark)
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 (PyYAML's signature)
        seen: set[str] = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be plain text", problem_mark=key_node.start_mark)
            if key_node.tag == "tag:yaml.org,2002:merge":
                raise yaml.MarkedYAMLError(problem="merge keys are not read", problem_mark=key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_text(path: Path, *, largest: int = LARGEST_FILE) -> str:
    """The UTF-8 text of a file of at most `largest` bytes.

    Raises:
        NotFoundError: no such file. ConfigurationError: no regular file, too large or not text. StorageError:
            unreadable.
    """
    _check_regular_file(path)
    try:
        with path.open("rb") as stream:
            content = stream.read(largest + 1)
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > largest:
        raise ConfigurationError(f"{path} is too large", expected=f"at most {largest} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is not UTF-8 text") from error


def _check_regular_file(path: Path) -> None:
    # Before opening: a named pipe would wait for ever, a device would never end.
    try:
        mode = path.stat().st_mode
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise StorageError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"{path} is not a file", expected="a regular file", got=stat.filemode(mode))


def parse_yaml(text: str, *, source: str) -> dict[str, Any]:
    """A YAML mapping; anything else is refused with the line it stands on.

    Example:
        >>> parse_yaml("name: x", source="config.yaml")
        {'name': 'x'}
    """
    try:
        document = yaml.load(text, Loader=_StrictLoader)  # a SafeLoader that refuses more
    except yaml.MarkedYAMLError as error:
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{source}{line}: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise ConfigurationError(f"{source}: not YAML: {error}") from error
    return _mapping(document, source)


def read_yaml(path: Path) -> dict[str, Any]:
    """The YAML mapping in a file; see `parse_yaml`."""
    return parse_yaml(read_text(path), source=str(path))


def parse_json(text: str, *, source: str) -> dict[str, Any]:
    """A JSON object without duplicate keys.

    Example:
        >>> parse_json('{"a": 1}', source="manifest.json")
        {'a': 1}
    """
    if not text.strip():
        return _mapping(None, source)
    try:
        document = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, source))
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{source}: not JSON: {error}") from error
    return _mapping(document, source)


def read_json(path: Path, *, largest: int = 64 * LARGEST_FILE) -> dict[str, Any]:
    """The JSON object in a file; see `parse_json`."""
    return parse_json(read_text(path, largest=largest), source=str(path))


def _unique(pairs: list[tuple[str, Any]], source: str) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for key, value in pairs:
        if key in document:
            raise ConfigurationError(f"{source}: the key {key!r} stands twice")
        document[key] = value
    return document


def _mapping(document: Any, source: str) -> dict[str, Any]:
    if document is None:
        raise ConfigurationError(f"{source}: is empty", expected="a mapping of keys to values")
    if not isinstance(document, dict):
        raise ConfigurationError(f"{source}: not a description", expected="a mapping of keys to values", got=document)
    return document
