"""Known attacks beside the counts: a table of entity, time and kind marks the windows it names."""

from dataclasses import replace
from typing import Any

import numpy as np

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.data.events.columns import meaning_of
from modelwright.data.events.counts import EventCounts
from modelwright.data.events.flaws import find_flaws, flawed_rows
from modelwright.data.events.sources import fetch, open_rows, reading
from modelwright.data.events.texts import Texts
from modelwright.data.events.windows import parse_window
from modelwright.data.events.zones import find_zone


def attach_labels(
    counts: EventCounts,
    source: object,
    *,
    entity: str,
    time: str,
    kind: str | None = None,
    time_format: str | None = None,
) -> EventCounts:
    """Mark the windows that a table of known attacks names; all others are marked as free of attacks.

    Args:
        counts: Counts in windows of time.
        source: Path or frame with one row per attacked entity and window (any time inside the window).
        entity: Column of entities.
        time: Column of times.
        kind: Column with the kind of attack; several kinds in one window are joined by "+".
        time_format: As in `load_events`.

    Returns:
        The same counts with `label` and, when asked for, `kind`.

    Raises:
        ConfigurationError: when the counts have no windows of time.
        DataError: when a row cannot be read, or names a window that the counts do not have.

    Example:
        >>> import pandas as pd
        >>> from modelwright.data.events import load_events
        >>> log = pd.DataFrame({"user": ["a", "b"], "at": ["2024-03-01", "2024-03-01"]})
        >>> counts = load_events(log, entity="user", time="at", window="1D")
        >>> attach_labels(counts, log[:1], entity="user", time="at").label.tolist()
        [True, False]
    """
    if counts.window is None or counts.window_start is None:
        raise ConfigurationError("the counts have no windows of time", field="labels", expected="counts with a window")
    zone = find_zone(counts.timezone)
    grid = parse_window(counts.window, zone)
    columns = {"entity": entity, "time": time} | ({"kind": kind} if kind else {})
    with open_rows(source, columns) as rows, reading(source):
        meaning = meaning_of(rows.types, zone, time_format=time_format)
        found = find_flaws(rows, meaning)
        if found:
            raise flawed_rows(found, columns)
        query = f"""
            WITH prepared AS (SELECT {meaning.prepared} FROM ({rows.sql}))
            SELECT DISTINCT {meaning.entity} AS entity, {meaning.instant} AS instant, {meaning.kind} AS kind
            FROM prepared
        """
        table = fetch(rows, query)
    label = np.zeros(counts.n_obs, dtype=np.bool_)
    kinds: dict[int, set[str]] = {}
    if len(table["instant"]):
        instants = table["instant"].to_numpy().astype(np.int64)
        bucket = grid.bucket_of(instants)
        grid = grid.covering(int(bucket.min()), int(bucket.max()))
        starts = grid.start(grid.index_of(bucket)) * 1_000
        mine = counts.window_start.view(np.int64)
        bounds = np.searchsorted(counts.entity_idx, np.arange(counts.n_entities + 1))
        number = {name: code for code, name in enumerate(counts.entities)}
        named: list[Any] = table["kind"].to_pylist()
        for who, when, what in zip(table["entity"].to_pylist(), starts.tolist(), named, strict=True):
            code = number.get(who, -1)
            first, end = (int(bounds[code]), int(bounds[code + 1])) if code >= 0 else (0, 0)
            place = first + int(np.searchsorted(mine[first:end], when, side="right")) - 1
            if place < first or mine[place] != when:
                moment = np.datetime_as_string(np.datetime64(when, "ns"), unit="s")
                raise DataError(
                    f"the window of {who!r} that begins at {moment}Z is not among the counts",
                    field="labels",
                    expected="entities and windows that the counts have",
                    todo='load the counts with span="whole", or correct the labels',
                )
            label[place] = True
            kinds.setdefault(place, set()).update({what} if what else set())
    texts = np.full(counts.n_obs, "", dtype=object)
    for place, several in kinds.items():
        texts[place] = "+".join(sorted(several))
    return replace(counts, label=label, kind=Texts.of(texts) if kind else None)
