"""The posterior density of the population with every rate integrated out.

For n windows of equal exposure e with sum S, and P from `rate_integrals.log_marginal`,

    prod_j NB(y_j | mean theta e, concentration c) = NB(S | n theta e, n c) * DM(y | S, c)
    log DM = log S! - S log n - R(S, n c) - sum_j [log y_j! - R(y_j, c)],   R(y, c) = log[Gamma(y + c) / (Gamma(c) c^y)]

where the Dirichlet-multinomial DM does not depend on the rate. R is zero at c = infinity, where what remains is the
multinomial and the Poisson likelihood. So the likelihood is a sum over entities of log P, a sum over groups of
R(S, n c) and a sum over the histogram of counts of R(y, c). The functions of S of entities that differ in S alone, and
those of y, are summed by a few points per octave (`octave_nodes`): the cost depends on how many (exposure, windows)
there are and on the logarithm of the largest sum, not on the number of observations or entities.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammaln

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.density import stirling_error
from modelwright.bayesian.event_rates.hyperpriors import Hyperprior
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE
from modelwright.bayesian.event_rates.octave_nodes import octave_nodes
from modelwright.bayesian.event_rates.peak_densities import spread_loss
from modelwright.bayesian.event_rates.rate_integrals import CELLS, Population, Windows, cells_of
from modelwright.bayesian.event_rates.rate_quadrature import Cells, log_peak_and_integral
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, alike_entities
from modelwright.bayesian.event_rates.weighted_tables import WeightedTable, weighted_tables
from modelwright.bayesian.inference.blocks import Block, blocks, in_order

SMALL_COUNTS = 32
"""Below this R(y, c) is the sum of log(1 + i/c) over i < y; above, Stirling's series is exact to double precision."""

FARTHEST = 70.0
"""The posterior is taken as zero where a parameter's logarithm is farther than this from zero: beyond 1e30."""

_TABLES_TIMES_DRAWS = 100
"""Draws of the hyperparameters under which a table is summed at once."""

LARGEST_SHAPE = 1e20
"""Nor with a shape above this: rates that differ by less than a ten-billionth of themselves."""


@dataclass(frozen=True, eq=False)
class LikelihoodTerms:
    """The data as the collapsed likelihood needs them.

    Args:
        rows: One entry per number of distinct exposures, each with arrays of shape (n_rows, n_exposures).
        weight: Weight of each row, one array of shape (n_rows,) per entry of `rows`; node weights may be negative.
        exceeding: How many counts exceed i, for i = 0 .. SMALL_COUNTS - 1, shape (SMALL_COUNTS,).
        large: Counts from SMALL_COUNTS on (or nodes that stand for them), shape (n_large,).
        large_weight: Their weights, same shape.
        constant: What depends on the data alone.
    """

    rows: tuple[Windows, ...]
    weight: tuple[np.ndarray, ...]
    exceeding: np.ndarray
    large: np.ndarray
    large_weight: np.ndarray
    constant: float


@dataclass(frozen=True, eq=False)
class CollapsedDensity:
    """Log posterior density of the population's parameters, for many points at once.

    Coordinates are unconstrained: the logarithm of each parameter that has a prior, or its log odds between the ends of
    a uniform prior. The value includes the Jacobian, the priors' constants and those of the likelihood, so that the
    integral of its exponential is the evidence.

    Args:
        statistics: The data.
        config: Priors, likelihood and parameterisation.
        cores: Threads; by default what the machine offers. The answer does not depend on it.
        tick: Called between blocks of the computation; may raise to interrupt it.

    Example:
        >>> from modelwright.bayesian.event_rates.statistics import statistics_of
        >>> from modelwright.data.events import EventCounts
        >>> counts = EventCounts.from_arrays(entity=["a", "a", "b"], count=[4, 6, 1])
        >>> density = CollapsedDensity(statistics_of(counts), ModelConfig())
        >>> density.names, density(np.zeros((2, 3))).round(4).tolist()
        (('mu', 'alpha', 'phi'), [-13.4745, -13.4745])
    """

    statistics: SufficientStatistics
    config: ModelConfig
    cores: int | None = None
    tick: Callable[[], None] = lambda: None

    @cached_property
    def priors(self) -> dict[str, Hyperprior]:
        """Priors of the coordinates, in their order."""
        return self.config.hyperpriors()

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters the coordinates belong to."""
        return tuple(self.priors)

    @cached_property
    def terms(self) -> LikelihoodTerms:
        """The data, gathered."""
        return likelihood_terms(self.statistics)

    @cached_property
    def _gathered(self) -> tuple[list[WeightedTable], list[tuple[Windows, np.ndarray]]]:
        """Tables of entities with several exposures, and the rows that are in none, with their weights."""
        tables: list[WeightedTable] = []
        rows: list[tuple[Windows, np.ndarray]] = []
        for windows, weight in zip(self.terms.rows, self.terms.weight, strict=True):
            rest = np.arange(len(weight))
            if windows.total.shape[1] > 1:
                more, rest = weighted_tables(windows, weight)
                tables += more
            if len(rest):
                some = Windows(*(part[rest] for part in (windows.exposure, windows.total, windows.number)))
                rows.append((some, weight[rest]))
        return tables, rows

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Log density at points of shape (n, n_coordinates), shape (n,); -inf where there is no mass to speak of."""
        values = self.natural(points)
        log_density = np.zeros(len(points))
        usable = np.isfinite(points).all(1)
        for name, value in values.items():
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                usable &= np.abs(np.log(value)) < FARTHEST
                log_density += self.priors[name].log_density(value) + self._log_jacobian(name, value)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            population = to_population(_with_mu(values), self.config.parameterization)
            usable &= np.isfinite(log_density) & (population.shape < LARGEST_SHAPE) & (population.shape > 0)
        population = Population(
            population.shape[usable], population.rate[usable], population.inverse_concentration[usable]
        )
        log_density[usable] += self.log_likelihood(population)
        log_density[~usable] = -np.inf
        return log_density

    def natural(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """The parameters at points of shape (..., n_coordinates), each of shape (...)."""
        found = {}
        for k, (name, prior) in enumerate(self.priors.items()):
            low, high = prior.support
            with np.errstate(over="ignore"):
                if np.isinf(high):
                    found[name] = np.exp(points[..., k])
                else:
                    found[name] = low + (high - low) / (1.0 + np.exp(-points[..., k]))
        return found

    def values(self, points: np.ndarray) -> dict[str, np.ndarray]:
        """As `natural`, with `mu` in place of `shape`: what a trace holds."""
        return _with_mu(self.natural(points))

    def point(self, values: Mapping[str, float | np.ndarray]) -> np.ndarray:
        """The coordinates of parameters: the inverse of `values`; of shape (..., n_coordinates)."""
        columns = []
        for name, prior in self.priors.items():
            low, high = prior.support
            derived = name == SHAPE and SHAPE not in values
            value = np.asarray(np.asarray(values[MU]) * values[ALPHA] if derived else values[name], float)
            if np.isinf(high):
                columns.append(np.log(value))
            else:
                inside = np.clip(value, low + 1e-3 * (high - low), high - 1e-3 * (high - low))
                columns.append(np.log((inside - low) / (high - inside)))
        return np.stack(columns, axis=-1)

    def _log_jacobian(self, name: str, value: np.ndarray) -> np.ndarray:
        low, high = self.priors[name].support
        return np.log(value) if np.isinf(high) else np.log((value - low) * (high - value) / (high - low))

    def log_likelihood(self, population: Population) -> np.ndarray:
        """Log probability of all counts given the population, shape (n_draws,), in nats."""
        terms = self.terms
        total = _histogram_part(terms, population.inverse_concentration) + terms.constant
        tables, others = self._gathered
        for draws, part in self._table_sums(population, tables):
            total[draws] += part
            self.tick()
        for rows, weight in others:
            for draws, part in self._row_sums(population, rows, weight):
                total[draws] += part
                self.tick()
        return total

    def _table_sums(self, population: Population, tables: list[WeightedTable]) -> Iterator[tuple[slice, np.ndarray]]:
        def work(block: Block) -> tuple[slice, np.ndarray]:
            some = population.part(block[1])
            return block[1], np.sum([table.log_likelihood(some) for table in tables[block[0]]], axis=0)

        return in_order(work, blocks(len(tables), len(population), _TABLES_TIMES_DRAWS), self.cores)

    def _row_sums(
        self, population: Population, rows: Windows, weight: np.ndarray
    ) -> Iterator[tuple[slice, np.ndarray]]:
        def work(block: Block) -> tuple[slice, np.ndarray]:
            cells = cells_of(population, rows, *block)
            each = row_log_likelihood(cells).reshape(len(weight[block[0]]), -1)
            return block[1], (each * weight[block[0], None]).sum(0)

        return in_order(work, blocks(len(weight), len(population), CELLS), self.cores)


def to_population(values: Mapping[str, np.ndarray], parameterization: str) -> Population:
    """The population that draws of `mu`, `alpha` and (unless Poisson) `phi` describe, all of one shape (n_draws,).

    Example:
        >>> to_population({"mu": np.array([3.0]), "alpha": np.array([2.0])}, "centered").shape.tolist()
        [6.0]
    """
    mu, alpha = (np.asarray(values[name], float) for name in (MU, ALPHA))
    inverse = 1.0 / np.asarray(values[PHI], float) if PHI in values else np.zeros_like(mu)
    if parameterization == "mean_scaled":
        return Population(alpha, alpha / mu, inverse)
    return Population(mu * alpha, alpha, inverse)


def likelihood_terms(statistics: SufficientStatistics) -> LikelihoodTerms:
    """Gather the data: entities that are alike, sums by octaves, the histogram of counts."""
    rows, weights = [], []
    for profile in alike_entities(statistics).profiles:
        windows, times = profile.windows, profile.times.astype(float)
        if windows.total.shape[1] == 1:
            windows, times = _by_octaves(windows, times)
        if windows.total.shape[1] > 0:
            rows.append(windows)
            weights.append(times)
    small = np.arange(SMALL_COUNTS)
    exceeding = np.array([statistics.times[statistics.count > i].sum() for i in small])
    far = statistics.count >= SMALL_COUNTS
    large, large_weight = octave_nodes(statistics.count[far], statistics.times[far])
    some = np.maximum(statistics.total, 1.0)
    constant = (statistics.total * (np.log(some / statistics.windows) - 1.0)).sum()
    constant -= (statistics.times * gammaln(statistics.count + 1.0)).sum()
    return LikelihoodTerms(tuple(rows), tuple(weights), exceeding, large, large_weight, float(constant))


def row_log_likelihood(cells: Cells) -> np.ndarray:
    """Log P(S) of each cell, less R(S, n c) and what depends on the data alone (see `likelihood_terms`), shape (n,)."""
    log_peak, log_mass = log_peak_and_integral(cells)
    found = log_peak + log_mass
    for e in range(len(cells.total)):
        number = np.maximum(cells.number[e], 1.0)
        found -= spread_loss(cells.total[e], cells.inverse / number)
    return np.asarray(found)


def _histogram_part(terms: LikelihoodTerms, inverse: np.ndarray) -> np.ndarray:
    """Sum over the histogram of R(y, c), shape (n_draws,)."""
    i = np.arange(1.0, SMALL_COUNTS)
    total = np.zeros(len(inverse))
    inverse = np.where(inverse < 1e-150, 0.0, inverse)  # whose square is zero, too
    for draws in range(0, len(inverse), 256):
        here = slice(draws, draws + 256)
        some = inverse[here, None]
        total[here] = (np.log1p(i * some) * terms.exceeding[1:]).sum(1)
        if len(terms.large):
            # R(y, c) = R(32, c) + R(y - 32, c + 32) + (y - 32) log(1 + 32/c)
            more = terms.large - SMALL_COUNTS
            with np.errstate(divide="ignore"):
                concentration = 1.0 / some + SMALL_COUNTS
            shifted = some / (1.0 + SMALL_COUNTS * some)
            rising = spread_loss(more, shifted) - 0.5 * np.log1p(more * shifted)
            rising += stirling_error(more + concentration) - stirling_error(concentration)
            rising += more * np.log1p(SMALL_COUNTS * some)
            total[here] += (rising * terms.large_weight).sum(1)
    return total


def _by_octaves(windows: Windows, times: np.ndarray) -> tuple[Windows, np.ndarray]:
    """Rows of one exposure each, those that differ in their sum alone as few points."""
    exposure, total, number = windows.exposure[:, 0], windows.total[:, 0], windows.number[:, 0]
    order = np.lexsort((total, number, exposure))
    exposure, total, number, times = exposure[order], total[order], number[order], times[order]
    starts = np.flatnonzero(np.r_[True, (exposure[1:] != exposure[:-1]) | (number[1:] != number[:-1])])
    columns: list[tuple[np.ndarray, ...]] = []
    for start, end in zip(starts, np.r_[starts[1:], len(total)], strict=True):
        points, weights = octave_nodes(total[start:end], times[start:end])
        columns.append((np.full(len(points), exposure[start]), points, np.full(len(points), number[start]), weights))
    exposure, total, number, times = (np.concatenate(part) for part in zip(*columns, strict=True))
    return Windows(exposure[:, None], total[:, None], number[:, None]), times


def _with_mu(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters with `mu` first, derived where the shape was sampled."""
    if SHAPE not in values:
        return dict(values)
    rest = {name: value for name, value in values.items() if name != SHAPE}
    return {MU: values[SHAPE] / values[ALPHA], **rest}
