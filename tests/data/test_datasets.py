"""Built-in data: the pumps as printed, and a security log that has the properties it is said to have."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.datasets import SecurityLog, pump_failures, simulate_security_log, write_security_log
from modelwright.data.events import attach_labels, load_events

SEEDS = range(20)


@pytest.fixture(scope="module")
def logs() -> list[SecurityLog]:
    return [simulate_security_log(seed=seed) for seed in SEEDS]


def test_the_pumps_have_their_published_failures_and_times() -> None:
    pumps = pump_failures()
    assert pumps.count.tolist() == [5, 1, 5, 14, 3, 19, 1, 1, 4, 22]
    assert pumps.exposure.tolist() == [94.3, 15.7, 62.9, 126.0, 5.24, 31.4, 1.05, 1.05, 2.1, 10.5]
    assert pumps.window_start is None


def test_ordinary_user_days_have_mean_five_and_standard_deviation_three(logs: list[SecurityLog]) -> None:
    means, deviations = [], []
    for log in logs:
        counts = log.counts()
        assert counts.label is not None
        ordinary = counts.count[~counts.label]
        means.append(ordinary.mean())
        deviations.append(ordinary.std())
    for values, target in ((means, 5.0), (deviations, 3.0)):
        # Monte Carlo: 4 standard errors over the seeds.
        assert abs(np.mean(values) - target) < 4 * np.std(values, ddof=1) / np.sqrt(len(values))


def test_users_differ_and_days_are_overdispersed(logs: list[SecurityLog]) -> None:
    between, within = [], []
    for log in logs:
        counts = log.counts()
        assert counts.label is not None
        table = np.where(counts.label, np.nan, counts.count).reshape(log.n_users, log.n_days)
        means, variances = np.nanmean(table, axis=1), np.nanvar(table, axis=1, ddof=1)
        between.append(means.var(ddof=1) - (variances / log.n_days).mean())
        within.append((variances / means).mean())
    # Rates are gamma with coefficient of variation 1/4 around 5; Monte Carlo: 4 standard errors over the seeds.
    assert abs(np.mean(between) - (5 / 4) ** 2) < 4 * np.std(between, ddof=1) / np.sqrt(len(between))
    assert min(within) > 1.2


def test_the_attacked_fraction_is_exact_and_split_among_the_kinds(logs: list[SecurityLog]) -> None:
    for log in logs:
        counts = log.counts()
        assert counts.n_obs == 200 * 30
        assert counts.label is not None
        assert counts.label.sum() == len(log.truth) == 120
        assert log.truth["kind"].value_counts().to_dict() == {
            "brute_force": 40, "credential_stuffing": 40, "device_anomaly": 40
        }  # fmt: skip
        assert not log.truth.duplicated(["user", "day"]).any()


def test_attacks_have_the_sizes_of_their_kind(logs: list[SecurityLog]) -> None:
    truth = pd.concat([log.truth.assign(seed=log.seed) for log in logs])
    for kind, low, high in (("brute_force", 50, 200), ("credential_stuffing", 3, 10), ("device_anomaly", 3, 8)):
        extra = truth.loc[truth["kind"] == kind, "extra_events"]
        assert low <= extra.min()
        assert extra.max() <= high
        # The whole range is used: 800 draws from at most 151 values miss an end with probability below 1 %.
        assert extra.max() - extra.min() >= 0.95 * (high - low)
    campaigns = truth[truth["kind"] == "credential_stuffing"].groupby(["seed", "day"]).size()
    assert campaigns.min() >= 10
    # Two campaigns may fall on one day; 40 user-days are at most four of ten.
    assert campaigns.max() <= 40


def test_extra_events_are_in_the_log(logs: list[SecurityLog]) -> None:
    log = logs[0]
    outside = ~log.events["source"].str.startswith("10.")
    found = log.events[outside].groupby(["user", log.events["timestamp"].dt.floor("D")]).size()
    expected = log.truth.set_index(["user", "day"])["extra_events"]
    assert {key: int(n) for key, n in found.items()} == {key: int(n) for key, n in expected.items()}


def test_there_is_a_daily_and_a_weekly_rhythm(logs: list[SecurityLog]) -> None:
    events = pd.concat([log.events for log in logs])
    ordinary = events[events["source"].str.startswith("10.")]["timestamp"]
    hours = ordinary.dt.hour.value_counts(normalize=True).sort_index()
    assert hours.loc[9:16].min() > 4 * hours.loc[[0, 1, 2, 3, 4, 22, 23]].max()
    days = ordinary.dt.date.value_counts().groupby(lambda day: day.weekday()).mean().sort_index()
    assert days.loc[[5, 6]].max() < 0.85 * days.loc[0:4].min()
    assert ordinary.dt.day_of_week.iloc[0] == 0


def test_counts_equal_those_read_from_the_written_files(tmp_path: Path) -> None:
    log = simulate_security_log(n_users=30, n_days=10, seed=11)
    truth = tmp_path / "truth.csv"
    reference = log.counts()
    for name in ("events.csv", "events.parquet"):
        write_security_log(log, tmp_path / name, truth)
        counts = load_events(
            tmp_path / name, entity="user", time="timestamp", window="1D", span="whole", edge_windows="whole"
        )
        labelled = attach_labels(counts, truth, entity="user", time="day", kind="kind")
        assert labelled.fingerprint() == reference.fingerprint()
        assert labelled.window_label.tolist() == reference.window_label.tolist()
    assert reference.entities[0] == "user_0001"
    with pytest.raises(ConfigurationError, match="not a format for events"):
        write_security_log(log, tmp_path / "events.xlsx")


def test_the_same_seed_gives_the_same_log_and_another_seed_another(logs: list[SecurityLog]) -> None:
    again = simulate_security_log(seed=0)
    pd.testing.assert_frame_equal(again.events, logs[0].events)
    pd.testing.assert_frame_equal(again.truth, logs[0].truth)
    assert logs[0].counts().fingerprint() != logs[1].counts().fingerprint()


@pytest.mark.parametrize("size", [(2, 1, 0.5), (2, 2, 0.5), (12, 2, 0.5), (40, 1, 0.5), (11, 40, 0.3), (3, 5, 0.0)])
def test_small_and_crowded_logs_keep_the_fraction(size: tuple[int, int, float]) -> None:
    n_users, n_days, fraction = size
    for seed in range(5):
        log = simulate_security_log(n_users=n_users, n_days=n_days, attack_fraction=fraction, seed=seed)
        assert len(log.truth) == round(n_users * n_days * fraction)
        counts = log.counts()
        assert counts.n_obs == n_users * n_days
        assert counts.count.sum() == len(log.events)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"n_users": 1}, "n_users"),
        ({"n_days": 0}, "n_days"),
        ({"n_days": 2.5}, "n_days"),
        ({"attack_fraction": 0.9}, "attack_fraction"),
        ({"attack_fraction": float("nan")}, "attack_fraction"),
        ({"attack_fraction": "2%"}, "attack_fraction"),
        ({"seed": -1}, "seed"),
    ],
)
def test_sizes_out_of_range_are_refused(options: dict[str, object], field: str) -> None:
    with pytest.raises((ConfigurationError, DataError)) as caught:
        simulate_security_log(**({"seed": 1} | options))  # type: ignore[arg-type]
    assert caught.value.field == field
