"""Examples with their conditions, in three parts: to train on, to decide on, to report on."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from modelwright.core.errors import DataError
from modelwright.core.seeds import named_generator


@dataclass(frozen=True, eq=False)
class Examples:
    """Examples as they are, before any model's coding.

    Args:
        x: An array with the examples along its first axis, or one long text.
        labels: A label for each, shape (n,), or None.
        rows: The number of each example (of a text: of each character) in the set as it lies, counted from 0; None
            where it lies in no set.
    """

    x: Any
    labels: np.ndarray | None = None
    rows: Sequence[int] | np.ndarray | None = None

    def __len__(self) -> int:
        """How many examples, or characters of a text."""
        return len(self.x)


@dataclass(frozen=True, eq=False)
class Split:
    """Three parts of one set of examples.

    Args:
        name: Of the set, or the file.
        train: To train on.
        valid: To decide on: when to stop, which model.
        test: To report on.
        kind: "images" (whole numbers from 0 to `levels` - 1), "binary", "points" (real numbers) or "text".
        levels: Of images: how many values a number can take.
    """

    name: str
    train: Examples
    valid: Examples
    test: Examples
    kind: str
    levels: int | None = None

    def describe(self) -> dict[str, Any]:
        """What a manifest keeps: name, sizes, shape, and checksums of what is trained on and of all else."""
        x = self.train.x
        others = (self.train.labels, *(one for part in (self.valid, self.test) for one in (part.x, part.labels)))
        return {
            "name": self.name,
            "kind": self.kind,
            "train": len(self.train),
            "valid": len(self.valid),
            "test": len(self.test),
            "shape": [] if isinstance(x, str) else list(x.shape[1:]),
            "crc32": _checksum(x),
            "crc32_rest": _checksum(*others),
        }


def _checksum(*contents: Any) -> int:
    found = 0
    for content in contents:
        if isinstance(content, str):
            found = zlib.crc32(content.encode("utf-8"), found)
        elif content is not None:
            found = zlib.crc32(np.ascontiguousarray(content).tobytes(), found)
    return found


def split_rows(x: np.ndarray, labels: np.ndarray | None, seed: int) -> tuple[Examples, Examples, Examples]:
    """Rows shuffled and shared out: eight tenths to train on, a tenth each to decide and to report on.

    Args:
        x: Shape (n, ...), n at least 10.
        labels: Shape (n,), or None.
        seed: Of the shuffling.
    """
    if np.ndim(x) == 0:
        raise DataError("a single number", field="data", expected="examples along the first axis", got=x)
    if labels is not None and np.shape(labels)[:1] != (len(x),):
        raise DataError("labels of other examples", field="data", expected=f"{len(x)} of them", got=np.shape(labels))
    if len(x) < 10:
        raise DataError("too few examples to share out", field="data", expected="at least 10", got=len(x))
    order = named_generator(seed, "split").permutation(len(x))
    edges = (0, int(0.8 * len(x)), int(0.9 * len(x)), len(x))
    parts = [order[a:b] for a, b in pairwise(edges)]
    first, second, third = (Examples(x[part], None if labels is None else labels[part], part) for part in parts)
    return first, second, third


def split_text(text: str) -> tuple[Examples, Examples, Examples]:
    """A text cut into its first nine tenths, and the two halves of the rest."""
    edges = (0, int(0.9 * len(text)), int(0.95 * len(text)), len(text))
    first, second, third = (Examples(text[a:b], None, range(a, b)) for a, b in pairwise(edges))
    return first, second, third


def joined(parts: Sequence[Examples]) -> Examples:
    """Parts of one set put together again, in the order in which the set lies.

    Args:
        parts: With their row numbers, and with labels all or none.

    Example:
        >>> parts = split_rows(np.arange(20.0)[:, None], None, seed=0)
        >>> joined(parts).x[:4, 0].tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    rows_of = [np.asarray(part.rows) for part in parts]
    rows = np.concatenate(rows_of)
    order = np.argsort(rows)
    if isinstance(parts[0].x, str):  # each part is one stretch of the text
        stretches = sorted((int(own.min(initial=len(rows))), part.x) for own, part in zip(rows_of, parts, strict=True))
        return Examples("".join(text for _, text in stretches), None, range(len(rows)))
    labels = None if parts[0].labels is None else np.concatenate([part.labels for part in parts])[order]
    return Examples(np.concatenate([part.x for part in parts])[order], labels, rows[order])
