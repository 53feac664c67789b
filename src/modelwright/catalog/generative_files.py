"""Samples as files: pictures, arrays, texts."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.catalog.generative_pictures import image_grid, is_image, points_png
from modelwright.core.errors import ConfigurationError
from modelwright.core.files import check_destination, write_bytes, write_text

SUFFIXES = (".png", ".npy", ".txt")


def check_samples_file(path: Path) -> None:
    """Refuse a file of no known kind, or one that cannot be written, before anything is drawn.

    Raises:
        ConfigurationError: its name has another ending, or it is a folder. StorageError: the disk refuses it.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigurationError(
            "no kind of file for samples", field="out", expected="a name ending in .png, .npy or .txt", got=str(path)
        )
    check_destination(path)


def write_samples(path: Path, samples: Any) -> None:
    """Write samples by the suffix of the file.

    Args:
        path: Ends in .png, .npy or .txt.
        samples: An array, or a list of texts.

    Raises:
        ConfigurationError: these samples cannot be written so; the message says how they can.
    """
    if isinstance(samples, list):
        if path.suffix != ".txt":
            raise ConfigurationError("samples are texts", field="out", expected="a name ending in .txt", got=str(path))
        write_text(path, "\n".join(samples) + "\n")
        return
    if path.suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, samples, allow_pickle=False)
        write_bytes(path, stream.getvalue())
        return
    if path.suffix == ".txt":
        write_text(path, "".join(" ".join(f"{v:g}" for v in row.reshape(-1)) + "\n" for row in samples))
        return
    content = image_grid(samples) if is_image(samples) else points_png(samples)
    if content is None:
        raise ConfigurationError(
            f"samples of shape {samples.shape[1:]} are neither images nor points of the plane",
            field="out",
            expected="a name ending in .npy",
            got=str(path),
        )
    write_bytes(path, content)
