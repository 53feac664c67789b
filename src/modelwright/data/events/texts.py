"""Texts per observation, each distinct one kept once: twenty million window names are twenty numbers a person reads.

A `Texts` is what an array of texts is to whoever reads it (it can be indexed, compared, listed and given to numpy and
pandas), and holds a code per observation into a short sequence of distinct texts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final, overload

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelwright.core.errors import DataError

Codes = NDArray[np.int32]

CATEGORICAL_FROM = 200_000
"""Rows from which a table holds texts as categories: below, their size does not matter and plain texts are simpler."""

_BLOCK = 1_000_000


@final
@dataclass(frozen=True)
class RowNames(Sequence[str]):
    """The names "row 1", "row 2" ... of the rows of a source, made when they are asked for.

    Args:
        n_rows: How many there are.

    Example:
        >>> RowNames(3)[2], len(RowNames(3))
        ('row 3', 3)
    """

    n_rows: int

    def __len__(self) -> int:
        return self.n_rows

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> list[str]: ...
    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [f"row {number + 1}" for number in range(self.n_rows)[place]]
        return f"row {range(self.n_rows)[place] + 1}"


@final
class Texts:
    """Texts per observation.

    Args:
        values: The distinct texts.
        codes: Which of them each observation has, shape (n_obs,), whole numbers from 0.

    Raises:
        DataError: for a code without a text.

    Example:
        >>> texts = Texts(("mon", "tue"), [0, 1, 0])
        >>> texts[1], texts.tolist(), (texts == "mon").tolist()
        ('tue', ['mon', 'tue', 'mon'], [True, False, True])
        >>> np.unique(texts).tolist(), texts[[True, False, True]].tolist()
        (['mon', 'tue'], ['mon', 'mon'])
    """

    __slots__ = ("_codes", "_values")
    __hash__ = None  # type: ignore[assignment]  # comparing gives an array, as it does for arrays

    def __init__(self, values: Sequence[str], codes: Any) -> None:
        held = np.array(codes, dtype=np.int32) if np.asarray(codes).flags.writeable else np.asarray(codes, np.int32)
        if held.ndim != 1:
            raise DataError("not a plain column", field="codes", expected="one code per observation", got=held.shape)
        if len(held) and not (held.min() >= 0 and held.max() < len(values)):
            raise DataError("a code has no text", field="codes", expected=f"numbers from 0 to {len(values) - 1}")
        held.flags.writeable = False
        self._values: Sequence[str] = values if isinstance(values, RowNames) else tuple(values)
        self._codes: Codes = held

    @classmethod
    def of(cls, texts: Any, *, name: str = "texts") -> "Texts":
        """Texts of anything that holds one per observation; missing ones become "".

        Args:
            texts: Texts, a pandas column (categories among them), or a sequence; other values become texts.
            name: What to call them in an error.

        Raises:
            DataError: when there is more than one dimension.

        Example:
            >>> Texts.of(["b", None, "b"]).tolist(), Texts.of(pd.Categorical(["x", "y"])).values
            (['b', '', 'b'], ('x', 'y'))
        """
        if isinstance(texts, cls):
            return texts
        if not isinstance(texts, pd.Series | pd.Index | pd.Categorical):
            texts = np.asarray(texts)
            if texts.ndim != 1:
                raise DataError("not a plain column", field=name, expected="one value per observation", got=texts.shape)
        rows = _names_of_rows(texts) if isinstance(texts, pd.Series) and len(texts) >= CATEGORICAL_FROM else None
        if rows is not None:
            return cls(RowNames(int(rows.max())), rows - 1)
        codes, distinct = as_codes(texts)
        if (codes < 0).any():
            codes = np.where(codes < 0, len(distinct), codes)
            distinct = [*distinct, ""]
        return cls(*_used_once(distinct, codes))

    @property
    def values(self) -> Sequence[str]:
        """The distinct texts; some may occur in no observation."""
        return self._values

    @property
    def codes(self) -> Codes:
        """Which of `values` each observation has, shape (n_obs,), read-only."""
        return self._codes

    @property
    def dtype(self) -> np.dtype[np.object_]:
        """What `np.asarray` makes of it."""
        return np.dtype(object)

    @property
    def shape(self) -> tuple[int]:
        """(n_obs,)."""
        return (len(self._codes),)

    @property
    def ndim(self) -> int:
        """One."""
        return 1

    @property
    def size(self) -> int:
        """How many observations."""
        return len(self._codes)

    def __len__(self) -> int:
        return len(self._codes)

    @overload
    def __getitem__(self, place: int | np.integer[Any]) -> str: ...
    @overload
    def __getitem__(self, place: Any) -> "Texts": ...
    def __getitem__(self, place: Any) -> "str | Texts":
        chosen = self._codes[place]
        return Texts(self._values, chosen) if np.ndim(chosen) else self._values[int(chosen)]

    def __iter__(self) -> Iterator[str]:
        return (self._values[code] for code in self._codes.tolist())

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:  # noqa: FBT001 (numpy's signature)
        if copy is False:
            raise ValueError("texts are kept as codes: an array of them is always a copy")
        texts = self._distinct()[self._codes] if self._few else np.array(self.tolist(), dtype=object)
        return texts if dtype is None else texts.astype(dtype)

    def __eq__(self, other: object) -> NDArray[np.bool_]:  # type: ignore[override]
        if isinstance(other, str) and self._few:
            return np.asarray((self._distinct() == other)[self._codes], dtype=np.bool_)
        return np.asarray(np.asarray(self) == np.asarray(other, dtype=object), dtype=np.bool_)

    def __ne__(self, other: object) -> NDArray[np.bool_]:  # type: ignore[override]
        return ~(self == other)

    def __repr__(self) -> str:
        return f"Texts({len(self):,} observations, {len(self._values):,} distinct: {list(self._values[:5])})"

    def tolist(self) -> list[str]:
        """A list of texts."""
        return list(self)

    def to_pandas(self) -> Any:
        """What a column of a table is made of: categories where there are many rows and fewer texts, else texts."""
        if len(self) < CATEGORICAL_FROM:
            return np.asarray(self)
        if self._few and 2 * len(self._values) <= len(self):
            return pd.Categorical.from_codes(self._codes, categories=pd.Index(list(self._values), dtype=object))
        return self._as_arrow().to_pandas()

    def json_bytes(self) -> Iterator[bytes]:
        """The bytes of `json.dumps(self.tolist())`, in parts; codes are turned into text in blocks, not one by one."""
        import json

        pieces = pa.array([json.dumps(value) for value in self._values])
        separated = pa.array([", " + json.dumps(value) for value in self._values])
        yield b"["
        for begin in range(0, len(self), _BLOCK):
            codes = self._codes[begin : begin + _BLOCK]
            first = [] if begin else [pieces[int(codes[0])].as_py().encode()]
            yield from first
            part = separated.take(pa.array(codes[len(first) :]))
            if len(part):
                offsets = np.frombuffer(part.buffers()[1], dtype=np.int32)
                yield bytes(memoryview(part.buffers()[2])[: int(offsets[len(part)])])
        yield b"]"

    @property
    def _few(self) -> bool:
        return not isinstance(self._values, RowNames)

    def _distinct(self) -> NDArray[np.object_]:
        distinct = np.empty(len(self._values), dtype=object)
        distinct[:] = self._values
        return distinct

    def _as_arrow(self) -> Any:
        if self._few:
            return pa.array(self._values, pa.string()).take(pa.array(self._codes))
        return _row_texts(self._codes.astype(np.int64) + 1)


def _row_texts(numbers: NDArray[np.int64]) -> Any:
    """The texts "row 1" ... of row numbers, as Arrow."""
    return pc.binary_join_element_wise("row", pa.array(numbers).cast(pa.string()), " ")


def _names_of_rows(texts: "pd.Series[Any]") -> NDArray[np.int64] | None:
    """The numbers in a column of "row 1", "row 2" ..., or None: as texts they would be as many as there are rows."""
    if not str(texts.iloc[0]).startswith("row ") or not isinstance(texts.dtype, pd.StringDtype):
        return None
    written = pa.array(texts, pa.string())
    try:
        numbers = pc.utf8_slice_codeunits(written, 4).cast(pa.int64())
    except pa.ArrowInvalid:  # what follows is no number
        return None
    found = np.asarray(numbers.to_numpy(zero_copy_only=False))
    if numbers.null_count or found.min() < 1 or found.max() >= 2**31:
        return None
    return found if _row_texts(found).equals(written) else None


def as_codes(texts: Any) -> tuple[Codes, list[str]]:
    """Codes and texts of the distinct values in order of first appearance; -1 where a value is missing.

    Values that are no texts become texts, so two values (1 and "1") can share one.

    Example:
        >>> codes, distinct = as_codes(np.array([2, 1, 2]))
        >>> codes.tolist(), distinct
        ([0, 1, 0], ['2', '1'])
    """
    column = pd.Series(texts, copy=False)
    if column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) not in ("string", "empty"):
        # Equal values of several types (1, 1.0 and True) are different texts.
        column = column.map(str, na_action="ignore")
    codes: NDArray[Any]
    if isinstance(column.dtype, pd.CategoricalDtype):
        listed = column.cat.codes.to_numpy()
        codes, used = (listed, slice(int(listed.max()) + 1)) if _first_come(listed) else _renumbered(listed)
        names = column.cat.categories[used].astype(str).tolist()
    else:
        codes, distinct = pd.factorize(column)
        names = pd.Index(distinct).astype(str).tolist()
    if len(set(names)) < len(names):
        again, unique = pd.factorize(np.array(names, dtype=object))
        codes, names = np.where(codes < 0, -1, again[codes]), unique.tolist()
    return codes.astype(np.int32, copy=False), [str(name) for name in names]


def _first_come(codes: NDArray[Any]) -> bool:
    """Whether codes ascend from zero one by one: the numbers of a table that is sorted by them already."""
    steps = np.diff(codes)
    return len(codes) > 0 and codes[0] == 0 and bool(((steps == 0) | (steps == 1)).all())


def _renumbered(codes: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Codes in order of first appearance, -1 for -1, and which number each of them was."""
    used = pd.unique(codes)
    used = used[used >= 0]
    number = np.full(int(codes.max(initial=-1)) + 2, -1, dtype=np.int32)  # the last entry is that of -1
    number[used] = np.arange(len(used), dtype=np.int32)
    return number[codes], used


def _used_once(values: Sequence[str], codes: NDArray[Any]) -> tuple[tuple[str, ...], NDArray[Any]]:
    """The same with every text listed once, when "" was among the values already."""
    if values and "" in values[:-1] and values[-1] == "":
        codes = np.where(codes == len(values) - 1, values.index(""), codes)
        values = values[:-1]
    return tuple(values), codes
