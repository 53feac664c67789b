"""What a trace of an extended model says of itself: its extensions, its columns and how its windows are counted."""

import json
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.columns import Column
from modelwright.bayesian.event_rates.extensions.design import columns_from_json
from modelwright.bayesian.event_rates.extensions.rate_summaries import posterior_with_rates
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.windows import WindowClock
from modelwright.bayesian.event_rates.names import ENTITY, ENTITY_IDX, EXPOSURE, Y
from modelwright.bayesian.inference.predictive import thinned
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts


def extensions_in(trace: Any) -> Extensions:
    """The extensions a trace was trained with.

    Raises:
        DataError: when it was trained without any.
    """
    return Extensions.model_validate_json(_attribute(trace, "extensions"))


def config_in(trace: Any) -> ModelConfig:
    """The base model's configuration a trace was trained with."""
    return ModelConfig.model_validate_json(_attribute(trace, "config"))


def columns_in(trace: Any) -> list[Column]:
    """The columns a trace was trained with."""
    return columns_from_json(_attribute(trace, "columns"))


def clock_in(trace: Any) -> WindowClock:
    """How the windows of a trace are counted."""
    return WindowClock(**json.loads(_attribute(trace, "window_clock")))


def drift_starts_in(trace: Any) -> np.ndarray:
    """When the windows of a trace's random walk begin, datetime64[ns]."""
    return np.asarray(json.loads(_attribute(trace, "drift_starts")), dtype=np.int64).astype("datetime64[ns]")


def labels_in(trace: Any) -> tuple[str, ...]:
    """The entities of a trace, in the order of its rates."""
    holder = trace.posterior if ENTITY in trace.posterior.coords else trace.constant_data
    return tuple(str(label) for label in holder.coords[ENTITY].values.tolist())


def kept_draws(trace: Any, most: int, *, rates: bool = True) -> dict[str, np.ndarray]:
    """Every variable of the posterior, thinned evenly over all chains to at most `most` draws: shape (draws, ...).

    Args:
        trace: A trace of `fit_extended`.
        most: Largest number of draws.
        rates: Whether `theta` is needed; where rates were summarised there are few draws with it.
    """
    everything = thinned(posterior_with_rates(trace) if rates else trace.posterior, 1)
    total = len(next(iter(everything.values())))
    kept = np.unique(np.linspace(0, total - 1, min(most, total)).round().astype(int))
    return {name: np.asarray(values[kept], dtype=float) for name, values in everything.items()}


def check_training_data(trace: Any, data: EventCounts) -> None:
    """Refuse to leave windows out of a trace that they were never in.

    Raises:
        DataError: when entities, counts, exposures or volumes differ from those of the training.
    """
    labels = labels_in(trace)
    constant, observed = trace.constant_data, trace.observed_data
    differs = {
        "count": not np.array_equal(observed[Y].values, data.count),
        "exposure": not np.array_equal(constant[EXPOSURE].values, data.exposure),
        "entity": labels != data.entities or not np.array_equal(constant[ENTITY_IDX].values, data.entity_idx),
    }
    if names.VOLUME in constant:
        volume = np.full(data.n_obs, np.nan) if data.volume is None else data.volume
        differs["volume"] = not np.allclose(constant[names.VOLUME].values, volume, rtol=1e-12, atol=0, equal_nan=True)
    if any(differs.values()):
        columns = " and ".join(name for name, different in differs.items() if different)
        raise DataError(
            f"these are not the windows the model was trained on: they differ in {columns}",
            field="data",
            expected=f"the training windows of {len(labels)} entities",
            got=f"{data.n_obs} windows of {data.n_entities} entities",
            todo="score other windows with score_new_windows_extended",
        )


def _attribute(trace: Any, name: str) -> str:
    if name not in trace.attrs:
        raise DataError(
            f"the trace does not say its {name.replace('_', ' ')}",
            field="trace",
            expected="a trace of an event-rate model with extensions",
            todo="train with at least one extension, on data with times where it needs them",
        )
    return str(trace.attrs[name])
