"""Whether the chains have converged: every parameter is looked at, every statistic graded, every trouble explained.

R-hat, bulk and tail ESS, what the sampler says of itself (`sampler_checks`: divergences, tree depth and E-BFMI of NUTS;
k-hat and acceptance of independent proposals) and non-finite draws are taken together, since no single one is enough;
the limits stand in `thresholds`, the sentences in `findings`. A statistic that applies and that the trace does not hold
is unknown, never good. `assess_convergence` does the work once; everything else here takes a trace or its result.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright.bayesian.diagnostics import findings
from modelwright.bayesian.diagnostics.groups import find_group, need_group
from modelwright.bayesian.diagnostics.sampler_checks import NotApplicable, Sampler, check_sampler, sampler_of
from modelwright.bayesian.diagnostics.summaries import ParameterStatistics, trace_statistics
from modelwright.core.number_text import LARGEST_IN_FULL
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.sections import Cell, Picture, Section, Table
from modelwright.core.verdict import Grade, Verdict

INTERVAL_PROBABILITY = 0.9
WORST_ROWS = 10
SCALAR_ROWS = 40

NOT_APPLICABLE = "not applicable"

_NEEDED_TO_CONVERGE = ("r_hat_max", "ess_bulk_min", "ess_tail_min")


@dataclass(frozen=True, eq=False)
class ConvergenceAssessment:
    """What was found out about a trace.

    Args:
        statistics: One entry per variable of the posterior.
        verdict: One finding per statistic, in a fixed order.
        worst: Statistic -> the parameter it came from ("theta[user_0042]"), or the chain for the sampler's own.
        n_chains: Chains. n_draws: Draws per chain.
        sampler: How the draws were made.
        not_applicable: Checks that say nothing about draws made so; they are no part of the verdict.
    """

    statistics: tuple[ParameterStatistics, ...]
    verdict: Verdict
    worst: dict[str, str | None]
    n_chains: int
    n_draws: int
    sampler: Sampler
    not_applicable: tuple[NotApplicable, ...]

    @property
    def converged(self) -> bool:
        """True when nothing is a problem and R-hat, both ESS and the divergences are known.

        For independent proposals their k-hat stands in for the divergences.
        """
        needed = {*_NEEDED_TO_CONVERGE, *self.sampler.needed}
        known = all(f.grade is not Grade.UNKNOWN for f in self.verdict.findings if f.name in needed)
        return known and all(f.grade is not Grade.PROBLEM for f in self.verdict.findings)


def assess_convergence(trace: Any, *, progress: ProgressCallback = ignore_progress) -> ConvergenceAssessment:
    """Look at every parameter and every sampler statistic of a trace.

    Args:
        trace: An ArviZ `InferenceData` (or the `DataTree` of one) with a posterior and, for the sampler's part, a
            `sample_stats` group with `diverging`, `reached_max_tree_depth` and `energy`; for independent proposals
            with `acceptance_rate`, and `k_hat` among the attributes of the posterior.
        progress: Called while parameters are summarised.

    Raises:
        DataError: when there is no posterior.
    """
    posterior = need_group(trace, "posterior", todo="sample the model first")
    n_chains, n_draws = posterior.sizes["chain"], posterior.sizes["draw"]
    statistics = trace_statistics(trace, probability=INTERVAL_PROBABILITY, progress=progress)
    draws = findings.Draws(n_chains, n_draws)

    r_hat, r_hat_at = _extreme(statistics, "r_hat", np.nanmax)
    bulk, bulk_at = _extreme(statistics, "ess_bulk", np.nanmin)
    tail, tail_at = _extreme(statistics, "ess_tail", np.nanmin)
    sampler = sampler_of(posterior)
    checks = check_sampler(sampler, find_group(trace, "sample_stats"), draws)
    non_finite, non_finite_at = _non_finite(statistics)
    still = [s.label(int(i)) for s in statistics for i in np.flatnonzero(s.constant)[:3]]
    n_still = sum(int(s.constant.sum()) for s in statistics)

    found = [
        findings.r_hat(r_hat, r_hat_at, draws, troubled=checks.troubled, tuned=not sampler.is_independent),
        findings.effective_size("bulk", bulk, bulk_at, draws),
        findings.effective_size("tail", tail, tail_at, draws),
        *checks.findings,
        findings.non_finite(non_finite, non_finite_at, draws),
    ]
    if n_still:
        found.append(findings.constant(n_still, still))
    worst = {
        "r_hat_max": r_hat_at,
        "ess_bulk_min": bulk_at,
        "ess_tail_min": tail_at,
        **checks.worst,
        "non_finite": non_finite_at,
    }
    return ConvergenceAssessment(
        statistics, Verdict.of(found), worst, n_chains, n_draws, sampler, checks.not_applicable
    )


def get_model_diagnostics(trace: Any, *, progress: ProgressCallback = ignore_progress) -> dict[str, Any]:
    """The convergence diagnostics of a trace as plain data.

    Returns:
        r_hat_max, ess_bulk_min, ess_tail_min, divergences, tree_depth_saturation (share of the draws), bfmi_min and
        non_finite, each a number or None where it could not be had or does not apply; for independent proposals also
        proposal_k_hat and acceptance_rate_min; `grades` (good, warning, problem, unknown or "not applicable", by the
        same names); `worst` (the parameter each came from); `advice` (what to do, by the same names, where anything is
        to be done); `converged`; `verdict` (`Verdict.as_document()`); `sampler` (engine, method and why that method,
        as far as the trace says); `chains` and `draws`.

    Example:
        >>> import xarray as xr
        >>> draws = np.random.default_rng(1).normal(size=(4, 500))
        >>> tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"mu": (("chain", "draw"), draws)})})
        >>> found = get_model_diagnostics(tree)
        >>> found["grades"]["r_hat_max"], found["grades"]["divergences"], found["converged"]
        ('good', 'unknown', False)
    """
    assessment = _assessed(trace, progress)
    listed, sampler = assessment.verdict.findings, assessment.sampler
    absent = assessment.not_applicable
    return {
        **{finding.name: finding.value for finding in listed},
        **{check.name: None for check in absent},
        "grades": {
            **{finding.name: str(finding.grade) for finding in listed},
            **{check.name: NOT_APPLICABLE for check in absent},
        },
        "worst": dict(assessment.worst),
        "advice": {finding.name: finding.advice for finding in listed if finding.advice},
        "converged": assessment.converged,
        "verdict": assessment.verdict.as_document(),
        "sampler": {"engine": sampler.engine, "method": sampler.method, "reason": sampler.reason},
        "chains": assessment.n_chains,
        "draws": assessment.n_draws,
    }


def convergence_verdict(trace: Any, *, progress: ProgressCallback = ignore_progress) -> Verdict:
    """The verdict over all convergence findings of a trace (or of its assessment)."""
    return _assessed(trace, progress).verdict


def convergence_tables(trace: Any, *, progress: ProgressCallback = ignore_progress) -> tuple[Table, ...]:
    """The checks, the single parameters, and the worst entries of the others, as tables.

    Args:
        trace: A trace, or its `ConvergenceAssessment`.
        progress: Called while parameters are summarised.
    """
    assessment = _assessed(trace, progress)
    checks = Table(
        "Convergence checks",
        ("check", "value", "grade", "limits", "meaning", "what to do"),
        tuple(
            (f.label, rounded(f.value), str(f.grade), f.threshold, f.sentence, f.advice)
            for f in assessment.verdict.findings
        )
        + tuple((c.label, None, NOT_APPLICABLE, "", c.reason, "") for c in assessment.not_applicable),
        f"{assessment.n_chains} chains of {assessment.n_draws} draws; every parameter was looked at.",
    )
    scalars = [(s, 0) for s in assessment.statistics if s.is_scalar]
    single = _parameter_table("Single parameters", scalars[:SCALAR_ROWS], _left_out(len(scalars), SCALAR_ROWS))
    others = [s for s in assessment.statistics if not s.is_scalar and s.mean.size]
    n_others = sum(s.mean.size for s in others)
    worst = _parameter_table(
        "Worst of the other parameters",
        _worst_entries(others, WORST_ROWS),
        f"The {min(WORST_ROWS, n_others)} with the smallest effective sample size of {n_others}.",
    )
    return (checks, *((single,) if scalars else ()), *((worst,) if others else ()))


def convergence_section(
    trace: Any, *, assessment: ConvergenceAssessment | None = None, progress: ProgressCallback = ignore_progress
) -> Section:
    """The report's section on convergence: verdict, advice, tables, trace plots and rank plots.

    Args:
        trace: A trace.
        assessment: Its assessment, when it was made already.
        progress: Called while parameters are summarised.
    """
    from modelwright.bayesian.diagnostics.figures import rank_picture, trace_picture  # loads matplotlib

    assessment = assessment or assess_convergence(trace, progress=progress)
    shown = shown_parameters(assessment)
    pictures: tuple[Picture, ...] = (trace_picture(trace, shown), rank_picture(trace, shown)) if shown else ()
    advice = tuple(dict.fromkeys(finding.advice for finding in assessment.verdict.findings if finding.advice))
    how = (assessment.sampler.sentence,) if assessment.sampler.sentence else ()
    text = (f"Convergence is {assessment.verdict.sentence}.", *how, *advice)
    return Section("Convergence", text, convergence_tables(assessment), pictures)


def shown_parameters(assessment: ConvergenceAssessment, *, limit: int = 6) -> tuple[tuple[str, int], ...]:
    """Which parameters are worth a picture, as (variable, position): the single ones, then the worst of the others."""
    single = [(s.name, 0) for s in assessment.statistics if s.is_scalar]
    others = [s for s in assessment.statistics if not s.is_scalar and s.mean.size]
    worst = [(s.name, position) for s, position in _worst_entries(others, 2)]
    return (*single[: limit - len(worst)], *worst)


def rounded(value: float | int | None, digits: int = 4) -> Cell:
    """A figure for a table: `digits` significant digits, None for what is not a number.

    Example:
        >>> rounded(1234.5678), rounded(0.00123456), rounded(float("nan")), rounded(7), rounded(6.3e28)
        (1235, 0.001235, None, 7, 6.3e+28)
    """
    if value is None or np.isnan(value):
        return None
    if isinstance(value, int | np.integer):
        return int(value)
    if np.isinf(value):
        return "infinite"
    short = float(f"{value:.{digits}g}")
    return int(short) if 10 ** (digits - 1) <= abs(short) < LARGEST_IN_FULL else short


def _assessed(trace: Any, progress: ProgressCallback) -> ConvergenceAssessment:
    return trace if isinstance(trace, ConvergenceAssessment) else assess_convergence(trace, progress=progress)


def _moving(statistics: ParameterStatistics, name: str) -> np.ndarray:
    """A statistic with NaN where the parameter does not move or is not finite: there it says nothing."""
    return np.where(statistics.constant | (statistics.non_finite > 0), np.nan, getattr(statistics, name))


def _extreme(statistics: tuple[ParameterStatistics, ...], name: str, pick: Any) -> tuple[float | None, str | None]:
    """The worst value over all parameters that move and are finite; None when one of them has no value."""
    worst: list[tuple[float, str]] = []
    for entry in statistics:
        values = _moving(entry, name)
        judged = ~entry.constant & (entry.non_finite == 0)
        absent = np.flatnonzero(judged & np.isnan(values))
        if absent.size:
            return None, entry.label(int(absent[0]))
        if judged.any():
            extreme = pick(values)
            worst.append((float(extreme), entry.label(int(np.flatnonzero(values == extreme)[0]))))
    if not worst:
        return None, None
    extreme = pick([value for value, _ in worst])
    return next((value, label) for value, label in worst if value == extreme)


def _non_finite(statistics: tuple[ParameterStatistics, ...]) -> tuple[int, str | None]:
    total = sum(int(s.non_finite.sum()) for s in statistics)
    worst = max(statistics, key=lambda s: int(s.non_finite.max(initial=0)), default=None)
    return total, worst.label(int(np.argmax(worst.non_finite))) if total and worst is not None else None


def _worst_entries(statistics: list[ParameterStatistics], count: int) -> list[tuple[ParameterStatistics, int]]:
    """The scalars with the smallest effective sample size, those without one first."""
    candidates: list[tuple[float, float, int, int]] = []
    for which, entry in enumerate(statistics):
        size = np.fmin(_moving(entry, "ess_bulk"), _moving(entry, "ess_tail"))
        size = np.where(np.isnan(size), np.where(entry.non_finite > 0, -1.0, np.inf), size)
        order = np.argsort(size, kind="stable")[:count]
        candidates.extend((float(size[i]), -float(np.nan_to_num(entry.r_hat[i])), which, int(i)) for i in order)
    return [(statistics[which], position) for _, _, which, position in sorted(candidates)[:count]]


def _left_out(total: int, shown: int) -> str:
    return f"The first {shown} of {total}." if total > shown else ""


def _parameter_table(title: str, entries: list[tuple[ParameterStatistics, int]], caption: str) -> Table:
    share = f"{INTERVAL_PROBABILITY:.0%}"
    columns = ("parameter", "mean", "sd", "MCSE of mean", f"lower {share}", f"upper {share}")
    figures = ("mean", "sd", "mcse_mean", "lower", "upper")
    rows = tuple(
        (
            entry.label(position),
            *(rounded(float(getattr(entry, name)[position])) for name in figures),
            rounded(float(_moving(entry, "r_hat")[position]), 5),
            *(_whole(float(_moving(entry, name)[position])) for name in ("ess_bulk", "ess_tail")),
        )
        for entry, position in entries
    )
    explained = f"Equal-tailed intervals of probability {INTERVAL_PROBABILITY}; ESS in independent draws."
    return Table(title, (*columns, "R-hat", "ESS bulk", "ESS tail"), rows, f"{caption} {explained}".strip())


def _whole(value: float) -> Cell:
    return None if not np.isfinite(value) else round(value)
