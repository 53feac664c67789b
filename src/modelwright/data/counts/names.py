"""Names of cells and genes, and columns that say something about each cell."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.core.names import nearest, suggestion

Kind = Literal["cell", "gene"]

# Above as many names the nearest one is not looked for: comparing a name with a million takes a minute.
_MOST_COMPARED = 100_000


def listed(names: Sequence[str], total: int) -> str:
    """Names as text, with how many more there are.

    Example:
        >>> listed(["a", "b"], 7)
        "'a', 'b' and 5 more"
    """
    return ", ".join(map(repr, names)) + (f" and {total - len(names):,} more" if total > len(names) else "")


def check_names(names: tuple[str, ...], kind: Kind, *, todo: str | None = None) -> None:
    """Refuse names that are empty or occur twice.

    Args:
        names: Names in order.
        kind: What they are names of.
        todo: What the person can do about names that occur twice.

    Raises:
        DataError: naming the first of them.
    """
    if "" in names:
        raise DataError(
            f"{kind} {names.index('') + 1} has no name", field=f"{kind}s", expected=f"a name for every {kind}"
        )
    if len(set(names)) == len(names):
        return
    repeated = [(name, number) for name, number in Counter(names).items() if number > 1]
    more = f", and {len(repeated) - 1:,} more occur more than once" if len(repeated) > 1 else ""
    raise DataError(
        f"the {kind} name {repeated[0][0]!r} occurs {repeated[0][1]} times{more}",
        field=f"{kind}s",
        expected=f"a name of its own for every {kind}",
        todo=todo or f"rename them ({'obs' if kind == 'cell' else 'var'}_names_make_unique() in AnnData)",
    )


def numbered_names(kind: Kind, number: int) -> tuple[str, ...]:
    """Names for a source that has none: "cell 1", "cell 2" ...

    Example:
        >>> numbered_names("gene", 2)
        ('gene 1', 'gene 2')
    """
    return tuple(f"{kind} {place + 1}" for place in range(number))


def places_of(part: Any, names: tuple[str, ...], kind: Kind) -> NDArray[np.int64]:
    """The places of some cells or genes that are named, numbered or marked.

    Args:
        part: Names, places from 0, or one truth value for each.
        names: All names.
        kind: What they are names of.

    Raises:
        DataError: for one that is not there or is asked for twice, and for none at all.
    """
    field = f"{kind}s"
    if isinstance(part, str):
        raise DataError("one name, not a list", field=field, expected="a list of names", got=part)
    values = list(part) if not isinstance(part, np.ndarray) else part
    array = np.asarray(values)
    if array.ndim != 1 or not len(array):
        raise DataError(f"no {kind} is chosen", field=field, expected=f"at least one {kind}")
    if array.dtype == np.bool_:
        if len(array) != len(names):
            raise DataError("another length", field=field, expected=f"{len(names)} truth values", got=len(array))
        places = np.flatnonzero(array)
        if not len(places):
            raise DataError(f"no {kind} is chosen", field=field, expected=f"at least one {kind}")
        return places
    if array.dtype.kind in "iu":
        outside = (array < 0) | (array >= len(names))
        if outside.any():
            raise DataError(
                f"no {kind} has this place",
                field=field,
                expected=f"places from 0 to {len(names) - 1}",
                got=int(array[outside][0]),
            )
        places = array.astype(np.int64)
    else:
        places = _places_of_names([str(value) for value in values], names, kind)
    if len(np.unique(places)) < len(places):
        first, numbers = np.unique(places, return_counts=True)
        twice = names[int(first[numbers > 1][0])]
        raise DataError(f"a {kind} is asked for twice", field=field, expected="each once", got=twice)
    return places


def _places_of_names(wanted: list[str], names: tuple[str, ...], kind: Kind) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(names)}
    missing = [name for name in wanted if name not in place]
    if missing:
        close = nearest(missing[0], names) if len(names) <= _MOST_COMPARED else None
        more = f" (and {len(missing) - 1:,} more that are asked for are not there)" if len(missing) > 1 else ""
        raise DataError(
            f"no such {kind}{more}",
            field=f"{kind}s",
            got=missing[0],
            todo=f"did you mean {close!r}?" if close else f"known: {listed(names[:5], len(names))}",
        )
    return np.array([place[name] for name in wanted], dtype=np.int64)


def frozen_column(values: Any, name: str, cells: tuple[str, ...]) -> NDArray[Any]:
    """One value per cell as a read-only array: whole numbers, numbers or truth values as given, all else as texts.

    Args:
        values: Values, shape (n_cells,).
        name: What the column is called in sentences.
        cells: Names of the cells.

    Raises:
        DataError: for another length, and for missing values, with the first cell at fault.
    """
    series = pd.Series(values).reset_index(drop=True)
    if len(series) != len(cells):
        raise DataError("another length", field=name, expected=f"{len(cells)} values, one per cell", got=len(series))
    missing = series.isna().to_numpy()
    if missing.any():
        first = int(np.flatnonzero(missing)[0])
        many = int(missing.sum())
        raise DataError(
            f"{many:,} cell{'s have' if many > 1 else ' has'} no value: the first is {cells[first]!r}",
            field=name,
            expected="a value for every cell",
            todo="fill them in, or leave such cells out before",
        )
    if isinstance(series.dtype, pd.CategoricalDtype):
        series = series.astype(series.cat.categories.dtype)
    kind = series.dtype.kind if isinstance(series.dtype, np.dtype) else getattr(series.dtype, "kind", "O")
    column: NDArray[Any]
    if kind in "iuf":
        column = series.to_numpy(dtype=np.float64 if kind == "f" else np.int64)
    elif kind == "b":
        column = series.to_numpy(dtype=np.bool_)
    else:
        column = np.array([str(value) for value in series], dtype=np.str_)
    column = column.copy()
    column.flags.writeable = False
    return column


def unknown_column(role: str, name: str, known: Sequence[str]) -> DataError:
    """The error for a column that the source does not have."""
    return DataError("no such column", field=role, got=name, todo=suggestion(name, known))
