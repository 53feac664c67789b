"""Where windows lie in time: their positions, the gaps between an entity's windows, and what the drift is made of.

The drift is d = B u with independent u_k ~ Normal(0, drift_scale), one fewer than there are windows or seasons, and
columns of B that sum to zero. For seasons B is orthonormal. For a random walk over windows with gaps g, less its mean,
the covariance is drift_scale^2 times the pseudo-inverse of D' diag(1/g) D, D taking differences of neighbours; B are
its eigenvectors times the roots of its eigenvalues, which for equal gaps are the cosines

    B_tk = sqrt(2/T) cos(pi k (t + 1/2)/T) / (2 sin(pi k/(2T))),     k = 1 .. T - 1.

Slow and fast swings are separate coordinates that way, which suits a sampler with few data and with many.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.columns import zero_sum_basis
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import EventCounts
from modelwright.data.events.calendar import calendar_covariate
from modelwright.data.events.windows import parse_window
from modelwright.data.events.zones import find_zone

MOST_DRIFT_WINDOWS = 4000
"""Windows that a random walk may go over: its basis has the square of that many numbers (128 MB)."""


@dataclass(frozen=True, eq=False)
class DriftLevels:
    """Which windows share a drift, and what it is made of.

    Args:
        kind: "random_walk", "day_of_week" or "hour_of_day".
        labels: Label of each level: the windows' labels, or the seasons.
        start: When the windows of a random walk begin, datetime64[ns], shape (n_levels,); empty for seasons.
        level: Level of each observation, shape (n_obs,).
        basis: B, shape (n_levels, n_levels - 1).
    """

    kind: str
    labels: tuple[str, ...]
    start: np.ndarray
    level: np.ndarray
    basis: np.ndarray

    @property
    def dimension(self) -> str:
        """Name of the dimension of `drift` in a trace."""
        return names.WINDOW if self.kind == "random_walk" else self.kind


@dataclass(frozen=True, eq=False)
class Steps:
    """From each observation to the one before of the same entity.

    Args:
        first: Whether there is none before, shape (n_obs,).
        gap: Windows between the two, shape (n_obs,), 1 where there is none before.
        longest: Observations of the entity that has most.
    """

    first: np.ndarray
    gap: np.ndarray
    longest: int


@dataclass(frozen=True)
class WindowClock:
    """What distances between windows are counted in.

    Args:
        window: Length of a window as a pandas offset; None when it is not known.
        timezone: Zone whose clock decides where days begin.
        unit: Microseconds that count as one window where `window` is None.
    """

    window: str | None
    timezone: str | None
    unit: int

    def positions(self, starts: np.ndarray) -> np.ndarray:
        """Where windows lie, from the earliest of them on, counted in windows.

        Args:
            starts: datetime64, shape (n,).

        Returns:
            Shape (n,), float64.
        """
        instants = np.asarray(starts).astype("datetime64[us]").astype(np.int64)
        if self.window is None:
            return (instants - instants.min()) / float(self.unit)
        grid = parse_window(self.window, find_zone(self.timezone))
        buckets = grid.bucket_of(instants)
        number = grid.covering(int(buckets.min()), int(buckets.max())).index_of(buckets)
        return (number - number.min()).astype(np.float64)


def window_clock(data: EventCounts) -> WindowClock:
    """How distances between the windows of some data are counted.

    Windows of a known length are numbered by the calendar they were made with, so that a month is as far from the next
    as any other, and a day of 23 hours too. Without a length the commonest distance between two starts is the unit.
    """
    unit = 1
    if data.window is None:
        lengths, times = np.unique(
            np.diff(np.unique(np.asarray(data.window_start).astype("datetime64[us]").astype(np.int64))),
            return_counts=True,
        )
        unit = int(lengths[np.argmax(times)]) if len(lengths) else 1
    return WindowClock(data.window, data.timezone, unit)


def window_positions(data: EventCounts) -> np.ndarray:
    """Where each window lies, counted in windows from the first on, shape (n_obs,), float64.

    Example:
        >>> starts = np.array(["2024-01-01", "2024-02-01", "2024-04-01"], dtype="datetime64[ns]")
        >>> data = EventCounts.from_arrays(entity=["a"] * 3, count=[1, 2, 0], window_start=starts, window="MS")
        >>> window_positions(data).tolist()
        [0.0, 1.0, 3.0]
    """
    return window_clock(data).positions(np.asarray(data.window_start))


def steps_between(data: EventCounts) -> Steps:
    """The gaps between each entity's windows.

    Raises:
        DataError: for two windows of an entity at the same time, and where every entity has a single window.

    Example:
        >>> starts = np.array(["2024-01-01", "2024-01-02", "2024-01-04"], dtype="datetime64[ns]")
        >>> data = EventCounts.from_arrays(entity=["a"] * 3, count=[1, 2, 0], window_start=starts, window="1D")
        >>> steps_between(data).gap.tolist()
        [1.0, 1.0, 2.0]
    """
    first = np.r_[True, np.diff(data.entity_idx) > 0]
    gap = np.where(first, 1.0, np.diff(window_positions(data), prepend=0.0))
    together = gap <= 0
    if together.any():
        row = int(np.argmax(together))
        raise DataError(
            f"two windows of {data.entities[data.entity_idx[row]]!r} begin together ({data.window_label[row]})",
            field="window_start",
            expected="one observation per entity and window",
            todo="add their counts up, or leave temporal out",
        )
    longest = int(np.bincount(data.entity_idx).max())
    if longest < 2:
        raise ConfigurationError(
            "temporal needs entities with at least two windows, and every entity has one",
            field="extension",
            got=names.TEMPORAL,
            todo="take shorter windows, or leave temporal out",
        )
    return Steps(first, gap, longest)


def drift_levels(data: EventCounts, kind: str) -> DriftLevels:
    """The levels of a drift.

    Raises:
        ConfigurationError: where there is a single window or season, or too many windows.
    """
    if kind != "random_walk":
        return _seasons(data, kind)
    position = window_positions(data)
    distinct, where, level = np.unique(position, return_index=True, return_inverse=True)
    if len(distinct) < 2:
        raise _one_level("all windows begin together", kind)
    if len(distinct) > MOST_DRIFT_WINDOWS:
        raise ConfigurationError(
            f"a random walk over {len(distinct):,} windows is too long",
            field="drift",
            expected=f"at most {MOST_DRIFT_WINDOWS:,} windows",
            got=kind,
            todo="take longer windows, or drift=hour_of_day or drift=day_of_week",
        )
    labels = tuple(str(label) for label in np.asarray(data.window_label)[where])
    if len(set(labels)) < len(labels):
        labels = tuple(np.datetime_as_string(np.asarray(data.window_start)[where], unit="s").tolist())
    starts = np.asarray(data.window_start)[where].astype("datetime64[ns]")
    return DriftLevels(kind, labels, starts, level, random_walk_basis(np.diff(distinct)))


def _seasons(data: EventCounts, kind: str) -> DriftLevels:
    try:
        seasons = calendar_covariate(data, kind)
    except ConfigurationError as error:
        raise ConfigurationError(
            error.what, field="drift", expected=error.expected, got=error.got, todo=error.todo
        ) from error
    labels, level = tuple(seasons.values), seasons.codes.astype(np.int64)
    if len(labels) < 2:
        raise _one_level(f"every window has {kind} {labels[0]}", kind)
    return DriftLevels(kind, labels, np.empty(0, "datetime64[ns]"), level, zero_sum_basis(len(labels)))


def random_walk_basis(gap: np.ndarray) -> np.ndarray:
    """B of a random walk of unit scale less its mean, shape (len(gap) + 1, len(gap)).

    Args:
        gap: Distances between neighbouring windows, shape (n_levels - 1,), positive.

    Example:
        >>> basis = random_walk_basis(np.array([1.0, 3.0]))
        >>> steps = np.diff(basis, axis=0)
        >>> np.allclose(steps @ steps.T, np.diag([1.0, 3.0])), np.allclose(basis.sum(0), 0.0)
        (True, True)
    """
    n = len(gap) + 1
    if np.allclose(gap, gap[0], rtol=1e-12, atol=0.0):
        half_angle = np.pi * np.arange(1, n) / (2 * n)
        return zero_sum_basis(n) * (np.sqrt(gap[0]) / (2.0 * np.sin(half_angle)))
    differences = np.diff(np.eye(n), axis=0)
    precision = differences.T @ (differences / gap[:, None])
    values, vectors = np.linalg.eigh(precision)
    basis = vectors[:, 1:] / np.sqrt(values[1:])
    return basis - basis.mean(0)


def _one_level(what: str, kind: str) -> ConfigurationError:
    return ConfigurationError(
        f"{what}, so that there is nothing to drift",
        field="drift",
        got=kind,
        todo="leave drift out, or take data over a longer time",
    )
