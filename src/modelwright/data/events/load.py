"""`load_events`: the one way from a person's log or table to `EventCounts`."""

from typing import Any, Literal, get_args

import duckdb
import numpy as np

from modelwright.core.errors import ConfigurationError, DataError
from modelwright.core.names import suggestion
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.events.aggregate import aggregate_events
from modelwright.data.events.columns import Meaning, meaning_of
from modelwright.data.events.counts import EventCounts
from modelwright.data.events.fill import Span, fill_windows, observed_fraction
from modelwright.data.events.ready import read_ready_counts, refuse_duplicates
from modelwright.data.events.sources import Rows, open_rows, reading
from modelwright.data.events.windows import WindowGrid, parse_window, window_labels
from modelwright.data.events.zones import Int64, Zone, find_zone

Purpose = Literal["training", "scoring"]
OnBad = Literal["error", "leave_out"]
EdgeWindows = Literal["partial", "whole"]


def load_events(
    source: object,
    *,
    entity: str,
    time: str | None = None,
    window: str | None = None,
    count: str | None = None,
    multiplicity: str | None = None,
    exposure: str | None = None,
    label: str | None = None,
    kind: str | None = None,
    span: Span = "entity",
    edge_windows: EdgeWindows = "partial",
    timezone: str | None = None,
    time_format: str | None = None,
    on_bad: OnBad = "error",
    purpose: Purpose = "training",
    progress: ProgressCallback = ignore_progress,
) -> EventCounts:
    """Counts per entity and window from a log of raw events, or from a table of ready counts when `count` is named.

    Raw events need `time` and `window`; each row is one event, or `multiplicity` of them. Ready counts are taken as
    they are without `time`; with `time` and `window` the windows that are missing are filled with zeros, and with
    `time` alone the windows are those listed.

    How much of a window was observed (its exposure): a log of raw events is observed from its first event to its last
    one, plus the unit its clock counts in (a log of dates is observed to the end of its last day). Windows inside that
    span have exposure 1 whatever their length (a month is a month, a day of 23 hours is a day); the first and the last
    window of the log have the fraction of them that lies inside, at least 0.01. Ready counts have exposure 1, or the
    column `exposure`.

    Args:
        source: Path of a CSV, Parquet or JSON lines file, or a pandas or polars frame.
        entity: Column of entities; its values become texts.
        time: Column of times: timestamps, dates, or text in ISO 8601; those without an offset are on the clock of
            `timezone`.
        window: Length of a window as a pandas offset: 1D, 1h, 15min, W, MS. Windows begin at midnights of `timezone`.
        count: Column of ready counts.
        multiplicity: Column that says how many events a raw row stands for.
        exposure: Column of exposures of ready counts, in any unit.
        label: Column that says whether a row belongs to a known attack (0 or 1); a window does when any row in it does.
        kind: Column with the kind of attack, empty for none; the kinds in one window are joined by "+".
        span: "entity" fills from an entity's first window to its last, "whole" from the first window of all to the
            last, "listed" fills nothing.
        edge_windows: "partial" as above; "whole" takes the first and last window of a log as observed entirely.
        timezone: IANA name; UTC when left out.
        time_format: strptime pattern, or epoch_s, epoch_ms, epoch_us, epoch_ns for numbers; ISO 8601 when left out.
        on_bad: "error" refuses rows that cannot be used; "leave_out" leaves them out and counts them in `left_out`.
        purpose: "training" refuses a single entity and counts that are all zero; "scoring" does not.
        progress: Told what is being done.

    Returns:
        The counts, entities sorted by label.

    Raises:
        ConfigurationError: for options that contradict each other or mean nothing.
        NotFoundError: for a file that does not exist.
        DataError: for content that cannot be used, with the rows at fault.

    Example:
        >>> import pandas as pd
        >>> log = pd.DataFrame({"user": ["ada", "bob", "ada"], "at": ["2024-03-01", "2024-03-01", "2024-03-03"]})
        >>> counts = load_events(log, entity="user", time="at", window="1D")
        >>> for row in zip(counts.entity_idx.tolist(), counts.window_label, counts.count.tolist()):
        ...     print(*row)
        0 2024-03-01 1
        0 2024-03-02 0
        0 2024-03-03 1
        1 2024-03-01 1
    """
    named = {"entity": entity, "time": time, "count": count, "multiplicity": multiplicity}
    named |= {"exposure": exposure, "label": label, "kind": kind}
    columns = {role: name for role, name in named.items() if name is not None}
    _check_options(columns, window, {"span": span, "edge_windows": edge_windows, "on_bad": on_bad, "purpose": purpose})
    zone = find_zone(timezone)
    grid = None if window is None else parse_window(window, zone)
    roles = {("count" if role == "multiplicity" else role): name for role, name in columns.items()}
    leave_out = on_bad == "leave_out"
    progress(ProgressEvent("read", 0, unit="rows"))
    with open_rows(source, roles) as rows, reading(source):
        _check_time_format(rows, time_format)
        meaning = meaning_of(rows.types, zone, time_format=time_format)
        origin = {"name": rows.name, "format": rows.format, "columns": columns, "span": span, "on_bad": on_bad}
        origin |= {"time_format": time_format} if time_format else {}
        if count is None:
            assert grid is not None
            counts = _from_events(rows, meaning, grid, span, edge_windows, leave_out=leave_out, origin=origin)
        else:
            counts = _from_counts(rows, meaning, grid, zone, span, leave_out=leave_out, origin=origin)
    progress(ProgressEvent("read", counts.source["rows"], counts.source["rows"], unit="rows"))
    return check_trainable(counts) if purpose == "training" else counts


def check_trainable(counts: EventCounts) -> EventCounts:
    """Return counts from which a hierarchy can be learnt.

    Raises:
        DataError: for a single entity, and for counts that are all zero.
    """
    if counts.n_entities < 2:
        raise DataError(
            "there is only one entity, and a hierarchical model learns how entities differ",
            field="entity",
            expected="at least two entities",
            got=counts.entities[0],
            todo="check that this is the column of entities, or add the other entities",
        )
    if not counts.count.any():
        raise DataError(
            "every count is zero, so there is no rate to learn",
            field="count",
            expected="at least one event",
            todo="check that this is the column of counts",
        )
    return counts


def _from_events(
    rows: Rows,
    meaning: Meaning,
    grid: WindowGrid,
    span: Span,
    edge_windows: EdgeWindows,
    *,
    leave_out: bool,
    origin: dict[str, Any],
) -> EventCounts:
    listed, grid = aggregate_events(rows, meaning, grid, leave_out=leave_out)
    filled = fill_windows(listed.entity_idx, listed.index, listed.count, span=span, grid=grid)
    label, kind = _placed(filled.position, len(filled.count), listed.label, listed.kind)
    if label is None and kind is not None:
        label = kind != ""
    if edge_windows == "partial":
        exposure = observed_fraction(filled.index, grid, listed.observed)
    else:
        exposure = np.ones(len(filled.index))
    start = grid.start(filled.index)
    observed = [_iso(instant) for instant in listed.observed]
    return EventCounts(
        entity_idx=filled.entity_idx,
        entities=listed.entities,
        count=filled.count,
        exposure=exposure,
        window_start=_nanoseconds(start),
        window_label=window_labels(start, grid.zone),
        label=label,
        kind=kind,
        window=grid.text,
        timezone=grid.zone.name,
        left_out=listed.left_out,
        source={
            **origin,
            "rows": listed.rows,
            "filled_windows": len(filled.count) - len(listed.count),
            "observed": observed,
            "clock_unit": listed.clock_unit,
            "edge_windows": edge_windows,
        },
    )


def _from_counts(
    rows: Rows,
    meaning: Meaning,
    grid: WindowGrid | None,
    zone: Zone,
    span: Span,
    *,
    leave_out: bool,
    origin: dict[str, Any],
) -> EventCounts:
    ready = read_ready_counts(rows, meaning, leave_out=leave_out)
    entity_idx, count, label, kind = ready.entity_idx, ready.count, ready.label, ready.kind
    exposure = np.ones(len(count)) if ready.exposure is None else ready.exposure
    start = ready.instant
    if start is None:
        labels = np.array([f"row {place}" for place in ready.place.tolist()], dtype=object)
    elif grid is None:
        labels = window_labels(start, zone)
        refuse_duplicates(ready, start, labels, grid=None)
    else:
        bucket = grid.bucket_of(start)
        grid = grid.covering(int(bucket.min()), int(bucket.max()))
        index = grid.index_of(bucket)
        refuse_duplicates(ready, index, window_labels(grid.start(index), zone), grid=grid)
        filled = fill_windows(entity_idx, index, count, span=span, grid=grid)
        if ready.exposure is not None and len(filled.count) > len(count):
            raise DataError(
                f"{len(filled.count) - len(count):,} windows are not in the table, so their exposure is unknown",
                field="exposure",
                expected="a row with count 0 and its exposure for every window without events",
                todo='add such rows, or pass span="listed" to use only the windows listed',
            )
        entity_idx, count = filled.entity_idx, filled.count
        label, kind = _placed(filled.position, len(count), label, kind)
        exposure = np.ones(len(count)) if ready.exposure is None else exposure
        start = grid.start(filled.index)
        labels = window_labels(start, zone)
    return EventCounts(
        entity_idx=entity_idx,
        entities=ready.entities,
        count=count,
        exposure=exposure,
        window_start=None if start is None else _nanoseconds(start),
        window_label=labels,
        label=(kind != "") if label is None and kind is not None else label,
        kind=kind,
        window=grid.text if grid else None,
        timezone=zone.name if start is not None else None,
        left_out=ready.left_out,
        source={**origin, "rows": len(ready.count), "filled_windows": len(count) - len(ready.count)},
    )


def _placed(position: Int64, n_obs: int, label: Any, kind: Any) -> tuple[Any, Any]:
    """Labels and kinds of listed windows put among all windows; a window without rows has neither."""
    if label is not None:
        all_labels = np.zeros(n_obs, dtype=np.bool_)
        all_labels[position] = label
        label = all_labels
    if kind is not None:
        all_kinds = np.full(n_obs, "", dtype=object)
        all_kinds[position] = kind
        kind = all_kinds
    return label, kind


def _nanoseconds(instants: Int64) -> Any:
    limit = np.iinfo(np.int64).max // 1_000
    if (np.abs(instants) > limit).any():
        raise DataError(
            "windows begin outside the years that can be written",
            field="window",
            expected="windows between 1678 and 2261",
            todo="use a shorter window, or check the times",
        )
    return (instants * 1_000).view("datetime64[ns]")


def _iso(instant: int) -> str:
    return str(np.datetime64(instant, "us")) + "Z"


def _check_time_format(rows: Rows, time_format: str | None) -> None:
    if time_format is None or time_format.startswith("epoch_"):
        return
    try:
        rows.connection.execute("SELECT try_strptime('', ?)", [time_format]).fetchall()
    except duckdb.Error as error:
        raise ConfigurationError(
            "not a pattern for times",
            field="time_format",
            expected="a strptime pattern such as %d/%m/%Y %H:%M",
            got=time_format,
        ) from error


def _check_options(columns: dict[str, str], window: str | None, choices: dict[str, str]) -> None:
    allowed = {"span": Span, "edge_windows": EdgeWindows, "on_bad": OnBad, "purpose": Purpose}
    for role, name in columns.items():
        if not isinstance(name, str) or not name:
            raise ConfigurationError("not a column name", field=role, expected="the name of a column", got=name)
    for option, value in choices.items():
        known = get_args(allowed[option])
        if value not in known:
            raise ConfigurationError(
                "not a choice", field=option, expected=" or ".join(known), got=value, todo=suggestion(str(value), known)
            )
    if "count" in columns and "multiplicity" in columns:
        raise ConfigurationError(
            "a table holds ready counts or raw events, not both", field="multiplicity", expected="count or multiplicity"
        )
    if "count" not in columns:
        for option, given in (("time", "time" in columns), ("window", window is not None)):
            if not given:
                raise ConfigurationError(
                    "raw events are counted per window of time",
                    field=option,
                    expected="a column of times and the length of a window",
                    todo="name both time and window, or name the count column of a table that is counted already",
                )
        if "exposure" in columns:
            raise ConfigurationError(
                "raw events have the exposure of their windows",
                field="exposure",
                expected="an exposure column together with a count column",
                todo="leave exposure out",
            )
    if window is not None and "time" not in columns:
        raise ConfigurationError(
            "windows need times",
            field="window",
            expected="a column of times",
            todo="name the time column, or leave window out",
        )
