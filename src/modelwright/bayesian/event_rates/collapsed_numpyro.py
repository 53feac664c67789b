"""The collapsed posterior of the population as a NumPyro model, for the No-U-Turn sampler.

The same quadrature as in `rate_quadrature`, differentiable: for every row a fixed number of points between the same
ends, found without derivatives. The derivative of the sum over points that stand still is the derivative of the
integral, up to the error of the rule.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro

from modelwright.bayesian.event_rates.collapsed_density import SMALL_COUNTS, LikelihoodTerms
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE, Y
from modelwright.bayesian.event_rates.numpyro_model import numpyro_distribution
from modelwright.bayesian.event_rates.rate_integrals import Windows
from modelwright.bayesian.event_rates.rate_quadrature import DROP, SMALL

POINTS = 96
"""Points of a row: a rate that spreads over 38 powers of e still has them as dense as log rates need."""

_NEWTON_STEPS = 40
_SERIES = 5


def collapsed_model(terms: LikelihoodTerms, config: ModelConfig) -> None:
    """The model, to be given to `sample_numpyro_model` with `model_args=(terms, config)`.

    Sites: every parameter that has a prior; `mu` is derived where the shape has one.

    Args:
        terms: The data, from `collapsed_density.likelihood_terms`.
        config: Priors, likelihood and parameterisation.
    """
    values = {name: numpyro.sample(name, numpyro_distribution(prior)) for name, prior in config.hyperpriors().items()}
    if SHAPE in values:
        values[MU] = numpyro.deterministic(MU, values[SHAPE] / values[ALPHA])
    if config.parameterization == "mean_scaled":
        shape, rate = values[ALPHA], values[ALPHA] / values[MU]
    else:
        shape, rate = values.get(SHAPE, values[MU] * values[ALPHA]), values[ALPHA]
    numpyro.factor(Y, log_likelihood(terms, shape, rate, 1.0 / values[PHI] if PHI in values else None))


def log_likelihood(terms: LikelihoodTerms, shape: Any, rate: Any, inverse: Any) -> Any:
    """Log probability of all counts in nats, a scalar: `CollapsedDensity.log_likelihood` for one point.

    Args:
        terms: The data.
        shape: Shape of the Gamma distribution of rates, a scalar.
        rate: Its rate.
        inverse: One over the concentration of the counts, or None for Poisson counts.
    """
    total = terms.constant + (0.0 if inverse is None else _histogram_part(terms, inverse))
    for rows, weight in zip(terms.rows, terms.weight, strict=True):
        total = total + jnp.sum(weight * _row_log_likelihood(rows, shape, rate, inverse))
    return total


def _row_log_likelihood(rows: Windows, shape: Any, rate: Any, inverse: Any) -> Any:
    """One value per row, shape (n_rows,)."""
    slope = shape + rows.total.sum(1)
    theta, left, step, at_knee = jax.lax.stop_gradient(_points(rows, shape, rate, inverse))
    offset = left[:, None] + step[:, None] * jnp.arange(POINTS)
    log_density = _log_ratio_to_mode(rows, shape, rate, inverse, theta, offset)
    tail = _left_tail(rows, shape, rate, inverse, theta * jnp.exp(left), slope, step, at_knee)
    mass = jnp.sum(jnp.exp(log_density), axis=1) + jnp.exp(log_density[:, 0]) * tail
    found = _log_gamma_density(theta, shape, rate) + jnp.log(step * mass)
    mean = theta[:, None] * rows.exposure * rows.number
    per_sum = None if inverse is None else inverse / jnp.maximum(rows.number, 1.0)
    seen = rows.number > 0
    each = _deviance(rows.total, jnp.where(seen, mean, 1.0), per_sum)
    if per_sum is not None:
        each = each - _spread_loss(rows.total, per_sum)
    return found + jnp.where(seen, each, 0.0).sum(1)


def _drag(rows: Windows, inverse: Any) -> Any:
    return rows.number if inverse is None else rows.total * inverse + rows.number


def _derivatives(rows: Windows, shape: Any, rate: Any, inverse: Any, theta: Any) -> tuple[Any, Any]:
    """First derivative of log f in log theta, and the second with its sign turned; theta (n_rows,)."""
    mean = theta[:, None] * rows.exposure
    scale = 1.0 if inverse is None else 1.0 / (1.0 + mean * inverse)
    each = _drag(rows, inverse) * mean * scale
    return shape + rows.total.sum(1) - rate * theta - each.sum(1), rate * theta + (each * scale).sum(1)


def _points(rows: Windows, shape: Any, rate: Any, inverse: Any) -> tuple[Any, Any, Any, Any]:
    """Mode, offset of the first point, spacing, and whether the first point is where the tail's series begins."""
    slope = shape + rows.total.sum(1)
    drag = rate + (_drag(rows, inverse) * rows.exposure).sum(1)
    low, high = jnp.log(slope / drag), jnp.log(slope / rate) + jnp.zeros_like(slope)

    def improve(_: Any, state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        x, low, high = state
        gradient, curvature = _derivatives(rows, shape, rate, inverse, jnp.exp(x))
        low, high = jnp.where(gradient >= 0, x, low), jnp.where(gradient <= 0, x, high)
        new = x + gradient / curvature
        return jnp.where((new >= low) & (new <= high), new, 0.5 * (low + high)), low, high

    x = jax.lax.fori_loop(0, _NEWTON_STEPS, improve, (low, low, high))[0]
    theta = jnp.exp(x)
    sd = 1.0 / jnp.sqrt(_derivatives(rows, shape, rate, inverse, theta)[1])
    largest = 0.0 if inverse is None else rows.exposure.max(1) * inverse
    knee = jnp.log(SMALL / jnp.maximum(drag, largest)) - x
    gaussian = math.sqrt(2.0 * DROP) * sd
    fall = DROP / (rate * theta)
    right = jnp.log1p(fall + jnp.log1p(fall + jnp.sqrt(2.0 * fall)))
    ends = []
    for sign, limit, begin in (
        (-1.0, jnp.minimum(1.0 + fall, jnp.maximum(-knee, 1e-3)), gaussian * (1.0 + gaussian / 6.0)),
        (1.0, right, gaussian / (1.0 + gaussian / 6.0)),
    ):
        distance = jnp.minimum(begin, limit)
        for _ in range(3):
            u = sign * distance
            missing = DROP + _log_ratio_to_mode(rows, shape, rate, inverse, theta, u[:, None])[:, 0]
            gradient = _derivatives(rows, shape, rate, inverse, theta * jnp.exp(u))[0]
            distance = jnp.minimum(distance + missing / jnp.maximum(-sign * gradient, 1e-300), limit)
        ends.append(distance)
    left = jnp.maximum(-ends[0], knee)
    return theta, left, (ends[1] - left) / (POINTS - 1), left >= knee - 1e-9


def _log_ratio_to_mode(rows: Windows, shape: Any, rate: Any, inverse: Any, theta: Any, offset: Any) -> Any:
    """Log f(x0 + u) - log f(x0) at offsets of shape (n_rows, n_points), as `rate_quadrature` has it."""
    up, down = jnp.expm1(offset), jnp.expm1(-offset)
    mean = theta[:, None] * rows.exposure
    if inverse is None:
        fall = rate * theta + (rows.number * mean).sum(1)
        return (shape + rows.total.sum(1))[:, None] * offset - fall[:, None] * up
    odds = mean * inverse
    flipped = odds > 1.0
    share = jnp.where(flipped, 1.0, odds) / (1.0 + odds)
    lead = shape + jnp.where(flipped, -rows.number / inverse, rows.total).sum(1)
    found = lead[:, None] * offset - (rate * theta)[:, None] * up
    for e in range(rows.total.shape[1]):
        growth = jnp.where(flipped[:, e, None], down, up)
        weight = rows.total[:, e] + rows.number[:, e] / inverse
        found = found - weight[:, None] * jnp.log1p(share[:, e, None] * growth)
    return found


def _left_tail(
    rows: Windows, shape: Any, rate: Any, inverse: Any, theta: Any, slope: Any, step: Any, at_knee: Any
) -> Any:
    """Sum of f at x - step, x - 2 step, ... over f(x), where theta = e^x."""

    def geometric(m: int) -> Any:
        return jnp.exp(-(slope + m) * step) / -jnp.expm1(-(slope + m) * step)

    small = jnp.where(at_knee, theta, 0.0)[:, None] * rows.exposure  # zero where the series does not hold
    each = _drag(rows, inverse) * small
    terms = [-rate * jnp.where(at_knee, theta, 0.0) - each.sum(1)]
    for _ in range(1, _SERIES):
        each = jnp.zeros_like(each) if inverse is None else -each * small * inverse
        terms.append(-each.sum(1))
    series = [jnp.ones_like(theta)]
    for m in range(1, _SERIES + 1):
        series.append(sum(terms[i - 1] * series[m - i] for i in range(1, m + 1)) / m)
    return sum(g * geometric(m) for m, g in enumerate(series)) / sum(series)


def _log_gamma_density(theta: Any, shape: Any, rate: Any) -> Any:
    scaled = rate * theta
    largest = shape * jnp.log(shape) - shape - jax.scipy.special.gammaln(shape)
    largest = jnp.where(
        shape > SMALL_COUNTS,
        0.5 * jnp.log(shape / (2.0 * math.pi)) - _stirling(jnp.maximum(shape, SMALL_COUNTS)),
        largest,
    )
    return largest - (scaled - shape) + shape * _log_of((scaled - shape) / shape, scaled / shape)


def _deviance(total: Any, mean: Any, inverse: Any) -> Any:
    off = mean - total
    safe = jnp.maximum(total, 1.0)
    own = jnp.where(total > 0, total * _log_of(off / safe, mean / safe), 0.0)
    if inverse is None:
        return own - off
    scale = inverse / (1.0 + total * inverse)
    return own - _log_of(off * scale, (1.0 + mean * inverse) / (1.0 + total * inverse)) / scale


def _log_of(excess: Any, ratio: Any) -> Any:
    """log(1 + excess), where ratio is 1 + excess with all its digits."""
    near = jnp.abs(excess) < 0.5
    return jnp.where(near, jnp.log1p(jnp.where(near, excess, 0.0)), jnp.log(ratio))


def _spread_loss(total: Any, inverse: Any) -> Any:
    share = total * inverse
    rises = jnp.log1p(share)
    near = share < 1e-8
    return total * rises - jnp.where(near, 0.5 * share * total, (jnp.where(near, 1.0, share) - rises) / inverse)


def _histogram_part(terms: LikelihoodTerms, inverse: Any) -> Any:
    total = jnp.sum(jnp.log1p(jnp.arange(1.0, SMALL_COUNTS) * inverse) * terms.exceeding[1:])
    if len(terms.large) == 0:
        return total
    more = terms.large - SMALL_COUNTS
    concentration = 1.0 / inverse + SMALL_COUNTS
    shifted = inverse / (1.0 + SMALL_COUNTS * inverse)
    rising = _spread_loss(more, shifted) - 0.5 * jnp.log1p(more * shifted)
    rising += _stirling(more + concentration) - _stirling(concentration)
    rising += more * jnp.log1p(SMALL_COUNTS * inverse)
    return total + jnp.sum(rising * terms.large_weight)


def _stirling(x: Any) -> Any:
    """Stirling's error of Gamma(x) for x >= 32."""
    inverse = 1.0 / x
    square = inverse * inverse
    return inverse * (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188))))
