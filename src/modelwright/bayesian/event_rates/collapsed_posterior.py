"""Draws of the population's parameters with every rate integrated out.

Independence Metropolis-Hastings over proposals fitted to the collapsed density (`inference.collapsed`) where their
k-hat says that they cover it; otherwise, with the reason, the No-U-Turn sampler on the same density.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from modelwright.bayesian.event_rates.collapsed_density import CollapsedDensity, to_population
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE
from modelwright.bayesian.event_rates.start import starting_point
from modelwright.bayesian.event_rates.statistics import SufficientStatistics
from modelwright.bayesian.inference.collapsed import (
    LARGEST_K_HAT,
    LEAST_EFFICIENCY,
    IndependenceDraws,
    sample_by_independence,
)
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import STATISTICS
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress

__all__ = ["HyperparameterDraws", "Method", "sample_hyperparameters", "to_population"]

Method = Literal["auto", "independence_metropolis", "nuts"]

_TABLE, _OTHERS = 12, 3
"""Values of alpha and of phi that are tried in search of other modes, and modes that are climbed to."""


@dataclass(frozen=True, eq=False)
class HyperparameterDraws:
    """Draws from the posterior of the population.

    Args:
        values: "mu", "alpha" and, unless the counts are Poisson, "phi", each of shape (chain, draw).
        method: "independence_metropolis" or "nuts".
        k_hat: Pareto k-hat of the independent proposals, also where NUTS took their place; NaN where none were made.
        acceptance: Mean acceptance rate of each chain, shape (chain,).
        log_density: Log posterior density in unconstrained coordinates, evidence not divided out, shape (chain, draw).
        statistics: For `sample_stats`: name -> array of shape (chain, draw). "lp", "acceptance_rate" and "accepted" of
            independent proposals, all of `traces.STATISTICS` of NUTS.
        reason: Why this method, a sentence without its full stop.
        seconds: Wall time.
    """

    values: dict[str, np.ndarray]
    method: str
    k_hat: float
    acceptance: np.ndarray
    log_density: np.ndarray
    statistics: dict[str, np.ndarray]
    reason: str
    seconds: float


def sample_hyperparameters(
    statistics: SufficientStatistics,
    config: ModelConfig,
    *,
    progress: ProgressCallback = ignore_progress,
    cores: int | None = None,
    method: Method = "auto",
) -> HyperparameterDraws:
    """Draw from the posterior of the population, `config.n_chains` chains of `config.n_samples` draws.

    Args:
        statistics: The data.
        config: Priors, likelihood, parameterisation; how many draws; the seed.
        progress: Called with events of the stages "mode" and "sample" (and those of NUTS, if it comes to that); the
            event that announces a fall-back says why in its `info`. May raise to interrupt.
        cores: Threads; the draws do not depend on it.
        method: "auto", or one of the two and no other.

    Raises:
        ConfigurationError: the method is not one of these, or independent proposals were asked for and do not fit.
        MissingDependencyError: NUTS is needed, and NumPyro is not installed.

    Example:
        >>> from modelwright.bayesian.event_rates.statistics import statistics_of
        >>> from modelwright.data.datasets import pump_failures
        >>> config = ModelConfig(likelihood="poisson", n_samples=200, n_chains=2)
        >>> found = sample_hyperparameters(statistics_of(pump_failures()), config)
        >>> found.method, found.values["mu"].shape
        ('independence_metropolis', (2, 200))
    """
    if method not in ("auto", "independence_metropolis", "nuts"):
        raise ConfigurationError(
            "no such method", field="method", expected="'auto', 'independence_metropolis' or 'nuts'", got=method
        )
    began = time.perf_counter()
    teller = _Teller(progress)
    density = CollapsedDensity(statistics, config, cores, teller.tick)
    settings = NutsSettings(
        draws=config.n_samples,
        tune=config.n_tune,
        chains=config.n_chains,
        target_accept=config.target_accept,
        seed=config.random_seed,
        max_tree_depth=config.max_tree_depth,
        cores=cores,
    )
    guess = starting_point(statistics.compressed(), config)
    start = density.point(guess.values)
    scale = np.array([float(guess.scales[name]) for name in density.names])
    start = np.concatenate([start[None], other_starts(density, guess.values)])
    if method == "nuts":
        start = start[np.argmax(density(start))]
        reason = "as asked"
        return _by_nuts(density, start, scale, settings, progress, reason, float("nan"), began)
    found = sample_by_independence(density, start, settings, scale=scale, progress=teller)
    if method == "independence_metropolis" and not found.reliable:
        raise ConfigurationError(
            f"independent proposals do not cover this posterior: Pareto k-hat is {found.k_hat:.2f}, their effective "
            f"share {found.efficiency:.2f}",
            field="method",
            expected=f"k-hat of at most {LARGEST_K_HAT} and a share of at least {LEAST_EFFICIENCY}",
            got=method,
            todo="leave the method to auto, which takes NUTS here",
        )
    if method == "auto" and not found.reliable:
        reason = (
            f"independent proposals do not cover this posterior (Pareto k-hat {found.k_hat:.2f} where "
            f"{LARGEST_K_HAT} is the most, effective share {found.efficiency:.2f} where {LEAST_EFFICIENCY} is the "
            "least), so NUTS sampled the same density"
        )
        progress(ProgressEvent("mode", 1, 1, info={"k_hat": round(found.k_hat, 2), "fallback": reason}))
        return _by_nuts(density, found.center, found.scale, settings, progress, reason, found.k_hat, began)
    return _of_independence(found, density, method, began)


def other_starts(density: CollapsedDensity, guess: Mapping[str, np.ndarray]) -> np.ndarray:
    """Where else the posterior may have a mode: the local maxima of a coarse table over alpha and phi, best first.

    With few windows per entity, rates that differ and counts that scatter explain the same data: two modes, many
    standard deviations apart, of which moments see one.

    Returns:
        Coordinates, shape (n, n_coordinates), n at most `_OTHERS`.
    """
    statistics = density.statistics
    pooled = (statistics.total.sum() + 0.5) / (statistics.windows * statistics.exposure).sum()
    mean = guess[MU] if MU in guess else guess[SHAPE] / guess[ALPHA]
    axes = [np.log(np.unique([float(mean), float(pooled)]))]
    for name in (ALPHA, PHI):
        if name in guess:
            prior, here = density.priors[name], np.log(float(guess[name]))
            low, high = (np.log(np.clip(prior.quantile(p), 1e-12, 1e12)) for p in (0.01, 0.99))
            axes.append(np.linspace(min(low, here) - 1.0, max(high, here) + 0.5, _TABLE))
    table = np.exp(np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1))
    points = density.point(dict(zip((MU, ALPHA, PHI), np.moveaxis(table, -1, 0), strict=False)))
    heights = density(points.reshape(-1, points.shape[-1])).reshape(points.shape[:-1])
    best = heights.argmax(0)  # over mu
    profile = heights.max(0)
    padded = np.pad(profile, 1, constant_values=-np.inf)
    around = np.lib.stride_tricks.sliding_window_view(padded, (3,) * profile.ndim)
    peaks = np.argwhere((profile >= around.max(tuple(range(profile.ndim, 2 * profile.ndim)))) & np.isfinite(profile))
    order = np.argsort([-profile[tuple(peak)] for peak in peaks], kind="stable")[:_OTHERS]
    return np.stack([points[(best[tuple(peak)], *peak)] for peak in peaks[order]])


def _of_independence(
    found: IndependenceDraws, density: CollapsedDensity, method: Method, began: float
) -> HyperparameterDraws:
    steps = "" if found.steps == 1 else f", {found.steps} steps a draw"
    covered = f"independent proposals cover the posterior (Pareto k-hat {found.k_hat:.2f}{steps})"
    return HyperparameterDraws(
        values=density.values(found.points),
        method="independence_metropolis",
        k_hat=found.k_hat,
        acceptance=found.acceptance_rate.mean(1),
        log_density=found.log_density,
        statistics={
            "lp": found.log_density,
            "acceptance_rate": found.acceptance_rate,
            "accepted": found.accepted,
        },
        reason=covered if method == "auto" else f"as asked; Pareto k-hat {found.k_hat:.2f}{steps}",
        seconds=time.perf_counter() - began,
    )


def _by_nuts(
    density: CollapsedDensity,
    center: np.ndarray,
    scale: np.ndarray,
    settings: NutsSettings,
    progress: ProgressCallback,
    reason: str,
    k_hat: float,
    began: float,
) -> HyperparameterDraws:
    from modelwright.bayesian.event_rates.collapsed_numpyro import collapsed_model
    from modelwright.bayesian.inference.samplers import sample_numpyro_model

    trace = sample_numpyro_model(
        collapsed_model,
        settings,
        model_args=(density.terms, density.config),
        start=density.natural(center),
        scale=dict(zip(density.names, np.clip(scale, 1e-6, 2.0), strict=True)),
        progress=progress,
    )
    points = density.point({str(name): values.to_numpy() for name, values in trace.posterior.items()})
    statistics: dict[str, Any] = {
        name: trace.sample_stats[name].to_numpy() for name in STATISTICS if name in trace.sample_stats
    }
    return HyperparameterDraws(
        values=density.values(points),
        method="nuts",
        k_hat=k_hat,
        acceptance=statistics["acceptance_rate"].mean(1),
        log_density=statistics["lp"],
        statistics=statistics,
        reason=reason,
        seconds=time.perf_counter() - began,
    )


class _Teller:
    """Repeats the last event between blocks, a few times a second: who listens may interrupt there."""

    def __init__(self, progress: ProgressCallback) -> None:
        self._progress = progress
        self._last: ProgressEvent | None = None
        self._when = 0.0

    def __call__(self, event: ProgressEvent) -> None:
        self._last, self._when = event, time.perf_counter()
        self._progress(event)

    def tick(self) -> None:
        """Between two blocks."""
        if self._last is not None and time.perf_counter() - self._when > 0.2:
            self(self._last)
