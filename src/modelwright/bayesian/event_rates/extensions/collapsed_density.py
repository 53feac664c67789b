"""The posterior density of an extended model with every rate integrated out, its gradient and its curvature.

    log p(h | y) = log p(h) + sum over rows of times * log integral + S log factor of every kind + histogram of counts

over the hyperparameters h in the coordinates of `collapsed_coordinates`. What remains to be sampled is a handful of
numbers whatever the number of entities. The likelihood's constants and the priors' are all there, so that the integral
of the density's exponential is the evidence.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import Coordinates
from modelwright.bayesian.event_rates.extensions.collapsed_kernel import (
    Cells,
    Rule,
    closed_form,
    log_integral,
    points_needed,
)
from modelwright.bayesian.event_rates.extensions.collapsed_rows import EntityRows, Rows, by_length, entity_rows
from modelwright.bayesian.event_rates.hyperpriors_jax import jax_log_density
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE
from modelwright.bayesian.event_rates.numpyro_model import _log_gamma_of_large
from modelwright.bayesian.event_rates.observations import CompressedCounts

SMALL_COUNTS = 32
"""Below this the terms of distinct counts are sums of logarithms, which keep their digits for any concentration."""

NUMBERS_AT_ONCE = 3_000_000
"""Rows times points times cells that are computed at once: what the gradient holds in memory is a few times that."""

POINTS = (24, 28, 32, 40, 48, 64, 96, 128, 192, 256)
"""Numbers of points that rows may have; each is compiled once."""


@dataclass(frozen=True, eq=False)
class Block:
    """Rows that are integrated by one rule, laid out in equal parts.

    Args:
        rows: Each array of shape (parts, rows, ...).
        rule: The rule.
        index: Which row of the entities each is, shape (parts, rows); -1 for those that only fill a part.
    """

    rows: Rows
    rule: Rule
    index: np.ndarray


class CollapsedExtended:
    """Log posterior density of an extended model's hyperparameters.

    Args:
        coordinates: The model and its coordinates.
        finer: Points per integral, as a multiple of what the spacing asks for.

    Example:
        >>> from modelwright.bayesian.event_rates.config import ModelConfig
        >>> from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
        >>> from modelwright.bayesian.event_rates.extensions.design import design_of
        >>> from modelwright.bayesian.event_rates.extensions.settings import Extensions
        >>> from modelwright.data.events import EventCounts
        >>> data = EventCounts.from_arrays(entity=["a", "a", "b"], count=[4, 0, 1])
        >>> inflated = Extensions.create(chosen="zero_inflation")
        >>> density = CollapsedExtended(coordinates_of(design_of(data, inflated), ModelConfig(), inflated))
        >>> density(np.zeros((1, 4))).round(4).tolist()
        [-14.5439]
    """

    def __init__(self, coordinates: Coordinates, *, finer: float = 1.0) -> None:
        self.coordinates = coordinates
        self.design = coordinates.design
        self.zero_inflated = coordinates.extensions.has(names.ZERO_INFLATION)
        self.poisson = coordinates.config.likelihood == "poisson"
        self.entities: EntityRows = entity_rows(self.design, zero_inflated=self.zero_inflated)
        start, _ = coordinates.start()
        self.blocks = self._blocks(start, finer)

    @property
    def has_closed_form(self) -> bool:
        """Whether the integrals need no points: Poisson counts without zero inflation."""
        return self.poisson and not self.zero_inflated

    @cached_property
    def numbers(self) -> int:
        """Rows times points times cells: what one evaluation costs, some nanoseconds each."""
        sizes = [block.rows.kind.size * (1 if self.has_closed_form else block.rule.points) for block in self.blocks]
        return int(sum(sizes))

    def log_density(self, point: Any) -> Any:
        """Log density at one point (d,), for JAX."""
        return self.log_prior(point) + self.log_likelihood(point)

    def log_prior(self, point: Any) -> Any:
        """Log density of the prior in these coordinates, their Jacobian included; for JAX."""
        at = self.coordinates
        values = at.parameters(point, jnp)
        total = 0.0
        for name, place in at.places.items():
            match name:
                case names.BETA_RAW | names.GAMMA_RAW:
                    total += _log_normal(values[name], at.extensions.coefficient_prior_sd)
                case names.DRIFT_RAW:
                    total += _log_normal(values[name], 1.0)
                    total -= at.centring.sum() * point[at.places[names.DRIFT_SCALE]][0]
                case names.PSI:  # Beta(2, 1): density 2 psi
                    odds = point[place][0]
                    total += jnp.log(2.0) + 2.0 * jax.nn.log_sigmoid(odds) + jax.nn.log_sigmoid(-odds)
                case names.DRIFT_SCALE:
                    scale = at.extensions.drift_prior_sd
                    total += jnp.log(2.0) + _log_normal(values[name], scale) + point[place][0]
                case _:
                    total += jax_log_density(at.priors[name], values[name]) + self._log_jacobian(name, values[name])
        return total

    def log_likelihood(self, point: Any) -> Any:
        """Log probability of all counts with the rates integrated out, for JAX."""
        population = self.population(point)
        total = self.count_terms(population)
        for block in self.blocks:
            per_part = jax.checkpoint(lambda rows, rule=block.rule: self._sum(population, rows, rule))
            if block.rows.times.shape[0] == 1:
                total += per_part(jax.tree.map(lambda array: array[0], as_tuple(block.rows)))
            else:
                total += jax.lax.map(per_part, as_tuple(block.rows)).sum()
        return total

    def population(self, point: Any) -> dict[str, Any]:
        """What the integrals need of the hyperparameters: shape, rate, inverse, log_odds, beta and log_factor."""
        at, design = self.coordinates, self.design
        values = at.parameters(point, jnp)
        alpha = values[ALPHA]
        if at.config.parameterization == "mean_scaled":
            shape, rate = alpha, alpha / values[MU]
        else:
            shape, rate = (values[SHAPE] if SHAPE in values else values[MU] * alpha), alpha
        kinds = self.entities.kinds
        log_factor = jnp.asarray(kinds.log_exposure)
        if design.window_level is not None:
            log_factor += kinds.columns @ (design.window_level.contrasts @ values[names.GAMMA_RAW])
        if design.drift is not None:
            drift = values[names.DRIFT_SCALE] * (design.drift.basis @ values[names.DRIFT_RAW])
            log_factor += drift[kinds.level]
        return {
            "shape": shape,
            "rate": rate,
            "inverse": None if self.poisson else 1.0 / values[PHI],
            "log_odds": point[at.places[names.PSI]][0] if self.zero_inflated else None,
            "beta": None if design.entity_level is None else design.entity_level.contrasts @ values[names.BETA_RAW],
            "log_factor": log_factor,
        }

    def count_terms(self, population: dict[str, Any]) -> Any:
        """What of the likelihood no rate enters: S log k, the terms of the distinct counts, psi of eventful windows."""
        counts = self.design.counts
        total = counts.constant + jnp.sum(self.entities.kinds.total * population["log_factor"])
        if not self.poisson:
            total += log_rising(counts, population["inverse"])
        if self.zero_inflated:
            n_silent = float(self.design.cells.silent.sum())
            eventful = self.design.n_obs - n_silent
            # of the silent ones the kernel has log(1 - psi + psi exp(-r)) - log(1 - psi) + log(1 - psi)
            total += eventful * jax.nn.log_sigmoid(population["log_odds"])
        return total

    def cells(self, population: dict[str, Any], rows: tuple[Any, ...]) -> tuple[Any, Cells]:
        """The kernel's input for some rows, and how many entities each stands for."""
        kind, windows, silent, total, columns, times = rows
        shape, inverse = population["shape"], population["inverse"]
        rate = population["rate"] * jnp.ones(kind.shape[0])
        if columns is not None:
            rate = rate * jnp.exp(-(columns @ population["beta"]))
        active = windows - silent
        weight = active if inverse is None else total * inverse + active
        factor = jnp.exp(population["log_factor"][kind])
        log_odds = population["log_odds"]
        without = silent if log_odds is not None else None
        return times, Cells(shape + total.sum(1), rate, factor, weight, without, inverse, log_odds)

    def _sum(self, population: dict[str, Any], rows: tuple[Any, ...], rule: Rule) -> Any:
        times, cells = self.cells(population, rows)
        if self.has_closed_form:
            drag = (cells.weight * cells.factor).sum(1)
            return (times * closed_form(population["shape"], cells.rate, cells.slope, drag)).sum()
        return (times * log_integral(population["shape"], cells, rule)).sum()

    def _log_jacobian(self, name: str, value: Any) -> Any:
        low, high = self.coordinates.priors[name].support
        return jnp.log(value) if np.isinf(high) else jnp.log((value - low) * (high - value) / (high - low))

    def _blocks(self, point: np.ndarray, finer: float) -> tuple[Block, ...]:
        rows = self.entities.rows
        eventless = rows.total.sum(1) == 0
        blocks: list[Block] = []
        for by_parts in (True, False):
            some = np.flatnonzero(eventless == by_parts) if not self.has_closed_form else np.arange(len(rows))
            if self.has_closed_form and by_parts:
                continue
            for group in by_length(rows, some):
                needed = self._needed(point, rows.part(group), by_parts=by_parts)
                for points, here in _by_points(np.ceil(needed * finer)):
                    blocks.append(_in_parts(rows, group[here], Rule(points, by_parts)))
        return tuple(blocks)

    def _needed(self, point: np.ndarray, rows: Rows, *, by_parts: bool) -> np.ndarray:
        if self.has_closed_form:
            return np.ones(len(rows))
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)

            def needed(point: Any, rows: tuple[Any, ...]) -> Any:
                return points_needed(self.cells(self.population(point), rows)[1], by_parts=by_parts)

            return np.asarray(jax.jit(needed)(jnp.asarray(point), as_tuple(rows)))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Log density at points (n, d), shape (n,); -inf where there is no mass to speak of."""
        usable = self.coordinates.usable(points)
        found = np.full(len(points), -np.inf)
        if usable.any():
            found[usable] = self._batched(points[usable])
        return np.where(np.isnan(found), -np.inf, found)

    def value_and_gradient(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Log density and its gradient (d,) at one point (d,)."""
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            value, gradient = self._compiled_gradient(jnp.asarray(point))
            return float(value), np.asarray(gradient)

    def _batched(self, points: np.ndarray) -> np.ndarray:
        size = self.batch
        found = []
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            for begin in range(0, len(points), size):
                part = points[begin : begin + size]
                filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
                found.append(np.asarray(self._compiled(jnp.asarray(filled)))[: len(part)])
        return np.concatenate(found)

    @cached_property
    def batch(self) -> int:
        """Points evaluated by one call."""
        return int(np.clip(NUMBERS_AT_ONCE // max(1, self.numbers), 1, 64))

    @cached_property
    def _compiled(self) -> Callable[[Any], Any]:
        return jax.jit(jax.vmap(self.log_density) if self.batch > 1 else lambda p: self.log_density(p[0])[None])

    @cached_property
    def _compiled_gradient(self) -> Callable[[Any], Any]:
        return jax.jit(jax.value_and_grad(self.log_density))


def log_rising(counts: CompressedCounts, inverse: Any) -> Any:
    """Sum over all counts y of log Gamma(y + phi) - log Gamma(phi) - y log phi, in nats; for JAX.

    Args:
        counts: How often each count occurs.
        inverse: 1/phi, a scalar.
    """
    small = np.arange(1.0, SMALL_COUNTS)
    exceeding = np.array([counts.times[counts.count > i].sum() for i in small])
    total = jnp.sum(exceeding * jnp.log1p(small * inverse))
    far = counts.count > SMALL_COUNTS
    if far.any():
        # from 32 on by Stirling's series, with the first 32 factors as above
        more, times = counts.count[far], counts.times[far]
        phi = 1.0 / inverse
        rising = _log_gamma_of_large(more + phi) - _log_gamma_of_large(SMALL_COUNTS + phi)
        total += jnp.sum(times * (rising - (more - SMALL_COUNTS) * jnp.log(phi)))
    return total


def _log_normal(x: Any, sd: float) -> Any:
    return jnp.sum(-0.5 * (x / sd) ** 2) - jnp.size(x) * (np.log(sd) + 0.5 * np.log(2.0 * np.pi))


def as_tuple(rows: Rows) -> tuple[Any, ...]:
    """The arrays of some rows, as `CollapsedExtended.cells` takes them."""
    return (rows.kind, rows.windows, rows.silent, rows.total, rows.columns, rows.times)


def _by_points(needed: np.ndarray) -> Sequence[tuple[int, np.ndarray]]:
    """Numbers of points with the positions of the rows that get them, few different ones."""
    ladder = np.array(POINTS)
    step = ladder[np.minimum(np.searchsorted(ladder, needed * 1.05), len(ladder) - 1)]
    found: list[tuple[int, np.ndarray]] = []
    left = np.arange(len(needed))
    while len(left):
        largest = int(step[left].max())
        here = step[left] > 0.6 * largest  # rows that would save less than that are not worth a compilation
        found.append((largest, left[here]))
        left = left[~here]
    return found


def _in_parts(everything: Rows, index: np.ndarray, rule: Rule) -> Block:
    """Some rows in as many equal parts as their size asks for."""
    rows = everything.part(index)
    parts = max(1, -(-len(rows) * rows.kind.shape[1] * rule.points // NUMBERS_AT_ONCE))
    size = -(-len(rows) // parts)
    filled = rows.padded(parts * size)
    arrays = (None if array is None else array.reshape(parts, size, *array.shape[1:]) for array in as_tuple(filled))
    index = np.r_[index, np.full(parts * size - len(index), -1)]
    return Block(Rows(*arrays), rule, index.reshape(parts, size))
