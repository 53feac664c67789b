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

_POINTS = 96
"""Points of an integral between ends 40 nats below the peak; with 64 the error is that of rounding already, from total
0 to 20,000, concentration 0.05 to 200,000 and priors from U-shaped to peaked."""

_POINTS_OF_QUANTILES = 128
"""Points of a distribution function, whose error is below 1e-5 for usual priors and below 1e-4 for all: no draws show
it."""

_DROP = 40.0
_WIDEST = 3.0
"""Width of the substitution, at most: the integrand's nearest singularities lie pi away from the real line."""

_BISECTIONS = 20
_LONGEST = 12.0
"""Ends are looked for within |t| <= 12, where x is 80,000 widths away from the mode."""


LEAST_PRIOR = 1e-3
"""Least argument of the Beta distribution. The smaller it is the longer the tail in x, and the wider apart the points
where the tail begins: the error is 5e-6 nats here, 1e-7 at 0.01 and that of rounding from 0.2; at 1e-4 it is 4e-3."""


def check_capture_prior(a: Any, b: Any) -> None:
    """Refuse numbers as arguments of a Beta distribution that cannot be integrated over; traced values pass.

    Raises:
        ConfigurationError: one of them is below `LEAST_PRIOR`, or no number.
    """
    for place, value in (("first", a), ("second", b)):
        if not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) >= LEAST_PRIOR):
            raise ConfigurationError(
                f"the {place} argument of the capture probabilities' Beta distribution is too small to integrate over",
                field="prior",
                expected=f"at least {LEAST_PRIOR:g}",
                got=float(np.min(value)),
                todo="a Beta(1, 1) says nothing, a Beta(0.5, 0.5) favours the ends; or leave integrate_out out",
            )


def marginal_total_log_prob(total: Any, concentration: Any, logits: Any, a: Any, b: Any) -> jax.Array:
    """Log probability of cells' totals with the capture probability integrated out, in nats.

        log of the integral over nu of Beta(nu | a, b) NB(T | R, nu p/(1-p))

    Args:
        total: T, whole numbers from 0, any shape.
        concentration: R, the sum of the genes' concentrations, positive, a scalar.
        logits: log(p/(1-p)) before capture, a scalar.
        a: First parameter of the Beta distribution of nu, a scalar of at least `LEAST_PRIOR`.
        b: Its second, likewise.

    Returns:
        Shape of `total`. Differentiable in everything but the total. Not a number where a traced a or b is smaller.

    Raises:
        ConfigurationError: a or b is smaller, and a number.

    Source:
        L. N. Trefethen, J. A. C. Weideman (2014), The exponentially convergent trapezoidal rule,
        https://doi.org/10.1137/130932132

    Example:
        >>> found = marginal_total_log_prob(0, 1.0, 0.0, 1.0, 1.0)  # integral of 1/(1+nu) = log 2
        >>> bool(jnp.isclose(jnp.exp(found), jnp.log(2.0), rtol=1e-5))
        True
    """
    check_capture_prior(a, b)
    kind, t, parameters = _arguments(total, concentration, logits, a, b)
    usable = (parameters[2] >= LEAST_PRIOR) & (parameters[3] >= LEAST_PRIOR)
    mode, points, log_step = _points(t, *parameters)
    if kind != jnp.float64:
        found = jax.nn.logsumexp(_log_density(points, t[..., None], *parameters) + log_step, axis=-1)
        return jnp.where(usable, found, jnp.nan)
    # the mode without loss of digits, and from there the cheap formula, whose rounding errors are far below 1e-9 here
    fall = _elementary(points, t[..., None], *parameters) - _elementary(mode, t, *parameters)[..., None]
    found = _log_density(mode, t, *parameters) + jnp.log(jnp.exp(fall + log_step).sum(-1))
    return jnp.where(usable, found, jnp.nan)


def marginal_capture_log_likelihood(
    table: CompressedMatrix, concentration: Any, logits: Any, a: Any, b: Any
) -> jax.Array:
    """Log likelihood of all counts with every cell's capture probability integrated out.

        sum_c log I(T_c) + sum over pairs of w [log Gamma(y+r) - log Gamma(r)] - log y!
                         - sum_c [log Gamma(T_c+R) - log Gamma(R)] + log T_c!

    The sums over cells are sums over their distinct totals.

    Args:
        table: The counts, without batches.
        concentration: r, positive: a scalar, or (n_genes,).
        logits: log(p/(1-p)) before capture, a scalar.
        a: First parameter of the Beta distribution of capture probabilities, positive, a scalar.
        b: Its second.

    Returns:
        A scalar, in nats, constants included.

    Raises:
        ConfigurationError: The table has batches.

    Example:
        >>> import numpy as np
        >>> from modelwright.bayesian.components.compressed_counts import compress_matrix
        >>> table = compress_matrix(np.array([[1], [0], [1]]))  # one gene: the total is all there is
        >>> found = jax.jit(marginal_capture_log_likelihood)(table, 2.0, 0.5, 1.0, 3.0)
        >>> bool(jnp.isclose(found, marginal_total_log_prob(jnp.array([1, 0, 1]), 2.0, 0.5, 1.0, 3.0).sum()))
        True
    """
    if table.n_batches != 1:
        raise ConfigurationError(
            "capture is integrated out for tables without batches", field="table", got=f"{table.n_batches} batches"
        )
    kind = float_type(concentration, logits, a, b)
    r = jnp.broadcast_to(jnp.asarray(concentration, kind), (table.n_genes,))
    total, times = jnp.asarray(table.distinct_total, kind), jnp.asarray(table.total_multiplicity, kind)
    pairs = jnp.asarray(table.pair_multiplicity, kind) @ log_rise(r[table.pair_group], table.pair_count)
    return times @ _beside_genes(total, r.sum(), logits, a, b) + pairs - jnp.asarray(table.log_factorials, kind)


def marginal_cell_log_prob(count: Any, concentration: Any, logits: Any, a: Any, b: Any) -> jax.Array:
    """Log probability of all counts of a cell with its capture probability integrated out.

    Args:
        count: Whole numbers from 0, shape (..., n_genes).
        concentration: r, positive: a scalar, or (n_genes,).
        logits: As in `marginal_capture_log_likelihood`, as the other arguments.
        a: See there.
        b: See there.

    Returns:
        Shape (...), in nats.

    Example:
        >>> found = marginal_cell_log_prob(jnp.zeros((5, 3)), jnp.array([0.2, 0.5, 0.3]), 0.0, 1.0, 1.0)
        >>> bool(jnp.allclose(jnp.exp(found), jnp.log(2.0), rtol=1e-5))  # of NB(0 | 1, nu), as above
        True
    """
    kind = float_type(concentration, logits, a, b)
    y = jnp.asarray(count, kind)
    r = jnp.broadcast_to(jnp.asarray(concentration, kind), y.shape[-1:])
    of_genes = (log_rise(r, y) - log_rise(jnp.ones((), kind), y)).sum(-1)
    return _beside_genes(y.sum(-1), r.sum(), logits, a, b) + of_genes


def capture_quantile(
    probability: Any, place: Any, total: Any, concentration: Any, logits: Any, a: Any, b: Any
) -> jax.Array:
    """Quantiles of cells' capture probabilities given the genes; at uniform probabilities, exact draws.

    Cells of equal totals share a table of the distribution function, on the points of the integral.

    Args:
        probability: Between 0 and 1, exclusive, shape (n,).
        place: Which total, shape (n,), whole numbers from 0 to n_totals - 1.
        total: Totals, shape (n_totals,).
        concentration: As in `marginal_total_log_prob`, as the other arguments.
        logits: See there.
        a: See there.
        b: See there.

    Returns:
        Shape (n,). Not meant to be differentiated.

    Raises:
        ConfigurationError: As in `marginal_total_log_prob`.

    Example:
        >>> found = capture_quantile(jnp.array([0.5]), jnp.array([0]), jnp.zeros(1), 1.0, 0.0, 1.0, 1.0)
        >>> bool(jnp.isclose(found[0], jnp.sqrt(2.0) - 1.0, rtol=1e-5))  # log(1+nu) = log(2)/2
        True
    """
    check_capture_prior(a, b)
    kind, t, parameters = _arguments(total, concentration, logits, a, b)
    mode, width, left, right = _frame(t, *parameters)
    step = (right - left) / (_POINTS_OF_QUANTILES - 1)
    at = left[:, None] + step[:, None] * jnp.arange(_POINTS_OF_QUANTILES)
    x = mode[:, None] + width[:, None] * jnp.sinh(at)
    log_height = _elementary(x, t[:, None], *parameters) + jnp.log(jnp.cosh(at))
    height = jnp.exp(log_height - log_height.max(-1, keepdims=True))
    # the cubic through four points, within the middle interval
    wide = jnp.pad(height, ((0, 0), (1, 1)))
    mass = jnp.maximum(13.0 * (height[:, :-1] + height[:, 1:]) - wide[:, :-3] - wide[:, 3:], 0.0)
    below = mass @ jnp.triu(jnp.ones((mass.shape[-1],) * 2, kind))  # a cumulative sum, as a product far faster
    wanted = jnp.asarray(probability, kind) * below[place, -1]
    k = jnp.zeros(wanted.shape, int)  # intervals whose mass lies below, by halving: no table for each cell
    for half in (64, 32, 16, 8, 4, 2, 1):
        last_of = jnp.minimum(k + half, _POINTS_OF_QUANTILES - 2) - 1
        k = jnp.where(below[place, last_of] <= wanted, last_of + 1, k)
    short = wanted - jnp.where(k > 0, below[place, jnp.maximum(k - 1, 0)], 0.0)
    share = jnp.clip(short / jnp.maximum(mass[place, k], 1e-300), 0.0, 1.0)
    first, last = height[place, k], height[place, k + 1]
    # a density that is linear within the interval has put this share of its mass below
    root = jnp.sqrt(first**2 + share * (last**2 - first**2))
    inside = share * (first + last) / jnp.maximum(first + root, 1e-300)
    s = left[place] + step[place] * (k + jnp.clip(inside, 0.0, 1.0))
    return jax.nn.sigmoid(mode[place] + width[place] * jnp.sinh(s))


def _beside_genes(total: jax.Array, concentration: Any, logits: Any, a: Any, b: Any) -> jax.Array:
    """What a cell's total says besides the genes' own terms: log I(T) - log Gamma(T+R) + log Gamma(R) + log T!."""
    kind = total.dtype
    whole = marginal_total_log_prob(total, concentration, logits, a, b)
    return whole - log_rise(jnp.asarray(concentration, kind), total) + log_rise(jnp.ones((), kind), total)


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


def _elementary(
    x: jax.Array, total: jax.Array, concentration: jax.Array, logits: jax.Array, a: jax.Array, b: jax.Array
) -> jax.Array:
    """The same up to a constant, f(x) of the head of this file: cheaper, and in float32 not exact."""
    missed = jax.nn.softplus(-x)  # -log nu, which keeps the digits of a nu near one
    not_seen = jax.nn.softplus(-x - jnp.logaddexp(0.0, logits))  # up to a constant, -log of nu o/(1 + nu o)
    return concentration * (missed - not_seen) - a * missed - b * jax.nn.softplus(x) - total * not_seen


def _points(total: jax.Array, *parameters: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Mode, points x of the rule, shape of total + (points,), and the log of what each counts; without gradients."""
    mode, width, left, right = _frame(total, *parameters)
    step = (right - left) / (_POINTS - 1)
    at = left[..., None] + step[..., None] * jnp.arange(_POINTS)
    points = mode[..., None] + width[..., None] * jnp.sinh(at)
    return mode, points, jnp.log(width[..., None] * jnp.cosh(at) * step[..., None])


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
    floor = _elementary(mode, *parameters) - _DROP

    def end(side: float) -> jax.Array:
        def halve(_: int, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            near, far = ends
            middle = 0.5 * (near + far)
            high = _elementary(mode + side * width * jnp.sinh(middle), *parameters) > floor
            return jnp.where(high, middle, near), jnp.where(high, far, middle)

        start = (jnp.zeros_like(mode), jnp.full_like(mode, _LONGEST))
        return jax.lax.fori_loop(0, _BISECTIONS, halve, start)[1]

    return mode, width, -end(-1.0), end(1.0)
