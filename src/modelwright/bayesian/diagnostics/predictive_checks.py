"""Would the model have produced data like these? Replicated data sets against the observed one.

For each of four statistics T (mean, standard deviation, share of zeros, maximum) the predictive p-value is
P(T(replicated) > T(observed)) + P(T(replicated) = T(observed)) / 2 over the replications: near 0 the data have more of
it than the model produces, near 1 less. The same functions take the posterior and the prior predictive group.

Source: Gelman, Meng and Stern (1996), "Posterior predictive assessment of model fitness via realized discrepancies",
Statistica Sinica 6; rootogram: Kleiber and Zeileis (2016), https://arxiv.org/abs/1605.01311.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from modelwright.bayesian.diagnostics.convergence import rounded
from modelwright.bayesian.diagnostics.groups import find_group, need_group, need_variable
from modelwright.core.errors import DataError
from modelwright.core.sections import Section, Table
from modelwright.core.verdict import Finding, Grade

Floats = NDArray[np.float64]
PredictiveGroup = Literal["posterior_predictive", "prior_predictive"]

EXTREME = 0.01
"""A p-value below this, or above one minus this, is a warning; arbitrary, as small as 1,000 replications can tell."""

FEWEST_REPLICATIONS = 100
"""Below this a p-value cannot be told from `EXTREME`, so the finding is unknown."""

STATISTICS = {"mean": "mean", "sd": "standard deviation", "zeros": "share of zeros", "maximum": "maximum"}

_MEANINGS = {
    ("mean", "more"): (
        "the data have more events than the model produces",
        "Check exposures and the prior of the overall rate.",
    ),
    ("mean", "less"): (
        "the data have fewer events than the model produces",
        "Check exposures and the prior of the overall rate.",
    ),
    ("sd", "more"): (
        "the counts vary more than the model allows",
        "Look for anomalies, a rhythm by hour or weekday, a trend or bursts; a Poisson likelihood is then too narrow.",
    ),
    ("sd", "less"): (
        "the counts vary less than the model says",
        "Check the prior of the concentration; a Poisson likelihood may be enough.",
    ),
    ("zeros", "more"): (
        "there are more empty windows than the model produces",
        "Entities may be switched off for a time (zero inflation): check first and last windows, or model the pauses.",
    ),
    ("zeros", "less"): (
        "there are fewer empty windows than the model produces",
        "Windows without events may be missing from the data: count them as zero between first and last event.",
    ),
    ("maximum", "more"): (
        "the largest count lies beyond what the model produces",
        "Look at the windows with the highest anomaly scores: they may be what you look for, or faulty data.",
    ),
    ("maximum", "less"): (
        "the model produces far larger counts than the data have",
        "Counts may be capped, or the tail of the likelihood too heavy: check the prior of the concentration.",
    ),
}


@dataclass(frozen=True, eq=False)
class CheckedStatistic:
    """One statistic of the observed and the replicated data sets.

    Args:
        name: mean, sd, zeros or maximum.
        observed: Its value in the data.
        replicated: Its value in each replication, shape (replication,).
        p_value: P(replicated > observed) + P(replicated = observed) / 2.
    """

    name: str
    observed: float
    replicated: Floats
    p_value: float


@dataclass(frozen=True, eq=False)
class PredictiveCheck:
    """The outcome of comparing observed data with replications.

    Args:
        group: The group the replications came from.
        observed: The data, shape (obs,).
        replications: Replicated data sets, shape (replication, obs); lazily read where the trace is.
        statistics: One entry per statistic.
        findings: One finding per statistic.
    """

    group: PredictiveGroup
    observed: Floats
    replications: NDArray[Any]
    statistics: tuple[CheckedStatistic, ...]
    findings: tuple[Finding, ...]


def predictive_check(
    trace: Any, *, group: PredictiveGroup = "posterior_predictive", variable: str | None = None
) -> PredictiveCheck:
    """Compare the observed data with the replications of a predictive group.

    Args:
        trace: A trace with `observed_data` (dims obs) and the predictive group (dims chain, draw, obs).
        group: `posterior_predictive` or `prior_predictive`.
        variable: Which observed variable; the only one by default.

    Raises:
        DataError: when a group or variable is missing or their shapes differ.

    Example:
        >>> import xarray as xr
        >>> rng = np.random.default_rng(1)
        >>> replicated = xr.Dataset({"y": (("chain", "draw", "obs"), rng.poisson(3, size=(2, 200, 50)))})
        >>> observed = xr.Dataset({"y": ("obs", np.r_[rng.poisson(3, size=49), 40])})
        >>> trace = xr.DataTree.from_dict({"posterior_predictive": replicated, "observed_data": observed})
        >>> [(finding.name, str(finding.grade)) for finding in predictive_check(trace).findings][3]
        ('predictive_maximum', 'warning')
    """
    todo = "sample the predictive distribution of the model and store it with the trace"
    data = need_variable(
        need_group(trace, "observed_data", todo="store the observed data with the trace"),
        variable,
        group_name="observed_data",
    )
    replicated = need_variable(need_group(trace, group, todo=todo), str(data.name), group_name=group)
    observed = np.asarray(data.values, dtype=np.float64).ravel()
    replications = replicated.transpose("chain", "draw", ...).values.reshape(
        replicated.sizes["chain"] * replicated.sizes["draw"], -1
    )
    if replications.shape[1] != observed.size:
        raise DataError(
            f"the replications of {str(data.name)!r} are not of the observed data's length",
            field=group,
            expected=f"{observed.size} observations",
            got=replications.shape[1],
            todo="draw the predictive distribution for the data that the model was trained on",
        )
    present = np.isfinite(observed)
    if not present.any():
        raise DataError("there are no observed values to compare with", field="observed_data")
    if not present.all():
        observed, replications = observed[present], replications[:, present]
    statistics = _statistics(observed, replications)
    prefix = "predictive" if group == "posterior_predictive" else "prior_predictive"
    return PredictiveCheck(
        group, observed, replications, statistics, tuple(_finding(prefix, statistic) for statistic in statistics)
    )


def predictive_table(check: PredictiveCheck) -> Table:
    """The statistics of a check as a table."""
    rows = tuple(
        (
            STATISTICS[s.name],
            rounded(s.observed),
            *(rounded(float(q)) for q in np.quantile(s.replicated, [0.05, 0.5, 0.95])),
            rounded(s.p_value, 3),
            str(finding.grade),
        )
        for s, finding in zip(check.statistics, check.findings, strict=True)
    )
    columns = ("statistic", "observed", "replicated 5 %", "replicated median", "replicated 95 %", "p-value", "grade")
    caption = (
        f"{len(check.replications)} replications. The p-value is the share of replications above the observed value "
        f"(ties count half); below {EXTREME} or above {1 - EXTREME} is a warning."
    )
    return Table(f"{_title(check.group)}: statistics", columns, rows, caption)


def predictive_section(trace: Any, *, variable: str | None = None) -> Section:
    """The report's section on predictive checks: the posterior predictive, and the prior predictive where it is stored.

    Args:
        trace: See `predictive_check`.
        variable: Which observed variable; the only one by default.
    """
    from modelwright.bayesian.diagnostics.predictive_figures import predictive_picture  # loads matplotlib

    groups: list[PredictiveGroup] = ["posterior_predictive"]
    if find_group(trace, "prior_predictive") is not None:
        groups.append("prior_predictive")
    checks = [predictive_check(trace, group=group, variable=variable) for group in groups]
    text = [sentence for check in checks for sentence in predictive_sentences(check)]
    return Section(
        "Predictive checks",
        tuple(text),
        tuple(predictive_table(check) for check in checks),
        tuple(predictive_picture(check) for check in checks),
    )


def predictive_sentences(check: PredictiveCheck) -> tuple[str, ...]:
    """What a check found, in sentences: one when all is well, one with its advice per warning."""
    worrying = [finding for finding in check.findings if finding.grade is not Grade.GOOD]
    if not worrying:
        return (f"{_title(check.group)}: the data look like data of this model in mean, spread, zeros and maximum.",)
    return tuple(f"{_title(check.group)}: {f.sentence}. {f.advice}".strip() for f in worrying)


def p_value_words(p_value: float) -> str:
    """A p-value without the pretence of exactness at its ends.

    Example:
        >>> p_value_words(0.0), p_value_words(0.25), p_value_words(1.0)
        ('< 0.001', '= 0.250', '> 0.999')
    """
    if p_value < 0.001:
        return "< 0.001"
    return "> 0.999" if p_value > 0.999 else f"= {p_value:.3f}"


def _title(group: str) -> str:
    return "Posterior predictive" if group == "posterior_predictive" else "Prior predictive"


def _statistics(observed: Floats, replications: NDArray[Any]) -> tuple[CheckedStatistic, ...]:
    def of(rows: NDArray[Any]) -> dict[str, Floats]:
        with np.errstate(invalid="ignore", over="ignore"):
            return {
                "mean": rows.mean(axis=1, dtype=np.float64),
                "sd": rows.std(axis=1, dtype=np.float64),
                "zeros": (rows == 0).mean(axis=1),
                "maximum": rows.max(axis=1).astype(np.float64),
            }

    step = max(1, 4_000_000 // observed.size)  # std makes copies: bound them
    blocks = [of(replications[start : start + step]) for start in range(0, len(replications), step)]
    mine = of(observed[None])
    found = []
    for name in STATISTICS:
        replicated = np.concatenate([block[name] for block in blocks])
        value = float(mine[name][0])
        # Sums in another order differ in the last digits; what is equal but for that counts as a tie.
        tied = np.isclose(replicated, value, rtol=1e-12, atol=0)
        p_value = float(np.mean(np.where(tied, 0.5, replicated > value)))
        found.append(CheckedStatistic(name, value, replicated, p_value))
    return tuple(found)


def _finding(prefix: str, statistic: CheckedStatistic) -> Finding:
    words = f"good from {EXTREME} to {1 - EXTREME}"
    label = f"{prefix.replace('_', ' ')} p-value of the {STATISTICS[statistic.name]}"
    shown = (
        f"{STATISTICS[statistic.name]} {statistic.observed:.4g}, replicated "
        f"{np.median(statistic.replicated):.4g}, p {p_value_words(statistic.p_value)}"
    )
    name, p_value = f"{prefix}_{statistic.name}", statistic.p_value
    if not np.isfinite(statistic.replicated).all():
        sentence = f"some replicated data sets are not finite ({STATISTICS[statistic.name]})"
        return Finding(name, label, None, Grade.PROBLEM, words, sentence, "Look for overflows; use stronger priors.")
    if statistic.replicated.size < FEWEST_REPLICATIONS:
        sentence = f"{statistic.replicated.size} replications are too few for a p-value"
        advice = f"Draw at least {FEWEST_REPLICATIONS} replications; 1000 are better."
        return Finding(name, label, p_value, Grade.UNKNOWN, words, sentence, advice)
    if EXTREME <= p_value <= 1 - EXTREME:
        return Finding(name, label, p_value, Grade.GOOD, words, f"the model reproduces the data's {shown}")
    meaning, advice = _MEANINGS[statistic.name, "more" if p_value < EXTREME else "less"]
    return Finding(name, label, p_value, Grade.WARNING, words, f"{meaning} ({shown})", advice)
