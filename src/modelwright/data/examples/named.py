"""Built-in sets by name, and files: images, points and texts ready to be shared out."""

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from modelwright.core.errors import DataError, MissingDependencyError, NotFoundError, StorageError
from modelwright.core.names import suggestion
from modelwright.core.seeds import named_generator
from modelwright.data.examples.points import PLANES
from modelwright.data.examples.split import Examples, Split, joined, split_rows, split_text

POINTS = 10_000
"""Points that are drawn of a distribution over the plane."""

LARGEST_FILE = 2 << 30
"""Bytes of a file of examples; larger ones do not fit in memory beside a model."""

TEXTS, ARRAYS, TABLES = (".txt", ".txt.gz"), (".npy", ".npz"), (".csv", ".csv.gz")
"""How the names of files end."""


def _scikit_learn() -> Any:
    try:
        import sklearn.datasets
    except ImportError as error:
        raise MissingDependencyError(
            "this set comes with scikit-learn, which is not installed",
            field="data",
            todo="pip install 'modelwright[generative]'",
        ) from error
    return sklearn.datasets


def breast_cancer(seed: int) -> Split:
    """30 measurements of each of 569 tumours, standardised, with their labels (scikit-learn's copy of UCI's set)."""
    found = _scikit_learn().load_breast_cancer()
    x = ((found.data - found.data.mean(0)) / found.data.std(0)).astype(np.float32)
    return Split("breast_cancer", *split_rows(x, found.target.astype(np.int32), seed), kind="points")


def digits(seed: int) -> Split:
    """1,797 handwritten digits, 8 x 8 pixels of 17 greys, with their labels (scikit-learn's copy of UCI's set)."""
    found = _scikit_learn().load_digits()
    x = found.images.astype(np.uint8)[..., None]
    return Split("digits", *split_rows(x, found.target.astype(np.int32), seed), kind="images", levels=17)


def python_topics(seed: int) -> Split:
    """The help topics of the running Python: some 700,000 characters of English about the language."""
    from pydoc_data.topics import topics

    text = "\n\n".join(topics[name] for name in sorted(topics))
    plain = "".join(character for character in text if character == "\n" or 32 <= ord(character) < 127)
    return Split("python_topics", *split_text(plain), kind="text")


def _plane(name: str) -> Callable[[int], Split]:
    def made(seed: int) -> Split:
        x = PLANES[name]().draw(POINTS, named_generator(seed, name)).astype(np.float32)
        return Split(name, *split_rows(x, None, seed), kind="points")

    return made


EXAMPLE_SETS: dict[str, Callable[[int], Split]] = {
    "breast_cancer": breast_cancer,
    "digits": digits,
    "python_topics": python_topics,
    **{name: _plane(name) for name in PLANES},
}
"""Name -> what makes the set from a seed."""


def load_examples(source: str | Path, *, seed: int = 0) -> Split:
    """A built-in set, or a file.

    Files: .npy and .npz of numbers with the examples along the first axis (in an .npz `x_train` and `x_test` where they
    are, else its only array or `x`; labels `y_train`, `y_test`, `y`, `label`), .csv and .csv.gz with a header and a
    column per number, .txt and .txt.gz of text.

    Args:
        source: A name of `EXAMPLE_SETS`, or a path.
        seed: Of the split into parts, where the source has none.

    Raises:
        NotFoundError: it is neither. DataError: the file cannot be used as it is.

    Example:
        >>> load_examples("moons").describe()["shape"]
        [2]
    """
    if str(source) in EXAMPLE_SETS:
        return EXAMPLE_SETS[str(source)](seed)
    path = _file(source)
    if _is_text(path):
        return Split(path.name, *split_text(_text(path)), kind="text")
    parts = _stored(path)
    first, second, third = split_rows(parts[0].x, parts[0].labels, seed)
    if len(parts) == 2:  # the file has its own part to report on
        first, third = _after_each_other(path, first, third), parts[1]
    kind, levels = _kind_of(first.x)
    return Split(path.name, first, second, third, kind=kind, levels=levels)


def load_whole(source: str | Path) -> Examples:
    """Every example of a built-in set or a file, in the order in which they lie, with their row numbers.

    Args:
        source: As for `load_examples`. Of a file with `x_train` and `x_test`, the first comes before the second, and
            the rows are counted through.

    Raises:
        As `load_examples`; a file of few rows is accepted.

    Example:
        >>> whole = load_whole("digits")
        >>> len(whole), whole.labels[:5].tolist(), whole.rows[:3].tolist()
        (1797, [0, 1, 2, 3, 4], [0, 1, 2])
    """
    if str(source) in EXAMPLE_SETS:
        split = EXAMPLE_SETS[str(source)](0)
        return joined((split.train, split.valid, split.test))
    path = _file(source)
    if _is_text(path):
        text = _text(path)
        return Examples(text, None, range(len(text)))
    return _after_each_other(path, *_stored(path))


def _file(source: str | Path) -> Path:
    path = Path(source)
    try:
        there = path.is_file()
    except OSError as error:  # a name longer than the disk takes; a folder that may not be entered
        raise NotFoundError(f"cannot be opened: {error.strerror}", field="data", got=str(source)) from error
    if not there:
        raise NotFoundError(
            f"no set of examples and no file is called {str(source)!r}",
            field="data",
            todo=suggestion(str(source), EXAMPLE_SETS),
        )
    if path.stat().st_size > LARGEST_FILE:
        raise DataError("the file is too large", field="data", expected=f"at most {LARGEST_FILE >> 30} GiB")
    if not path.name.lower().endswith((*TEXTS, *ARRAYS, *TABLES)):
        raise DataError(
            f"{path.name} is of no known kind",
            field="data",
            expected=".npy, .npz, .csv, .csv.gz, .txt or .txt.gz",
            got=path.suffix,
        )
    return path


def _is_text(path: Path) -> bool:
    return path.name.lower().endswith(TEXTS)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            with gzip.open(path) as stream:
                content = stream.read(LARGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name} is not UTF-8 text", field="data", todo="convert it to UTF-8") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path.name} is damaged: {error}", field="data", todo="fetch or compress it again") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error}") from error
    if len(text) < 100:
        raise DataError("too short a text", field="data", expected="at least 100 characters", got=len(text))
    return text


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stream:  # numpy leaves a damaged archive open, which it has opened itself
            found = np.load(stream, allow_pickle=False)
            arrays = {"x": found} if isinstance(found, np.ndarray) else {name: found[name] for name in found.files}
    except Exception as error:  # numpy, zipfile and zlib raise nearly everything about damaged content
        raise DataError(f"{path.name} holds no plain arrays: {error}", field="data") from error
    odd = next((name for name, values in arrays.items() if not isinstance(values, np.ndarray)), None)
    if odd is not None:  # numpy gives any other file of the archive as its bytes
        raise DataError(
            f"{odd!r} in {path.name} is no array", field="data", expected="an archive of arrays, by numpy.savez"
        )
    return arrays


def _csv(path: Path) -> np.ndarray:
    import pandas as pd

    try:
        first = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False)
        frame = pd.read_csv(path)
    except Exception as error:  # pandas, gzip and zlib raise nearly everything about damaged content
        raise DataError(f"{path.name} is no table: {error}", field="data") from error
    names = [str(name) for name in first.iloc[0]]  # as they are written: pandas renames those that stand twice
    if all(_is_number(name) for name in names):
        raise DataError(
            f"the first line of {path.name} holds numbers where the names of the columns belong",
            field="data",
            got=", ".join(names[:5]),
            todo="add a header, a first line of names such as " + ",".join(f"x{k}" for k in range(min(len(names), 3))),
        )
    wrong = [str(name) for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    if wrong:
        raise DataError(
            f"the column {wrong[0]!r} of {path.name} holds no numbers", field="data", expected="columns of numbers"
        )
    return frame.to_numpy(float)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _stored(path: Path) -> tuple[Examples, ...]:
    """What a file of numbers holds: all its examples, or those to train on and those to report on."""
    arrays = _arrays(path) if path.name.lower().endswith(ARRAYS) else {"x": _csv(path)}
    if "x_train" in arrays:
        names = [("x_train", "y_train"), ("x_test", "y_test")]
        parts = [Examples(arrays[x], arrays.get(y)) for x, y in names if x in arrays]
    else:
        of_numbers = [name for name, values in arrays.items() if values.ndim > 1]
        name = "x" if "x" in arrays else of_numbers[0] if len(of_numbers) == 1 else None
        if name is None:
            raise DataError(
                f"which array of {path.name} holds the examples?",
                field="data",
                expected="one called x, or x_train and x_test",
                got=", ".join(arrays),
            )
        parts = [Examples(arrays[name], next((arrays[y] for y in ("y", "label", "labels") if y in arrays), None))]
    found: list[Examples] = []
    begin = 0
    for part in parts:
        _check(path, part)
        found.append(Examples(part.x, part.labels, np.arange(begin, begin + len(part))))
        begin += len(part)
    return tuple(found)


def _after_each_other(path: Path, *parts: Examples) -> Examples:
    x, labels, rows = ([getattr(part, name) for part in parts] for name in ("x", "labels", "rows"))
    of_label = {None if part is None else part.shape[1:] for part in labels}
    if len({part.shape[1:] for part in x}) > 1 or len(of_label) > 1:
        raise DataError(
            f"the parts of {path.name} are not alike",
            field="data",
            expected="x_train and x_test of one shape, both with labels of one shape or neither",
            got=", ".join(str(part.shape[1:]) for part in x),
        )
    return Examples(np.concatenate(x), None if labels[0] is None else np.concatenate(labels), np.concatenate(rows))


def _check(path: Path, part: Examples) -> None:
    x = part.x
    if x.dtype.kind not in "buif" or x.ndim < 2 or len(x) == 0:
        raise DataError(
            f"{path.name} holds no examples",
            field="data",
            expected="numbers with the examples along the first axis",
            got=f"{x.dtype} of shape {x.shape}",
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise DataError(f"{path.name} has numbers that are missing or infinite", field="data")
    if part.labels is not None and part.labels.shape[:1] != (len(x),):
        labels = f"{len(part.labels)} labels" if part.labels.ndim else "a single label"
        raise DataError(f"{path.name} has {labels} for {len(x)} examples", field="data")


def _kind_of(x: np.ndarray) -> tuple[str, int | None]:
    if x.dtype == bool or (x.dtype.kind in "ui" and x.max() <= 1 and x.min() >= 0):
        return "binary", 2
    if x.dtype == np.uint8:
        return "images", 256
    return "points", None
