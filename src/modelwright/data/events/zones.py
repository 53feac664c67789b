"""Wall clocks: from local time to instants and back, in numpy and as SQL, with one rule for when clocks change.

Instants are microseconds since 1970-01-01T00:00Z; local times are the same number read off the wall clock. Between two
clock changes a zone is a constant offset, so both directions are a search in a short table:

    local = instant + offset(instant)          instant = local - offset(local)

A local time that happens twice (clocks go back) means its first occurrence; one that never happens (clocks go forward)
is read with the offset before the change, as in PEP 495 with fold=0. The table covers 1900 to 2100.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import nearest

Int64 = NDArray[np.int64]

SECOND = 1_000_000
DAY = 86_400 * SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES_OF_UTC = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "Z"})


@dataclass(frozen=True, eq=False)
class Zone:
    """A time zone as a table of constant offsets.

    Args:
        name: IANA name, such as "Europe/Berlin".
        starts: Instants at which an offset begins, shape (n_offsets,), microseconds; the first is minus infinity.
        offsets: Local time minus UTC from that instant on, shape (n_offsets,), microseconds.
        standard_offset: The offset without daylight saving on 1 January 2020, microseconds.
        first_year: First year the table covers.
        last_year: Last year the table covers.
    """

    name: str
    starts: Int64
    offsets: Int64
    standard_offset: int
    first_year: int
    last_year: int

    @property
    def is_fixed(self) -> bool:
        """Whether the zone never changes its clocks."""
        return len(self.offsets) == 1

    @property
    def changes_clocks(self) -> bool:
        """Whether the offset has changed since 1970, so that a wall-clock time may need its offset beside it."""
        return bool((self.starts > 0).any())

    @property
    def is_utc(self) -> bool:
        """Whether local times and instants are the same numbers."""
        return self.is_fixed and int(self.offsets[0]) == 0

    @property
    def local_starts(self) -> Int64:
        """Local times from which an offset is used, shape (n_offsets,), microseconds."""
        turning = self.starts[1:] + np.maximum(self.offsets[1:], self.offsets[:-1])
        return np.concatenate([self.starts[:1], turning])

    def to_local(self, instants: Int64) -> Int64:
        """Wall-clock time of instants, same shape, microseconds.

        Example:
            >>> int(find_zone("Asia/Kolkata").to_local(np.array([0]))[0]) // SECOND
            19800
        """
        position = np.searchsorted(self.starts, instants, side="right") - 1
        return np.asarray(instants + self.offsets[np.maximum(position, 0)], dtype=np.int64)

    def to_instant(self, local: Int64) -> Int64:
        """Instants of wall-clock times, same shape, microseconds."""
        position = np.searchsorted(self.local_starts, local, side="right") - 1
        return np.asarray(local - self.offsets[np.maximum(position, 0)], dtype=np.int64)

    def offset_sql(self, column: str, *, of_local: bool) -> str:
        """SQL for the offset at `column` (an instant, or a local time), as a tree of comparisons."""
        return _tree(column, self.local_starts if of_local else self.starts, self.offsets, 0, len(self.offsets))


def _tree(column: str, starts: Int64, offsets: Int64, low: int, high: int) -> str:
    if high - low == 1:
        return str(int(offsets[low]))
    middle = (low + high) // 2
    before = _tree(column, starts, offsets, low, middle)
    after = _tree(column, starts, offsets, middle, high)
    return f"CASE WHEN {column} < {int(starts[middle])} THEN {before} ELSE {after} END"


@lru_cache(maxsize=32)
def find_zone(name: str | None) -> Zone:
    """The zone of an IANA name; None is UTC.

    Raises:
        ConfigurationError: for a name that the time zone database does not know, with the nearest one.

    Example:
        >>> find_zone(None).name, find_zone("Europe/Berlin").is_fixed
        ('UTC', False)
    """
    if name is None or name in _NAMES_OF_UTC:
        return Zone("UTC", np.array([np.iinfo(np.int64).min]), np.array([0]), 0, 1678, 2261)
    try:
        zone = ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError, TypeError) as error:
        close = nearest(str(name), available_timezones())
        raise ConfigurationError(
            "not a time zone",
            field="timezone",
            expected="an IANA name such as UTC, Europe/Berlin or America/New_York",
            got=name,
            todo=f"did you mean {close!r}?" if close else "leave it out for UTC",
        ) from error
    starts, offsets = _offset_table(zone)
    winter = datetime(2020, 1, 1, tzinfo=zone)
    standard = (winter.utcoffset() or timedelta(0)) - (winter.dst() or timedelta(0))
    return Zone(name, starts, offsets, _microseconds(standard), 1900, 2100)


def _offset_table(zone: tzinfo) -> tuple[Int64, Int64]:
    """Clock changes found by looking every second day (no zone changed twice within two) and halving to the second."""

    def offset_at(second: int) -> int:
        return _microseconds((_EPOCH + timedelta(seconds=second)).astimezone(zone).utcoffset() or timedelta(0))

    first, last, step = _second(1900), _second(2101), 2 * 86_400
    starts, offsets = [np.iinfo(np.int64).min], [offset_at(first)]
    for end in range(first + step, last + step, step):
        after = offset_at(end)
        if after == offsets[-1]:
            continue
        low, high = end - step, end
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset_at(middle) == offsets[-1] else (low, middle)
        starts.append(high * SECOND)
        offsets.append(after)
    return np.array(starts, dtype=np.int64), np.array(offsets, dtype=np.int64)


def _second(year: int) -> int:
    return int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds())


def _microseconds(duration: timedelta) -> int:
    return duration // timedelta(microseconds=1)
