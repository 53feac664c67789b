"""Taking new data into a trained run of a model of the catalog, for models that can."""

from dataclasses import replace
from typing import Any

from modelwright.catalog.model_in_project import with_value
from modelwright.catalog.parameters import validate_parameters
from modelwright.catalog.trainable_model import AbstractTrainableModel, Settings
from modelwright.catalog.updating import NewData, UpdatePlan, inherited_data_options, inherited_training
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.sections import TrainingOutcome
from modelwright.runs.lineage import continuation_of
from modelwright.runs.record import RunRecord


class AbstractUpdatableModel(AbstractTrainableModel[Settings]):
    """A model whose runs may take in new data: where it has `fold_in`, they do; else an update is refused.

    The arguments are those of `AbstractModelInProject`.
    """

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
        if type(self).fold_in is AbstractUpdatableModel.fold_in:
            raise self._cannot_update()
        given = with_value(validate_parameters(self.metadata.data_params, data_options, only_given=True))
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
