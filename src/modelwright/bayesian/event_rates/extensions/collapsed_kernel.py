"""One-dimensional integrals over the rates of an extended model, compiled by JAX, with exact gradients.

With every parameter but the entity's rate fixed its windows have, in x = log theta, the likelihood times prior

    f(x) = e^(a x) G(x),      G(x) = exp(-b e^x - sum_c v_c r_c(x)) prod_c z_c(x)^(n0_c),      a = shape + S
    r_c = phi log(1 + e^x k_c / phi),   v_c = S_c/phi + n_c,   z_c = 1 - psi + psi exp(-r_c)

over its cells c of factor k_c (b = alpha exp(-x_i beta); for Poisson counts r_c = e^x k_c). With zero inflation n_c
counts the windows with events and n0_c those without; otherwise z is absent. The trapezoid rule runs over

    x(t) = m + s (t + kappa (1 - e^-t)),

m the mode and s its standard deviation, at most 0.6: kappa > 0 pulls a long exponential left tail in, beyond the point
from which it is exponential. The ends are where f has fallen by some twenty nats. Zero inflation's factor lies between
those of psi exp(-r) and of 1: f is a mixture of functions that lie between the one where all silent windows were active
and the one where none was, and the points cover both of them and what is between. Where S = 0 the left tail may have
any slope down to nothing; there the same integral is taken by parts,

    integral of e^(a x) G(x) dx = (1/a) integral of e^(a x) (-G'(x)) dx,

whose integrand is positive and falls at least like e^x.

Ends, kappa and the ratio of s to the standard deviation are found once, at a place near the bulk of the posterior
(`collapsed_anchors`); from there on m and s follow the parameters by a few steps of Newton's method, and the ends move
with them. Derivatives take the points for constants: the integral does not depend on where they are.

Source: L. N. Trefethen, J. A. C. Weideman (2014), https://doi.org/10.1137/130932132.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln

LARGEST_SD = 0.6
"""Largest s: e^x itself needs steps of at most 0.4 in log rate."""

FOLLOWING = 2
"""Steps of Newton's method by which the points follow the parameters."""

_LONGEST_STEP = 1.0


class Cells(NamedTuple):
    """The cells of some rows, arrays of shape (rows, cells) unless said.

    Args:
        slope: a, shape (rows,).
        rate: b, shape (rows,).
        factor: k.
        weight: v.
        silent_factor: k of the cells with silent windows; None without zero inflation.
        silent: n0 of these; None without zero inflation.
        inverse: 1/phi, a scalar; None for Poisson counts.
        log_odds: Of psi, a scalar; None without zero inflation.
    """

    slope: Any
    rate: Any
    factor: Any
    weight: Any
    silent_factor: Any
    silent: Any
    inverse: Any
    log_odds: Any

    def all_active(self, xp: Any = jnp) -> tuple[Any, Any]:
        """Factors and weights if all silent windows were active; `xp` is `jax.numpy` or `numpy`."""
        if self.log_odds is None:
            return self.factor, self.weight
        factor = xp.concatenate([self.factor, self.silent_factor], axis=1)
        return factor, xp.concatenate([self.weight, self.silent], axis=1)


class Anchors(NamedTuple):
    """Where and how wide f is, at one place of the parameters, arrays of shape (rows,).

    Args:
        mode: m.
        ratio: s in units of the standard deviation at m, or of `LARGEST_SD` where that is less.
        left: Distance to the left end in t.
        right: Distance to the right end.
        kappa: Kappa.
        share: Weight of the silent windows in what m is the mode of: 1 as if they were active, 0 not.
    """

    mode: Any
    ratio: Any
    left: Any
    right: Any
    kappa: Any
    share: Any


class Points(NamedTuple):
    """Where f is computed; arrays of shape (rows,), or (rows, points) where said.

    Args:
        base: m.
        spread: s.
        kappa: Kappa.
        first: Where t begins.
        step: Spacing in t.
        offset: x - m, shape (rows, points).
        growth: e^offset - 1, same shape.
        speed: dx/dt, same shape, or (rows, 1) where it is the same at all points.
    """

    base: Any
    spread: Any
    kappa: Any
    first: Any
    step: Any
    offset: Any
    growth: Any
    speed: Any


@dataclass(frozen=True)
class Rule:
    """How some rows are integrated.

    Args:
        points: Number of points.
        by_parts: Whether their sums of counts are zero.
        stretched: Whether kappa is above zero for any of them.
    """

    points: int
    by_parts: bool
    stretched: bool = True


def closed_form(shape: Any, rate: Any, slope: Any, drag: Any) -> Any:
    """Log integral of Gamma(theta | shape, rate) theta^S exp(-drag theta), a Poisson likelihood: shape (rows,).

    Args:
        shape: Shape of the population's Gamma distribution, a scalar.
        rate: Its rate for each row, shape (rows,).
        slope: Shape plus the sum of counts.
        drag: Sum of windows times factors.
    """
    return gammaln(slope) - gammaln(shape) + shape * jnp.log(rate) - slope * jnp.log(rate + drag)


def log_integral(shape: Any, cells: Cells, anchors: Anchors, rule: Rule) -> Any:
    """Log integral of Gamma(theta | shape, rate) times the likelihood over theta, shape (rows,), in nats.

    What of the likelihood does not depend on theta is left out: S_c log k_c, psi of the windows with events, and the
    terms of the distinct counts.
    """
    found, _ = log_values(cells, points_of(cells, anchors, rule), by_parts=rule.by_parts)
    found = jax.lax.optimization_barrier(found)  # or it would be computed twice, for the maximum and for the sum
    top = jax.lax.stop_gradient(found.max(1))
    total = top + jnp.log(jnp.exp(found - top[:, None]).sum(1))
    total -= jnp.log(cells.slope) if rule.by_parts else 0.0
    return shape * jnp.log(cells.rate) - gammaln(shape) + total


def log_values(cells: Cells, points: Points, *, by_parts: bool) -> tuple[Any, Any]:
    """Log of the integrand times dx/dt dt at the points, and log f itself, both of shape (rows, points).

    The integrand is f, or by parts -e^(a x) G'.
    """
    level, growth = jnp.exp(points.base), points.growth
    theta = level[:, None] * (1.0 + growth)
    log_f = cells.slope[:, None] * (points.base[:, None] + points.offset) - cells.rate[:, None] * theta
    at_base, rises = _rises(level[:, None] * cells.factor, growth, cells.inverse)
    log_f -= (cells.weight * at_base).sum(1)[:, None] + (cells.weight[:, :, None] * rises).sum(1)
    odds = None
    if cells.log_odds is not None:
        at_base, rises = _rises(level[:, None] * cells.silent_factor, growth, cells.inverse)
        odds = jnp.exp(cells.log_odds - at_base[:, :, None] - rises)  # that a silent window was active
        log_f += (cells.silent[:, :, None] * jnp.log1p(odds)).sum(1)
        log_f -= (cells.silent.sum(1) * jax.nn.softplus(cells.log_odds))[:, None]
    speed = points.speed * points.step[:, None]
    log_speed = jnp.log(speed)  # of one number per row where the points are equally spaced in x
    if not by_parts:
        return log_f + log_speed, log_f
    drop = cells.rate[:, None] * theta + _drops(theta, cells.factor, cells.weight[:, :, None], cells.inverse)
    if odds is not None:
        active = cells.silent[:, :, None] * odds / (1.0 + odds)
        drop += _drops(theta, cells.silent_factor, active, cells.inverse)
    return log_f + jnp.log(drop) + log_speed, log_f


def log_slope(cells: Cells, x: Any) -> Any:
    """First derivative of log f in x, shape of x: (rows, any)."""
    theta = jnp.exp(x)
    found = cells.slope[:, None] - cells.rate[:, None] * theta
    found -= _drops(theta, cells.factor, cells.weight[:, :, None], cells.inverse)
    if cells.log_odds is None:
        return found
    mean = cells.silent_factor[:, :, None] * theta[:, None, :]
    rises = mean if cells.inverse is None else jnp.log1p(mean * cells.inverse) / cells.inverse
    active = cells.silent[:, :, None] * jax.nn.sigmoid(cells.log_odds - rises)
    return found - _drops(theta, cells.silent_factor, active, cells.inverse)


def points_of(cells: Cells, anchors: Anchors, rule: Rule) -> Points:
    """The points of a rule, constants as far as derivatives are concerned."""
    cells, anchors = jax.tree.map(jax.lax.stop_gradient, (cells, anchors))
    factor, weight = cells.all_active()
    if cells.log_odds is not None:
        n = cells.weight.shape[1]
        weight = jnp.concatenate([weight[:, :n], weight[:, n:] * anchors.share[:, None]], axis=1)
    slope = cells.slope + (1.0 if rule.by_parts else 0.0)
    base = anchors.mode
    curvature = jnp.ones_like(base)
    for _ in range(FOLLOWING):
        gradient, curvature = derivatives(base, slope, cells.rate, factor, weight, cells.inverse, jnp)
        base += jnp.clip(gradient / curvature, -_LONGEST_STEP, _LONGEST_STEP)
    spread = anchors.ratio * jnp.minimum(1.0 / jnp.sqrt(curvature), LARGEST_SD)
    step = (anchors.left + anchors.right) / (rule.points - 1)
    t = step[:, None] * jnp.arange(rule.points) - anchors.left[:, None]
    if not rule.stretched:
        offset = spread[:, None] * t
        growth = _equally_spaced(-spread * anchors.left, spread * step, rule.points) - 1.0
        return Points(base, spread, anchors.kappa, -anchors.left, step, offset, growth, spread[:, None])
    pull = anchors.kappa[:, None] * jnp.exp(-t)
    offset = spread[:, None] * (t + anchors.kappa[:, None] - pull)
    speed = spread[:, None] * (1.0 + pull)
    return Points(base, spread, anchors.kappa, -anchors.left, step, offset, jnp.expm1(offset), speed)


def _equally_spaced(first: Any, step: Any, points: int) -> Any:
    """Exponentials of first + k step, shape (rows, points), by few of them: e^(8 i step) times e^(first + j step)."""
    coarse = jnp.exp(8.0 * step[:, None] * jnp.arange(-(-points // 8)))
    fine = jnp.exp(first[:, None] + step[:, None] * jnp.arange(8.0))
    return (coarse[:, :, None] * fine[:, None, :]).reshape(len(first), -1)[:, :points]


def derivatives(x: Any, slope: Any, rate: Any, factor: Any, weight: Any, inverse: Any, xp: Any) -> tuple[Any, Any]:
    """First derivative of log e^(slope x) G(x), and minus the second, shape (rows,)."""
    mean = xp.exp(x)[:, None] * factor
    scale = 1.0 if inverse is None else 1.0 + mean * inverse
    first = weight * mean / scale
    fall = rate * xp.exp(x)
    return slope - fall - first.sum(1), fall + (first / scale).sum(1)


def _rises(mean: Any, growth: Any, inverse: Any) -> tuple[Any, Any]:
    """R at the base, where e^x k = mean, and what it rises by, shape (rows, cells, points)."""
    if inverse is None:
        return mean, mean[:, :, None] * growth[:, None, :]
    odds = mean * inverse
    part = (odds / (1.0 + odds))[:, :, None]
    return jnp.log1p(odds) / inverse, jnp.log1p(part * growth[:, None, :]) / inverse


def _drops(theta: Any, factor: Any, weight: Any, inverse: Any) -> Any:
    """Sum of weight dr/dx over the cells, shape of theta: (rows, points); weight (rows, cells, points or 1)."""
    mean = factor[:, :, None] * theta[:, None, :]
    return (weight * mean / (1.0 if inverse is None else 1.0 + mean * inverse)).sum(1)
