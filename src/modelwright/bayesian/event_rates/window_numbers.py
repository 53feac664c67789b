"""Old and new windows counted by one grid, and old and new entities in one order."""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.windows_seen import NONE, WindowsSeen
from modelwright.data.events import EventCounts
from modelwright.data.events.texts import Texts
from modelwright.data.events.windows import WindowGrid, window_labels


@dataclass(frozen=True, eq=False)
class NumberedWindows:
    """Old and new entities and windows by number: labels sorted, windows counted by one grid.

    Args:
        grid: The windows.
        labels: All entities, sorted.
        is_known: Whether the run has the entity, shape (n_entities,).
        last: Its last window, shape (n_entities,); meaningless for new ones.
        so_far: Its events in the window that was cut off, -1 without one, shape (n_entities,).
        first: The run's first window. cut: The run's last window. newest: The last window of all.
        entity: Entity of each new row, shape (n_rows,). index: Its window, shape (n_rows,).
    """

    grid: WindowGrid
    labels: tuple[str, ...]
    is_known: np.ndarray
    last: np.ndarray
    so_far: np.ndarray
    first: int
    cut: int
    newest: int
    entity: np.ndarray
    index: np.ndarray

    @classmethod
    def of(cls, new: EventCounts, folded: WindowsSeen) -> "NumberedWindows":
        """Number what a run has and what is new.

        Args:
            new: New windows, entities in the order of their labels.
            folded: The windows of the run.
        """
        assert folded.first_window is not None
        assert folded.last_window is not None
        starts = starts_of(new)
        grid = folded.covering(int(starts.min()), int(starts.max()))
        labels = all_labels(folded.entities, new.entities)
        old = positions(folded.entities, labels)
        is_known = np.zeros(len(labels), dtype=bool)
        is_known[old] = True
        last, so_far = np.full(len(labels), NONE), np.full(len(labels), -1, dtype=np.int64)
        last[old] = _numbers(grid, folded.last)
        if folded.open_count is not None:
            so_far[old] = folded.open_count
        first, cut = _numbers(grid, np.array([folded.first_window, folded.last_window])).tolist()
        entity = positions(new.entities, labels)[new.entity_idx]
        index = _numbers(grid, starts)
        return cls(grid, labels, is_known, last, so_far, first, cut, max(cut, int(index.max())), entity, index)

    @property
    def is_open(self) -> np.ndarray:
        """Whether the entity has the window that was cut off, shape (n_entities,)."""
        return self.so_far >= 0

    def start_of(self, window: int) -> int:
        """When a window begins, nanoseconds."""
        return int(self.grid.start(np.array([window]))[0]) * 1_000

    def last_starts(self, who: np.ndarray, when: np.ndarray) -> np.ndarray:
        """When each entity's last window begins, those added included, nanoseconds, shape (n_entities,)."""
        last = np.where(self.is_known, self.last, NONE)
        np.maximum.at(last, who, when)
        return np.asarray(self.grid.start(last) * 1_000)

    def _codes(self, entity: np.ndarray, index: np.ndarray) -> np.ndarray:
        return np.asarray(entity * (self.newest - min(self.first, int(self.index.min())) + 1) + index)

    def rows_of(self, who: np.ndarray, when: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of some windows are rows of the new data, and where each row of the new data is among them."""
        wanted, rows = self._codes(who, when), self._codes(self.entity, self.index)
        at = np.minimum(np.searchsorted(wanted, rows), len(wanted) - 1)
        return at, wanted[at] == rows

    def is_listed(self, who: np.ndarray, when: np.ndarray) -> np.ndarray:
        """Whether windows, sorted by entity and window, are rows of the new data, same shape."""
        at, found = self.rows_of(who, when)
        listed = np.zeros(len(who), dtype=bool)
        listed[at[found]] = True
        return listed

    def counts(
        self, who: np.ndarray, when: np.ndarray, events: np.ndarray, exposure: np.ndarray, new: EventCounts
    ) -> EventCounts:
        """Windows, sorted by entity and window, as counts; what was known of the new rows besides goes with them."""
        at, found = self.rows_of(who, when)
        label = kind = None
        if new.label is not None:
            label = np.zeros(len(who), dtype=bool)
            label[at[found]] = new.label[found]
        if new.kind is not None:
            kinds = np.full(len(who), "", dtype=object)
            kinds[at[found]] = np.asarray(new.kind, dtype=object)[found]
            kind = Texts.of(kinds, name="kind")
        present, entity_idx = np.unique(who, return_inverse=True)
        start = self.grid.start(when)
        return EventCounts(
            entity_idx=entity_idx,
            entities=tuple(self.labels[position] for position in present.tolist()),
            count=events,
            exposure=exposure,
            window_start=(start * 1_000).view("datetime64[ns]"),
            window_label=window_labels(start, self.grid.zone),
            label=label,
            kind=kind,
            window=new.window,
            timezone=new.timezone,
            left_out=new.left_out,
            source={**new.source, "filled_windows": len(who) - int(found.sum())},
        )


def all_labels(first: tuple[str, ...], second: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of both, sorted; the first are sorted already."""
    return first if first == second else tuple(sorted({*first, *second}))


def positions(labels: tuple[str, ...], within: tuple[str, ...]) -> np.ndarray:
    """Where labels stand among others, -1 where they do not, shape (len(labels),).

    Example:
        >>> positions(("b", "x"), ("a", "b")).tolist()
        [1, -1]
    """
    if labels == within:
        return np.arange(len(labels))
    place = {label: position for position, label in enumerate(within)}
    return np.array([place.get(label, -1) for label in labels], dtype=np.int64)


def starts_of(data: EventCounts) -> np.ndarray:
    """When windows begin, nanoseconds since 1970, shape (n_obs,)."""
    assert data.window_start is not None
    return np.asarray(data.window_start).view(np.int64)


def _numbers(grid: WindowGrid, starts: np.ndarray) -> np.ndarray:
    """Window numbers of starts in nanoseconds."""
    return grid.index_of(grid.bucket_of(np.asarray(starts) // 1_000))
