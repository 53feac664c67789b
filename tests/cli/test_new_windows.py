"""Scoring a log of today against a training of yesterday: what is taken over from the training and what is not."""

import json
from pathlib import Path

import numpy as np
import pytest

from modelwright.cli import main
from modelwright.runs.store import RunStore

TRAIN = [
    "train",
    "event_rates",
    "--data",
    "log.csv",
    "--entity",
    "user",
    "--time",
    "at",
    "--window",
    "1D",
    "--label",
    "attack",
    "--kind",
    "kind",
]
SHORT = ["--draws", "60", "--tune", "80", "--chains", "2", "--quiet", "--json"]
SAMPLED = ["--engine", "numpyro", "--max-tree-depth", "6"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a run on a log whose attacks are known."""
    folder = tmp_path_factory.mktemp("trained")
    random = np.random.default_rng(0)
    rows = ["user,at,attack,kind"]
    for day in range(8):
        for user in ("ann", "bob", "cat", "dee"):
            for _ in range(random.poisson(4)):
                rows.append(f"{user},2024-03-{day + 1:02d}T{random.integers(24):02d}:00:00,0,")
    rows += ["ann,2024-03-05T03:00:00,1,brute force"] * 30
    (folder / "log.csv").write_text("\n".join(rows) + "\n")
    words = [str(folder / "log.csv") if word == "log.csv" else word for word in (*TRAIN, *SHORT, *SAMPLED)]
    assert main(["--project", str(folder), *words]) == 0
    return folder


@pytest.fixture
def today(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log of today without labels, seen from five to seven o'clock."""
    monkeypatch.chdir(trained)
    monkeypatch.delenv("MODELWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("MODELWRIGHT_PROJECT", raising=False)
    Path("today.csv").write_text("user,at\nann,2024-04-01T05:00:00\nbob,2024-04-01T06:00:00\n")
    return trained


def scores(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict]:
    capsys.readouterr()
    assert main(["score", "event_rates", "--data", "today.csv", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)["scores"]


def test_new_windows_need_no_labels_though_the_training_had_them(
    today: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scores(capsys)
    assert {row["entity"] for row in found} == {"ann", "bob"}
    assert "label" not in found[0]


def test_new_labels_are_read_when_they_are_named(today: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("today.csv").write_text("user,at,attack\nann,2024-04-01T05:00:00,1\nbob,2024-04-01T06:00:00,0\n")
    assert {row["entity"]: row["label"] for row in scores(capsys, "--label", "attack")} == {"ann": True, "bob": False}
    silent = scores(capsys, "--label", "attack", "--silent")
    assert {row["entity"]: row["label"] for row in silent} == {"ann": True, "bob": False, "cat": False, "dee": False}


def test_silence_lasts_as_long_as_the_window_was_seen(today: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(capsys, "--silent", "--edge-windows", "partial")
    assert {row["entity"]: row["count"] for row in found} == {"ann": 1, "bob": 1, "cat": 0, "dee": 0}
    assert {row["exposure"] for row in found} == {2 / 24}  # exact: the same division


def test_silence_is_refused_where_entities_were_seen_for_different_lengths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rows = [f"{who},2024-03-0{day},{day},{1 + (who == 'b')}" for who in "abc" for day in range(1, 6)]
    Path("counts.csv").write_text("\n".join(["who,day,n,hours", *rows]) + "\n")
    columns = ["--entity", "who", "--time", "day", "--window", "1D", "--count", "n", "--exposure", "hours"]
    assert main(["train", "event_rates", "--data", "counts.csv", *columns, *SHORT]) == 0
    Path("today.csv").write_text("who,day,n,hours\na,2024-04-01,3,1\nb,2024-04-01,5,2\n")
    assert main(["score", "event_rates", "--data", "today.csv", "--silent"]) == 2
    assert "silent: silence needs one exposure per window" in capsys.readouterr().err


def test_the_advice_to_raise_the_tree_depth_can_be_followed(today: Path) -> None:
    record = RunStore(today).get("latest")
    assert record.manifest.configuration["settings"]["max_tree_depth"] == 6
    trace = record.trace()
    assert trace.posterior.attrs["max_tree_depth"] == 6
    assert int(trace.sample_stats["n_steps"].max()) <= 2**6 - 1


@pytest.mark.slow
def test_runs_compare_whether_or_not_attacks_were_known_but_not_on_other_windows(
    today: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = RunStore(today).get("latest").run_id
    words = [word for word in TRAIN if word not in {"--label", "attack", "--kind", "kind"}]
    assert main([*words, *SHORT]) == 0
    second = RunStore(today).get("latest").run_id
    capsys.readouterr()
    assert main(["compare", first, second, "--json"]) == 0
    assert {row["name"] for row in json.loads(capsys.readouterr().out)["rows"]} == {first, second}
    assert main([*words, *SHORT, "--edge-windows", "whole"]) == 0
    third = RunStore(today).get("latest").run_id
    assert main(["compare", first, third]) == 3
    assert "were trained on different data" in capsys.readouterr().err
