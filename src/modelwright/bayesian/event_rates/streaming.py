r"""New windows into what a run remembers: the same sufficient statistics as training on everything at once.

What an entity did in its new windows is added to its sums. What has to be thought of is what nobody wrote down:

- *Windows without events* are observations with count zero. With `span="entity"` an entity that comes back gets the
  zeros between its last window and its newest; one that is silent gets none, its span simply has not grown. With
  `span="whole"` every known entity gets its zeros up to the newest window of all, and a new entity those from the
  first window of all on. With `span="listed"` only the rows that are there count.
- *A window that a log cut off* is completed by the next log. Its events so far are kept apart (`WindowsSeen`), so that
  they can be put together with those that follow, and its exposure becomes what both logs have seen of it together. A
  log is taken to go on without a gap where the last one ended.
- *The same windows twice* are refused: by the fingerprint of the data, by a log that begins before the last one ended,
  and by a window of an entity that is not later than its last one. Rows without times can only be told by fingerprint.

Every number involved is whole, and exposures are computed by the same formula from the same instants, so the result is
equal to the last bit to the statistics of all data together: \(S(A \cup B) = S(A) + S(B)\).
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from modelwright.bayesian.event_rates.statistics import SufficientStatistics, merged, statistics_of
from modelwright.bayesian.event_rates.windows_seen import (
    NONE,
    WindowsSeen,
    clock_unit,
    end_of,
    observed_span,
    sort_of,
    windows_seen,
    with_open_window,
    with_unit,
)
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import EventCounts
from modelwright.data.events.fill import Filled, Span, fill_windows, observed_fraction
from modelwright.data.events.texts import Texts
from modelwright.data.events.windows import WindowGrid, window_labels
from modelwright.data.events.zones import find_zone

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Folded:
    """What became of new windows.

    Args:
        statistics: Those of all data, old and new.
        seen: All windows, old and new.
        arrived: What was not known before: the new windows, and of a window that had been cut off the rest. To be
            scored by those who have not seen it.
        windows: The windows as they now stand in the statistics, those that were cut off whole. To be scored by
            leaving each out of what is known now.
        completed: How many windows had been cut off.
    """

    statistics: SufficientStatistics
    seen: WindowsSeen
    arrived: EventCounts
    windows: EventCounts
    completed: int


def fold(statistics: SufficientStatistics, new_counts: EventCounts, folded: WindowsSeen) -> Folded:
    """Take new windows into the statistics of a run.

    Args:
        statistics: What the run knows.
        new_counts: New windows, loaded as the old ones were (`load_events` with `purpose="scoring"`).
        folded: The windows the run rests on.

    Raises:
        DataError: a window is in the run already, or one without a row has an unknown exposure.
        ConfigurationError: the windows are of another sort than those of the run.

    Example:
        >>> from modelwright.bayesian.event_rates.windows_seen import windows_seen
        >>> days = ["2024-03-01", "2024-03-02", "2024-03-03"]
        >>> old = EventCounts.from_arrays(entity=["a", "a", "b"], count=[3, 0, 2], window_start=days[:2] + days[:1])
        >>> new = EventCounts.from_arrays(entity=["a", "c"], count=[5, 1], window_start=days[2:] * 2)
        >>> after = fold(statistics_of(old), new, windows_seen(old))
        >>> after.statistics.entities, after.statistics.total.tolist(), after.statistics.windows.tolist()
        (('a', 'b', 'c'), [8.0, 2.0, 1.0], [3.0, 1.0, 1.0])
    """
    check_new(new_counts, folded)
    new = _sorted_by_label(new_counts)
    mark = new_counts.fingerprint()
    if folded.sort.window is not None:
        return _fold_windows(statistics, new, folded, mark)
    seen = _extended(folded, windows_seen(new), mark)
    return Folded(merged(statistics, statistics_of(new)), seen, new, new, 0)


def check_new(new_counts: EventCounts, folded: WindowsSeen) -> None:
    """Refuse windows that a run rests on already, or that cannot be put together with its own.

    Raises:
        DataError: naming the entity and the window, or the instants. ConfigurationError: naming the option.
    """
    if new_counts.fingerprint() in folded.fingerprints:
        raise DataError(
            "these windows were taken in already", field="data", expected="windows that are new", got="the same data"
        )
    _check_same_sort(new_counts, folded)
    if new_counts.window_start is None:
        return
    starts = new_counts.window_start.view(np.int64)
    position = {label: index for index, label in enumerate(folded.entities)}
    known = np.array([position.get(label, -1) for label in new_counts.entities])[new_counts.entity_idx]
    last = np.where(known >= 0, folded.last[known], NONE)
    again = (last != NONE) & (starts <= last)
    span = observed_span(new_counts)
    if span is not None and folded.observed is not None:
        _check_log_goes_on(new_counts, folded, again, span)
        return
    if again.any():
        raise _seen_already(new_counts, again)
    if folded.sort.span == "whole" and folded.first_window is not None and (starts < folded.first_window).any():
        row = int(np.argmin(starts))
        raise DataError(
            f"the window {new_counts.window_label[row]} of {new_counts.entities[new_counts.entity_idx[row]]} lies "
            "before the first window of the run, in which all others would have to count as silent",
            field="time",
            expected=f"windows from {_day(folded.first_window)} on",
            todo='train on everything, or with span="entity"',
        )


def _check_same_sort(data: EventCounts, folded: WindowsSeen) -> None:
    mine, theirs = sort_of(data), folded.sort
    words = {
        "log": "a log of events",
        "counts": "a table of counts with times",
        "rows": "a table of counts without times",
    }
    if mine.sort != theirs.sort:
        raise ConfigurationError(
            "the new data are of another sort than those of the run",
            field="data",
            expected=words[theirs.sort],
            got=words[mine.sort],
            todo="name the columns as they were in the training",
        )
    for field, name in (("window", "window"), ("timezone", "timezone"), ("span", "span")):
        if getattr(mine, name) != getattr(theirs, name):
            raise ConfigurationError(
                "not as in the run that is continued",
                field=field,
                expected=str(getattr(theirs, name)),
                got=getattr(mine, name),
                todo="leave the option out, or train on everything",
            )
    if mine.own_exposure != theirs.own_exposure:
        raise ConfigurationError(
            "the run's windows have an exposure of your own and these have none"
            if theirs.own_exposure
            else "these windows have an exposure of your own and the run's have none",
            field="exposure",
            expected="a column of exposures" if theirs.own_exposure else "no column of exposures",
        )


def _check_log_goes_on(data: EventCounts, folded: WindowsSeen, again: np.ndarray, span: tuple[int, int]) -> None:
    assert folded.observed is not None
    assert data.window_start is not None
    # An entity's last window may be the one that was cut off: that is no window twice, but the log may be too early.
    at_cut = data.window_start.view(np.int64) == folded.last_window
    closed = again & ~at_cut if folded.open_count is not None else again
    if closed.any():
        raise _seen_already(data, closed & (data.count > 0) if (closed & (data.count > 0)).any() else closed)
    end = with_unit(folded.observed[1], folded.clock_unit, clock_unit(data), find_zone(folded.sort.timezone))
    if span[0] < (end if folded.open_count is not None else folded.observed[1]):
        raise DataError(
            f"the log begins at {_instant(span[0])}, before the end of what the run has taken in",
            field="time",
            expected=f"events from {_instant(end)} on",
            todo="leave out the events before, they are in the run; to change what it knows, train on everything",
        )


def _fold_windows(statistics: SufficientStatistics, new: EventCounts, folded: WindowsSeen, mark: str) -> Folded:
    """The case with windows of a length: zeros to fill in, and perhaps one to complete."""
    known = _Known.of(new, folded)
    filled = _filled(new, known, folded)
    # What the run has already is dropped again: everything up to an entity's last window, unless it was cut off.
    had = np.where(known.is_open, known.cut - 1, np.where(known.is_known, known.last, NONE))
    kept = filled.index > had[filled.entity_idx]
    who, when, events = filled.entity_idx[kept], filled.index[kept], filled.count[kept]
    grid = known.grid
    span = None if folded.observed is None else (folded.observed[0], end_of(new, folded, grid))
    windows = known.counts(who, when, events, _exposures(new, folded, grid, when, span), new)
    seen = WindowsSeen(
        sort=folded.sort,
        entities=known.labels,
        last=known.last_starts(who, when),
        first_window=min(known.start_of(known.first), int(_starts(new).min())),
        last_window=known.start_of(known.newest),
        observed=span,
        clock_unit=_smaller(folded.clock_unit, clock_unit(new)),
        open_count=None,
        fingerprints=(*folded.fingerprints, mark),
    )
    if span is not None:
        at_end = when == known.newest
        seen = with_open_window(seen, grid, who[at_end], events[at_end])
    cut_off = known.is_open[who] & (when == known.cut)
    fresh = (when > known.cut) | cut_off | known.is_listed(who, when)
    part = windows.exposure[fresh]
    if span is not None and folded.observed is not None:
        part = observed_fraction(when[fresh], grid, (folded.observed[1], span[1]))
    rest = (events - np.where(cut_off, known.so_far[who], 0))[fresh]
    return Folded(
        statistics=merged(_without_open_window(statistics, folded, known), statistics_of(windows)),
        seen=seen,
        arrived=known.counts(who[fresh], when[fresh], rest, part, new),
        windows=windows,
        completed=int(known.is_open.sum()),
    )


@dataclass(frozen=True, eq=False)
class _Known:
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
    def of(cls, new: EventCounts, folded: WindowsSeen) -> "_Known":
        assert folded.first_window is not None
        assert folded.last_window is not None
        starts = _starts(new)
        grid = folded.covering(int(starts.min()), int(starts.max()))
        labels = tuple(sorted({*folded.entities, *new.entities}))
        place = {label: position for position, label in enumerate(labels)}
        old = np.array([place[label] for label in folded.entities], dtype=np.int64)
        is_known = np.zeros(len(labels), dtype=bool)
        is_known[old] = True
        last, so_far = np.full(len(labels), NONE), np.full(len(labels), -1, dtype=np.int64)
        last[old] = _numbers(grid, folded.last)
        if folded.open_count is not None:
            so_far[old] = folded.open_count
        first, cut = _numbers(grid, np.array([folded.first_window, folded.last_window])).tolist()
        entity = np.array([place[label] for label in new.entities], dtype=np.int64)[new.entity_idx]
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


def _filled(new: EventCounts, known: _Known, folded: WindowsSeen) -> Filled:
    """The new windows with the zeros between them and what the run has, and what the run has at their edge."""
    closed = np.flatnonzero(known.is_known & ~known.is_open)
    open_ = np.flatnonzero(known.is_open)
    entity = [known.entity, open_, closed]
    index = [known.index, np.full(len(open_), known.cut), known.last[closed]]
    if folded.sort.span == "whole":
        every, unknown = np.arange(len(known.labels)), np.flatnonzero(~known.is_known)
        entity += [every, unknown]
        index += [np.full(len(every), known.newest), np.full(len(unknown), known.first)]
    who, when = np.concatenate(entity), np.concatenate(index)
    events = np.zeros(len(who), dtype=np.int64)
    events[: len(new.count)] = new.count
    events[len(new.count) : len(new.count) + len(open_)] = known.so_far[open_]
    order = np.lexsort((when, who))
    who, when, events = who[order], when[order], events[order]
    begins = np.flatnonzero(np.r_[True, (who[1:] != who[:-1]) | (when[1:] != when[:-1])])
    span: Span = "listed" if folded.sort.span == "listed" else "entity"
    return fill_windows(who[begins], when[begins], np.add.reduceat(events, begins), span=span, grid=known.grid)


def _exposures(
    new: EventCounts, folded: WindowsSeen, grid: WindowGrid, when: np.ndarray, span: tuple[int, int] | None
) -> np.ndarray:
    if span is not None:
        return observed_fraction(when, grid, span)
    missing = len(when) - len(new.count)
    if missing and folded.sort.own_exposure:
        raise DataError(
            f"{missing:,} windows are not in the table, so their exposure is unknown",
            field="exposure",
            expected="a row with count 0 and its exposure for every window since an entity's last one",
            todo='add such rows; only a run trained with span="listed" takes windows as they are listed',
        )
    return np.ones(len(when)) if missing else np.asarray(new.exposure)


def _without_open_window(statistics: SufficientStatistics, folded: WindowsSeen, known: _Known) -> SufficientStatistics:
    """The statistics without the windows that were cut off, which come back completed."""
    if not known.is_open.any() or folded.observed is None:
        return statistics
    exposure = float(observed_fraction(np.array([known.cut]), known.grid, folded.observed)[0])
    group = np.full(statistics.n_entities, -1, dtype=np.int64)
    at = np.flatnonzero(statistics.exposure == exposure)
    group[statistics.entity[at]] = at
    of_label = statistics.position
    open_ = np.flatnonzero(known.is_open).tolist()
    cut = group[[of_label.get(known.labels[position], -1) for position in open_]]
    events = known.so_far[open_]
    windows, total, times = statistics.windows.copy(), statistics.total.copy(), statistics.times.copy()
    windows[cut] -= 1
    total[cut] -= events
    count, occurs = np.unique(events[events > 0], return_counts=True)
    where = np.minimum(np.searchsorted(statistics.count, count), max(len(statistics.count) - 1, 0))
    fits = len(count) == 0 or np.array_equal(statistics.count[where], count)
    if (cut < 0).any() or (windows < 0).any() or (total < 0).any() or not fits:
        raise DataError(
            "the statistics of the run and the windows it remembers contradict each other",
            field="run",
            todo="train on everything",
        )
    times[where] -= occurs
    left, told = windows > 0, times > 0
    return SufficientStatistics(
        entities=statistics.entities,
        entity=statistics.entity[left],
        exposure=statistics.exposure[left],
        windows=windows[left],
        total=total[left],
        count=statistics.count[told],
        times=times[told],
    )


def _extended(folded: WindowsSeen, more: WindowsSeen, mark: str) -> WindowsSeen:
    """Windows without a length, old and new."""
    labels = tuple(sorted({*folded.entities, *more.entities}))
    place = {label: position for position, label in enumerate(labels)}
    last = np.full(len(labels), NONE)
    for part in (folded, more):
        np.maximum.at(last, [place[label] for label in part.entities], part.last)
    firsts = [part.first_window for part in (folded, more) if part.first_window is not None]
    lasts = [part.last_window for part in (folded, more) if part.last_window is not None]
    return replace(
        folded,
        entities=labels,
        last=last,
        first_window=min(firsts, default=None),
        last_window=max(lasts, default=None),
        fingerprints=(*folded.fingerprints, mark),
    )


def _smaller(first: int | None, second: int | None) -> int | None:
    return None if first is None or second is None else min(first, second)


def _sorted_by_label(data: EventCounts) -> EventCounts:
    if all(before < after for before, after in pairwise(data.entities)):
        return data
    return EventCounts.from_frame(data.to_frame().sort_values("entity", kind="stable"))


def _starts(data: EventCounts) -> np.ndarray:
    assert data.window_start is not None
    return np.asarray(data.window_start).view(np.int64)


def _numbers(grid: WindowGrid, starts: np.ndarray) -> np.ndarray:
    """Window numbers of starts in nanoseconds."""
    return grid.index_of(grid.bucket_of(np.asarray(starts) // 1_000))


def _seen_already(data: EventCounts, again: np.ndarray) -> DataError:
    rows = np.flatnonzero(again)
    pairs = ", ".join(f"{data.entities[data.entity_idx[row]]} in {data.window_label[row]}" for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    return DataError(
        f"{len(rows):,} of the windows {'are' if len(rows) > 1 else 'is'} not new to the run: {pairs}{more}",
        field="time",
        expected="windows after the last one of each entity",
        todo="leave out what was taken in before; to change what the run knows, train on everything",
    )


def _instant(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us").astype("datetime64[s]")) + "Z"


def _day(nanoseconds: int) -> str:
    return _instant(nanoseconds // 1_000)
