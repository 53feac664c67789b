"""Which prior to change, and to what order of magnitude, when the data are not what the priors expect."""

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.hyperpriors import LARGEST, SMALLEST, Hyperprior
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, SHAPE
from modelwright.bayesian.event_rates.observations import Observations

_ERRORS = 3.0
"""Standard errors by which a variance must exceed that of chance, or it cannot be told from it."""


def rough_hyperparameters(observed: Observations, level: float) -> dict[str, float]:
    """Moment estimates of mu, alpha (of Gamma(mu alpha, alpha)) and phi, right to an order of magnitude.

    Within an entity counts of equal exposure have variance m + m^2 / phi, and the rates of the entities have variance
    mu / alpha beyond the noise of their own counts. What cannot be told (one window each, no variance) is left out.

    Args:
        observed: Some windows.
        level: Events per unit of exposure, over all of the data.
    """
    n = observed.n_entities
    windows = np.bincount(observed.entity_idx, minlength=n)
    exposed = np.bincount(observed.entity_idx, observed.exposure, n)
    rate = np.bincount(observed.entity_idx, observed.y, n) / exposed
    found = {MU: level}
    mean = rate[observed.entity_idx] * observed.exposure
    freedom = int((windows - 1).sum())
    if freedom and mean.any():
        losses = np.bincount(observed.entity_idx, (observed.y - mean) ** 2, n)
        left = 1.0 - 1.0 / windows[observed.entity_idx]  # of a window's variance, since the mean is the windows' own
        excess = float(losses.sum()) - float((left * mean).sum())
        if excess > _ERRORS * np.sqrt((2.0 + 1.0 / mean.mean()) / freedom) * float((left * mean).sum()):
            found[PHI] = float((left * mean**2).sum()) / excess
    if n > 1 and mean.any():
        squares = np.bincount(observed.entity_idx, observed.exposure**2, n)
        noise = rate / exposed + (rate**2 * squares / exposed**2 / found[PHI] if PHI in found else 0.0)
        between = float(rate.var(ddof=1)) - float(noise.mean())
        if between > _ERRORS * np.sqrt(2.0 / (n - 1)) * float(noise.mean()):
            found[ALPHA] = float(rate.mean()) / between
    return found


def prior_advice(config: ModelConfig, rough: dict[str, float], direction: int) -> str:
    """Which prior to change when the data are not what the priors expect.

    Args:
        config: The priors.
        rough: From `rough_hyperparameters`.
        direction: 1 when there are more events than expected, -1 when there are fewer, 0 when their number is not it.

    Example:
        >>> prior_advice(ModelConfig(), {"mu": 2437.0}, 1)
        'Widen mu_prior, for example mu_prior=exponential(0.0004).'
    """
    priors = config.hyperpriors()
    if direction and SHAPE in priors:
        example = Hyperprior("exponential", (_one_digit(rough[MU] / priors[SHAPE].median),))
        return f"Change alpha_prior (mu is shape / alpha), for example alpha_prior={example}."
    if direction and not _inside(priors[MU], rough[MU]):
        word = "Widen" if direction > 0 else "Lower"
        return f"{word} mu_prior, for example mu_prior={Hyperprior('exponential', (_one_digit(1.0 / rough[MU]),))}."
    meant = {name: _as_meant(name, config, rough) for name in (ALPHA, PHI) if name in rough and name in priors}
    outside = {name: value for name, value in meant.items() if not _inside(priors[name], value)}
    if outside:
        # its median is at the value, and its tails are wide
        changes = [f"{name}_prior={Hyperprior('half_cauchy', (_one_digit(v),))}" for name, v in outside.items()]
        return f"Change how much entities and windows may differ, for example {' and '.join(changes)}."
    if config.likelihood == "poisson" and PHI in rough:
        return "A negative binomial likelihood lets an entity's windows differ by more than chance."
    return f"Look at {' and '.join(f'{name}_prior' for name in priors)}, and at the data."


def _inside(prior: Hyperprior, value: float) -> bool:
    return prior.quantile(0.05) < value < prior.quantile(0.95)


def _as_meant(name: str, config: ModelConfig, rough: dict[str, float]) -> float:
    """The estimate for this parameterisation: for Gamma(alpha, alpha) mu times that for Gamma(mu alpha, alpha)."""
    scaled = name == ALPHA and config.parameterization == "mean_scaled"
    return rough[name] * rough[MU] if scaled else rough[name]


def _one_digit(value: float) -> float:
    return float(f"{np.clip(value, SMALLEST, LARGEST):.1g}")
