"""The windows ahead are those that a longer log would have had."""

import numpy as np
import pandas as pd
import pytest

from modelwright.core.errors import DataError
from modelwright.data.events import load_events
from modelwright.data.events.coming import coming_windows, coming_windows_of


@pytest.mark.parametrize("window", ["1D", "7D", "1h", "15min", "W", "MS", "ME", "QS", "B", "36h"])
@pytest.mark.parametrize("timezone", ["UTC", "Europe/Berlin", "America/New_York"])
def test_the_windows_ahead_are_those_of_a_longer_log(window: str, timezone: str) -> None:
    # Across the change of clocks at the end of March in both zones.
    times = pd.date_range("2024-03-01", "2024-12-31", freq="7h", tz=timezone)
    frame = pd.DataFrame({"e": np.where(np.arange(len(times)) % 2, "a", "b"), "t": times})
    options = {"entity": "e", "time": "t", "window": window, "span": "whole", "timezone": timezone}
    longer = load_events(frame, **options)
    shorter = load_events(frame.iloc[:60], **options)
    labels = list(longer.window_label[longer.entity_idx == 0])
    known = list(shorter.window_label[shorter.entity_idx == 0])
    expected = labels[len(known) : len(known) + 4]
    ahead = coming_windows_of(shorter.describe(), 4)
    assert ahead is not None
    assert len(ahead) == 4
    assert len(expected) >= 3
    assert ahead[: len(expected)] == expected


def test_counts_without_time_have_no_windows_ahead() -> None:
    counts = load_events(pd.DataFrame({"e": ["a", "b"], "n": [1, 2]}), entity="e", count="n")
    assert coming_windows_of(counts.describe(), 3) is None


def test_windows_beyond_what_can_be_counted_are_refused() -> None:
    with pytest.raises(DataError, match="leave the years that can be counted"):
        coming_windows("2024-01-01T00:00:00Z", "YS", None, 300)
