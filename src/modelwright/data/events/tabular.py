"""Between a table and the arrays of `EventCounts`: columns in, sorted arrays out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.core.names import suggestion
from modelwright.data.events.checks import first_bad
from modelwright.data.events.windows import window_labels
from modelwright.data.events.zones import find_zone

ATTRIBUTE = "modelwright"


def frame_of(entity: Any, count: Any, columns: Mapping[str, Any]) -> pd.DataFrame:
    """A frame of parallel sequences; those that are None are left out.

    Raises:
        DataError: when their lengths differ.
    """
    given = {"entity": entity, "count": count} | {k: v for k, v in columns.items() if v is not None}
    arrays = {name: _plain(values) for name, values in given.items()}
    for name, values in arrays.items():
        if values.ndim != 1 or len(values) != len(arrays["count"]):
            raise DataError(
                "another length than the counts",
                field=name,
                expected=f"{len(arrays['count'])} values",
                got=values.shape,
            )
    arrays["entity"] = np.array([str(value) for value in arrays["entity"]], dtype=object)
    return pd.DataFrame(arrays)


def parts_of_frame(frame: pd.DataFrame, *, entities: Sequence[str], timezone: str | None) -> dict[str, Any]:
    """The constructor arguments of `EventCounts` that a table holds, sorted by entity and window.

    Args:
        frame: Columns entity and count; exposure, window_start, window, label, kind where they are there.
        entities: Labels in the order in which they are to be numbered.
        timezone: Zone of window labels, when these must be written.

    Raises:
        DataError: for a missing column or values that are not counts.
    """
    for name in ("entity", "count"):
        if name not in frame.columns:
            known = [str(column) for column in frame.columns]
            raise DataError("no such column", field=name, got=name, todo=suggestion(name, known))
    if not len(frame):
        raise DataError("the table has no rows", field="data", expected="at least one observation")
    missing = frame["entity"].isna().to_numpy()
    if missing.any():
        raise first_bad("entity", frame["entity"].to_numpy(dtype=object), missing, "a label for every row")
    number = {name: code for code, name in enumerate(entities)}
    codes = np.array([number[name] for name in frame["entity"].astype(str)], dtype=np.int64)
    start = _instants(frame["window_start"]) if "window_start" in frame else None
    keys = (codes,) if start is None else (start.view(np.int64), codes)
    order = np.lexsort(keys)
    zone = find_zone(timezone)
    if "window" in frame:
        texts = np.array([str(value) for value in frame["window"]], dtype=object)
    elif start is not None:
        texts = window_labels(start.view(np.int64) // 1_000, zone)
    else:
        texts = np.array([f"row {row + 1}" for row in range(len(frame))], dtype=object)
    exposure = _numbers(frame["exposure"], "exposure") if "exposure" in frame else np.ones(len(frame))
    parts: dict[str, Any] = {
        "entity_idx": codes[order],
        "entities": tuple(entities),
        "count": _counts(frame["count"])[order],
        "exposure": exposure[order],
        "window_start": None if start is None else start[order],
        "window_label": texts[order],
        "timezone": zone.name if start is not None else None,
    }
    if "label" in frame:
        parts["label"] = _labels(frame["label"])[order]
    if "kind" in frame:
        kind = frame["kind"].to_numpy(dtype=object)
        parts["kind"] = np.array(["" if pd.isna(value) else str(value) for value in kind], dtype=object)[order]
    return parts


def _plain(values: Any) -> NDArray[Any]:
    if isinstance(values, pd.Series | pd.Index):
        return values.to_numpy(dtype=object) if isinstance(values.dtype, pd.DatetimeTZDtype) else values.to_numpy()
    return np.asarray(values)


def _instants(column: "pd.Series[Any]") -> NDArray[np.datetime64]:
    try:
        times = pd.to_datetime(column, utc=True)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError("holds values that are no times", field="window_start", expected="times, in UTC") from error
    return np.asarray(times.dt.tz_localize(None).to_numpy(), dtype="datetime64[ns]")


def _numbers(column: "pd.Series[Any]", name: str) -> NDArray[np.float64]:
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isnan(numbers).any():
        raise first_bad(name, column.to_numpy(dtype=object), np.isnan(numbers), "numbers")
    return np.asarray(numbers, dtype=np.float64)


def _counts(column: "pd.Series[Any]") -> NDArray[np.int64]:
    if column.dtype.kind == "i":
        return column.to_numpy(dtype=np.int64)
    numbers = _numbers(column, "count")
    bad = ~np.isfinite(numbers) | (numbers != np.floor(numbers)) | (np.abs(numbers) > 2.0**53)
    if bad.any():
        raise first_bad("count", column.to_numpy(dtype=object), bad, "whole numbers")
    return numbers.astype(np.int64)


def _labels(column: "pd.Series[Any]") -> NDArray[np.bool_]:
    if column.dtype.kind == "b":
        return column.to_numpy(dtype=np.bool_)
    numbers = _numbers(column, "label")
    if not np.isin(numbers, (0.0, 1.0)).all():
        raise first_bad("label", numbers, ~np.isin(numbers, (0.0, 1.0)), "0 or 1, true or false")
    return numbers.astype(np.bool_)
