"""The data of the event-rate model, checked once and compressed to what the likelihood needs.

The log likelihood of all counts depends on the rates only through each entity's sum of counts and number of windows
per exposure, and on the concentration only through how often each count occurs. `compress` finds these; 6,000
observations of 200 entities become 200 sums and some 40 distinct counts, and nothing is lost.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from modelwright.core.errors import DataError

SMALL_COUNT = 32
"""From here the model uses Stirling's series, exact to double precision (its first neglected term is below 1e-19)."""

LARGEST_COUNT = 2**53
"""Beyond this a count is not a double precision number any more."""


@dataclass(frozen=True, eq=False)
class Observations:
    """Counts with their entities and exposures, checked.

    Args:
        y: Counts, shape (n_obs,), int64.
        entity_idx: Positions of the entities, shape (n_obs,), int64 in 0 .. n_entities - 1.
        n_entities: Entities, with or without observations.
        exposure: Length of each window in units of exposure, shape (n_obs,), positive.
    """

    y: np.ndarray
    entity_idx: np.ndarray
    n_entities: int
    exposure: np.ndarray


def check_observations(
    y: object, entity_idx: object, n_entities: object, exposure: object | None = None
) -> Observations:
    """Observations from array-likes, or an error that names the argument and the first row at fault.

    Raises:
        DataError: for counts that are negative, fractional or missing, positions out of range, exposures that are not
            positive, and lengths that differ.

    Example:
        >>> check_observations([3, -1], [0, 0], 1)
        Traceback (most recent call last):
        modelwright.core.errors.DataError: y: not a count at position 1; expected whole numbers of at least 0, got -1.0
    """
    if isinstance(n_entities, bool) or not isinstance(n_entities, int | np.integer) or n_entities < 1:
        raise DataError("not usable", field="n_entities", expected="a whole number of at least 1", got=n_entities)
    counts = _column("y", y)
    if len(counts) == 0:
        raise DataError("there are no observations", field="y", expected="at least one count")
    _refuse(
        "y",
        counts,
        (counts >= 0) & (counts % 1 == 0) & (counts <= LARGEST_COUNT),
        "not a count",
        "whole numbers of at least 0",
    )
    index = _column("entity_idx", entity_idx, len(counts))
    _refuse(
        "entity_idx",
        index,
        (index >= 0) & (index < n_entities) & (index % 1 == 0),
        "not the position of an entity",
        f"whole numbers from 0 to {n_entities - 1}",
    )
    lengths = np.ones(len(counts)) if exposure is None else _column("exposure", exposure, len(counts))
    _refuse("exposure", lengths, (lengths > 0) & np.isfinite(lengths), "not an exposure", "finite numbers above 0")
    return Observations(counts.astype(np.int64), index.astype(np.int64), int(n_entities), lengths)


def _column(field: str, values: object, length: int | None = None) -> np.ndarray:
    try:
        column = np.asarray(values).astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("not numbers", field=field, expected="one number per observation", got=values) from error
    if column.ndim != 1:
        raise DataError("not a column", field=field, expected="one number per observation", got=column.shape)
    if length is not None and len(column) != length:
        raise DataError("another length than y", field=field, expected=f"{length} values", got=len(column))
    return column


def _refuse(field: str, column: np.ndarray, fine: np.ndarray, what: str, expected: str) -> None:
    if not fine.all():
        row = int(np.argmin(fine))
        raise DataError(f"{what} at position {row}", field=field, expected=expected, got=float(column[row]))


@dataclass(frozen=True, eq=False)
class CompressedCounts:
    """What the likelihood needs to know of the observations.

    Args:
        entity: Entity of each group of equal entity and exposure, shape (n_groups,).
        exposure: Its exposure, shape (n_groups,).
        windows: Its number of observations, shape (n_groups,).
        total: Its sum of counts, shape (n_groups,).
        count: Distinct counts above zero, shape (n_distinct,), float64, those below `SMALL_COUNT` first.
        times: How often each occurs, shape (n_distinct,).
        constant: -sum of log(y!) over all observations.
        n_entities: Entities.
        n_small: How many of `count` lie below `SMALL_COUNT`.
    """

    entity: np.ndarray
    exposure: np.ndarray
    windows: np.ndarray
    total: np.ndarray
    count: np.ndarray
    times: np.ndarray
    constant: float
    n_entities: int
    n_small: int


def group_observations(observations: Observations) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups of equal entity and exposure.

    Returns:
        The groups' entities (n_groups,), their exposures (n_groups,), and the group of each observation (n_obs,).
    """
    lengths, which = np.unique(observations.exposure, return_inverse=True)
    codes, group = np.unique(observations.entity_idx * len(lengths) + which, return_inverse=True)
    return codes // len(lengths), lengths[codes % len(lengths)], group


def compress(observations: Observations) -> CompressedCounts:
    """The sufficient statistics of some observations.

    Example:
        >>> small = compress(check_observations([0, 2, 2], [0, 0, 1], 2))
        >>> small.total.tolist(), small.windows.tolist(), small.count.tolist(), small.times.tolist()
        ([2.0, 2.0], [2.0, 1.0], [2.0], [2.0])
    """
    entity, exposure, group = group_observations(observations)
    counts, times = np.unique(observations.y, return_counts=True)
    positive = counts > 0
    return CompressedCounts(
        entity=entity,
        exposure=exposure,
        windows=np.bincount(group, minlength=len(entity)).astype(np.float64),
        total=np.bincount(group, weights=observations.y, minlength=len(entity)),
        count=counts[positive].astype(np.float64),
        times=times[positive].astype(np.float64),
        constant=-float(times @ gammaln(counts + 1.0)),
        n_entities=observations.n_entities,
        n_small=int((counts[positive] < SMALL_COUNT).sum()),
    )
