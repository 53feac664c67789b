"""No traceback reaches a person: every refusal has a sentence, a field and an exit code."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright.cli import main
from modelwright.cli.app import COMMANDS

TABLE = "e,n,t\na,1,2024-01-01\nb,2,2024-01-02\na,0,2024-01-03\n"
TRAIN = ["train", "event_rates", "--quiet", "--data", "t.csv", "--entity", "e", "--count", "n"]

REFUSALS: dict[str, tuple[list[str], int, str]] = {
    "a command misspelt": (["trian"], 2, "did you mean 'train'"),
    "an option misspelt": ([*TRAIN, "--drws", "3"], 2, "--draws"),
    "a model misspelt": (["train", "event_rate"], 6, "did you mean 'event_rates'"),
    "a model that would leave the folder": (["train", "../x"], 6, "no model is called '../x'"),
    "no data": (["train", "event_rates"], 2, "data: "),
    "a file that is absent": ([*TRAIN, "--data", "none.csv"], 6, "none.csv"),
    "a column misspelt": ([*TRAIN, "--entity", "ee"], 3, "did you mean 'e'"),
    "counts that are text": ([*TRAIN, "--count", "e"], 3, "count"),
    "a window that is none": ([*TRAIN, "--time", "t", "--window", "1Q9"], 2, "window"),
    "draws below one": ([*TRAIN, "--draws", "0"], 2, "draws"),
    "draws that are text": ([*TRAIN, "--draws", "many"], 2, "draws"),
    "no chains": ([*TRAIN, "--chains", "0"], 2, "chains"),
    "target accept above one": ([*TRAIN, "--target-accept", "1.5"], 2, "target_accept"),
    "a seed below zero": ([*TRAIN, "--seed", "-1"], 2, "seed"),
    "an engine misspelt": ([*TRAIN, "--engine", "numpyr"], 2, "engine"),
    "a prior scale of nothing": ([*TRAIN, "--alpha-prior-sd", "nan"], 2, "alpha_prior_sd"),
    "keep of zero": ([*TRAIN, "--keep", "0"], 2, "keep"),
    "a question before training": (["predict", "event_rates", "--entity", "a"], 6, "not trained yet"),
    "a score before training": (["score", "event_rates", "--data", "t.csv"], 6, "not trained yet"),
    "a report before training": (["report", "event_rates"], 6, "not trained yet"),
    "a run that is absent": (["report", "20240101T000000Z-abcdef"], 6, "run"),
    "new windows that are not named": (["score", "event_rates"], 6, "not trained yet"),
    "a comparison of nothing": (["compare"], 2, "RUN"),
    "a model id that is no folder": (["new", "model", "../x"], 2, "not a usable name"),
    "an explanation of a name that no disk takes": (["explain", "n" * 300], 6, "no file and no entry of the zoo"),
    "a project that is absent": (["--project", "none", "models"], 6, "none"),
}


@pytest.mark.parametrize(("words", "code", "said"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_refusal_has_its_code_and_names_what_is_wrong(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, said: str
) -> None:
    Path("t.csv").write_text(TABLE)
    assert main(words) == code
    shown = capsys.readouterr()
    assert shown.err.startswith("modelwright: ")
    assert said in shown.err
    assert "Traceback" not in shown.err + shown.out


TYPED = """event_rates --data t.csv --entity e --count n --json --help --draws -1 --window 1D --time t --top --run list
show rm model --interval nan -- 1 --out --rebuild --silent --project ."""
WORDS = st.sampled_from([*COMMANDS, *TYPED.split()]) | st.text(max_size=8)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(words=st.lists(WORDS, max_size=8))
def test_no_words_bring_a_fault_to_a_person(
    project: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    Path("t.csv").write_text(TABLE)
    limited = [*words, "--draws", "2", "--tune", "2", "--chains", "1"] if "train" in words else words
    capsys.readouterr()
    assert main(limited) in (0, 2, 3, 4, 6)
    assert "a fault of Modelwright" not in capsys.readouterr().err


@given(content=st.binary(max_size=120))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_table_brings_a_fault_to_a_person(project: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    Path("t.csv").write_bytes(content)
    capsys.readouterr()
    assert main([*TRAIN, "--draws", "2", "--tune", "2", "--chains", "1"]) in (0, 2, 3)
    assert "a fault of Modelwright" not in capsys.readouterr().err


def test_an_unexpected_fault_is_a_sentence_and_a_file(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(COMMANDS, "models", ("modelwright.cli.models:absent", "A command whose code is broken."))
    assert main(["models"]) == 1
    said = capsys.readouterr().err
    assert "this is a fault of Modelwright, not yours: AttributeError" in said
    details = Path(said.rsplit("the details are in ", 1)[1].strip())
    assert "Traceback" in details.read_text()
    details.unlink()


def test_a_reader_that_goes_away_is_no_fault(project: Path) -> None:
    command = f"{sys.executable} -m modelwright schema | head -c 10"
    finished = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert finished.stderr == ""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_streams_that_are_closed_are_no_fault_and_are_not_taken_by_files(project: Path, closed: str) -> None:
    program = (
        "import os, sys; import modelwright.cli.app as door; sys.argv[1:] = ['models']; door._open_streams();"
        "taken = os.open('kept', os.O_CREAT | os.O_WRONLY);"
        "os.write(taken, b'%d %d' % (taken, door.main()))"
    )
    subprocess.run(["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, program], check=True, capture_output=True)
    taken, code = Path("kept").read_text().split()
    assert int(taken) > 2
    assert code == "0"


def test_an_interrupt_ends_with_130_and_leaves_the_run_interrupted(project: Path) -> None:
    rows = [f"user_{i % 50},{(i * 7) % 11}" for i in range(2000)]
    Path("t.csv").write_text("e,n\n" + "\n".join(rows))
    words = [sys.executable, "-m", "modelwright", "train", "event_rates", "--data", "t.csv", "--entity", "e"]
    process = subprocess.Popen(
        [*words, "--count", "n", "--draws", "200000", "--chains", "2"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(Path("models").rglob("manifest.json")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "modelwright: interrupted" in said
    listed = subprocess.run(
        [sys.executable, "-m", "modelwright", "runs", "list", "--json"], capture_output=True, text=True, check=True
    )
    assert '"status": "interrupted"' in listed.stdout
