"""The quadrature behind `rate_integrals.log_marginal`: many one-dimensional integrals, each at its own cost.

A cell is one entity (or several alike) under one draw of the hyperparameters. Its integrand in x = log theta,

    log f(x) = (a + S) x - b e^x - sum_e (S_e + n_e c) log(1 + e^x e / c),

is analytic in the strip |Im x| < pi/2 and log-concave, so the trapezoid rule converges geometrically. For a Gamma
density of shape s its relative error is 2 |Gamma(s + 2 pi i/step)| / Gamma(s), below 2e-11 at the spacing used here for
every s; the other factors only decay faster. Where the left tail has become exponential it is closed by the series

    sum over j > 0 of f(x - j step) = f(x)/G(theta) * sum_m g_m theta^m / (e^((a + S + m) step) - 1),

G(theta) = g_0 + g_1 theta + ... being what f(x) e^(-(a + S) x) is near theta = 0: a rate that may be anything down to
nothing needs no more points than another one. Cells are sorted by the points they need and computed in chunks that fit
the processor's cache: a few wide integrands do not make the others pay.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.peak_densities import POISSON, deviance, log_gamma_density

DROP = 25.0
"""Nats below the mode at which the points may end: what lies beyond is below 1e-11 of the integral."""

STEPS_PER_SD = 0.65
LARGEST_STEP = 0.27
"""Spacing of the points: this share of the standard deviation at the mode, at most this much in log rate."""

SMALL = 0.03
"""The left tail is exponential up to a short series where every theta-dependent term is below this."""

_SERIES = 5
_CHUNK = 60_000
"""Points times cells that are computed at once: half a megabyte a temporary array, which stays in a core's cache."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Integrals to be computed, each of shape (n,) or, for what windows of equal exposure share, (exposures, n).

    Args:
        shape: Shape of the Gamma distribution of rates, shape (n,).
        rate: Its rate, shape (n,).
        inverse: One over the concentration of counts, zero for Poisson counts, shape (n,).
        exposure: Exposures, shape (exposures, n).
        total: Sum of counts at each, same shape.
        number: Number of windows at each, same shape.
    """

    shape: np.ndarray
    rate: np.ndarray
    inverse: np.ndarray
    exposure: np.ndarray
    total: np.ndarray
    number: np.ndarray


def log_peak_and_integral(cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """The collapsed likelihood of each cell in two parts, up to what does not depend on the rate.

    Returns:
        log_peak: log of the Gamma density of x at the mode, plus for every exposure the log of NB(S | mean n theta e,
            concentration n c) over its largest value in theta (`deviance`), shape (n,).
        log_integral: log of the integral of f over its value at the mode, shape (n,).
    """
    theta = mode(cells)
    mean = theta * cells.exposure
    log_peak = log_gamma_density(theta, cells.shape, cells.rate)
    for e in range(len(mean)):
        number = np.maximum(cells.number[e], 1.0)
        unseen = cells.number[e] == 0
        log_peak += np.where(unseen, 0.0, deviance(cells.total[e], number * mean[e], cells.inverse / number))
    return log_peak, _log_integral(cells, theta)


def mode(cells: Cells) -> np.ndarray:
    """Theta at the mode in log theta, shape (n,): a root of a quadratic for one exposure, else by Newton's method."""
    slope = cells.shape + cells.total.sum(0)
    number = cells.number.sum(0)
    exposure = (cells.number * cells.exposure).sum(0) / np.maximum(number, 1.0)
    a = cells.rate * exposure * cells.inverse
    b = cells.rate + exposure * number - cells.shape * exposure * cells.inverse
    root = np.sqrt(b * b + 4.0 * a * slope)
    with np.errstate(divide="ignore", invalid="ignore"):  # of the branch that is not taken
        theta = np.where(b >= 0, 2.0 * slope / (b + root), (root - b) / (2.0 * a))
    if len(cells.total) <= 1:
        return np.asarray(theta)
    drag = cells.total * cells.inverse + cells.number
    low = np.log(slope / (cells.rate + (drag * cells.exposure).sum(0)))
    high = np.log(slope / cells.rate)
    x = np.clip(np.log(theta), low, high)
    for _ in range(60):
        gradient, curvature = _derivatives(cells, np.exp(x), slope, drag)
        low, high = np.where(gradient >= 0, x, low), np.where(gradient <= 0, x, high)
        new = x + gradient / curvature
        new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
        step, x = np.abs(new - x) * np.sqrt(curvature), new
        if np.all(step < 1e-3):  # in standard deviations; the grid need not be centred better
            break
    return np.asarray(np.exp(x))


def reach(cells: Cells, theta: np.ndarray, log_knee: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Offsets from the modes at which points start and end, not left of a log rate `log_knee`; each (n,)."""
    slope = cells.shape + cells.total.sum(0)
    drag = cells.total * cells.inverse + cells.number
    sd = 1.0 / np.sqrt(_derivatives(cells, theta, slope, drag)[1])
    return _extent(cells, _Ratio.at(cells, theta), theta, sd, log_knee - np.log(theta), slope, drag)


def _derivatives(cells: Cells, theta: np.ndarray, slope: np.ndarray, drag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """First derivative of log f in x, and the second with its sign turned."""
    mean = theta * cells.exposure
    scale = 1.0 / (1.0 + mean * cells.inverse)
    each = drag * mean * scale
    fall = cells.rate * theta
    return slope - fall - each.sum(0), fall + (each * scale).sum(0)


def _log_integral(cells: Cells, theta: np.ndarray) -> np.ndarray:
    """Log of the integral of f(x)/f(log theta) over x, shape (n,)."""
    slope = cells.shape + cells.total.sum(0)
    drag = cells.total * cells.inverse + cells.number
    sd = 1.0 / np.sqrt(_derivatives(cells, theta, slope, drag)[1])
    knee = _log_knee(cells, drag) - np.log(theta)
    ratio = _Ratio.at(cells, theta)
    left, right = _extent(cells, ratio, theta, sd, knee, slope, drag)
    step = np.minimum(STEPS_PER_SD * sd, LARGEST_STEP)
    points = np.ceil((right - left) / step).astype(np.int64) + 1
    closing = _left_tail(cells, theta * np.exp(left), slope, drag, step, left >= knee - 1e-9)
    order = np.argsort(points, kind="stable")
    ratio, points, left, step, closing = ratio.part(order), points[order], left[order], step[order], closing[order]
    total = np.empty(len(theta))
    start = 0
    while start < len(order):
        end = start + max(1, _CHUNK // int(points[start]))
        end = start + max(1, min(end - start, _CHUNK // int(points[min(end, len(order)) - 1])))
        here = slice(start, end)
        offset = step[here] * np.arange(int(points[here][-1]))[:, None]
        offset += left[here]
        density = ratio.part(here).log(offset)
        np.exp(density, out=density)
        total[here] = density.sum(0) + density[0] * closing[here]
        start = end
    found = np.empty(len(theta))
    found[order] = np.log(step * total)
    return found


@dataclass(frozen=True, eq=False)
class _Ratio:
    """Log f(x0 + u) - log f(x0) = lead u - fall (e^u - 1) - sum_e weight_e log(1 + share_e (e^(+-u) - 1)).

    For each exposure the sign is the one with share <= 1/2, so that no large terms cancel.
    """

    lead: np.ndarray
    fall: np.ndarray
    weight: np.ndarray  # (exposures, n)
    share: np.ndarray
    flipped: np.ndarray
    poisson: np.ndarray  # (n,)

    @classmethod
    def at(cls, cells: Cells, theta: np.ndarray) -> "_Ratio":
        poisson = cells.inverse < POISSON
        concentration = 1.0 / np.where(poisson, 1.0, cells.inverse)
        mean = theta * cells.exposure
        odds = mean * np.where(poisson, 0.0, cells.inverse)
        flipped = odds > 1.0
        share = np.where(flipped, 1.0, odds) / (1.0 + odds)
        weight = np.where(poisson, cells.number * mean, cells.total + cells.number * concentration)
        lead = cells.shape + np.where(flipped, -cells.number * concentration, cells.total).sum(0)
        return cls(lead, cells.rate * theta, weight, share, flipped, poisson)

    def part(self, index: np.ndarray | slice) -> "_Ratio":
        """Some of the cells."""
        return _Ratio(
            self.lead[index],
            self.fall[index],
            self.weight[:, index],
            self.share[:, index],
            self.flipped[:, index],
            self.poisson[index],
        )

    def log(self, offset: np.ndarray) -> np.ndarray:
        """At offsets u of shape (..., n)."""
        up = np.expm1(offset)
        total = self.lead * offset
        spent = self.fall * up
        total -= spent
        some, all_ = bool(self.poisson.any()), bool(self.poisson.all())
        down: np.ndarray | None = None
        for e in range(len(self.weight)):
            if all_:
                total -= np.multiply(self.weight[e], up, out=spent)
                continue
            turned = self.flipped[e]
            if not turned.any():
                growth = up
            else:
                down = np.expm1(-offset) if down is None else down
                growth = down if turned.all() else np.where(turned, down, up)
            rises = np.multiply(self.share[e], growth, out=spent)
            np.log1p(rises, out=rises)
            if some:
                rises = np.where(self.poisson, up, rises)
            rises *= self.weight[e]
            total -= rises
        return np.asarray(total)


def _log_knee(cells: Cells, drag: np.ndarray) -> np.ndarray:
    """Log theta below which the left tail's series holds."""
    first = cells.rate + (drag * cells.exposure).sum(0)
    largest = (cells.exposure * cells.inverse).max(0, initial=0.0)
    return np.asarray(np.log(SMALL / np.maximum(first, largest)))


def _left_tail(
    cells: Cells, theta: np.ndarray, slope: np.ndarray, drag: np.ndarray, step: np.ndarray, at_knee: np.ndarray
) -> np.ndarray:
    """Sum of f at x - step, x - 2 step, ... over f(x), where theta = e^x."""
    with np.errstate(over="ignore"):
        closing = 1.0 / np.expm1(slope * step)
    if not at_knee.any():
        return np.asarray(closing)
    # log G = l_1 theta - ...; m g_m = sum_i i l_i g_(m-i)
    terms = [-cells.rate * theta - (drag * cells.exposure).sum(0) * theta]
    ratio = theta * cells.exposure * cells.inverse
    each = drag * cells.exposure * theta
    for _ in range(1, _SERIES):
        each = -each * ratio
        terms.append(-each.sum(0))
    series = [np.ones_like(theta)]
    for m in range(1, _SERIES + 1):
        series.append(sum(terms[i - 1] * series[m - i] for i in range(1, m + 1)) / m)
    with np.errstate(over="ignore"):
        tail = sum(g / np.expm1((slope + m) * step) for m, g in enumerate(series))
    return np.where(at_knee, tail / np.where(at_knee, sum(series), 1.0), closing)


def _extent(
    cells: Cells,
    ratio: _Ratio,
    theta: np.ndarray,
    sd: np.ndarray,
    knee: np.ndarray,
    slope: np.ndarray,
    drag: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Offsets from the mode where the points start and end.

    Newton's method on a convex function: wherever it starts, it has passed the place `DROP` nats down after one step
    and comes back to it from outside. The prior alone, one of the concave terms, bounds it.
    """
    gaussian = np.sqrt(2.0 * DROP) * sd
    fall = DROP / (cells.rate * theta)
    right = np.sqrt(2.0 * fall)  # e^u - 1 - u is at least u^2/2; the map below comes down to its solution from there
    for _ in range(2):
        right = np.log1p(fall + right)
    limits = (np.minimum(1.0 + fall, np.maximum(-knee, 1e-3)), right)
    starts = (gaussian * (1.0 + gaussian / 6.0), gaussian / (1.0 + gaussian / 6.0))
    ends = []
    for sign, limit, start in zip((-1.0, 1.0), limits, starts, strict=True):
        distance = np.minimum(start, limit)
        for _ in range(3):
            missing = DROP + ratio.log(sign * distance)
            gradient = _derivatives(cells, theta * np.exp(sign * distance), slope, drag)[0]
            distance = np.minimum(distance + missing / np.maximum(-sign * gradient, 1e-300), limit)
        ends.append(distance)
    return np.maximum(-ends[0], knee), ends[1]
