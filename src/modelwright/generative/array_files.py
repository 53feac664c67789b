"""Arrays of a model in one file: safetensors, each array named by its path, the file's SHA-256 beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from modelwright.core.errors import StorageError
from modelwright.core.files import sha256_of_bytes, write_bytes


def named_arrays(tree: Any) -> dict[str, np.ndarray]:
    """The arrays of a tree by their paths, on the host; keys of random numbers as the words they are made of.

    Example:
        >>> named_arrays({"a": [np.ones(2), np.zeros(())]})
        {'a/0': array([1., 1.]), 'a/1': array(0.)}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    found = {_name(path): np.asarray(_plain(leaf)) for path, leaf in leaves}
    if len(found) != len(leaves):
        raise ValueError("two arrays of a model have one name")  # none would be read back in place of the other
    return found


def packed(tree: Any) -> bytes:
    """A tree's arrays as the content of a safetensors file."""
    return bytes(save({name: np.asarray(values, order="C") for name, values in named_arrays(tree).items()}))


def write_arrays(path: Path, tree: Any) -> str:
    """Write a tree's arrays atomically.

    Returns:
        The SHA-256 of the file.
    """
    content = packed(tree)
    write_bytes(path, content)
    return sha256_of_bytes(content)


def read_arrays(path: Path, sha256: str) -> dict[str, np.ndarray]:
    """The arrays of a file by name.

    Raises:
        StorageError: there is no such file, or it is not what was written.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    if sha256_of_bytes(content) != sha256:
        raise StorageError(
            f"{path} is damaged: its SHA-256 is not the one written beside it", todo="train again, or restore the file"
        )
    try:
        return dict(load(content))
    except SafetensorError as error:
        raise StorageError(f"{path} holds no arrays: {error}") from error


def put_back(tree: Any, arrays: Mapping[str, np.ndarray], *, source: str) -> Any:
    """A tree like this one with the stored arrays in it.

    Args:
        tree: Of the same structure as the one written; its values do not matter.
        arrays: By name.
        source: The file, for messages.

    Raises:
        StorageError: an array is missing, or is of another shape or type.
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(tree)
    names = [_name(path) for path, _ in leaves]
    if set(names) != set(arrays):
        odd = sorted(set(names) ^ set(arrays))[0]
        raise StorageError(f"{source} belongs to another model: {odd} is in one of the two only")
    found = []
    for name, (_, leaf) in zip(names, leaves, strict=True):
        wanted, stored = np.asarray(_plain(leaf)), arrays[name]
        if wanted.shape != stored.shape or wanted.dtype != stored.dtype:
            raise StorageError(
                f"{source} belongs to another model: {name} is {stored.dtype} {stored.shape}",
                expected=f"{wanted.dtype} {wanted.shape}",
            )
        value = jax.numpy.asarray(stored)
        found.append(jax.random.wrap_key_data(value) if _is_key(leaf) else value)
    return jax.tree.unflatten(structure, found)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _plain(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _name(path: Any) -> str:
    parts = []
    for entry in path:
        found = next((getattr(entry, kind) for kind in ("key", "idx", "name") if hasattr(entry, kind)), None)
        parts.append(str(found))
    # a variable of Flax is a node with its value inside, which adds nothing to the name
    return "/".join(part for part in parts if part != "value")
