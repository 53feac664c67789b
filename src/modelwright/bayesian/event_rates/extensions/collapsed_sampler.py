"""Draws of an extended model's hyperparameters from their density with every rate integrated out.

The mode by a quasi-Newton method with exact gradients, the curvature there by differences of these, then independence
Metropolis-Hastings over proposals fitted to the density (`inference.collapsed`), in coordinates in which the normal
approximation at the mode is standard; where k-hat says that the proposals do not cover the density, NUTS on the same
density, with the reason.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.inference.collapsed import LARGEST_K_HAT, sample_by_independence
from modelwright.bayesian.inference.laplace import Modes
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import STATISTICS
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress

_WIDEST = 3.0
"""Largest standard deviation that the normal approximation gives a direction, in rough ones of the start."""

_STEPS_TO_MODE = 50
_WORTH_COMPILING = 400_000_000
"""Rows times points times cells of all evaluations that differences take, from which gradients are compiled."""

MOST_INDEPENDENT = 45
"""Hyperparameters up to which independent proposals are tried."""


@dataclass(frozen=True, eq=False)
class CollapsedDraws:
    """Draws of the hyperparameters.

    Args:
        points: In the model's coordinates, shape (chain, draw, d).
        statistics: For `sample_stats`: name -> array of shape (chain, draw).
        method: "independence_metropolis" or "nuts".
        k_hat: Pareto k-hat of the independent proposals, NaN where none were made.
        reason: Why this method, a sentence without its full stop.
        seconds: Wall time.
    """

    points: np.ndarray
    statistics: dict[str, np.ndarray]
    method: str
    k_hat: float
    reason: str
    seconds: float


def sample_collapsed(
    density: CollapsedExtended,
    settings: NutsSettings,
    *,
    method: str = "auto",
    progress: ProgressCallback = ignore_progress,
) -> CollapsedDraws:
    """Chains of draws from the density.

    Args:
        density: The density.
        settings: Draws, chains, seed; what NUTS needs besides is looked at only when it comes to that.
        method: "auto", "independence_metropolis" (NUTS only where that fails) or "nuts".
        progress: Called with events of the stages "mode" and "sample" (and those of NUTS); the event that announces a
            fall-back says why in its `info`.

    Example:
        >>> from modelwright.bayesian.event_rates.config import ModelConfig
        >>> from modelwright.bayesian.event_rates.extensions.collapsed_coordinates import coordinates_of
        >>> from modelwright.bayesian.event_rates.extensions.design import design_of
        >>> from modelwright.bayesian.event_rates.extensions.settings import Extensions
        >>> from modelwright.data.datasets import pump_failures
        >>> inflated, config = Extensions.create(chosen="zero_inflation"), ModelConfig(likelihood="poisson")
        >>> density = CollapsedExtended(coordinates_of(design_of(pump_failures(), inflated), config, inflated))
        >>> sample_collapsed(density, NutsSettings(draws=100, chains=2)).points.shape
        (2, 100, 3)
    """
    began = time.perf_counter()
    mode, factor = normal_approximation(density, progress)
    density = density.anchored_at(mode)
    d = len(mode)
    if method == "nuts" or (method == "auto" and d > MOST_INDEPENDENT):
        reason = "as asked" if method == "nuts" else f"independent proposals rarely cover {d} hyperparameters"
        return _by_nuts(density, mode, factor, settings, progress, reason, float("nan"), began)
    standard = Modes(np.zeros((1, d)), np.eye(d)[None], np.zeros(1))
    found = sample_by_independence(
        lambda z: density(mode + z @ factor.T), np.zeros(d), settings, modes=standard, costly=True, progress=progress
    )
    if not found.reliable:
        reason = (
            f"independent proposals do not cover this posterior (Pareto k-hat {found.k_hat:.2f}, effective share "
            f"{found.efficiency:.0%}), so NUTS sampled the same density"
        )
        progress(ProgressEvent("mode", 1, 1, info={"k_hat": round(found.k_hat, 2), "fallback": reason}))
        wider = factor * found.scale  # what the pilot draws taught about the spreads
        return _by_nuts(density, mode + factor @ found.center, wider, settings, progress, reason, found.k_hat, began)
    steps = "" if found.steps == 1 else f", {found.steps} steps a draw"
    return CollapsedDraws(
        points=mode + found.points @ factor.T,
        statistics={
            "lp": found.log_density,
            "acceptance_rate": found.acceptance_rate,
            "accepted": found.accepted,
        },
        method="independence_metropolis",
        k_hat=found.k_hat,
        reason=f"independent proposals cover the posterior (Pareto k-hat {found.k_hat:.2f}{steps})",
        seconds=time.perf_counter() - began,
    )


def normal_approximation(
    density: CollapsedExtended, progress: ProgressCallback = ignore_progress
) -> tuple[np.ndarray, np.ndarray]:
    """Mode (d,) and a factor L (d, d) of the covariance L L' there; directions without curvature get a wide spread.

    Derivatives are exact, or by differences where evaluating these takes less time than compiling the exact ones.
    """
    start, scale = density.coordinates.start()
    d, done = len(start), 0
    by_differences = density.numbers * d * (_STEPS_TO_MODE + d) < _WORTH_COMPILING

    def derivatives(point: np.ndarray, width: np.ndarray) -> tuple[float, np.ndarray]:
        if not by_differences:
            return density.value_and_gradient(point)
        moves = np.diag(width)
        values = density(np.concatenate([point[None], point + moves, point - moves]))
        return float(values[0]), (values[1 : d + 1] - values[d + 1 :]) / (2.0 * width)

    def negative(z: np.ndarray) -> tuple[float, np.ndarray]:
        nonlocal done
        done += 1
        progress(ProgressEvent("mode", min(done / 100.0, 0.9), 1))
        point = start + scale * z
        if not density.coordinates.usable(point[None])[0]:
            return 1e300, np.zeros_like(z)
        value, gradient = derivatives(point, 1e-3 * scale)
        if not np.isfinite(value) or not np.isfinite(gradient).all():
            return 1e300, np.zeros_like(z)
        return -value, -gradient * scale

    found = optimize.minimize(negative, np.zeros(d), jac=True, method="BFGS", options={"gtol": 1e-2})
    mode = start + scale * found.x
    width = 0.02 * scale * np.sqrt(np.clip(np.diagonal(found.hess_inv), 1e-4, 25.0))
    rows = []
    for move in np.diag(width):
        progress(ProgressEvent("mode", 0.9, 1))
        up, down = (derivatives(point, 0.5 * width)[1] for point in (mode + move, mode - move))
        rows.append((up - down) / (2.0 * move.sum()))
    hessian = np.nan_to_num(np.stack(rows)) * np.outer(scale, scale)
    strength, axes = np.linalg.eigh(-0.5 * (hessian + hessian.T))
    spread = 1.0 / np.sqrt(np.maximum(np.abs(strength), 1.0 / _WIDEST**2))
    return mode, scale[:, None] * axes * spread


def _by_nuts(
    density: CollapsedExtended,
    center: np.ndarray,
    factor: np.ndarray,
    settings: NutsSettings,
    progress: ProgressCallback,
    reason: str,
    k_hat: float,
    began: float,
) -> CollapsedDraws:
    from modelwright.bayesian.event_rates.extensions.collapsed_numpyro import STANDARD, collapsed_extended
    from modelwright.bayesian.inference.nuts import sample_numpyro_model

    trace = sample_numpyro_model(
        collapsed_extended,
        settings,
        model_args=(density, center, factor),
        start={STANDARD: np.zeros(len(center))},
        scale={STANDARD: np.ones(len(center))},
        progress=progress,
    )
    statistics: dict[str, Any] = {
        name: trace.sample_stats[name].to_numpy() for name in STATISTICS if name in trace.sample_stats
    }
    return CollapsedDraws(
        points=center + trace.posterior[STANDARD].to_numpy() @ factor.T,
        statistics=statistics,
        method="nuts",
        k_hat=k_hat,
        reason=reason,
        seconds=time.perf_counter() - began,
    )


__all__ = ["LARGEST_K_HAT", "CollapsedDraws", "normal_approximation", "sample_collapsed"]
