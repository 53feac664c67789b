"""Which windows may be put together with those of a run: of the same sort, and none of them twice."""

import numpy as np

from modelwright.bayesian.event_rates.window_numbers import positions
from modelwright.bayesian.event_rates.windows_seen import (
    NONE,
    WindowsSeen,
    clock_unit,
    observed_span,
    sort_of,
    with_unit,
)
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import EventCounts
from modelwright.data.events.zones import find_zone

_SHOWN = 3


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
    known = positions(new_counts.entities, folded.entities)[new_counts.entity_idx]
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
