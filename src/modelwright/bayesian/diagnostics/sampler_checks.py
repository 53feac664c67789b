"""The part of the verdict that depends on how the draws were made.

NUTS says of itself where it failed: divergences, trajectories cut short, energies. Draws that were proposed
independently of each other (an independence Metropolis sampler with a fitted proposal) have no trajectories, so these
checks do not apply to them, which is neither good nor unknown. They have others: the Pareto shape k-hat of the
importance weights between posterior and proposal, and the share of proposals that were accepted.

A trace says in the attributes of its posterior which it is: `engine` "collapsed" with `method`
"independence_metropolis" (and `k_hat`) or "nuts" (and `reason`, why). Whatever says nothing is taken for NUTS, and what
it lacks is unknown.

Source: Vehtari, Simpson, Gelman, Yao and Gabry (2024), "Pareto smoothed importance sampling",
https://jmlr.org/papers/v25/19-556.html; Tierney (1994), "Markov chains for exploring posterior distributions",
https://doi.org/10.1214/aos/1176325750, for the independence sampler.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from modelwright.bayesian.diagnostics import findings
from modelwright.bayesian.diagnostics.chain_statistics import bfmi
from modelwright.core.verdict import Finding

COLLAPSED = "collapsed"
INDEPENDENT = "independence_metropolis"

_SATURATION_NAMES = ("reached_max_tree_depth", "reached_max_treedepth", "maxdepth_reached")  # ours, PyMC's, nutpie's
_OF_NUTS = (
    ("divergences", "divergences"),
    ("tree_depth_saturation", "draws at the largest tree depth"),
    ("bfmi_min", "smallest E-BFMI"),
)
_NEEDED = {True: ("proposal_k_hat",), False: ("divergences",)}


@dataclass(frozen=True)
class NotApplicable:
    """A check that says nothing about draws made in this way.

    Args:
        name: Machine name of the figure ("divergences").
        label: The same for people.
        reason: Why it does not apply.
    """

    name: str
    label: str
    reason: str


@dataclass(frozen=True)
class Sampler:
    """How a trace was drawn.

    Args:
        engine: Which engine, "" when the trace does not say.
        method: Its method, "" when the trace does not say or the engine has only one.
        reason: Why that method, a sentence or "".
        k_hat: Pareto shape of the importance weights, None where there is none.
    """

    engine: str = ""
    method: str = ""
    reason: str = ""
    k_hat: float | None = None

    @property
    def is_independent(self) -> bool:
        """Whether each draw was proposed independently of the one before."""
        return self.engine == COLLAPSED and self.method == INDEPENDENT

    @property
    def sentence(self) -> str:
        """How the draws were made, for a report; empty where there is nothing to explain."""
        if self.engine != COLLAPSED:
            return ""
        why = f": {self.reason.rstrip('.')}" if self.reason else ""
        if self.is_independent:
            return f"The rates were integrated out and the population's parameters proposed independently{why}."
        return f"The rates were integrated out and the population's parameters sampled by NUTS{why}."

    @property
    def needed(self) -> tuple[str, ...]:
        """Findings without which nobody can say that the chains have converged."""
        return _NEEDED[self.is_independent]


@dataclass(frozen=True)
class SamplerChecks:
    """What the sampler's own statistics say.

    Args:
        findings: One per statistic that applies.
        not_applicable: The statistics that do not.
        worst: Name of a finding -> the chain it came from.
        troubled: Whether they show a difficult geometry.
    """

    findings: tuple[Finding, ...]
    not_applicable: tuple[NotApplicable, ...]
    worst: dict[str, str | None]
    troubled: bool


def sampler_of(posterior: xr.Dataset) -> Sampler:
    """How the draws of a posterior group were made, from its attributes.

    Example:
        >>> attrs = {"engine": "collapsed", "method": "independence_metropolis", "k_hat": 0.12}
        >>> sampler_of(xr.Dataset(attrs=attrs)).is_independent, sampler_of(xr.Dataset()).is_independent
        (True, False)
    """
    attrs = posterior.attrs
    return Sampler(
        engine=str(attrs.get("engine", "")),
        method=str(attrs.get("method", "")),
        reason=str(attrs.get("reason", "") or ""),
        k_hat=_number(attrs.get("k_hat")),
    )


def check_sampler(sampler: Sampler, statistics: xr.Dataset | None, draws: findings.Draws) -> SamplerChecks:
    """The findings on the sampler's statistics.

    Args:
        sampler: How the draws were made.
        statistics: The group `sample_stats`, None where there is none.
        draws: How many draws there are.
    """
    if sampler.is_independent:
        rate, rate_at = _smallest_acceptance(statistics)
        found = (findings.proposal_k_hat(sampler.k_hat), findings.acceptance(rate, rate_at, draws))
        reason = "these draws were proposed independently, without trajectories"
        absent = tuple(NotApplicable(name, label, reason) for name, label in _OF_NUTS)
        return SamplerChecks(found, absent, {"acceptance_rate_min": rate_at}, troubled=False)
    divergences = _total(statistics, ("diverging",))
    saturated = _total(statistics, _SATURATION_NAMES)
    energy, energy_at = _smallest_bfmi(statistics)
    return SamplerChecks(
        (
            findings.divergences(divergences, draws),
            findings.saturation(None if saturated is None else saturated / draws.total, draws),
            findings.energy(energy, energy_at),
        ),
        (),
        {"bfmi_min": energy_at},
        troubled=bool(divergences) or (energy is not None and energy < 0.3),
    )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float | np.number) and not isinstance(value, bool) else None


def _total(statistics: xr.Dataset | None, names: tuple[str, ...]) -> int | None:
    for name in names:
        if statistics is not None and name in statistics.data_vars:
            return int(statistics[name].sum())
    return None


def _smallest_bfmi(statistics: xr.Dataset | None) -> tuple[float | None, str | None]:
    if statistics is None or "energy" not in statistics.data_vars:
        return None, None
    by_chain = bfmi(statistics["energy"].transpose("chain", "draw").values)
    return _smallest(by_chain)  # one chain without usable energies leaves the smallest unknown


def _smallest_acceptance(statistics: xr.Dataset | None) -> tuple[float | None, str | None]:
    if statistics is None or "acceptance_rate" not in statistics.data_vars:
        return None, None
    return _smallest(statistics["acceptance_rate"].transpose("chain", "draw").values.mean(axis=1))


def _smallest(by_chain: np.ndarray) -> tuple[float | None, str | None]:
    if not np.isfinite(by_chain).all():
        return None, f"chain {int(np.flatnonzero(~np.isfinite(by_chain))[0])}"
    chain = int(np.argmin(by_chain))
    return float(by_chain[chain]), f"chain {chain}"
