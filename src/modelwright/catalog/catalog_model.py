"""What every model of the catalog is, whatever builds it: it loads data, trains, answers, and says how to be asked.

The walk is the same for all: check the form, read the data, open a run, fit, write, and answer from what was written.
This class walks it; a sibling such as `BaseBayesianModel` adds the settings of its kind of training, and a model adds
`load_data`, `fit` and `ask`, and where it can `score_data` and `fold_in`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from modelwright.catalog.data_description import describe_anything
from modelwright.catalog.metadata import ModelMetadata
from modelwright.catalog.parameters import InferenceParameter, ParameterValue, validate_parameters
from modelwright.catalog.plans import TrainingPlan
from modelwright.catalog.updating import NewData, UpdatePlan, inherited_data_options, inherited_training
from modelwright.core.errors import ConfigurationError, ModelwrightError, NotFoundError
from modelwright.core.files import make_folder
from modelwright.core.names import check_identifier
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.sections import TrainingOutcome, table_document
from modelwright.runs.active import ActiveRun
from modelwright.runs.layout import ARTIFACTS, model_folder
from modelwright.runs.lineage import Continuation, continuation_of
from modelwright.runs.manifest import RunStatus
from modelwright.runs.record import RunRecord
from modelwright.runs.store import RunStore

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Scored:
    """Scores for every row of new data.

    Args:
        frame: A `pandas.DataFrame`, the most surprising rows first.
        columns: Which of its columns a person wants to see, in order.
        notes: Sentences about what was done or left out.
    """

    frame: Any
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()


class AbstractCatalogModel(ABC, Generic[Settings]):
    """One model of the catalog in one project folder.

    Args:
        model_id: Its id, the name of its directory.
        metadata: Its config.yaml.
        project: The folder below which `models/{model_id}/` holds what training leaves behind.
    """

    def __init__(self, model_id: str, metadata: ModelMetadata, project: Path) -> None:
        self.model_id = check_identifier(model_id, field="model")
        self.metadata = metadata
        self.project = Path(project)

    # What a model says of itself ------------------------------------------------------------------------------------

    @abstractmethod
    def load_data(self, **options: Any) -> Any:
        """The data, ready to fit.

        Args:
            **options: Values of the parameters under `data_params`, those without a value left out; and `progress`
                when the caller shows any.

        Raises:
            DataError: when they cannot be used as they are.
        """

    @abstractmethod
    def fit(self, data: Any, *, settings: Settings, progress: ProgressCallback, **parameters: Any) -> TrainingOutcome:
        """Fit the model and judge the result.

        Args:
            data: What `load_data` returned.
            settings: How long and how carefully.
            progress: Called with `ProgressEvent`s.
            **parameters: Values of the parameters under `train_params`, those without a value left out.

        Returns:
            Trace, verdict, metrics and what else the run should keep.
        """

    @abstractmethod
    def ask(self, params: dict[str, Any], run: RunRecord) -> dict[str, Any]:
        """An answer from a trained run.

        Args:
            params: Every parameter under `inference_params`, checked; None where it has no value.
            run: The run to ask; `run.trace()`, `run.table(name)` and `run.document(name)` read what was kept.

        Returns:
            At least `predictions` and `credible_intervals`, both JSON-ready; lists of records read best.
        """

    def check_together(self, parameters: Mapping[str, Any]) -> None:
        """Refuse `train_params` that are right one by one and do not go together; a model with such overrides this.

        It is asked before any data are read.

        Args:
            parameters: Values of the parameters under `train_params`, those without a value left out.

        Raises:
            ConfigurationError: naming the parameter, what was expected and what came.
        """

    def score_data(self, options: dict[str, Any], run: RunRecord, *, include_silent: bool) -> Scored:
        """Scores for new data; a model that can score overrides this.

        Args:
            options: The `data_params` that were given, checked.
            run: The run to score against.
            include_silent: Score what is absent from the new data, too.
        """
        raise ConfigurationError(
            f"the model {self.model_id} gives no scores", field="model", todo="ask it with predict instead"
        )

    def load_new_data(self, given: dict[str, Any], run: RunRecord, *, progress: ProgressCallback) -> NewData:
        """New data for `update`; a model whose new data differ from those of a training overrides this.

        What cannot be taken in should be refused here, before a run is opened.

        Args:
            given: The `data_params` that were given, checked; those not given are those of the run.
            run: The run that takes them in.
            progress: Called with `ProgressEvent`s.
        """
        if not given:
            raise ConfigurationError("which data are new?", field="data", todo="name them, as in --data today.csv")
        options = self.check_data_options({**inherited_data_options(run), **given})
        return NewData(self.load_data(**options, progress=progress), options)

    def fold_in(
        self, data: Any, run: RunRecord, *, settings: Settings, progress: ProgressCallback, **parameters: Any
    ) -> TrainingOutcome:
        """Train on what a run was trained on and on new data, without the old data; a model that can overrides this.

        Args:
            data: What `load_new_data` returned as data.
            run: The run that takes them in; what it kept must suffice, here and for the next update.
            settings: How long and how carefully.
            progress: Called with `ProgressEvent`s.
            **parameters: Values of the parameters under `train_params`, those without a value left out.
        """
        raise self._cannot_update()

    def describe_data(self, data: Any) -> dict[str, Any]:
        """What the manifest keeps about the data: shapes and a fingerprint, never the data themselves.

        This reads arrays, tables, and mappings or dataclasses of them; override it for anything else.
        """
        return describe_anything(data)

    @abstractmethod
    def settings_parameters(self) -> tuple[InferenceParameter, ...]:
        """The settings of training as a form, their defaults from config.yaml."""

    @abstractmethod
    def make_settings(self, values: Mapping[str, Any]) -> Settings:
        """The settings from checked values of `settings_parameters`."""

    @abstractmethod
    def seeds_of(self, settings: Settings) -> dict[str, int]:
        """The seeds in the settings, for the manifest."""

    # Forms ----------------------------------------------------------------------------------------------------------

    def get_inference_form_fields(self) -> list[dict[str, Any]]:
        """The form of `predict`, one dictionary per field."""
        return [parameter.form_field() for parameter in self.metadata.inference_params]

    def get_data_form_fields(self) -> list[dict[str, Any]]:
        """The form of `load_data`."""
        return [parameter.form_field() for parameter in self.metadata.data_params]

    def get_training_form_fields(self) -> list[dict[str, Any]]:
        """The form of `train`: the model's own parameters, then the settings."""
        return [parameter.form_field() for parameter in (*self.metadata.train_params, *self.settings_parameters())]

    def validate_inference_params(self, params: Any) -> tuple[bool, str | None]:
        """Whether `predict` would take these parameters, and if not, the sentence that says why."""
        try:
            validate_parameters(self.metadata.inference_params, params)
        except ConfigurationError as error:
            return False, str(error)
        return True, None

    def check_data_options(self, options: Any) -> dict[str, Any]:
        """The `data_params` with a value, checked and coerced: what `load_data` takes.

        Raises:
            ConfigurationError: naming the parameter, what was expected and what came.
        """
        return _with_value(validate_parameters(self.metadata.data_params, options))

    # Training -------------------------------------------------------------------------------------------------------

    def train(
        self,
        data: Any,
        *,
        progress: ProgressCallback = ignore_progress,
        keep: int | None = None,
        data_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Fit the model and keep what came of it.

        Args:
            data: What `load_data` returned.
            progress: Called with `ProgressEvent`s.
            keep: Remove older complete runs beyond this many; None keeps all.
            data_options: How the data were loaded, kept with the run.
            **options: Settings (for a Bayesian model draws, tune, chains, target_accept, max_tree_depth, seed) and the
                model's own `train_params`.

        Returns:
            `status` ("complete"), `metrics`, `model_id`, `run_id`, `verdict` (grade, sentence, findings), `headlines`
            (tables to show at once) and `paths` (strings).

        Raises:
            ModelwrightError: for everything that went wrong; the run is then kept as failed. An interrupt leaves the
                run interrupted and is passed on.
        """
        plan = self.plan_training(keep=keep, data_options=data_options, **options)
        with self.open_run(data, plan, progress=progress) as run:
            outcome = self.fit(data, settings=plan.settings, progress=run.progress, **plan.parameters)
            run.write_outcome(outcome)
        return self.close_training(run.id, plan, outcome)

    def plan_training(
        self, *, keep: int | None = None, data_options: Mapping[str, Any] | None = None, **options: Any
    ) -> TrainingPlan[Settings]:
        """Check a request to train before any work is done; the arguments are those of `train`.

        Raises:
            ConfigurationError: naming the option, what was expected and what came.
        """
        if keep is not None and (isinstance(keep, bool) or not isinstance(keep, int) or keep < 1):
            raise ConfigurationError("not usable", field="keep", expected="an integer of at least 1", got=keep)
        settings_form = self.settings_parameters()
        values = validate_parameters((*self.metadata.train_params, *settings_form), options)
        settings = {parameter.name: values.pop(parameter.name) for parameter in settings_form}
        parameters = _with_value(values)
        self.check_together(parameters)
        return TrainingPlan(self.make_settings(settings), parameters, keep, dict(data_options or {}))

    @contextmanager
    def open_run(
        self,
        data: Any,
        plan: TrainingPlan[Settings],
        *,
        continues: Continuation | None = None,
        progress: ProgressCallback = ignore_progress,
    ) -> Iterator[ActiveRun]:
        """A run that is recorded while the block runs: complete, failed or interrupted when it ends.

        `train` uses it; so does a training script that wants its steps in sight.

        Args:
            data: What is trained on, described in the manifest.
            plan: What was asked, kept in the manifest.
            continues: The run that it continues, if it does.
            progress: Called with every event the run is told of.
        """
        configuration = {
            "model": {"id": self.model_id, "name": self.metadata.name, "version": self.metadata.version},
            "settings": vars(plan.settings),
            "parameters": plan.parameters,
        }
        described = {**self.describe_data(data), "options": plan.data_options}
        seeds = self.seeds_of(plan.settings)
        with self._store.start(
            self.model_id,
            configuration=configuration,
            data=described,
            seeds=seeds,
            continues=continues,
            progress=progress,
        ) as run:
            yield run

    def close_training(self, run_id: str, plan: TrainingPlan[Settings], outcome: TrainingOutcome) -> dict[str, Any]:
        """What `train` returns, after older runs beyond `keep` are removed."""
        if plan.keep is not None:
            self._store.keep(self.model_id, plan.keep)
        record = self._store.get(run_id, self.model_id)
        paths = {**self.get_output_paths(), "run": record.paths.folder}
        stored = {"trace": record.paths.trace, "report_html": record.report_html, "report_json": record.report_json}
        paths.update({name: path for name, path in stored.items() if path.is_file()})
        tables = (table for section in outcome.sections for table in section.tables if table.headline)
        return {
            "status": "complete",
            "model_id": self.model_id,
            "run_id": run_id,
            "metrics": dict(outcome.metrics),
            "verdict": outcome.verdict.as_document(),
            "headlines": [table_document(table) for table in tables],
            "paths": {name: str(path) for name, path in paths.items()},
        }

    # Updating -------------------------------------------------------------------------------------------------------

    def update(
        self,
        data_options: Any,
        *,
        run: str | None = None,
        progress: ProgressCallback = ignore_progress,
        keep: int | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Take new data into a trained run: a new run, equal to training on all data, without the old ones.

        Args:
            data_options: The `data_params` of the new data; for those not given, the ones of the run stand in.
            run: Id of the run to continue, or the start of it; None takes the newest complete one.
            progress: Called with `ProgressEvent`s.
            keep: As in `train`; a run that is continued may be removed, nothing of it is needed any more.
            **options: As in `train`; for those not given, the run's own stand in, its seeds included.

        Returns:
            What `train` returns, and `parent` (the id of the run that was continued), `folded` (fingerprints of all
            data the new run rests on) and `notes` (sentences about the new data).

        Raises:
            ConfigurationError: an option is wrong, or the model cannot take in new data. NotFoundError: no such run.
            DataError: the data are in the run already, or cannot be used. Everything else as in `train`.
        """
        plan = self.plan_update(data_options, run=run, keep=keep, **options)
        new = self.load_new_data(plan.given, plan.parent, progress=progress)
        continues = continuation_of(plan.parent, self.describe_data(new.data).get("fingerprint"))
        training = replace(plan.training, data_options=new.options)
        with self.open_run(new.data, training, continues=continues, progress=progress) as opened:
            outcome = self.fold_in(
                new.data, plan.parent, settings=training.settings, progress=opened.progress, **training.parameters
            )
            opened.write_outcome(outcome)
        result = self.close_training(opened.id, training, outcome)
        return {**result, "parent": continues.parent, "folded": list(continues.folded), "notes": list(new.notes)}

    def plan_update(
        self, data_options: Any, *, run: str | None = None, keep: int | None = None, **options: Any
    ) -> UpdatePlan[Settings]:
        """Check a request to update before any work is done; the arguments are those of `update`.

        Raises:
            ConfigurationError: an option is wrong, or the model cannot take in new data. NotFoundError: no such run.
        """
        if type(self).fold_in is AbstractCatalogModel.fold_in:
            raise self._cannot_update()
        given = _with_value(validate_parameters(self.metadata.data_params, data_options, only_given=True))
        parent = self.trained_run(run)
        settings, parameters = inherited_training(parent)
        form = {parameter.name for parameter in self.settings_parameters()}
        inherited = {**parameters, **{name: value for name, value in settings.items() if name in form}}
        wanted = {name: value for name, value in options.items() if value is not None}
        return UpdatePlan(parent, given, self.plan_training(keep=keep, **{**inherited, **wanted}))

    def _cannot_update(self) -> ConfigurationError:
        return ConfigurationError(
            f"the model {self.model_id} cannot take new data into a trained run",
            field="model",
            todo=f"train it on all data, old and new: modelwright train {self.model_id}",
        )

    # Asking ---------------------------------------------------------------------------------------------------------

    def predict(self, inference_params: Any, *, run: str | None = None) -> dict[str, Any]:
        """An answer, or an `error` that says what to do; for callers that show either.

        Args:
            inference_params: Values for the parameters under `inference_params`.
            run: Id of the run to ask, or the start of it; None takes the newest complete one.

        Returns:
            What `answer` returns; or `error`, a sentence, and `detail`, the same as data.
        """
        try:
            return self.answer(inference_params, run=run)
        except ModelwrightError as error:
            return {"error": str(error), "detail": {**error.as_document(), "exit_code": error.exit_code}}

    def answer(self, inference_params: Any, *, run: str | None = None) -> dict[str, Any]:
        """An answer with its intervals, or an exception; the arguments are those of `predict`.

        Returns:
            `predictions`, `credible_intervals`, what else the model says, and `model_id`, `run_id`, `verdict` (grade
            and sentence of the run that was asked).

        Raises:
            ConfigurationError: a parameter is wrong. NotFoundError: no trained run, or none of that id.
        """
        record = self.trained_run(run)
        params = validate_parameters(self.metadata.inference_params, inference_params)
        answer = self.ask(params, record)
        missing = {"predictions", "credible_intervals"} - set(answer)
        if missing:
            raise ConfigurationError(
                f"ask() of {type(self).__name__} left out {' and '.join(sorted(missing))}",
                field="model",
                todo="return a dictionary with both",
            )
        verdict = record.verdict
        judged = {"grade": str(verdict.grade), "sentence": verdict.sentence} if verdict is not None else None
        return {**answer, "model_id": self.model_id, "run_id": record.run_id, "verdict": judged}

    def score(self, options: Any, *, run: str | None = None, include_silent: bool = False) -> Scored:
        """Scores for new data.

        Args:
            options: The `data_params` to use; for those not given, the ones of the training stand in.
            run: As in `predict`.
            include_silent: Score what is absent from the new data, too.

        Raises:
            ConfigurationError: an option is wrong, or the model gives no scores. NotFoundError: no such run.
        """
        record = self.trained_run(run)
        checked = _with_value(validate_parameters(self.metadata.data_params, options, only_given=True))
        return self.score_data(checked, record, include_silent=include_silent)

    def trained_run(self, reference: str | None = None) -> RunRecord:
        """The newest complete run, or the one named.

        Raises:
            NotFoundError: there is none; the message says how to train.
        """
        if reference is not None:
            record = self._store.get(reference, self.model_id)
            if record.status is not RunStatus.COMPLETE:
                raise NotFoundError(
                    f"run {record.run_id} is {record.status}, so it answers nothing",
                    field="run",
                    todo=f"see modelwright runs list {self.model_id}",
                )
            return record
        latest = self._latest()
        if latest is None:
            raise NotFoundError(
                f"the model {self.model_id} is not trained yet",
                todo=f"train it with: modelwright train {self.model_id}",
            )
        return latest

    # Files ----------------------------------------------------------------------------------------------------------

    def get_output_paths(self) -> dict[str, Path]:
        """Where training leaves what it makes: output, traces, reports, diagrams, checkpoints."""
        output = model_folder(self.project, self.model_id)
        return {"output": output, **{name: output / name for name in ARTIFACTS}}

    def ensure_output_dirs(self) -> dict[str, Path]:
        """Make the folders of `get_output_paths` and return them."""
        paths = self.get_output_paths()
        for path in paths.values():
            make_folder(path)
        return paths

    def has_trained_model(self) -> bool:
        """Whether a complete run is there to be asked."""
        return self._latest() is not None

    def _latest(self) -> RunRecord | None:
        return self._store.latest(self.model_id, complete=True)

    @property
    def _store(self) -> RunStore:
        return RunStore(self.project)


def _with_value(values: Mapping[str, ParameterValue]) -> dict[str, Any]:
    """Left out where nothing was said, so that the default of the function called holds."""
    return {name: value for name, value in values.items() if value is not None}
