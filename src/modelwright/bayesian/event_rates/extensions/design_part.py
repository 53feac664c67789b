"""Some windows of a design, for predictions that need not be of all."""

from dataclasses import replace

import numpy as np

from modelwright.bayesian.event_rates.extensions.design import Design, cells_of, volume_statistics
from modelwright.bayesian.event_rates.extensions.windows import Steps
from modelwright.bayesian.event_rates.observations import Observations, compress


def part_of_design(design: Design, rows: np.ndarray) -> tuple[Design, np.ndarray]:
    """The design of some windows, under the same columns, levels of the drift and distances in time.

    Args:
        design: The whole.
        rows: Positions of the windows, ascending, shape (n_rows,).

    Returns:
        The part, its entities numbered from 0 on, and which entity of the whole each of these is.

    Example:
        >>> from modelwright.bayesian.event_rates.extensions.design import design_of
        >>> from modelwright.bayesian.event_rates.extensions.settings import Extensions
        >>> from modelwright.data.events import EventCounts
        >>> data = EventCounts.from_arrays(entity=["a", "b", "c"], count=[1, 2, 3], covariates={"x": [1.0, 2.0, 9.0]})
        >>> whole = design_of(data, Extensions.create(chosen="covariates", covariates="x"))
        >>> part, entities = part_of_design(whole, np.array([0, 2]))
        >>> entities.tolist(), bool((part.entity_level.matrix == whole.entity_level.matrix[[0, 2]]).all())
        ([0, 2], True)
    """
    seen = design.observations
    entities, entity = np.unique(seen.entity_idx[rows], return_inverse=True)
    observations = Observations(seen.y[rows], entity, len(entities), seen.exposure[rows])
    entity_level, window_level, drift = design.entity_level, design.window_level, design.drift
    if entity_level is not None:
        entity_level = replace(entity_level, matrix=entity_level.matrix[entities])
    if window_level is not None:
        window_level = replace(window_level, matrix=window_level.matrix[rows])
    if drift is not None:
        drift = replace(drift, level=drift.level[rows])
    eventful = np.flatnonzero(observations.y > 0)
    volumes = design.volumes
    if volumes is not None:
        log_volume = volumes.log_volume[np.searchsorted(design.eventful, rows[eventful])]
        per_event = log_volume - np.log(observations.y[eventful])
        volumes = volume_statistics(log_volume, per_event, entity[eventful], len(entities))
    part = Design(
        observations=observations,
        counts=compress(observations),
        entity_level=entity_level,
        window_level=window_level,
        drift=drift,
        centring=design.centring,
        steps=None if design.steps is None else _steps(design.steps, entity, rows),
        cells=cells_of(observations, window_level, drift, alone=design.steps is not None),
        eventful=eventful,
        volumes=volumes,
    )
    return part, entities


def _steps(steps: Steps, entity: np.ndarray, rows: np.ndarray) -> Steps:
    """Gaps over the windows in between."""
    first = np.r_[True, np.diff(entity) > 0]
    gap = np.where(first, 1.0, np.diff(np.cumsum(steps.gap)[rows], prepend=0.0))
    return Steps(first, gap, int(np.bincount(entity).max()))
