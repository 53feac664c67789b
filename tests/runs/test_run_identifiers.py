"""Run ids sort by time, whatever happens within a second or to the clock."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.core.errors import ConfigurationError
from modelwright.runs.identifiers import check_run_id, is_run_id, next_run_id, run_time

NOON = datetime(2026, 3, 14, 12, tzinfo=UTC)


def test_a_thousand_ids_within_one_second_increase() -> None:
    ids = ["20260101T000000Z-000000"]
    for _ in range(1000):
        ids.append(next_run_id(NOON, ids[-1]))
    assert ids == sorted(set(ids))
    # 1000 steps of at most 4096 fit into the upper half of the suffixes: the second is right.
    assert run_time(ids[-1]) == NOON


def test_a_full_second_carries_into_the_next() -> None:
    following = next_run_id(NOON, "20260314T120000Z-ffffff")
    assert following.startswith("20260314T120001Z-")


def test_a_clock_that_steps_back_a_little_is_survived_and_one_far_ahead_is_not_followed() -> None:
    assert next_run_id(NOON - timedelta(seconds=30), "20260314T120000Z-5f3a9c") > "20260314T120000Z-5f3a9c"
    assert next_run_id(NOON, "20990101T000000Z-000000").startswith("20260314T120000Z-")


@given(st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1)), st.integers(-23, 23))
def test_an_id_carries_its_utc_second_from_any_time_zone(naive: datetime, hours: int) -> None:
    moment = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    run_id = next_run_id(moment)
    assert is_run_id(run_id)
    assert run_time(run_id) == moment.astimezone(UTC).replace(microsecond=0)


@given(st.text())
def test_other_text_is_no_run_id_and_the_refusal_says_what_one_looks_like(text: str) -> None:
    assert not is_run_id(text)
    with pytest.raises(
        ConfigurationError, match=r"^run: not a run id; expected an id like 20260314T092653Z-5f3a9c, got"
    ):
        check_run_id(text)


@pytest.mark.parametrize("text", ["20260314T092653Z-5F3A9C", "20260314T092653Z-5f3a9c\n", "٢0260314T092653Z-5f3a9c"])
def test_near_misses_are_refused(text: str) -> None:
    assert not is_run_id(text)
