"""The modes of an extended model's density with every rate integrated out: the explanations that the data admit.

One climb begins at the start of the chains. With few windows per entity, rates that differ and counts that scatter
explain the same data, and with zero inflation so do windows that are switched off: modes many standard deviations
apart, of which one climb sees one. Where others may be is asked of the base model, whose density costs next to nothing:
it is tabulated over alpha and phi for the counts of some of the entities, with no effect of any extension, and its
other peaks are climbed from as well.

Each mode has its own anchor: integrals whose points were placed for one explanation are not right for another.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from modelwright.bayesian.event_rates.collapsed_density import CollapsedDensity
from modelwright.bayesian.event_rates.collapsed_posterior import other_starts
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.design import Design
from modelwright.bayesian.event_rates.extensions.start import extended_start
from modelwright.bayesian.event_rates.observations import Observations, compress
from modelwright.bayesian.event_rates.statistics import SufficientStatistics
from modelwright.bayesian.inference.laplace import Modes
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress

_WIDEST = 3.0
"""Largest standard deviation that the normal approximation gives a direction, in rough ones of the start."""

_STEPS_TO_MODE = 50
_WORTH_COMPILING = 400_000_000
"""Rows times points times cells of all evaluations that differences take, from which gradients are compiled."""

_TABULATED = 2_000
"""Entities whose counts the base model's table is of."""

_WORTH_A_CLIMB, _WORTH_KEEPING = 60.0, 15.0
"""Nats below the best mode from which a start is not followed, and from which a mode's mass does not count."""

_ROUNDS, _SETTLED = 3, 0.1
"""Climbs with the points placed anew in between, until that changes the density by less than so many nats."""

_HARDLY_EVER_OFF = 0.98
"""psi where zero inflation is to explain next to nothing."""


@dataclass(frozen=True, eq=False)
class Mode:
    """One mode.

    Args:
        point: Where, shape (d,).
        factor: L of the covariance L L' of the normal approximation there, shape (d, d).
        log_mass: Log of the integral of that approximation.
        density: The density, its points placed for this mode.
    """

    point: np.ndarray
    factor: np.ndarray
    log_mass: float
    density: CollapsedExtended

    def distance(self, points: np.ndarray) -> np.ndarray:
        """Squared distance of points (n, d) in standard deviations, shape (n,)."""
        return np.asarray((np.linalg.solve(self.factor, (points - self.point).T) ** 2).sum(0))


def modes_of(density: CollapsedExtended, progress: ProgressCallback = ignore_progress) -> tuple[Mode, ...]:
    """The modes that were found and matter, the one of largest mass first.

    Example:
        >>> from modelwright.bayesian.event_rates.config import ModelConfig
        >>> from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
        >>> from modelwright.bayesian.event_rates.extensions.design import design_of
        >>> from modelwright.bayesian.event_rates.extensions.settings import Extensions
        >>> from modelwright.data.datasets import pump_failures
        >>> inflated, config = Extensions.create(chosen="zero_inflation"), ModelConfig(likelihood="poisson")
        >>> density = CollapsedExtended(coordinates_of(design_of(pump_failures(), inflated), config, inflated))
        >>> len(modes_of(density))
        1
    """
    found = [_mode_from(density, density.coordinates.start()[0], progress)]
    for start in _other_starts(found[0]):
        here = density.anchored_at(start)
        best = max(float(mode.density(mode.point[None])[0]) for mode in found)
        if not float(here(start[None])[0]) > best - _WORTH_A_CLIMB:
            continue
        mode = _mode_from(here, start, progress)
        if all(float(known.distance(mode.point[None])[0]) > 1.0 for known in found):
            found.append(mode)
    found.sort(key=lambda mode: -mode.log_mass)
    return tuple(mode for mode in found if mode.log_mass > found[0].log_mass - _WORTH_KEEPING)


def nearest_mode(modes: Sequence[Mode], points: np.ndarray) -> np.ndarray:
    """Which mode each of the points (n, d) is nearest to, shape (n,)."""
    return np.argmin([mode.distance(points) for mode in modes], axis=0)


def density_by_modes(modes: Sequence[Mode], points: np.ndarray) -> np.ndarray:
    """Log density at points (n, d), each by the anchor of the mode it is nearest to, shape (n,)."""
    if len(modes) == 1:
        return modes[0].density(points)
    nearest = nearest_mode(modes, points)
    found = np.empty(len(points))
    for k, mode in enumerate(modes):
        here = nearest == k
        if here.any():
            found[here] = mode.density(points[here])
    return found


def standardised(modes: Sequence[Mode]) -> Modes:
    """The modes in coordinates in which the first is at zero and its covariance is one."""
    first = modes[0]
    factors = [np.linalg.solve(first.factor, mode.factor) for mode in modes]
    return Modes(
        np.stack([np.linalg.solve(first.factor, mode.point - first.point) for mode in modes]),
        np.stack([factor @ factor.T for factor in factors]),
        np.array([mode.log_mass for mode in modes]),
    )


def _mode_from(density: CollapsedExtended, start: np.ndarray, progress: ProgressCallback) -> Mode:
    """Climb, place the integrals' points there, and again where that has changed much."""
    point = start
    width: np.ndarray | None = None
    for _ in range(_ROUNDS):
        point, learnt = _climb(density, point, progress)
        width = learnt if width is None else width
        before = float(density(point[None])[0])
        density = density.anchored_at(point)
        if abs(float(density(point[None])[0]) - before) < _SETTLED:
            break
    assert width is not None
    factor = _curvature(density, point, width, progress)
    height = float(density(point[None])[0])
    mass = height + float(np.linalg.slogdet(factor)[1]) + 0.5 * len(point) * np.log(2.0 * np.pi)
    return Mode(point, factor, mass, density)


def _climb(density: CollapsedExtended, start: np.ndarray, progress: ProgressCallback) -> tuple[np.ndarray, np.ndarray]:
    """The top, by a quasi-Newton method, and steps that suit differences there, both of shape (d,)."""
    scale, done = density.coordinates.start()[1], 0

    def negative(z: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal done
        done += 1
        progress(ProgressEvent("mode", min(done / 100.0, 0.9), 1))
        point = start + scale * z
        if not density.coordinates.usable(point[None])[0]:
            return 1e300, np.zeros_like(z)
        value, gradient = _derivatives(density, point, 1e-3 * scale)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return 1e300, np.zeros_like(z)
        return -value, -gradient * scale

    found = optimize.minimize(negative, np.zeros(len(start)), jac=True, method="BFGS", options={"gtol": 1e-2})
    spread = np.sqrt(np.clip(np.diagonal(found.hess_inv), 1e-4, 25.0))
    return start + scale * found.x, 0.02 * scale * spread


def _curvature(
    density: CollapsedExtended, mode: np.ndarray, width: np.ndarray, progress: ProgressCallback
) -> np.ndarray:
    """L of the covariance L L' at a mode, by differences; directions without curvature get a wide spread."""
    scale = density.coordinates.start()[1]
    rows = []
    for move in np.diag(width):
        progress(ProgressEvent("mode", 0.9, 1))
        up, down = (_derivatives(density, point, 0.5 * width)[1] for point in (mode + move, mode - move))
        rows.append((up - down) / (2.0 * move.sum()))
    hessian = np.nan_to_num(np.stack(rows)) * np.outer(scale, scale)
    strength, axes = np.linalg.eigh(-0.5 * (hessian + hessian.T))
    spread = 1.0 / np.sqrt(np.maximum(np.abs(strength), 1.0 / _WIDEST**2))
    return np.asarray(scale[:, None] * axes * spread)


def _derivatives(density: CollapsedExtended, point: np.ndarray, width: np.ndarray) -> tuple[float, np.ndarray]:
    """Value and gradient: exact, or by differences where evaluating these takes less time than compiling the others."""
    d = len(point)
    if density.numbers * d * (_STEPS_TO_MODE + d) >= _WORTH_COMPILING:
        return density.value_and_gradient(point)
    moves = np.diag(width)
    values = density(np.concatenate([point[None], point + moves, point - moves]))
    return float(values[0]), (values[1 : d + 1] - values[d + 1 :]) / (2.0 * width)


def _other_starts(found: Mode) -> list[np.ndarray]:
    """Where else there may be modes, in the model's coordinates."""
    at, design = found.density.coordinates, found.density.design
    guess = extended_start(design, at.config, at.extensions).values
    inflated = at.extensions.has(names.ZERO_INFLATION)
    windows = _some_windows(design)
    tables = [(windows, _HARDLY_EVER_OFF)]
    if inflated:
        tables.append((windows[design.observations.y[windows] > 0], float(guess[names.PSI])))
    starts = []
    for number, (rows, psi) in enumerate(tables):
        if len(rows) == 0:
            continue
        base = CollapsedDensity(_statistics(design, rows), at.config)
        peaks = base.natural(other_starts(base, guess))
        points = np.stack(
            [
                at.point({**guess, **{name: value[k] for name, value in peaks.items()}, names.PSI: np.asarray(psi)})
                for k in range(len(next(iter(peaks.values()))))
            ]
        )
        if number == len(tables) - 1:  # the peak nearest to the mode that was found is that one's
            scalars = [at.places[name] for name in peaks]
            spread = np.sqrt((found.factor**2).sum(1))
            apart = np.concatenate([(points - found.point)[:, place] / spread[place] for place in scalars], axis=1)
            points = np.delete(points, np.argmin((apart**2).sum(1)), axis=0)
        starts.extend(points)
    return starts


def _some_windows(design: Design) -> np.ndarray:
    """Positions of the windows of evenly chosen entities, all of them where they are few."""
    n = design.n_entities
    chosen = np.zeros(n, dtype=bool)
    chosen[np.unique(np.linspace(0, n - 1, min(n, _TABULATED)).round().astype(int))] = True
    return np.flatnonzero(chosen[design.observations.entity_idx])


def _statistics(design: Design, rows: np.ndarray) -> SufficientStatistics:
    seen = design.observations
    which, entity = np.unique(seen.entity_idx[rows], return_inverse=True)
    counts = compress(Observations(seen.y[rows], entity, len(which), seen.exposure[rows]))
    return SufficientStatistics(
        entities=tuple(map(str, which)),
        entity=counts.entity,
        exposure=counts.exposure,
        windows=counts.windows,
        total=counts.total,
        count=counts.count,
        times=counts.times,
    )
