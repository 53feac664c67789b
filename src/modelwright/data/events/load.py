"""`load_events`: the one way from a person's log or table to `EventCounts`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.data.events.aggregate import aggregate_events
from modelwright.data.events.checks import sealed
from modelwright.data.events.columns import Meaning, meaning_of
from modelwright.data.events.counts import EventCounts, LeftOut
from modelwright.data.events.covariate_columns import CovariateType, named_covariates
from modelwright.data.events.facts import Facts, filled_facts
from modelwright.data.events.fill import Span, fill_windows, observed_fraction
from modelwright.data.events.load_options import EdgeWindows, OnBad, Purpose, check_options, check_time_format
from modelwright.data.events.ordering import distinct
from modelwright.data.events.ready import read_ready_counts, refuse_duplicates
from modelwright.data.events.sources import Rows, open_rows, reading
from modelwright.data.events.texts import Codes, RowNames, Texts
from modelwright.data.events.windows import WindowGrid, parse_window, window_labels
from modelwright.data.events.zones import Int64, Zone, find_zone


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
    volume: str | None = None,
    covariates: Sequence[str] | Mapping[str, CovariateType | None] = (),
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

    A window that no row mentions takes a covariate's value from its entity when no entity has two of them, else from
    the other entities when all that are listed in that window share one; otherwise it is refused, since nothing says
    what the value is.

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
        volume: Column that says how much the events of a row moved (bytes, an amount), at least zero; added up within
            a window.
        covariates: Columns that explain rates, numbers or texts: one value per entity and window. In CSV and JSON
            lines, where everything is text, a column is numeric when all its values are numbers; {"tier": "text"} says
            otherwise.
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
    named |= {"exposure": exposure, "label": label, "kind": kind, "volume": volume}
    wanted = named_covariates(covariates)
    columns = {role: name for role, name in named.items() if name is not None}
    check_options(columns, window, {"span": span, "edge_windows": edge_windows, "on_bad": on_bad, "purpose": purpose})
    zone = find_zone(timezone)
    grid = None if window is None else parse_window(window, zone)
    roles = {("count" if role == "multiplicity" else role): name for role, name in columns.items()}
    numbered = {f"covariate_{number}": (name, type) for number, (name, type) in enumerate(wanted.items())}
    roles |= {role: name for role, (name, _) in numbered.items()}
    leave_out = on_bad == "leave_out"
    progress(ProgressEvent("read", 0, unit="rows"))
    with open_rows(source, roles) as rows, reading(source):
        check_time_format(rows, time_format)
        written = rows.format in ("csv", "json")
        meaning = meaning_of(rows.types, zone, time_format=time_format, covariates=numbered, written=written)
        origin = {"name": rows.name, "format": rows.format, "columns": columns, "span": span, "on_bad": on_bad}
        origin |= {"time_format": time_format} if time_format else {}
        origin |= {"covariates": list(wanted)} if wanted else {}
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
    facts = filled_facts(listed.facts, filled, listed.entities, listed.entity_idx, listed.index, grid)
    code, windows = distinct(filled.index)
    if edge_windows == "partial":
        exposure = observed_fraction(windows, grid, listed.observed)[code]
    else:
        exposure = np.ones(len(code))
    observed = [_iso(instant) for instant in listed.observed]
    origin |= {"rows": listed.rows, "filled_windows": len(filled.count) - len(listed.count), "observed": observed}
    origin |= {"clock_unit": listed.clock_unit}
    return _counts(
        listed.entities,
        filled.entity_idx,
        filled.count,
        exposure,
        facts,
        starts=grid.start(windows),
        code=code,
        window=grid.text,
        zone=grid.zone,
        left_out=listed.left_out,
        source={**origin, "edge_windows": edge_windows},
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
    entity_idx, count, facts, starts, code = ready.entity_idx, ready.count, ready.facts, ready.times, ready.time
    if ready.times is not None and ready.time is not None:
        if grid is None:
            refuse_duplicates(ready, ready.times, zone=zone, grid=None)
        else:
            bucket = grid.bucket_of(ready.times)
            grid = grid.covering(int(bucket.min()), int(bucket.max()))
            windows = grid.index_of(bucket)
            refuse_duplicates(ready, windows, zone=zone, grid=grid)
            index = windows[ready.time]
            filled = fill_windows(entity_idx, index, count, span=span, grid=grid)
            if ready.exposure is not None and filled.position is not None:
                raise DataError(
                    f"{len(filled.count) - len(count):,} windows are not in the table, so their exposure is unknown",
                    field="exposure",
                    expected="a row with count 0 and its exposure for every window without events",
                    todo='add such rows, or pass span="listed" to use only the windows listed',
                )
            facts = filled_facts(facts, filled, ready.entities, entity_idx, index, grid)
            del index
            entity_idx, count = filled.entity_idx, filled.count
            code, windows = distinct(filled.index)
            del filled
            starts = grid.start(windows)
    source = {**origin, "rows": len(ready.count), "filled_windows": len(count) - len(ready.count)}
    exposure = np.ones(len(count)) if ready.exposure is None else ready.exposure
    place, entities, left_out = ready.place, ready.entities, ready.left_out
    del ready
    return _counts(
        entities,
        entity_idx,
        count,
        exposure,
        facts,
        starts=starts,
        code=place if code is None else code,
        window=grid.text if grid else None,
        zone=zone,
        left_out=left_out,
        source=source,
    )


def _counts(
    entities: tuple[str, ...],
    entity_idx: Int64,
    count: Int64,
    exposure: NDArray[np.float64],
    facts: Facts,
    *,
    starts: Int64 | None,
    code: Codes,
    window: str | None,
    zone: Zone,
    left_out: tuple[LeftOut, ...],
    source: dict[str, Any],
) -> EventCounts:
    """The counts, each window named by its start, or by its row where there are no times.

    Args:
        entities: Labels.
        entity_idx: Which entity, shape (n_obs,).
        count: Events, shape (n_obs,).
        exposure: Exposures, shape (n_obs,).
        facts: What else is known.
        starts: Distinct instants at which windows begin, microseconds, ascending, or None without times.
        code: Which of them, shape (n_obs,); the row of the source, from 0, without times.
        window: Length of a window.
        zone: Whose clock names windows.
        left_out: What was not used.
        source: Where the counts come from.
    """
    if starts is None:
        labels = Texts(RowNames(int(code.max()) + 1), sealed(code))
    else:
        named = window_labels(starts, zone)
        labels = Texts(named.values, sealed(code) if len(named.values) == len(starts) else named.codes[code])
    label = facts.label
    if label is None and facts.kind is not None:
        label = facts.kind != ""
    return EventCounts(
        entity_idx=sealed(entity_idx),
        entities=entities,
        count=sealed(count),
        exposure=sealed(exposure),
        window_start=None if starts is None else sealed(_nanoseconds(starts)[code]),
        window_label=labels,
        label=label,
        kind=facts.kind,
        window=window,
        timezone=None if starts is None else zone.name,
        left_out=left_out,
        source=source,
        covariates=facts.covariates,
        volume=facts.volume,
    )


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
