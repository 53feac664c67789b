"""Run ids: UTC second and six hexadecimal digits, `20260314T092653Z-5f3a9c`; sorted as text they are sorted by time."""

import re
import secrets
from datetime import UTC, datetime, timedelta

from modelwright.core.errors import ConfigurationError

_RUN_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")
_TIME = "%Y%m%dT%H%M%SZ"
_LARGEST_SUFFIX = 0xFFFFFF
_STEP = 0x1000
_CLOCK_SLACK = timedelta(seconds=60)


def is_run_id(text: str) -> bool:
    """Whether `text` is a run id: well formed, and its time exists.

    Example:
        >>> is_run_id("20260314T092653Z-5f3a9c"), is_run_id("20261399T092653Z-5f3a9c"), is_run_id("latest")
        (True, False, False)
    """
    if not _RUN_ID.fullmatch(text):
        return False
    try:
        datetime.strptime(text[:16], _TIME)
    except ValueError:
        return False
    return True


def check_run_id(text: str, *, field: str = "run") -> str:
    """Return a run id, refuse anything else: an id becomes a folder name."""
    if not isinstance(text, str) or not is_run_id(text):
        raise ConfigurationError("not a run id", field=field, expected="an id like 20260314T092653Z-5f3a9c", got=text)
    return text


def run_time(run_id: str) -> datetime:
    """The UTC second a run id carries.

    Example:
        >>> run_time("20260314T092653Z-5f3a9c").isoformat()
        '2026-03-14T09:26:53+00:00'
    """
    return datetime.strptime(check_run_id(run_id)[:16], _TIME).replace(tzinfo=UTC)


def next_run_id(now: datetime, newest: str | None = None) -> str:
    """A new id for the time `now`, greater than `newest` even within one second or after a small step back.

    A newest id more than a minute ahead of the clock is taken for a clock that was wrong, and not followed.

    Args:
        now: An aware time.
        newest: The greatest id there is, or None.

    Example:
        >>> noon = datetime(2026, 3, 14, 12, tzinfo=UTC)
        >>> first = next_run_id(noon)
        >>> first < next_run_id(noon, first) < next_run_id(noon + timedelta(seconds=1))
        True
    """
    moment = now.astimezone(UTC).replace(microsecond=0)
    # Half of the range is left free, so that many runs fit behind the first one of a second.
    suffix = secrets.randbelow(_LARGEST_SUFFIX // 2)
    if newest is not None and moment <= run_time(newest) <= moment + _CLOCK_SLACK:
        moment, suffix = run_time(newest), int(newest[-6:], 16) + 1 + secrets.randbelow(_STEP)
        if suffix > _LARGEST_SUFFIX:
            moment, suffix = moment + timedelta(seconds=1), secrets.randbelow(_STEP)
    return f"{moment.strftime(_TIME)}-{suffix:06x}"
