"""Draws of a few unknowns by independence Metropolis-Hastings, with a check that the proposals cover the posterior.

    mode -> normal approximation -> pilot rounds, each drawn from a t mixture fitted to the weighted draws so far
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

from modelwright.bayesian.inference.laplace import LogDensity, laplace
from modelwright.bayesian.inference.pareto_smoothing import smoothed_weights
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.student_mixture import (
    StudentMixture,
    fit_mixture,
    single_student,
    with_wide_component,
)
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.seeds import named_generator

LARGEST_K_HAT = 0.7
"""Above this the proposals miss too much of the posterior's tails for the chains to be relied on."""

_ROUNDS = 6
_GOOD, _GOOD_K_HAT = 0.92, 0.4
"""Effective share of a pilot round's draws, and k-hat, at which the proposal needs no further fitting."""

_LARGEST_ROUND = 5000
_BURN_IN = 25
_BATCH = 1000
_DF = (6.0, 15.0)
_COMPONENTS = (1, 2, 3, 5, 8, 12)


@dataclass(frozen=True, eq=False)
class IndependenceDraws:
    """Chains, or the reason why there are none.

    Args:
        points: Unconstrained draws, shape (chain, draw, d); no draws when k-hat is too large.
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
        """Whether k-hat is small enough; otherwise the draws, if any, are not to be used."""
        return self.k_hat <= LARGEST_K_HAT


def sample_by_independence(
    log_density: LogDensity,
    start: np.ndarray,
    settings: NutsSettings,
    *,
    scale: np.ndarray | float = 0.1,
    progress: ProgressCallback = ignore_progress,
) -> IndependenceDraws:
    """Chains of draws from a density of a few unknowns.

    Args:
        log_density: Log density in unconstrained coordinates, of many points at once; need not be normalised.
        start: A point to begin the search of the mode from, shape (d,).
        settings: Draws, chains and seed.
        scale: Rough posterior standard deviations.
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
    mode, covariance = laplace(work, start, scale=scale)
    generator = named_generator(settings.seed, "independence proposals")
    pilot = _pilot(work, mode, covariance, generator, progress)
    progress(ProgressEvent("mode", 1, 1, info={"k_hat": round(pilot.k_hat, 2)}))
    if pilot.k_hat > LARGEST_K_HAT:
        return _without_draws(pilot, settings, work.evaluations)
    steps = int(np.clip(round(1.5 / pilot.efficiency - 0.5), 1, 8))
    length = _BURN_IN + settings.draws * steps
    streams = generator.spawn(settings.chains)
    proposals = np.stack([pilot.proposal.draw(length, stream) for stream in streams])
    flat = proposals.reshape(-1, proposals.shape[-1])
    log_target = np.empty(len(flat))
    for begin in range(0, len(flat), _BATCH):
        progress(ProgressEvent("sample", begin, len(flat), "draws"))
        log_target[begin : begin + _BATCH] = work(flat[begin : begin + _BATCH])
    log_ratio = log_target - pilot.proposal.log_density(flat)
    weights, k_hat = smoothed_weights(_finite(log_ratio)[None])
    chosen = np.array([stream.choice(len(pilot.weights), p=pilot.weights) for stream in streams])
    first = pilot.points[chosen]
    chains = _walk(
        first,
        pilot.log_target[chosen],
        pilot.log_target[chosen] - pilot.proposal.log_density(first),
        proposals,
        log_target.reshape(settings.chains, length),
        log_ratio.reshape(settings.chains, length),
        np.log(np.stack([stream.random(length) for stream in streams])),
    )
    progress(ProgressEvent("sample", len(flat), len(flat), "draws"))
    return _gathered(chains, pilot, settings, steps, float(k_hat[0]), weights[0], work.evaluations)


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
class _Pilot:
    proposal: StudentMixture
    points: np.ndarray
    log_target: np.ndarray
    weights: np.ndarray
    k_hat: float
    efficiency: float


def _pilot(
    log_density: LogDensity,
    mode: np.ndarray,
    covariance: np.ndarray,
    generator: np.random.Generator,
    progress: ProgressCallback,
) -> _Pilot:
    """Rounds of draws, each from a proposal fitted to those before, until a round is nearly as good as exact draws."""
    size = int(np.clip(200 * len(mode), 400, 2000))
    proposal = with_wide_component(single_student(mode, 1.2 * covariance, 5.0), share=0.1, widening=2.0, df=3.0)
    drawn, targets, proposals = [], [], []
    for number in range(_ROUNDS):
        progress(ProgressEvent("mode", number / _ROUNDS, 1))
        points = proposal.draw(size, generator)
        drawn.append(points)
        targets.append(log_density(points))
        proposals.append(proposal)
        of_round, k_hat = smoothed_weights(_finite(targets[-1] - proposal.log_density(points))[None])
        efficiency = 1.0 / float((of_round**2).sum()) / size
        everything, log_target = np.concatenate(drawn), np.concatenate(targets)
        mixed = np.logaddexp.reduce([one.log_density(everything) for one in proposals])
        weights = smoothed_weights(_finite(log_target - mixed)[None])[0][0]
        proposal = _best_fit(everything, weights, generator)
        if efficiency >= _GOOD and k_hat[0] <= _GOOD_K_HAT and number >= 1:
            break
        size = min(2 * size, _LARGEST_ROUND) if number >= 1 else size
    return _Pilot(proposal, everything, log_target, weights, float(k_hat[0]), efficiency)


def _best_fit(points: np.ndarray, weights: np.ndarray, generator: np.random.Generator) -> StudentMixture:
    """The mixture that describes the weighted draws best for its size (Bayesian information criterion)."""
    effective = 1.0 / float((weights**2).sum())
    d = points.shape[1]
    best, best_score = None, -np.inf
    for components in _COMPONENTS:
        if components > 1 and effective < 50.0 * components * d:
            break
        if components > 5 and best is not None and len(best.share) < 5:
            break
        for df in _DF:
            found = fit_mixture(points, weights, components=components, df=df, generator=generator)
            numbers = components * (1 + d + d * (d + 1) / 2)
            score = effective * float((weights * found.log_density(points)).sum()) - 0.5 * numbers * np.log(effective)
            if score > best_score:
                best, best_score = found, score
    assert best is not None
    return with_wide_component(best, share=0.03, widening=1.7, df=3.0)


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
    pilot: _Pilot,
    settings: NutsSettings,
    steps: int,
    k_hat: float,
    weights: np.ndarray,
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
        efficiency=1.0 / float((weights**2).sum()) / len(weights),
        steps=steps,
        evaluations=evaluations,
        **_moments(pilot),
    )


def _without_draws(pilot: _Pilot, settings: NutsSettings, evaluations: int) -> IndependenceDraws:
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


def _moments(pilot: _Pilot) -> dict[str, np.ndarray]:
    center = (pilot.weights[:, None] * pilot.points).sum(0)
    return {"center": center, "scale": np.sqrt((pilot.weights[:, None] * (pilot.points - center) ** 2).sum(0))}


def _finite(log_ratio: np.ndarray) -> np.ndarray:
    """Ratios of zero density made finite, far below all others, so that weights can be smoothed."""
    largest = log_ratio.max()
    return np.maximum(log_ratio, largest - 700.0)
