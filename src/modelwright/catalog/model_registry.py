"""The catalog: which models there are, what they say of themselves, whether they are trained, and the models.

Listing reads config.yaml and nothing else. A directory that is broken is listed with its error and hides no other;
code runs only in `load_model_instance`, only for the model asked for, only from configured roots.
"""

import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.catalog.discovery import ModelEntry, discover, unshadowed
from modelwright.catalog.metadata import ModelMetadata, ModelStatus
from modelwright.catalog.parameters import InferenceParameter
from modelwright.catalog.roots import Root, default_roots
from modelwright.catalog.settings_forms import generative_settings_form, nuts_settings_form
from modelwright.catalog.zoo_models import ORIGIN, zoo_entries
from modelwright.core.errors import ModelwrightError, NotFoundError, StorageError
from modelwright.core.names import check_identifier, unknown_name

if TYPE_CHECKING:
    from modelwright.catalog.catalog_model import AbstractCatalogModel

PROJECT_VARIABLE = "MODELWRIGHT_PROJECT"


class ModelRegistry:
    """Every model that can be trained in a project.

    Args:
        project: The project folder; the working directory by default.
        roots: Folders of model directories to use instead of the usual ones (the package, the project's
            bayesian_models/, $MODELWRIGHT_MODELS, installed plug-ins).

    Example:
        >>> "event_rates" in ModelRegistry().get_all_models()
        True
    """

    def __init__(self, project: Path | str | None = None, roots: Iterable[Path | str] | None = None) -> None:
        self.project = _folder(project)
        self._roots = None if roots is None else [Root(Path(root).absolute(), "the caller") for root in roots]

    def get_all_models(self) -> dict[str, ModelMetadata]:
        """Id -> description of every model that can be used, by id."""
        usable = {entry.model_id: entry.metadata for entry in self.entries() if entry.metadata is not None}
        return dict(sorted(usable.items()))

    def get_all_models_with_errors(self) -> dict[str, ModelMetadata | ModelwrightError]:
        """Id -> description, or the error of a model that is broken and that no other root provides."""
        found: dict[str, ModelMetadata | ModelwrightError] = {}
        for entry in self.entries():
            if entry.error is not None:
                found.setdefault(entry.model_id, entry.error)
        return dict(sorted({**found, **self.get_all_models()}.items()))

    def get_model_metadata(self, model_id: str) -> ModelMetadata:
        """The description of one model.

        Raises:
            NotFoundError: no model has this id; the nearest one is named. ConfigurationError: the id is malformed, or
                the model is broken.
        """
        return self._usable(model_id)[1]

    def load_model_instance(self, model_id: str) -> "AbstractCatalogModel[Any]":
        """The model itself, ready to train or to answer. This runs the code of its directory.

        Raises:
            NotFoundError: no model has this id. ConfigurationError: the model is broken, or its code fails (the
                message has file and line).
        """
        # Imported here: listing needs no model code, and what runs models is slower to import than what lists them.
        from modelwright.catalog.loading import explained_failures, load_model_class

        entry, metadata = self._usable(model_id)
        if _is_generative(entry):
            from modelwright.catalog.generative_model import GenerativeModel

            return GenerativeModel(model_id, metadata, self.project)
        package = entry.root.package
        if package is not None and entry.directory != entry.root.path:
            package = f"{package}.{model_id}"
        model_class = load_model_class(model_id, entry.directory, root=entry.root.path, package=package)
        with explained_failures(model_id, entry.directory):
            return model_class(model_id, metadata, self.project)

    def get_model_for_dropdown(self) -> list[dict[str, str]]:
        """Choices for a form: active models by name, then beta ones with the [BETA] tag; deprecated ones are hidden.

        Returns:
            Dictionaries with value (the id), label and description.
        """
        choices = []
        for status, tag in ((ModelStatus.ACTIVE, ""), (ModelStatus.BETA, " [BETA]")):
            models = [(m.name.casefold(), model_id, m) for model_id, m in self.get_all_models().items()]
            choices += [
                {"value": model_id, "label": metadata.name + tag, "description": metadata.description}
                for _, model_id, metadata in sorted(models, key=lambda entry: entry[:2])
                if metadata.status is status
            ]
        return choices

    def get_model_status(self, model_id: str) -> dict[str, Any]:
        """What a list shows of one model.

        Returns:
            model_id, name, version, status (active, beta, deprecated), is_trained, has_trace, last_trained (ISO 8601,
            UTC, or None), output_dir and error (None).

        Raises:
            NotFoundError: no model has this id. ConfigurationError: the model is broken.
        """
        return self._status(self._usable(model_id)[0])

    def get_all_models_with_status(self) -> list[dict[str, Any]]:
        """`get_model_status` of every model by id, broken directories among them (status "broken", and error)."""
        return [self._status(entry) for entry in sorted(self.entries(), key=lambda entry: entry.model_id)]

    def entries(self) -> list[ModelEntry]:
        """Every model in the order of the roots, then the entries of the zoo, broken ones included.

        A model whose id an earlier one already provides is listed as broken: the first wins, and says so.
        """
        if self._roots is not None:
            return discover(self._roots)
        return unshadowed([*discover(default_roots(self.project)), *zoo_entries()])

    def settings_form(self, model_id: str) -> tuple[InferenceParameter, ...]:
        """The settings of a model's training as a form, without running any of its code.

        Raises:
            NotFoundError: no model has this id. ConfigurationError: the model is broken.
        """
        entry, metadata = self._usable(model_id)
        return generative_settings_form() if _is_generative(entry) else nuts_settings_form(metadata.training)

    def generative_models(self) -> frozenset[str]:
        """The ids of the models that are trained by steps and draw examples, without running any of their code.

        Example:
            >>> "vae_digits" in ModelRegistry().generative_models()
            True
        """
        return frozenset(entry.model_id for entry in self.entries() if entry.metadata and _is_generative(entry))

    def _usable(self, model_id: str) -> tuple[ModelEntry, ModelMetadata]:
        check_identifier(model_id, field="model")
        entries = self.entries()
        broken: ModelwrightError | None = None
        for entry in entries:
            if entry.model_id == model_id:
                if entry.metadata is not None:
                    return entry, entry.metadata
                broken = broken or entry.error
        if broken is not None:
            raise broken
        raise unknown_name("model", model_id, sorted(e.model_id for e in entries if e.metadata is not None))

    def _status(self, entry: ModelEntry) -> dict[str, Any]:
        from modelwright.runs.layout import model_folder
        from modelwright.runs.store import RunStore

        latest, output_dir, error = None, None, entry.error
        if entry.metadata is not None:
            try:
                output_dir = str(model_folder(self.project, entry.model_id))
                latest = RunStore(self.project).latest(entry.model_id, complete=True)
            except ModelwrightError as failure:  # a run store that cannot be read hides no model either
                error = failure
        metadata = entry.metadata
        return {
            "model_id": entry.model_id,
            "name": metadata.name if metadata is not None else entry.model_id,
            "version": metadata.version if metadata is not None else None,
            "status": metadata.status.value if metadata is not None else "broken",
            "is_trained": latest is not None,
            "has_trace": latest is not None and latest.has_trace,
            "last_trained": _finished(latest),
            "output_dir": output_dir,
            "error": str(error) if error is not None else None,
        }


def _is_generative(entry: ModelEntry) -> bool:
    return entry.root.origin == ORIGIN


def _finished(latest: Any) -> str | None:
    if latest is None:
        return None
    moment = latest.manifest.finished or latest.manifest.started
    return str(moment.isoformat())


def _folder(project: Path | str | None) -> Path:
    try:
        folder = Path.cwd() if project is None else Path(project).absolute()
    except OSError as error:
        raise StorageError("the working directory is gone", todo="change to a folder that exists") from error
    if not folder.is_dir():
        raise NotFoundError(f"there is no project folder {folder}", field="project")
    return folder


_LOCK = threading.Lock()
_REGISTRY: ModelRegistry | None = None


def get_registry() -> ModelRegistry:
    """The one registry of this process, for $MODELWRIGHT_PROJECT or the working directory, as of the first call."""
    global _REGISTRY
    with _LOCK:
        if _REGISTRY is None:
            _REGISTRY = ModelRegistry(os.environ.get(PROJECT_VARIABLE) or None)
        return _REGISTRY


def reset_registry() -> None:
    """Forget the registry, so that the next `get_registry` looks at the environment again."""
    global _REGISTRY
    with _LOCK:
        _REGISTRY = None
