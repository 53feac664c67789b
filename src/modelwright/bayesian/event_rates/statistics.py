"""What the event-rate model needs to remember of its data: sums per entity and exposure, and a histogram of counts.

The likelihood depends on the observations through nothing else, so a model can be trained, stored and later extended
by new windows from these alone: the statistics of two sets of windows add up. All numbers in them are whole (the
exposures aside, which only tell groups apart), so adding is exact and the order does not matter.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.special import gammaln

from modelwright.bayesian.event_rates.observations import SMALL_COUNT, CompressedCounts
from modelwright.bayesian.event_rates.rate_integrals import Windows
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts

EXPOSURES = (1e-30, 1e30)
"""Within these products of rates and exposures are doubles, whatever the rate."""

_LARGEST_HISTOGRAM = 10_000_000
"""Counts up to here are tallied by position; larger ones by sorting."""


@dataclass(frozen=True, eq=False)
class SufficientStatistics:
    """Everything the likelihood of the event-rate model depends on.

    Args:
        entities: Labels, in the order of `entity`.
        entity: Entity of each group of equal entity and exposure, shape (n_groups,), ascending.
        exposure: Exposure of one window of the group, shape (n_groups,), ascending within an entity.
        windows: Number of windows, shape (n_groups,).
        total: Sum of their counts, shape (n_groups,).
        count: Distinct counts above zero, ascending, shape (n_distinct,).
        times: How many windows hold each, shape (n_distinct,).
    """

    entities: tuple[str, ...]
    entity: np.ndarray
    exposure: np.ndarray
    windows: np.ndarray
    total: np.ndarray
    count: np.ndarray
    times: np.ndarray

    @property
    def n_entities(self) -> int:
        """Entities."""
        return len(self.entities)

    @property
    def n_obs(self) -> int:
        """Windows, over all entities."""
        return int(self.windows.sum())

    @cached_property
    def position(self) -> dict[str, int]:
        """Label -> position of every entity."""
        return {label: index for index, label in enumerate(self.entities)}

    @cached_property
    def alike(self) -> "AlikeEntities":
        """The entities with equal statistics; see `alike_entities`."""
        return _gathered(self)

    def compressed(self) -> CompressedCounts:
        """The same in the form that the samplers' likelihood takes."""
        return CompressedCounts(
            entity=self.entity,
            exposure=self.exposure,
            windows=self.windows,
            total=self.total,
            count=self.count,
            times=self.times,
            constant=-float(self.times @ gammaln(self.count + 1.0)),
            n_entities=self.n_entities,
            n_small=int((self.count < SMALL_COUNT).sum()),
        )


def statistics_of(data: EventCounts) -> SufficientStatistics:
    """The sufficient statistics of some windows.

    Raises:
        DataError: an exposure outside of `EXPOSURES`.

    Example:
        >>> data = EventCounts.from_arrays(entity=["a", "a", "b"], count=[3, 0, 2], exposure=[1.0, 1.0, 0.5])
        >>> found = statistics_of(data)
        >>> found.windows.tolist(), found.total.tolist(), found.count.tolist()
        ([2.0, 1.0], [3.0, 2.0], [2.0, 3.0])
    """
    _refuse_extreme_exposures(np.asarray(data.exposure))
    n = data.n_entities
    if (data.exposure == data.exposure[0]).all():
        entity = np.arange(n, dtype=np.int64)
        exposure = np.full(n, float(data.exposure[0]))
        group, size = np.asarray(data.entity_idx), n
    else:
        lengths, which = np.unique(data.exposure, return_inverse=True)
        codes, group = np.unique(data.entity_idx * len(lengths) + which, return_inverse=True)
        entity, exposure, size = codes // len(lengths), lengths[codes % len(lengths)], len(codes)
    count, times = _histogram(np.asarray(data.count))
    return SufficientStatistics(
        entities=data.entities,
        entity=entity,
        exposure=exposure,
        windows=np.bincount(group, minlength=size).astype(np.float64),
        total=np.bincount(group, weights=data.count, minlength=size),
        count=count,
        times=times,
    )


def _refuse_extreme_exposures(exposure: np.ndarray) -> None:
    low, high = EXPOSURES
    wrong = (exposure < low) | (exposure > high)
    if wrong.any():
        row = int(wrong.argmax())
        raise DataError(
            f"an exposure at position {row} that no rate can be told from",
            field="exposure",
            expected=f"numbers from {low:g} to {high:g}",
            got=float(exposure[row]),
            todo="write exposures in another unit",
        )


def merged(first: SufficientStatistics, second: SufficientStatistics) -> SufficientStatistics:
    """The statistics of two sets of windows together; entities in the order of their labels.

    Example:
        >>> day1 = statistics_of(EventCounts.from_arrays(entity=["a", "b"], count=[3, 1]))
        >>> day2 = statistics_of(EventCounts.from_arrays(entity=["c", "a"], count=[5, 3]))
        >>> both = merged(day1, day2)
        >>> both.entities, both.total.tolist(), both.windows.tolist(), both.count.tolist(), both.times.tolist()
        (('a', 'b', 'c'), [6.0, 1.0, 5.0], [2.0, 1.0, 1.0], [1.0, 3.0, 5.0], [1.0, 2.0, 1.0])
    """
    labels = tuple(sorted({*first.entities, *second.entities}))
    position = {label: index for index, label in enumerate(labels)}
    entity = np.concatenate(
        [
            np.array([position[label] for label in part.entities], dtype=np.int64)[part.entity]
            for part in (first, second)
        ]
    )
    exposure, windows, total = (
        np.concatenate([getattr(part, name) for part in (first, second)]) for name in ("exposure", "windows", "total")
    )
    order = np.lexsort((exposure, entity))
    entity, exposure = entity[order], exposure[order]
    starts = np.flatnonzero(np.r_[True, (entity[1:] != entity[:-1]) | (exposure[1:] != exposure[:-1])])
    count, where = np.unique(np.concatenate([first.count, second.count]), return_inverse=True)
    return SufficientStatistics(
        entities=labels,
        entity=entity[starts],
        exposure=exposure[starts],
        windows=np.add.reduceat(windows[order], starts),
        total=np.add.reduceat(total[order], starts),
        count=count,
        times=np.bincount(where, weights=np.concatenate([first.times, second.times]), minlength=len(count)),
    )


def frames(statistics: SufficientStatistics) -> dict[str, pd.DataFrame]:
    """The statistics as two tables, to be stored: "statistics" (one row per group) and "count_histogram"."""
    labels = pd.Categorical.from_codes(statistics.entity, categories=pd.Index(statistics.entities, dtype=object))
    return {
        "statistics": pd.DataFrame(
            {
                "entity": labels,
                "exposure": statistics.exposure,
                "windows": statistics.windows.astype(np.int64),
                "total": statistics.total.astype(np.int64),
            }
        ),
        "count_histogram": pd.DataFrame(
            {"count": statistics.count.astype(np.int64), "times": statistics.times.astype(np.int64)}
        ),
    }


def from_frames(tables: dict[str, pd.DataFrame]) -> SufficientStatistics:
    """Read back what `frames` made.

    Raises:
        DataError: a table or column is missing.

    Example:
        >>> found = statistics_of(EventCounts.from_arrays(entity=["a", "b"], count=[3, 1]))
        >>> from_frames(frames(found)).total.tolist()
        [3.0, 1.0]
    """
    for name, columns in (
        ("statistics", ("entity", "exposure", "windows", "total")),
        ("count_histogram", ("count", "times")),
    ):
        missing = [column for column in columns if name not in tables or column not in tables[name]]
        if missing:
            raise DataError("not the statistics of an event-rate model", field=name, expected=f"a column {missing[0]}")
    groups, histogram = tables["statistics"], tables["count_histogram"]
    entity, labels = pd.factorize(groups["entity"].astype(str))
    return SufficientStatistics(
        entities=tuple(str(label) for label in labels),
        entity=entity.astype(np.int64),
        exposure=groups["exposure"].to_numpy(float),
        windows=groups["windows"].to_numpy(float),
        total=groups["total"].to_numpy(float),
        count=histogram["count"].to_numpy(float),
        times=histogram["times"].to_numpy(float),
    )


@dataclass(frozen=True, eq=False)
class Profile:
    """Distinct statistics of entities that were observed at the same number of different exposures.

    Args:
        windows: Exposures, sums and numbers of windows, arrays of shape (n_rows, n_exposures).
        times: How many entities each row stands for, shape (n_rows,).
    """

    windows: Windows
    times: np.ndarray


@dataclass(frozen=True, eq=False)
class AlikeEntities:
    """Entities with equal statistics, once each: they have the same posterior given the population.

    Args:
        profiles: One per number of distinct exposures.
        profile: Which profile each entity belongs to, shape (n_entities,).
        row: Its row there, shape (n_entities,).
    """

    profiles: tuple[Profile, ...]
    profile: np.ndarray
    row: np.ndarray

    @property
    def n_rows(self) -> int:
        """Distinct rows over all profiles."""
        return sum(len(profile.times) for profile in self.profiles)


def alike_entities(statistics: SufficientStatistics) -> AlikeEntities:
    """Gather the entities whose exposures, sums and numbers of windows are the same; once for the same statistics.

    Example:
        >>> counts = EventCounts.from_arrays(entity=["a", "a", "b", "b", "c", "c"], count=[1, 2, 3, 0, 4, 4])
        >>> found = alike_entities(statistics_of(counts))
        >>> found.profiles[0].windows.total[:, 0].tolist(), found.profiles[0].times.tolist(), found.row.tolist()
        ([3.0, 8.0], [2, 1], [0, 0, 1])
    """
    return statistics.alike


def _gathered(statistics: SufficientStatistics) -> AlikeEntities:
    n = statistics.n_entities
    first = np.searchsorted(statistics.entity, np.arange(n + 1))
    levels = np.diff(first)
    profile, row = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    profiles = []
    for index, level in enumerate(np.unique(levels)):
        members = np.flatnonzero(levels == level)
        at = first[members][:, None] + np.arange(level)
        columns = [getattr(statistics, name)[at] for name in ("exposure", "windows", "total")]
        keys = np.concatenate(columns, axis=1)
        order = np.lexsort(keys.T[::-1]) if level else np.arange(len(members))
        arranged = keys[order]
        new = np.r_[True, (arranged[1:] != arranged[:-1]).any(1)]
        exposure, number, total = (column[order][new] for column in columns)
        profiles.append(Profile(Windows(exposure, total, number), np.diff(np.r_[np.flatnonzero(new), len(members)])))
        profile[members] = index
        row[members[order]] = np.cumsum(new) - 1
    return AlikeEntities(tuple(profiles), profile, row)


def _histogram(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if counts.max() <= _LARGEST_HISTOGRAM:
        tally = np.bincount(counts)
        count = np.flatnonzero(tally)
        times = tally[count]
    else:
        count, times = np.unique(counts, return_counts=True)
    above = count > 0
    return count[above].astype(np.float64), times[above].astype(np.float64)
