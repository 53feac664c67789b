"""Draws of a few unknowns by independence Metropolis-Hastings, with a check that the proposals cover the posterior.

    modes -> normal approximations -> pilot rounds, each drawn from a t mixture fitted to the weighted draws so far
         -> proposals for every chain, their Pareto k-hat -> accept or reject in turn

A proposal y is accepted in place of x with probability min(1, w(y)/w(x)), w = posterior/proposal density: the chains
have the posterior as their stationary distribution whatever the proposal, and where the proposal is poor it shows: in
k-hat, in the acceptance rate and in the autocorrelation that every diagnostic of chains looks at. All densities are
evaluated beforehand, in large batches.

Source:
    L. Tierney (1994), https://doi.org/10.1214/aos/1176325750 (the chains); J.-M. Cornuet, J.-M. Marin, A. Mira, C. P.
    Robert (2012), https://doi.org/10.1111/j.1467-9469.2011.00756.x (all pilot rounds weighted by their mixture); A.
    Vehtari et al. (2024), https://jmlr.org/papers/v25/19-556.html (k-hat).
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.inference.modes import LogDensity, Modes, find_modes
from modelwright.bayesian.inference.proposals import GOOD, Pilot, extended, fit_proposal, importance
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.seeds import named_generator

LARGEST_K_HAT = 0.7
"""Above this the proposals miss too much of the posterior's tails for the chains to be relied on."""

LEAST_EFFICIENCY = 0.1
"""Below this effective share the proposals hardly resemble the posterior, whatever k-hat makes of their tails."""

_LARGEST_WEIGHT = 12.0
"""A proposal that outweighs the average by more would keep a chain for as many steps: the proposal is fitted again."""

_REFITS = 3
_BURN_IN = 25
_BATCH = 1000


@dataclass(frozen=True, eq=False)
class IndependenceDraws:
    """Chains, or the reason why there are none.

    Args:
        points: Unconstrained draws, shape (chain, draw, d); no draws where the proposals do not fit.
        log_density: At them, shape (chain, draw).
        accepted: Whether any proposal was accepted since the draw before, shape (chain, draw).
        acceptance_rate: Mean acceptance probability since then, shape (chain, draw).
        k_hat: Pareto k-hat of the importance ratios of all proposals (of the last pilot round without draws).
        efficiency: Effective share of the proposals as importance draws.
        steps: Transitions per draw.
        evaluations: Densities evaluated.
        center: Posterior mean according to the pilot draws, shape (d,).
        scale: Posterior standard deviations according to them, shape (d,).
    """

    points: np.ndarray
    log_density: np.ndarray
    accepted: np.ndarray
    acceptance_rate: np.ndarray
    k_hat: float
    efficiency: float
    steps: int
    evaluations: int
    center: np.ndarray
    scale: np.ndarray

    @property
    def reliable(self) -> bool:
        """Whether the proposals cover the posterior; otherwise the draws, if any, are not to be used."""
        return _covers(self.k_hat, self.efficiency)


def sample_by_independence(
    log_density: LogDensity,
    start: np.ndarray,
    settings: NutsSettings,
    *,
    scale: np.ndarray | float = 0.1,
    modes: Modes | None = None,
    costly: bool = False,
    progress: ProgressCallback = ignore_progress,
) -> IndependenceDraws:
    """Chains of draws from a density of a few unknowns.

    Args:
        log_density: Log density in unconstrained coordinates, of many points at once; need not be normalised.
        start: A point to begin the search of the mode from, shape (d,); or several, shape (n, d), where there may be
            several modes: what no start leads to may never be found.
        settings: Draws, chains and seed.
        scale: Rough posterior standard deviations.
        modes: The modes, where they are known already; then `start` and `scale` say nothing.
        costly: Whether evaluating the density takes far longer than fitting proposals to it.
        progress: Called with events of the stages "mode" and "sample"; called between batches, so that it may raise to
            interrupt.

    Returns:
        The chains, or no draws where already the pilot rounds show that the proposals do not fit.

    Example:
        >>> settings = NutsSettings(draws=500, chains=2, seed=1)
        >>> found = sample_by_independence(lambda x: -0.5 * (x**2).sum(1), np.ones(2), settings)
        >>> found.points.shape, found.reliable, bool(found.accepted.mean() > 0.8)
        ((2, 500, 2), True, True)
    """
    work = _Counted(log_density)
    progress(ProgressEvent("mode", 0, 1))
    starts = np.atleast_2d(np.asarray(start, float))
    modes = find_modes(work, starts, scale=scale) if modes is None else modes
    generator = named_generator(settings.seed, "independence proposals")
    wanted = settings.draws * settings.chains if costly else None
    pilot = fit_proposal(work, modes, generator, progress, wanted=wanted)
    progress(ProgressEvent("mode", 1, 1, info={"k_hat": round(pilot.k_hat, 2)}))
    if pilot.efficiency < LEAST_EFFICIENCY:
        return _without_draws(pilot, settings, work.evaluations)
    main = _proposals(work, pilot, settings, generator, progress)
    for _ in range(_REFITS):
        if main.even:
            break
        # some place has been found where the proposal is far too low: learn from these and draw others
        pilot = extended(pilot, main.points, main.log_target, main.k_hat, generator)
        main = _proposals(work, pilot, settings, generator, progress)
    streams, steps = main.streams, main.steps
    proposals = main.points.reshape(settings.chains, -1, starts.shape[1])
    length = proposals.shape[1]
    chosen = np.array([stream.choice(len(pilot.weights), p=pilot.weights) for stream in streams])
    first = pilot.points[chosen]
    chains = _walk(
        first,
        pilot.log_target[chosen],
        pilot.log_target[chosen] - pilot.proposal.log_density(first),
        proposals,
        main.log_target.reshape(settings.chains, length),
        main.log_ratio.reshape(settings.chains, length),
        np.log(np.stack([stream.random(length) for stream in streams])),
    )
    progress(ProgressEvent("sample", len(main.points), len(main.points), "draws"))
    return _gathered(chains, pilot, settings, steps, main.k_hat, main.efficiency, work.evaluations)


class _Counted:
    """A density that counts its evaluations, NaN taken for zero density."""

    def __init__(self, log_density: LogDensity) -> None:
        self._log_density = log_density
        self.evaluations = 0

    def __call__(self, points: np.ndarray) -> np.ndarray:
        self.evaluations += len(points)
        values = np.asarray(self._log_density(points))
        return np.where(np.isnan(values), -np.inf, values)


@dataclass(frozen=True, eq=False)
class _Proposals:
    """Proposals of all chains, one after another, and what they are worth."""

    streams: list[np.random.Generator]
    steps: int
    points: np.ndarray
    log_target: np.ndarray
    log_ratio: np.ndarray
    k_hat: float
    efficiency: float

    @property
    def even(self) -> bool:
        """Whether no proposal outweighs the average so much that a chain would stay there for long."""
        ratio = np.exp(self.log_ratio - self.log_ratio.max())
        return self.k_hat <= LARGEST_K_HAT and float(ratio.mean()) > 1.0 / _LARGEST_WEIGHT


def _proposals(
    log_density: LogDensity,
    pilot: Pilot,
    settings: NutsSettings,
    generator: np.random.Generator,
    progress: ProgressCallback,
) -> _Proposals:
    steps = 1 if pilot.efficiency >= GOOD else int(np.clip(np.ceil(1.5 / pilot.efficiency), 2, 8))
    length = _BURN_IN + settings.draws * steps
    streams = generator.spawn(settings.chains)
    points = np.concatenate([pilot.proposal.draw(length, stream) for stream in streams])
    log_target = np.empty(len(points))
    for begin in range(0, len(points), _BATCH):
        progress(ProgressEvent("sample", begin, len(points), "draws"))
        log_target[begin : begin + _BATCH] = log_density(points[begin : begin + _BATCH])
    log_ratio = log_target - pilot.proposal.log_density(points)
    _, k_hat, efficiency = importance(log_ratio)
    return _Proposals(streams, steps, points, log_target, log_ratio, k_hat, efficiency)


def _walk(
    point: np.ndarray,
    target: np.ndarray,
    ratio: np.ndarray,
    proposals: np.ndarray,
    log_target: np.ndarray,
    log_ratio: np.ndarray,
    log_uniform: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All chains' points, log densities, acceptances and acceptance probabilities after every step: (chain, step)."""
    points, targets = np.empty_like(proposals), np.empty_like(log_target)
    accepted, probability = np.empty(log_ratio.shape, bool), np.empty_like(log_ratio)
    for step in range(log_ratio.shape[1]):
        log_probability = np.minimum(0.0, log_ratio[:, step] - ratio)
        yes = log_uniform[:, step] < log_probability
        point = np.where(yes[:, None], proposals[:, step], point)
        target = np.where(yes, log_target[:, step], target)
        ratio = np.where(yes, log_ratio[:, step], ratio)
        points[:, step], targets[:, step] = point, target
        accepted[:, step], probability[:, step] = yes, np.exp(log_probability)
    return points, targets, accepted, probability


def _gathered(
    chains: tuple[np.ndarray, ...],
    pilot: Pilot,
    settings: NutsSettings,
    steps: int,
    k_hat: float,
    efficiency: float,
    evaluations: int,
) -> IndependenceDraws:
    points, targets, accepted, probability = (part[:, _BURN_IN:] for part in chains)
    per_draw = (settings.chains, settings.draws, steps)
    return IndependenceDraws(
        points=points[:, steps - 1 :: steps],
        log_density=targets[:, steps - 1 :: steps],
        accepted=accepted.reshape(per_draw).any(-1),
        acceptance_rate=probability.reshape(per_draw).mean(-1),
        k_hat=k_hat,
        efficiency=efficiency,
        steps=steps,
        evaluations=evaluations,
        **_moments(pilot),
    )


def _without_draws(pilot: Pilot, settings: NutsSettings, evaluations: int) -> IndependenceDraws:
    nothing = np.empty((settings.chains, 0))
    return IndependenceDraws(
        points=np.empty((settings.chains, 0, pilot.points.shape[1])),
        log_density=nothing,
        accepted=nothing.astype(bool),
        acceptance_rate=nothing,
        k_hat=pilot.k_hat,
        efficiency=pilot.efficiency,
        steps=0,
        evaluations=evaluations,
        **_moments(pilot),
    )


def _moments(pilot: Pilot) -> dict[str, np.ndarray]:
    center = (pilot.weights[:, None] * pilot.points).sum(0)
    return {"center": center, "scale": np.sqrt((pilot.weights[:, None] * (pilot.points - center) ** 2).sum(0))}


def _covers(k_hat: float, efficiency: float) -> bool:
    return k_hat <= LARGEST_K_HAT and efficiency >= LEAST_EFFICIENCY
