"""Draws out of a trace of the event-rate model, as the arrays that scoring and forecasting work with."""

from typing import Any

import numpy as np
import xarray as xr

from modelwright.bayesian.event_rates.names import ALPHA, ENTITY, MU, PHI, THETA
from modelwright.bayesian.event_rates.rate_integrals import Population
from modelwright.bayesian.event_rates.statistics import SufficientStatistics
from modelwright.core.errors import ConfigurationError, DataError

GROUP = "group"
"""Dimension of the stored statistics: one group for every entity and exposure."""

GROUPS = {"entity": "group_entity", "exposure": "group_exposure", "windows": "group_windows", "total": "group_total"}
"""Constant data: the statistics' arrays (n_groups,) and what they are called in a trace."""

HISTOGRAM = {"count": "distinct_count", "times": "distinct_count_times"}
"""Constant data: the distinct counts above zero and how often each occurs, dimension "distinct"."""


def entity_labels(trace: Any) -> tuple[str, ...]:
    """The entities a trace knows, in the order of its rates or, without rates, of its statistics."""
    posterior = _posterior(trace)
    if ENTITY in posterior.coords:
        return tuple(str(label) for label in posterior.coords[ENTITY].values.tolist())
    constant = getattr(trace, "constant_data", None)
    if constant is None or ENTITY not in constant.coords:
        raise DataError(
            "the trace does not say which entities it knows",
            field="trace",
            expected="rates (theta) in the posterior, or statistics in constant_data",
            todo="read the groups posterior and constant_data of the trace",
        )
    return tuple(str(label) for label in constant.coords[ENTITY].values.tolist())


def statistics_variables(statistics: SufficientStatistics) -> xr.Dataset:
    """The statistics as variables for a trace's `constant_data`: read back by `statistics_in`.

    Example:
        >>> from modelwright.bayesian.event_rates.statistics import statistics_of
        >>> from modelwright.data.events import EventCounts
        >>> found = statistics_variables(statistics_of(EventCounts.from_arrays(entity=["a", "b"], count=[3, 1])))
        >>> found["group_total"].values.tolist(), found["entity"].values.tolist()
        ([3.0, 1.0], ['a', 'b'])
    """
    variables = {name: (GROUP, getattr(statistics, field)) for field, name in GROUPS.items()}
    variables |= {name: ("distinct", getattr(statistics, field)) for field, name in HISTOGRAM.items()}
    return xr.Dataset(variables, coords={ENTITY: np.asarray(statistics.entities, dtype=str)})


def carries_statistics(trace: Any) -> bool:
    """Whether a trace holds the statistics it was conditioned on."""
    constant = getattr(trace, "constant_data", None)
    needed = (*GROUPS.values(), *HISTOGRAM.values())
    return constant is not None and ENTITY in constant.coords and all(name in constant for name in needed)


def statistics_in(trace: Any) -> SufficientStatistics | None:
    """The statistics a trace was conditioned on; None for a trace that does not carry them.

    They describe the base model: extensions, whose rates depend on more, store none.
    """
    if not carries_statistics(trace):
        return None
    constant = trace.constant_data
    arrays = {field: np.asarray(constant[name].values, float) for field, name in (GROUPS | HISTOGRAM).items()}
    arrays["entity"] = arrays["entity"].astype(np.int64)
    return SufficientStatistics(entities=tuple(map(str, constant[ENTITY].values.tolist())), **arrays)


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
    posterior = _posterior(trace, (MU, ALPHA, THETA))
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


def _posterior(trace: Any, needed: tuple[str, ...] = (MU, ALPHA)) -> Any:
    posterior = getattr(trace, "posterior", None)
    missing = [name for name in needed if posterior is None or name not in posterior]
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
