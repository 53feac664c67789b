"""What every model of the catalog is, whatever builds it: it loads data, trains, answers, and says how to be asked.

The walk is the same for all: check the form, read the data, open a run, fit, write, and answer from what was written.
The classes from `AbstractModelInProject` to this one walk it; a sibling such as `BaseBayesianModel` adds the settings
of its kind of training, and a model adds `load_data`, `fit` and `ask`, and where it can `score_data` and `fold_in`.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from modelwright.catalog.model_in_project import with_value
from modelwright.catalog.parameters import validate_parameters
from modelwright.catalog.trainable_model import Settings
from modelwright.catalog.updatable_model import AbstractUpdatableModel
from modelwright.core.errors import ConfigurationError, ModelwrightError
from modelwright.runs.record import RunRecord


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


class AbstractCatalogModel(AbstractUpdatableModel[Settings]):
    """One model of the catalog in one project folder: trained, updated where it can be, and asked.

    Args:
        model_id: Its id, the name of its directory.
        metadata: Its config.yaml.
        project: The folder below which `models/{model_id}/` holds what training leaves behind.
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
        checked = with_value(validate_parameters(self.metadata.data_params, options, only_given=True))
        return self.score_data(checked, record, include_silent=include_silent)
