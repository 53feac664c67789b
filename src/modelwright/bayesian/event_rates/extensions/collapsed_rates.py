"""Exact draws of the entities' rates given draws of the hyperparameters, by inverse distribution function.

The density of log theta is known at the points of the integrals (`collapsed_kernel`), equally spaced in t. Its integral
up to each of them is that of the interpolant which the trapezoid rule integrates exactly,

    F(t_j) = dt sum_k p(t_k) [1/2 + Si(pi (j - k))/pi],

and between two of them the polynomial of degree five that has F, its first and its second derivative at both: together
right to about 1e-5 of a probability. Poisson counts without zero inflation leave Gamma distributions.

Source: F. Stenger (1993), Numerical Methods Based on Sinc and Analytic Functions,
https://doi.org/10.1007/978-1-4612-2706-9 (indefinite integrals).
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import sici

from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.collapsed_kernel import (
    Anchors,
    Cells,
    Rule,
    log_slope,
    log_values,
    points_of,
)
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress

SMALLEST = 1e-300
"""Rates below this are written as this."""

MOST_AT_ONCE = 40_000_000
"""Rates that are held at once, draws times entities (320 MB)."""

_NUMBERS = 4_000_000
"""Draws times rows times points (or cells) that are computed at once."""

_ROUNDS = 8


def draw_rates(
    density: CollapsedExtended,
    points: np.ndarray,
    generator: np.random.Generator,
    *,
    progress: ProgressCallback = ignore_progress,
) -> np.ndarray:
    """One draw of every rate for every draw of the hyperparameters.

    Args:
        density: The model and its data.
        points: Draws of the hyperparameters in the model's coordinates, shape (n_draws, d).
        generator: Source of the draws.
        progress: Called with events of the stage "rates".

    Returns:
        theta, shape (n_draws, n_entities), float64.
    """
    found = np.empty((len(points), density.design.n_entities))
    for entities, theta in rates_in_parts(density, points, generator, progress=progress):
        found[:, entities] = theta
    return found


def rates_in_parts(
    density: CollapsedExtended,
    points: np.ndarray,
    generator: np.random.Generator,
    *,
    progress: ProgressCallback = ignore_progress,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same, some entities after others: which they are, (n,), and their rates, (n_draws, n).

    No more than `MOST_AT_ONCE` numbers are held, so that what is not kept need not fit.
    """
    most = max(1, MOST_AT_ONCE // len(points))
    pairs = zip(density.blocks, density.anchors, strict=True)
    parts = [(block, anchors, part) for block, anchors in pairs for part in range(len(block.index))]
    for done, (block, anchors, part) in enumerate(parts):
        everybody, row_of = _entities(density, block.index[part])
        rows, placed = jax.tree.map(lambda array, part=part: array[part], (block.rows.arrays, anchors))
        cells = rows[0].shape[1] + rows[4].shape[1]
        for first in range(0, len(everybody), most):
            entities, row = everybody[first : first + most], row_of[first : first + most]
            theta = np.empty((len(points), len(entities)))
            per_draw = max(1, len(rows[0]) * cells * block.rule.points, len(entities) * cells * 4)
            size = int(np.clip(_NUMBERS // per_draw, 1, len(points)))
            for begin in range(0, len(points), size):
                some = points[begin : begin + size]
                share = (first + len(entities) * begin / len(points)) / len(everybody)
                progress(ProgressEvent("rates", done + share, len(parts), "parts"))
                theta[begin : begin + size] = _draw(density, some, size, rows, placed, row, block.rule, generator)
            yield entities, np.maximum(theta, SMALLEST)
    progress(ProgressEvent("rates", len(parts), len(parts), "parts"))


def _entities(density: CollapsedExtended, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entities whose rows are in a part, and where in it."""
    place = np.full(len(density.entities.rows), -1)
    place[index[index >= 0]] = np.flatnonzero(index >= 0)
    row = place[density.entities.row_of]
    return np.flatnonzero(row >= 0), row[row >= 0]


def _draw(
    density: CollapsedExtended,
    points: np.ndarray,
    size: int,
    rows: tuple[Any, ...],
    anchors: Any,
    row: np.ndarray,
    rule: Rule,
    generator: np.random.Generator,
) -> np.ndarray:
    filled = np.concatenate([points, np.repeat(points[-1:], size - len(points), axis=0)])
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        population = jax.vmap(density.population)(jnp.asarray(filled))
        if density.has_closed_form:
            gammas = jax.jit(jax.vmap(functools.partial(_gamma, density), in_axes=(0, None)))
            slope, rate = (np.asarray(part)[: len(points)] for part in gammas(population, rows))
            return generator.standard_gamma(slope[:, row]) / rate[:, row]
        uniform = generator.random((size, len(row)))
        inverse = _compiled(density, rule)
        return np.asarray(inverse(population, rows, anchors, row, jnp.asarray(uniform)))[: len(points)]


def _gamma(density: CollapsedExtended, population: dict[str, Any], rows: tuple[Any, ...]) -> tuple[Any, Any]:
    _, cells = density.cells(population, rows)
    return cells.slope, cells.rate + (cells.weight * cells.factor).sum(1)


@functools.lru_cache(maxsize=16)
def _compiled(density: CollapsedExtended, rule: Rule) -> Any:
    def rates(population: dict[str, Any], rows: tuple[Any, ...], anchors: Anchors, row: Any, uniform: Any) -> Any:
        return quantiles(density.cells(population, rows)[1], anchors, rule, row, uniform)

    return jax.jit(jax.vmap(rates, in_axes=(0, None, None, None, 0)))


def quantiles(cells: Cells, anchors: Anchors, rule: Rule, row: Any, probability: Any) -> Any:
    """Quantiles of the rates of some entities, shape (n,), for JAX.

    Args:
        cells: The rows.
        anchors: Where their integrals' points lie.
        rule: How they are integrated.
        row: Row of each entity, shape (n,).
        probability: Of each entity, shape (n,), between 0 and 1.
    """
    points = points_of(cells, anchors, rule)
    log_weight, log_f = log_values(cells, points, by_parts=rule.by_parts)
    log_weight, log_f = jax.lax.optimization_barrier((log_weight, log_f))
    top = log_weight.max(1, keepdims=True)
    weight = jnp.exp(log_weight - top)
    weight = jax.lax.optimization_barrier(weight)
    reached = weight @ _sinc_integrals(rule.points).T
    first = weight
    if rule.by_parts:  # slope times integral of f up to x = f(x) + integral of -e^(slope y) G'(y)
        reached += jnp.exp(log_f - top)
        first = jnp.exp(log_f - top) * cells.slope[:, None] * points.speed * points.step[:, None]
    wanted = probability * weight.sum(1)[row]
    here = jnp.clip((reached[row] <= wanted[:, None]).sum(1) - 1, 0, rule.points - 2)
    both = jnp.stack([here, here + 1], axis=1)
    of_entity = Cells(
        *(part[row] for part in (cells.slope, cells.rate, cells.factor, cells.weight)),
        None if cells.silent is None else cells.silent_factor[row],
        None if cells.silent is None else cells.silent[row],
        cells.inverse,
        cells.log_odds,
    )

    def at(table: Any) -> Any:
        return table[row[:, None], both] if table.shape[1] > 1 else table[row]

    x, speed, value, slope = points.base[row][:, None] + at(points.offset), at(points.speed), at(reached), at(first)
    bend = (
        slope
        * points.step[row][:, None]
        * (log_slope(of_entity, x) * speed + (points.spread[row][:, None] - speed) / speed)
    )
    part = _solve(value, slope, bend, wanted)
    t = points.first[row] + (here + part) * points.step[row]
    pulled = points.kappa[row] * (1.0 - jnp.exp(-t)) if rule.stretched else 0.0
    inside = points.base[row] + points.spread[row] * (t + pulled)
    lowest = jnp.maximum(value[:, 0], 1e-300)
    before = x[:, 0] + jnp.log(jnp.maximum(wanted, 1e-300) / lowest) / of_entity.slope
    return jnp.exp(jnp.where((here == 0) & (wanted < value[:, 0]), before, inside))


def _solve(value: Any, slope: Any, bend: Any, wanted: Any) -> Any:
    """Where between two points, from 0 to 1, a polynomial of degree five reaches `wanted`, shape (n,)."""
    rest = value[:, 1] - value[:, 0] - slope[:, 0] - 0.5 * bend[:, 0]
    of_slope, of_bend = slope[:, 1] - slope[:, 0] - bend[:, 0], bend[:, 1] - bend[:, 0]
    cubic = 10.0 * rest - 4.0 * of_slope + 0.5 * of_bend
    quartic = -15.0 * rest + 7.0 * of_slope - of_bend
    quintic = 6.0 * rest - 3.0 * of_slope + 0.5 * of_bend
    missing = wanted - value[:, 0]

    def improve(_: int, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        x, low, high = state
        there = x * (slope[:, 0] + x * (0.5 * bend[:, 0] + x * (cubic + x * (quartic + x * quintic))))
        steep = slope[:, 0] + x * (bend[:, 0] + x * (3.0 * cubic + x * (4.0 * quartic + x * 5.0 * quintic)))
        low, high = jnp.where(there < missing, x, low), jnp.where(there < missing, high, x)
        new = x + (missing - there) / steep
        return jnp.where((new > low) & (new < high), new, 0.5 * (low + high)), low, high

    step = jnp.maximum(value[:, 1] - value[:, 0], 1e-300)
    x = jnp.clip(missing / step, 0.0, 1.0)
    return jax.lax.fori_loop(0, _ROUNDS, improve, (x, jnp.zeros_like(x), jnp.ones_like(x)))[0]


@functools.lru_cache(maxsize=32)
def _sinc_integrals(points: int) -> np.ndarray:
    """1/2 + Si(pi (j - k))/pi, shape (points, points)."""
    apart = np.subtract.outer(np.arange(points), np.arange(points)).astype(float)
    return np.asarray(0.5 + sici(np.pi * apart)[0] / np.pi)
