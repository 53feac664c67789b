"""The catalog's count model from a file to an answer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from modelwright.catalog.model_registry import ModelRegistry
from modelwright.cli import main
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.data.counts import simulate_counts


def test_it_trains_answers_and_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = simulate_counts("nbdm", n_cells=120, n_genes=8, p=0.6, seed=3).counts
    table = pd.DataFrame(counts.matrix.toarray(), index=counts.cells, columns=counts.genes)
    table.to_csv(tmp_path / "cells.csv")
    model = ModelRegistry(project=tmp_path).load_model_instance("count_model")
    options = {"data": str(tmp_path / "cells.csv"), "n_genes": 5}
    result = model.train(model.load_data(**options), data_options=options, model="nbdm", inference="laplace")
    assert result["status"] == "complete"
    assert result["metrics"]["n_genes"] == 5
    run = model.trained_run()
    genes = run.table("genes")
    answer = model.answer({"gene": genes["gene"][0]})
    assert answer["predictions"][0]["mu_lower"] < answer["predictions"][0]["mu_mean"]
    with pytest.raises(NotFoundError, match="the run has no gene 'gene_0'"):
        model.answer({"gene": "gene_0"})
    odd = table.copy()
    odd.iloc[7, :] = 500
    odd.to_csv(tmp_path / "new.csv")
    scored = model.score({"data": str(tmp_path / "new.csv")}).frame
    assert scored["cell"][0] == counts.cells[7]
    assert np.isfinite(scored["score"]).all()
    with pytest.raises(ConfigurationError, match="min_cells: not used to score: every cell of the data is"):
        model.score({"data": str(tmp_path / "new.csv"), "min_cells": 3})

    runs = [result["run_id"], model.train(model.load_data(**options), data_options=options, steps=5)["run_id"]]
    assert main(["--project", str(tmp_path), "compare", *runs]) == 3
    advice = capsys.readouterr().err
    assert "count_model keeps no log likelihoods, by which runs are ranked" in advice
    assert f"modelwright score count_model --data FILE --run {runs[0]}" in advice

    two = ",".join(genes["gene"][:2])
    assert main(["--project", str(tmp_path), "predict", "count_model", "--gene", two]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in (*genes["gene"][:2], "mu_mean", "probability"))


def test_new_cells_are_all_scored_however_few_were_trained_on(tmp_path: Path) -> None:
    counts = simulate_counts("nbdm", n_cells=60, n_genes=4, p=0.6, seed=3).counts
    table = pd.DataFrame(counts.matrix.toarray(), index=counts.cells, columns=counts.genes)
    table.to_csv(tmp_path / "cells.csv")
    model = ModelRegistry(project=tmp_path).load_model_instance("count_model")
    options = {"data": str(tmp_path / "cells.csv"), "min_genes": 4, "min_cells": 10}
    model.train(model.load_data(**options), data_options=options, inference="laplace")
    few = table.iloc[:3].copy()
    few.iloc[0, 1:] = 0
    few.to_csv(tmp_path / "new.csv")
    assert len(model.score({"data": str(tmp_path / "new.csv")}).frame) == 3


def test_normalised_counts_are_refused_before_a_run_is_opened(tmp_path: Path) -> None:
    pd.DataFrame({"a": [0.5, 1.2], "b": [0.0, 3.3]}, index=["x", "y"]).to_csv(tmp_path / "cells.csv")
    model = ModelRegistry(project=tmp_path).load_model_instance("count_model")
    with pytest.raises(DataError):
        model.load_data(data=str(tmp_path / "cells.csv"))
    assert not model.has_trained_model()


def test_a_likelihood_that_cannot_be_compressed_is_refused(tmp_path: Path) -> None:
    counts = simulate_counts("nbdm", n_cells=30, n_genes=4, seed=3).counts
    model = ModelRegistry(project=tmp_path).load_model_instance("count_model")
    with pytest.raises(ConfigurationError, match="likelihood: mini-batches look at their cells entry by entry"):
        model.train(counts, likelihood="compressed", inference="svi", batch_size=10)
    assert not model.has_trained_model()


def test_settings_that_do_not_go_together_are_refused_before_data_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--project", str(tmp_path), "train", "count_model", "--data", str(tmp_path / "absent.csv")]
    assert main([*command, "--rank", "3"]) == 2
    assert "rank: only the low-rank guide has a rank" in capsys.readouterr().err


@pytest.mark.slow
def test_cells_never_seen_are_scored_without_their_capture_probability(tmp_path: Path) -> None:
    counts = simulate_counts("nbvcp", n_cells=100, n_genes=6, p=0.8, seed=3).counts
    table = pd.DataFrame(counts.matrix.toarray(), index=counts.cells, columns=counts.genes)
    model = ModelRegistry(project=tmp_path).load_model_instance("count_model")
    model.train(counts, model="nbvcp")
    odd = table.copy()
    odd.iloc[7, :] = [500, 0, 0, 0, 0, 0]
    odd.to_csv(tmp_path / "new.csv")
    scored = model.score({"data": str(tmp_path / "new.csv")}).frame
    assert scored["cell"][0] == counts.cells[7]
    model.train(counts, model="zinbvcp", steps=5)
    with pytest.raises(ConfigurationError, match="a new cell's capture probability is not known"):
        model.score({"data": str(tmp_path / "new.csv")})
