"""Fits on disk: arrays as .npz without pickle, the rest as JSON, each file whole or absent.

A model and a guide are code and stay where they are: whoever reads a fit back hands them over again.
"""

from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from modelwright.core.documents import read_json
from modelwright.core.errors import NotFoundError, StorageError
from modelwright.core.files import json_text, write_bytes, write_text

ARRAYS = "arrays.npz"
DOCUMENT = "fit.json"
FORMAT = 1


def write_fit(folder: Path, kind: str, groups: Mapping[str, Any], document: Mapping[str, Any]) -> Path:
    """Write groups of arrays and a document.

    Args:
        folder: Where; created. The document is written last: where it lies, the arrays are whole.
        kind: What is written ("svi", "nuts", "laplace").
        groups: Name -> a tree of dictionaries with arrays at its ends.
        document: Plain data.
    """
    paths: list[list[str]] = []
    arrays: dict[str, np.ndarray] = {}
    for group, tree in groups.items():
        for path, leaf in _leaves(tree, [group]):
            arrays[f"array_{len(paths)}"] = np.asarray(leaf)
            paths.append(path)
    buffer = BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    write_bytes(folder / ARRAYS, buffer.getvalue())
    write_text(folder / DOCUMENT, json_text({"format": FORMAT, "kind": kind, "paths": paths, **document}))
    return folder


def read_fit(folder: Path | str, kind: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read back what `write_fit` wrote: groups and document.

    Raises:
        NotFoundError: there is no fit, or one of another kind. StorageError: the files are damaged.
    """
    folder = Path(folder)
    if not (folder / DOCUMENT).exists():
        raise NotFoundError(f"no fit in {folder}", field="folder", expected=f"a file {DOCUMENT}")
    document = read_json(folder / DOCUMENT)
    if document.get("kind") != kind or document.get("format") != FORMAT:
        raise NotFoundError("another kind of fit", field="folder", expected=f"kind {kind!r}", got=document.get("kind"))
    groups: dict[str, Any] = {}
    try:
        with np.load(BytesIO((folder / ARRAYS).read_bytes()), allow_pickle=False) as stored:
            for k, path in enumerate(document["paths"]):
                place = groups
                for key in path[:-1]:
                    place = place.setdefault(key, {})
                place[path[-1]] = stored[f"array_{k}"]
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise StorageError(f"cannot read {folder / ARRAYS}: {error}", todo="fit again") from error
    return groups, document


def _leaves(tree: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    if isinstance(tree, Mapping):
        for key, branch in tree.items():
            yield from _leaves(branch, [*path, str(key)])
    else:
        yield path, tree
