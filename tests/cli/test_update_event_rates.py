"""`modelwright update event_rates`: logs of weeks taken in one after the other are one training on all of them."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelwright.cli import main
from modelwright.data.security_log import simulate_security_log, write_security_log
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore

COLUMNS = ["--entity", "user", "--time", "timestamp", "--window", "1D", "--span", "whole"]
SHORT = ["--draws", "60", "--tune", "60", "--chains", "2", "--seed", "3", "--quiet", "--json"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run on the first days, and logs of all days, of the next days and of the last."""
    folder = tmp_path_factory.mktemp("trained")
    write_security_log(simulate_security_log(n_users=15, n_days=10, seed=4), folder / "all.csv")
    log = pd.read_csv(folder / "all.csv")
    at = pd.to_datetime(log["timestamp"])
    start = at.min().normalize()
    first, second = start + pd.Timedelta(days=6, hours=10), start + pd.Timedelta(days=8)
    log[at < first].to_csv(folder / "old.csv", index=False)
    log[(at >= first) & (at < second)].to_csv(folder / "next.csv", index=False)
    log[at >= second].to_csv(folder / "last.csv", index=False)
    words = ["--project", str(folder), "train", "event_rates", "--data", str(folder / "old.csv"), *COLUMNS, *SHORT]
    assert main(words) == 0
    return folder


@pytest.fixture
def here(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the trained project as working directory."""
    folder = tmp_path / "project"
    shutil.copytree(trained, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MODELWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("MODELWRIGHT_PROJECT", raising=False)
    return folder


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_two_updates_are_a_training_on_everything(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part in ("next.csv", "last.csv"):
        result = answer(capsys, "update", "event_rates", "--data", part)
    assert len(result["folded"]) == 3
    headlines = [table["title"] for table in result["headlines"]]
    assert headlines[0] == "Most surprising new windows"
    assert any(note.startswith("the window 2024-03-13 is taken as observed until") for note in result["notes"])
    answer(capsys, "train", "event_rates", "--data", "all.csv", *COLUMNS, *SHORT)
    at_once, updated = RunStore(here).list()[:2]
    for name in ("mu", "alpha", "phi", "theta"):
        mine, theirs = (run.trace(["posterior"]).posterior[name].values for run in (updated, at_once))
        assert np.array_equal(mine, theirs), name  # equal statistics, equal seed
    mine, theirs = updated.table("rates"), at_once.table("rates")
    pd.testing.assert_frame_equal(mine, theirs, check_exact=False, rtol=1e-12)
    # The child answers as any run: the windows ahead follow the newest, its options are those of the training.
    ahead = answer(capsys, "predict", "event_rates", "--entity", "user_0001", "--run", updated.run_id, "--horizon", "1")
    assert ahead["predictions"][0]["window"] == "2024-03-14"
    Path("today.csv").write_text("timestamp,user\n2024-04-20T10:00:00,user_0001\n")
    scored = answer(capsys, "score", "event_rates", "--data", "today.csv", "--run", updated.run_id)["scores"]
    assert scored[0]["known_entity"] is True


def test_the_same_windows_twice_are_refused_naming_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "event_rates", "--data", "old.csv", "--quiet"]) == 3
    assert "data: these windows were taken in already" in capsys.readouterr().err
    log = pd.read_csv("old.csv")
    log.tail(40).to_csv("again.csv", index=False)
    assert main(["update", "event_rates", "--data", "again.csv", "--quiet"]) == 3
    said = capsys.readouterr().err
    assert "the log begins at" in said or "not new to the run" in said
    assert len(RunStore(here).list()) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--window", "1h"], 2, "window: not as in the run that is continued; expected 1D, got '1h'"),
        (["--span", "entity"], 2, "span: not as in the run that is continued"),
        (["--engine", "pymc"], 2, "engine: an update knows old windows by their sums alone"),
        (["--run", "20200101T000000Z-000000"], 6, "no run of event_rates is called"),
        (["--time-format", "epoch_s"], 3, ""),
    ],
)
def test_refusals(here: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str) -> None:
    assert main(["update", "event_rates", "--data", "next.csv", "--quiet", *words]) == code
    shown = capsys.readouterr().err
    assert said in shown
    assert "Traceback" not in shown


def test_without_data_or_a_trained_run(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "event_rates"]) == 2
    assert "data: needed to update and not given; add --data" in capsys.readouterr().err
    assert main(["--project", "elsewhere", "update", "event_rates", "--data", "next.csv"]) == 6
    (here / "empty").mkdir()
    assert main(["--project", "empty", "update", "event_rates", "--data", "next.csv"]) == 6
    assert "train it with: modelwright train event_rates" in capsys.readouterr().err


def test_a_run_that_kept_too_little_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (record,) = RunStore(here).list()
    with RunStore(here).start(
        "event_rates", configuration=dict(record.manifest.configuration), data=dict(record.manifest.data), seeds={}
    ):
        pass
    assert main(["update", "event_rates", "--data", "next.csv", "--quiet"]) == 2
    assert "has not kept what updates need" in capsys.readouterr().err


@pytest.mark.slow
def test_updates_killed_at_random_moments_leave_the_parent_whole(here: Path) -> None:
    command = [sys.executable, "-m", "modelwright", "update", "event_rates", "--data", "next.csv"]
    (parent,) = RunStore(here).list()
    started = time.monotonic()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    whole = time.monotonic() - started
    RunStore(here).remove("latest")
    moments = random.Random(7)  # seeded: which moments are tried does not change from run to run
    statuses = []
    for _ in range(5):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(moments.uniform(0.3, 0.95) * whole)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for record in RunStore(here).list():
            assert record.verify() == []
            if record.run_id != parent.run_id:
                statuses.append(record.status)
                assert record.manifest.parent == parent.run_id
                RunStore(here).remove(record.run_id)
        assert RunStore(here).get(parent.run_id).status is RunStatus.COMPLETE
    assert RunStatus.INTERRUPTED in statuses, "the moments were all too early or too late to test anything"
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root")
def test_a_full_disk_is_a_sentence_and_leaves_the_parent_whole(here: Path) -> None:
    disk, kept = here / "models", here / "kept"
    disk.rename(kept)
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(disk)], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"no small disk could be mounted: {mounted.stderr.strip()}")
    try:
        shutil.copytree(kept, disk, dirs_exist_ok=True)
        free = shutil.disk_usage(disk).free
        (disk / "ballast").write_bytes(b"\0" * (free - 150_000))
        command = [sys.executable, "-m", "modelwright", "update", "event_rates", "--data", "next.csv"]
        full = subprocess.run(command, capture_output=True, text=True, check=False)
        assert full.returncode == 74, full.stderr
        assert "the disk is full" in full.stderr
        assert "Traceback" not in full.stderr
        child, parent = RunStore(here).list()
        assert child.status in (RunStatus.FAILED, RunStatus.INTERRUPTED)
        assert (parent.status, parent.verify()) == (RunStatus.COMPLETE, [])
        (disk / "ballast").unlink()
        again = subprocess.run(command, capture_output=True, text=True, check=False)
        assert again.returncode == 0, again.stderr
        assert RunStore(here).list()[0].manifest.parent == parent.run_id
    finally:
        subprocess.run(["umount", str(disk)], check=True)
