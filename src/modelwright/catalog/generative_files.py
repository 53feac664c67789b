"""Samples as files: pictures, arrays, texts."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.catalog.generative_pictures import image_grid, is_image, points_png
from modelwright.core.errors import ConfigurationError
from modelwright.core.files import check_destination, json_text, write_bytes, write_text

SUFFIXES = (".png", ".npy", ".txt", ".json")

RULE = "-" * 40
"""The line between two texts in a .txt file: texts have lines of their own. In a .json file none is needed."""

MOST_IN_PICTURE = 1_000
"""Images in one picture (arbitrary: nobody looks at more, and one of some tens of thousands cannot be drawn)."""


def check_samples_file(path: Path) -> None:
    """Refuse a file of no known kind, or one that cannot be written, before anything is drawn.

    Raises:
        ConfigurationError: its name has another ending, or it is a folder. StorageError: the disk refuses it.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(
            "no kind of file for samples",
            field="out",
            expected="a name ending in .png, .npy, .txt or .json",
            got=str(path),
        )
    check_destination(path)


def check_samples_kind(path: Path, n: int, shape: tuple[int, ...] | None) -> None:
    """Refuse a kind of file that such samples cannot be written as; asked before they are drawn.

    Args:
        path: Ends in .png, .npy, .txt or .json.
        n: How many there are.
        shape: Of one of them; None for a text.

    Raises:
        ConfigurationError: these samples cannot be written so; the message says how they can.

    Example:
        >>> check_samples_kind(Path("samples.png"), 64, (30,))
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: out: samples of shape (30,) are neither images nor points of the \
plane; expected a name ending in .npy or .txt, got 'samples.png'
    """
    if shape is None:
        if path.suffix not in (".txt", ".json"):
            raise ConfigurationError(
                "samples are texts", field="out", expected="a name ending in .txt or .json", got=str(path)
            )
        return
    if path.suffix == ".json":
        raise ConfigurationError(
            "samples are arrays", field="out", expected=f"a name ending in {_names_for(shape)}", got=str(path)
        )
    if path.suffix != ".png":
        return
    if is_image(shape):
        if n > MOST_IN_PICTURE:
            raise ConfigurationError(
                "too many images for one picture",
                field="n",
                expected=f"at most {MOST_IN_PICTURE:,}",
                got=n,
                todo="write them to a name ending in .npy",
            )
    elif shape != (2,):
        raise ConfigurationError(
            f"samples of shape {shape} are neither images nor points of the plane",
            field="out",
            expected=f"a name ending in {_names_for(shape)}",
            got=str(path),
        )


def _names_for(shape: tuple[int, ...]) -> str:
    """The suffixes that samples of a shape can be written to."""
    return ".png, .npy or .txt" if is_image(shape) or shape == (2,) else ".npy or .txt"


def write_samples(path: Path, samples: Any) -> None:
    """Write samples by the suffix of the file.

    Args:
        path: Ends in .png, .npy, .txt or .json.
        samples: An array, or a list of texts.

    Raises:
        ConfigurationError: as for `check_samples_kind`. StorageError: the disk refused; an old file is as it was.
    """
    shape = None if isinstance(samples, list) else samples.shape[1:]
    check_samples_kind(path, len(samples), shape)
    if shape is None:
        between = f"\n{RULE}\n"
        write_text(path, json_text(samples) if path.suffix == ".json" else between.join(samples) + "\n")
    elif path.suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, samples, allow_pickle=False)
        write_bytes(path, stream.getvalue())
    elif path.suffix == ".txt":
        write_text(path, "".join(" ".join(f"{v:g}" for v in row.reshape(-1)) + "\n" for row in samples))
    else:
        write_bytes(path, image_grid(samples) if is_image(shape) else points_png(samples))
