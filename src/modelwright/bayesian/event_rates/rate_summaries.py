"""Exact summaries of each entity's rate without draws: moments and quantiles of its posterior.

Entities with equal statistics have equal posteriors, the mixture of their curves (`rate_curves`) over the draws of the
population, which is integrated and inverted (`rate_quantiles`) once for all of them. Of entities with several exposures
few are alike; logarithms of summaries are smooth in the sums, and found at the points of `sum_cells` where these are
fewer than the entities.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.rate_curves import PROBABILITIES, curves_of
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.rate_posteriors import SMALLEST_RATE, row_numbers, rows_of, run_blocks
from modelwright.bayesian.event_rates.rate_quantiles import quantile_table
from modelwright.bayesian.event_rates.statistics import AlikeEntities
from modelwright.bayesian.event_rates.sum_cells import SumCell, sum_cells
from modelwright.core.progress import ProgressCallback, ignore_progress

_TABLE_POINTS = 40_000
"""Points of the tables that are made at once."""

_NATS = 20.0
"""Logarithms of summaries are interpolated between sums to e^-20, which is 2e-9."""


@dataclass(frozen=True, eq=False)
class RateSummaries:
    """Posterior summaries of the rate of every alike row, profile after profile, each of shape (n_rows,).

    Args:
        mean: Posterior mean, events per unit of exposure.
        sd: Posterior standard deviation.
        lower: (1 - interval)/2 quantile.
        median: 1/2 quantile.
        upper: (1 + interval)/2 quantile.
        interval: Probability of the equal-tailed interval.
    """

    mean: np.ndarray
    sd: np.ndarray
    lower: np.ndarray
    median: np.ndarray
    upper: np.ndarray
    interval: float

    def per_entity(self, alike: AlikeEntities) -> dict[str, np.ndarray]:
        """Columns mean, sd, lower, median and upper with one value per entity, each (n_entities,)."""
        row = row_numbers(alike)
        return {name: getattr(self, name)[row] for name in ("mean", "sd", "lower", "median", "upper")}


def summarise_rates(
    population: Population,
    alike: AlikeEntities,
    interval: float = 0.9,
    *,
    most_draws: int | None = None,
    progress: ProgressCallback = ignore_progress,
    cores: int | None = None,
) -> RateSummaries:
    """Mean, standard deviation and quantiles of every rate's posterior, the mixture over the hyperparameter draws.

    Nothing is sampled: each row's density is averaged over the draws on one grid of log rate, integrated and inverted,
    within 1e-6 of a probability.

    Args:
        population: Draws of the hyperparameters.
        alike: The entities, gathered by their statistics.
        interval: Probability of the equal-tailed interval.
        most_draws: Average over at most that many draws, taken evenly; by default all of them, or as many as keep rows
            times draws below half a million, at least 100. (The more rows there are, the less the population's
            parameters vary from draw to draw.)
        progress: Told how many blocks are done (stage "rates").
        cores: Threads; None takes what the machine offers.

    Example:
        >>> from modelwright.bayesian.event_rates.statistics import alike_entities, statistics_of
        >>> from modelwright.data.events import EventCounts
        >>> alike = alike_entities(statistics_of(EventCounts.from_arrays(entity=["a", "a"], count=[3, 2])))
        >>> found = summarise_rates(Population(np.array([1.0]), np.array([0.5]), np.array([0.0])), alike)
        >>> float(found.mean[0].round(6)), float(found.sd[0].round(6))  # Gamma(6, 2.5)
        (2.4, 0.979796)
    """
    if most_draws is None:
        most_draws = max(100, 500_000 // max(1, alike.n_rows))
    kept = np.unique(np.linspace(0, len(population) - 1, min(most_draws, len(population))).round().astype(int))
    some = population.part(kept)
    levels = np.array([(1 - interval) / 2, 0.5, (1 + interval) / 2])
    pieces = [piece for profile in alike.profiles for piece in _pieces(profile.windows)]
    jobs = [(piece, rows) for piece in pieces for rows in _row_blocks(some, piece.windows, len(some))]

    def work(index: int) -> None:
        piece, rows = jobs[index]
        piece.found[:, rows] = _summarise(some, rows_of(piece.windows, rows), levels)

    run_blocks(work, len(jobs), cores, progress)
    found = np.empty((5, alike.n_rows))
    first = 0
    for profile in alike.profiles:
        while pieces and pieces[0].of is profile.windows:
            pieces.pop(0).spread(found, first)
        first += len(profile.times)
    return RateSummaries(*found, interval=interval)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Rows to be summarised: some of a profile's, or the points of a cell that say all about its rows."""

    of: Windows
    windows: Windows
    rows: np.ndarray
    cell: SumCell | None
    found: np.ndarray

    def spread(self, found: np.ndarray, first: int) -> None:
        """Write the summaries of the profile's rows, of which the first has the number `first`."""
        if self.cell is None:
            found[:, first + self.rows] = self.found
            return
        shape = (len(self.cell.table.along), len(self.cell.table.beside))
        for column, values in enumerate(np.log(self.found)):
            found[column, first + self.rows] = np.exp(self.cell.at_rows(values.reshape(shape)))


def _pieces(windows: Windows) -> Iterator[_Piece]:
    cells, rest = sum_cells(windows, nats=_NATS) if windows.total.shape[1] > 1 else ([], np.arange(len(windows.total)))
    for cell in cells:
        points = cell.points()
        if len(points.total) < len(cell.rows):
            yield _Piece(windows, points, cell.rows, cell, np.empty((5, len(points.total))))
        else:
            rest = np.concatenate([rest, cell.rows])
    if len(rest):
        yield _Piece(windows, rows_of(windows, rest), rest, None, np.empty((5, len(rest))))


def _row_blocks(population: Population, windows: Windows, draws: int) -> Iterator[np.ndarray]:
    """Rows that need about as many points, few enough for a table under that many draws."""
    middle = Population(
        *(np.array([np.median(part)]) for part in (population.shape, population.rate, population.inverse_concentration))
    )
    left, right, step = curves_of(middle, windows).extent(PROBABILITIES)
    points = np.ceil((right - left) / step)
    order = np.argsort(points, kind="stable")
    start = 0
    while start < len(order):
        fewest = points[order[start]]
        end = start + max(1, int(_TABLE_POINTS // (fewest * draws)))
        end = max(start + 1, min(end, int(np.searchsorted(points[order], 1.25 * fewest + 2, side="right"))))
        yield np.sort(order[start:end])
        start = end


def _summarise(population: Population, windows: Windows, levels: np.ndarray) -> np.ndarray:
    """Mean, sd, and the quantiles at the three levels, of some rows: shape (5, n_rows)."""
    rows, draws = len(windows.total), len(population)
    curves = curves_of(population, windows)
    log_mode = np.log(curves.mode).reshape(rows, draws)
    left, right, step = (part.reshape(rows, draws) for part in curves.extent(PROBABILITIES))
    start, end = (log_mode + left).min(1), (log_mode + right).max(1)
    points = int(np.ceil(((end - start) / step.min(1)).max())) + 1
    step = (end - start) / (points - 1)
    x = start[:, None] + step[:, None] * np.arange(points)
    offset = (x[:, None, :] - log_mode[:, :, None]).reshape(rows * draws, points)
    density = np.exp(curves.log(offset))
    slope, bend = curves.derivatives(offset)
    first = density * slope
    bend += slope * slope
    bend *= density
    # Each draw's curve on its own, from the row's first point to its last, with both tails closed.
    tail = density[:, 0] / slope[:, 0]
    beyond = -density[:, -1] / slope[:, -1]
    weight = step.repeat(draws) * (density.sum(1) + density[:, 0] / np.expm1(slope[:, 0] * step.repeat(draws)))
    weight = 1.0 / (weight * draws)
    centre = log_mode.mean(1)
    growth = np.expm1(x - centre[:, None])
    shaped, scale = density.reshape(rows, draws, points), weight.reshape(rows, draws)
    mixture = np.einsum("rdp,rd->rp", shaped, scale)
    mixture_first = np.einsum("rdp,rd->rp", first.reshape(rows, draws, points), scale)
    mixture_second = np.einsum("rdp,rd->rp", bend.reshape(rows, draws, points), scale)
    left_mass, right_mass = (tail * weight).reshape(rows, draws), (beyond * weight).reshape(rows, draws)
    # The left tail's own rates are below e^-17 of the mode: in the moments it counts as nothing.
    inside = mixture * step[:, None]
    missing = 1.0 - inside.sum(1)
    mean = (inside * growth).sum(1) - missing
    square = (inside * growth**2).sum(1) + missing
    sd = np.sqrt(np.maximum(square - mean**2, 0.0))
    table = quantile_table(
        x=x,
        step=step,
        density=mixture,
        first=mixture_first,
        second=mixture_second,
        left=left_mass.sum(1),
        slope=mixture[:, 0] / left_mass.sum(1),
        right=right_mass.sum(1),
        steepness=mixture[:, -1] / right_mass.sum(1),
    )
    found = np.empty((5, rows))
    found[0], found[1] = np.exp(centre) * (1.0 + mean), np.exp(centre) * sd
    for column, level in enumerate(levels, start=2):
        everywhere = np.full(rows, level)
        log_rate = table.log_rate(np.arange(rows), np.log(everywhere), np.log1p(-everywhere))
        far = np.flatnonzero(np.log(level) < table.left[:, 0])
        if len(far):
            slopes = slope[:, 0].reshape(rows, draws)[far]
            log_rate[far] = start[far] + _in_left_tail(np.log(left_mass[far]), slopes, float(np.log(level)))
        found[column] = np.maximum(np.exp(log_rate), SMALLEST_RATE)
    return found


def _in_left_tail(log_mass: np.ndarray, slope: np.ndarray, log_level: float) -> np.ndarray:
    """D < 0 where the tails, mass e^(slope d) for every draw, add up to the level; arrays (rows, draws), d (rows,).

    Newton's method on the log of the sum, which is convex: from the right of the root it stays there and converges.
    """
    distance = np.zeros(len(log_mass))
    for _ in range(60):
        terms = log_mass + slope * distance[:, None]
        largest = terms.max(1, keepdims=True)
        weight = np.exp(terms - largest)
        whole = weight.sum(1)
        excess = np.log(whole) + largest[:, 0] - log_level
        distance -= excess / ((weight * slope).sum(1) / whole)
        if np.all(np.abs(excess) < 1e-12):
            break
    return distance
