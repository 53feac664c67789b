"""What to expect next under an extended model: paths of an entity's coming windows, drawn from the posterior.

Windows ahead share the entity's rate, the path of the drift and that of the deviation, so that totals cannot be put
together from single windows. Every draw of the posterior is continued by a few paths; their seed is the training's.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.count_draws import draw_counts
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.draws import Draws
from modelwright.bayesian.event_rates.extensions.rate_summaries import stored_summaries
from modelwright.bayesian.event_rates.extensions.stored import (
    clock_in,
    columns_in,
    config_in,
    kept_draws,
    labels_in,
)
from modelwright.bayesian.event_rates.extensions.unseen import Unseen, entity_shift, unseen_windows
from modelwright.bayesian.event_rates.forecast import _check_exposure, _check_horizon
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, THETA, WINDOW_START
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import nearest
from modelwright.core.probability import check_probability
from modelwright.core.seeds import named_generator
from modelwright.data.events import EventCounts
from modelwright.data.events.calendar import CALENDAR_NAMES, calendar_covariate
from modelwright.data.events.coming import coming_starts

PATHS = 8000
"""Paths in all, some per draw of the posterior."""


def forecast_extended(
    trace: Any,
    entity: str,
    horizon: int = 7,
    interval: float = 0.9,
    exposure: float = 1.0,
    *,
    covariates: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Forecast the coming windows of an entity under an extended model.

    The windows are those that follow the last of the training. Columns of the calendar are read off them; a column of
    the data that acts on windows must be given for the windows ahead, and one that acts on entities for an entity that
    was not in training.

    Args:
        trace: What `fit_extended` returned.
        entity: Label of the entity.
        horizon: Windows ahead, from 1.
        interval: Probability of the equal-tailed intervals, between 0 and 1.
        exposure: Exposure of each window ahead, in the unit of the training data.
        covariates: Column -> its value in all windows ahead, or one per window.

    Returns:
        Plain data with the entries of `forecast.forecast`; `rate` is the entity's rate without the windows' factors.

    Raises:
        ConfigurationError: for a horizon, interval or exposure that cannot be, and for columns that are missing.
    """
    probability = check_probability(interval)
    steps, each = _check_horizon(horizon), _check_exposure(exposure)
    labels, name = labels_in(trace), str(entity)
    ahead = _windows_ahead(trace, name, steps, each, covariates, known=name in labels)
    unseen = unseen_windows(trace, ahead)
    config = config_in(trace)
    generator = named_generator(config.random_seed, "forecast")
    draws = kept_draws(trace, PATHS)
    times = -(-PATHS // len(draws[MU]))
    draws = {variable: np.repeat(values, times, axis=0) for variable, values in draws.items()}
    theta = _rates(draws, unseen, ahead, labels, name, config.parameterization, generator)
    log_mean = np.log(np.maximum(theta, np.finfo(float).tiny))[:, None] + np.log(each)
    log_mean = log_mean + _factors(trace, draws, unseen, ahead, generator)
    mean = np.exp(np.minimum(log_mean, 43.0))
    phi, psi = draws.get(PHI), draws.get(names.PSI)
    counts = draw_counts(mean, None if phi is None else phi[:, None], generator).astype(np.int64)
    if psi is not None:
        counts = np.where(generator.random(counts.shape) < psi[:, None], counts, 0)
        mean = mean * psi[:, None]
    answer = _document(name, labels, counts, mean, theta, each, probability)
    if stored_summaries(trace) is not None:
        answer["notes"].append(f"The run keeps summaries of its rates, and {len(counts) // times:,} draws of each.")
    return answer


def _windows_ahead(
    trace: Any, entity: str, steps: int, exposure: float, given: Mapping[str, Any] | None, *, known: bool
) -> EventCounts:
    """The windows ahead with their columns, as counts of zero."""
    covariates: dict[str, np.ndarray] = {}
    for column in columns_in(trace):
        of_calendar = column.name in CALENDAR_NAMES and column.name not in (given or {})
        if of_calendar or (column.level == "entity" and known):
            continue
        if given is None or column.name not in given:
            raise ConfigurationError(
                f"the forecast needs {column.name} "
                + ("of the windows ahead" if column.level == "window" else f"of {entity!r}, which was not in training"),
                field="covariates",
                expected=f"a value of {column.name}",
                todo=f"give covariates={{'{column.name}': ...}}",
            )
        values = np.asarray(given[column.name])
        if values.ndim > 1 or (values.ndim == 1 and len(values) != steps):
            raise ConfigurationError(
                "not one value, nor one per window ahead",
                field="covariates",
                expected=f"{steps} values of {column.name}",
                got=given[column.name],
            )
        covariates[column.name] = np.broadcast_to(values, steps).copy()
    clock = clock_in(trace) if WINDOW_START in trace.constant_data else None
    starts = None
    if clock is not None:
        last = trace.constant_data[WINDOW_START].values.max().astype("datetime64[ns]").astype("datetime64[us]")
        if clock.window is None:
            starts = last + np.arange(1, steps + 1) * np.timedelta64(clock.unit, "us")
        else:
            starts = coming_starts(last, clock.window, clock.timezone, steps)
    return EventCounts.from_arrays(
        entity=[entity] * steps,
        count=np.zeros(steps, dtype=np.int64),
        exposure=np.full(steps, exposure),
        window_start=starts,
        window=None if clock is None else clock.window,
        timezone=None if clock is None else clock.timezone,
        covariates=covariates,
    )


def _rates(
    draws: Draws,
    unseen: Unseen,
    ahead: EventCounts,
    labels: tuple[str, ...],
    entity: str,
    parameterization: str,
    generator: np.random.Generator,
) -> np.ndarray:
    """The entity's rate, or one of a new member of the population with its columns, shape (paths,)."""
    if entity in labels:
        return draws[THETA][:, labels.index(entity)]
    shift, mu = entity_shift(draws, unseen, ahead, 0), draws[MU]
    if names.RATE_SD in draws:
        return np.exp(np.log(mu) + shift + draws[names.RATE_SD] * generator.normal(size=len(mu)))
    alpha, scaled = draws[ALPHA], parameterization == "mean_scaled"
    shape, rate = (alpha, alpha / mu) if scaled else (mu * alpha, alpha)
    return np.exp(shift) * generator.standard_gamma(shape) / rate


def _factors(
    trace: Any, draws: Draws, unseen: Unseen, ahead: EventCounts, generator: np.random.Generator
) -> np.ndarray:
    """Log factors of the windows ahead along each path, shape (paths, horizon)."""
    paths, steps = len(draws[MU]), ahead.n_obs
    total = np.zeros((paths, steps))
    if unseen.window_level is not None:
        total += draws[names.GAMMA] @ unseen.window_level.matrix.T
    if unseen.drift is None and unseen.deviation is None:
        return total
    clock, starts = clock_in(trace), np.asarray(ahead.window_start)
    between = np.diff(clock.positions(starts))
    if unseen.drift is not None:
        level, distance = unseen.drift
        scale = draws[names.DRIFT_SCALE][:, None]
        if unseen.extensions.drift == "random_walk":
            # all windows ahead come after the last of the training, whose distance is that to its level
            gaps = np.concatenate([distance[0, :1], between])
            walk = np.cumsum(np.sqrt(gaps) * generator.normal(size=(paths, steps)), axis=1)
            total += draws[names.DRIFT][:, level[0, :1]] + scale * walk
        else:
            season = calendar_covariate(ahead, unseen.extensions.drift)
            new = scale * generator.normal(size=(paths, len(season.values)))[:, season.codes]
            total += np.where(np.isinf(distance[0]), new, draws[names.DRIFT][:, level[0]])
    if unseen.deviation is not None:
        at, distance = unseen.deviation
        rho, tau = draws[names.RHO], draws[names.TAU]
        value = np.zeros(paths) if unseen.known[0] < 0 else draws[names.LOG_DEVIATION][:, at[0, 0]]
        for step, gap in enumerate([distance[0, 0], *between]):
            carry = np.zeros(paths) if np.isinf(gap) else rho**gap
            value = carry * value + np.sqrt(1.0 - carry**2) * tau * generator.normal(size=paths)
            total[:, step] += value
    return total


def _document(
    name: str,
    labels: tuple[str, ...],
    counts: np.ndarray,
    mean: np.ndarray,
    theta: np.ndarray,
    exposure: float,
    probability: float,
) -> dict[str, Any]:
    steps = counts.shape[1]
    levels = np.array([(1 - probability) / 2, 0.5, (1 + probability) / 2])
    totals, expected = np.cumsum(counts, axis=1), np.cumsum(mean, axis=1)
    low, middle, high = np.quantile(counts, levels, axis=0, method="inverted_cdf")
    total_low, total_middle, total_high = np.quantile(totals, levels, axis=0, method="inverted_cdf")
    known = name in labels
    notes = [
        f"Intervals are equal-tailed and hold {100 * probability:g} % of the predictive probability, "
        f"from {len(counts):,} drawn paths."
    ]
    if not known:
        close = nearest(name, labels)
        hint = f" (the nearest known name is {close!r})" if close else ""
        notes.insert(0, f"{name!r} was not in training{hint}: this is the forecast for a new member of the population.")
    return {
        "title": f"{name}: the next {steps} windows" if steps > 1 else f"{name}: the next window",
        "entity": name,
        "known_entity": known,
        "horizon": steps,
        "exposure": exposure,
        "interval": probability,
        "interval_kind": "equal-tailed",
        "rate": {
            "mean": float(theta.mean()),
            "lower": float(np.quantile(theta, levels[0])),
            "upper": float(np.quantile(theta, levels[2])),
        },
        "predictions": [
            {
                "window": h + 1,
                "expected": float(mean[:, h].mean()),
                "median": int(middle[h]),
                "total_expected": float(expected[:, h].mean()),
                "total_median": int(total_middle[h]),
            }
            for h in range(steps)
        ],
        "credible_intervals": [
            {
                "lower": int(low[h]),
                "upper": int(high[h]),
                "total_lower": int(total_low[h]),
                "total_upper": int(total_high[h]),
            }
            for h in range(steps)
        ],
        "notes": notes,
    }
