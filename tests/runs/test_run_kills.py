"""Whatever kills a training, and whenever, the store lists, verifies and trains again."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modelwright.runs import record as record_module
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore

MODEL = "sample"
FILES = 10
EMPTY: dict[str, Any] = {"configuration": {}, "data": {}, "seeds": {}}


def leftovers(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if ".partial" in path.name or ".removing" in path.name]


def check_store(store: RunStore) -> Counter[str]:
    """Every run is whole or said not to be; a new one succeeds and sweeps up what lies around."""
    records = store.list()
    for record in records:
        assert record.status in (RunStatus.COMPLETE, RunStatus.INTERRUPTED), record.problem
        assert record.verify() == []
        if record.status is RunStatus.COMPLETE:
            assert len(record.manifest.files) == FILES
            assert record.trace().posterior.sizes["chain"] == 2
            assert record.report()["run"]["run_id"] == record.run_id
    with store.start(MODEL, **EMPTY) as run:
        run.write_document("after", [1])
    assert store.get("latest").run_id == run.id
    assert store.get(run.id).verify() == []
    assert leftovers(store.root) == []
    return Counter(str(record.status) for record in records)


def test_killed_at_fifteen_random_moments(tmp_path, nursery) -> None:
    chance, seen, longest = random.Random(20260314), Counter[str](), 0.6
    for number in range(15):
        project = tmp_path / str(number)
        # It trains without pause, about ten runs a second, so that a kill hits any line of it.
        child = nursery.begin("train", project, runs=1000, rows=200)
        time.sleep(chance.uniform(0.0, longest))
        assert nursery.kill(child) == -signal.SIGKILL
        seen += check_store(RunStore(project))
        shutil.rmtree(project)
        longest *= 1.0 if seen["complete"] else 1.3  # a busy machine gets further only when it has longer
    assert seen["complete"] > 0
    assert seen["interrupted"] > 0


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.slow), 5])
def test_killed_right_before_any_change_of_the_disk(tmp_path, nursery, stride) -> None:
    # Not at random moments but at those that differ: before one change of the disk after the other, until it lives.
    seen, ends = Counter[str](), []
    for number in range(1, 400, stride):
        project = tmp_path / str(number)
        status, said = nursery.call("train", project, die_before_change=number)
        assert status in (0, -signal.SIGKILL), said
        seen += check_store(RunStore(project))
        shutil.rmtree(project)
        if status == 0:
            break
        ends.append(number)
    assert ends[-1] > 3 * FILES  # each file is at least synced, made readable and renamed
    assert seen["interrupted"] > 2 * FILES / stride
    # Once the last manifest is in place the run is complete, though its process dies before it can say so.
    assert 0 < seen["complete"] < 10


@pytest.mark.parametrize("stride", [pytest.param(1, marks=pytest.mark.slow), 4])
def test_killed_while_removing_leaves_no_run_with_files_missing(tmp_path, nursery, stride) -> None:
    for number in range(1, 100, stride):
        project = tmp_path / str(number)
        assert nursery.call("train", project)[0] == 0
        status, said = nursery.call("remove", project, die_before_change=number)
        assert status in (0, -signal.SIGKILL), said
        check_store(RunStore(project))
        shutil.rmtree(project)
        if status == 0:
            break
    assert number > FILES


def test_control_c_marks_the_run_interrupted(tmp_path, nursery) -> None:
    child = nursery.begin("train", tmp_path, hold=True)
    run_id = nursery.hears(child, "running ")
    assert RunStore(tmp_path).get(run_id).status is RunStatus.RUNNING
    assert nursery.kill(child, signal.SIGINT) == 1
    assert "KeyboardInterrupt" in nursery.said(child)
    record = RunStore(tmp_path).get(run_id)
    # Written by the process itself, not only concluded from its lock.
    assert (record.status, record.manifest.status) == (RunStatus.INTERRUPTED, "interrupted")
    assert record.manifest.error.type == "KeyboardInterrupt"


def test_two_processes_at_once_share_nothing(tmp_path, nursery) -> None:
    both = [nursery.begin("train", tmp_path, runs=8) for _ in range(2)]
    store = RunStore(tmp_path)
    deadline = time.monotonic() + 60
    while len(store.list()) < 16 and time.monotonic() < deadline:  # reading beside them sees no damage at any moment
        assert {record.status for record in store.list()} <= {RunStatus.RUNNING, RunStatus.COMPLETE}
    assert [nursery.wait(child) for child in both] == [0, 0]
    records = store.list()
    assert Counter(str(record.status) for record in records) == {"complete": 16}
    assert len({record.run_id for record in records}) == 16
    assert [record.run_id for record in records if record.verify()] == []
    # Ids sort by time across processes as well, within a second too.
    assert sorted(records, key=lambda record: record.started, reverse=True) == records


def test_two_processes_that_prune_at_once_leave_what_they_should(tmp_path, nursery) -> None:
    assert nursery.call("train", tmp_path, runs=12)[0] == 0
    both = [nursery.begin("keep", tmp_path, n=2) for _ in range(2)]
    assert [nursery.wait(child) for child in both] == [0, 0], [nursery.said(child) for child in both]
    assert Counter(str(record.status) for record in RunStore(tmp_path).list()) == {"complete": 2}


def test_a_live_run_of_another_process_is_running_and_swept_by_nobody(tmp_path, nursery) -> None:
    store = RunStore(tmp_path)
    child = nursery.begin("train", tmp_path, hold=True)
    run_id = nursery.hears(child, "running ")
    half_written = tmp_path / "models" / MODEL / "traces" / f".{run_id}.nc.abc123.partial.nc"
    half_written.parent.mkdir()
    half_written.write_bytes(b"half")
    with store.start(MODEL, **EMPTY):
        pass
    assert half_written.exists()
    assert store.get(run_id).status is RunStatus.RUNNING
    nursery.kill(child)
    assert store.get(run_id).status is RunStatus.INTERRUPTED
    assert store.clean(MODEL) == [half_written]


def test_a_forked_worker_that_outlives_its_parent_does_not_keep_the_run_alive(tmp_path, nursery) -> None:
    child = nursery.begin("fork_a_worker_and_hold", tmp_path)
    worker = int(nursery.hears(child, "worker "))
    (record,) = RunStore(tmp_path).list()
    assert record.status is RunStatus.RUNNING
    nursery.kill(child)
    try:
        os.kill(worker, 0)  # it lives
        assert RunStore(tmp_path).get(record.run_id).status is RunStatus.INTERRUPTED
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_forked_child_that_leaves_the_block_does_not_close_the_run(tmp_path, nursery) -> None:
    assert nursery.call("fork_a_child_that_leaves", tmp_path) == (0, "running\n")
    assert RunStore(tmp_path).get("latest").status is RunStatus.COMPLETE


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGHUP])
def test_other_deadly_signals_leave_an_interrupted_run(tmp_path, nursery, stop) -> None:
    child = nursery.begin("train", tmp_path, hold=True)
    run_id = nursery.hears(child, "running ")
    assert nursery.kill(child, stop) == -stop
    assert RunStore(tmp_path).get(run_id).status is RunStatus.INTERRUPTED


def test_a_run_that_closes_while_it_is_looked_at_is_not_taken_for_interrupted(tmp_path, monkeypatch) -> None:
    store = RunStore(tmp_path)
    opening = store.start(MODEL, **EMPTY)
    run = opening.__enter__()
    look = record_module.is_held

    def close_and_look(path: Path) -> bool:
        opening.__exit__(None, None, None)
        return look(path)

    # The manifest has been read as running by then; the lock is free a moment later.
    monkeypatch.setattr(record_module, "is_held", close_and_look)
    assert store.get(run.id).status is RunStatus.COMPLETE
