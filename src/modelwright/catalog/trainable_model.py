"""Training a model of the catalog: check what was asked, open a run, fit, write, and hand on what came of it."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from modelwright.catalog.data_description import describe_anything
from modelwright.catalog.model_in_project import AbstractModelInProject, with_value
from modelwright.catalog.parameters import InferenceParameter, validate_parameters
from modelwright.catalog.plans import TrainingPlan
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.sections import TrainingOutcome, table_document
from modelwright.runs.active import ActiveRun
from modelwright.runs.lineage import Continuation

Settings = TypeVar("Settings")


class AbstractTrainableModel(AbstractModelInProject, Generic[Settings]):
    """A model that loads data and is fitted to them; the arguments are those of `AbstractModelInProject`."""

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

    def check_together(self, parameters: Mapping[str, Any]) -> None:
        """Refuse `train_params` that are right one by one and do not go together; a model with such overrides this.

        It is asked before any data are read.

        Args:
            parameters: Values of the parameters under `train_params`, those without a value left out.

        Raises:
            ConfigurationError: naming the parameter, what was expected and what came.
        """

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

    def get_training_form_fields(self) -> list[dict[str, Any]]:
        """The form of `train`: the model's own parameters, then the settings."""
        return [parameter.form_field() for parameter in (*self.metadata.train_params, *self.settings_parameters())]

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
        parameters = with_value(values)
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
