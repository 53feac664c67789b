"""Extended models from the command line: trained, asked, compared, and refused where they make no sense."""

import json
from pathlib import Path

import numpy as np
import pytest

from modelwright.cli import main
from modelwright.runs.store import RunStore

TRAIN = ["train", "event_rates", "--data", "visits.csv", "--entity", "shop", "--time", "day", "--window", "1D"]
TRAIN += ["--count", "n", "--draws", "60", "--tune", "100", "--chains", "2", "--quiet"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shops of two tiers, closed now and then, busier on weekends."""
    folder = tmp_path_factory.mktemp("shops")
    generator = np.random.default_rng(5)
    rows = ["shop,day,n,tier,money"]
    for shop in range(12):
        tier = "gold" if shop % 2 else "plain"
        for day in range(1, 15):
            weekend = day % 7 in (6, 0)  # the first of January 2024 was a Monday
            rate = 4 * (2.0 if tier == "gold" else 1.0) * (1.8 if weekend else 1.0)
            n = generator.poisson(rate) * (generator.random() < 0.9)
            money = f"{n * np.exp(2 + generator.normal(0, 0.3)):.2f}" if n else ""
            rows.append(f"shop{shop:02d},2024-01-{day:02d},{n},{tier},{money}")
    (folder / "visits.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def here(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(project)
    monkeypatch.delenv("MODELWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("MODELWRIGHT_PROJECT", raising=False)
    return project


def test_an_extended_model_is_trained_asked_and_compared(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--json"]) == 0
    base = json.loads(capsys.readouterr().out)
    words = ["--extension", "covariates,zero_inflation", "--covariates", "tier", "--calendar", "weekend"]
    assert main([*TRAIN, *words, "--json"]) == 0
    extended = json.loads(capsys.readouterr().out)
    metrics = extended["metrics"]
    assert metrics["extensions"] == "covariates, zero_inflation"
    assert metrics["tier[gold]_mean"] > 0 > metrics["tier[plain]_mean"]
    assert metrics["weekend[weekend]_mean"] > 0.1
    assert 0.75 < metrics["psi_mean"] < 1.0
    assert main(["predict", "event_rates", "--entity", "shop01", "--horizon", "2", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [entry["window"] for entry in answer["predictions"]] == ["2024-01-15", "2024-01-16"]
    assert main(["score", "event_rates", "--data", "visits.csv", "--top", "3", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["scores"]) == 3
    assert main(["compare", base["run_id"], extended["run_id"], "--json"]) == 0
    ranked = json.loads(capsys.readouterr().out)["rows"]
    assert ranked[0]["name"] == extended["run_id"]  # what made the data wins
    assert set(RunStore(here).get(extended["run_id"]).tables) >= {"scores", "rates"}


@pytest.mark.slow
def test_a_model_with_volumes_scores_counts_and_volumes(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--extension", "volumes", "--volume", "money", "--json"]) == 0
    capsys.readouterr()
    assert main(["score", "event_rates", "--data", "visits.csv", "--top", "2", "--json"]) == 0
    assert "volume_tail_probability" in json.loads(capsys.readouterr().out)["scores"][0]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["--extension", "covariate"], 2, "extension: not an extension; got 'covariate'; did you mean 'covariates'?"),
        (["--covariates", "tier"], 2, "covariates: given, and no extension is chosen that would use it; add"),
        (["--extension", "covariates"], 2, "covariates: no column is named"),
        (["--extension", "volumes"], 2, "volumes needs a column of volumes, and these data have none"),
        (
            ["--extension", "temporal", "--engine", "collapsed"],
            2,
            "engine: the rates cannot be integrated out with temporal",
        ),
        (
            ["--extension", "covariates,drift", "--calendar", "day_of_week", "--drift", "day_of_week"],
            2,
            "drift by day_of_week and the covariate day_of_week are the same thing twice",
        ),
        (["--extension", "covariates", "--covariates", "town"], 3, "town"),
        (["--calendar", "weekend"], 2, "calendar: given, and no extension is chosen that would use it; add --ext"),
        (
            ["--extension", "temporal", "--rates", "summary"],
            2,
            "rates: the engine numpyro draws the rates together with the population",
        ),
        (["--drift", "day_of_week"], 2, "and no extension is chosen that would use it; add --extension drift"),
    ],
)  # fmt: skip
def test_the_impossible_is_refused_with_the_reason(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert main([*TRAIN, *words]) == code
    assert sentence in capsys.readouterr().err


def test_an_extended_run_is_not_updated(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAIN, "--extension", "zero_inflation"]) == 0
    capsys.readouterr()
    assert main(["update", "event_rates", "--data", "visits.csv"]) == 2
    assert "a model with extensions depends on each" in capsys.readouterr().err
