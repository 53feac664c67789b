"""One-dimensional integrals over the rates of an extended model, compiled by JAX, with exact gradients.

With every parameter but the entity's rate fixed its windows have, in x = log theta, the likelihood times prior

    f(x) = e^(a x) G(x),      G(x) = exp(-b e^x - sum_c v_c r_c(x)) prod_c z_c(x)^(n0_c),      a = shape + S
    r_c = phi log(1 + e^x k_c / phi),   v_c = S_c/phi + n_c,   z_c = 1 - psi + psi exp(-r_c)

over its cells c of factor k_c (b = alpha exp(-x_i beta); for Poisson counts r_c = e^x k_c). With zero inflation n_c
counts the windows with events and n0_c those without; otherwise z is absent. The trapezoid rule runs over

    x(t) = m + s (t + kappa (1 - e^-t)),

m the mode and s its standard deviation, at most 0.6: kappa > 0 pulls a long exponential left tail in, beyond the point
from which it is exponential. The ends are where f has fallen by e^-25. Zero inflation's factor lies between those of
psi exp(-r) and of 1: f is a mixture of functions that lie between the one where all silent windows were active and the
one where none was, and the points cover both of them and what is between. Where S = 0 the left tail may have any slope
down to nothing; there the same integral is taken by parts,

    integral of e^(a x) G(x) dx = (1/a) integral of e^(a x) (-G'(x)) dx,

whose integrand is positive and falls at least like e^x. Points do not depend on the parameters as far as derivatives
are concerned: the integral does not depend on where they are.

Source: L. N. Trefethen, J. A. C. Weideman (2014), https://doi.org/10.1137/130932132.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

DROP = 25.0
"""Nats below the largest value at which the points may end."""

STEP = 0.65
"""Spacing of the points in t, in standard deviations: the relative error is below 1e-10."""

LARGEST_SD = 0.6
"""Largest s: e^x itself needs steps of at most 0.4 in log rate."""

_KNEE = 0.03
"""The left tail is exponential where the other terms of log f are below this."""

_SHORTEST = 9.0
_BEYOND_KNEE = 6.0
_MOST_ITERATIONS = 60


class Cells(NamedTuple):
    """The cells of some rows, arrays of shape (rows, cells) unless said.

    Args:
        slope: a, shape (rows,).
        rate: b, shape (rows,).
        factor: k.
        weight: v.
        silent: n0; None without zero inflation.
        inverse: 1/phi, a scalar; None for Poisson counts.
        log_odds: Of psi, a scalar; None without zero inflation.
    """

    slope: Any
    rate: Any
    factor: Any
    weight: Any
    silent: Any
    inverse: Any
    log_odds: Any


class Points(NamedTuple):
    """Where f is computed; arrays of shape (rows,), or (rows, points) where said.

    Args:
        base: m.
        spread: s.
        kappa: Kappa.
        first: Where t begins.
        step: Spacing in t.
        offset: x - m, shape (rows, points).
        speed: dx/dt, same shape.
    """

    base: Any
    spread: Any
    kappa: Any
    first: Any
    step: Any
    offset: Any
    speed: Any


@dataclass(frozen=True)
class Rule:
    """How some rows are integrated.

    Args:
        points: Number of points.
        by_parts: Whether their sums of counts are zero.
    """

    points: int
    by_parts: bool


def closed_form(shape: Any, rate: Any, slope: Any, drag: Any) -> Any:
    """Log integral of Gamma(theta | shape, rate) theta^S exp(-drag theta), a Poisson likelihood: shape (rows,).

    Args:
        shape: Shape of the population's Gamma distribution, a scalar.
        rate: Its rate for each row, shape (rows,).
        slope: Shape plus the sum of counts.
        drag: Sum of windows times factors.
    """
    return gammaln(slope) - gammaln(shape) + shape * jnp.log(rate) - slope * jnp.log(rate + drag)


def log_integral(shape: Any, cells: Cells, rule: Rule) -> Any:
    """Log integral of Gamma(theta | shape, rate) times the likelihood over theta, shape (rows,), in nats.

    What of the likelihood does not depend on theta is left out: S_c log k_c, psi of the windows with events, and the
    terms of the distinct counts.
    """
    found, _ = log_values(cells, points_of(cells, rule), by_parts=rule.by_parts)
    total = jax.scipy.special.logsumexp(found, axis=1)
    total -= jnp.log(cells.slope) if rule.by_parts else 0.0
    return shape * jnp.log(cells.rate) - gammaln(shape) + total


def log_values(cells: Cells, points: Points, *, by_parts: bool) -> tuple[Any, Any]:
    """Log of the integrand times dx/dt dt at the points, and log f itself, both of shape (rows, points).

    The integrand is f, or by parts -e^(a x) G'.
    """
    mean = jnp.exp(points.base)[:, None] * cells.factor
    growth = jnp.expm1(points.offset)
    fall = cells.rate * jnp.exp(points.base)
    rises, share = _rises(mean, growth, cells.inverse)
    at_base = _at_zero(mean, cells.inverse)
    log_f = cells.slope[:, None] * (points.base[:, None] + points.offset) - fall[:, None] * (1.0 + growth)
    log_f -= (cells.weight * at_base).sum(1)[:, None] + (cells.weight[:, None, :] * rises).sum(2)
    active = None
    if cells.log_odds is not None:
        odds = cells.log_odds - (at_base[:, None, :] + rises)  # that a silent window was active
        log_f += (cells.silent[:, None, :] * (jax.nn.softplus(odds) - jax.nn.softplus(cells.log_odds))).sum(2)
        active = cells.silent[:, None, :] * jax.nn.sigmoid(odds)
    log_speed = jnp.log(points.speed * points.step[:, None])
    if not by_parts:
        return log_f + log_speed, log_f
    weight = cells.weight[:, None, :] if active is None else cells.weight[:, None, :] + active
    drop = fall[:, None] * (1.0 + growth) + (weight * share(growth)).sum(2)
    return log_f + jnp.log(drop) + log_speed, log_f


def log_slope(cells: Cells, x: Any) -> Any:
    """First derivative of log f in x, shape of x: (rows, any)."""
    mean = jnp.exp(x)[:, :, None] * cells.factor[:, None, :]
    inverse = 0.0 if cells.inverse is None else cells.inverse
    share = mean / (1.0 + mean * inverse)
    weight = cells.weight[:, None, :]
    if cells.log_odds is not None:
        odds = cells.log_odds - _at_zero(mean, cells.inverse)
        weight = weight + cells.silent[:, None, :] * jax.nn.sigmoid(odds)
    return cells.slope[:, None] - cells.rate[:, None] * jnp.exp(x) - (weight * share).sum(2)


def points_of(cells: Cells, rule: Rule) -> Points:
    """The points of a rule, constants as far as derivatives are concerned."""
    cells = jax.tree.map(jax.lax.stop_gradient, cells)
    base, spread, left, right, kappa = _extent(cells, by_parts=rule.by_parts)
    t = -left[:, None] + (left + right)[:, None] * jnp.linspace(0.0, 1.0, rule.points)
    pull = kappa[:, None] * jnp.exp(-t)
    offset = spread[:, None] * (t + kappa[:, None] - pull)
    step = (left + right) / (rule.points - 1)
    return Points(base, spread, kappa, -left, step, offset, spread[:, None] * (1.0 + pull))


def points_needed(cells: Cells, *, by_parts: bool) -> Any:
    """How many points each row needs for a spacing of `STEP`, shape (rows,)."""
    _, _, left, right, _ = _extent(cells, by_parts=by_parts)
    return jnp.ceil((left + right) / STEP) + 1.0


def _extent(cells: Cells, *, by_parts: bool) -> tuple[Any, Any, Any, Any, Any]:
    """M, s, and in t the distances to the left and right end, and kappa."""
    slope = cells.slope + (1.0 if by_parts else 0.0)
    all_active = cells.weight if cells.log_odds is None else cells.weight + cells.silent
    at = (slope, cells.rate, cells.factor)
    mode, sd = _mode(*at, all_active, cells.inverse)
    drag = cells.rate + (all_active * cells.factor).sum(1)
    drop = jnp.full_like(mode, DROP)
    if by_parts:  # e^(a x) (-G') exceeds e^((a + 1) x) G left of the mode by what -G'/e^x grows to
        drop += jnp.log(drag) - jnp.log(_drag(mode, cells.rate, cells.factor, all_active, cells.inverse))
    left = _distance(-1.0, _fall(mode, *at, all_active, cells.inverse), drop)
    if cells.log_odds is None:
        right = _distance(1.0, _fall(mode, *at, cells.weight, cells.inverse), jnp.full_like(mode, DROP))
    else:
        other, other_sd = _mode(*at, cells.weight, cells.inverse)
        fall = _fall(other, *at, cells.weight, cells.inverse)
        right = _distance(1.0, fall, jnp.full_like(mode, DROP))
        nearer = _distance(-1.0, fall, drop)
        alone = _none_active(cells, other, fall, drop)
        mode, left = jnp.where(alone, other, mode), jnp.where(alone, nearer, left)
        sd = jnp.where(alone, other_sd, jnp.minimum(sd, other_sd))
        right += other - mode
    spread = jnp.minimum(sd, LARGEST_SD)
    left, right = left / spread, right / spread
    uniform = jnp.clip((mode - jnp.log(_KNEE / drag)) / spread + _BEYOND_KNEE, _SHORTEST, 500.0)
    kappa = jnp.maximum(left - uniform, 0.0) / jnp.expm1(uniform)
    return mode, spread, jnp.minimum(left, uniform), right, kappa


def _drag(x: Any, rate: Any, factor: Any, weight: Any, inverse: Any) -> Any:
    """-G'/(G e^x), shape (rows,)."""
    scale = 1.0 if inverse is None else 1.0 + jnp.exp(x)[:, None] * factor * inverse
    return rate + (weight * factor / scale).sum(1)


def _mode(slope: Any, rate: Any, factor: Any, weight: Any, inverse: Any) -> tuple[Any, Any]:
    """Where e^(slope x) G(x) is largest and its standard deviation there: Newton's method inside a bracket."""
    low, high = jnp.log(slope / (rate + (weight * factor).sum(1))), jnp.log(slope / rate)
    if inverse is None:
        return low, 1.0 / jnp.sqrt(slope)

    def derivatives(x: Any) -> tuple[Any, Any]:
        mean = jnp.exp(x)[:, None] * factor
        scale = 1.0 + mean * inverse
        first = weight * mean / scale
        fall = rate * jnp.exp(x)
        return slope - fall - first.sum(1), fall + (first / scale).sum(1)

    def improve(state: tuple[Any, ...]) -> tuple[Any, ...]:
        number, x, low, high, _ = state
        gradient, curvature = derivatives(x)
        low, high = jnp.where(gradient >= 0, x, low), jnp.where(gradient <= 0, x, high)
        new = x + gradient / curvature
        new = jnp.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        moved = jnp.max(jnp.abs(new - x) * jnp.sqrt(curvature))
        return number + 1, new, low, high, moved

    # with all factors equal the mode solves a quadratic: a start that most rows need one step from
    number = jnp.maximum(weight.sum(1), 1e-300)
    mean = (weight * factor).sum(1) / number
    a = rate * mean * inverse
    b = rate + mean * number - slope * mean * inverse
    root = jnp.sqrt(b * b + 4.0 * a * slope)
    guess = jnp.where(b > 0, 2.0 * slope / (b + root), (root - b) / (2.0 * jnp.maximum(a, 1e-300)))
    x = jnp.clip(jnp.log(guess), low, high)
    state = (0, x, low, high, jnp.asarray(jnp.inf))
    state = jax.lax.while_loop(lambda s: (s[0] < _MOST_ITERATIONS) & (s[4] > 1e-2), improve, state)
    return state[1], 1.0 / jnp.sqrt(derivatives(state[1])[1])


class _Fall(NamedTuple):
    """Log e^(slope x) G(x) less its value at the mode, or a little more: two cells in place of all.

    Log(1 + p g) is concave in p: cells between the smallest and the largest p rise at least like a mixture of the two.
    """

    slope: Any
    prior: Any
    number: Any
    lowest: Any
    highest: Any
    share: Any
    inverse: Any

    def rise(self, effective: Any, growth: Any) -> Any:
        """What a window of effective mean `effective` at the mode adds to -log G."""
        if self.inverse is None:
            return effective * growth
        return jnp.log1p(jnp.maximum(effective * self.inverse * growth, -1.0 + 1e-15)) / self.inverse

    def log(self, u: Any) -> tuple[Any, Any]:
        """The value at mode + u, and its derivative."""
        growth, scaled = jnp.expm1(u), 0.0 if self.inverse is None else self.inverse
        both = (1.0 - self.share) * self.rise(self.lowest, growth) + self.share * self.rise(self.highest, growth)
        steep = (1.0 - self.share) * self.lowest / (1.0 + self.lowest * scaled * growth)
        steep += self.share * self.highest / (1.0 + self.highest * scaled * growth)
        value = self.slope * u - self.prior * growth - self.number * both
        return value, self.slope - (self.prior + self.number * steep) * (1.0 + growth)


def _fall(mode: Any, slope: Any, rate: Any, factor: Any, weight: Any, inverse: Any) -> _Fall:
    mean = jnp.exp(mode)[:, None] * factor
    effective = mean if inverse is None else mean / (1.0 + mean * inverse)
    there = weight > 0
    number = jnp.maximum(weight.sum(1), 1e-300)
    average = (weight * effective).sum(1) / number
    lowest = jnp.min(jnp.where(there, effective, jnp.inf), axis=1)
    lowest = jnp.minimum(jnp.where(jnp.isfinite(lowest), lowest, 0.0), average)
    highest = jnp.maximum(jnp.max(jnp.where(there, effective, 0.0), axis=1), average)
    share = jnp.where(highest > lowest, (average - lowest) / jnp.maximum(highest - lowest, 1e-300), 0.0)
    number = jnp.where(there.any(1), number, 0.0)
    return _Fall(slope, rate * jnp.exp(mode), number, lowest, highest, share, inverse)


def _none_active(cells: Cells, mode: Any, fall: _Fall, drop: Any) -> Any:
    """Whether silent windows were surely not active wherever f is not negligible, shape (rows,).

    Right of x* the probability that any was is below e^-32, so that f is what it would be without them; left of it
    they raise f by a factor of (1 + odds)^n0 at most.
    """
    needed = cells.log_odds + 32.0 + jnp.log(jnp.maximum(cells.silent, 1.0))
    needed = jnp.maximum(needed, 1e-3)
    if cells.inverse is None:
        log_mean = jnp.log(needed)
    else:
        scaled = needed * cells.inverse
        log_mean = jnp.where(scaled > 30.0, scaled, jnp.log(jnp.expm1(jnp.minimum(scaled, 30.0))))
        log_mean = log_mean - jnp.log(cells.inverse)
    farthest = jnp.max(jnp.where(cells.silent > 0, log_mean - jnp.log(cells.factor), -jnp.inf), axis=1)
    at = jnp.minimum(farthest - mode, 0.0)
    raised = jax.nn.softplus(cells.log_odds) * cells.silent.sum(1)
    return (farthest < mode) & (fall.log(jnp.maximum(at, -700.0))[0] < -drop - raised)


def _distance(sign: float, fall: _Fall, drop: Any) -> Any:
    """How far from the mode log f has fallen by `drop`, or a little farther, shape (rows,): Newton from outside."""
    if sign < 0:  # as far out as the asymptote of the tail says
        both = (1.0 - fall.share) * fall.rise(fall.lowest, -1.0) + fall.share * fall.rise(fall.highest, -1.0)
        first = (drop + fall.prior - fall.number * both) / fall.slope
    else:  # where the prior alone has fallen that far
        first = jnp.log1p(drop / fall.prior)
        for _ in range(3):
            first = jnp.log1p(drop / fall.prior + first)
        first += 0.1

    def improve(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        number, distance, _ = state
        log_f, steepness = fall.log(sign * distance)
        new = distance + jnp.minimum(log_f + drop, 0.0) / jnp.abs(steepness)
        return number + 1, new, jnp.max((distance - new) / distance)

    state = (0, first, jnp.asarray(jnp.inf))
    return jax.lax.while_loop(lambda s: (s[0] < _MOST_ITERATIONS) & (s[2] > 0.02), improve, state)[1]


def _at_zero(mean: Any, inverse: Any) -> Any:
    """R at e^x k = mean."""
    return mean if inverse is None else jnp.log1p(mean * inverse) / inverse


def _rises(mean: Any, growth: Any, inverse: Any) -> tuple[Any, Any]:
    """R less what it is at the base, shape (rows, points, cells), and dr/dx as a function of growth."""
    if inverse is None:
        return mean[:, None, :] * growth[:, :, None], lambda g: mean[:, None, :] * (1.0 + g)[:, :, None]
    odds = mean * inverse
    part = (odds / (1.0 + odds))[:, None, :]
    rises = jnp.log1p(part * growth[:, :, None]) / inverse

    def share(g: Any) -> Any:
        there = mean[:, None, :] * (1.0 + g)[:, :, None]
        return there / (1.0 + there * inverse)

    return rises, share
