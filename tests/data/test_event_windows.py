"""Windows and zones: bins equal pandas' own over offsets and time zones, days of 23 and 25 hours included."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import load_events
from modelwright.data.events.windows import parse_window, window_labels
from modelwright.data.events.zones import DAY, SECOND, find_zone

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Cairo",
)


def instants(seed: int, first: str, last: str, n: int) -> pd.DatetimeIndex:
    """Sorted random instants, to the second."""
    low, high = (pd.Timestamp(day, tz="UTC").value // 10**9 for day in (first, last))
    seconds = np.sort(np.random.default_rng(seed).integers(low, high, size=n))
    return pd.to_datetime(seconds, unit="s", utc=True)


@pytest.mark.parametrize("name", ZONES)
def test_local_time_equals_pandas_to_the_microsecond(name: str) -> None:
    zone = find_zone(name)
    times = instants(1, "1950-01-01", "2037-01-01", 5_000)
    expected = times.tz_convert(name).tz_localize(None).as_unit("us").asi8
    np.testing.assert_array_equal(zone.to_local(times.as_unit("us").asi8), expected)


@pytest.mark.parametrize("name", ZONES)
def test_instants_of_local_times_equal_the_standard_library_with_fold_zero(name: str) -> None:
    from datetime import UTC, datetime, timedelta
    from zoneinfo import ZoneInfo

    zone = find_zone(name)
    # Every quarter of an hour of a year: both clock changes, the hour that repeats and the one that never comes.
    local = np.arange(366 * 96, dtype=np.int64) * 900 * SECOND + find_zone(None).to_local(
        np.array([pd.Timestamp("2016-01-01").value // 1_000])
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    naive = datetime(1970, 1, 1)
    expected = [
        ((naive + timedelta(microseconds=int(moment))).replace(tzinfo=ZoneInfo(name)) - epoch)
        // timedelta(microseconds=1)
        for moment in local
    ]
    np.testing.assert_array_equal(zone.to_instant(local), expected)


@given(seconds=st.lists(st.integers(-(2**31), 2**32), min_size=1, max_size=50), name=st.sampled_from(ZONES))
def test_an_instant_survives_the_way_to_the_wall_clock_and_back_unless_its_hour_repeats(
    seconds: list[int], name: str
) -> None:
    zone = find_zone(name)
    moments = np.array(seconds) * SECOND
    back = zone.to_instant(zone.to_local(moments))
    # Only the second passing of a repeated hour comes back as the first one, never later, never by more than 24 hours.
    assert ((moments - back >= 0) & (moments - back <= DAY)).all()
    np.testing.assert_array_equal(zone.to_local(back), zone.to_local(moments))


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize(
    "offset", ["1D", "1h", "15min", "30s", "MS", "QS", "W", "W-WED", "ME", "YS", "YE-JUN", "B", "BME"]
)
def test_bins_equal_pandas_resample(offset: str, name: str) -> None:
    days = {"30s": ("2024-03-30", "2024-04-01"), "15min": ("2024-03-29", "2024-04-09")}.get(
        offset, ("2023-08-20", "2024-11-09")
    )
    times = instants(2, *days, 400)
    frame = pd.DataFrame({"who": ["a", "b"] * 200, "at": times})
    counts = load_events(frame, entity="who", time="at", window=offset, timezone=name, span="entity")
    for number, who in enumerate(counts.entities):
        mine = counts.entity_idx == number
        series = pd.Series(1, index=times[frame["who"] == who].tz_convert(name))
        truth = series.resample(offset).sum()
        start = truth.index
        if offset in ("W", "W-WED", "ME", "YE-JUN", "BME"):
            # pandas labels these with the last day inside; the window after it begins at the next midnight.
            np.testing.assert_array_equal(counts.count[mine], truth.to_numpy())
            continue
        np.testing.assert_array_equal(counts.count[mine], truth.to_numpy())
        expected = start.tz_convert("UTC").tz_localize(None).as_unit("ns").to_numpy()
        np.testing.assert_array_equal(counts.window_start[mine], expected)


@pytest.mark.parametrize("offset", ["W", "W-WED", "ME", "QE", "BME", "2MS", "2W", "3D", "36h", "SMS", "WOM-1MON"])
def test_windows_follow_each_other_and_hold_their_own_start(offset: str) -> None:
    zone = find_zone("Europe/Berlin")
    grid = parse_window(offset, zone)
    bucket = grid.bucket_of(instants(3, "1965-01-01", "1975-06-01", 300).as_unit("us").asi8)
    grid = grid.covering(int(bucket.min()), int(bucket.max()))
    index = np.arange(grid.index_of(bucket).min(), grid.index_of(bucket).max() + 1)
    start, end = grid.start(index), grid.start(index + 1)
    assert (start < end).all()
    for inside in (start, end - 1, (start + end) // 2):
        np.testing.assert_array_equal(grid.index_of(grid.bucket_of(inside)), index)


@pytest.mark.parametrize("offset", ["1D", "3D", "6h", "7h", "W", "2W", "MS", "2MS", "B", "QE"])
def test_windows_of_a_later_file_line_up_with_those_of_an_earlier_one(offset: str) -> None:
    times = instants(4, "2024-01-01", "2024-12-31", 300)
    frame = pd.DataFrame({"who": ["a", "b"] * 150, "at": times})
    every = load_events(frame, entity="who", time="at", window=offset, timezone="Europe/Berlin")
    later = load_events(frame[200:], entity="who", time="at", window=offset, timezone="Europe/Berlin")
    assert every.window_start is not None
    assert later.window_start is not None
    assert set(later.window_start.tolist()) <= set(every.window_start.tolist())


def test_a_civil_day_has_23_or_25_hours_when_clocks_change_and_counts_as_one() -> None:
    times = pd.date_range("2024-03-29 00:30", "2024-04-02 00:00", freq="1h", tz="Europe/Berlin")
    frame = pd.DataFrame({"who": ["a"] * len(times) + ["b"], "at": [*times, times[0]]})
    counts = load_events(frame, entity="who", time="at", window="1D", timezone="Europe/Berlin")
    assert counts.count[:4].tolist() == [24, 24, 23, 24]
    assert counts.exposure[1:3].tolist() == [1.0, 1.0]
    assert counts.window_label[:4].tolist() == ["2024-03-29", "2024-03-30", "2024-03-31", "2024-04-01"]


def test_hours_stay_apart_when_one_wall_clock_hour_happens_twice() -> None:
    times = pd.date_range("2024-10-27 00:15", periods=5, freq="1h", tz="Europe/Berlin")
    frame = pd.DataFrame({"who": ["a"] * 5 + ["b"], "at": [*times, times[0]]})
    counts = load_events(frame, entity="who", time="at", window="1h", timezone="Europe/Berlin")
    assert counts.count[:5].tolist() == [1, 1, 1, 1, 1]
    assert counts.window_label[2:4].tolist() == ["2024-10-27 02:00+02:00", "2024-10-27 02:00+01:00"]


def test_a_day_that_a_zone_skipped_is_no_window() -> None:
    # Samoa had no 30 December 2011.
    times = pd.to_datetime(["2011-12-29T12:00", "2011-12-31T12:00"]).tz_localize("Pacific/Apia")
    frame = pd.DataFrame({"who": ["a", "a", "b"], "at": [*times, times[0]], "bad": [0, 1, 1]})
    counts = load_events(frame, entity="who", time="at", window="1D", timezone="Pacific/Apia", label="bad")
    assert counts.window_label.tolist() == ["2011-12-29", "2011-12-31", "2011-12-29"]
    assert counts.label is not None
    assert counts.label.tolist() == [False, True, True]
    local = frame.assign(at=["2011-12-29 12:00", "2011-12-30 12:00", "2011-12-29 12:00"])
    with pytest.raises(DataError, match="events on a day that the time zone skipped"):
        load_events(local, entity="who", time="at", window="1D", timezone="Pacific/Apia")


@pytest.mark.parametrize("offset", ["1D", "7h", "3D", "90min"])
def test_times_before_1970_are_rounded_down_too(offset: str) -> None:
    times = instants(5, "1969-12-01", "1970-02-01", 200)
    frame = pd.DataFrame({"who": ["a", "b"] * 100, "at": times.tz_localize(None)})
    counts = load_events(frame, entity="who", time="at", window=offset, span="listed")
    width = np.timedelta64(pd.Timedelta(offset)).astype("timedelta64[ns]").astype(np.int64)
    floor = times.as_unit("ns").asi8 // width * width
    truth = frame.groupby(["who", floor]).size()
    assert counts.window_start is not None
    assert counts.count.tolist() == truth.tolist()
    assert counts.window_start.view(np.int64).tolist() == truth.index.get_level_values(1).tolist()


def test_six_hours_begin_at_midnight_of_the_zone() -> None:
    frame = pd.DataFrame({"who": ["a", "b"], "at": pd.to_datetime(["2024-01-05 01:00", "2024-01-05 13:00"])})
    counts = load_events(frame, entity="who", time="at", window="6h", timezone="Asia/Kolkata")
    assert counts.window_label.tolist() == ["2024-01-05 00:00", "2024-01-05 12:00"]


def test_labels_show_no_more_of_the_clock_than_they_need() -> None:
    zone = find_zone(None)
    assert window_labels(np.array([0, DAY]), zone).tolist() == ["1970-01-01", "1970-01-02"]
    assert window_labels(np.array([0, 60 * SECOND]), zone).tolist() == ["1970-01-01 00:00", "1970-01-01 00:01"]
    assert window_labels(np.array([SECOND]), zone).tolist() == ["1970-01-01 00:00:01"]


@pytest.mark.parametrize(
    ("window", "hint"),
    [
        ("H", "did you mean h?"),
        ("1H", "did you mean h?"),
        ("M", "use 'ME' instead"),
        ("", "an offset is a short text"),
        ("0D", "a window must last longer than nothing"),
        ("-1D", "a window must last longer than nothing"),
        ("1ns", "a window lasts from a millisecond to 500 years"),
        ("999999D12h", "a window lasts from a millisecond to 500 years"),
        ("9999999999999999999D", "write a number and a unit, such as 1D for a day"),
        ("day", "write a number and a unit, such as 1D for a day"),
        ("bh", "hours of business leave gaps between windows; use B or 1h"),
        (None, "an offset is a short text"),
        (7, "an offset is a short text"),
    ],
)
def test_what_is_no_window_says_what_would_be(window: object, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_window(window, find_zone(None))
    assert caught.value.field == "window"
    assert caught.value.expected == "a pandas offset such as 1D, 1h, 15min, W or MS"
    assert caught.value.got == window
    assert caught.value.todo == hint


@pytest.mark.parametrize("name", ["Europe/Berlim", "../etc/passwd", "", "Mars/Base", "\0"])
def test_what_is_no_time_zone_is_refused_with_the_nearest(name: str) -> None:
    with pytest.raises(ConfigurationError, match="not a time zone") as caught:
        find_zone(name)
    assert caught.value.field == "timezone"
    if name == "Europe/Berlim":
        assert caught.value.todo == "did you mean 'Europe/Berlin'?"


@pytest.mark.parametrize(("older", "newer"), [("1d", "1D"), ("w", "W")])
def test_an_older_spelling_means_the_same_without_a_warning(older: str, newer: str) -> None:
    zone = find_zone(None)
    assert parse_window(older, zone).sort == parse_window(newer, zone).sort
