"""Finding model directories below the roots, broken ones included, without running any code.

A directory is a model when it has a config.yaml, whatever state that is in; the id is the directory's name.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from modelwright.catalog.metadata import CONFIG_FILE, ModelMetadata
from modelwright.catalog.roots import Root, RootProblem
from modelwright.core.errors import ConfigurationError, ModelwrightError, NotFoundError, StorageError
from modelwright.core.files import inside
from modelwright.core.names import check_identifier


@dataclass(frozen=True)
class ModelEntry:
    """A model directory that was found.

    Args:
        model_id: The name of the directory.
        directory: The directory; of an entry of the zoo its file.
        root: The root it was found in.
        metadata: Its description; None when it is broken.
        error: Why it cannot be used; None when it can.
    """

    model_id: str
    directory: Path
    root: Root
    metadata: ModelMetadata | None = None
    error: ModelwrightError | None = None


def discover(roots: Iterable[Root | RootProblem]) -> list[ModelEntry]:
    """Every model directory in the order of the roots, broken ones included.

    A model whose id an earlier root already provides is listed as broken: the first wins, and says so. A broken
    directory takes no id from a sound one.
    """
    visited: set[Path] = set()  # a directory that two roots lead to is one directory
    return unshadowed(entry for root in roots for entry in _entries_of(root, visited))


def unshadowed(found: Iterable[ModelEntry]) -> list[ModelEntry]:
    """Entries in their order, each whose id an earlier sound one has replaced by a broken one that says so."""
    entries: list[ModelEntry] = []
    provided: dict[str, ModelEntry] = {}
    for entry in found:
        first = provided.setdefault(entry.model_id, entry) if entry.metadata is not None else entry
        entries.append(entry if first is entry else _hidden_by(first, entry))
    return entries


def _entries_of(root: Root | RootProblem, visited: set[Path]) -> Iterator[ModelEntry]:
    if isinstance(root, RootProblem):
        yield ModelEntry(root.name, Path(), Root(Path(), root.origin), error=root.error)
        return
    try:
        walls = root.path.resolve()
        if walls in visited:
            return
        visited.add(walls)
        if _has_config(root.path):
            names = [(root.path.parent, root.path.name)]
        else:
            found = sorted(os.listdir(root.path))
            names = [(root.path, name) for name in found if not name.startswith(".")]  # hidden: somebody is writing it
    except (FileNotFoundError, NotADirectoryError):
        if root.expected:
            missing = NotFoundError(f"{root.origin} names the folder {root.path}, which does not exist")
            yield ModelEntry(root.path.name, root.path, root, error=missing)
        return
    except (OSError, RuntimeError, ValueError) as failure:  # RuntimeError: a loop of links; ValueError: a NUL
        error = StorageError(f"cannot read the folder {root.path}: {getattr(failure, 'strerror', None) or failure}")
        yield ModelEntry(root.path.name, root.path, root, error=error)
        return
    for parent, name in names:
        entry = _entry_of(root, parent / name)
        if entry is not None and (parent / name == root.path or walls / name not in visited):
            visited.add(walls / name)
            yield entry


def _entry_of(root: Root, directory: Path) -> ModelEntry | None:
    """The model in a directory, or None when it is no model directory."""
    name = directory.name
    try:
        if not _has_config(directory):
            return None
        check_identifier(name, field="model")
        inside(root.path, str(directory.relative_to(root.path)), CONFIG_FILE, field=str(directory / CONFIG_FILE))
        metadata = ModelMetadata.from_file(directory / CONFIG_FILE)
    except ModelwrightError as error:
        return ModelEntry(name, directory, root, error=error)
    except OSError as failure:
        unreadable = StorageError(f"cannot read {directory}: {failure.strerror}")
        return ModelEntry(name, directory, root, error=unreadable)
    return ModelEntry(name, directory, root, metadata=metadata)


def _has_config(directory: Path) -> bool:
    """Whether there is a config.yaml of any kind: a folder, a broken link or an unreadable file is a broken model."""
    try:
        os.lstat(directory / CONFIG_FILE)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _hidden_by(first: ModelEntry, entry: ModelEntry) -> ModelEntry:
    error = ConfigurationError(
        f"the model in {entry.directory} is hidden: {first.root.origin} provides one of this id in {first.directory}",
        field=entry.model_id,
        todo="rename one of the two",
    )
    return replace(entry, metadata=None, error=error)
