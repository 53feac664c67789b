"""Draws out of a trace of the event-rate model, as the arrays that scoring and forecasting work with."""

from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.names import ALPHA, ENTITY, MU, PHI, THETA
from modelwright.bayesian.event_rates.rate_integrals import Population
from modelwright.core.errors import ConfigurationError, DataError


def entity_labels(trace: Any) -> tuple[str, ...]:
    """The entities a trace knows, in the order of its rates."""
    return tuple(str(label) for label in _posterior(trace).coords[ENTITY].values)


def is_poisson(trace: Any) -> bool:
    """Whether the counts were taken as Poisson: then the trace has no concentration."""
    return PHI not in _posterior(trace)


def population_draws(trace: Any, most: int) -> Population:
    """Draws of the population's parameters, thinned evenly over all chains to at most `most`.

    In every parameterisation rates are Gamma: shape mu*alpha and rate alpha, or for "mean_scaled" shape alpha and rate
    alpha/mu.

    Args:
        trace: A trace of the event-rate model.
        most: Largest number of draws.
    """
    posterior = _posterior(trace)
    kept = _kept(trace, most)
    mu, alpha = (np.asarray(posterior[name].values, float).reshape(-1)[kept] for name in (MU, ALPHA))
    inverse = (
        np.zeros(len(mu)) if is_poisson(trace) else 1.0 / np.asarray(posterior[PHI].values, float).reshape(-1)[kept]
    )
    if parameterization_of(trace) == "mean_scaled":
        return Population(alpha, alpha / mu, inverse)
    return Population(mu * alpha, alpha, inverse)


def rate_draws(trace: Any, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of every entity's rate with the concentration of the same draw, thinned evenly to at most `most`.

    Args:
        trace: A trace of the event-rate model.
        most: Largest number of draws.

    Returns:
        rates (n_entities, n_draws), contiguous per entity, and concentrations (n_draws,), infinite for Poisson.
    """
    posterior = _posterior(trace)
    kept = _kept(trace, most)
    rates = np.asarray(posterior[THETA].transpose("chain", "draw", ENTITY).values)
    rates = np.ascontiguousarray(rates.reshape(-1, rates.shape[-1])[kept].T, dtype=float)
    if is_poisson(trace):
        return rates, np.full(len(kept), np.inf)
    return rates, np.asarray(posterior[PHI].values, float).reshape(-1)[kept]


def parameterization_of(trace: Any) -> str:
    """The parameterisation a trace was drawn with, from the attributes of the trace or of its posterior.

    "centered" when neither says: it has the same prior as "noncentered", and "mean_scaled" is always written down.
    """
    for attributes in (trace.attrs, _posterior(trace).attrs):
        if "parameterization" in attributes:
            return str(attributes["parameterization"])
    return "centered"


def check_draws(number: object, *, field: str) -> int:
    """Return a number of draws to average over, refusing anything below 25, which has no tail to smooth."""
    if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 25:
        raise ConfigurationError("too few draws", field=field, expected="a whole number of at least 25", got=number)
    return int(number)


def _posterior(trace: Any) -> Any:
    posterior = getattr(trace, "posterior", None)
    missing = [name for name in (MU, ALPHA, THETA) if posterior is None or name not in posterior]
    if missing:
        raise DataError(
            f"the trace has no {missing[0]}",
            field="trace",
            expected="the posterior of an event-rate model (mu, alpha, theta, and phi unless Poisson)",
            todo="train the model, or name a run of it",
        )
    return posterior


def _kept(trace: Any, most: int) -> np.ndarray:
    draws = trace.posterior.sizes["chain"] * trace.posterior.sizes["draw"]
    return np.unique(np.linspace(0, draws - 1, min(most, draws)).round().astype(int))
