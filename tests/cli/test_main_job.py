"""The main job through the door: from a table to a trusted answer, every command a person types."""

import json
from pathlib import Path

import pytest

from modelwright.cli import main
from modelwright.data.datasets import pump_failures
from modelwright.data.security_log import simulate_security_log, write_security_log

SHORT = ["--draws", "150", "--tune", "200", "--chains", "2", "--quiet"]
PUMPS = ["--data", "pumps.csv", "--entity", "pump", "--count", "failures", "--exposure", "hours"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two runs on the pumps (Poisson and negative binomial)."""
    folder = tmp_path_factory.mktemp("trained")
    frame = pump_failures().to_frame().rename(columns={"entity": "pump", "count": "failures", "exposure": "hours"})
    frame[["pump", "failures", "hours"]].to_csv(folder / "pumps.csv", index=False)
    data = ["--data", str(folder / "pumps.csv"), *PUMPS[2:]]
    for likelihood in ("negative_binomial", "poisson"):
        words = ["--project", str(folder), "train", "event_rates", *data, *SHORT, "--likelihood", likelihood]
        assert main(words) == 0
    return folder


@pytest.fixture
def here(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The trained project as working directory."""
    monkeypatch.chdir(trained)
    monkeypatch.delenv("MODELWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("MODELWRIGHT_PROJECT", raising=False)
    return trained


def answer(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict:
    """The JSON document that a command prints."""
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    return json.loads(capsys.readouterr().out)


def test_the_catalog_says_that_the_model_is_trained(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = {model["model_id"]: model for model in answer(capsys, "models")["models"]}
    assert (models["event_rates"]["is_trained"], models["event_rates"]["has_trace"]) == (True, True)
    assert not models["count_model"]["is_trained"]


def test_training_prints_figures_headlines_the_verdict_and_the_report(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "event_rates", *PUMPS, *SHORT, "--likelihood", "poisson", "--keep", "3"]) == 0
    shown = capsys.readouterr().out
    assert "verdict: " in shown
    assert "Most surprising windows" in shown
    report = Path(shown.split("report: ")[1].split("\n")[0])
    assert report.read_text().startswith("<!DOCTYPE html>")


def test_a_report_is_found_by_model_and_by_the_beginning_of_a_run(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = answer(capsys, "runs", "list")["runs"]
    by_model = answer(capsys, "report", "event_rates")
    by_run = answer(capsys, "report", runs[0]["run_id"][:19])
    assert by_model == by_run


def test_a_report_whose_html_is_gone_is_not_pointed_to(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = answer(capsys, "runs", "list")["runs"][-1]["run_id"]
    (html,) = here.rglob(f"reports/{run}.html")
    content = html.read_text()
    html.unlink()
    assert main(["report", run]) == 0
    shown = capsys.readouterr()
    assert str(html) not in shown.out
    assert f"modelwright report {run} --rebuild FILE" in shown.err
    assert main(["report", run, "--rebuild", str(html)]) == 0
    assert html.read_text().startswith("<!DOCTYPE html>")
    html.write_text(content)


def test_a_prediction_has_a_row_per_window_and_holds_its_interval(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["predict", "event_rates", "--entity", "pump_01", "--horizon", "3", "--exposure", "94.3"]
    document = answer(capsys, *words, "--interval", "0.9")
    assert len(document["predictions"]) == len(document["credible_intervals"]) == 3
    for interval in document["credible_intervals"]:
        assert 0 <= interval["lower"] <= interval["upper"]
    # The pump failed five times in 94.3 thousand hours; its rate is well determined.
    assert 2 < document["predictions"][0]["expected"] < 10


def test_an_entity_never_seen_is_predicted_from_the_population_and_said_so(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = answer(capsys, "predict", "event_rates", "--entity", "pump_99", "--horizon", "1")
    assert document["known_entity"] is False
    main(["predict", "event_rates", "--entity", "pump_99", "--horizon", "1"])
    assert "'pump_99' was not in training" in capsys.readouterr().err


def test_new_windows_are_scored_with_the_options_of_the_training(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("today.csv").write_text("pump,failures,hours\npump_01,60,94.3\npump_01,5,94.3\nnew,1,10\n")
    document = answer(capsys, "score", "event_rates", "--data", "today.csv")
    first = document["scores"][0]
    assert (first["entity"], first["count"]) == ("pump_01", 60)
    assert first["tail_probability"] < 1e-3
    assert {row["entity"]: row["known_entity"] for row in document["scores"]} == {"pump_01": True, "new": False}
    assert any("never seen" in note for note in document["notes"])


def test_scoring_needs_new_windows_and_says_when_they_are_not_new(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", "event_rates"]) == 2
    assert "data: needed to score and not given; add --data" in capsys.readouterr().err
    document = answer(capsys, "score", "event_rates", "--data", "pumps.csv")
    assert "these are the windows of the training; the report has their leave-one-out scores" in document["notes"]


def test_all_scores_can_be_written_to_a_file(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("today.csv").write_text("pump,failures,hours\npump_01,60,94.3\npump_02,1,15.7\n")
    assert main(["score", "event_rates", "--data", "today.csv", "--out", "scores.csv"]) == 0
    assert len(Path("scores.csv").read_text().splitlines()) == 3
    assert main(["score", "event_rates", "--data", "today.csv", "--out", "scores.xls"]) == 2
    assert "out: not a format to write; expected .csv or .parquet, got 'scores.xls'" in capsys.readouterr().err
    before = Path("today.csv").read_bytes()
    assert main(["score", "event_rates", "--data", "today.csv", "--out", "./today.csv"]) == 2
    assert "out: this is the file that is scored; expected another file" in capsys.readouterr().err
    assert Path("today.csv").read_bytes() == before


def test_a_name_from_a_log_does_not_steer_the_terminal(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("today.csv").write_text('pump,failures,hours\n"\x1b[2Jx\ny",60,94.3\npump_02,1,15.7\n')
    assert main(["score", "event_rates", "--data", "today.csv"]) == 0
    assert main(["predict", "event_rates", "--entity", "\u202eabc"]) == 0
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    assert "\\x1b[2Jx\\ny" in shown.out
    assert "\\u202eabc: the next 7 windows" in shown.out


def test_runs_on_the_same_data_are_ranked(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [run["run_id"] for run in answer(capsys, "runs", "list")["runs"]][-2:]
    document = answer(capsys, "compare", *runs)
    assert [row["rank"] for row in document["rows"]] == [1, 2]


def test_a_run_shows_its_manifest_and_that_its_files_are_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = answer(capsys, "runs", "show", "event_rates")
    assert document["status"] == "complete"
    assert document["damaged"] == []
    assert document["data"]["options"]["exposure"] == "hours"


def test_a_run_can_be_removed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pump_failures().to_frame().rename(columns={"entity": "pump", "count": "failures", "exposure": "hours"})
    frame.to_csv("pumps.csv", index=False)
    assert main(["train", "event_rates", *PUMPS, "--draws", "20", "--tune", "50", "--chains", "1", "--quiet"]) == 0
    (run,) = answer(capsys, "runs", "list")["runs"]
    assert main(["runs", "rm", run["run_id"]]) == 0
    assert answer(capsys, "runs", "list")["runs"] == []
    assert not [path for path in Path("models").rglob("*") if path.is_file() and run["run_id"] in str(path)]


def test_a_log_of_raw_events_becomes_counts_scores_and_silence(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = simulate_security_log(n_users=40, n_days=10, seed=3)
    write_security_log(log, project / "logins.csv")
    words = ["train", "event_rates", "--data", "logins.csv", "--entity", "user", "--time", "timestamp"]
    document = answer(capsys, *words, "--window", "1D", *SHORT)
    assert document["metrics"]["n_entities"] == 40
    ahead = answer(capsys, "predict", "event_rates", "--entity", "user_0001", "--horizon", "2")["predictions"]
    assert [row["window"] for row in ahead] == ["2024-03-14", "2024-03-15"]
    Path("today.csv").write_text("timestamp,user\n2024-04-20T10:00:00,user_0001\n2024-04-20T23:00:00,user_0002\n")
    scored = answer(capsys, "score", "event_rates", "--data", "today.csv", "--silent", "--top", "100")["scores"]
    assert len(scored) == 40
    assert sum(row["count"] == 0 for row in scored) == 38
    assert {row["exposure"] for row in scored} == {1.0}


def test_what_was_left_out_is_said_at_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("t.csv").write_text("e,n\na,1\nb,2\nb,-3\nc,\na,4\n")
    words = ["train", "event_rates", "--data", "t.csv", "--entity", "e", "--count", "n", *SHORT]
    assert main(words) == 3
    assert main([*words, "--on-bad", "leave_out"]) == 0
    shown = capsys.readouterr().out
    assert "Left out" in shown
    assert "negative" in shown


def test_strict_ends_with_its_own_code_when_the_verdict_is_a_problem(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("t.csv").write_text("e,n\na,1\nb,2\n")
    words = ["train", "event_rates", "--data", "t.csv", "--entity", "e", "--count", "n", "--quiet"]
    few = ["--draws", "10", "--tune", "10", "--chains", "4"]
    assert main([*words, *few, "--strict"]) == 4
    shown = capsys.readouterr()
    assert "verdict: " in shown.out
    assert "problem" in shown.out
    assert "drop --strict" in shown.err
