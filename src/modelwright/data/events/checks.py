"""What makes arrays a set of event counts: lengths agree, entities ascend, counts and exposures are what they say."""

from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import DataError, shortened


def frozen(values: Any, dtype: Any, name: str) -> NDArray[Any]:
    """A one-dimensional array of `dtype` that cannot be written to, not even through the array it was made from.

    Raises:
        DataError: when a value would change by becoming `dtype`.
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise DataError("not a plain column", field=name, expected="one value per observation", got=array.shape)
    try:
        converted = array.astype(dtype, copy=False)
    except (TypeError, ValueError, OverflowError) as error:
        raise DataError(
            "holds values of another type", field=name, expected=np.dtype(dtype).name, got=array[:3].tolist()
        ) from error
    changed = converted.dtype != array.dtype and array.dtype.kind in "fiub" and converted.dtype.kind in "iub"
    if changed and not np.array_equal(array, converted):
        raise first_bad(name, array, array != converted, "whole numbers")
    if converted.flags.writeable and np.may_share_memory(converted, array):
        converted = converted.copy()
    view = converted.view()
    view.flags.writeable = False
    return view


def sealed(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, made read-only: nobody else holds it, so that it need not be copied to be kept."""
    array.flags.writeable = False
    return array


def first_bad(name: str, values: NDArray[Any], bad: NDArray[np.bool_], expected: str) -> DataError:
    """The error that names the first rows whose value is wrong."""
    rows = np.flatnonzero(bad)
    listed = ", ".join(str(row + 1) for row in rows[:5]) + (f" and {len(rows) - 5} more" if len(rows) > 5 else "")
    return DataError(
        f"{len(rows)} value{'s' if len(rows) > 1 else ''} cannot be used (row {listed})",
        field=name,
        expected=expected,
        got=values[rows[0]].item() if hasattr(values[rows[0]], "item") else values[rows[0]],
    )


def check_arrays(
    *,
    entity_idx: NDArray[np.int64],
    n_entities: int,
    distinct: int,
    count: NDArray[np.int64],
    exposure: NDArray[np.float64],
    window_start: NDArray[np.datetime64] | None,
    others: Mapping[str, Sized | None],
) -> None:
    """Refuse arrays that contradict each other.

    Raises:
        DataError: with the name of the array and the first rows at fault.
    """
    n_obs = len(count)
    if n_obs == 0:
        raise DataError("there are no observations", field="count", expected="at least one entity in one window")
    lengths: dict[str, Sized | None] = {"entity_idx": entity_idx, "exposure": exposure, "window_start": window_start}
    lengths |= others
    for name, values in lengths.items():
        if values is not None and len(values) != n_obs:
            raise DataError("another length than the counts", field=name, expected=f"{n_obs} values", got=len(values))
    if distinct != n_entities:
        raise DataError("an entity is listed twice", field="entities", expected="distinct labels")
    if count.min() < 0:
        raise first_bad("count", count, count < 0, "counts of at least zero")
    if not (np.isfinite(exposure.max()) and exposure.min() > 0):  # a NaN is its own minimum and maximum
        unusable = ~(np.isfinite(exposure) & (exposure > 0))
        raise first_bad("exposure", exposure, unusable, "finite exposures above zero")
    same = entity_idx[1:] == entity_idx[:-1]
    following = same | (entity_idx[1:] - 1 == entity_idx[:-1])
    if entity_idx[0] != 0 or entity_idx[-1] != n_entities - 1 or not following.all():
        raise DataError(
            "entities are not in order, or one has no observation",
            field="entity_idx",
            expected=f"every number from 0 to {n_entities - 1}, ascending",
            got=shortened(entity_idx[:8].tolist(), limit=60),
            todo="EventCounts.from_arrays sorts and numbers entities",
        )
    if window_start is not None:
        if np.isnat(window_start.min()):
            raise first_bad("window_start", window_start, np.isnat(window_start), "a time for every window")
        backwards = same & (window_start[1:] < window_start[:-1])
        if backwards.any():
            raise DataError(
                f"windows of an entity are not in order (row {int(np.flatnonzero(backwards)[0]) + 2})",
                field="window_start",
                expected="windows ascending within each entity",
                todo="EventCounts.from_arrays sorts them",
            )
