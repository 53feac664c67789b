"""What the calendar says about windows: the day of the week, the hour, the weekend, the month, as covariates.

The names are read off the clock of the data's own time zone at the moment each window begins, and mean something only
when a window lies inside one hour, one day or one month: Tuesday says nothing about a window of a week.
"""

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.data.events.counts import EventCounts
from modelwright.data.events.texts import Texts
from modelwright.data.events.windows import WindowGrid, parse_window
from modelwright.data.events.zones import DAY, SECOND, Int64, Zone, find_zone

CalendarName = Literal["day_of_week", "hour_of_day", "weekend", "month"]

CALENDAR_NAMES: tuple[str, ...] = get_args(CalendarName)
"""The covariates that every data set with windows in time has."""

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_HOUR = 3_600 * SECOND
# name -> (its values in order, which of them a time on the wall clock has, the longest window it means something for)
_Rule = tuple[tuple[str, ...], Callable[[Int64], Int64], int]


def _day_of_week(local: Int64) -> Int64:
    return (local // DAY + 3) % 7  # 1970-01-01 was a Thursday


def _month(local: Int64) -> Int64:
    months: NDArray[Any] = local.view("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months % 12


_RULES: dict[str, _Rule] = {
    "day_of_week": (DAYS, _day_of_week, DAY),
    "hour_of_day": (tuple(f"{hour:02d}" for hour in range(24)), lambda local: local // _HOUR % 24, _HOUR),
    "weekend": (("weekday", "weekend"), lambda local: (_day_of_week(local) >= 5).astype(np.int64), DAY),
    "month": (MONTHS, _month, 31 * DAY),
}


def calendar_covariate(counts: EventCounts, name: str) -> Texts:
    """What the calendar says about each window.

    Args:
        counts: Counts in windows of time.
        name: day_of_week (Monday ...), hour_of_day (00 ... 23), weekend (weekday, weekend) or month (January ...).

    Returns:
        Texts, shape (n_obs,); `values` are those that occur, in the order of the calendar.

    Raises:
        ConfigurationError: for another name, for counts without times, and when windows are too long for the name to
            mean anything.

    Example:
        >>> counts = EventCounts.from_arrays(
        ...     entity=["a", "a", "b"], count=[1, 2, 3], window_start=["2024-03-01", "2024-03-02", "2024-03-03"]
        ... )
        >>> calendar_covariate(counts, "day_of_week").tolist()
        ['Friday', 'Saturday', 'Sunday']
        >>> calendar_covariate(counts, "weekend").values
        ('weekday', 'weekend')
    """
    if name not in _RULES:
        raise ConfigurationError(
            "not a covariate of the calendar",
            field="covariates",
            expected=" or ".join(CALENDAR_NAMES),
            got=name,
            todo=suggestion(name, CALENDAR_NAMES),
        )
    if counts.window_start is None:
        raise ConfigurationError(
            f"{name} needs windows in time, and the counts have none",
            field="covariates",
            expected="counts with times",
            todo=f"load the data with a column of times, or leave {name} out",
        )
    zone = find_zone(counts.timezone)
    codes, unique = pd.factorize(counts.window_start.view(np.int64), sort=True)
    starts = np.asarray(unique // 1_000, dtype=np.int64)
    local = zone.to_local(starts)
    values, which, longest = _RULES[name]
    _check_length(name, counts.window, zone, starts, local, longest)
    used, place = np.unique(which(local), return_inverse=True)
    return Texts([values[number] for number in used.tolist()], place[codes])


def _check_length(name: str, window: str | None, zone: Zone, starts: Int64, local: Int64, longest: int) -> None:
    if window is None:
        # Windows of unknown length: dates without a time of day are days.
        length = DAY if not (local % DAY).any() else 0
    else:
        length = _length(parse_window(window, zone), starts)
    if length > longest:
        unit = {_HOUR: "an hour", DAY: "a day"}.get(longest, "a month")
        raise ConfigurationError(
            f"{name} says nothing about windows that last longer than {unit}",
            field="covariates",
            expected=f"windows of at most {unit}",
            got=window or "dates",
            todo=f"use a shorter window, or leave {name} out",
        )


def _length(grid: WindowGrid, starts: Int64) -> int:
    """How long the longest window lasts, microseconds; days count as 24 hours whatever the clocks did."""
    if grid.sort == "elapsed":
        return grid.step
    if grid.sort == "days":
        return grid.step * DAY
    bucket = grid.bucket_of(starts)
    grid = grid.covering(int(bucket.min()), int(bucket.max()))
    index = grid.index_of(bucket)
    return int((grid.edges[index + 1] - grid.edges[index]).max()) * DAY
