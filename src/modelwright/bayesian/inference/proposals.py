"""Proposals fitted to a density in rounds: each round is drawn from what the draws before it have taught.

Every draw keeps its worth: all rounds together are weighted by the mixture of the proposals that drew them.

Source:
    J.-M. Cornuet, J.-M. Marin, A. Mira, C. P. Robert (2012), Adaptive multiple importance sampling,
    https://doi.org/10.1111/j.1467-9469.2011.00756.x; A. Vehtari et al. (2024), https://jmlr.org/papers/v25/19-556.html
    (the smoothed weights and k-hat).
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.inference.modes import LogDensity, Modes
from modelwright.bayesian.inference.pareto_smoothing import smoothed_weights
from modelwright.bayesian.inference.student_mixture import (
    StudentMixture,
    fit_mixture,
    with_wide_component,
)
from modelwright.core.progress import ProgressCallback, ProgressEvent

_ROUNDS = 6
GOOD, GOOD_K_HAT = 0.95, 0.4
"""Effective share of a pilot round's draws, and k-hat, at which the proposal needs no further fitting.
With fewer a draw takes several steps, so that draws are nearly independent all the same."""

_SIZE, _LARGEST_ROUND = 800, 5000
_SIZE, _LARGEST_ROUND = 800, 5000
_DF = (8.0, 30.0)
_COMPONENTS = (1, 2, 3, 5, 8, 12)


@dataclass(frozen=True, eq=False)
class Pilot:
    """All draws so far, weighted by the mixture of what drew them, and the proposal fitted to them."""

    drawn: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray, ...]
    proposals: tuple[StudentMixture, ...]
    proposal: StudentMixture
    weights: np.ndarray
    k_hat: float
    efficiency: float

    @property
    def points(self) -> np.ndarray:
        """All draws, shape (n, d)."""
        return np.concatenate(self.drawn)

    @property
    def log_target(self) -> np.ndarray:
        """Log density at them, shape (n,)."""
        return np.concatenate(self.targets)


def fit_proposal(
    log_density: LogDensity,
    modes: Modes,
    generator: np.random.Generator,
    progress: ProgressCallback,
    *,
    wanted: int | None = None,
) -> Pilot:
    """Rounds of draws, each from a proposal fitted to those before, until a round is nearly as good as exact draws.

    Args:
        log_density: The log density.
        modes: Where the first round is drawn.
        generator: Source of the draws.
        progress: Called before every round.
        wanted: How many draws there will be, where evaluations are costly: rounds end as soon as the next would take
            more evaluations than a perfect proposal could save.
    """
    size = int(np.clip(200 * modes.location.shape[1], _SIZE, 2000)) * min(len(modes.location), 3)
    share = np.exp(0.5 * (modes.log_mass - modes.log_mass.max()))  # evened out: the masses are rough
    share = np.maximum(share / share.sum(), 0.1)
    first = StudentMixture(
        share / share.sum(),
        modes.location,
        np.linalg.cholesky(1.2 * modes.covariance),
        np.full(len(share), 5.0),
    )
    first = with_wide_component(first, share=0.1, widening=2.0, df=3.0)
    pilot = Pilot((), (), (), first, np.empty(0), np.inf, 0.0)
    for number in range(_ROUNDS):
        progress(ProgressEvent("mode", number / _ROUNDS, 1))
        points = pilot.proposal.draw(size, generator)
        targets = log_density(points)
        _, k_hat, _ = importance(targets - pilot.proposal.log_density(points))
        pilot = extended(pilot, points, targets, k_hat, generator)
        if pilot.efficiency >= GOOD and k_hat <= GOOD_K_HAT and number >= 1:
            break
        size = min(2 * size, _LARGEST_ROUND) if number >= 1 else size
        if wanted is not None and k_hat <= GOOD_K_HAT and size > 1.5 * wanted * (1.0 / pilot.efficiency - 1.0 / GOOD):
            break
    return pilot


def extended(
    pilot: Pilot, points: np.ndarray, targets: np.ndarray, k_hat: float, generator: np.random.Generator
) -> Pilot:
    """With one more round of draws, made by the pilot's proposal; k-hat and efficiency are this round's."""
    drawn, all_targets = (*pilot.drawn, points), (*pilot.targets, targets)
    proposals = (*pilot.proposals, pilot.proposal)
    everything = np.concatenate(drawn)
    sizes = np.log([len(part) for part in drawn])
    mixed = np.logaddexp.reduce(
        [size + one.log_density(everything) for size, one in zip(sizes, proposals, strict=True)]
    )
    weights, _, _ = importance(np.concatenate(all_targets) - mixed)
    _, _, efficiency = importance(targets - pilot.proposal.log_density(points))
    proposal = _best_fit(everything, weights, generator)
    return Pilot(drawn, all_targets, proposals, proposal, weights, k_hat, efficiency)


def importance(log_ratio: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Smoothed weights, their k-hat, and the effective share of the draws."""
    weights, k_hat = smoothed_weights(_finite(log_ratio)[None])
    return weights[0], float(k_hat[0]), 1.0 / float((weights[0] ** 2).sum()) / len(log_ratio)


def _best_fit(points: np.ndarray, weights: np.ndarray, generator: np.random.Generator) -> StudentMixture:
    """The mixture that describes the weighted draws best for its size (Bayesian information criterion)."""
    effective = 1.0 / float((weights**2).sum())
    d = points.shape[1]
    best, best_score = None, -np.inf
    for components in _COMPONENTS:
        if components > 1 and effective < 50.0 * components * d:
            break
        if best is not None and 2 * len(best.share) < components:  # the last size or two gained nothing
            break
        for df in _DF if components <= 3 else _DF[:1]:
            found = fit_mixture(points, weights, components=components, df=df, generator=generator)
            numbers = components * (1 + d + d * (d + 1) / 2)
            score = effective * float((weights * found.log_density(points)).sum()) - 0.5 * numbers * np.log(effective)
            if score > best_score:
                best, best_score = found, score
    assert best is not None
    return with_wide_component(best, share=0.05, widening=1.6, df=3.0)


def _finite(log_ratio: np.ndarray) -> np.ndarray:
    """Ratios of zero density made finite, far below all others, so that weights can be smoothed."""
    largest = log_ratio.max()
    return np.maximum(log_ratio, largest - 700.0)
