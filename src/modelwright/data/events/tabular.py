"""Between a table and the arrays of `EventCounts`: columns in, sorted arrays out."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.core.names import suggestion
from modelwright.data.events.checks import first_bad, sealed
from modelwright.data.events.ordering import ascending_order, in_order
from modelwright.data.events.texts import Codes, RowNames, Texts, as_codes
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
    if arrays["entity"].dtype.kind != "U":
        arrays["entity"] = np.array([str(value) for value in arrays["entity"]], dtype=object)
    return pd.DataFrame(arrays)


def parts_of_frame(
    frame: pd.DataFrame, *, sort_entities: bool, timezone: str | None, covariates: Sequence[str] = ()
) -> dict[str, Any]:
    """The constructor arguments of `EventCounts` that a table holds, sorted by entity and window.

    Args:
        frame: Columns entity and count; exposure, window_start, window, volume, label, kind where they are there.
        sort_entities: Whether entities are numbered by label; in the order in which they first appear otherwise.
        timezone: Zone of window labels, when these must be written.
        covariates: Columns that are covariates.

    Raises:
        DataError: for a missing column or values that are not counts.
    """
    for name in ("entity", "count", *covariates):
        if name not in frame.columns:
            known = [str(column) for column in frame.columns]
            raise DataError("no such column", field=name, got=name, todo=suggestion(name, known))
    if not len(frame):
        raise DataError("the table has no rows", field="data", expected="at least one observation")
    entities, codes = _entities(frame["entity"], sort=sort_entities)
    start = _instants(frame["window_start"]) if "window_start" in frame else None
    order = _order(codes, len(entities), start)
    zone = find_zone(timezone)
    if "window" in frame:
        texts = Texts.of(frame["window"], name="window")
    elif start is not None:
        texts = window_labels(start.view(np.int64) // 1_000, zone)
    else:
        texts = Texts(RowNames(len(frame)), np.arange(len(frame), dtype=np.int32))
    columns: dict[str, NDArray[Any]] = {"entity_idx": codes, "count": _counts(frame["count"])}
    columns["exposure"] = _numbers(frame["exposure"], "exposure") if "exposure" in frame else np.ones(len(frame))
    columns |= {} if start is None else {"window_start": start}
    columns |= {"volume": _volumes(frame["volume"])} if "volume" in frame else {}
    columns |= {"label": _labels(frame["label"])} if "label" in frame else {}
    # Values that are in order already may be those of the table itself, which is free to change.
    parts: dict[str, Any] = {
        name: sealed(values.copy() if order is None else values[order]) for name, values in columns.items()
    }
    parts |= {"entities": entities, "window_label": in_order(texts, order), "window_start": parts.get("window_start")}
    parts["timezone"] = zone.name if start is not None else None
    parts |= {"kind": in_order(Texts.of(frame["kind"], name="kind"), order)} if "kind" in frame else {}
    parts["covariates"] = {name: frame[name] if order is None else frame[name].iloc[order] for name in covariates}
    return parts


def _entities(column: "pd.Series[Any]", *, sort: bool) -> tuple[tuple[str, ...], Codes]:
    """Labels in the order in which they are numbered, and the number of each row."""
    codes, entities = as_codes(column)
    if (codes < 0).any():
        raise first_bad("entity", column.to_numpy(dtype=object), codes < 0, "a label for every row")
    if not sort:
        return tuple(entities), codes
    order = sorted(range(len(entities)), key=entities.__getitem__)
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return tuple(entities[place] for place in order), rank[codes]


def _order(codes: Codes, n_entities: int, start: NDArray[np.datetime64] | None) -> NDArray[np.int64] | None:
    """The order by entity and time that leaves equal ones as they came; None when the rows have it already."""
    if start is None:
        return ascending_order(codes.astype(np.int64), n_entities)
    places, instants = pd.factorize(start.view(np.int64), sort=True)
    places += codes.astype(np.int64) * len(instants)
    return ascending_order(places, n_entities * len(instants))


def _plain(values: Any) -> NDArray[Any]:
    if isinstance(values, pd.Series | pd.Index):
        return values.to_numpy(dtype=object) if isinstance(values.dtype, pd.DatetimeTZDtype) else values.to_numpy()
    return np.asarray(values)


def _instants(column: "pd.Series[Any]") -> NDArray[np.datetime64]:
    if column.dtype == "datetime64[ns]":
        return column.to_numpy()
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


def _volumes(column: "pd.Series[Any]") -> NDArray[np.float64]:
    """Numbers; what is missing stays NaN."""
    missing = column.isna().to_numpy()
    return np.where(missing, np.nan, _numbers(column.where(~missing, 0), "volume"))


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
