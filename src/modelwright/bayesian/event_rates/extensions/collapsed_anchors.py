"""Where the points of an extended model's integrals have to lie, at one place of its hyperparameters.

Computed with NumPy, once or twice in a sampling; `collapsed_kernel` says what the points are for and moves them along.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.extensions.collapsed_kernel import LARGEST_SD, Anchors, Cells, derivatives

MARGIN = 1.06
"""How much farther than needed the ends are, for parameters away from the place where they were found."""


@dataclass(frozen=True)
class Precision:
    """How fine the points are.

    Args:
        step: Spacing in t, in standard deviations (at most `LARGEST_SD` in log rate).
        drop: Nats below the largest value at which the points may end.
    """

    step: float
    drop: float


EXACT = Precision(step=0.62, drop=25.0)
"""Relative errors of integrals below 1e-10."""

TO_DRAW = Precision(step=0.62, drop=18.0)
"""Errors of distribution functions below 1e-5."""

TO_SAMPLE = Precision(step=0.85, drop=18.0)
"""Relative errors below 2e-7 at half the points: ample where integrals are added up and exponentiated."""

_KNEE = 0.03
"""The left tail is exponential where the other terms of log f are below this."""

_SHORTEST = 9.0
_BEYOND_KNEE = 6.0
_MOST_ITERATIONS = 100


def anchors_of(cells: Cells, precision: Precision, *, by_parts: bool) -> Anchors:
    """Where and how wide f is.

    Args:
        cells: The rows, NumPy arrays.
        precision: How far out the ends are.
        by_parts: Whether the integral is taken by parts.
    """
    slope = cells.slope + (1.0 if by_parts else 0.0)
    factor, weight = cells.all_active(np)
    at = (slope, cells.rate)
    mode, sd = _mode(*at, factor, weight, cells.inverse)
    drag = cells.rate + (weight * factor).sum(1)
    drop = np.full_like(mode, precision.drop)
    if by_parts:  # e^(a x) (-G') exceeds e^((a + 1) x) G left of the mode by what -G'/e^x grows to
        drop += np.log(drag / _drag(mode, cells.rate, factor, weight, cells.inverse))
    left = _distance(-1.0, _fall_from(mode, *at, factor, weight, cells.inverse), drop)
    ratio, share = np.ones_like(mode), np.ones_like(mode)
    spread = np.minimum(sd, LARGEST_SD)
    if cells.log_odds is None:
        right = _distance(1.0, _fall_from(mode, *at, factor, weight, cells.inverse), np.full_like(mode, precision.drop))
    else:
        other, other_sd = _mode(*at, cells.factor, cells.weight, cells.inverse)
        fall = _fall_from(other, *at, cells.factor, cells.weight, cells.inverse)
        right = _distance(1.0, fall, np.full_like(mode, precision.drop))
        nearer = _distance(-1.0, fall, drop)
        alone = _none_active(cells, other, fall, drop)
        other_spread = np.minimum(other_sd, LARGEST_SD)
        ratio = np.where(alone, 1.0, np.minimum(other_spread / spread, 1.0))
        spread = np.where(alone, other_spread, np.minimum(spread, other_spread))
        mode, left, share = np.where(alone, other, mode), np.where(alone, nearer, left), np.where(alone, 0.0, 1.0)
        right = right + other - mode
    left, right = MARGIN * left / spread, MARGIN * right / spread
    uniform = np.clip((mode - np.log(_KNEE / drag)) / spread + _BEYOND_KNEE, _SHORTEST, 500.0)
    kappa = np.maximum(left - uniform, 0.0) / np.expm1(uniform)
    return Anchors(mode, ratio, np.minimum(left, uniform), right, kappa, share)


def points_needed(anchors: Anchors, precision: Precision) -> np.ndarray:
    """How many points each row needs, shape (rows,)."""
    return np.asarray(np.ceil((anchors.left + anchors.right) / precision.step) + 1.0)


def _drag(x: np.ndarray, rate: np.ndarray, factor: np.ndarray, weight: np.ndarray, inverse: float | None) -> np.ndarray:
    """-G'/(G e^x), shape (rows,)."""
    scale = 1.0 if inverse is None else 1.0 + np.exp(x)[:, None] * factor * inverse
    return np.asarray(rate + (weight * factor / scale).sum(1))


def _mode(
    slope: np.ndarray, rate: np.ndarray, factor: np.ndarray, weight: np.ndarray, inverse: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Where e^(slope x) G(x) is largest and its standard deviation there: Newton's method inside a bracket."""
    low, high = np.log(slope / (rate + (weight * factor).sum(1))), np.log(slope / rate)
    if inverse is None:
        return low, 1.0 / np.sqrt(slope)
    # with all factors equal the mode solves a quadratic: a start that most rows need one step from
    number = np.maximum(weight.sum(1), 1e-300)
    mean = (weight * factor).sum(1) / number
    a = rate * mean * inverse
    b = rate + mean * number - slope * mean * inverse
    root = np.sqrt(b * b + 4.0 * a * slope)
    with np.errstate(divide="ignore", invalid="ignore"):
        x = np.clip(np.log(np.where(b > 0, 2.0 * slope / (b + root), (root - b) / (2.0 * a))), low, high)
    for _ in range(_MOST_ITERATIONS):
        gradient, curvature = derivatives(x, slope, rate, factor, weight, inverse, np)
        low, high = np.where(gradient >= 0, x, low), np.where(gradient <= 0, x, high)
        new = x + gradient / curvature
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        moved, x = np.abs(new - x) * np.sqrt(curvature), new
        if moved.max() < 1e-3:
            break
    return x, 1.0 / np.sqrt(derivatives(x, slope, rate, factor, weight, inverse, np)[1])


@dataclass(frozen=True, eq=False)
class _Fall:
    """Log e^(slope x) G(x) less its value at the mode, or a little more: two cells in place of all.

    Log(1 + p g) is concave in p: cells between the smallest and the largest p rise at least like a mixture of the two.
    """

    slope: np.ndarray
    prior: np.ndarray
    number: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    share: np.ndarray
    inverse: float | None

    def rise(self, effective: np.ndarray, growth: np.ndarray | float) -> np.ndarray:
        """What a window of effective mean `effective` at the mode adds to -log G."""
        if self.inverse is None:
            return effective * growth
        return np.log1p(np.maximum(effective * self.inverse * growth, -1.0 + 1e-15)) / self.inverse

    def log(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The value at mode + u, and its derivative."""
        growth, scaled = np.expm1(u), 0.0 if self.inverse is None else self.inverse
        both = (1.0 - self.share) * self.rise(self.lowest, growth) + self.share * self.rise(self.highest, growth)
        steep = (1.0 - self.share) * self.lowest / (1.0 + self.lowest * scaled * growth)
        steep += self.share * self.highest / (1.0 + self.highest * scaled * growth)
        value = self.slope * u - self.prior * growth - self.number * both
        return value, self.slope - (self.prior + self.number * steep) * (1.0 + growth)


def _fall_from(
    mode: np.ndarray,
    slope: np.ndarray,
    rate: np.ndarray,
    factor: np.ndarray,
    weight: np.ndarray,
    inverse: float | None,
) -> _Fall:
    mean = np.exp(mode)[:, None] * factor
    effective = mean if inverse is None else mean / (1.0 + mean * inverse)
    there = weight > 0
    number = np.maximum(weight.sum(1), 1e-300)
    average = (weight * effective).sum(1) / number
    lowest = np.where(there, effective, np.inf).min(1)
    lowest = np.minimum(np.where(np.isfinite(lowest), lowest, 0.0), average)
    highest = np.maximum(np.where(there, effective, 0.0).max(1), average)
    share = np.where(highest > lowest, (average - lowest) / np.maximum(highest - lowest, 1e-300), 0.0)
    number = np.where(there.any(1), number, 0.0)
    return _Fall(slope, rate * np.exp(mode), number, lowest, highest, share, inverse)


def _none_active(cells: Cells, mode: np.ndarray, fall: _Fall, drop: np.ndarray) -> np.ndarray:
    """Whether silent windows were surely not active wherever f is not negligible, shape (rows,).

    Right of x* the probability that any was is below e^-32, so that f is what it would be without them; left of it
    they raise f by a factor of (1 + odds)^n0 at most.
    """
    needed = np.maximum(cells.log_odds + 32.0 + np.log(np.maximum(cells.silent, 1.0)), 1e-3)
    if cells.inverse is None:
        log_mean = np.log(needed)
    else:
        scaled = needed * cells.inverse
        log_mean = np.where(scaled > 30.0, scaled, np.log(np.expm1(np.minimum(scaled, 30.0))))
        log_mean = log_mean - np.log(cells.inverse)
    farthest = np.where(cells.silent > 0, log_mean - np.log(cells.silent_factor), -np.inf).max(1)
    at = np.clip(farthest - mode, -700.0, 0.0)
    raised = np.logaddexp(0.0, cells.log_odds) * cells.silent.sum(1)
    return np.asarray((farthest < mode) & (fall.log(at)[0] < -drop - raised))


def _distance(sign: float, fall: _Fall, drop: np.ndarray) -> np.ndarray:
    """How far from the mode log f has fallen by `drop`, or a little farther, shape (rows,): Newton from outside."""
    if sign < 0:  # as far out as the asymptote of the tail says
        both = (1.0 - fall.share) * fall.rise(fall.lowest, -1.0) + fall.share * fall.rise(fall.highest, -1.0)
        distance = (drop + fall.prior - fall.number * both) / fall.slope
    else:  # where the prior alone has fallen that far
        distance = np.log1p(drop / fall.prior)
        for _ in range(3):
            distance = np.log1p(drop / fall.prior + distance)
        distance = distance + 0.1
    for _ in range(_MOST_ITERATIONS):
        log_f, steepness = fall.log(sign * distance)
        new = distance + np.minimum(log_f + drop, 0.0) / np.abs(steepness)
        moved, distance = (distance - new) / distance, new
        if moved.max() < 0.02:
            break
    return np.asarray(distance)
