"""`modelwright update`: what a person types, reads and may be refused; with a model that needs no sampler."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelwright.cli import main
from modelwright.runs.manifest import RunStatus
from modelwright.runs.store import RunStore

CONFIG = """
name: Tally
description: One Poisson rate with a conjugate prior
version: 1.0
data_params:
  - {name: data, type: string, label: File, required: true}
  - {name: exposure, type: float, default: 1.0}
train_params:
  - {name: shape, type: float, min_value: 0.01}
"""

MODEL = '''
"""One Poisson rate: two sums are all there is to remember."""
import os
import time
from pathlib import Path
import numpy as np
from modelwright.catalog.base_model import BaseBayesianModel, NewData
from modelwright.core.progress import ProgressEvent
from modelwright.core.sections import Section, Table, TrainingOutcome
from modelwright.core.verdict import Finding, Grade, Verdict


class Tally(BaseBayesianModel):
    def load_data(self, *, data, exposure=1.0, progress=None):
        counts = [int(word) for word in Path(data).read_text().split()]
        return {"counts": np.array(counts), "sums": np.array([sum(counts), exposure * len(counts)])}

    def load_new_data(self, given, run, *, progress):
        loaded = super().load_new_data(given, run, progress=progress)
        return NewData(loaded.data, loaded.options, (f"{len(loaded.data['counts'])} new counts",))

    def fit(self, data, *, settings, progress, shape=0.5):
        for step in range(int(os.environ.get("STEPS", 1))):
            progress(ProgressEvent("sample", step, None, "draws"))
            time.sleep(0.02)
        total, exposure = data["sums"].tolist()
        mean = (shape + total) / (1 + exposure)
        grade = Grade.PROBLEM if mean > 100 else Grade.GOOD
        finding = Finding("size", "size", mean, grade, "problem above 100", "the rate is large", "Look again.")
        table = Table("Most surprising new windows", ("rate",), ((mean,),), headline=True)
        sections = (Section("Rate", tables=(table,)),)
        kept = {"sums": [total, exposure]}
        return TrainingOutcome(None, Verdict.of([finding]), {"mean": mean}, sections, documents=kept)

    def fold_in(self, data, run, **options):
        return self.fit({"sums": data["sums"] + np.array(run.document("sums"))}, **options)

    def ask(self, params, run):
        return {"predictions": [], "credible_intervals": []}
'''


@pytest.fixture
def trained(project: Path) -> Path:
    """A project with a model of its own and a run of it on january.txt; february.txt is new."""
    folder = project / "bayesian_models" / "tally"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / "tally.py").write_text(MODEL)
    Path("january.txt").write_text("1 2 3")
    Path("february.txt").write_text("4 5")
    assert main(["train", "tally", "--data", "january.txt", "--shape", "2", "--seed", "7", "--quiet"]) == 0
    return project


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_an_update_prints_what_a_training_prints_and_what_was_assumed(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["update", "tally", "--data", "february.txt", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert "Most surprising new windows" in shown.out
    assert "verdict: good: every check passed" in shown.out
    assert "report: " in shown.out
    assert shown.err == "2 new counts\n"
    (child, parent) = RunStore(trained).list()
    assert child.metrics == {"mean": (2 + 15) / (1 + 5)}
    assert child.manifest.parent == parent.run_id
    assert child.manifest.seeds == {"seed": 7}


def test_json_holds_the_line_and_the_notes(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = answer(capsys, "update", "tally", "--data", "february.txt", "--shape", "1", "--draws", "50")
    assert result["metrics"] == {"mean": (1 + 15) / (1 + 5)}
    assert result["notes"] == ["2 new counts"]
    assert result["parent"] == RunStore(trained).list()[1].run_id
    assert len(result["folded"]) == 2


def test_runs_show_their_line(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list"]) == 0
    assert "continues" not in capsys.readouterr().out
    parent = answer(capsys, "runs", "list")["runs"][0]["run_id"]
    child = answer(capsys, "update", "tally", "--data", "february.txt")["run_id"]
    assert main(["runs", "list"]) == 0
    listed = capsys.readouterr().out
    assert "continues" in listed.splitlines()[1]
    assert listed.splitlines()[2].count(parent) == 1
    assert {run["run_id"]: run["parent"] for run in answer(capsys, "runs", "list")["runs"]} == {
        child: parent,
        parent: None,
    }
    assert main(["runs", "show", child]) == 0
    shown = capsys.readouterr().out
    assert f"{parent} (complete)" in shown
    assert "2 sets of data" in shown
    assert main(["runs", "rm", parent]) == 0
    document = answer(capsys, "runs", "show", child)
    assert document["lineage"] == [{"run_id": parent, "status": "removed"}]
    assert document["damaged"] == []
    assert answer(capsys, "report", child)["lineage"]["parent"] == parent


def test_the_same_file_twice_is_refused(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "tally", "--data", "february.txt", "--quiet"]) == 0
    for again in ("february.txt", "january.txt"):
        assert main(["update", "tally", "--data", again, "--quiet"]) == 3
        assert "holds these data already" in capsys.readouterr().err
    assert len(RunStore(trained).list()) == 2


def test_a_run_that_is_named_is_continued(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = answer(capsys, "runs", "list")["runs"][0]["run_id"]
    answer(capsys, "update", "tally", "--data", "february.txt")
    assert answer(capsys, "update", "tally", "--data", "february.txt", "--run", first)["parent"] == first


def test_strict_ends_with_its_own_code(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("large.txt").write_text("100000")
    assert main(["update", "tally", "--data", "large.txt", "--strict", "--quiet"]) == 4
    assert "drop --strict" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["update"], 0, "Take new data into a trained run, without the old data."),
        (["update", "tall"], 6, "did you mean 'tally'"),
        (["update", "tally"], 2, "which data are new?"),
        (["update", "tally", "--data", "february.txt", "--run", "20200101"], 6, "no run of tally is called '20200101'"),
        (["update", "tally", "--data", "february.txt", "--draws", "0"], 2, "draws: too small"),
        (["update", "tally", "--data", "february.txt", "--drws", "3"], 2, "--draws"),
    ],
)
def test_refusals(trained: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str) -> None:
    capsys.readouterr()
    assert main(words) == code
    shown = capsys.readouterr()
    assert said in shown.out + shown.err
    assert "Traceback" not in shown.err
    assert len(RunStore(trained).list()) == 1


def test_help_says_what_comes_of_it(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["update", "tally", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "as if it had been trained on all data at once" in shown
    assert "modelwright update tally --data february.csv" in shown
    assert "Posterior draws kept per chain [1 to 10,000,000; default: the run's]" in shown


def test_ctrl_c_keeps_an_interrupted_child_and_a_whole_parent(trained: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "modelwright", "update", "tally", "--data", "february.txt"],
        env={**os.environ, "STEPS": "3000"},
        stderr=subprocess.PIPE,
        text=True,
    )
    store, deadline = RunStore(trained), time.monotonic() + 60
    while len(store.list()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "what had begun is kept as an interrupted run" in said
    child, parent = store.list()
    assert (child.status, child.manifest.parent) == (RunStatus.INTERRUPTED, parent.run_id)
    assert (parent.status, parent.verify()) == (RunStatus.COMPLETE, [])
