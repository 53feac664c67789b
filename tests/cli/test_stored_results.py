"""What training left behind, through the door: tables to keep, what tells runs apart, words for what is absent."""

import json
from pathlib import Path

import pandas as pd
import pytest

from modelwright.cli import main
from modelwright.data.datasets import pump_failures
from modelwright.runs.store import RunStore

TRAIN = ["train", "event_rates", "--entity", "pump", "--count", "failures", "--exposure", "hours", "--quiet"]
SHORT = ["--draws", "100", "--tune", "150", "--chains", "2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two runs on the pumps that differ in their likelihood only."""
    folder = tmp_path_factory.mktemp("stored")
    frame = pump_failures().to_frame().rename(columns={"entity": "pump", "count": "failures", "exposure": "hours"})
    frame.to_csv(folder / "pumps.csv", index=False)
    for likelihood in ("poisson", "negative_binomial"):
        words = [*TRAIN, "--data", str(folder / "pumps.csv"), *SHORT, "--likelihood", likelihood]
        assert main(["--project", str(folder), *words]) == 0
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project as working directory."""
    monkeypatch.chdir(trained)
    monkeypatch.delenv("MODELWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("MODELWRIGHT_PROJECT", raising=False)
    return trained


def test_a_report_names_its_tables_and_how_to_keep_one(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "event_rates"]) == 0
    shown = capsys.readouterr().out
    assert "tables: rates, scores, windows_seen; to keep one: modelwright report event_rates --table scores " in shown
    assert "--out scores.csv" in shown


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_a_stored_table_is_shown_in_part_and_written_whole(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["report", "event_rates", "--table", "scores", "--top", "3", "--out", name]) == 0
    shown = capsys.readouterr()
    assert len([line for line in shown.out.splitlines() if line.startswith("pump_")]) == 3
    assert f"10 rows written to {name}" in shown.err
    assert "the first 3 of 10 rows" in shown.err
    written = pd.read_csv(name) if name.endswith("csv") else pd.read_parquet(name)
    stored = RunStore(here).get("latest", "event_rates").table("scores")
    pd.testing.assert_frame_equal(written, stored, check_dtype=name.endswith("parquet"))


def test_a_stored_table_is_printed_as_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "event_rates", "--table", "rates", "--top", "2", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["table"] == "rates"
    assert [row["entity"] for row in document["rows"]] == ["pump_01", "pump_02"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--table", "score"], 6, "has no table 'score'; did you mean 'scores'?"),
        (["--out", "x.csv"], 2, "out: which table?; name it, as in --table scores --out scores.csv"),
        (["--table", "scores", "--out", "x.xlsx"], 2, "out: not a format to write; expected .csv or .parquet"),
    ],
)
def test_a_table_that_cannot_be_had(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert main(["report", "event_rates", *words]) == code
    assert sentence in capsys.readouterr().err
    assert not Path("x.csv").exists()


def test_a_comparison_says_what_differs_and_every_warning_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [record.run_id for record in RunStore(here).list()]
    assert main(["compare", *runs]) == 0
    shown = capsys.readouterr()
    (line,) = [line for line in shown.out.splitlines() if line.startswith("likelihood")]
    assert line.split() == ["likelihood", "negative_binomial", "poisson"]
    assert "draws are few for PSIS" not in shown.err
    assert main(["compare", *runs, "--json"]) == 0
    differences = json.loads(capsys.readouterr().out)["differences"]
    assert differences == {"likelihood": dict(zip(runs, ("negative_binomial", "poisson"), strict=True))}


def test_the_report_page_names_a_command_that_works(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = RunStore(here).get("latest", "event_rates").report_html.read_text(encoding="utf-8")
    command = page.split("<code>modelwright ")[1].split("</code>")[0]
    assert main(command.split()) == 0


def test_runs_of_a_model_misspelt_are_not_an_empty_list(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "list", "event_rate"]) == 6
    assert "no model is called 'event_rate'; did you mean 'event_rates'?" in capsys.readouterr().err


def test_no_runs_yet_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--project", str(tmp_path), "runs", "list", "event_rates"]) == 0
    assert f"no runs in {tmp_path}" in capsys.readouterr().err
    assert main(["--project", str(tmp_path), "runs", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"runs": []}


def test_options_before_the_model_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", "logins.csv"]) == 2
    assert "expected a model before its options, as in modelwright train MODEL --data" in capsys.readouterr().err


def test_scoring_promises_no_defaults_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "event_rates", "--help"]) == 0
    assert "default: entity" in " ".join(capsys.readouterr().out.split())
    assert main(["score", "event_rates", "--help"]) == 0
    assert "default: entity" not in " ".join(capsys.readouterr().out.split())


def test_runs_with_likelihoods_of_some_windows_are_compared_on_all(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = RunStore(here).get("latest", "event_rates").run_id
    monkeypatch.setattr("modelwright.bayesian.event_rates.predictive_sample.COMPLETE_UP_TO", 5)
    monkeypatch.setattr("modelwright.bayesian.event_rates.predictive_sample.SAMPLED_WINDOWS", 4)
    assert main([*TRAIN, "--data", "pumps.csv", *SHORT, "--likelihood", "poisson"]) == 0
    record = RunStore(here).get("latest", "event_rates")
    assert record.trace(["log_likelihood"]).log_likelihood.sizes["obs"] == 4
    capsys.readouterr()
    assert main(["compare", before, record.run_id]) == 0
    assert "Ranked on the 10 windows that the trainings scored" in capsys.readouterr().out
    assert main(["compare", before, record.run_id, "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    scores = record.table("scores")["score"]
    assert rows[record.run_id]["elpd_loo"] == pytest.approx(-scores.sum())
    assert rows[record.run_id]["n_obs"] == 10
