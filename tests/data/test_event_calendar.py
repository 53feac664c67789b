"""Covariates of the calendar: the clock of the data's own zone, and no name for windows that are too long for it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from modelwright.core.errors import ConfigurationError
from modelwright.data.events import EventCounts, load_events
from modelwright.data.events.calendar import CALENDAR_NAMES, DAYS, MONTHS, calendar_covariate


def counts_of(window: str, timezone: str | None = None, days: int = 400) -> EventCounts:
    """Two entities with an event at both ends of a year and more, across two changes of the clocks."""
    ends = [pd.Timestamp("2024-01-01 06:30"), pd.Timestamp("2024-01-01 06:30") + pd.Timedelta(days=days)]
    frame = pd.DataFrame({"who": ["a", "a", "b"], "at": [*ends, ends[0]]})
    return load_events(frame, entity="who", time="at", window=window, timezone=timezone)


@pytest.mark.parametrize("timezone", [None, "Europe/Berlin", "America/New_York", "Asia/Kolkata"])
def test_names_are_those_of_the_clock_on_the_wall(timezone: str | None) -> None:
    hourly, daily = counts_of("1h", timezone), counts_of("1D", timezone)
    for counts, names in ((hourly, CALENDAR_NAMES), (daily, ("day_of_week", "weekend", "month"))):
        local = pd.DatetimeIndex(counts.window_start).tz_localize("UTC").tz_convert(timezone or "UTC")
        truth: dict[str, Any] = {
            "day_of_week": local.day_name(),
            "hour_of_day": local.strftime("%H"),
            "weekend": np.where(local.day_of_week >= 5, "weekend", "weekday"),
            "month": local.month_name(),
        }
        for name in names:
            found = calendar_covariate(counts, name)
            assert found.tolist() == list(truth[name]), name
            assert len(found.values) == len(set(truth[name]))
    assert calendar_covariate(hourly, "day_of_week").values == DAYS
    assert calendar_covariate(daily, "month").values == MONTHS


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("hour_of_day", ["1h", "15min", "1min"], ["1D", "2h", "W"]),
        ("day_of_week", ["1D", "6h", "24h"], ["2D", "W", "MS", "25h", "B"]),
        ("weekend", ["1D", "1h"], ["3D", "QS"]),
        ("month", ["1D", "W", "MS", "ME", "31D"], ["QS", "YS", "2MS", "32D"]),
    ],
)
def test_windows_longer_than_the_unit_have_no_such_name(name: str, good: list[str], bad: list[str]) -> None:
    for window in good:
        assert len(calendar_covariate(counts_of(window, days=40), name)) > 0
    for window in bad:
        with pytest.raises(ConfigurationError, match=f"{name} says nothing about windows that last longer") as caught:
            calendar_covariate(counts_of(window, "Europe/Berlin", days=800), name)
        assert (caught.value.field, caught.value.got) == ("covariates", window)


def test_counts_without_times_and_unknown_names_are_refused() -> None:
    bare = EventCounts.from_arrays(entity=["a", "b"], count=[1, 2])
    with pytest.raises(ConfigurationError, match="day_of_week needs windows in time, and the counts have none"):
        calendar_covariate(bare, "day_of_week")
    with pytest.raises(ConfigurationError, match="did you mean 'weekend'"):
        calendar_covariate(counts_of("1D", days=3), "weeknd")


def test_listed_times_are_days_when_no_time_has_an_hour() -> None:
    frame = pd.DataFrame({"who": ["a", "b"], "at": ["2024-03-01", "2024-03-02"], "n": [1, 2]})
    dates = load_events(frame, entity="who", time="at", count="n")
    assert calendar_covariate(dates, "day_of_week").tolist() == ["Friday", "Saturday"]
    with pytest.raises(ConfigurationError, match="longer than an hour"):
        calendar_covariate(dates, "hour_of_day")
    times = load_events(frame.assign(at=["2024-03-01 10:00", "2024-03-02"]), entity="who", time="at", count="n")
    assert calendar_covariate(times, "hour_of_day").tolist() == ["10", "00"]
