"""Draws of an extended model's hyperparameters from their density with every rate integrated out.

The modes and the curvature at each (`collapsed_modes`), then independence Metropolis-Hastings over proposals fitted to
the density (`inference.collapsed`), in coordinates in which the normal approximation at the first mode is standard;
where k-hat says that the proposals do not cover the density, NUTS on the same density, with the reason.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended
from modelwright.bayesian.event_rates.extensions.collapsed_modes import (
    Mode,
    density_by_modes,
    modes_of,
    nearest_mode,
    standardised,
)
from modelwright.bayesian.inference.collapsed import sample_by_independence
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import STATISTICS
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress

MOST_INDEPENDENT = 45
"""Hyperparameters up to which independent proposals are tried."""


@dataclass(frozen=True, eq=False)
class CollapsedDraws:
    """Draws of the hyperparameters.

    Args:
        points: In the model's coordinates, shape (chain, draw, d).
        modes: The modes that were found, the one of largest mass first.
        nearest: Which of them each draw is nearest to, shape (chain, draw).
        statistics: For `sample_stats`: name -> array of shape (chain, draw).
        method: "independence_metropolis" or "nuts".
        k_hat: Pareto k-hat of the independent proposals, NaN where none were made.
        reason: Why this method, a sentence without its full stop.
        seconds: Wall time.
    """

    points: np.ndarray
    modes: tuple[Mode, ...]
    nearest: np.ndarray
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
    modes = modes_of(density, progress)
    mode, factor, d = modes[0].point, modes[0].factor, len(modes[0].point)
    if method == "nuts" or (method == "auto" and d > MOST_INDEPENDENT):
        reason = "as asked" if method == "nuts" else f"independent proposals rarely cover {d} hyperparameters"
        return _by_nuts(modes, mode, factor, settings, progress, reason, float("nan"), began)
    found = sample_by_independence(
        lambda z: density_by_modes(modes, mode + z @ factor.T),
        np.zeros(d),
        settings,
        modes=standardised(modes),
        costly=True,
        progress=progress,
    )
    if not found.reliable:
        reason = (
            f"independent proposals do not cover this posterior (Pareto k-hat {found.k_hat:.2f}, effective share "
            f"{found.efficiency:.0%}), so NUTS sampled the same density"
        )
        progress(ProgressEvent("mode", 1, 1, info={"k_hat": round(found.k_hat, 2), "fallback": reason}))
        wider = factor * found.scale  # what the pilot draws taught about the spreads
        return _by_nuts(modes, mode + factor @ found.center, wider, settings, progress, reason, found.k_hat, began)
    steps = "" if found.steps == 1 else f", {found.steps} steps a draw"
    steps += "" if len(modes) == 1 else f", {len(modes)} modes"
    points = mode + found.points @ factor.T
    return CollapsedDraws(
        points=points,
        modes=modes,
        nearest=nearest_mode(modes, points.reshape(-1, d)).reshape(points.shape[:2]),
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


def _by_nuts(
    modes: tuple[Mode, ...],
    center: np.ndarray,
    factor: np.ndarray,
    settings: NutsSettings,
    progress: ProgressCallback,
    reason: str,
    k_hat: float,
    began: float,
) -> CollapsedDraws:
    from modelwright.bayesian.event_rates.extensions.collapsed_numpyro import STANDARD, collapsed_extended
    from modelwright.bayesian.inference.samplers import sample_numpyro_model

    trace = sample_numpyro_model(
        collapsed_extended,
        settings,
        model_args=(modes[0].density, center, factor),
        start={STANDARD: np.zeros(len(center))},
        scale={STANDARD: np.ones(len(center))},
        progress=progress,
    )
    statistics: dict[str, Any] = {
        name: trace.sample_stats[name].to_numpy() for name in STATISTICS if name in trace.sample_stats
    }
    points = center + trace.posterior[STANDARD].to_numpy() @ factor.T
    nearest = np.zeros(points.shape[:2], dtype=np.int64)  # its chains move under the first one's anchor
    if len(modes) > 1:
        reason += f"; {len(modes)} modes were found, and the chains start at the one of largest mass only"
    return CollapsedDraws(
        points=points,
        modes=modes,
        nearest=nearest,
        statistics=statistics,
        method="nuts",
        k_hat=k_hat,
        reason=reason,
        seconds=time.perf_counter() - began,
    )
