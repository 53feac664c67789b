"""One model in one project folder: its forms, the folders of what training leaves behind, and its runs."""

from abc import ABC
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.catalog.metadata import ModelMetadata
from modelwright.catalog.parameters import ParameterValue, validate_parameters
from modelwright.core.errors import ConfigurationError, NotFoundError
from modelwright.core.files import make_folder
from modelwright.core.names import check_identifier
from modelwright.runs.layout import ARTIFACTS, model_folder
from modelwright.runs.manifest import RunStatus
from modelwright.runs.record import RunRecord
from modelwright.runs.store import RunStore


def with_value(values: Mapping[str, ParameterValue]) -> dict[str, Any]:
    """Left out where nothing was said, so that the default of the function called holds."""
    return {name: value for name, value in values.items() if value is not None}


class AbstractModelInProject(ABC):  # noqa: B024 (what its questions and its training are is left to those below)
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

    def get_inference_form_fields(self) -> list[dict[str, Any]]:
        """The form of `predict`, one dictionary per field."""
        return [parameter.form_field() for parameter in self.metadata.inference_params]

    def get_data_form_fields(self) -> list[dict[str, Any]]:
        """The form of `load_data`."""
        return [parameter.form_field() for parameter in self.metadata.data_params]

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
        return with_value(validate_parameters(self.metadata.data_params, options))

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
