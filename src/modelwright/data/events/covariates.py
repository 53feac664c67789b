"""Covariates and volumes: what else is known about an entity or a window, one value per observation.

A covariate is a number or a text that explains rates (the tier of an account, a holiday); a volume is how much the
events of a window moved (bytes, an amount). Neither may be missing where it means something: every observation has its
covariates, and every window with an event has a volume.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events.checks import first_bad, frozen
from modelwright.data.events.texts import Texts

Column: TypeAlias = NDArray[np.float64] | Texts

COLUMNS_OF_COUNTS = ("entity", "window_start", "window", "count", "exposure", "volume", "label", "kind")
"""Columns that a table of counts has itself, so that no covariate can be called like one of them."""


def checked_covariates(covariates: Mapping[str, Any]) -> Mapping[str, Column]:
    """Covariates as read-only columns: float64 for numbers, `Texts` for texts.

    Args:
        covariates: name -> one value per observation, numbers or texts.

    Raises:
        ConfigurationError: for a name that a table of counts needs itself.
        DataError: for missing or infinite values, with the first rows.

    Example:
        >>> columns = checked_covariates({"tier": ["free", "paid"], "age": [3, 5]})
        >>> columns["tier"].values, columns["age"].tolist()
        (('free', 'paid'), [3.0, 5.0])
    """
    return MappingProxyType({str(name): _checked(str(name), values) for name, values in covariates.items()})


def check_name(name: str) -> None:
    """Refuse a covariate whose name a table of counts needs itself.

    Raises:
        ConfigurationError: for such a name.
    """
    if name in COLUMNS_OF_COUNTS or not name:
        raise ConfigurationError(
            "a table of counts has a column of this name itself",
            field="covariates",
            expected="names other than " + ", ".join(COLUMNS_OF_COUNTS),
            got=name,
            todo="rename the column",
        )


def checked_volume(volume: Any, count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Volumes as a read-only column, NaN where there was no event.

    Args:
        volume: One number per observation; without an event, NaN or zero.
        count: Events, shape (n_obs,).

    Raises:
        DataError: for a negative or infinite volume, a volume without an event, or an event without a volume.

    Example:
        >>> checked_volume([10.0, 0.0], np.array([2, 0])).tolist()
        [10.0, nan]
    """
    values = frozen(volume, np.float64, "volume")
    if len(values) != len(count):
        raise DataError(
            "another length than the counts", field="volume", expected=f"{len(count)} values", got=len(values)
        )
    some = count > 0
    for bad, expected in (
        (np.isinf(values) | (values < 0), "finite volumes of at least zero"),
        (some & np.isnan(values), "a volume for every window with events"),
        (~some & (values > 0), "no volume where there was no event"),
    ):
        if bad.any():
            raise first_bad("volume", values, bad, expected)
    if (~some & ~np.isnan(values)).any():
        values = np.where(some, values, np.nan)
        values.flags.writeable = False
    return values


def describe_covariates(covariates: Mapping[str, Column]) -> dict[str, Any]:
    """What the covariates are, as plain data: the range of numbers, the number of distinct texts.

    Example:
        >>> describe_covariates(checked_covariates({"age": [3, 5]}))
        {'age': {'type': 'number', 'smallest': 3.0, 'largest': 5.0}}
    """
    return {
        name: {"type": "text", "distinct": len(np.unique(column.codes))}
        if isinstance(column, Texts)
        else {"type": "number", "smallest": float(column.min()), "largest": float(column.max())}
        for name, column in covariates.items()
    }


def _checked(name: str, values: Any) -> Column:
    check_name(name)
    if not isinstance(values, Texts) and _is_numeric(values):
        plain = values.to_numpy(np.float64, na_value=np.nan) if isinstance(values, pd.Series) else values
        column = frozen(plain, np.float64, name)
        if not np.isfinite(column).all():
            raise first_bad(name, column, ~np.isfinite(column), "a finite number in every row")
        return column
    texts = Texts.of(values, name=name)
    if "" in texts.values:
        missing = texts == ""
        if missing.any():
            raise first_bad(name, np.asarray(texts), missing, "a value in every row")
    return texts


def _is_numeric(values: Any) -> bool:
    """Whether a column holds numbers; yes and no are one and zero."""
    dtype = values.dtype if isinstance(values, pd.Series | pd.Index | pd.Categorical) else np.asarray(values).dtype
    return bool(pd.api.types.is_numeric_dtype(dtype))
