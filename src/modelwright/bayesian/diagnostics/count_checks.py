"""Do matrices of counts (cells x genes) look like matrices of the model: zeros, means and spread per gene, totals.

    replications = replicated_counts(fit, 50)                       # or any iterable of matrices
    check = check_counts(counts, replications, genes=names)
    check.findings, check.table

Each gene's zero fraction, mean and variance is held against the same of replicated matrices; what counts is the share
of genes outside the central 90 % of the replications, of which a tenth falls out by chance. Of the totals of
cells five quantiles are held against the smallest and largest of the replications.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd
from scipy import special

from modelwright.bayesian.diagnostics import thresholds
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.verdict import Finding, Grade

if TYPE_CHECKING:
    from modelwright.bayesian.inference.fit_result import AbstractFit

INSIDE = 0.9
"""Probability of the band of replications that a statistic is held against."""

FEWEST_REPLICATIONS = 20
"""Matrices below which a band of 90 % says little."""

TOTAL_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

_MEANINGS = {
    "zeros": (
        "zero fraction",
        "Zeros are not what the model expects: try a zero-inflated likelihood, or a dispersion for each gene.",
    ),
    "mean": ("mean", "Means are off: let every gene have a mean of its own, and account for the cells' depth."),
    "variance": (
        "variance",
        "The spread per gene is off: let the dispersion differ between genes, or add what cells have in common (depth, "
        "batches, kinds of cells).",
    ),
}


@dataclass(frozen=True, eq=False)
class CountCheck:
    """What a check of counts found.

    Args:
        table: A row per gene: for zeros, mean and variance the observed value, the band and whether it lies outside.
        totals: A row per quantile of the cells' totals: observed, smallest and largest replicated, whether outside.
        findings: Zero fraction, mean, variance, totals.
        n_replications: Matrices compared with.
    """

    table: pd.DataFrame
    totals: pd.DataFrame
    findings: tuple[Finding, ...]
    n_replications: int


def check_counts(
    counts: Any, replications: Iterable[np.ndarray], *, genes: Sequence[str] | None = None, prior: bool = False
) -> CountCheck:
    """Hold a matrix of counts against replicated ones.

    Args:
        counts: Observed counts, shape (cells, genes).
        replications: Matrices of the same number of genes, one at a time.
        genes: Names of the genes.
        prior: Whether the replications are of the prior; said in the findings.

    Raises:
        DataError: matrices of another number of genes, or none at all.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> spread = rng.negative_binomial(1.0, 0.2, (200, 30))
        >>> check = check_counts(spread, (rng.poisson(4.0, (200, 30)) for _ in range(40)))
        >>> [str(finding.grade) for finding in check.findings]
        ['problem', 'warning', 'problem', 'warning']
    """
    counts = np.asarray(counts)
    if counts.ndim != 2:
        raise DataError("not a matrix", field="counts", expected="shape (cells, genes)", got=counts.shape)
    mine, my_totals = _statistics(counts)
    seen: dict[str, list[np.ndarray]] = {name: [] for name in mine}
    totals: list[np.ndarray] = []
    for replication in replications:
        values = np.asarray(replication)
        if values.ndim != 2 or values.shape[1] != counts.shape[1]:
            raise DataError(
                "a replication is not of the observed genes",
                field="replications",
                expected=f"shape (cells, {counts.shape[1]})",
                got=values.shape,
            )
        theirs, their_totals = _statistics(values)
        for name, column in theirs.items():
            seen[name].append(column)
        totals.append(their_totals)
    if not totals:
        raise DataError("there is nothing to compare with", field="replications", expected="at least one matrix")
    n = len(totals)
    columns: dict[str, np.ndarray] = {}
    findings = []
    for name, observed in mine.items():
        low, high = _band(np.stack(seen[name]))
        outside = (observed < low) | (observed > high)
        columns |= {name: observed, f"{name}_low": low, f"{name}_high": high, f"{name}_outside": outside}
        findings.append(_gene_finding(name, observed, low, high, outside, n, prior=prior))
    low, high = np.min(totals, axis=0), np.max(totals, axis=0)
    outside = (my_totals < low) | (my_totals > high)
    table = pd.DataFrame(columns, index=list(genes) if genes is not None else range(counts.shape[1]))
    of_totals = pd.DataFrame(
        {"observed": my_totals, "low": low, "high": high, "outside": outside},
        index=[f"{100 * q:g} %" for q in TOTAL_QUANTILES],
    )
    findings.append(_totals_finding(of_totals, n, prior=prior))
    return CountCheck(table, of_totals, tuple(findings), n)


def replicated_counts(
    fit: "AbstractFit",
    n: int = 50,
    *,
    seed: int = 0,
    site: str | None = None,
    model: Callable[..., Any] | None = None,
    prior: bool = False,
) -> Iterator[np.ndarray]:
    """Matrices of counts drawn from a fit, one at a time.

    Args:
        fit: Any fit.
        n: Matrices.
        seed: Their seed.
        site: The observed site; the only one by default.
        model: A model of the same unknowns that draws the counts one by one, where the fitted one sums them up.
        prior: Whether to draw the unknowns from their prior.

    Raises:
        DataError: the model has no such site, or it cannot be drawn from.
    """
    from numpyro.handlers import seed as seeded
    from numpyro.handlers import substitute, trace, uncondition

    from modelwright.bayesian.inference.data_models import observing_one_by_one
    from modelwright.bayesian.inference.model_sites import find_sites
    from modelwright.bayesian.inference.tracing import TRACING
    from modelwright.core.seeds import named_seed

    fn = model or observing_one_by_one(fit.subject.model)
    call = fit.subject.call
    sites = find_sites(fn, call)
    site = site or (next(iter(sites.observed)) if len(sites.observed) == 1 else None)
    if site not in sites.observed or not sites.observed[site].plates:
        raise DataError(
            "the model has no observed site to draw from",
            field="site",
            expected="one of the observed sites that stand in the plates of their data",
            got=list(sites.observed),
            todo="pass model= with a model of the same unknowns that draws the counts one by one",
        )
    draws = {} if prior else fit.sample(n, seed, sites=tuple(sites.latent))

    def one(values: Any, key: Any, arrays: Any) -> Any:
        args, kwargs = call.arguments(arrays)
        run = uncondition(substitute(seeded(fn, key), data=values))
        return trace(run).get_trace(*args, **kwargs)[site]["value"]

    keys = jax.random.split(jax.random.key(named_seed(seed, "replications")), n)
    jitted = jax.jit(one)
    for k in range(n):
        with TRACING, jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            matrix = np.asarray(jitted({name: v[k] for name, v in draws.items()}, keys[k], call.device_arrays()))
        yield matrix


def quantile_residuals(
    counts: Any,
    log_cdf: Callable[[np.ndarray], Any],
    log_pmf: Callable[[np.ndarray], Any],
    *,
    seed: int = 0,
) -> np.ndarray:
    """Randomised quantile residuals: standard normal where the model is right.

        u = F(y - 1) + v P(y),  v ~ Uniform(0, 1),  residual = Phi^-1(u)

    Args:
        counts: Counts, any shape.
        log_cdf: Counts -> log F, of the same shape; called with counts less one where these are not negative.
        log_pmf: Counts -> log P, of the same shape.
        seed: Seed of v.

    Source: P. Dunn, G. Smyth (1996), https://doi.org/10.1080/10618600.1996.10474708.

    Example:
        >>> from scipy import stats
        >>> y = np.random.default_rng(1).poisson(3.0, 5000)
        >>> residuals = quantile_residuals(y, stats.poisson(3.0).logcdf, stats.poisson(3.0).logpmf)
        >>> abs(round(float(residuals.mean()), 1)), round(float(residuals.std()), 1)
        (0.0, 1.0)
    """
    y = np.asarray(counts)
    below = np.where(y > 0, np.exp(np.asarray(log_cdf(np.maximum(y - 1, 0)), np.float64)), 0.0)
    here = np.exp(np.asarray(log_pmf(y), np.float64))
    v = np.random.default_rng(seed).random(y.shape)
    u = np.clip(below + v * here, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg)
    return np.asarray(special.ndtri(u))


def residual_finding(residuals: np.ndarray) -> Finding:
    """The finding on residuals that ought to be standard normal: the largest distance of their distribution from it.

    Example:
        >>> str(residual_finding(np.random.default_rng(0).normal(size=4000)).grade)
        'good'
    """
    ordered = np.sort(special.ndtr(np.asarray(residuals, np.float64).ravel()))
    if not ordered.size:
        raise ConfigurationError("no residuals", field="residuals", expected="at least one")
    steps = np.arange(ordered.size + 1) / ordered.size
    distance = float(max(np.abs(ordered - steps[:-1]).max(), np.abs(ordered - steps[1:]).max()))
    by_chance = 1.63 / np.sqrt(ordered.size)  # Kolmogorov's 1 % point
    grade = Grade.GOOD if distance <= by_chance else thresholds.RESIDUAL_DISTANCE.grade(distance)
    words = f"{thresholds.RESIDUAL_DISTANCE.words}, or within chance"
    label = "distance of the residuals from a normal distribution"
    if grade is Grade.GOOD:
        return Finding("quantile_residuals", label, distance, grade, words, "the residuals are standard normal")
    spread = float(np.std(residuals))
    sentence = f"the residuals are not standard normal: distance {distance:.3f}, standard deviation {spread:.2f}"
    advice = (
        "Counts spread more than the model allows: give it more dispersion or zero inflation."
        if spread > 1.0
        else "Counts spread less than the model allows, or elsewhere: look at the mean per gene and cell."
    )
    return Finding("quantile_residuals", label, distance, grade, words, sentence, advice)


def _statistics(counts: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    per_gene = {
        "zeros": (counts == 0).mean(0),
        "mean": counts.mean(0, dtype=np.float64),
        "variance": counts.var(0, dtype=np.float64),
    }
    return per_gene, np.quantile(counts.sum(1, dtype=np.float64), TOTAL_QUANTILES)


def _band(replicated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    low, high = np.quantile(replicated, [(1 - INSIDE) / 2, (1 + INSIDE) / 2], axis=0)
    return low, high


def _gene_finding(
    name: str, observed: np.ndarray, low: np.ndarray, high: np.ndarray, outside: np.ndarray, n: int, *, prior: bool
) -> Finding:
    what, advice = _MEANINGS[name]
    kind = "prior predictive" if prior else "predictive"
    share = float(outside.mean())
    words = thresholds.OUTSIDE_BAND.words
    machine = f"{'prior_' if prior else ''}counts_{name}"
    label = f"share of genes whose {what} is outside the {kind} 90 % band"
    if n < FEWEST_REPLICATIONS:
        sentence = f"{n} replications are too few for a band"
        return Finding(machine, label, share, Grade.UNKNOWN, words, sentence, f"Draw at least {FEWEST_REPLICATIONS}.")
    by_chance = 1 - INSIDE + 3 * np.sqrt(INSIDE * (1 - INSIDE) / len(outside))  # of few genes more fall out by chance
    grade = Grade.GOOD if share <= by_chance else thresholds.OUTSIDE_BAND.grade(share)
    if grade is Grade.GOOD:
        return Finding(machine, label, share, grade, words, f"{share:.0%} of genes have a {what} outside the band")
    above = int((observed > high).sum())
    where = f"{above} above, {int(outside.sum()) - above} below"
    sentence = f"{share:.0%} of genes have a {what} outside the {kind} band ({where})"
    if prior:
        advice = f"The prior expects another {what}: choose priors on the scale of counts, or start from the data."
    return Finding(machine, label, share, grade, words, sentence, advice)


def _totals_finding(totals: pd.DataFrame, n: int, *, prior: bool) -> Finding:
    count = int(totals["outside"].sum())
    label, words = "quantiles of cells' totals that no replication reaches", "good up to 1 of 5, else a warning"
    machine = f"{'prior_' if prior else ''}counts_totals"
    if n < FEWEST_REPLICATIONS:
        sentence = f"{n} replications are too few for a band"
        return Finding(machine, label, count, Grade.UNKNOWN, words, sentence, f"Draw at least {FEWEST_REPLICATIONS}.")
    if count <= 1:
        return Finding(machine, label, count, Grade.GOOD, words, "the cells' totals are spread like the model's")
    named = ", ".join(str(name) for name in totals.index[totals["outside"]])
    sentence = f"the cells' totals are not spread like the model's (quantiles {named})"
    advice = "Cells differ in depth by more or less than the model allows: give each a capture probability or a size."
    return Finding(machine, label, count, Grade.WARNING, words, sentence, advice)
