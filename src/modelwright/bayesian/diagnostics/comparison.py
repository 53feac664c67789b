"""Which of several runs predicts new observations of the same data best, by PSIS-LOO with its errors and warnings.

The expected log predictive density of each observation given all others is estimated from one posterior by
Pareto-smoothed importance sampling; the estimate of an observation is doubtful when the shape k-hat of its weights is
large. Weights are those of stacking.

Source: Vehtari, Gelman and Gabry (2017), https://arxiv.org/abs/1507.04544; Vehtari et al. (2024), "Pareto smoothed
importance sampling", https://arxiv.org/abs/1507.02646; Yao et al. (2018), stacking, https://arxiv.org/abs/1704.02030;
Sivula, Magnusson and Vehtari (2020), on differences below 4, https://arxiv.org/abs/2008.10296.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelwright.bayesian.diagnostics.comparable_runs import (
    on_common_windows,
    refuse_different_data,
    refuse_different_densities,
)
from modelwright.bayesian.diagnostics.convergence import rounded
from modelwright.bayesian.diagnostics.groups import need_group, need_variable
from modelwright.bayesian.diagnostics.left_out_scores import estimate_from_scores, refuse_other_windows
from modelwright.bayesian.diagnostics.loo import LooEstimate, psis_loo, stacking_weights
from modelwright.core.errors import DataError
from modelwright.core.sections import Table

SMALL_DIFFERENCE = 4.0
"""Nats below which a difference in elpd says nothing, whatever its standard error (Sivula et al. 2020)."""


@dataclass(frozen=True)
class ComparedRun:
    """One run's place in a comparison; densities in nats over all observations.

    Args:
        name: The run.
        rank: 1 for the best.
        elpd_loo: Expected log predictive density of the data, each observation given all others.
        se: Standard error of `elpd_loo`.
        p_loo: Effective number of parameters; None where only leave-one-out densities are known.
        elpd_diff: The best run's `elpd_loo` minus this one's.
        dse: Standard error of `elpd_diff`.
        weight: Stacking weight; the weights sum to one.
        k_hat_ok: Observations whose k-hat is at most `k_hat_limit`.
        k_hat_bad: Observations above the limit and at most 1, where the estimate is biased or noisy.
        k_hat_very_bad: Observations above 1, where the estimate has no finite mean, or without a k-hat.
        k_hat_limit: min(1 - 1 / log10(draws), 0.7).
        n_obs: Observations.
        n_draws: Draws the estimate rests on.
    """

    name: str
    rank: int
    elpd_loo: float
    se: float
    p_loo: float | None
    elpd_diff: float
    dse: float
    weight: float
    k_hat_ok: int
    k_hat_bad: int
    k_hat_very_bad: int
    k_hat_limit: float
    n_obs: int
    n_draws: int


@dataclass(frozen=True)
class ComparisonResult:
    """Runs from best to worst.

    Args:
        rows: One entry per run.
        warnings: What to beware of, in sentences.
        conclusion: What the table says, in one sentence.
        basis: Which observations the densities are of, in one sentence; empty for all, draw by draw.
    """

    rows: tuple[ComparedRun, ...]
    warnings: tuple[str, ...]
    conclusion: str
    basis: str = ""

    def as_table(self) -> Table:
        """The comparison as a table, its caption holding the conclusion and the warnings."""
        columns = (
            *("run", "rank", "elpd_loo", "se", "p_loo", "elpd_diff", "dse", "weight"),
            *("k-hat ok", "k-hat bad", "k-hat very bad"),
        )
        rows = tuple(
            (
                row.name,
                row.rank,
                *(round(value, 2) for value in (row.elpd_loo, row.se)),
                None if row.p_loo is None else round(row.p_loo, 2),
                *(round(value, 2) for value in (row.elpd_diff, row.dse)),
                rounded(row.weight, 3),
                *(row.k_hat_ok, row.k_hat_bad, row.k_hat_very_bad),
            )
            for row in self.rows
        )
        said = (self.conclusion, self.basis, "Densities in nats; higher is better.", *self.warnings)
        caption = " ".join(part for part in said if part)
        return Table("Comparison by leave-one-out", columns, rows, caption)

    def as_document(self) -> dict[str, Any]:
        """The comparison as plain data for JSON."""
        return {
            "rows": [dict(vars(row)) for row in self.rows],
            "warnings": list(self.warnings),
            "conclusion": self.conclusion,
            "basis": self.basis,
        }


def compare_traces(traces: Mapping[str, Any], *, variable: str | None = None) -> ComparisonResult:
    """Compare runs on the same data by PSIS-LOO; a single run gets its own estimate.

    Args:
        traces: Run name -> trace with the groups posterior, log_likelihood and observed_data.
        variable: Which observed variable; the only one by default.

    Raises:
        DataError: when there is no run, when one has no log likelihood, or when two were trained on different data.

    Example:
        >>> import xarray as xr
        >>> from scipy import stats
        >>> y = np.random.default_rng(1).normal(size=40)
        >>> def run(mean):
        ...     draws = np.random.default_rng(2).normal(mean, 0.1, size=(4, 250))
        ...     density = stats.norm.logpdf(y, draws[..., None])
        ...     return xr.DataTree.from_dict({
        ...         "posterior": xr.Dataset({"mu": (("chain", "draw"), draws)}),
        ...         "log_likelihood": xr.Dataset({"y": (("chain", "draw", "obs"), density)}),
        ...         "observed_data": xr.Dataset({"y": ("obs", y)})})
        >>> result = compare_traces({"right": run(0.0), "wrong": run(1.0)})
        >>> [row.name for row in result.rows], result.rows[0].weight > 0.9
        (['right', 'wrong'], True)
    """
    _refuse_nothing(traces)
    refuse_different_densities(traces)
    traces, sampled = on_common_windows(traces)
    refuse_different_data(traces, variable)
    estimates = {name: _estimate(name, trace, variable) for name, trace in traces.items()}
    found = _ranked(estimates)
    if sampled is None:
        return found
    return replace(found, basis=sampled)


def compare_scores(traces: Mapping[str, Any], scores: Mapping[str, Any]) -> ComparisonResult:
    """Compare runs by the leave-one-out densities that their trainings computed for every observation.

    Args:
        traces: Run name -> trace; only what its log likelihood is of is looked at.
        scores: Run name -> table with columns score and k_hat, see `left_out_scores`.

    Raises:
        DataError: when there is no run, or when two were trained on different data or predict different things.
    """
    _refuse_nothing(scores)
    refuse_different_densities(traces)
    refuse_other_windows(scores)
    found = _ranked({name: estimate_from_scores(table) for name, table in scores.items()})
    basis = (
        f"Ranked on the {found.rows[0].n_obs:,} windows that the trainings scored, by their leave-one-out scores, "
        "since log likelihoods are stored draw by draw for a part of the windows only."
    )
    return replace(found, basis=basis)


def _refuse_nothing(runs: Mapping[str, Any]) -> None:
    if not runs:
        raise DataError("there is nothing to compare", field="runs", expected="at least one run")


def _ranked(estimates: Mapping[str, LooEstimate]) -> ComparisonResult:
    ordered = sorted(estimates, key=lambda name: -estimates[name].elpd)
    best = estimates[ordered[0]]
    weights = stacking_weights([estimates[name].pointwise for name in ordered])
    rows = tuple(
        _row(name, rank, estimates[name], best, float(weight))
        for rank, (name, weight) in enumerate(zip(ordered, weights, strict=True), start=1)
    )
    return ComparisonResult(rows, _warnings(rows), _conclusion(rows))


def _estimate(name: str, trace: Any, variable: str | None) -> LooEstimate:
    todo = f"train {name!r} again with the log likelihood stored"
    group = need_group(trace, "log_likelihood", todo=todo)
    estimate = psis_loo(trace, variable=str(need_variable(group, variable, group_name="log_likelihood").name))
    if not np.isfinite(estimate.pointwise).all():
        position = int(np.flatnonzero(~np.isfinite(estimate.pointwise))[0])
        raise DataError(
            f"the log likelihood of run {name!r} is not finite at observation {position}",
            field="log_likelihood",
            todo="look at the run's report for draws that are not finite",
        )
    return estimate


def _row(name: str, rank: int, estimate: LooEstimate, best: LooEstimate, weight: float) -> ComparedRun:
    difference = best.pointwise - estimate.pointwise
    k_hat = np.where(np.isnan(estimate.k_hat), np.inf, estimate.k_hat)
    return ComparedRun(
        name=name,
        rank=rank,
        elpd_loo=estimate.elpd,
        se=estimate.se,
        p_loo=estimate.p_loo,
        elpd_diff=float(difference.sum()),
        dse=float(np.sqrt(difference.size * difference.var())),
        weight=weight,
        k_hat_ok=int((k_hat <= estimate.k_hat_limit).sum()),
        k_hat_bad=int(((k_hat > estimate.k_hat_limit) & (k_hat <= 1)).sum()),
        k_hat_very_bad=int((k_hat > 1).sum()),
        k_hat_limit=estimate.k_hat_limit,
        n_obs=difference.size,
        n_draws=estimate.n_draws,
    )


def _warnings(rows: tuple[ComparedRun, ...]) -> tuple[str, ...]:
    found = []
    for row in rows:
        doubtful = row.k_hat_bad + row.k_hat_very_bad
        if doubtful:
            found.append(
                f"{row.name}: for {doubtful} of {row.n_obs} observations k-hat is above {row.k_hat_limit:.2f}"
                + (f" ({row.k_hat_very_bad} above 1)" if row.k_hat_very_bad else "")
                + ", so that its elpd is too optimistic or noisy there; these observations move the posterior by "
                "themselves (few windows per entity, or outliers)."
            )
        if row.n_draws < 400:
            found.append(f"{row.name}: {row.n_draws} stored draws are few for PSIS; keep at least 400.")
        if row.n_obs < 100:
            found.append(f"{row.name}: with {row.n_obs} observations the standard errors are themselves uncertain.")
    return tuple(found)


def _conclusion(rows: tuple[ComparedRun, ...]) -> str:
    best = rows[0]
    if len(rows) == 1:
        return f"{best.name}: elpd {best.elpd_loo:.1f} with standard error {best.se:.1f}; nothing to compare with."
    rival = rows[1]
    ahead = f"{best.name} is ahead of {rival.name} by {rival.elpd_diff:.1f} nats (standard error {rival.dse:.1f})"
    if rival.elpd_diff < SMALL_DIFFERENCE:
        return f"{ahead}: less than {SMALL_DIFFERENCE:.0f}, so the two predict equally well."
    if rival.elpd_diff < 2 * rival.dse:
        return f"{ahead}: within two standard errors, so it may be chance."
    return f"{ahead}: more than two standard errors, so it predicts better."
