"""Columns of the data as columns of a design matrix.

Numbers are centred and scaled. A text with K values becomes K columns of zeros and ones whose coefficients sum to zero:
beta = C u with K - 1 free numbers u and C an orthonormal basis of what sums to zero, times sqrt(K/(K-1)), so that
u ~ Normal(0, sd) makes each coefficient Normal(0, sd) by itself, whichever it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.names import suggestion
from modelwright.data.events import EventCounts
from modelwright.data.events.calendar import CALENDAR_NAMES, calendar_covariate
from modelwright.data.events.texts import Texts

Level = Literal["entity", "window"]

LARGEST_NUMBER = 1e100
"""The largest value of a column: the squares of very many of them still add up to a finite number."""

_ALIKE = 1e-9
"""A column whose part that others do not explain is smaller than this, relative and squared, says nothing new."""


@dataclass(frozen=True)
class Column:
    """How a column is written as numbers; what training found is kept for windows to come.

    Args:
        name: The column.
        level: Whether it describes entities or windows.
        values: The distinct values of a text, in order; None for numbers.
        center: Mean of numbers, subtracted from them.
        scale: Standard deviation of numbers, which they are divided by.
    """

    name: str
    level: Level
    values: tuple[str, ...] | None = None
    center: float = 0.0
    scale: float = 1.0

    @property
    def coefficients(self) -> tuple[str, ...]:
        """Names of its coefficients.

        Example:
            >>> Column("tier", "entity", ("basic", "gold")).coefficients
            ('tier[basic]', 'tier[gold]')
        """
        return (self.name,) if self.values is None else tuple(f"{self.name}[{value}]" for value in self.values)

    @property
    def contrasts(self) -> np.ndarray:
        """C of beta = C u, shape (coefficients, free numbers)."""
        if self.values is None:
            return np.ones((1, 1))
        n = len(self.values)
        return zero_sum_basis(n) * np.sqrt(n / (n - 1))

    def encode(self, values: np.ndarray | Texts) -> np.ndarray:
        """Rows of the design matrix, shape (len(values), coefficients).

        Raises:
            DataError: for a text that was not among the values of training, and for numbers that are missing.
        """
        if self.values is None:
            return ((_numbers(self.name, values) - self.center) / self.scale)[:, None]
        distinct, codes = _texts(self.name, values)
        position = {value: k for k, value in enumerate(self.values)}
        unknown = next((value for value in distinct if value not in position), None)
        if unknown is not None:
            raise DataError(
                "a value that was not in training, so that nothing is known of its effect",
                field=self.name,
                got=unknown,
                todo=suggestion(unknown, self.values),
            )
        found = np.zeros((len(codes), len(self.values)))
        found[np.arange(len(codes)), np.array([position[value] for value in distinct])[codes]] = 1.0
        return found


def column_of(data: EventCounts, name: str) -> np.ndarray | Texts:
    """A column of the data or of the calendar, one value per observation, shape (n_obs,).

    Raises:
        ConfigurationError: when there is no such column.

    Example:
        >>> days = np.array(["2024-03-02", "2024-03-04"], dtype="datetime64[ns]")
        >>> data = EventCounts.from_arrays(entity=["a", "a"], count=[1, 2], window_start=days, window="1D")
        >>> column_of(data, "day_of_week").tolist()
        ['Saturday', 'Monday']
    """
    if name in data.covariates:
        return data.covariates[name]
    if name not in CALENDAR_NAMES:
        raise ConfigurationError(
            "the data have no such column",
            field="covariates",
            got=name,
            todo=suggestion(name, [*data.covariates, *CALENDAR_NAMES]),
        )
    return calendar_covariate(data, name)


def describe_column(data: EventCounts, name: str) -> Column:
    """What training needs to know of a column: its level, and its values or centre and scale.

    Raises:
        ConfigurationError: for a column that does not exist or has one value only.
        DataError: for missing values.
    """
    values = column_of(data, name)
    if not isinstance(values, Texts) and values.dtype.kind in "fiu":
        numbers = _numbers(name, values)
        level = _level(numbers, data)
        each = numbers[first_windows(data)] if level == "entity" else numbers
        if each.min() == each.max():
            raise _one_value(name, float(each[0]))
        return Column(name, level, None, float(each.mean()), float(each.std()))
    distinct, codes = _texts(name, values)
    if len(distinct) == 1:
        raise _one_value(name, distinct[0])
    if name not in data.covariates and isinstance(values, Texts):
        distinct = list(values.values)  # in the order of the calendar
    return Column(name, _level(codes, data), tuple(distinct))


def first_windows(data: EventCounts) -> np.ndarray:
    """Position of each entity's first observation, shape (n_entities,)."""
    return np.searchsorted(data.entity_idx, np.arange(data.n_entities))


def zero_sum_basis(n: int) -> np.ndarray:
    """Orthonormal columns that sum to zero, shape (n, n - 1): the cosines of the discrete cosine transform.

    Example:
        >>> basis = zero_sum_basis(4)
        >>> np.allclose(basis.sum(0), 0.0), np.allclose(basis.T @ basis, np.eye(3))
        (True, True)
    """
    return np.sqrt(2.0 / n) * np.cos(np.pi * np.outer(np.arange(n) + 0.5, np.arange(1, n)) / n)


def check_distinct(columns: Sequence[Column], matrix: np.ndarray, before: np.ndarray, *, of_drift: str) -> None:
    """Refuse a column that says nothing beyond those before it.

    Args:
        columns: The columns.
        matrix: Their design matrix in free numbers, shape (rows, free numbers).
        before: What is in the model already beside the constant, shape (rows, any), such as the seasons of the drift.
        of_drift: What `before` is called.

    Raises:
        ConfigurationError: naming the column.
    """
    rows = len(matrix)
    stacked = np.concatenate([np.ones((rows, 1)), before, matrix], axis=1)
    gram = stacked.T @ stacked
    first = 1 + before.shape[1]
    owner = [column.name for column in columns for _ in range(column.contrasts.shape[1])]
    for place, name in enumerate(owner):
        at = first + place
        others, mine = gram[:at, :at], gram[:at, at]
        explained = mine @ np.linalg.lstsq(others, mine, rcond=1e-12)[0]
        if gram[at, at] - explained <= _ALIKE * gram[at, at]:
            earlier = [of_drift] if before.shape[1] else []
            earlier += [column.name for column in columns if column.name != name]
            raise ConfigurationError(
                f"{name} says nothing that {' and '.join(earlier) or 'the mean'} does not say already",
                field="covariates",
                got=name,
                todo=f"leave out {name}",
            )


def _level(codes: np.ndarray, data: EventCounts) -> Level:
    return "entity" if (codes == codes[first_windows(data)][data.entity_idx]).all() else "window"


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("texts, where training had numbers", field=name, got=values) from error
    if not np.isfinite(numbers).all():
        row = int(np.argmin(np.isfinite(numbers)))
        raise DataError(
            f"missing at row {row + 1}",
            field=name,
            expected="a finite number in every window",
            got=float(numbers[row]),
            todo="fill it in, or leave the column out",
        )
    row = int(np.abs(numbers).argmax()) if numbers.size else 0
    if numbers.size and abs(numbers[row]) > LARGEST_NUMBER:
        raise DataError(
            f"too large at row {row + 1}",
            field=name,
            expected=f"numbers up to {LARGEST_NUMBER:g} in size, whose squares can be added up",
            got=float(numbers[row]),
            todo="write it in another unit, or leave the column out",
        )
    return numbers


def _texts(name: str, values: Any) -> tuple[list[str], np.ndarray]:
    """The distinct texts in order, and which of them each value is."""
    texts = Texts.of(values, name=name)
    used = np.unique(texts.codes)
    distinct = [texts.values[code] for code in used]
    codes = np.searchsorted(used, texts.codes)
    if "" in distinct:
        raise DataError(
            f"missing at row {int(np.argmax(codes == distinct.index(''))) + 1}",
            field=name,
            expected="a value in every window",
            todo="fill it in, or leave the column out",
        )
    order = np.argsort(np.array(distinct, dtype=object), kind="stable")
    return [distinct[k] for k in order], np.argsort(order)[codes]


def _one_value(name: str, value: float | str) -> ConfigurationError:
    return ConfigurationError(
        "the column has one value only, so that its effect cannot be told from the mean",
        field="covariates",
        expected="a column with at least two values",
        got=f"{name} = {value}",
        todo=f"leave out {name}",
    )
