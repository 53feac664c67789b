"""Taking new windows into a trained model: load them, put them to what is known, fit, and say what came of it.

run -> WindowsSeen, trace with statistics      `remember` at the training, `recall` at the update
new data -> EventCounts                         `load_new_windows`
both -> Folded                                  `streaming.fold`
Folded -> trace                                 `fit_folded`
trace -> TrainingOutcome                        `update_outcome`
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.event_rates.collapsed_fit import sample_collapsed
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.continuation import check_new
from modelwright.bayesian.event_rates.engines import Choice
from modelwright.bayesian.event_rates.fit import PREDICTIVE_DRAWS, PRIOR_DRAWS, describe_posterior, sampling_settings
from modelwright.bayesian.event_rates.predictive_groups import add_predictive_groups
from modelwright.bayesian.event_rates.streaming import Folded
from modelwright.bayesian.event_rates.windows_seen import (
    DOCUMENT,
    TABLE,
    WindowsSeen,
    from_stored,
    stored,
    windows_seen,
)
from modelwright.bayesian.inference.trace_groups import TraceGroups
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.data.events import EventCounts, load_events
from modelwright.data.events.windows import window_labels
from modelwright.data.events.zones import find_zone

OF_ONE_FILE = frozenset({"data", "label", "kind"})
"""Options that say what is known of one file and not how such files are read: new data do not inherit them."""

ENGINE = Choice("collapsed", "old windows are known by their sums alone, and these are all this engine needs")


@dataclass(frozen=True, eq=False)
class NewWindows:
    """New windows, ready to be taken in.

    Args:
        counts: The windows.
        options: How they were loaded, inherited options included.
        notes: What was assumed or left out, sentences.
    """

    counts: EventCounts
    options: dict[str, Any]
    notes: tuple[str, ...]


def remember(data: EventCounts) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """What a training on `data` has to keep for updates, besides the statistics in its trace: tables and documents."""
    return stored(windows_seen(data))


def recall(table: pd.DataFrame | None, document: Mapping[str, Any] | None, *, run: str) -> WindowsSeen:
    """The windows that a run rests on.

    Args:
        table: The run's table `windows_seen.TABLE`, None where it has none.
        document: Its document `windows_seen.DOCUMENT`, None where it has none.
        run: What to call the run in an error.

    Raises:
        ConfigurationError: the run has not kept them. DataError: they are damaged.
    """
    if table is None or document is None:
        raise ConfigurationError(
            f"run {run} has not kept what updates need",
            field="run",
            expected="a run of the base model, trained by this version of Modelwright or a later one",
            todo="train it again, on all data",
        )
    return from_stored(table, document)


def load_new_windows(
    given: Mapping[str, Any],
    inherited: Mapping[str, Any],
    seen: WindowsSeen,
    *,
    progress: ProgressCallback = ignore_progress,
) -> NewWindows:
    """Load new windows as the old ones were, and refuse those that cannot be taken in.

    Args:
        given: Options of `load_events` and `data`, the source.
        inherited: Those of the old windows, which hold where none are given; `OF_ONE_FILE` aside.
        seen: The old windows.
        progress: Called with events of the stage "read".

    Raises:
        ConfigurationError: an option is missing, or not as it was. DataError: the windows are not new.
    """
    options = {**{name: value for name, value in inherited.items() if name not in OF_ONE_FILE}, **given}
    for name in ("data", "entity"):
        if name not in options:
            raise ConfigurationError(f"needed to update and not given; add --{name}", field=name)
    source = {name: value for name, value in options.items() if name != "data"}
    counts = load_events(options["data"], **source, purpose="scoring", progress=progress)
    check_new(counts, seen)
    return NewWindows(counts, options, _notes(counts, seen))


def fit_folded(
    folded: Folded,
    config: ModelConfig,
    *,
    rates: str = "auto",
    cores: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> TraceGroups:
    """The posterior given old and new windows; predictive groups are of the new windows.

    Args:
        folded: Old and new windows.
        config: The model.
        rates: As in `fit_event_rates`.
        cores: Chains at the same time; None takes what the machine offers.
        progress: Called with events of the stages of `fit_event_rates`.

    Returns:
        The groups of what `fit_event_rates` returns with the collapsed engine; the posterior is the same as that of a
        training on all windows with the same configuration.
    """
    settings = sampling_settings(config, cores=cores)
    trace = sample_collapsed(folded.statistics, config, settings=settings, rates=rates, progress=progress)
    describe_posterior(trace, config, engine=ENGINE.name, why=ENGINE.reason)
    add_predictive_groups(
        trace,
        folded.windows,
        folded.statistics,
        config,
        prior_draws=PRIOR_DRAWS,
        predictive_draws=PREDICTIVE_DRAWS,
        progress=progress,
    )
    return trace


def _notes(counts: EventCounts, seen: WindowsSeen) -> tuple[str, ...]:
    notes = []
    if seen.sort.sort == "log" and counts.source.get("edge_windows") != "whole":
        assert counts.window_start is not None
        last = int(np.asarray(counts.window_start).max().astype("datetime64[us]").astype(np.int64))
        name = window_labels(np.array([last]), find_zone(counts.timezone))[0]
        notes.append(
            f"the window {name} is taken as observed until the last event, and the next update completes it; "
            "if these data hold all of it, add --edge-windows whole"
        )
    known = set(seen.entities)
    silent = len(known) - sum(label in known for label in counts.entities)
    if silent and seen.sort.window is not None:
        meaning = {
            "whole": "they count as silent up to the newest window",
            "entity": "their windows end where they ended before",
            "listed": "they have no new windows",
        }[seen.sort.span]
        notes.append(f"known entities that do not occur in the new data: {silent:,}; {meaning}")
    new = sum(label not in known for label in counts.entities)
    if new:
        notes.append(f"entities that are new: {new:,}")
    if seen.sort.sort == "rows":
        notes.append("the rows have no times, so only the very same table would be known again")
    notes.extend(f"{entry.rows:,} rows left out: {entry.reason}" for entry in counts.left_out)
    return tuple(notes)


__all__ = ["DOCUMENT", "ENGINE", "TABLE", "NewWindows", "fit_folded", "load_new_windows", "recall", "remember"]
