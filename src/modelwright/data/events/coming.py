"""The windows that come after those of the data: what a forecast is about."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events.windows import parse_window, read_offset, window_labels
from modelwright.data.events.zones import find_zone


def coming_windows(last_window: str, window: str, timezone: str | None, horizon: int) -> list[str]:
    """Labels of the windows that follow, as a person reads them.

    Args:
        last_window: When the last window of the data begins, ISO 8601, UTC (`EventCounts.describe()["last_window"]`).
        window: Length of a window as a pandas offset.
        timezone: IANA name; UTC when None.
        horizon: How many windows.

    Returns:
        `horizon` texts.

    Raises:
        DataError: the windows leave the years that can be counted.

    Example:
        >>> coming_windows("2024-01-31T00:00:00Z", "1D", None, 2)
        ['2024-02-01', '2024-02-02']
        >>> coming_windows("2024-01-01T00:00:00Z", "MS", None, 2)
        ['2024-02-01', '2024-03-01']
    """
    instant = np.datetime64(last_window.removesuffix("Z"), "us")
    starts = coming_starts(instant, window, timezone, horizon).view(np.int64)
    return [str(text) for text in window_labels(starts, find_zone(timezone))]


def coming_starts(last: np.datetime64, window: str, timezone: str | None, horizon: int) -> NDArray[np.datetime64]:
    """When the windows that follow begin, datetime64[us] in UTC, shape (horizon,).

    Args:
        last: When the last window of the data begins, UTC.
        window: Length of a window as a pandas offset.
        timezone: IANA name; UTC when None.
        horizon: How many windows.

    Raises:
        DataError: the windows leave the years that can be counted.

    Example:
        >>> coming_starts(np.datetime64("2024-01-31"), "1D", "Europe/Berlin", 1).tolist()
        [datetime.datetime(2024, 1, 31, 23, 0)]
    """
    grid = parse_window(window, find_zone(timezone))
    instant = np.array([last], dtype="datetime64[us]").astype(np.int64)
    bucket = int(grid.bucket_of(instant)[0])
    if grid.sort == "calendar":
        try:
            end = pd.Timestamp(last) + (horizon + 2) * read_offset(window)
        except (OverflowError, pd.errors.OutOfBoundsDatetime) as error:
            raise DataError("the windows ahead leave the years that can be counted", field="horizon") from error
        grid = grid.covering(bucket, int(end.to_numpy().astype("datetime64[D]").astype(np.int64)))
    first = int(grid.index_of(np.array([bucket], dtype=np.int64))[0]) + 1
    starts = grid.start(np.arange(first, first + horizon, dtype=np.int64))
    return np.asarray(starts.astype("datetime64[us]"))


def coming_windows_of(described: dict[str, object], horizon: int) -> list[str] | None:
    """The same for data as `EventCounts.describe` describes them; None where they have no windows in time.

    Raises:
        ConfigurationError: the description is not one of event counts.
    """
    last, window, timezone = (described.get(name) for name in ("last_window", "window", "timezone"))
    if last is None or window is None:
        return None
    if not isinstance(last, str) or not isinstance(window, str) or not isinstance(timezone, str | None):
        raise ConfigurationError("not a description of event counts", field="data", got=described)
    return coming_windows(last, window, timezone, horizon)
