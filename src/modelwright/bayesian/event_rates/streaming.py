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

from modelwright.bayesian.event_rates.continuation import check_new
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, merged, statistics_of
from modelwright.bayesian.event_rates.window_numbers import NumberedWindows, all_labels, positions, starts_of
from modelwright.bayesian.event_rates.windows_seen import (
    NONE,
    WindowsSeen,
    clock_unit,
    end_of,
    windows_seen,
    with_open_window,
)
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts
from modelwright.data.events.fill import Filled, Span, fill_windows, observed_fraction
from modelwright.data.events.windows import WindowGrid


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


def _fold_windows(statistics: SufficientStatistics, new: EventCounts, folded: WindowsSeen, mark: str) -> Folded:
    """The case with windows of a length: zeros to fill in, and perhaps one to complete."""
    known = NumberedWindows.of(new, folded)
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
        first_window=min(known.start_of(known.first), int(starts_of(new).min())),
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


def _filled(new: EventCounts, known: NumberedWindows, folded: WindowsSeen) -> Filled:
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


def _without_open_window(
    statistics: SufficientStatistics, folded: WindowsSeen, known: NumberedWindows
) -> SufficientStatistics:
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
    labels = all_labels(folded.entities, more.entities)
    last = np.full(len(labels), NONE)
    for part in (folded, more):
        np.maximum.at(last, positions(part.entities, labels), part.last)
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
