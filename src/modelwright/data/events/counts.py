"""`EventCounts`: how many events each entity had in each window, as arrays that a model can read directly.

One observation is one entity in one window. Observations are sorted by entity, then by window, and every array below
has one entry per observation. The object checks itself when it is made and cannot be changed afterwards, so what a
fingerprint was taken of is what a model was trained on.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from modelwright.core.errors import DataError
from modelwright.data.events import tabular
from modelwright.data.events.checks import check_arrays, frozen

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
        window_label: What a person reads for the window, shape (n_obs,), texts.
        label: Whether the window holds a known attack, shape (n_obs,), bool; None when unknown.
        kind: Kind of attack, shape (n_obs,), texts, "" for none; None when unknown.
        window: Length of a window as a pandas offset; None without windows.
        timezone: Zone whose clock decides where days begin; None without times.
        left_out: What was not used and why.
        source: Where the counts come from, as plain data.

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
    window_label: NDArray[np.object_]
    label: NDArray[np.bool_] | None = None
    kind: NDArray[np.object_] | None = None
    window: str | None = None
    timezone: str | None = None
    left_out: tuple[LeftOut, ...] = ()
    source: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        entities = tuple(str(name) for name in self.entities)
        object.__setattr__(self, "entities", entities)
        object.__setattr__(self, "left_out", tuple(self.left_out))
        for name, dtype in (
            ("entity_idx", np.int64),
            ("count", np.int64),
            ("exposure", np.float64),
            ("window_start", "datetime64[ns]"),
            ("window_label", object),
            ("label", np.bool_),
            ("kind", object),
        ):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, frozen(value, dtype, name))
        check_arrays(
            entity_idx=self.entity_idx,
            n_entities=len(entities),
            distinct=len(set(entities)),
            count=self.count,
            exposure=self.exposure,
            window_start=self.window_start,
            others={"window_label": self.window_label, "label": self.label, "kind": self.kind},
        )

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

        Raises:
            DataError: for counts that are negative, fractional or missing, and for lengths that differ.

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
        }
        frame = tabular.frame_of(entity, count, columns)
        parts = tabular.parts_of_frame(frame, entities=sorted(set(frame["entity"])), timezone=timezone)
        return cls(**parts, window=window, source=dict(source or {}))

    @classmethod
    def from_frame(
        cls, frame: pd.DataFrame, *, window: str | None = None, timezone: str | None = None
    ) -> "EventCounts":
        """Counts from a table with columns entity and count, and as they are there exposure, window_start, window,
        label and kind: the inverse of `to_frame`. Entities keep the order in which they first appear.

        Raises:
            DataError: for a missing column, or for counts that are not counts.

        Example:
            >>> counts = EventCounts.from_arrays(entity=["a", "b"], count=[1, 2], window_start=["2024-03-01"] * 2)
            >>> EventCounts.from_frame(counts.to_frame()).fingerprint() == counts.fingerprint()
            True
        """  # noqa: D205
        kept = frame.attrs.get(tabular.ATTRIBUTE, {})
        entities = list(dict.fromkeys(frame["entity"].astype(str))) if "entity" in frame else []
        zone = timezone or kept.get("timezone")
        parts = tabular.parts_of_frame(frame, entities=entities, timezone=zone)
        return cls(
            **parts,
            window=window or kept.get("window"),
            left_out=tuple(LeftOut(entry["reason"], int(entry["rows"])) for entry in kept.get("left_out", ())),
            source=dict(kept.get("source", {})),
        )

    def to_frame(self) -> pd.DataFrame:
        """One row per observation: entity, window_start (UTC, absent without times), window, count, exposure, and label
        and kind where they are known. Window length, zone, source and what was left out are in `attrs`.
        """  # noqa: D205
        columns: dict[str, Any] = {"entity": np.asarray(self.entities, dtype=object)[self.entity_idx]}
        if self.window_start is not None:
            columns["window_start"] = self.window_start
        columns |= {"window": self.window_label, "count": self.count, "exposure": self.exposure}
        columns |= {name: getattr(self, name) for name in ("label", "kind") if getattr(self, name) is not None}
        frame = pd.DataFrame({name: np.array(values) for name, values in columns.items()})
        frame.attrs[tabular.ATTRIBUTE] = {
            "window": self.window,
            "timezone": self.timezone,
            "left_out": [{"reason": entry.reason, "rows": entry.rows} for entry in self.left_out],
            "source": json.loads(json.dumps(dict(self.source), default=str)),
        }
        return frame

    def fingerprint(self) -> str:
        """SHA-256, in hexadecimal, of the entities and of every array; equal data have equal fingerprints."""
        digest = hashlib.sha256(json.dumps(self.entities, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        start = None if self.window_start is None else self.window_start.view(np.int64)
        kind = None if self.kind is None else json.dumps(self.kind.tolist()).encode()
        for name, values, dtype in (
            ("entity_idx", self.entity_idx, "<i8"),
            ("count", self.count, "<i8"),
            ("exposure", self.exposure, "<f8"),
            ("window_start", start, "<i8"),
            ("label", self.label, "u1"),
        ):
            digest.update(name.encode())
            digest.update(b"absent" if values is None else np.ascontiguousarray(values, dtype=dtype).tobytes())
        digest.update(b"kind" + (kind or b"absent"))
        return digest.hexdigest()

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
            "left_out": [{"reason": entry.reason, "rows": entry.rows} for entry in self.left_out],
            "source": dict(self.source),
            "fingerprint": self.fingerprint(),
        }

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
