"""New windows into a run: what is known afterwards is what training on everything at once would know, to the bit."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from modelwright.bayesian.event_rates.statistics import frames, from_frames, statistics_of
from modelwright.bayesian.event_rates.streaming import check_new, fold
from modelwright.bayesian.event_rates.windows_seen import from_stored, stored, windows_seen
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import EventCounts, load_events

STATISTICS = ("entity", "exposure", "windows", "total", "count", "times")


def simulated_log(seed: int, *, hours: int = 24 * 12, users: int = 9, start: str = "2024-03-25") -> pd.DataFrame:
    """Events of users who begin, pause and stop at times of their own, to the second."""
    rng = np.random.default_rng(seed)
    parts = []
    for user in range(users):
        begin, end = np.sort(rng.uniform(0, hours, 2)) if user else (0.0, float(hours))
        times = rng.uniform(begin, end, rng.poisson(0.4 * (end - begin) / 6 + 2))
        pause = rng.uniform(0, hours, 2)
        times = times[(times < pause.min()) | (times > pause.min() + 40)]
        parts.append(pd.DataFrame({"user": f"user_{rng.integers(1000):03d}", "at": times}))
    log = pd.concat(parts, ignore_index=True)
    log["at"] = pd.Timestamp(start) + pd.to_timedelta((log["at"] * 3600).round(), unit="s")
    return log.sort_values("at", ignore_index=True)


def loaded(log, purpose="scoring", **options):
    return load_events(log, entity="user", time="at", purpose=purpose, **options)


def folded_in_turn(parts, **options):
    """The statistics after a training on the first part and an update for every other, through what a run stores."""
    data = loaded(parts[0], **options)
    statistics, seen = statistics_of(data), windows_seen(data)
    steps = []
    for part in parts[1:]:
        tables, documents = stored(seen)
        seen = from_stored(tables["windows_seen"], documents["windows_seen"])
        statistics = from_frames(frames(statistics))
        after = fold(statistics, loaded(part, **options), seen)
        statistics, seen = after.statistics, after.seen
        steps.append(after)
    return statistics, seen, steps


def assert_equal(found, expected):
    assert found.entities == expected.entities
    for name in STATISTICS:
        mine, theirs = getattr(found, name), getattr(expected, name)
        assert mine.dtype == theirs.dtype, name
        assert np.array_equal(mine, theirs), name  # exact: whole numbers, and exposures by one formula


def assert_same_memory(found, expected):
    assert found.entities == expected.entities
    assert np.array_equal(found.last, expected.last)
    assert (found.first_window, found.last_window) == (expected.first_window, expected.last_window)
    assert found.observed == expected.observed
    assert (found.open_count is None) == (expected.open_count is None)
    if found.open_count is not None:
        assert np.array_equal(found.open_count, expected.open_count)


CASES = [
    {"window": "1D"},
    {"window": "1D", "timezone": "Europe/Berlin"},  # a day of 23 hours lies inside
    {"window": "1h"},
    {"window": "6h", "timezone": "Asia/Kolkata"},
    {"window": "W"},
    {"window": "MS"},
    {"window": "B"},
]


@pytest.mark.parametrize("span", ["entity", "whole", "listed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(case.values()).replace("/", "_"))
def test_a_log_taken_in_bit_by_bit_is_the_log_taken_in_at_once(case, span):
    for seed in (0, 1):
        log = simulated_log(seed)
        rng = np.random.default_rng(seed)
        cuts = np.sort(rng.choice(np.arange(20, len(log) - 5), 3, replace=False))
        # Cut anywhere, in the middle of windows too; two events of one second stay together.
        at = log["at"].to_numpy()
        cuts = sorted({int(np.searchsorted(at, at[cut])) for cut in cuts})
        parts = [part for part in np.split(np.arange(len(log)), cuts) if len(part)]
        statistics, seen, steps = folded_in_turn([log.iloc[part] for part in parts], span=span, **case)
        everything = loaded(log, span=span, **case)
        assert_equal(statistics, statistics_of(everything))
        assert_same_memory(seen, windows_seen(everything))
        # No event is told twice, and none is lost.
        events = sum(int(step.arrived.count.sum()) for step in steps)
        assert events == len(log) - len(parts[0])


def test_a_log_of_a_few_events_has_the_clock_of_all_of_them():
    # By itself the second log has only full hours, and would end an hour after its last event.
    log = pd.DataFrame({"user": list("abab"), "at": pd.to_datetime(["2024-03-01T01:02:03", "2024-03-01T05:00:07"] * 2)})
    log.loc[2:, "at"] = pd.to_datetime(["2024-03-02T08:00", "2024-03-02T10:00"])
    statistics, seen, _ = folded_in_turn([log.iloc[:2], log.iloc[2:]], window="1D")
    everything = loaded(log, window="1D")
    assert everything.source["observed"][1] == "2024-03-02T10:00:01.000000Z"
    assert_equal(statistics, statistics_of(everything))
    assert_same_memory(seen, windows_seen(everything))
    # The other way round: what was an hour of the first log need not be over.
    log = pd.DataFrame(
        {"user": list("aba"), "at": pd.to_datetime(["2024-03-01T01:00", "2024-03-01T05:00", "2024-03-01T05:10"])}
    )
    statistics, seen, _ = folded_in_turn([log.iloc[:2], log.iloc[2:]], window="1D")
    assert_equal(statistics, statistics_of(loaded(log, window="1D")))


@pytest.mark.parametrize("span", ["entity", "whole", "listed"])
def test_whole_days_of_a_log_are_the_log_at_once(span):
    log = simulated_log(3)
    days = [day for _, day in log.groupby(log["at"].dt.date)]
    options = {"window": "1D", "span": span, "edge_windows": "whole"}
    statistics, seen, steps = folded_in_turn(days, **options)
    everything = loaded(log, **options)
    assert_equal(statistics, statistics_of(everything))
    assert_same_memory(seen, windows_seen(everything))
    assert all(step.completed == 0 for step in steps)
    assert set(statistics.exposure) == {1.0}


@pytest.mark.parametrize("span", ["entity", "whole", "listed"])
def test_a_table_of_counts_taken_in_bit_by_bit(span):
    rng = np.random.default_rng(5)
    rows = [
        {"user": f"u{user}", "at": day, "n": int(rng.poisson(2))}
        for user in range(6)
        for day in pd.date_range("2024-01-01", periods=40)
        if rng.random() < 0.6 and (user < 4 or day.day > 20)
    ]
    table = pd.DataFrame(rows)
    options = {"count": "n", "window": "1D", "span": span}
    parts = [part for _, part in table.groupby(pd.cut(table["at"].dt.day_of_year, [0, 9, 10, 22, 40]), observed=True)]
    statistics, seen, _ = folded_in_turn(parts, **options)
    everything = loaded(table, **options)
    assert_equal(statistics, statistics_of(everything))
    assert_same_memory(seen, windows_seen(everything))


def test_unequal_exposures_of_ones_own():
    rng = np.random.default_rng(6)
    table = pd.DataFrame(
        {
            "user": np.repeat([f"u{i}" for i in range(5)], 20),
            "at": np.tile(pd.date_range("2024-01-01", periods=20), 5),
            "n": rng.poisson(3, 100),
            "hours": rng.choice([8.0, 6.5, 24.0], 100),
        }
    )
    options = {"count": "n", "exposure": "hours", "window": "1D"}
    parts = [table[table["at"] < "2024-01-08"], table[table["at"] >= "2024-01-08"]]
    statistics, _, _ = folded_in_turn(parts, **options)
    assert_equal(statistics, statistics_of(loaded(table, **options)))
    gap = table[table["at"] >= "2024-01-09"]
    with pytest.raises(DataError, match="5 windows are not in the table, so their exposure is unknown"):
        folded_in_turn([parts[0], gap], **options)


def test_times_without_a_length_and_rows_without_times():
    rng = np.random.default_rng(7)
    table = pd.DataFrame(
        {"user": rng.choice(list("dabc"), 30), "at": pd.date_range("2024-01-01", periods=30), "n": rng.poisson(3, 30)}
    )
    parts = [table.iloc[:12], table.iloc[12:20], table.iloc[20:]]
    for options in ({"time": "at"}, {}):
        whole = load_events(table, entity="user", count="n", purpose="scoring", **options)
        data = [load_events(part, entity="user", count="n", purpose="scoring", **options) for part in parts]
        statistics, seen = statistics_of(data[0]), windows_seen(data[0])
        for part in data[1:]:
            after = fold(statistics, part, seen)
            statistics, seen = after.statistics, after.seen
        assert_equal(statistics, statistics_of(whole))
        assert np.array_equal(seen.last, windows_seen(whole).last)


def test_what_is_scored_as_new_is_only_what_was_not_known():
    log = pd.DataFrame(
        {
            "user": ["ann", "bob", "ann", "ann", "cat"],
            "at": pd.to_datetime(
                ["2024-03-01T06:01", "2024-03-01T09:00", "2024-03-03T12:00", "2024-03-03T20:00", "2024-03-05T23:59"]
            ),
        }
    )
    first, second = log.iloc[:3], log.iloc[3:]
    data = loaded(first, window="1D", span="whole")
    after = fold(statistics_of(data), loaded(second, window="1D", span="whole"), windows_seen(data))
    arrived = after.arrived.to_frame().set_index(["entity", "window"])
    assert after.completed == 2  # ann's and bob's third of March, which the first log left at twelve
    # What is left of the third is less than half a day: from a minute past twelve to midnight.
    assert arrived.loc[("ann", "2024-03-03"), "count"] == 1
    assert arrived.loc[("ann", "2024-03-03"), "exposure"] == pytest.approx((12 - 1 / 60) / 24)
    assert arrived.loc[("bob", "2024-03-03"), "count"] == 0
    assert arrived.loc[("bob", "2024-03-04"), "exposure"] == 1.0
    # A new user was silent before, which counts, but is no news: it begins with what the new log covers.
    assert [window for entity, window in arrived.index if entity == "cat"] == [f"2024-03-0{day}" for day in (3, 4, 5)]
    windows = after.windows.to_frame().set_index(["entity", "window"])
    assert windows.loc[("ann", "2024-03-03"), ["count", "exposure"]].tolist() == [2, 1.0]
    assert windows.loc["cat"].index.tolist() == [f"2024-03-0{day}" for day in range(1, 6)]


def test_an_entity_that_comes_back_gets_the_zeros_between():
    first = loaded(pd.DataFrame({"user": ["a", "b"], "at": ["2024-03-01", "2024-03-05"]}), window="1D")
    later = loaded(pd.DataFrame({"user": ["a"], "at": ["2024-03-08"]}), window="1D")
    after = fold(statistics_of(first), later, windows_seen(first))
    assert after.statistics.windows.tolist() == [8.0, 1.0]
    assert after.windows.count.tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_labels_and_kinds_go_with_their_windows():
    first = loaded(pd.DataFrame({"user": ["a", "b"], "at": ["2024-03-01", "2024-03-01"]}), window="1D", span="whole")
    attack = pd.DataFrame({"user": ["b"], "at": ["2024-03-03"], "attack": [1], "kind": ["scan"]})
    later = loaded(attack, window="1D", span="whole", label="attack", kind="kind")
    arrived = fold(statistics_of(first), later, windows_seen(first)).arrived.to_frame()
    assert arrived["label"].tolist() == [False, False, False, True]
    assert arrived["kind"].tolist() == ["", "", "", "scan"]


# Refusals -------------------------------------------------------------------------------------------------------------


DAYS = pd.DataFrame({"user": ["ann", "bob", "ann"], "at": ["2024-03-01", "2024-03-02", "2024-03-02"]})


def refused(new, old=DAYS, **options):
    data = loaded(old, **{"window": "1D", **options})
    with pytest.raises((DataError, ConfigurationError)) as caught:
        check_new(new, windows_seen(data))
    return str(caught.value)


def test_the_same_data_are_refused():
    assert refused(loaded(DAYS, window="1D")) == (
        "data: these windows were taken in already; expected windows that are new, got 'the same data'"
    )


def test_a_log_that_begins_too_early_is_refused_naming_entities_and_windows():
    new = loaded(pd.DataFrame({"user": ["ann", "ann"], "at": ["2024-03-02", "2024-03-03"]}), window="1D")
    assert refused(new) == (
        "time: 1 of the windows is not new to the run: ann in 2024-03-02; expected windows after the last one of each "
        "entity; leave out what was taken in before; to change what the run knows, train on everything"
    )
    unknown = loaded(pd.DataFrame({"user": ["zoe"], "at": ["2024-03-02"]}), window="1D")
    assert refused(unknown).startswith(
        "time: the log begins at 2024-03-02T00:00:00Z, before the end of what the run has taken in; "
        "expected events from 2024-03-03T00:00:00Z on"
    )


def test_an_event_before_the_end_of_a_log_that_was_cut_off_is_refused():
    old = pd.DataFrame({"user": ["ann", "bob"], "at": ["2024-03-01T10:00:01", "2024-03-01T12:00:00"]})
    new = loaded(pd.DataFrame({"user": ["ann"], "at": ["2024-03-01T11:00:00"]}), window="1D")
    assert "the log begins at 2024-03-01T11:00:00Z" in refused(new, old)
    later = loaded(pd.DataFrame({"user": ["ann"], "at": ["2024-03-01T12:00:01"]}), window="1D")
    check_new(later, windows_seen(loaded(old, window="1D")))
    # A window that was said to be whole takes nothing more.
    assert "ann in 2024-03-01" in refused(later, old, edge_windows="whole")


def test_rows_of_a_table_are_refused_by_entity_and_window():
    table = DAYS.assign(n=1)
    new = loaded(table.assign(n=2), count="n", window="1D")
    sentence = refused(new, table, count="n")
    assert sentence.startswith(
        "time: 3 of the windows are not new to the run: ann in 2024-03-01, ann in 2024-03-02, bob"
    )
    check_new(
        loaded(pd.DataFrame({"user": ["zoe"], "at": ["2024-02-01"], "n": [1]}), count="n", window="1D"),
        windows_seen(loaded(table, count="n", window="1D")),
    )


def test_a_window_before_all_others_is_refused_where_everybody_would_have_been_silent():
    table = DAYS.assign(n=1)
    new = loaded(pd.DataFrame({"user": ["zoe"], "at": ["2024-02-01"], "n": [1]}), count="n", window="1D", span="whole")
    assert refused(new, table, count="n", span="whole").startswith(
        "time: the window 2024-02-01 of zoe lies before the first window of the run"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"window": "1h"}, "window: not as in the run that is continued; expected 1D, got '1h'"),
        ({"span": "whole"}, "span: not as in the run that is continued; expected entity, got 'whole'"),
        ({"timezone": "Europe/Berlin"}, "timezone: not as in the run that is continued; expected UTC"),
        ({"count": "n"}, "data: the new data are of another sort than those of the run; expected a log of events"),
    ],
)
def test_windows_of_another_sort_are_refused(options, sentence):
    new = pd.DataFrame({"user": ["ann"], "at": ["2024-03-09"], "n": [3]})
    assert refused(loaded(new, **{"window": "1D", **options})).startswith(sentence)


def test_an_exposure_of_ones_own_is_all_or_nothing():
    table = DAYS.assign(n=1, hours=8.0)
    new = pd.DataFrame({"user": ["ann"], "at": ["2024-03-09"], "n": [3], "hours": [8.0]})
    plain, own = {"count": "n", "window": "1D"}, {"count": "n", "window": "1D", "exposure": "hours"}
    assert "the run's windows have an exposure of your own and these have none" in refused(
        loaded(new, **plain), table, **own
    )
    assert "these windows have an exposure of your own" in refused(loaded(new, **own), table, **plain)


def test_a_memory_that_contradicts_the_statistics_is_noticed():
    data = loaded(pd.DataFrame({"user": ["a", "b"], "at": ["2024-03-01T01:00", "2024-03-01T05:00"]}), window="1D")
    later = loaded(pd.DataFrame({"user": ["a"], "at": ["2024-03-02T00:00"]}), window="1D")
    seen = windows_seen(data)
    wrong = replace(seen, open_count=seen.open_count + 7)
    with pytest.raises(DataError, match="contradict each other"):
        fold(statistics_of(data), later, wrong)


def test_a_stored_memory_that_is_none_is_refused():
    tables, documents = stored(windows_seen(loaded(DAYS, window="1D")))
    with pytest.raises(DataError, match="not the windows that a run has seen"):
        from_stored(tables["windows_seen"], {**documents["windows_seen"], "sort": {"sort": "log"}})


def test_windows_made_in_python_are_taken_as_they_are_listed():
    made = EventCounts.from_arrays(
        entity=["b", "a"], count=[1, 2], exposure=[0.5, 2.0], window_start=["2024-03-01", "2024-03-01"], window="1D"
    )
    more = EventCounts.from_arrays(entity=["b"], count=[4], exposure=[0.25], window_start=["2024-03-05"], window="1D")
    after = fold(statistics_of(made), more, windows_seen(made))
    assert after.statistics.exposure.tolist() == [2.0, 0.25, 0.5]
    assert after.windows.count.tolist() == [4]
