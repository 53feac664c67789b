"""`EventCounts`: how many events each entity had in each window, as arrays that a model can read directly.

One observation is one entity in one window. Observations are sorted by entity, then by window, and every array below
has one entry per observation. The object checks itself when it is made and cannot be changed afterwards, so what a
fingerprint was taken of is what a model was trained on.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from modelwright.core.errors import DataError
from modelwright.data.events import tabular
from modelwright.data.events.checks import check_arrays, frozen
from modelwright.data.events.covariates import (
    Column,
    check_name,
    checked_covariates,
    checked_volume,
    describe_covariates,
)
from modelwright.data.events.fingerprints import fingerprint_of
from modelwright.data.events.texts import Texts

LARGEST_COUNT = 2**53


@dataclass(frozen=True)
class LeftOut:
    """Rows of the source that were not used, and why.

    Args:
        reason: What was wrong with them.
        rows: How many.
    """

    reason: str
    rows: int


@dataclass(frozen=True, eq=False)
class EventCounts:
    """Counts per entity and window.

    Args:
        entity_idx: Which entity, shape (n_obs,), int64 into `entities`, ascending.
        entities: Labels of the entities, each with at least one observation.
        count: Events in the window, shape (n_obs,), int64.
        exposure: Windows observed (1.0 is a whole window), or the user's own unit; shape (n_obs,), positive.
        window_start: When the window begins, shape (n_obs,), datetime64[ns] in UTC; None without times.
        window_label: What a person reads for the window, shape (n_obs,), texts (`Texts`: each distinct one once).
        label: Whether the window holds a known attack, shape (n_obs,), bool; None when unknown.
        kind: Kind of attack, shape (n_obs,), texts, "" for none; None when unknown.
        window: Length of a window as a pandas offset; None without windows.
        timezone: Zone whose clock decides where days begin; None without times.
        left_out: What was not used and why.
        source: Where the counts come from, as plain data.
        covariates: name -> what is known about each observation, shape (n_obs,): numbers (float64) or texts (`Texts`).
        volume: How much the events of the window moved (bytes, an amount), shape (n_obs,), NaN where there was no
            event; None when unknown.

    Raises:
        DataError: when the arrays contradict each other.

    Example:
        >>> counts = EventCounts.from_arrays(entity=["b", "a", "a"], count=[3, 0, 2])
        >>> counts.entities, counts.entity_idx.tolist(), counts.count.tolist()
        (('a', 'b'), [0, 0, 1], [0, 2, 3])
    """

    entity_idx: NDArray[np.int64]
    entities: tuple[str, ...]
    count: NDArray[np.int64]
    exposure: NDArray[np.float64]
    window_start: NDArray[np.datetime64] | None
    window_label: Texts
    label: NDArray[np.bool_] | None = None
    kind: Texts | None = None
    window: str | None = None
    timezone: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)
    covariates: Mapping[str, Column] = field(default_factory=dict)
    volume: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        entities = tuple(map(str, self.entities))
        object.__setattr__(self, "entities", entities)
        object.__setattr__(self, "left_out", tuple(self.left_out))
        for name, dtype in (
            ("entity_idx", np.int64),
            ("count", np.int64),
            ("exposure", np.float64),
            ("window_start", "datetime64[ns]"),
            ("label", np.bool_),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen(value, dtype, name))
        object.__setattr__(self, "window_label", Texts.of(self.window_label, name="window_label"))
        if self.kind is not None:
            object.__setattr__(self, "kind", Texts.of(self.kind, name="kind"))
        object.__setattr__(self, "covariates", checked_covariates(self.covariates))
        check_arrays(
            entity_idx=self.entity_idx,
            n_entities=len(entities),
            distinct=len(set(entities)),
            count=self.count,
            exposure=self.exposure,
            window_start=self.window_start,
            others={"window_label": self.window_label, "label": self.label, "kind": self.kind, **self.covariates},
        )
        if self.volume is not None:
            object.__setattr__(self, "volume", checked_volume(self.volume, self.count))

    @property
    def n_obs(self) -> int:
        """Observations: pairs of entity and window."""
        return len(self.count)

    @property
    def n_entities(self) -> int:
        """Entities."""
        return len(self.entities)

    @classmethod
    def from_arrays(
        cls,
        *,
        entity: ArrayLike | Sequence[str],
        count: ArrayLike,
        exposure: ArrayLike | None = None,
        window_start: ArrayLike | None = None,
        window_label: ArrayLike | None = None,
        label: ArrayLike | None = None,
        kind: ArrayLike | None = None,
        window: str | None = None,
        timezone: str | None = None,
        source: Mapping[str, Any] | None = None,
        covariates: Mapping[str, ArrayLike] | None = None,
        volume: ArrayLike | None = None,
    ) -> "EventCounts":
        """Counts from parallel sequences in any order; entities are sorted by label, windows within them by time.

        Args:
            entity: Label of the entity, shape (n_obs,).
            count: Events, shape (n_obs,), whole numbers of at least zero.
            exposure: Windows observed, shape (n_obs,); 1.0 everywhere when left out.
            window_start: Instants, shape (n_obs,); naive ones are UTC.
            window_label: Texts, shape (n_obs,); made from the starts, or "row 1", "row 2" ..., when left out.
            label: Known attacks, shape (n_obs,), 0 or 1.
            kind: Kinds of attack, shape (n_obs,), "" for none.
            window: Length of a window, as a pandas offset.
            timezone: Zone in which window labels are written; UTC when left out and times are given.
            source: Where the counts come from.
            covariates: name -> numbers or texts, shape (n_obs,).
            volume: How much the events moved, shape (n_obs,), NaN or zero without an event.

        Raises:
            DataError: for counts that are negative, fractional or missing, and for lengths that differ.
            ConfigurationError: for a covariate called like a column of the table (`to_frame`).

        Example:
            >>> EventCounts.from_arrays(entity=["x", "y"], count=[1, 2], exposure=[0.5, 1.0]).exposure.tolist()
            [0.5, 1.0]
        """
        columns: dict[str, Any] = {
            "exposure": exposure,
            "window_start": window_start,
            "window": window_label,
            "label": label,
            "kind": kind,
            "volume": volume,
        }
        for name in covariates or {}:
            check_name(name)
        frame = tabular.frame_of(entity, count, columns | dict(covariates or {}))
        parts = tabular.parts_of_frame(frame, sort_entities=True, timezone=timezone, covariates=list(covariates or {}))
        return cls(**parts, window=window, source=dict(source or {}))

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        window: str | None = None,
        timezone: str | None = None,
        covariates: Sequence[str] | None = None,
    ) -> "EventCounts":
        """Counts from a table with columns entity and count, and as they are there exposure, window_start, window,
        volume, label and kind: the inverse of `to_frame`. Entities keep the order in which they first appear.

        Args:
            frame: The table.
            window: Length of a window; what `to_frame` noted when left out.
            timezone: Zone of the windows; what `to_frame` noted when left out.
            covariates: Columns that are covariates; those that `to_frame` noted when left out.

        Raises:
            DataError: for a missing column, or for counts that are not counts.

        Example:
            >>> counts = EventCounts.from_arrays(entity=["a", "b"], count=[1, 2], window_start=["2024-03-01"] * 2)
            >>> EventCounts.from_frame(counts.to_frame()).fingerprint() == counts.fingerprint()
            True
        """  # noqa: D205
        kept = frame.attrs.get(tabular.ATTRIBUTE, {})
        zone = timezone or kept.get("timezone")
        named = list(kept.get("covariates", ()) if covariates is None else covariates)
        parts = tabular.parts_of_frame(frame, sort_entities=False, timezone=zone, covariates=named)
        return cls(
            **parts,
            window=window or kept.get("window"),
            left_out=tuple(LeftOut(entry["reason"], int(entry["rows"])) for entry in kept.get("left_out", ())),
            source=dict(kept.get("source", {})),
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per observation: entity, window_start (UTC, absent without times), window, count, exposure and, where
        they are known, volume, label, kind and the covariates. Window length, zone, source, the names of the
        covariates and what was left out are in `attrs`. In large tables entities and windows are categories.
        """  # noqa: D205
        columns: dict[str, Any] = {"entity": Texts(self.entities, self.entity_idx).to_pandas()}
        if self.window_start is not None:
            columns["window_start"] = np.array(self.window_start)
        columns |= {"window": self.window_label.to_pandas(), "count": np.array(self.count)}
        columns |= {"exposure": np.array(self.exposure)}
        columns |= {name: np.array(getattr(self, name)) for name in ("volume", "label") if self._knows(name)}
        columns |= {} if self.kind is None else {"kind": self.kind.to_pandas()}
        for name, column in self.covariates.items():
            columns[name] = column.to_pandas() if isinstance(column, Texts) else np.array(column)
        frame = pd.DataFrame(columns, copy=False)
        frame.attrs[tabular.ATTRIBUTE] = {
            "window": self.window,
            "timezone": self.timezone,
            "left_out": [{"reason": entry.reason, "rows": entry.rows} for entry in self.left_out],
            "source": json.loads(json.dumps(dict(self.source), default=str)),
            **({"covariates": list(self.covariates)} if self.covariates else {}),
        }
        return frame

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the entities and of every array; equal data have equal fingerprints."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        start = None if self.window_start is None else self.window_start.view(np.int64)
        arrays: dict[str, tuple[NDArray[Any] | None, str]] = {
            "entity_idx": (self.entity_idx, "<i8"),
            "count": (self.count, "<i8"),
            "exposure": (self.exposure, "<f8"),
            "window_start": (start, "<i8"),
            "label": (self.label, "u1"),
        }
        return fingerprint_of(self.entities, arrays, self.kind, self.covariates, self.volume)

    def describe(self) -> dict[str, Any]:
        """What the counts are, as plain data for a manifest or a page."""
        starts = self.window_start
        return {
            "n_obs": self.n_obs,
            "n_entities": self.n_entities,
            "events": int(self.count.sum()),
            "mean_count": float(self.count.mean()),
            "largest_count": int(self.count.max()),
            "windows_without_events": int((self.count == 0).sum()),
            "total_exposure": float(self.exposure.sum()),
            "first_window": None if starts is None else str(np.datetime_as_string(starts.min(), unit="s")) + "Z",
            "last_window": None if starts is None else str(np.datetime_as_string(starts.max(), unit="s")) + "Z",
            "window": self.window,
            "timezone": self.timezone,
            "labelled": None if self.label is None else int(self.label.sum()),
            **({"covariates": describe_covariates(self.covariates)} if self.covariates else {}),
            **({} if self.volume is None else {"total_volume": float(np.nansum(self.volume))}),
            "left_out": [{"reason": entry.reason, "rows": entry.rows} for entry in self.left_out],
            "source": dict(self.source),
            "fingerprint": self.fingerprint(),
        }

    def _knows(self, name: str) -> bool:
        return getattr(self, name) is not None

    def index_of(self, entity: str) -> int:
        """The position of an entity in `entities`.

        Raises:
            DataError: when there is no such entity.
        """
        try:
            return self.entities.index(entity)
        except ValueError:
            from modelwright.core.names import suggestion

            raise DataError(
                "no such entity", field="entity", got=entity, todo=suggestion(entity, self.entities)
            ) from None
