"""Counts from an extended event-rate model, with the truth kept."""

from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.design import design_of
from modelwright.bayesian.event_rates.extensions.draws import (
    deviations,
    draw_extended_prior,
    entity_log_factor,
    predict_extended,
)
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.names import ALPHA, MU, PHI, THETA
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.core.seeds import named_generator
from modelwright.data.events import EventCounts
from modelwright.data.events.calendar import CALENDAR_NAMES

_TIERS = ("basic", "gold", "silver")
_FIRST_DAY = np.datetime64("2024-01-01", "ns")

_SCALARS = (
    *(MU, ALPHA, PHI, names.PSI, names.RHO, names.TAU, names.DRIFT_SCALE),
    *(names.RATE_SD, names.VOLUME_MEAN, names.VOLUME_SD, names.SIGMA, names.CORRELATION),
)


def simulate_extended(
    n_entities: int,
    n_windows: int,
    extensions: Extensions,
    *,
    config: ModelConfig | None = None,
    seed: int = 42,
    columns_seed: int | None = None,
    **given: Any,
) -> tuple[EventCounts, dict[str, Any]]:
    """A table of counts with columns, times and volumes, and the parameters it was drawn with.

    Windows are days from Monday 1 January 2024 on, or hours when a column or drift by the hour is asked for. Covariates
    that are not of the calendar are made up: `tier` is a text and `size` a number per entity, `load` a number per
    window.

    Args:
        n_entities: Entities, called entity_0000, entity_0001, ...
        n_windows: Windows per entity.
        extensions: The model.
        config: The base model; the default configuration when left out.
        seed: Seed.
        columns_seed: Seed of the columns that are made up, where many data sets shall have the same; `seed` otherwise.
        **given: Values of parameters by name: scalars, or arrays of the shape they have in a trace, such as
            `beta` (coefficients, in the order of the columns). What is not given is drawn from its prior.

    Returns:
        The counts, and the truth: every variable that a trace of this model holds.

    Raises:
        ConfigurationError: for a parameter or column that this model does not have.

    Example:
        >>> inflated = Extensions.create(chosen="zero_inflation")
        >>> data, truth = simulate_extended(3, 5, inflated, mu=50.0, alpha=1.0, phi=9.0, psi=0.5, seed=1)
        >>> data.n_obs, truth["psi"], bool((data.count == 0).any())
        (15, 0.5, True)
    """
    for field, value in (("n_entities", n_entities), ("n_windows", n_windows)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigurationError("not usable", field=field, expected="a whole number of at least 1", got=value)
    config = config or ModelConfig()
    generator = named_generator(seed, "simulate extended event rates")
    columns = named_generator(seed if columns_seed is None else columns_seed, "columns")
    blank = _windows(n_entities, n_windows, extensions, columns)
    counted = extensions.model_copy(update={"chosen": tuple(e for e in extensions.chosen if e != names.VOLUMES)})
    design = design_of(blank, counted)  # there are no volumes yet
    truth = draw_extended_prior(config, extensions, design, 1, generator)
    _check_given(given, truth)
    truth |= {name: np.asarray(value, dtype=float)[None] for name, value in given.items()}
    _follow(truth, given, config, extensions, design, generator)
    counts = predict_extended(truth, design, generator)[0]
    volume = None
    if extensions.has(names.VOLUMES):
        nu, sigma = truth[names.NU][0][blank.entity_idx], truth[names.SIGMA][0]
        with np.errstate(divide="ignore"):
            log_volume = nu + np.log(counts) + sigma * generator.normal(size=len(counts))
        volume = np.where(counts > 0, np.exp(log_volume), np.nan)
    found = {name: float(value[0]) if name in _SCALARS else value[0] for name, value in truth.items()}
    return _table(blank, counts, volume), found


def _check_given(given: dict[str, Any], truth: dict[str, np.ndarray]) -> None:
    for name, value in given.items():
        if name not in truth:
            raise ConfigurationError("not a parameter of this model", field=name, todo=suggestion(name, list(truth)))
        if np.shape(value) != truth[name].shape[1:]:
            raise ConfigurationError(
                "of another shape", field=name, expected=str(truth[name].shape[1:]), got=np.shape(value)
            )


def _follow(
    truth: dict[str, np.ndarray],
    given: dict[str, Any],
    config: ModelConfig,
    extensions: Extensions,
    design: Any,
    generator: np.random.Generator,
) -> None:
    """Draw anew what depends on values that were given."""
    n = design.n_entities
    if THETA not in given:
        shift = entity_log_factor(truth, design)[0]
        mu = truth[MU][0]
        if extensions.has(names.VOLUMES):
            of_rate, of_volume = generator.normal(size=(2, n))
            rho = truth[names.CORRELATION][0]
            together = rho * of_rate + np.sqrt(1.0 - rho**2) * of_volume
            truth[THETA] = np.exp(np.log(mu) + shift + truth[names.RATE_SD][0] * of_rate)[None]
            if names.NU not in given:
                truth[names.NU] = (truth[names.VOLUME_MEAN][0] + truth[names.VOLUME_SD][0] * together)[None]
        else:
            alpha, scaled = truth[ALPHA][0], config.parameterization == "mean_scaled"
            shape, rate = (alpha, alpha / mu) if scaled else (mu * alpha, alpha)
            truth[THETA] = (np.exp(shift) * generator.standard_gamma(shape, n) / rate)[None]
    if design.drift is not None and names.DRIFT not in given:
        raw = generator.normal(size=design.drift.basis.shape[1])
        truth[names.DRIFT] = (truth[names.DRIFT_SCALE][0] * (design.drift.basis @ raw))[None]
    if design.steps is not None and names.LOG_DEVIATION not in given:
        raw = generator.normal(size=(1, design.n_obs))
        truth[names.LOG_DEVIATION] = deviations(design.steps, truth[names.RHO], truth[names.TAU], raw)


def _windows(n_entities: int, n_windows: int, extensions: Extensions, generator: np.random.Generator) -> EventCounts:
    """Windows without events, with the columns asked for."""
    hourly = "hour_of_day" in (*extensions.covariates, extensions.drift if extensions.has(names.DRIFT) else "")
    length = np.timedelta64(1, "h") if hourly else np.timedelta64(1, "D")
    width = len(str(n_entities - 1)) if n_entities > 10_000 else 4
    columns: dict[str, np.ndarray] = {}
    for name in extensions.covariates:
        match name:
            case "tier":
                columns[name] = np.repeat(np.resize(np.asarray(_TIERS, dtype=object), n_entities), n_windows)
            case "size":
                columns[name] = np.repeat(generator.normal(3.0, 2.0, n_entities), n_windows)
            case "load":
                columns[name] = generator.normal(10.0, 5.0, n_entities * n_windows)
            case _ if name not in CALENDAR_NAMES:
                raise ConfigurationError(
                    "not a column that is made up",
                    field="covariates",
                    got=name,
                    todo=suggestion(name, ["tier", "size", "load", *CALENDAR_NAMES]),
                )
    return EventCounts.from_arrays(
        entity=np.repeat([f"entity_{k:0{width}d}" for k in range(n_entities)], n_windows),
        count=np.zeros(n_entities * n_windows, dtype=np.int64),
        window_start=np.tile(_FIRST_DAY + length * np.arange(n_windows), n_entities),
        window="1h" if hourly else "1D",
        covariates=columns,
    )


def _table(blank: EventCounts, counts: np.ndarray, volume: np.ndarray | None) -> EventCounts:
    return EventCounts.from_arrays(
        entity=np.asarray(blank.entities, dtype=object)[blank.entity_idx],
        count=counts.astype(np.int64),
        window_start=blank.window_start,
        window=blank.window,
        covariates=blank.covariates,
        volume=volume,
        source={"simulated": "an extended event-rate model"},
    )
