"""One training of a count model: fit, checks, tables and report."""

import time
from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.builders.guide_builder import GuideBuilder
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.diagnostics.count_checks import CountCheck, check_counts
from modelwright.bayesian.diagnostics.identifiability import identify
from modelwright.bayesian.inference.fit_result import AbstractFit
from modelwright.bayesian.inference.map_laplace import laplace
from modelwright.bayesian.inference.sampled_fit import SampledFit, nuts
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.variational import svi
from modelwright.bayesian.quiet_arviz import az
from modelwright.bayesian.single_cell.count_models import count_model
from modelwright.bayesian.single_cell.replications import cells_to_check, replicated_tables
from modelwright.bayesian.single_cell.report_sections import written_sections
from modelwright.bayesian.single_cell.settings import CountModelSettings
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.sections import Cell, Picture, TrainingOutcome
from modelwright.core.verdict import Verdict
from modelwright.data.counts import CellCounts

REPLICATIONS = 40
DRAWS = 1000


def train_count_model(
    counts: CellCounts,
    settings: CountModelSettings,
    *,
    sampling: NutsSettings | None = None,
    progress: ProgressCallback = ignore_progress,
) -> TrainingOutcome:
    """Fit a count model, judge the fit, and hold its counts against those observed.

    Args:
        counts: Counts of cells x genes.
        settings: Which model, fitted how.
        sampling: Draws, chains and seed; for NUTS, and the seed for all.
        progress: Told about the stages of the fit and "check" and "report".

    Returns:
        verdict (of the fit, of the predictive checks, of what the data leave open), tables "genes" (one row per gene)
        and, with capture probabilities, "cells", a trace with the posterior's draws, the model graph as a diagram.
    """
    sampling = sampling or NutsSettings()
    chosen, reason = settings.chosen_inference
    model = model_of(settings)
    progress(ProgressEvent("inference", 1, 1, note=f"inference: {chosen} ({reason})"))
    began = time.perf_counter()
    fit = _fitted(model, counts, settings, chosen, sampling, progress)
    seconds = time.perf_counter() - began
    progress(ProgressEvent("check", 0, 3, "parts"))
    trace, draws = trace_and_draws(fit, sampling.seed)
    found = list(fit.diagnose().findings)
    progress(ProgressEvent("check", 1, 3, "parts"))
    if settings.captures and chosen == "nuts":  # the other fits say themselves what the data leave open
        found += identify(fit).findings
    progress(ProgressEvent("check", 2, 3, "parts"))
    cells = cells_to_check(counts.n_cells, counts.n_genes, sampling.seed)
    check = predictive_check(model, draws, counts, cells, sampling.seed)
    found += check.findings
    progress(ProgressEvent("check", 3, 3, "parts"))
    genes = genes_table(model, draws, counts)
    tables = {"genes": genes}
    if settings.captures:
        tables["cells"] = cells_table(draws, counts)
    trace.attrs.update({"model": "count_model", "engine": chosen})
    verdict = Verdict.of(found)
    metrics: dict[str, Cell] = {
        "n_cells": counts.n_cells,
        "n_genes": counts.n_genes,
        "total": int(counts.cell_totals.sum()),
        "model": settings.model,
        "parameterization": settings.parameterization,
        "inference": chosen,
        "seconds": round(seconds, 3),
        **{finding.name: finding.value for finding in found},
    }
    return TrainingOutcome(
        trace=trace,
        verdict=verdict,
        metrics=metrics,
        sections=written_sections(counts, settings, genes, check, cells, (chosen, reason, seconds)),
        tables=tables,
        documents={"data": counts.describe()},
        diagrams=(Picture("model", "The model", model.render(), "svg", f"plate diagram of {settings.model}"),),
    )


def trace_and_draws(fit: AbstractFit, seed: int) -> tuple[az.InferenceData, dict[str, np.ndarray]]:
    """What a run keeps, and as many as `DRAWS` of its draws: site -> shape (n, ...).

    Of fits that draw anew, both are the same draws, made once: with cells integrated out they cost most of a check.
    """
    if isinstance(fit, SampledFit):
        return fit.to_inferencedata(), fit.sample(DRAWS, seed)
    trace = fit.to_inferencedata(DRAWS, seed)
    return trace, {str(name): variable.to_numpy()[0] for name, variable in trace.posterior.data_vars.items()}


def model_of(settings: CountModelSettings) -> Model:
    """The model that these settings describe."""
    return count_model(
        settings.model,
        settings.parameterization,
        priors=settings.priors,
        entries=settings.likelihood,
        genes_guide=settings.genes_guide,
    )


def predictive_check(
    model: Model, draws: dict[str, np.ndarray], counts: CellCounts, cells: np.ndarray, seed: int
) -> CountCheck:
    """Zero fractions, means, variances and totals of replicated tables beside those observed."""
    every = max(1, len(next(iter(draws.values()))) // REPLICATIONS)
    few = {name: values[::every][:REPLICATIONS] for name, values in draws.items()}
    seen = counts.matrix[cells].toarray()
    return check_counts(seen, replicated_tables(model, few, seen, cells, seed=seed), genes=counts.genes)


def genes_table(model: Model, draws: dict[str, np.ndarray], counts: CellCounts) -> pd.DataFrame:
    """One row per gene: its total, and mean, standard deviation and 5 % and 95 % quantiles of its parameters."""
    total = counts.gene_totals
    zeros = 1.0 - np.diff(counts.matrix.tocsc().indptr) / counts.n_cells
    columns: dict[str, Any] = {"gene": list(counts.genes), "total": total, "zero_fraction": zeros}
    for part in model.parts:
        if model.dims[part.name] == ("n_genes",):
            columns |= _summary(part.name, draws[part.name])
    return pd.DataFrame(columns)


def cells_table(draws: dict[str, np.ndarray], counts: CellCounts) -> pd.DataFrame:
    """One row per cell: its total and its capture probability."""
    return pd.DataFrame(
        {"cell": list(counts.cells), "total": counts.cell_totals, **_summary("p_capture", draws["p_capture"])}
    )


def _summary(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    low, high = np.quantile(values, [0.05, 0.95], axis=0)
    return {
        f"{name}_mean": values.mean(0),
        f"{name}_sd": values.std(0),
        f"{name}_lower": low,
        f"{name}_upper": high,
    }


def _fitted(
    model: Model,
    counts: CellCounts,
    settings: CountModelSettings,
    chosen: str,
    sampling: NutsSettings,
    progress: ProgressCallback,
) -> AbstractFit:
    coords = {"cells": list(counts.cells), "n_genes": list(counts.genes)}
    dims = {part.name: ["n_genes"] for part in model.parts if model.dims[part.name] == ("n_genes",)}
    if chosen == "laplace":
        return laplace(model, counts, coords=coords, dims=dims, progress=progress)
    if chosen == "nuts":
        return nuts(model, counts, settings=sampling, coords=coords, dims=dims, progress=progress)
    guide = GuideBuilder().for_model(model).build()
    fit = svi(
        model,
        guide,
        counts,
        steps=2000 if settings.steps is None else settings.steps,
        batch_size=settings.batch_size,
        seed=sampling.seed,
        coords=coords,
        dims=dims,
        progress=progress,
    )
    if fit.interrupted:  # `svi` hands over what it has; a training that was interrupted leaves no result
        raise KeyboardInterrupt
    return fit
