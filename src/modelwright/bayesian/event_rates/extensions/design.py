"""The data of an extended model: observations with their design matrices, places in time and volumes, checked.

For the likelihood observations are put together into cells of equal entity, exposure and factor: all windows of an
entity without window-level parts, one window each with temporal deviations. A cell's likelihood needs its number of
windows, how many of them have no events, and its sum of counts, as in `numpyro_model` of the base model.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.extensions import names
from modelwright.bayesian.event_rates.extensions.columns import (
    Column,
    check_distinct,
    column_of,
    describe_column,
    first_windows,
)
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.windows import DriftLevels, Steps, drift_levels, steps_between
from modelwright.bayesian.event_rates.observations import (
    CompressedCounts,
    Observations,
    check_observations,
    compress,
)
from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events import EventCounts

SMALL_DRIFT, USUAL_PHI = 0.05, 2.0
"""Rough values of `drift_scale` and `phi` by which it is judged what the data tell of a drift before it is known.

The scale is a small one: where the data tell little, a posterior that reaches down to zero is a funnel when centred. At
0.2, 69 of 120 small data sets drawn from the prior had divergent steps; at 0.05, 5 of 40. With 300 entities, 600 draws
of the scale were worth 868 at 0.2, 328 at 0.05, and 72 without any centring.
"""


@dataclass(frozen=True, eq=False)
class Coefficients:
    """The coefficients of one level, beta = C u with free numbers u.

    Args:
        columns: The columns they belong to.
        names: Their names, such as "tier[gold]".
        matrix: The design matrix, shape (n_entities or n_obs, n_coefficients).
        contrasts: C, shape (n_coefficients, n_free).
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    matrix: np.ndarray
    contrasts: np.ndarray

    @property
    def free(self) -> np.ndarray:
        """The design matrix of the free numbers, shape (rows, n_free)."""
        return self.matrix @ self.contrasts


@dataclass(frozen=True, eq=False)
class Cells:
    """Observations with the same mean, whatever the parameters are.

    Args:
        of_observation: Cell of each observation, shape (n_obs,).
        representative: An observation of each cell, shape (n_cells,).
        entity: Entity of each cell, same shape.
        exposure: Its exposure.
        windows: Its number of observations.
        silent: How many of them have no events.
        total: Its sum of counts.
    """

    of_observation: np.ndarray
    representative: np.ndarray
    entity: np.ndarray
    exposure: np.ndarray
    windows: np.ndarray
    silent: np.ndarray
    total: np.ndarray


@dataclass(frozen=True, eq=False)
class Volumes:
    """The volumes of windows with events, and what their likelihood needs of them: r_ij = log v_ij - log y_ij.

    Args:
        log_volume: log v of each observation with events, shape (n_eventful,).
        times: Observations with events of each entity, shape (n_entities,).
        mean: Mean of r over them, 0 without any, same shape.
        squares: Sum of (r_ij - mean_i)^2 over all of them.
        constant: -sum of log v - n_eventful log(2 pi)/2.
    """

    log_volume: np.ndarray
    times: np.ndarray
    mean: np.ndarray
    squares: float
    constant: float


@dataclass(frozen=True, eq=False)
class Design:
    """Everything an extended model needs to know of the data.

    Args:
        observations: Counts, entities, exposures.
        counts: Their sufficient statistics, with how often each count occurs.
        entity_level: Coefficients that act on the entities' rates; None without any.
        window_level: Coefficients that act on single windows; None without any.
        drift: Levels of the common drift; None without it.
        centring: c of v_k = drift_scale^c_k u_k, what the samplers draw instead of the drift's standard normal u, shape
            (n_levels - 1,): near 0 where the prior tells most of it, near 1 where the data do; empty without drift.
        steps: Gaps between an entity's windows; None without temporal deviations.
        cells: Observations with the same mean.
        eventful: Positions of the observations with events, shape (n_eventful,).
        volumes: Their volumes; None without the extension.
    """

    observations: Observations
    counts: CompressedCounts
    entity_level: Coefficients | None
    window_level: Coefficients | None
    drift: DriftLevels | None
    centring: np.ndarray
    steps: Steps | None
    cells: Cells
    eventful: np.ndarray
    volumes: Volumes | None

    @property
    def n_obs(self) -> int:
        """Observations."""
        return len(self.observations.y)

    @property
    def n_entities(self) -> int:
        """Entities."""
        return self.observations.n_entities


def design_of(data: EventCounts, extensions: Extensions) -> Design:
    """The design of some data.

    Raises:
        ConfigurationError: for columns and times that the extensions need and the data have not, or whose effects could
            not be told apart. DataError: for values that cannot be used.

    Example:
        >>> days = np.array(["2024-03-02", "2024-03-04"] * 2, dtype="datetime64[ns]")
        >>> data = EventCounts.from_arrays(entity=list("aabb"), count=[1, 2, 0, 5], window_start=days, window="1D")
        >>> design = design_of(data, Extensions.create(chosen="covariates", covariates="day_of_week"))
        >>> design.window_level.names
        ('day_of_week[Monday]', 'day_of_week[Saturday]')
    """
    observations = check_observations(data.count, data.entity_idx, data.n_entities, data.exposure)
    drift = drift_levels(data, extensions.drift) if extensions.has(names.DRIFT) else None
    columns = [describe_column(data, name) for name in extensions.covariates if extensions.has(names.COVARIATES)]
    entity_level = coefficients(data, columns, "entity")
    window_level = coefficients(data, columns, "window")
    _check_coefficients(data, entity_level, window_level, drift)
    steps = steps_between(data) if extensions.has(names.TEMPORAL) else None
    eventful = np.flatnonzero(observations.y > 0)
    cells = cells_of(observations, window_level, drift, alone=steps is not None)
    return Design(
        observations=observations,
        counts=compress(observations),
        entity_level=entity_level,
        window_level=window_level,
        drift=drift,
        centring=np.empty(0) if drift is None else _centring(drift, cells),
        steps=steps,
        cells=cells,
        eventful=eventful,
        volumes=_volumes(data, eventful) if extensions.has(names.VOLUMES) else None,
    )


def coefficients(data: EventCounts, columns: list[Column], level: str) -> Coefficients | None:
    """The coefficients of one level for these data, or None when no column is of that level."""
    mine = tuple(column for column in columns if column.level == level)
    if not mine:
        return None
    rows = first_windows(data) if level == "entity" else slice(None)
    matrix = np.concatenate([column.encode(column_of(data, column.name)[rows]) for column in mine], axis=1)
    contrasts = np.zeros((matrix.shape[1], sum(column.contrasts.shape[1] for column in mine)))
    row = place = 0
    for column in mine:
        block = column.contrasts
        contrasts[row : row + block.shape[0], place : place + block.shape[1]] = block
        row, place = row + block.shape[0], place + block.shape[1]
    return Coefficients(mine, tuple(name for column in mine for name in column.coefficients), matrix, contrasts)


def columns_to_json(design: Design) -> str:
    """What training found of the columns and the drift, for windows to come."""
    columns = [column for part in (design.entity_level, design.window_level) if part for column in part.columns]
    return json.dumps([vars(column) for column in columns])


def columns_from_json(text: str) -> list[Column]:
    """The columns that `columns_to_json` wrote.

    Example:
        >>> columns_from_json('[{"name": "x", "level": "entity", "values": null, "center": 1.0, "scale": 2.0}]')
        [Column(name='x', level='entity', values=None, center=1.0, scale=2.0)]
    """
    found = []
    for entry in json.loads(text):
        known: Mapping[str, Any] = entry
        values = None if known["values"] is None else tuple(known["values"])
        found.append(Column(known["name"], known["level"], values, known["center"], known["scale"]))
    return found


def _check_coefficients(
    data: EventCounts, entity_level: Coefficients | None, window_level: Coefficients | None, drift: DriftLevels | None
) -> None:
    for part, rows, what in ((entity_level, data.n_entities, "entities"), (window_level, data.n_obs, "windows")):
        if part is not None and part.contrasts.shape[1] >= rows:
            raise ConfigurationError(
                f"{part.contrasts.shape[1]} free coefficients for {rows} {what} could fit anything",
                field="covariates",
                expected=f"fewer than {rows} free coefficients",
                got=", ".join(column.name for column in part.columns),
                todo="leave out the column with most values",
            )
    if entity_level is not None:
        check_distinct(entity_level.columns, entity_level.free, np.empty((data.n_entities, 0)), of_drift="")
    if window_level is not None:
        seasonal = drift is not None and drift.kind != "random_walk"
        before = drift.basis[drift.level] if drift is not None and seasonal else np.empty((data.n_obs, 0))
        of_drift = f"drift by {drift.kind}" if drift is not None else ""
        check_distinct(window_level.columns, window_level.free, before, of_drift=of_drift)


def _centring(drift: DriftLevels, cells: Cells) -> np.ndarray:
    """The data's share in what is known of each coordinate of the drift, shape (n_levels - 1,).

    A window of mean m is worth m/(1 + m/phi) on the log scale, the prior 1/drift_scale^2.
    """
    mean = (cells.total.sum() + 0.5) / (cells.windows @ cells.exposure) * cells.exposure
    worth = cells.windows * mean / (1.0 + mean / USUAL_PHI)
    of_level = np.bincount(drift.level[cells.representative], worth, minlength=len(drift.labels))
    information = SMALL_DRIFT**2 * (drift.basis**2).T @ of_level
    return information / (1.0 + information)


def cells_of(
    observations: Observations, window_level: Coefficients | None, drift: DriftLevels | None, *, alone: bool
) -> Cells:
    """Observations of equal entity, exposure and factor put together; each alone with temporal deviations."""
    n_obs = len(observations.y)
    if alone:
        representative = of_observation = np.arange(n_obs)
    else:
        keys = [np.unique(observations.exposure, return_inverse=True)[1]]
        if window_level is not None:
            keys.append(np.unique(window_level.matrix, axis=0, return_inverse=True)[1].reshape(-1))
        if drift is not None:
            keys.append(drift.level)
        of_observation = observations.entity_idx
        for key in keys:
            codes = of_observation * (int(key.max()) + 1) + key
            _, representative, of_observation = np.unique(codes, return_index=True, return_inverse=True)
    n_cells = len(representative)
    return Cells(
        of_observation=of_observation,
        representative=representative,
        entity=observations.entity_idx[representative],
        exposure=observations.exposure[representative],
        windows=np.bincount(of_observation, minlength=n_cells).astype(np.float64),
        silent=np.bincount(of_observation, observations.y == 0, minlength=n_cells),
        total=np.bincount(of_observation, observations.y, minlength=n_cells),
    )


def _volumes(data: EventCounts, eventful: np.ndarray) -> Volumes:
    if data.volume is None:
        raise ConfigurationError(
            "volumes needs a column of volumes, and these data have none",
            field="extension",
            got=names.VOLUMES,
            todo="name the column, such as volume=bytes, or leave volumes out",
        )
    if not len(eventful):
        raise DataError("no window has an event, so that no volume is known", field="volume")
    volume = data.volume[eventful]
    if (volume <= 0).any():
        row = int(eventful[np.argmax(volume <= 0)])
        raise DataError(
            f"{int((volume <= 0).sum())} windows with events have no volume (first at row {row + 1})",
            field="volume",
            expected="a volume above 0 in every window with events",
            got=float(data.volume[row]),
            todo="leave these windows out, or leave volumes out",
        )
    log_volume, entity = np.log(volume), data.entity_idx[eventful]
    return volume_statistics(log_volume, log_volume - np.log(data.count[eventful]), entity, data.n_entities)


def volume_statistics(log_volume: np.ndarray, per_event: np.ndarray, entity: np.ndarray, n_entities: int) -> Volumes:
    """The statistics of some log volumes and log volumes per event, each (n_eventful,) as are their entities."""
    times = np.bincount(entity, minlength=n_entities).astype(np.float64)
    mean = np.bincount(entity, per_event, minlength=n_entities) / np.maximum(times, 1.0)
    squares = float(np.sum((per_event - mean[entity]) ** 2))
    constant = -float(log_volume.sum()) - 0.5 * len(log_volume) * np.log(2.0 * np.pi)
    return Volumes(log_volume, times, mean, squares, float(constant))
