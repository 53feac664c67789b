"""Real logs and tables: what comes out equals what pandas counts by other means, and published totals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelwright.core.errors import DataError
from modelwright.data.events import LeftOut, load_events

pytestmark = pytest.mark.realdata


def test_failed_logins_of_an_internet_host(shared_data: Path) -> None:
    path = shared_data / "events" / "auth_elastic_events.csv.gz"
    frame = pd.read_csv(path, parse_dates=["time"])
    options = {"entity": "source", "time": "time", "window": "1D", "multiplicity": "multiplicity"}
    with pytest.raises(
        DataError, match="4541 rows of column 'source' without an entity: rows 1, 2, 3, 4, 5 and 4536 more"
    ):
        load_events(path, **options)
    counts = load_events(path, **options, on_bad="leave_out")
    assert counts.left_out == (LeftOut("rows without an entity", 4541),)
    assert counts.source["rows"] + 4541 == len(frame) == 7121
    known = frame.dropna(subset="source")
    truth = known.groupby(["source", known["time"].dt.floor("D")])["multiplicity"].sum()
    mine = counts.to_frame()
    mine = mine[mine["count"] > 0].set_index(["entity", "window_start"])["count"]
    assert mine.to_dict() == truth.to_dict()
    assert counts.n_entities == 190


@pytest.mark.parametrize("name", ["ssh_loghub", "linux_loghub"])
def test_other_security_logs(name: str, shared_data: Path) -> None:
    path = shared_data / "events" / f"{name}_events.csv.gz"
    frame = pd.read_csv(path).dropna(subset="source")
    options = {"entity": "source", "time": "time", "window": "1h", "multiplicity": "multiplicity"}
    counts = load_events(path, **options, on_bad="leave_out", span="whole")
    assert counts.count.sum() == frame["multiplicity"].sum()
    assert counts.n_entities == frame["source"].nunique()
    assert len(set(np.bincount(counts.entity_idx).tolist())) == 1


def test_trips_of_bikes_over_weeks_of_new_york(shared_data: Path) -> None:
    path = shared_data / "events" / "nyc_bikes.parquet"
    counts = load_events(path, entity="bike_id", time="start_time", window="W", timezone="America/New_York")
    frame = pd.read_parquet(path)
    frame["at"] = frame["start_time"].dt.tz_convert("America/New_York")
    for number, bike in enumerate(counts.entities):
        truth = frame[frame["bike_id"].astype(str) == bike].set_index("at").resample("W").size()
        assert counts.count[counts.entity_idx == number].tolist() == truth.tolist()
    assert counts.count.sum() == 4268
    assert counts.n_entities == 10


def test_breaches_per_state_and_quarter(shared_data: Path) -> None:
    path = shared_data / "events" / "hhs_cyber_breaches.csv.gz"
    counts = load_events(path, entity="State", time="Breach.Submission.Date", window="QS", span="whole")
    assert counts.count.sum() == 1151
    assert counts.window_label[0] == "2009-10-01"
    days = pd.read_csv(path, parse_dates=["Breach.Submission.Date"])["Breach.Submission.Date"]
    assert (days.min(), days.max()) == (pd.Timestamp("2009-10-21"), pd.Timestamp("2015-02-26"))
    # A log of dates runs from its first day to the end of its last: 72 of 92 days, and 57 of 90.
    quarters = int((counts.entity_idx == 0).sum())
    assert counts.exposure[0] == pytest.approx(72 / 92, rel=1e-12)  # same formula in float64
    assert counts.exposure[quarters - 1] == pytest.approx(57 / 90, rel=1e-12)


def test_pedestrians_per_hour_of_melbourne(shared_data: Path) -> None:
    path = shared_data / "events" / "pedestrian_melbourne.parquet"
    options = {
        "entity": "Sensor",
        "time": "Date_Time",
        "count": "Count",
        "window": "1h",
        "timezone": "Australia/Melbourne",
    }
    frame = pd.read_parquet(path)
    listed = load_events(path, **options, span="listed")
    assert listed.n_obs == len(frame) == 66_037
    assert listed.count.sum() == frame["Count"].sum()
    filled = load_events(path, **options)
    assert filled.source["filled_windows"] == filled.n_obs - 66_037 > 0
    with pytest.raises(DataError, match="for a window that already has one: rows 1 and 2"):
        load_events(path, **(options | {"window": "1D"}))


def test_seizures_stops_and_home_runs_as_ready_counts(shared_data: Path) -> None:
    folder = shared_data / "events"
    seizures = load_events(folder / "epil.csv.gz", entity="subject", count="y")
    assert (seizures.n_obs, seizures.n_entities) == (236, 59)
    stops = load_events(folder / "frisk_nyc_1998.csv.gz", entity="precinct", count="stops", exposure="arrests")
    assert (stops.n_obs, stops.n_entities, stops.count.sum()) == (225, 75, 131_420)
    batting = {"entity": "playerID", "count": "HR", "exposure": "AB"}
    with pytest.raises(DataError, match="of column 'AB' with an exposure that is not a number above zero"):
        load_events(folder / "lahman_batting.parquet", **batting)
    home_runs = load_events(folder / "lahman_batting.parquet", **batting, on_bad="leave_out")
    frame = pd.read_parquet(folder / "lahman_batting.parquet", columns=["playerID", "HR", "AB"])
    kept = frame[frame["AB"] > 0]
    assert home_runs.n_obs == len(kept)
    assert sum(entry.rows for entry in home_runs.left_out) == len(frame) - len(kept)
    assert home_runs.count.sum() == kept["HR"].sum()
    visits = load_events(folder / "randhie.parquet", entity="zper", count="mdvis")
    assert (visits.n_obs, visits.n_entities) == (20_190, 5_912)
    assert visits.count.mean() == pytest.approx(2.86, abs=0.005)  # published to two decimals
