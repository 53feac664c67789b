"""R-hat, effective sample sizes and Monte Carlo errors for many parameters at once, in numpy.

The definitions are ArviZ's (rank-normalised split R-hat, bulk and tail ESS, Geyer's initial monotone sequence), used
for a whole block of parameters per call instead of one parameter per Python call: ranks come from one sort per
parameter, normal scores from a table (average ranks are multiples of one half), and the autocovariances of all chains
are summed as power spectra before one inverse FFT. Every array here has the shape (parameter, chain, draw).

Source: Vehtari, Gelman, Simpson, Carpenter and Bürkner (2021), "Rank-normalization, folding, and localization: an
improved R-hat for assessing convergence of MCMC", https://arxiv.org/abs/1903.08008; Geyer (1992), "Practical Markov
chain Monte Carlo", https://doi.org/10.1214/ss/1177011137.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import ndtri

FEWEST_DRAWS = 4
"""Draws per chain below which nothing is estimated (two per half chain)."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RankStatistics:
    """Convergence statistics of a block of parameters, each of shape (parameter,).

    Args:
        r_hat: Rank-normalised split R-hat, the larger of bulk and folded; NaN for fewer than two chains.
        ess_bulk: Effective sample size of the rank-normalised draws (independent draws).
        ess_tail: The smaller effective sample size of the 5 % and 95 % quantiles (independent draws).
    """

    r_hat: Floats
    ess_bulk: Floats
    ess_tail: Floats


def rank_statistics(draws: Floats) -> RankStatistics:
    """R-hat, bulk ESS and tail ESS of every parameter, from shared sorts.

    Args:
        draws: Shape (parameter, chain, draw). A parameter with a value that is not finite gets NaN throughout, as does
            everything with fewer than `FEWEST_DRAWS` draws per chain.

    Returns:
        One value per parameter; equal to `arviz.rhat`, `arviz.ess(method="bulk")` and `arviz.ess(method="tail")`.

    Example:
        >>> draws = np.random.default_rng(1).normal(size=(3, 4, 500))
        >>> statistics = rank_statistics(draws)
        >>> bool(np.all(statistics.r_hat < 1.01)), bool(np.all(statistics.ess_bulk > 1000))
        (True, True)
    """
    draws = np.ascontiguousarray(draws, dtype=np.float64)
    n_parameters, n_chains, n_draws = draws.shape
    absent = np.full(n_parameters, np.nan)
    if n_draws < FEWEST_DRAWS or n_chains < 1 or n_parameters == 0:
        return RankStatistics(absent, absent.copy(), absent.copy())
    usable = np.isfinite(draws).all(axis=(1, 2))
    if not usable.all():
        found = rank_statistics(draws[usable]) if usable.any() else None
        return RankStatistics(*(_scatter(usable, found, name) for name in ("r_hat", "ess_bulk", "ess_tail")))
    halves = split_chains(draws)
    flat = halves.reshape(n_parameters, -1)
    order = np.argsort(flat, axis=1)
    ordered = np.take_along_axis(flat, order, axis=1)
    scores = _normal_scores(order, ordered).reshape(halves.shape)
    r_hat = absent
    if n_chains > 1:
        folded = np.abs(ordered - _median_of_sorted(ordered)[:, None])
        by_size = np.argsort(folded, axis=1, kind="stable")  # two sorted runs: timsort merges them in linear time
        folded_order = np.take_along_axis(order, by_size, axis=1)
        folded_scores = _normal_scores(folded_order, np.take_along_axis(folded, by_size, axis=1))
        bulk, tail = _plain_r_hat(scores), _plain_r_hat(folded_scores.reshape(halves.shape))
        r_hat = np.where(tail > bulk, tail, bulk)
    if n_draws % 2:  # the middle draw belongs to neither half but does belong to the quantiles
        ordered = np.sort(draws.reshape(n_parameters, -1), axis=1)
    low = _plain_ess((halves <= quantile_of_sorted(ordered, 0.05)[:, None, None]).astype(np.float64))
    high = _plain_ess((halves <= quantile_of_sorted(ordered, 0.95)[:, None, None]).astype(np.float64))
    return RankStatistics(r_hat, _plain_ess(scores), np.where(high < low, high, low))


def ess_mean(draws: Floats) -> Floats:
    """The effective sample size for the mean, shape (parameter,); equal to `arviz.ess(method="mean")`."""
    draws = np.ascontiguousarray(draws, dtype=np.float64)
    if draws.shape[2] < FEWEST_DRAWS:
        return np.full(draws.shape[0], np.nan)
    usable = np.isfinite(draws).all(axis=(1, 2))
    result = np.full(draws.shape[0], np.nan)
    result[usable] = _plain_ess(split_chains(draws[usable]))
    return result


def mcse_mean(draws: Floats) -> Floats:
    r"""The Monte Carlo standard error of the posterior mean, $\mathrm{sd} / \sqrt{\mathrm{ESS}}$, shape (parameter,).

    Example:
        >>> draws = np.random.default_rng(1).normal(size=(1, 4, 400))
        >>> bool(abs(mcse_mean(draws)[0] - 1 / 40) < 0.01)  # 1600 nearly independent draws of sd 1
        True
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return draws.std(axis=(1, 2), ddof=1) / np.sqrt(ess_mean(draws))


def mcse_sd(draws: Floats) -> Floats:
    """The Monte Carlo standard error of the posterior standard deviation, shape (parameter,)."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        squares = (draws - draws.mean(axis=(1, 2), keepdims=True)) ** 2
        variance = squares.mean(axis=(1, 2))
        variance_of_variance = ((squares**2).mean(axis=(1, 2)) - variance**2) / ess_mean(squares)
        return np.sqrt(variance_of_variance / variance / 4)


def bfmi(energy: Floats) -> Floats:
    r"""The Bayesian fraction of missing information of each chain, $\overline{(E_t - E_{t-1})^2} / \mathrm{var}(E)$.

    Args:
        energy: Hamiltonian energies, shape (chain, draw).

    Returns:
        Shape (chain,); NaN where a chain has fewer than `FEWEST_DRAWS` draws, energies that are not finite or that do
        not move.

    Source:
        Betancourt (2016), "Diagnosing suboptimal cotangent disintegrations in Hamiltonian Monte Carlo",
        https://arxiv.org/abs/1604.00695.

    Example:
        >>> independent = np.random.default_rng(1).normal(size=(1, 5000))
        >>> bool(abs(bfmi(independent)[0] - 2) < 0.2)  # independent energies: twice the variance
        True
    """
    energy = np.asarray(energy, dtype=np.float64)
    if energy.shape[1] < FEWEST_DRAWS:
        return np.full(energy.shape[0], np.nan)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.square(np.diff(energy, axis=1)).mean(axis=1) / energy.var(axis=1, ddof=1)


def split_chains(draws: Floats) -> Floats:
    """Each chain cut into its first and last half, (parameter, chain, draw) -> (parameter, 2 chain, draw // 2)."""
    half = draws.shape[2] // 2
    return np.concatenate([draws[:, :, :half], draws[:, :, -half:]], axis=1)


def quantile_of_sorted(ordered: Floats, probability: float) -> Floats:
    """The linearly interpolated quantile (Hyndman and Fan's type 7) of rows sorted along axis 1, shape (row,)."""
    n = ordered.shape[1]
    position = n * probability + (1.0 - probability)
    below = int(np.floor(np.clip(position, 1, n - 1)))
    weight = float(np.clip(position - below, 0, 1))
    return (1.0 - weight) * ordered[:, below - 1] + weight * ordered[:, below]


def _scatter(usable: NDArray[np.bool_], found: RankStatistics | None, name: str) -> Floats:
    result = np.full(usable.shape, np.nan)
    if found is not None:
        result[usable] = getattr(found, name)
    return result


def _median_of_sorted(ordered: Floats) -> Floats:
    n = ordered.shape[1]
    return (ordered[:, (n - 1) // 2] + ordered[:, n // 2]) / 2


def _normal_scores(order: NDArray[np.intp], ordered: Floats) -> Floats:
    """Normal quantiles of Blom's fractional ranks, ties at their average rank; rows in the unsorted order."""
    n_rows, size = order.shape
    # Twice the average rank of a run of ties from position i to j (0-based) is i + j + 2: always an integer.
    doubled = np.broadcast_to(np.arange(2, 2 * size + 1, 2), (n_rows, size))
    tied = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if tied.any():
        doubled = doubled.copy()
        doubled[tied] = _doubled_average_ranks(ordered[tied])
    table = ndtri((np.arange(2 * size + 1) / 2 - 0.375) / (size + 0.25))  # entries 0 and 1 are never looked up
    scores = np.empty((n_rows, size))
    np.put_along_axis(scores, order, table[doubled], axis=1)
    return scores


def _doubled_average_ranks(ordered: Floats) -> NDArray[np.intp]:
    n_rows, size = ordered.shape
    position = np.arange(size)
    starts = np.ones((n_rows, size), dtype=bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=starts[:, 1:])
    ends = np.ones((n_rows, size), dtype=bool)
    ends[:, :-1] = starts[:, 1:]
    first = np.maximum.accumulate(np.where(starts, position, 0), axis=1)
    last = np.minimum.accumulate(np.where(ends, position, size - 1)[:, ::-1], axis=1)[:, ::-1]
    return first + last + 2


def _plain_r_hat(values: Floats) -> Floats:
    n_draws = values.shape[2]
    between = n_draws * values.mean(axis=2).var(axis=1, ddof=1)
    within = values.var(axis=2, ddof=1).mean(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt((between / within + n_draws - 1) / n_draws)


def _plain_ess(values: Floats) -> Floats:
    """The effective sample size of chains as they are, shape (parameter,)."""
    n_parameters, n_chains, n_draws = values.shape
    size = n_chains * n_draws
    covariance = _mean_autocovariance(values)  # (parameter, lag)
    mean_variance = covariance[:, 0] * n_draws / (n_draws - 1.0)
    total_variance = mean_variance * (n_draws - 1.0) / n_draws
    if n_chains > 1:
        total_variance = total_variance + values.mean(axis=2).var(axis=1, ddof=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = 1.0 - (mean_variance[:, None] - covariance) / total_variance[:, None]
    correlation[:, 0] = 1.0
    n_pairs = n_draws // 2
    pairs = correlation[:, 0 : 2 * n_pairs : 2] + correlation[:, 1 : 2 * n_pairs : 2]
    # Geyer's initial positive sequence: up to the first pair whose sum is not positive, at most to the last whole pair.
    limit = max((n_draws - 3) // 2, 0)
    stops = ~(pairs[:, : limit + 1] > 0)
    stops[:, limit] = True
    length = np.argmax(stops, axis=1)
    # Geyer's initial monotone sequence: no pair may exceed the one before it.
    monotone = np.minimum.accumulate(pairs, axis=1)
    summed = np.where(np.arange(n_pairs) < length[:, None], monotone, 0.0).sum(axis=1)
    rows = np.arange(n_parameters)
    even = correlation[rows, 2 * length]
    last = np.where((even > 0) | (pairs[rows, length] >= 0), even, 0.0)
    time = np.maximum(-1.0 + 2.0 * summed + last, 1.0 / np.log10(size))
    still = values.max(axis=(1, 2)) - values.min(axis=(1, 2)) < np.finfo(np.float64).resolution
    return np.where(still, float(size), size / time)


def _mean_autocovariance(values: Floats) -> Floats:
    """The autocovariance at every lag, averaged over chains, shape (parameter, draw)."""
    n_draws = values.shape[2]
    length = fft.next_fast_len(2 * n_draws, real=True)
    centred = values - values.mean(axis=2, keepdims=True)
    spectrum = fft.rfft(centred, n=length, axis=2)
    power = (spectrum.real**2 + spectrum.imag**2).mean(axis=1)
    return fft.irfft(power, n=length, axis=1)[:, :n_draws] / n_draws
