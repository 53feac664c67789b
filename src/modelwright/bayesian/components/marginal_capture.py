"""Capture probabilities integrated out: given the genes, a cell's capture probability sees only the cell's total.

With r of the genes and odds o = p/(1-p) shared, a cell of capture probability nu ~ Beta(a, b) has counts
NB(r_g, nu o). Their total T is NB(R, nu o), R = sum of r, and how it falls on the genes is Dirichlet-multinomial and
free of nu. So

    log P(counts) = log I(T) + log Dirichlet-multinomial(counts | T, r)
    I(T) = integral of Beta(nu | a, b) NB(T | R, nu o) dnu

is one integral for each *distinct* total. In x = log(nu/(1-nu)) the integrand is

    f(x) = (a+T) x + (R-a-b) log(1+e^x) - (T+R) log(1+w e^x) + const,    w = 1 + o,

which has one maximum, at the positive root of a quadratic in e^x, and exponential tails. The trapezoid rule runs in t
with x = mode + width sinh t: points are dense at the peak and thin in the tails, and for so smooth a function the rule
converges geometrically. The points stand still under differentiation, so that the gradient is that of the integral.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from modelwright.bayesian.components.compressed_counts import CompressedMatrix
from modelwright.bayesian.components.count_kernels import negative_binomial_log_prob
from modelwright.bayesian.components.stirling_series import float_type, log_beta, log_rise
from modelwright.core.errors import ConfigurationError

_POINTS = 256
"""Points of an integral. Between ends 40 nats below the peak they are closer than 0.1 in t, where the rule's error,
exp(-2 pi d / spacing) for a strip of half-width d = 0.4, is below 1e-10."""

_DROP = 40.0
_WIDEST = 3.0
"""Width of the substitution, at most: the integrand's nearest singularities lie pi away from the real line."""

_BISECTIONS = 50
_LONGEST = 12.0
"""Ends are looked for within |t| <= 12, where x is 80,000 widths away from the mode."""


def marginal_total_log_prob(total: Any, concentration: Any, logits: Any, a: Any, b: Any) -> jax.Array:
    """Log probability of cells' totals with the capture probability integrated out, in nats.

        log of the integral over nu of Beta(nu | a, b) NB(T | R, nu p/(1-p))

    Args:
        total: T, whole numbers from 0, any shape.
        concentration: R, the sum of the genes' concentrations, positive, a scalar.
        logits: log(p/(1-p)) before capture, a scalar.
        a: First parameter of the Beta distribution of nu, positive, a scalar.
        b: Its second, positive, a scalar.

    Returns:
        Shape of `total`. Differentiable in everything but the total.

    Source:
        L. N. Trefethen, J. A. C. Weideman (2014), The exponentially convergent trapezoidal rule,
        https://doi.org/10.1137/130932132

    Example:
        >>> found = marginal_total_log_prob(0, 1.0, 0.0, 1.0, 1.0)  # integral of 1/(1+nu) = log 2
        >>> bool(jnp.isclose(jnp.exp(found), jnp.log(2.0), rtol=1e-5))
        True
    """
    kind, t, parameters = _arguments(total, concentration, logits, a, b)
    points, log_step = _points(t, *parameters)
    peak = jax.lax.stop_gradient(_log_density(points, t[..., None], *parameters).max(-1))
    shape = jnp.exp(_log_density(points, t[..., None], *parameters) - peak[..., None] + log_step)
    return jnp.asarray(peak + jnp.log(shape.sum(-1)), kind)


def marginal_capture_log_likelihood(
    table: CompressedMatrix, distinct: tuple[np.ndarray, np.ndarray], concentration: Any, logits: Any, a: Any, b: Any
) -> jax.Array:
    """Log likelihood of all counts with every cell's capture probability integrated out.

        sum_c log I(T_c) + sum over pairs of w [log Gamma(y+r) - log Gamma(r)] - log y!
                         - sum_c [log Gamma(T_c+R) - log Gamma(R)] + log T_c!

    Args:
        table: The counts, without batches.
        distinct: What `distinct_totals(table)` returned.
        concentration: r, positive: a scalar, or (n_genes,).
        logits: log(p/(1-p)) before capture, a scalar.
        a: First parameter of the Beta distribution of capture probabilities, positive, a scalar.
        b: Its second.

    Returns:
        A scalar, in nats, constants included.

    Raises:
        ConfigurationError: The table has batches.

    Example:
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> table = compress_matrix(np.array([[1], [0], [1]]))  # one gene: the total is all there is
        >>> found = jax.jit(marginal_capture_log_likelihood)(table, distinct_totals(table), 2.0, 0.5, 1.0, 3.0)
        >>> bool(jnp.isclose(found, marginal_total_log_prob(jnp.array([1, 0, 1]), 2.0, 0.5, 1.0, 3.0).sum()))
        True
    """
    if table.n_batches != 1:
        raise ConfigurationError(
            "capture is integrated out for tables without batches", field="table", got=f"{table.n_batches} batches"
        )
    kind = float_type(concentration, logits, a, b)
    r = jnp.broadcast_to(jnp.asarray(concentration, kind), (table.n_genes,))
    total, cells = (jnp.asarray(part, kind) for part in distinct)
    every = marginal_total_log_prob(total, r.sum(), logits, a, b)
    log_total_factorial = log_rise(jnp.ones((), kind), total)
    pairs = jnp.asarray(table.pair_multiplicity, kind) @ log_rise(r[table.pair_group], table.pair_count)
    allotted = cells @ (log_total_factorial - log_rise(r.sum(), total))
    return cells @ every + allotted + pairs - jnp.asarray(table.log_factorials, kind)


def distinct_totals(table: CompressedMatrix) -> tuple[np.ndarray, np.ndarray]:
    """Distinct totals of cells, ascending, and how many cells have each; for outside of compiled functions.

    Example:
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> [part.tolist() for part in distinct_totals(compress_matrix(np.array([[1, 2], [3, 0], [0, 1]])))]
        [[1.0, 3.0], [1, 2]]
    """
    return np.unique(np.asarray(table.cell_total), return_counts=True)


def capture_mean(total: Any, concentration: Any, logits: Any, a: Any, b: Any) -> jax.Array:
    """Expected capture probability of cells of these totals, given the genes.

    Arguments and shapes as in `marginal_total_log_prob`.

    Example:
        >>> found = capture_mean(0, 1.0, 0.0, 1.0, 1.0)  # integral of nu/(1+nu) over that of 1/(1+nu)
        >>> bool(jnp.isclose(found, 1.0 / jnp.log(2.0) - 1.0, rtol=1e-5))
        True
    """
    _, t, parameters = _arguments(total, concentration, logits, a, b)
    points, log_step = _points(t, *parameters)
    weight = jax.nn.softmax(_log_density(points, t[..., None], *parameters) + log_step, axis=-1)
    return (weight * jax.nn.sigmoid(points)).sum(-1)


def capture_quantile(probability: Any, total: Any, concentration: Any, logits: Any, a: Any, b: Any) -> jax.Array:
    """Quantiles of the capture probability of cells of these totals, given the genes.

    Args:
        probability: Between 0 and 1, exclusive, broadcastable with `total`.
        total: As in `marginal_total_log_prob`, as the other arguments.
        concentration: See there.
        logits: See there.
        a: See there.
        b: See there.

    Returns:
        The broadcast shape. Not meant to be differentiated.

    Example:
        >>> found = capture_quantile(0.5, 0, 1.0, 0.0, 1.0, 1.0)  # log(1+nu) = log(2)/2
        >>> bool(jnp.isclose(found, jnp.sqrt(2.0) - 1.0, rtol=1e-5))
        True
    """
    kind, t, parameters = _arguments(total, concentration, logits, a, b)
    level, t = jnp.broadcast_arrays(jnp.asarray(probability, kind), t)
    mode, width, left, right = _frame(t, *parameters)
    whole = marginal_total_log_prob(t, *parameters)
    nodes, weights = (jnp.asarray(part, kind) for part in _panels())

    def below(s: jax.Array) -> jax.Array:
        """Share of the integral left of x = mode + width sinh s, by Gauss-Legendre panels."""
        at = left[..., None] + (s - left)[..., None] * nodes
        points = mode[..., None] + width[..., None] * jnp.sinh(at)
        log_part = _log_density(points, t[..., None], *parameters) - whole[..., None]
        return (jnp.exp(log_part) * jnp.cosh(at) * width[..., None] * weights).sum(-1) * (s - left)

    def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        under = below(middle) < level
        return jnp.where(under, middle, low), jnp.where(under, high, middle)

    low, high = jax.lax.fori_loop(0, _BISECTIONS, halve, (left, right))
    return jax.nn.sigmoid(mode + width * jnp.sinh(0.5 * (low + high)))


def _panels() -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on (0, 1): sixteen panels of twelve points."""
    node, weight = np.polynomial.legendre.leggauss(12)
    starts = np.arange(16) / 16
    return (starts[:, None] + (node + 1.0) / 32).ravel(), np.tile(weight / 32, 16)


def _arguments(total: Any, *parameters: Any) -> tuple[Any, jax.Array, tuple[jax.Array, ...]]:
    kind = float_type(*parameters)
    return kind, jnp.asarray(total, kind), tuple(jnp.asarray(each, kind) for each in parameters)


def _log_density(
    x: jax.Array, total: jax.Array, concentration: jax.Array, logits: jax.Array, a: jax.Array, b: jax.Array
) -> jax.Array:
    """Log of Beta(nu) NB(T | R, nu o) dnu/dx at nu = sigmoid(x)."""
    log_nu, log_rest = jax.nn.log_sigmoid(x), jax.nn.log_sigmoid(-x)
    prior = a * log_nu + b * log_rest - log_beta(a, b)
    return prior + negative_binomial_log_prob(total, concentration, logits + log_nu)


def _points(total: jax.Array, *parameters: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Points x of the rule, shape of total + (points,), and the log of what each counts; no gradient goes through."""
    mode, width, left, right = _frame(total, *parameters)
    step = (right - left) / (_POINTS - 1)
    at = left[..., None] + step[..., None] * jnp.arange(_POINTS)
    points = mode[..., None] + width[..., None] * jnp.sinh(at)
    return points, jnp.log(width[..., None] * jnp.cosh(at) * step[..., None])


def _frame(
    total: jax.Array, concentration: jax.Array, logits: jax.Array, a: jax.Array, b: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Mode and width in x, and the ends in t where the density has fallen far enough."""
    total, r, logits, a, b = (jax.lax.stop_gradient(part) for part in (total, concentration, logits, a, b))
    # f'(x) = 0 is  b w z^2 - [T + R - b + w (a - R)] z - (a + T) = 0  in z = e^x; the root without cancellation
    w = 1.0 + jnp.exp(logits)
    middle, last = total + r - b + w * (a - r), a + total
    root = jnp.sqrt(middle * middle + 4.0 * b * w * last)
    z = jnp.where(middle > 0, (middle + root) / (2.0 * b * w), 2.0 * last / jnp.where(middle > 0, 1.0, root - middle))
    mode = jnp.log(z)
    bend = (total + r) * w * z / (1.0 + w * z) ** 2 - (r - a - b) * z / (1.0 + z) ** 2  # -f'' at the mode
    width = jnp.minimum(1.0 / jnp.sqrt(jnp.maximum(bend, 1e-30)), _WIDEST)
    parameters = (total, r, logits, a, b)
    floor = _log_density(mode, *parameters) - _DROP

    def end(side: float) -> jax.Array:
        def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            near, far = ends
            middle = 0.5 * (near + far)
            high = _log_density(mode + side * width * jnp.sinh(middle), *parameters) > floor
            return jnp.where(high, middle, near), jnp.where(high, far, middle)

        start = (jnp.zeros_like(mode), jnp.full_like(mode, _LONGEST))
        return jax.lax.fori_loop(0, _BISECTIONS, halve, start)[1]

    return mode, width, -end(-1.0), end(1.0)
