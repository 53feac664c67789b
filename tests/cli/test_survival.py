"""Real trainings, killed at random moments or out of disk: the store lists, reports and trains again."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelwright.data.datasets import pump_failures
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore

TRAIN = ["train", "event_rates", "--data", "pumps.csv", "--entity", "entity", "--count", "count", "--exposure"]
SHORT = ["exposure", "--draws", "300", "--tune", "300", "--likelihood", "poisson"]


def modelwright(*words: str, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-m", "modelwright", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture
def pumps(project: Path) -> Path:
    pump_failures().to_frame().to_csv("pumps.csv", index=False)
    return project


@pytest.mark.slow
def test_ten_trainings_killed_at_random_moments_leave_a_store_that_works(pumps: Path) -> None:
    started = time.monotonic()
    assert modelwright(*TRAIN, *SHORT).returncode == 0
    whole = time.monotonic() - started
    moments = random.Random(7)  # seeded: which moments are tried does not change from run to run
    statuses = []
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-m", "modelwright", *TRAIN, *SHORT],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        time.sleep(moments.uniform(0.0, whole))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        store = RunStore(pumps)
        for record in store.list():
            assert record.status in (RunStatus.COMPLETE, RunStatus.INTERRUPTED)
            assert record.verify() == []
        statuses.append(str(store.list()[0].status))
        assert modelwright("runs", "list").returncode == 0
        report = modelwright("report", "event_rates")
        assert report.returncode == 0, report.stderr
    assert statuses.count("interrupted") >= 3, "the moments were all too early or too late to test anything"
    again = modelwright(*TRAIN, *SHORT, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["status"] == "complete"
    assert not list((pumps / "models").rglob("*.partial*"))


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root")
def test_a_full_disk_is_a_sentence_and_leaves_no_half_file(pumps: Path) -> None:
    disk = pumps / "models"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk could be mounted: {mounted.stderr.strip()}")
    try:
        full = modelwright(*TRAIN, *SHORT)
        assert full.returncode == 74, full.stderr
        assert "the disk is full" in full.stderr
        assert "Traceback" not in full.stderr
        (record,) = RunStore(pumps).list()
        assert record.status in (RunStatus.FAILED, RunStatus.INTERRUPTED)
        assert not list(disk.rglob("*.partial*"))
        assert modelwright("runs", "list").returncode == 0
        assert modelwright("runs", "rm", record.run_id).returncode == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)
