"""What 90 % intervals of a guide family can cover at best, from the curvature at the mode, before any guide is fitted.

For a posterior that is normal with precision H, the best guide of a given structure of dependence, in the sense that
SVI optimises, is known:

    independent blocks                          covariance of block b is (H_bb)^-1
    blocks that follow a base linearly          given the base (H_bb)^-1, slopes -H_mm^-1 H_mb, the base's own exact
    W W' + diag(d) over some numbers            by minimising tr(H S)/2 - log |S|/2

A quantity t(z) with derivative J has variance J S J' under the guide and J H^-1 J' under the posterior; with q^2 the
ratio, its 90 % intervals cover 2 Phi(1.645 q) - 1 of the truths. Families of normal form are held to their form as
well: to the mass that the posterior itself has inside of mean -+ 1.645 q standard deviations, where draws of it are at
hand: Laplace's, reweighted, where its k-hat allows that, and else those of NUTS (`--reference nuts`), which knows
nothing of any guide. Without either, the formula stands alone, as it does for mixtures, whose components NUTS may
exchange. A family that reaches 85 % for the quantities of a group is one that can. This is generous to families of
normal form: where a posterior is skewed, the nearest normal in the sense of SVI lies beside its mean and is narrower.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from recovery_models import RANK, Case, parents, quantities
from scipy.optimize import minimize
from scipy.stats import norm

from modelwright.bayesian.components import ObservedCounts
from modelwright.bayesian.inference import nuts
from modelwright.bayesian.inference.pareto_smoothing import smoothed_weights
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.core.seeds import named_generator

EDGE = float(norm.ppf(0.95))
LEAST, MOST = 0.85, 0.95
"""What 90 % intervals are to cover."""

TRUSTED = 0.7
"""k-hat up to which reweighted draws of Laplace's approximation count as draws of the posterior."""

LOGIT = ("p", "gate", "p_capture", "weights")


@dataclass(frozen=True)
class Reference:
    """The normal approximation of every data set, and draws of the posterior where it can be reweighted to them.

    Args:
        sites: Site -> its place in the vector of unknowns, and its shape.
        precision: H of each data set, shape (data set, d, d).
        derivative: Group -> of each data set the derivative of its quantities, shape (data set, quantity, d).
        normal: Site -> draws of the normal approximation, shape (data set, draw, ...).
        exact: Draws of the posterior itself, for data sets where `known`.
        known: Whether there are such draws of a data set.
        k_hat: Of the normal approximation of each data set.
    """

    sites: Mapping[str, tuple[slice, tuple[int, ...]]]
    precision: np.ndarray
    derivative: Mapping[str, np.ndarray]
    normal: Mapping[str, np.ndarray]
    exact: Mapping[str, np.ndarray]
    known: np.ndarray
    k_hat: np.ndarray


def reference_of(
    case: Case, known: Sequence[Mapping[str, Any]], draws: int, sampled: Sequence[ObservedCounts] | None = None
) -> Reference:
    """The reference of a case from the modes of its data sets; call with double precision on.

    Args:
        case: The case.
        known: What has been found of each data set's mode.
        draws: Draws of each.
        sampled: The data sets, for NUTS to draw from where Laplace's draws cannot be reweighted.
    """
    density = known[0]["mode"][0]
    modes = np.stack([each["mode"][1].z for each in known])
    covariances = np.stack([_covariance(each["curvature"], density.size) for each in known])
    arrays = tuple(
        np.stack(parts) for parts in zip(*(each["mode"][0].call.device_arrays() for each in known), strict=True)
    )
    roots = np.linalg.cholesky(covariances)
    noise = named_generator(7, "reference").standard_normal((len(known), 2 * draws, density.size))
    z = modes[:, None] + np.einsum("dij,dnj->dni", roots, noise)
    derivative = {}
    for group, function in quantities(case).items():

        def flat(z: Any, arrays: Any, function: Callable[..., Any] = function) -> Any:
            found = function(density.constrain(z, arrays))
            return jnp.concatenate([jnp.ravel(part) for part in found.values()])

        derivative[group] = np.asarray(jax.jit(jax.vmap(jax.jacrev(flat)))(modes, arrays))
    constrain = jax.jit(jax.vmap(jax.vmap(density.constrain, in_axes=(0, None))))
    normal = {name: np.asarray(values) for name, values in constrain(z, arrays).items()}
    one = jax.jit(jax.vmap(density.log_joint, in_axes=(0, None)))
    of_model = np.stack([one(z[k], tuple(part[k] for part in arrays)) for k in range(len(known))])
    log_ratio = of_model + 0.5 * (noise**2).sum(-1)
    lowest = np.where(np.isfinite(log_ratio), log_ratio, np.inf).min(axis=1, keepdims=True)
    weights, k_hat = smoothed_weights(np.where(np.isfinite(log_ratio), log_ratio, lowest - 700.0))
    picked = [named_generator(8, f"{k}").choice(2 * draws, draws, p=row) for k, row in enumerate(weights)]
    exact = {name: np.stack([values[k][at] for k, at in enumerate(picked)]) for name, values in normal.items()}
    trusted = np.asarray(k_hat) < TRUSTED
    if sampled is not None and case.name != "mixture":
        for k in np.flatnonzero(~trusted):
            found = drawn_by_nuts(case, sampled[k], draws)
            if found is not None:
                trusted[k] = True
                for name, values in found.items():
                    exact[name][k] = values
    return Reference(
        {name: (density.places[name], shape) for name, shape in density.shapes.items()},
        np.linalg.inv(covariances),
        derivative,
        {name: values[:, :draws] for name, values in normal.items()},
        exact,
        trusted,
        np.asarray(k_hat),
    )


def drawn_by_nuts(case: Case, data: ObservedCounts, draws: int) -> dict[str, np.ndarray] | None:
    """Draws of a posterior by NUTS, two chains; None where they do not agree (R-hat of a number above 1.05)."""
    settings = NutsSettings(draws=draws, tune=1000, chains=2, target_accept=0.9)
    sample = nuts(case.model, data, settings=settings).sample(2 * draws)
    for values in sample.values():
        chains = np.asarray(values, float).reshape(2, draws, -1)
        within, between = chains.var(1, ddof=1).mean(0), draws * chains.mean(1).var(0, ddof=1)
        r_hat = np.sqrt((draws - 1) / draws + between / (draws * np.maximum(within, 1e-300)))
        if np.nanmax(r_hat) > 1.05:
            return None
    return {name: np.asarray(values, float)[::2] for name, values in sample.items()}


def _covariance(curvature: Any, size: int) -> np.ndarray:
    """H^-1, from any form of curvature."""
    root = np.asarray(curvature.draw(np.eye(size)))
    found = root.T @ root
    return 0.5 * (found + found.T) + 1e-12 * np.eye(size)


def reach(case: Case, family: str, reference: Reference) -> dict[str, float]:
    """Group -> the share of true values that 90 % intervals of the best guide of this family would cover."""
    found: dict[str, list[float]] = {group: [] for group in reference.derivative}
    for k, precision in enumerate(reference.precision):
        guide = best_covariance(case, family, reference.sites, precision)
        covariance = np.linalg.inv(precision)
        for group, function in quantities(case).items():
            j = reference.derivative[group][k]
            variance = np.maximum(np.einsum("ti,ij,tj->t", j, covariance, j), 1e-300)
            q = np.sqrt(np.einsum("ti,ij,tj->t", j, guide, j) / variance)
            if "flow" in family or not reference.known[k]:
                covered = 2.0 * norm.cdf(EDGE * q) - 1.0
            else:
                values = function({name: each[k] for name, each in reference.exact.items()})
                u = np.concatenate([unbounded(case, name, part) for name, part in values.items()], axis=1)
                covered = (np.abs(u - u.mean(0)) < EDGE * q * u.std(0)).mean(0)
            found[group].append(float(covered.mean()))
    return {group: float(np.mean(each)) for group, each in found.items()}


def unbounded(case: Case, name: str, values: Any) -> np.ndarray:
    """Draws of a quantity on the whole real line, shape (draw, number)."""
    flat = np.asarray(values, float).reshape(len(values), -1)
    if name in LOGIT:
        flat = np.clip(flat, 1e-12, 1.0 - 1e-12)
        return np.log(flat) - np.log1p(-flat)
    return flat if case.name in ("gaussian", "lognormal") and name == "mu" else np.log(np.maximum(flat, 1e-300))


def best_covariance(
    case: Case, family: str, sites: Mapping[str, tuple[slice, tuple[int, ...]]], precision: np.ndarray
) -> np.ndarray:
    """The covariance of the best guide of a family for a normal posterior of this precision."""
    size = len(precision)
    base, moved = [], []
    for name, (place, _) in sites.items():
        if case.globals and case.globals[0] in parents(case, family, name):
            moved += range(place.start, place.stop)
            first = sites[case.globals[0]][0]
            base = list(range(first.start, first.stop))
    found = np.zeros((size, size))
    for block in _blocks(case, family, sites):
        at = np.ix_(block, block)
        joint = family == "joint low rank" and len(block) > 1
        found[at] = low_rank(precision[at], RANK) if joint else np.linalg.inv(precision[at])
    if base:
        on, own = np.ix_(moved, base), np.ix_(moved, moved)
        slopes = -np.linalg.solve(precision[own], precision[on])
        variance = np.linalg.inv(precision[np.ix_(base, base)] + precision[on].T @ slopes)
        found[np.ix_(base, base)] = variance
        found[own] += slopes @ variance @ slopes.T
        found[on] = slopes @ variance
        found[np.ix_(base, moved)] = (slopes @ variance).T
    return found


def _blocks(case: Case, family: str, sites: Mapping[str, tuple[slice, tuple[int, ...]]]) -> list[list[int]]:
    """Numbers that the guide draws together, given what they follow."""
    whole = {name: list(range(place.start, place.stop)) for name, (place, _) in sites.items()}
    apart = [[k] for name in case.of_cells for k in whole[name]]
    others = [name for name in sites if name not in case.of_cells]
    if family == "joint low rank":
        return [*apart, [k for name in others for k in whole[name]]]
    gate_on_level = family == "chain" or (not case.globals and family in ("conditional", "conditional flow"))
    if family in ("low rank", "flow", "conditional flow") and not gate_on_level:
        return [*apart, *(whole[name] for name in others)]
    if gate_on_level and len(case.of_genes) > 1:  # what belongs to one gene is drawn together
        together = zip(*(whole[name] for name in case.of_genes), strict=True)
        rest = [[k] for name in others if name not in case.of_genes for k in whole[name]]
        return [*apart, *rest, *(list(each) for each in together)]
    return [*apart, *([k] for name in others for k in whole[name])]


def low_rank(precision: np.ndarray, rank: int) -> np.ndarray:
    """The covariance W W' + diag(d) nearest to a normal distribution of this precision."""
    n = len(precision)
    rank = min(rank, n)
    scale = 1.0 / np.sqrt(np.diag(precision))
    scaled = precision * np.outer(scale, scale)

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        w, d = x[: n * rank].reshape(n, rank), np.exp(x[n * rank :])
        s = w @ w.T + np.diag(d)
        slope = 0.5 * (scaled - np.linalg.inv(s))
        value = 0.5 * float((scaled * s).sum()) - 0.5 * float(np.linalg.slogdet(s)[1])
        return value, np.concatenate([(2.0 * slope @ w).ravel(), np.diag(slope) * d])

    values, vectors = np.linalg.eigh(np.linalg.inv(scaled))
    first = vectors[:, -rank:] * np.sqrt(0.5 * values[-rank:])
    begun = np.concatenate([first.ravel(), np.full(n, -0.5)])
    x = minimize(loss, begun, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x
    w = x[: n * rank].reshape(n, rank)
    return (w @ w.T + np.diag(np.exp(x[n * rank :]))) * np.outer(scale, scale)
