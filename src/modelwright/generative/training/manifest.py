"""What the manifest of a checkpoint holds, looked at before anything relies on it: files are edited, and discs fail."""

from collections.abc import Callable
from typing import Any

from modelwright.core.documents import parse_json
from modelwright.core.errors import ConfigurationError, StorageError, came

FORMAT = 2


def checked_manifest(manifest: dict[str, Any], *, source: str) -> dict[str, Any]:
    """The manifest, every part of it of the kind that was written.

    Args:
        manifest: As read from JSON.
        source: The file, for messages.

    Raises:
        StorageError: it is of another format, or damaged; names the part.
    """
    if manifest.get("format") != FORMAT:
        raise StorageError(f"{source} is of another format", expected=f"format {FORMAT}", got=manifest.get("format"))
    for name, (is_fine, expected) in _PARTS.items():
        found: Any = manifest
        for key in name.split("."):
            if key not in found:
                raise StorageError(f"{source} is damaged: {name} is missing")
            found = found[key]
        if not is_fine(found):
            raise StorageError(
                f"{source} is damaged: {name} is something else",
                expected=expected,
                got=came(found),
            )
    return manifest


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_loss(value: Any) -> bool:  # JSON knows no numbers that are not finite
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_history(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(losses, list) and all(map(_is_loss, losses)) for losses in value.values()
    )


def _are_looks(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(row, list) and len(row) == 2 and _is_whole(row[0]) and _is_loss(row[1]) for row in value
    )


def _is_recipe(value: Any) -> bool:
    if value is None:  # of a model that was made by hand
        return True
    if not isinstance(value, str):
        return False
    try:
        made_from = parse_json(value, source="recipe")
    except ConfigurationError:
        return False
    return isinstance(made_from.get("configuration"), dict) and "modality" in made_from


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


# the parts by their paths, a mapping before what is in it
_PARTS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "step": (_is_whole, "a whole number of at least 0"),
    "training": (_is_mapping, "a mapping"),
    "training.recipe": (_is_recipe, "a configuration and a modality as JSON text, or null"),
    "history": (_is_mapping, "a mapping"),
    "history.history": (_is_history, "names with lists of numbers"),
    "history.evaluations": (_are_looks, "rows of a step and a loss"),
    "history.every": (lambda value: _is_whole(value) and value > 0, "a whole number of at least 1"),
    "arrays": (_is_mapping, "a mapping"),
    "arrays.file": (_is_text, "the name of a file"),
    "arrays.sha256": (_is_text, "a SHA-256"),
}
