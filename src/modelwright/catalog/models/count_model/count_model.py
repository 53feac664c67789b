"""The catalog's count model: negative-binomial counts of cells x genes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.single_cell.replications import log_probability_of_cells
from modelwright.bayesian.single_cell.settings import CountModelSettings
from modelwright.bayesian.single_cell.training import model_of, train_count_model
from modelwright.catalog.base_model import BaseBayesianModel, Scored, TrainingSettings
from modelwright.core.errors import ConfigurationError, DataError, NotFoundError
from modelwright.core.names import suggestion
from modelwright.core.progress import ProgressCallback
from modelwright.core.sections import TrainingOutcome
from modelwright.data.counts import CellCounts, load_counts, select_genes
from modelwright.runs.record import RunRecord

_DRAWS_TO_SCORE = 100


class CountModel(BaseBayesianModel):
    """y_cg ~ NegativeBinomial(r_g, p), with gates and capture probabilities if wanted."""

    def load_data(self, **options: Any) -> CellCounts:
        """Read counts of cells x genes; see `modelwright.data.counts.load_counts`."""
        n_genes = options.pop("n_genes", None)
        counts = load_counts(options.pop("data"), **options)
        return counts if n_genes is None else select_genes(counts, n_genes).counts

    def describe_data(self, data: CellCounts) -> dict[str, Any]:
        """Shape, totals and fingerprint, for the run's manifest."""
        return data.describe()

    def fit(
        self, data: CellCounts, *, settings: TrainingSettings, progress: ProgressCallback, **parameters: Any
    ) -> TrainingOutcome:
        """Fit with the inference asked for, and judge it."""
        return train_count_model(data, CountModelSettings(**parameters), sampling=settings, progress=progress)

    def check_together(self, parameters: Mapping[str, Any]) -> None:
        """Refuse settings that do not go together, as `CountModelSettings` does."""
        CountModelSettings(**parameters)

    def ask(self, params: dict[str, Any], run: RunRecord) -> dict[str, Any]:
        """Parameters of genes with 90 % intervals."""
        table = run.table("genes").set_index("gene")
        wanted = [name.strip() for name in params["gene"].split(",") if name.strip()]
        for name in wanted:
            if name not in table.index:
                raise NotFoundError(
                    f"the run has no gene {name!r}", field="gene", todo=suggestion(name, map(str, table.index))
                )
        rows = table.loc[wanted]
        predictions = [
            {"gene": gene, **_rounded(row)} for gene, row in zip(wanted, rows.to_dict("records"), strict=True)
        ]
        return {
            "predictions": predictions,
            "credible_intervals": [{"probability": 0.9} for _ in predictions],
        }

    def score_data(self, options: dict[str, Any], run: RunRecord, *, include_silent: bool) -> Scored:
        """Surprise of new cells: minus the log predictive probability of all their counts, in nats and per gene.

        Of a model with capture probabilities: averaged over what the prior says of those, which the total then judges.
        """
        if include_silent:
            raise ConfigurationError("no entities that could be silent", field="silent", todo="leave it out")
        settings = CountModelSettings(**_kept(run.manifest.configuration.get("parameters")))
        if settings.captures and not settings.integrates_cells:
            raise ConfigurationError(
                "a new cell's capture probability is not known, so that its surprise has no value",
                field="run",
                expected="a run of nbdm or zinb, or of nbvcp without a dense likelihood",
                got=settings.model,
            )
        if "data" not in options:
            raise ConfigurationError("needed to score and not given; add --data", field="data")
        inherited = _kept(run.manifest.data.get("options"))
        genes = [str(gene) for gene in run.table("genes")["gene"]]
        of_training = ("n_genes", "min_genes", "min_cells")  # which cells and genes were trained on, not what to score
        for name in of_training:
            inherited.pop(name, None)
            if name in options:
                raise ConfigurationError(
                    "not used to score: every cell of the data is, in the genes of the run",
                    field=name,
                    got=options[name],
                    todo="leave it out",
                )
        if Path(options["data"]).suffix != Path(str(inherited.get("data", options["data"]))).suffix:
            inherited = {}  # names of columns and layers belong to the kind of file that was trained on
        asked = {**inherited, **options, "on_empty": "keep"}
        counts = load_counts(asked.pop("data"), **asked, genes=genes)
        posterior = run.trace(["posterior"]).posterior
        model = model_of(settings)
        draws = {spec.name: _flat(posterior[spec.name].to_numpy()) for spec in model.specs}
        surprise = -log_probability_of_cells(model, draws, counts.matrix)
        if not np.isfinite(surprise).all():
            raise DataError("a cell has no finite probability", field="data")
        frame = pd.DataFrame(
            {
                "cell": list(counts.cells),
                "total": counts.cell_totals,
                "score": surprise,
                "score_per_gene": surprise / counts.n_genes,
            }
        ).sort_values("score", ascending=False, ignore_index=True)
        return Scored(frame, ("cell", "total", "score", "score_per_gene"))


def _kept(entry: Any) -> dict[str, Any]:
    """An entry of a manifest that is a mapping; nothing for a run that was trained on data handed over in Python."""
    return dict(entry) if isinstance(entry, dict) else {}


def _flat(values: np.ndarray) -> np.ndarray:
    flat = values.reshape(-1, *values.shape[2:])
    return flat[:: max(1, len(flat) // _DRAWS_TO_SCORE)][:_DRAWS_TO_SCORE]


def _rounded(row: "pd.Series[Any]") -> dict[str, float]:
    return {str(name): float(f"{float(value):.6g}") for name, value in row.items()}
