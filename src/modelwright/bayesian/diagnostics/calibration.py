"""Simulation-based calibration: does the sampler draw from the posterior of the model as it is written down?

Draw parameters from the prior, data from the parameters, and draws from the posterior given the data: the rank of the
true value among the draws is uniform, for every quantity, if and only if posterior draws are what they should be (up to
the quantities looked at). Data that look hopeless are legitimate: leaving them out would bias the ranks.

Sources: Talts, Betancourt, Simpson, Vehtari and Gelman (2018), https://arxiv.org/abs/1804.06788; Säilynoja, Bürkner and
Vehtari (2022), simultaneous bands for the empirical distribution function, https://arxiv.org/abs/2103.10522; Modrák et
al. (2023), the log likelihood as a quantity, https://arxiv.org/abs/2211.02383.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from modelwright.core.errors import DataError
from modelwright.core.sections import Table
from modelwright.core.verdict import Finding, Grade, Verdict

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

FALSE_ALARMS = 0.01
"""How often, over all quantities and both tests together, a right sampler is called wrong; arbitrary."""

BAND_PROBABILITY = 0.95
BAND_SIMULATIONS = 10_000
_BAND_SEED = 20180418


@dataclass(frozen=True, eq=False)
class Uniformity:
    """How uniform the ranks of one quantity are.

    Args:
        name: The quantity.
        ranks: Rank of the truth among the draws in each replication, 0 .. n_draws, shape (replication,).
        n_draws: Draws each rank was taken among.
        chi_square_p: Probability of bins at least as uneven as these, if ranks are uniform.
        ecdf_p: Probability of a distribution function that leaves its pointwise bands at least as far.
        below: Replications with a rank of at most k, for k = 0 .. n_draws, shape (n_draws + 1,).
        band_low: Lower simultaneous 95 % band of `below`. band_high: Upper one.
    """

    name: str
    ranks: Ints
    n_draws: int
    chi_square_p: float
    ecdf_p: float
    below: Ints
    band_low: Ints
    band_high: Ints

    @property
    def inside_band(self) -> bool:
        """Whether the distribution function stays within its simultaneous band everywhere."""
        return bool(((self.below >= self.band_low) & (self.below <= self.band_high)).all())


def rank_of_truth(truth: Floats, draws: Floats, generator: np.random.Generator) -> Ints:
    """The rank of each true value among its posterior draws; ties are broken at random.

    Args:
        truth: Shape (replication,).
        draws: Nearly independent posterior draws, shape (replication, draw).
        generator: Breaks ties.

    Returns:
        Shape (replication,), from 0 (below all draws) to the number of draws.

    Raises:
        DataError: for values that are not finite, which have no rank.

    Example:
        >>> generator = np.random.default_rng(1)
        >>> rank_of_truth(np.array([0.5, 9.0]), np.array([[0.0, 1.0], [0.0, 1.0]]), generator).tolist()
        [1, 2]
    """
    wrong = ~(np.isfinite(truth) & np.isfinite(draws).all(axis=1))
    if wrong.any():
        raise DataError(
            "a true value or a draw is not finite",
            field=f"replication {int(np.argmax(wrong))}",
            expected="finite numbers",
            todo="ranks of what is not a number are not defined, and leaving replications out would bias the others",
        )
    below = (draws < truth[:, None]).sum(axis=1)
    tied = (draws == truth[:, None]).sum(axis=1)
    return below + generator.integers(0, tied + 1)


def thin(draws: Floats, keep: int) -> Floats:
    """`keep` draws, evenly spaced, the last one included.

    Args:
        draws: Shape (draw, ...), at least `keep` of them; to be nearly independent they should number `keep` times the
            autocorrelation time.
        keep: How many to keep.

    Example:
        >>> thin(np.arange(10), 3).tolist()
        [2, 5, 9]
    """
    if not 1 <= keep <= len(draws):
        raise DataError("too few draws to thin", field="keep", expected=f"from 1 to {len(draws)}", got=keep)
    return draws[np.floor(np.arange(1, keep + 1) * (len(draws) / keep)).astype(np.int64) - 1]


def uniformity(name: str, ranks: Ints, n_draws: int) -> Uniformity:
    """Test the ranks of one quantity for uniformity on 0 .. n_draws.

    Args:
        name: The quantity.
        ranks: Shape (replication,).
        n_draws: Draws each rank was taken among.

    Example:
        >>> even = uniformity("mu", np.arange(200) % 100, 99)
        >>> even.chi_square_p > 0.99, even.inside_band
        (True, True)
        >>> uniformity("mu", np.arange(200) % 50, 99).inside_band
        False
    """
    ranks = np.asarray(ranks, dtype=np.int64)
    if ranks.size == 0 or ranks.min() < 0 or ranks.max() > n_draws:
        raise DataError("not ranks", field=name, expected=f"whole numbers from 0 to {n_draws}", got=ranks[:5].tolist())
    low, high, smallest = _band(ranks.size, n_draws)
    below = np.cumsum(np.bincount(ranks, minlength=n_draws + 1))
    mine = _pointwise_p(ranks.size, n_draws)[below, np.arange(n_draws + 1)][:-1].min(initial=1.0)
    ecdf_p = (1 + int((smallest <= mine * (1 + 1e-9)).sum())) / (1 + smallest.size)
    return Uniformity(name, ranks, n_draws, _chi_square_p(ranks, n_draws), ecdf_p, below, low, high)


def calibration_verdict(tested: Sequence[Uniformity]) -> Verdict:
    """A finding per quantity: a problem when a p-value is below `FALSE_ALARMS` shared among all tests (Bonferroni).

    Between that and 0.05 shared the same way the finding is a warning.
    """
    limit = FALSE_ALARMS / max(1, 2 * len(tested))
    return Verdict.of(_finding(one, limit) for one in tested)


def calibration_table(tested: Sequence[Uniformity]) -> Table:
    """One row per quantity: the two p-values, the band and the grade."""
    findings = calibration_verdict(tested).findings
    rows = tuple(
        (
            one.name,
            round(one.chi_square_p, 4),
            round(one.ecdf_p, 4),
            "inside" if one.inside_band else "outside",
            round(float(one.ranks.mean()) / one.n_draws, 3),
            str(finding.grade),
        )
        for one, finding in zip(tested, findings, strict=True)
    )
    columns = ("quantity", "chi-square p", "ECDF p", "95 % ECDF band", "mean rank (0.5 expected)", "grade")
    count = tested[0].ranks.size if tested else 0
    limit = FALSE_ALARMS / max(1, 2 * len(tested))
    caption = f"{count} replications; a p-value below {limit:.2g} ({FALSE_ALARMS} over all tests) is a problem."
    return Table("Simulation-based calibration", columns, rows, caption)


def _finding(one: Uniformity, limit: float) -> Finding:
    p_value = float(np.nanmin([one.chi_square_p, one.ecdf_p]))  # too few ranks for bins leave only the second
    if p_value < limit:
        grade, advice = Grade.PROBLEM, "Look at the picture: a slope is a bias, a hump too wide, a trough too narrow."
    elif p_value < 5 * limit:
        grade, advice = Grade.WARNING, "Run more replications."
    else:
        grade, advice = Grade.GOOD, ""
    fine = "are uniform as far as can be told" if grade is Grade.GOOD else "are not uniform"
    sentence = f"the ranks of {one.name} {fine}: chi-square p {one.chi_square_p:.3g}, ECDF p {one.ecdf_p:.3g}"
    words = f"problem below {limit:.2g}, warning below {5 * limit:.2g}"
    return Finding(f"calibration_{one.name}", f"calibration of {one.name}", p_value, grade, words, sentence, advice)


def _chi_square_p(ranks: Ints, n_draws: int) -> float:
    """Over as many equal bins as keep five expected ranks in each (and divide the possible ranks evenly)."""
    values = n_draws + 1
    fitting = [bins for bins in range(2, values + 1) if values % bins == 0 and ranks.size / bins >= 5]
    if not fitting:
        return float("nan")
    bins = max((bins for bins in fitting if bins <= 20), default=min(fitting))
    counts = np.bincount(ranks * bins // values, minlength=bins)
    return float(stats.chisquare(counts).pvalue)


@lru_cache(maxsize=8)
def _pointwise_p(n_ranks: int, n_draws: int) -> Floats:
    """Two-sided p-value of having c ranks of at most k, shape (c, k): twice the smaller binomial tail."""
    count = np.arange(n_ranks + 1)[:, None]
    share = (np.arange(n_draws + 1) + 1) / (n_draws + 1)
    lower, upper = stats.binom.cdf(count, n_ranks, share), stats.binom.sf(count - 1, n_ranks, share)
    return np.minimum(1.0, 2 * np.minimum(lower, upper))


@lru_cache(maxsize=8)
def _band(n_ranks: int, n_draws: int) -> tuple[Ints, Ints, Floats]:
    """The simultaneous band of the counts below each rank, and the smallest pointwise p-values it was set by.

    Uniform ranks are simulated; the pointwise level is the one at which 95 % of the simulations stay inside everywhere.
    """
    generator = np.random.default_rng(_BAND_SEED)  # a constant of the method, the same for everyone
    table = _pointwise_p(n_ranks, n_draws)
    smallest = np.empty(BAND_SIMULATIONS)
    for start in range(0, BAND_SIMULATIONS, 1000):
        sample = generator.multinomial(n_ranks, np.full(n_draws + 1, 1 / (n_draws + 1)), size=1000)
        below = np.cumsum(sample, axis=1)[:, :-1]
        smallest[start : start + 1000] = table[below, np.arange(n_draws)].min(axis=1, initial=1.0)
    level = np.quantile(smallest, 1 - BAND_PROBABILITY, method="lower")
    allowed = table >= level
    low = np.argmax(allowed, axis=0)
    high = n_ranks - np.argmax(allowed[::-1], axis=0)
    return low, high, smallest
