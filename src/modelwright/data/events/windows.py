"""Windows of time: which one an event falls in, and when it begins and ends.

Three sorts of pandas offset, each with an anchor that does not depend on the data, so that windows of a later file line
up with those of an earlier one:

- *elapsed* ("1h", "15min", "36h"): equal stretches of elapsed time, counted from midnight of 1970-01-01 in the zone's
  standard time. A day of 23 or 25 hours has 23 or 25 windows of an hour.
- *days* ("1D", "7D"): whole civil days of the zone, midnight to midnight, counted from 1970-01-01. A window may last 23
  or 25 hours.
- *calendar* ("W", "MS", "QS", "B"): the civil days from one date of the offset to the next. Offsets that name an end
  (W, ME, QE, YE and their business forms) close at the end of that date, as in pandas' resample.

Only integer arithmetic happens per event: an event's *bucket* is its elapsed window or its civil day, and buckets are
turned into windows afterwards.
"""

import warnings
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pandas.tseries.frequencies import to_offset

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events.texts import Texts
from modelwright.data.events.zones import DAY, Int64, Zone

_SMALLEST_US = 1_000
_WIDTHS = (DAY, 60_000_000, 1_000_000, 1_000, 1)
_DAY_DTYPE = "datetime64[D]"
# The offsets that pandas' resample closes on the right: their date is the last day inside the window.
_END_RULES = frozenset({"ME", "YE", "QE", "BME", "BYE", "BQE", "W"})


@dataclass(frozen=True, eq=False)
class WindowGrid:
    """Consecutive windows of one sort.

    Args:
        text: The offset as the person wrote it ("1D", "W-SUN").
        zone: The zone whose midnights count.
        sort: Which of the three sorts above.
        step: Microseconds (elapsed) or days (days) per window; the offset's multiple for calendar windows.
        edges: First days of calendar windows, days since 1970-01-01, shape (n_edges,); empty otherwise.
    """

    text: str
    zone: Zone
    sort: Literal["elapsed", "days", "calendar"]
    step: int
    edges: Int64

    @property
    def counts_instants(self) -> bool:
        """Whether buckets come from instants (elapsed) rather than from the wall clock (days, calendar)."""
        return self.sort == "elapsed"

    @property
    def bucket_width(self) -> int:
        """Microseconds per bucket."""
        return self.step if self.sort == "elapsed" else DAY

    @property
    def bucket_shift(self) -> int:
        """Microseconds added before dividing, so that a bucket begins at midnight of the zone's standard time."""
        return self.zone.standard_offset if self.sort == "elapsed" else 0

    def index_of(self, bucket: Int64) -> Int64:
        """Window numbers of buckets, same shape; consecutive windows have consecutive numbers."""
        if self.sort == "elapsed":
            return bucket
        if self.sort == "days":
            return np.asarray(bucket // self.step, dtype=np.int64)
        return np.asarray(np.searchsorted(self.edges, bucket, side="right") - 1, dtype=np.int64)

    def bucket_of(self, instants: Int64) -> Int64:
        """Buckets of instants in microseconds, same shape."""
        clock = instants if self.counts_instants else self.zone.to_local(instants)
        return np.asarray((clock + self.bucket_shift) // self.bucket_width, dtype=np.int64)

    def start(self, index: Int64) -> Int64:
        """Instants at which windows begin, microseconds, same shape; window i ends where i + 1 begins."""
        if self.sort == "elapsed":
            return np.asarray(index * self.step - self.bucket_shift, dtype=np.int64)
        day = index * self.step if self.sort == "days" else self.edges[index]
        return self.zone.to_instant(np.asarray(day * DAY, dtype=np.int64))

    def covering(self, first_bucket: int, last_bucket: int) -> "WindowGrid":
        """The same windows, with calendar dates worked out from one bucket to another.

        Raises:
            DataError: when the dates leave the years that can be counted.
        """
        if self.sort != "calendar":
            return self
        edges = _calendar_edges(self.text, first_bucket, last_bucket)
        if not len(edges) or edges[0] > first_bucket or edges[-1] <= last_bucket:
            raise DataError(
                f"windows of {self.text} leave the years that can be counted",
                field="time",
                expected="times between 1680 and 2260",
                todo="use a shorter window, or check the times",
            )
        return replace(self, edges=edges)


def parse_window(window: object, zone: Zone) -> WindowGrid:
    """The windows that a pandas offset means.

    Raises:
        ConfigurationError: for anything that is not a positive offset of a millisecond or more.

    Example:
        >>> from modelwright.data.events.zones import find_zone
        >>> parse_window("2D", find_zone(None)).sort, parse_window("90min", find_zone(None)).sort
        ('days', 'elapsed')
    """
    none = np.zeros(0, dtype=np.int64)
    if not isinstance(window, str) or not window.strip():
        raise _not_a_window(window, "an offset is a short text")
    try:
        offset = read_offset(window.strip())
    except (ValueError, OverflowError) as error:
        raise _not_a_window(window, _hint(str(error))) from error
    if offset is None or offset.n < 1:
        raise _not_a_window(window, "a window must last longer than nothing")
    if isinstance(offset, pd.offsets.Day):
        return WindowGrid(window.strip(), zone, "days", offset.n, none)
    if isinstance(offset, pd.offsets.Tick):
        width = int(offset.nanos) // 1_000
        if width < _SMALLEST_US or width > 500 * 366 * DAY:
            raise _not_a_window(window, "a window lasts from a millisecond to 500 years")
        return WindowGrid(window.strip(), zone, "elapsed", width, none)
    if isinstance(offset, pd.offsets.BusinessHour):
        raise _not_a_window(window, "hours of business leave gaps between windows; use B or 1h")
    return WindowGrid(window.strip(), zone, "calendar", offset.n, none)


def read_offset(text: str) -> pd.offsets.BaseOffset:
    """What pandas reads in a text, older spellings ("1d", "w") without a warning: they mean the same to a person."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        offset: pd.offsets.BaseOffset = to_offset(text)
        return offset


def _not_a_window(window: object, hint: str) -> ConfigurationError:
    return ConfigurationError(
        "not a window",
        field="window",
        expected="a pandas offset such as 1D, 1h, 15min, W or MS",
        got=window,
        todo=hint,
    )


def _hint(message: str) -> str:
    """The useful end of what pandas says about a text that is no offset."""
    if "Did you mean" in message:
        return "did you mean " + message.rsplit("Did you mean", 1)[1].partition("?")[0].strip() + "?"
    if "Please use" in message:
        return "use " + message.rsplit("Please use", 1)[1].split("instead")[0].strip() + " instead"
    return "write a number and a unit, such as 1D for a day"


def _calendar_edges(text: str, first_day: int, last_day: int) -> Int64:
    """First days of the windows of a calendar offset around a range of days, counted from 1970 whatever the range."""
    offset = read_offset(text)
    margin = 400 * offset.n + 10
    low, high = _day(1680), _day(2260)
    before = pd.Timestamp(np.datetime64(max(first_day - margin, low), "D"))
    after = pd.Timestamp(np.datetime64(min(last_day + margin, high), "D"))
    anchor = offset.rollforward(pd.Timestamp("1970-01-01"))
    dates: list[NDArray[np.int64]] = []
    if before < anchor:
        dates.append(_days(pd.date_range(anchor, before, freq=-1 * offset))[::-1])
    if after > anchor:
        dates.append(_days(pd.date_range(anchor, after, freq=offset)))
    edges = np.unique(np.concatenate(dates)) if dates else np.zeros(0, dtype=np.int64)
    rule = offset.rule_code.split("-")[0]
    return edges + 1 if rule in _END_RULES else edges


def _days(dates: pd.DatetimeIndex) -> Int64:
    return dates.to_numpy().astype(_DAY_DTYPE).astype(np.int64)


def _day(year: int) -> int:
    return int(np.datetime64(f"{year}-01-01", "D").astype(np.int64))


def window_labels(start_us: Int64, zone: Zone) -> Texts:
    """What a person reads for each window start: a date, or date and time where windows are shorter than days.

    In a zone that changes its clocks, times carry their offset, because one wall-clock hour then happens twice.

    Args:
        start_us: Instants, microseconds, shape (n_obs,).
        zone: The zone whose clock is shown.

    Returns:
        Texts, shape (n_obs,), the distinct ones by time.

    Example:
        >>> from modelwright.data.events.zones import find_zone
        >>> window_labels(np.array([DAY, 0, DAY]), find_zone(None)).tolist()
        ['1970-01-02', '1970-01-01', '1970-01-02']
    """
    codes, distinct = pd.factorize(start_us, sort=True)
    unique = np.asarray(distinct, dtype=np.int64)
    local = zone.to_local(unique)
    clock = local.view("datetime64[us]")
    finest = next(place for place, width in enumerate(_WIDTHS) if not (local % width).any())
    # The names of units are written out because the type of the function depends on them.
    if finest == 0:
        texts = np.datetime_as_string(clock, unit="D")
    elif finest == 1:
        texts = np.datetime_as_string(clock, unit="m")
    elif finest == 2:
        texts = np.datetime_as_string(clock, unit="s")
    elif finest == 3:
        texts = np.datetime_as_string(clock, unit="ms")
    else:
        texts = np.datetime_as_string(clock, unit="us")
    texts = np.char.replace(texts, "T", " ")
    if finest > 0 and zone.changes_clocks:
        texts = np.char.add(texts, _offset_texts(local - unique))
    again, names = pd.factorize(texts.astype(object))
    return Texts([str(name) for name in names], codes if len(names) == len(unique) else again[codes])


def _offset_texts(offsets: Int64) -> NDArray[np.str_]:
    unique, inverse = np.unique(offsets, return_inverse=True)
    written = []
    for offset in unique:
        minutes = abs(int(offset)) // 60_000_000
        written.append(f"{'-' if offset < 0 else '+'}{minutes // 60:02d}:{minutes % 60:02d}")
    return np.array(written, dtype=np.str_)[inverse]
