"""The table of scores: which columns it has, what fills them, and that it is about the windows it says it is about."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.event_rates.count_mixture import Prediction
from modelwright.bayesian.event_rates.names import ENTITY_IDX, EXPOSURE, Y
from modelwright.bayesian.event_rates.posterior_draws import carries_statistics, entity_labels, statistics_in
from modelwright.bayesian.event_rates.statistics import SufficientStatistics
from modelwright.bayesian.inference.settings import available_cores
from modelwright.core.errors import DataError
from modelwright.data.events import EventCounts

COLUMNS = ("expected", "lower", "upper", "score", "tail_probability", "lower_tail_probability")
"""What scoring adds to the windows, besides `known_entity` and, for training windows, `k_hat`."""

_WHOLE = ("lower", "upper")
_LARGEST = np.nextafter(2.0**63, 0.0)
"""The end of an interval that goes farther than whole numbers do, as with exposures of 1e9 nothing is known about."""


class ScoreColumns:
    """The columns while they are being filled, one value per observation.

    Args:
        n_obs: Observations.
        k_hat: Whether there is a column `k_hat`.
    """

    def __init__(self, n_obs: int, *, k_hat: bool) -> None:
        names = (*COLUMNS, "k_hat") if k_hat else COLUMNS
        self._columns = {name: np.empty(n_obs, dtype=np.int64 if name in _WHOLE else float) for name in names}

    def fill(
        self, where: np.ndarray, source: np.ndarray, found: Prediction, score: np.ndarray, k_hat: np.ndarray | None
    ) -> None:
        """Write what was found, at positions `source` of it, into the observations `where`."""
        for name, value in self._values(found, score, k_hat).items():
            self._columns[name][where] = value[source]

    def fill_all(self, source: np.ndarray, found: Prediction, score: np.ndarray, k_hat: np.ndarray | None) -> None:
        """As `fill` for every observation, without an index of them; a thread per core copies column by column."""

        def copy(name: str, value: np.ndarray) -> None:
            np.take(value.astype(self._columns[name].dtype), source, out=self._columns[name], mode="clip")

        with ThreadPoolExecutor(available_cores()) as pool:
            jobs = [pool.submit(copy, name, value) for name, value in self._values(found, score, k_hat).items()]
            for job in jobs:
                job.result()

    def _values(self, found: Prediction, score: np.ndarray, k_hat: np.ndarray | None) -> dict[str, np.ndarray]:
        values = {
            "expected": found.expected,
            "lower": np.minimum(found.lower, _LARGEST),
            "upper": np.minimum(found.upper, _LARGEST),
            "score": score,
            "tail_probability": found.upper_tail,
            "lower_tail_probability": found.lower_tail,
        }
        return values if k_hat is None or "k_hat" not in self._columns else values | {"k_hat": k_hat}

    def table(self, data: EventCounts, known: np.ndarray, probability: float) -> pd.DataFrame:
        """The windows with their scores; nothing is copied that is as long as the data."""
        windows = data.to_frame()
        facts = [name for name in ("label", "kind") if name in windows]
        parts: dict[str, Any] = {name: windows[name] for name in windows.columns if name not in facts}
        parts |= {name: self._columns[name] for name in COLUMNS}
        parts["known_entity"] = np.broadcast_to(known, data.n_obs).copy()
        if "k_hat" in self._columns:
            parts["k_hat"] = self._columns["k_hat"]
        parts |= {name: windows[name] for name in facts}
        table = pd.DataFrame(parts, copy=False)
        table.attrs = {"interval": probability}
        return table


def check_same_data(trace: Any, data: EventCounts, statistics: SufficientStatistics) -> None:
    """Refuse to leave windows out of a trace that they were never in: other entities, counts or exposures.

    Args:
        trace: The trace.
        data: The windows.
        statistics: Of these windows.
    """
    labels = entity_labels(trace)
    known = data.entities if labels == data.entities else frozenset(labels)
    strangers = [] if known is data.entities else [label for label in data.entities if label not in known]
    differs = {
        "count": _differs(trace, "observed_data", Y, data.count),
        "exposure": _differs(trace, "constant_data", EXPOSURE, data.exposure),
        "entity": bool(strangers) or len(known) != data.n_entities or _entities_differ(trace, data, labels),
    }
    if not any(differs.values()) and _statistics_differ(trace, statistics):
        differs["count"] = True
    if any(differs.values()):
        detail = f", such as {strangers[0]!r}" if strangers else ""
        columns = " and ".join(name for name, different in differs.items() if different)
        raise DataError(
            f"these are not the windows the model was trained on{detail}: they differ in {columns}",
            field="data",
            expected=f"the training windows of {len(known)} entities",
            got=f"{data.n_obs} windows of {data.n_entities} entities",
            todo="score other windows with score_new_windows",
        )


def _stored(trace: Any, group: str, name: str, n_obs: int) -> np.ndarray | None:
    """A variable of one value per observation; None where the trace holds none, or a sample of them."""
    stored = getattr(trace, group, None)
    if stored is None or name not in stored or stored.attrs.get("complete", 1) == 0:
        return None
    values = np.asarray(stored[name].values)
    # With statistics beside it, a shorter column is a sample of the windows, and the statistics are what to compare.
    return None if len(values) != n_obs and carries_statistics(trace) else values


def _differs(trace: Any, group: str, name: str, mine: np.ndarray) -> bool:
    values = _stored(trace, group, name, len(mine))
    return values is not None and not np.array_equal(values, mine)


def _entities_differ(trace: Any, data: EventCounts, labels: tuple[str, ...]) -> bool:
    values = _stored(trace, "constant_data", ENTITY_IDX, data.n_obs)
    if values is None:
        return False
    if labels != data.entities:
        position = {label: index for index, label in enumerate(labels)}
        mine = np.array([position[label] for label in data.entities])[data.entity_idx]
        return not np.array_equal(values, mine)
    return not np.array_equal(values, data.entity_idx)


def _statistics_differ(trace: Any, mine: SufficientStatistics) -> bool:
    """Whether a trace carries the statistics of other windows."""
    stored = statistics_in(trace)
    if stored is None:
        return False
    if mine.entities != stored.entities:
        position = stored.position
        entity = np.array([position[label] for label in mine.entities])[mine.entity]
        order = np.lexsort((mine.exposure, entity))
    else:
        entity, order = mine.entity, np.arange(len(mine.entity))
    return not (
        np.array_equal(entity[order], stored.entity)
        and all(
            np.array_equal(getattr(mine, name)[order], getattr(stored, name))
            for name in ("exposure", "total", "windows")
        )
    )
