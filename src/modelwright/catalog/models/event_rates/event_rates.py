"""The catalog's event-rate model: hierarchical negative-binomial counts per entity and window."""

from typing import Any, Literal

import pandas as pd

from modelwright.bayesian.event_rates.anomaly import rank_windows, score_new_windows
from modelwright.bayesian.event_rates.config import ModelConfig
from modelwright.bayesian.event_rates.engines import Engine, Rates
from modelwright.bayesian.event_rates.extensions.forecast import forecast_extended
from modelwright.bayesian.event_rates.extensions.new_windows import score_new_windows_extended
from modelwright.bayesian.event_rates.extensions.settings import Extensions
from modelwright.bayesian.event_rates.extensions.stored import labels_in
from modelwright.bayesian.event_rates.forecast import forecast
from modelwright.bayesian.event_rates.posterior_draws import entity_labels
from modelwright.bayesian.event_rates.training import train_event_rates, update_event_rates
from modelwright.bayesian.event_rates.update import load_new_windows, recall
from modelwright.bayesian.event_rates.windows_seen import DOCUMENT, TABLE, WindowsSeen
from modelwright.catalog.base_model import BaseBayesianModel, NewData, Scored, TrainingSettings
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback
from modelwright.core.sections import TrainingOutcome
from modelwright.data.events import EventCounts, load_events
from modelwright.data.events.coming import coming_windows_of
from modelwright.runs.record import RunRecord

_SHOWN = (
    "entity",
    "window",
    "count",
    "exposure",
    "expected",
    "lower",
    "upper",
    "score",
    "tail_probability",
    "known_entity",
    "label",
    "kind",
)

_ASKED = ["posterior", "constant_data"]
"""What answers need of a trace: the population, and the rates or what determines them."""

_OF_THE_TRAINING = frozenset({"data", "label", "kind"})

_OF_EXTENSIONS = (
    "extension",
    "calendar",
    "drift",
    "coefficient_prior_sd",
    "drift_prior_sd",
    "tau_prior_sd",
    "spread_prior_mean",
    "volume_prior_mean",
    "volume_prior_sd",
    "sigma_prior_sd",
)


class EventRates(BaseBayesianModel):
    """theta_i ~ Gamma(mu alpha, alpha), y_ij ~ NegativeBinomial(theta_i e_ij, phi): rates per entity, partly pooled.

    `load_data` takes the parameters under `data_params` of config.yaml, `train` those under `train_params`, `predict`
    those under `inference_params`.
    """

    def load_data(self, **options: Any) -> EventCounts:
        """Read a log or a table of counts; see `modelwright.data.events.load_events`."""
        return load_events(options.pop("data"), **_with_columns(options))

    def describe_data(self, data: EventCounts) -> dict[str, Any]:
        """Shape, span, fingerprint and what was left out, for the run's manifest."""
        return data.describe()

    def fit(
        self,
        data: EventCounts,
        *,
        settings: TrainingSettings,
        progress: ProgressCallback,
        engine: Engine = "auto",
        rates: Rates = "auto",
        platform: Literal["cpu", "gpu"] = "cpu",
        **options: Any,
    ) -> TrainingOutcome:
        """Sample the posterior with one of the engines and judge it."""
        extensions = chosen_extensions(data, options)
        config = _configuration(settings, options)
        if extensions is None:
            return train_event_rates(data, config, engine=engine, rates=rates, platform=platform, progress=progress)
        from modelwright.bayesian.event_rates.extensions.training import train_extended

        return train_extended(
            data, config, extensions, engine=engine, rates=rates, platform=platform, progress=progress
        )

    def load_new_data(self, given: dict[str, Any], run: RunRecord, *, progress: ProgressCallback) -> NewData:
        """Read new windows as those of the run were read; windows that are not new are refused."""
        trained = run.manifest.configuration.get("parameters")
        if isinstance(trained, dict) and trained.get("extension"):
            raise ConfigurationError(
                "an update knows old windows by their sums alone, and a model with extensions depends on each",
                field="run",
                expected="a run of the base model",
                got=f"{run.run_id} with {trained['extension']}",
                todo="train on everything, or name a run of the base model with --run (see modelwright runs list)",
            )
        new = load_new_windows(given, trained_options(run), _windows_seen(run), progress=progress)
        return NewData(new.counts, new.options, new.notes)

    def fold_in(
        self,
        data: EventCounts,
        run: RunRecord,
        *,
        settings: TrainingSettings,
        progress: ProgressCallback,
        engine: Engine = "auto",
        rates: Rates = "auto",
        **options: Any,
    ) -> TrainingOutcome:
        """Train on the windows of a run, known by their sums, and on new ones; the rates are integrated out."""
        trained = run.manifest.configuration.get("parameters")
        inherited = trained.get("engine", "auto") if isinstance(trained, dict) else "auto"
        if engine not in ("auto", "collapsed", inherited):
            raise ConfigurationError(
                "an update knows old windows by their sums alone, and these are all that the collapsed engine needs",
                field="engine",
                expected="auto or collapsed",
                got=engine,
                todo="leave the option out, or train on everything",
            )
        options.pop("platform", None)  # where NUTS would have run
        config = _configuration(settings, options)
        return update_event_rates(
            run.trace_groups(_ASKED), data, _windows_seen(run), config, rates=rates, progress=progress
        )

    def ask(self, params: dict[str, Any], run: RunRecord) -> dict[str, Any]:
        """Expected counts and their intervals for the windows ahead of one entity."""
        trace = run.trace_groups(_ASKED)
        predict = forecast_extended if is_extended(trace) else forecast
        answer = predict(
            trace,
            params["entity"],
            horizon=params["horizon"],
            interval=params["interval"],
            exposure=params["exposure"],
        )
        names = coming_windows_of(dict(run.manifest.data), params["horizon"])
        if names is not None:
            answer["predictions"] = [
                {"window": name, **{key: value for key, value in entry.items() if key != "window"}}
                for name, entry in zip(names, answer["predictions"], strict=True)
            ]
        return answer

    def score_data(self, options: dict[str, Any], run: RunRecord, *, include_silent: bool) -> Scored:
        """Surprise of new windows, in nats; entities never seen are scored against the population."""
        # What is known about the past is no property of how data are read: today's windows carry no labels yet.
        inherited = {name: value for name, value in trained_options(run).items() if name not in _OF_THE_TRAINING}
        merged = {**inherited, **options}
        for name in ("data", "entity"):
            if name not in merged:
                raise ConfigurationError(f"needed to score and not given; add --{name}", field=name)
        notes = []
        if "count" not in merged and "edge_windows" not in options:
            # A short extract would otherwise be taken as a sliver of its window, and every event in it as many.
            merged["edge_windows"] = "whole"
            notes.append("the first and last window are taken as observed entirely; else add --edge-windows partial")
        data = load_events(merged.pop("data"), **_with_columns(merged), purpose="scoring")
        trace = run.trace_groups(_ASKED)
        if data.fingerprint() == run.manifest.data.get("fingerprint"):
            notes.append("these are the windows of the training; the report has their leave-one-out scores")
        known = set(labels_in(trace) if is_extended(trace) else entity_labels(trace))
        silent = sorted(known - set(data.entities))
        if include_silent and silent:
            data = with_silent_entities(data, silent)
        elif silent:
            notes.append(f"{len(silent):,} known entities do not occur in the new data; --silent scores them as zero")
        unknown = [entity for entity in data.entities if entity not in known]
        if unknown:
            notes.append(f"{len(unknown):,} entities were never seen; they are scored against the population")
        notes.extend(f"{entry.rows:,} rows left out: {entry.reason}" for entry in data.left_out)
        score = score_new_windows_extended if is_extended(trace) else score_new_windows
        return Scored(rank_windows(score(trace, data)), _SHOWN, tuple(notes))


def chosen_extensions(data: EventCounts, options: dict[str, Any]) -> Extensions | None:
    """What is added to the base model, taken out of the options; None for nothing.

    Raises:
        ConfigurationError: settings of extensions, covariates or volumes that no extension would use.
    """
    given = {name: options.pop(name) for name in _OF_EXTENSIONS if name in options}
    chosen = given.pop("extension", None)
    if chosen is not None:
        columns = tuple(data.covariates) + separate(given.pop("calendar", ""))
        return Extensions.create(chosen=chosen, covariates=columns, **given)
    unused = [*(["covariates"] if data.covariates else []), *(["volume"] if data.volume is not None else []), *given]
    if unused:
        needed = {
            "covariates": "covariates",
            "calendar": "covariates",
            "volume": "volumes",
            "drift": "drift",
            "drift_prior_sd": "drift",
        }
        raise ConfigurationError(
            "given, and no extension is chosen that would use it",
            field=unused[0],
            todo=f"add --extension {needed.get(unused[0], 'with what it belongs to')}, or leave {unused[0]} out",
        )
    return None


def is_extended(trace: Any) -> bool:
    """Whether a trace is of a model with extensions."""
    return "extensions" in trace.attrs


def separate(text: str) -> tuple[str, ...]:
    """Names separated by commas.

    Example:
        >>> separate("tier, region")
        ('tier', 'region')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _with_columns(options: dict[str, Any]) -> dict[str, Any]:
    if "covariates" not in options:
        return options
    return {**options, "covariates": separate(options["covariates"])}


def _configuration(settings: TrainingSettings, options: dict[str, Any]) -> ModelConfig:
    return ModelConfig.create(
        n_samples=settings.draws,
        n_tune=settings.tune,
        n_chains=settings.chains,
        target_accept=settings.target_accept,
        random_seed=settings.seed,
        max_tree_depth=settings.max_tree_depth,
        **options,
    )


def _windows_seen(run: RunRecord) -> WindowsSeen:
    table = run.table(TABLE) if TABLE in run.tables else None
    return recall(table, run.document(DOCUMENT) if DOCUMENT in run.documents else None, run=run.run_id)


def trained_options(run: RunRecord) -> dict[str, Any]:
    """How the data of a run were loaded; empty for a run that was trained on data handed over in Python."""
    options = run.manifest.data.get("options")
    return dict(options) if isinstance(options, dict) else {}


def with_silent_entities(data: EventCounts, silent: list[str]) -> EventCounts:
    """Add zero counts for entities without any event, in every window of the new data and with its exposure.

    Raises:
        ConfigurationError: when the data have no windows in time, or windows that were seen for different lengths, so
            that silence has no length.
    """
    frame = data.to_frame()
    if data.window_start is None:
        raise ConfigurationError(
            "silence needs windows in time", field="silent", todo="give --time and --window, or drop --silent"
        )
    windows = frame[["window_start", "window", "exposure"]].drop_duplicates()
    if windows["window_start"].duplicated().any():
        raise ConfigurationError(
            "silence needs one exposure per window, and entities differ in theirs",
            field="silent",
            todo="add rows with count 0 and their exposure, and drop --silent",
        )
    facts = {name: value for name, value in (("label", False), ("kind", "")) if name in frame}
    windows = windows.assign(count=0, **facts)
    added = pd.concat([windows.assign(entity=entity) for entity in silent], ignore_index=True)
    return EventCounts.from_frame(pd.concat([frame, added], ignore_index=True))
