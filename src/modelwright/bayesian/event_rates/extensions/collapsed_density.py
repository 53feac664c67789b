"""The posterior density of an extended model with every rate integrated out, its gradient and its curvature.

    log p(h | y) = log p(h) + sum over rows of times * log integral + S log factor of every kind + histogram of counts

over the hyperparameters h in the coordinates of `collapsed_coordinates`. What remains to be sampled is a handful of
numbers whatever the number of entities. The likelihood's constants and the priors' are all there, so that the integral
of the density's exponential is the evidence.
"""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.collapsed_anchors import EXACT, Precision, anchors_of, points_needed
from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import Coordinates
from modelwright.bayesian.event_rates.extensions.collapsed_kernel import (
    Anchors,
    Cells,
    Rule,
    closed_form,
    log_integral,
)
from modelwright.bayesian.event_rates.extensions.collapsed_rows import EntityRows, Rows, entity_rows
from modelwright.bayesian.event_rates.hyperpriors_jax import jax_log_density
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE
from modelwright.bayesian.event_rates.numpyro_model import _log_gamma_of_large
from modelwright.bayesian.event_rates.observations import CompressedCounts
from modelwright.bayesian.inference.blocks import blocks as parts_of
from modelwright.bayesian.inference.blocks import in_order

SMALL_COUNTS = 32
"""Below this the terms of distinct counts are sums of logarithms, which keep their digits for any concentration."""

NUMBERS_AT_ONCE = 3_000_000
"""Rows times points times cells that are computed at once: what the gradient holds in memory is a few times that."""

POINTS = (12, 14, 16, 18, 20, 24, 28, 32, 36, 40, 48, 56, 64, 80, 96, 128, 192, 256, 512, 1024)
"""Numbers of points that rows may have."""

WORTH_COMPILING = 60_000
"""Rows times points times cells that one more group has to save."""


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

    Where the integrals' points lie is found at one place of the hyperparameters, the anchor, and follows from there.

    Args:
        coordinates: The model and its coordinates.
        anchor: The place, shape (d,); the starting point of the chains when left out.
        precision: How fine the integrals' points are.
        cores: Threads; by default what the machine offers. The answer does not depend on it.

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
        [-12.9058]
    """

    def __init__(
        self,
        coordinates: Coordinates,
        anchor: np.ndarray | None = None,
        *,
        precision: Precision = EXACT,
        cores: int | None = None,
    ) -> None:
        self.coordinates = coordinates
        self.design = coordinates.design
        self.zero_inflated = coordinates.extensions.has(names.ZERO_INFLATION)
        self.poisson = coordinates.config.likelihood == "poisson"
        self.entities: EntityRows = entity_rows(self.design, zero_inflated=self.zero_inflated)
        self.anchor = coordinates.start()[0] if anchor is None else anchor
        self.precision = precision
        self.cores = cores
        self.blocks = self._blocks()
        self.anchors = self._anchors()

    def anchored_at(self, anchor: np.ndarray) -> "CollapsedExtended":
        """The same density with the points placed by another anchor; nothing is compiled anew unless they are more."""
        moved = copy(self)
        moved.anchor = anchor
        moved.anchors = moved._anchors()
        most = [0.0 if part is None else points_needed(part, self.precision).max() for part in moved.anchors]
        stretched = [part is not None and bool((part.kappa > 0).any()) for part in moved.anchors]
        fits = [
            need <= 1.1 * block.rule.points and (block.rule.stretched or not pulled)
            for need, pulled, block in zip(most, stretched, self.blocks, strict=True)
        ]
        if not all(fits):
            return CollapsedExtended(self.coordinates, anchor, precision=self.precision, cores=self.cores)
        return moved

    @property
    def has_closed_form(self) -> bool:
        """Whether the integrals need no points: Poisson counts without zero inflation."""
        return self.poisson and not self.zero_inflated

    @cached_property
    def numbers(self) -> int:
        """Rows times points times cells: what one evaluation costs, some nanoseconds each."""
        sizes = [
            (block.rows.kind.size + self.zero_inflated * block.rows.silent.size)
            * (1 if self.has_closed_form else block.rule.points)
            for block in self.blocks
        ]
        return int(sum(sizes))

    def log_density(self, point: Any, anchors: Any = None) -> Any:
        """Log density at one point (d,), for JAX."""
        return self.log_prior(point) + self.log_likelihood(point, anchors)

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
                    total += _log_normal(values[name], values[names.DRIFT_SCALE] ** self.design.centring)
                case names.PSI:  # Beta(2, 1): density 2 psi
                    odds = point[place][0]
                    total += jnp.log(2.0) + 2.0 * jax.nn.log_sigmoid(odds) + jax.nn.log_sigmoid(-odds)
                case names.DRIFT_SCALE:
                    scale = at.extensions.drift_prior_sd
                    total += jnp.log(2.0) + _log_normal(values[name], scale) + point[place][0]
                case _:
                    total += jax_log_density(at.priors[name], values[name]) + self._log_jacobian(name, values[name])
        return total

    def log_likelihood(self, point: Any, anchors: Any = None) -> Any:
        """Log probability of all counts with the rates integrated out, for JAX.

        Args:
            point: Coordinates, shape (d,).
            anchors: Where the integrals' points lie; the density's own when left out.
        """
        population = self.population(point)
        total = self.count_terms(population)
        for block, placed in zip(self.blocks, self.anchors if anchors is None else anchors, strict=True):
            total += self._over_parts(population, block, placed)
        return total

    def _over_parts(self, population: dict[str, Any], block: Block, anchors: Any) -> Any:
        @jax.checkpoint
        def of_part(part: tuple[Any, Any]) -> Any:
            rows, placed = part
            times, cells = self.cells(population, rows)
            if self.has_closed_form:
                drag = (cells.weight * cells.factor).sum(1)
                return (times * closed_form(population["shape"], cells.rate, cells.slope, drag)).sum()
            return (times * log_integral(population["shape"], cells, placed, block.rule)).sum()

        parts = (block.rows.arrays, anchors)
        if len(block.index) == 1:
            return of_part(jax.tree.map(lambda array: array[0], parts))
        return jax.lax.map(of_part, parts).sum()

    def population(self, point: Any, xp: Any = jnp) -> dict[str, Any]:
        """What the integrals need of the hyperparameters: shape, rate, inverse, log_odds, beta and log_factor."""
        at, design = self.coordinates, self.design
        values = at.parameters(point, xp)
        alpha = values[ALPHA]
        if at.config.parameterization == "mean_scaled":
            shape, rate = alpha, alpha / values[MU]
        else:
            shape, rate = (values[SHAPE] if SHAPE in values else values[MU] * alpha), alpha
        kinds = self.entities.kinds
        log_factor = xp.asarray(kinds.log_exposure)
        if design.window_level is not None:
            log_factor = log_factor + kinds.columns @ (design.window_level.contrasts @ values[names.GAMMA_RAW])
        if design.drift is not None:
            log_factor = log_factor + at.drift(values)[kinds.level]
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
            eventful = self.design.n_obs - float(self.design.cells.silent.sum())
            total += eventful * jax.nn.log_sigmoid(population["log_odds"])
        return total

    def cells(self, population: dict[str, Any], rows: tuple[Any, ...], xp: Any = jnp) -> tuple[Any, Cells]:
        """How many entities each of some rows stands for, and the kernel's input for them (`Rows.arrays`)."""
        kind, windows, total, silent_kind, silent, columns, times = rows
        shape, inverse = population["shape"], population["inverse"]
        rate = population["rate"] * xp.ones(kind.shape[0])
        if columns is not None:
            rate = rate * xp.exp(-(columns @ population["beta"]))
        factor = xp.exp(population["log_factor"])
        return times, Cells(
            slope=shape + total.sum(1),
            rate=rate,
            factor=factor[kind],
            weight=windows if inverse is None else total * inverse + windows,
            silent_factor=factor[silent_kind] if self.zero_inflated else None,
            silent=silent if self.zero_inflated else None,
            inverse=inverse,
            log_odds=population["log_odds"],
        )

    def _log_jacobian(self, name: str, value: Any) -> Any:
        low, high = self.coordinates.priors[name].support
        return jnp.log(value) if np.isinf(high) else jnp.log((value - low) * (high - value) / (high - low))

    def _blocks(self) -> tuple[Block, ...]:
        rows = self.entities.rows
        eventless = (rows.total.sum(1) == 0) & (not self.has_closed_form)
        blocks: list[Block] = []
        for by_parts in (True, False):
            some = np.flatnonzero(eventless == by_parts)
            if len(some):
                needed, stretched = np.ones(len(some)), np.zeros(len(some), dtype=bool)
                if not self.has_closed_form:
                    anchors = self._placed(rows.part(some), by_parts=by_parts)
                    needed, stretched = points_needed(anchors, self.precision), anchors.kappa > 0
                for points, here in groups_of_rows(rows.part(some), needed, stretched):
                    blocks.append(_in_parts(rows, some[here], Rule(points, by_parts, bool(stretched[here].any()))))
        return tuple(blocks)

    def _anchors(self) -> tuple[Any, ...]:
        if self.has_closed_form:
            return tuple(None for _ in self.blocks)
        found = []
        for block in self.blocks:
            flat = (None if array is None else array.reshape(-1, *array.shape[2:]) for array in block.rows.arrays)
            anchors = self._placed(Rows(*flat), by_parts=block.rule.by_parts)
            found.append(Anchors(*(np.asarray(part).reshape(block.index.shape) for part in anchors)))
        return tuple(found)

    def _placed(self, rows: Rows, *, by_parts: bool) -> Anchors:
        population = self.population(self.anchor, np)
        return anchors_of(self.cells(population, rows.arrays, np)[1], self.precision, by_parts=by_parts)

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
            value, gradient = self._compiled_gradient(jnp.asarray(point), self.anchors)
            return float(value), np.asarray(gradient)

    def _batched(self, points: np.ndarray) -> np.ndarray:
        size, compiled = self.batch, self._compiled

        def work(block: tuple[slice, slice]) -> np.ndarray:
            part = points[block[0]]
            filled = np.concatenate([part, np.repeat(part[-1:], size - len(part), axis=0)])
            with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature; the setting is of the thread)
                return np.asarray(compiled(jnp.asarray(filled), self.anchors))[: len(part)]

        return np.concatenate(list(in_order(work, parts_of(len(points), 1, size), self.cores)))

    @cached_property
    def batch(self) -> int:
        """Points evaluated by one call."""
        return int(np.clip(NUMBERS_AT_ONCE // max(1, self.numbers), 1, 64))

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        if self.batch == 1:
            return jax.jit(lambda points, anchors: self.log_density(points[0], anchors)[None])
        return jax.jit(jax.vmap(self.log_density, in_axes=(0, None)))

    @cached_property
    def _compiled_gradient(self) -> Callable[..., Any]:
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


def _log_normal(x: Any, sd: Any) -> Any:
    return jnp.sum(-0.5 * (x / sd) ** 2 - jnp.log(sd) - 0.5 * jnp.log(2.0 * jnp.pi))


def groups_of_rows(rows: Rows, needed: np.ndarray, stretched: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Numbers of points with the positions of the rows that get them.

    A group has the points, and the cells, of the row that needs most. Groups are split in two as long as that saves
    more than compiling one more of them costs.

    Args:
        rows: The rows.
        needed: Points that each needs, shape (n_rows,).
        stretched: Whether they are not equally spaced, which costs some more, shape (n_rows,).
    """
    ladder = np.array(POINTS)
    points = np.ones(len(rows)) if (needed == 1).all() else ladder[np.searchsorted(ladder[:-1], needed)]
    traits = np.stack([points, (rows.windows > 0).sum(1), (rows.silent > 0).sum(1), stretched])
    done: list[np.ndarray] = []
    waiting = [np.arange(len(rows))]
    while waiting:
        group = waiting.pop()
        halves = _best_split(group, traits)
        if halves is None:
            done.append(group)
        else:
            waiting.extend(halves)
    return [(int(points[group].max()), group) for group in done]


def _best_split(group: np.ndarray, traits: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    best, saved = None, float(WORTH_COMPILING)
    whole = _size(group, traits)
    for trait in traits:
        order = group[np.argsort(trait[group], kind="stable")]
        for at in np.unique(np.linspace(0, len(order), 17)[1:-1].astype(int)):
            if 0 < at < len(order):
                saves = whole - _size(order[:at], traits) - _size(order[at:], traits)
                if saves > saved:
                    best, saved = (order[:at], order[at:]), saves
    return best


def _size(group: np.ndarray, traits: np.ndarray) -> float:
    points, active, silent, stretched = traits[:, group].max(1)
    return float(len(group) * points * (2.0 + active + 3.0 * silent + 2.0 * stretched))


def _in_parts(everything: Rows, index: np.ndarray, rule: Rule) -> Block:
    """Some rows in as many equal parts as their size asks for."""
    rows = everything.part(index)
    parts = max(1, -(-len(rows) * (rows.kind.shape[1] + rows.silent.shape[1]) * rule.points // NUMBERS_AT_ONCE))
    size = -(-len(rows) // parts)
    filled = rows.padded(parts * size)
    arrays = (None if array is None else array.reshape(parts, size, *array.shape[1:]) for array in filled.arrays)
    index = np.r_[index, np.full(parts * size - len(index), -1)]
    return Block(Rows(*arrays), rule, index.reshape(parts, size))
