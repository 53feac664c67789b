"""Each entity's rate given the population: exact independent draws.

    p(theta_i | y, h) proportional to Gamma(theta_i; a, b) * product over its windows of NB(y_ij; theta_i e_ij, phi)

for every draw h of the hyperparameters; over the draws this is the joint posterior, so a collapsed sampler needs no
chain for the rates. Entities with equal statistics have equal posteriors: what a draw needs to know of the density
(`rate_rejection`) is found once for all of them.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.rate_curves import curves_of
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.rate_rejection import draw_log_rates
from modelwright.bayesian.event_rates.statistics import AlikeEntities
from modelwright.bayesian.inference.settings import available_cores
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress

_DRAWS_AT_ONCE = 200_000
"""Draws made at once; the draws do not depend on the number of cores, but on this."""

_CURVES = 16_384
"""Densities held at once, each of one row under one draw of the hyperparameters."""

SMALLEST_RATE = float(np.finfo(float).tiny)
"""A rate below the smallest normal double (log rate -708) is given as that: it stays a positive number."""


def draw_rates(
    population: Population,
    alike: AlikeEntities,
    generator: np.random.Generator,
    *,
    progress: ProgressCallback = ignore_progress,
    cores: int | None = None,
) -> np.ndarray:
    """One draw of every entity's rate for every draw of the hyperparameters, all independent given these.

    Negative-binomial counts: by rejection under tangents of the log-concave density (`rate_rejection`). Poisson counts:
    theta ~ Gamma(a + sum of counts, b + sum of exposures).

    Args:
        population: Draws of the hyperparameters.
        alike: The entities, gathered by their statistics.
        generator: Source of randomness; the same draws come out whatever the number of cores.
        progress: Told how many blocks are done (stage "rates").
        cores: Threads; None takes what the machine offers.

    Returns:
        Rates in events per unit of exposure, shape (n_draws, n_entities), float64.

    Example:
        >>> from modelwright.bayesian.event_rates.statistics import alike_entities, statistics_of
        >>> from modelwright.data.events import EventCounts
        >>> alike = alike_entities(statistics_of(EventCounts.from_arrays(entity=["a", "a", "b"], count=[50, 60, 0])))
        >>> population = Population(np.full(2000, 2.0), np.full(2000, 0.1), np.full(2000, 0.01))
        >>> rates = draw_rates(population, alike, np.random.default_rng(1))
        >>> rates.shape, rates.mean(0).round().tolist()
        ((2000, 2), [53.0, 2.0])
    """
    rates = np.empty((len(population), len(alike.row)))
    blocks = list(_blocks(population, alike))
    streams = generator.spawn(len(blocks))
    poisson = not population.inverse_concentration.any()
    draw = _draw_gamma if poisson else _draw_by_rejection

    def work(index: int) -> None:
        draw(population, blocks[index], streams[index], rates)

    run_blocks(work, len(blocks), cores, progress)
    return rates


def row_numbers(alike: AlikeEntities) -> np.ndarray:
    """Each entity's row, counted through all profiles, shape (n_entities,)."""
    sizes = [len(profile.times) for profile in alike.profiles]
    return np.asarray(np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)[alike.profile] + alike.row)


@dataclass(frozen=True, eq=False)
class _Block:
    """Some rows under some draws: their statistics, the entities that are like them (sorted by row), and the draws."""

    windows: Windows
    entity: np.ndarray
    row: np.ndarray
    draws: np.ndarray


def _blocks(population: Population, alike: AlikeEntities) -> Iterator[_Block]:
    """All pairs of rows and draws in blocks that depend on nothing but the arguments."""
    for index, profile in enumerate(alike.profiles):
        members = np.flatnonzero(alike.profile == index)
        members = members[np.argsort(alike.row[members], kind="stable")]
        starts = np.searchsorted(alike.row[members], np.arange(len(profile.times) + 1))
        for first in range(0, len(profile.times), _CURVES):
            rows = np.arange(first, min(first + _CURVES, len(profile.times)))
            entity = members[starts[first] : starts[rows[-1] + 1]]
            if len(entity) == 0:
                continue
            row = alike.row[entity] - first
            together = max(1, min(_CURVES // len(rows), _DRAWS_AT_ONCE // len(entity)))
            for start in range(0, len(population), together):
                draws = np.arange(start, min(start + together, len(population)))
                yield _Block(rows_of(profile.windows, rows), entity, row, draws)


def rows_of(windows: Windows, rows: np.ndarray) -> Windows:
    """Some of the rows."""
    return Windows(windows.exposure[rows], windows.total[rows], windows.number[rows])


def _draw_gamma(population: Population, block: _Block, stream: np.random.Generator, rates: np.ndarray) -> None:
    """Poisson counts: the conjugate posterior, drawn directly."""
    total = block.windows.total.sum(1)[block.row]
    length = (block.windows.number * block.windows.exposure).sum(1)[block.row]
    for draw in block.draws:
        drawn = stream.standard_gamma(population.shape[draw] + total) / (population.rate[draw] + length)
        rates[draw, block.entity] = np.maximum(drawn, SMALLEST_RATE)


def _draw_by_rejection(population: Population, block: _Block, stream: np.random.Generator, rates: np.ndarray) -> None:
    curves = curves_of(population.part(block.draws), block.windows)
    drawn = np.exp(draw_log_rates(curves, len(block.draws), block.row, stream))
    rates[block.draws[0] : block.draws[-1] + 1, block.entity] = np.maximum(drawn, SMALLEST_RATE)


def run_blocks(work: Callable[[int], None], jobs: int, cores: int | None, progress: ProgressCallback) -> None:
    """Do all jobs in threads (numpy releases the interpreter while it computes), reporting about fifty times."""
    every = max(1, jobs // 50)
    with ThreadPoolExecutor(cores or available_cores()) as pool:
        for done, _ in enumerate(pool.map(work, range(jobs)), start=1):
            if done % every == 0 or done == jobs:
                progress(ProgressEvent("rates", done, jobs, "blocks"))
