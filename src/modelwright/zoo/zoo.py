"""Finding configurations, and making models of them."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

from modelwright.configuration import ModelConfiguration
from modelwright.core.documents import read_yaml
from modelwright.core.errors import ConfigurationError, ModelwrightError, NotFoundError
from modelwright.core.names import check_identifier, suggestion, unknown_name
from modelwright.zoo.entry import ZooEntry

if TYPE_CHECKING:
    from modelwright.generative.protocol import AbstractGenerativeModel

BUILT_IN = Path(__file__).parent / "configs"
VARIABLE = "MODELWRIGHT_ZOO"

SUFFIXES = (".yaml", ".yml")

_FIXED = ("model_class", "metadata")
"""What makes the entry the one that it is, and what is changed by naming training defaults."""


@final
class Zoo:
    """Every configuration below some folders, each in a folder of its category.

    Args:
        folders: Where to look; of two entries of one name the first wins. By default those of the package, then those
            of $MODELWRIGHT_ZOO.
    """

    def __init__(self, folders: Iterable[Path | str] | None = None) -> None:
        self._folders = None if folders is None else [Path(folder) for folder in folders]

    @property
    def folders(self) -> list[Path]:
        """Where entries are looked for."""
        if self._folders is not None:
            return self._folders
        more = [Path(part).expanduser() for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part.strip()]
        return [BUILT_IN, *more]

    def files(self) -> dict[str, Path]:
        """Name -> file (.yaml or .yml) of every entry, by name."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for path in _entry_files(folder, "*/*"):
                found.setdefault(path.stem, path)
        return dict(sorted(found.items()))

    def problems(self) -> list[tuple[str, Path, ModelwrightError]]:
        """What lies in the folders, or was to be one, and is no entry: its name, where it is, and why."""
        files = self.files()
        found: list[tuple[str, Path, ModelwrightError]] = []
        for folder in self.folders:
            if not folder.is_dir():
                named = NotFoundError(
                    f"there is no folder {folder}, in which entries of the zoo were to be",
                    field=VARIABLE if self._folders is None else "folders",
                    todo="correct the path, or leave it out",
                )
                found.append((folder.name or str(folder), folder, named))
            for path in _entry_files(folder, "*"):
                lost = ConfigurationError(
                    f"{path} is in no folder of a category", todo=f"put it into one, such as {folder / 'toy'}"
                )
                found.append((path.stem, path, lost))
            for path in _entry_files(folder, "*/*"):
                first = files[path.stem]
                if path != first:
                    hidden = ConfigurationError(f"{path} is hidden by {first}", todo="give it another name")
                    found.append((path.stem, path, hidden))
        return found

    def list_configs(self, category: str | None = None) -> list[str]:
        """The names of the entries, all or those of one category.

        Raises:
            NotFoundError: there is no such category; the nearest is given.

        Example:
            >>> "vae_digits" in Zoo().list_configs(category="vision")
            True
        """
        files = self.files()
        if category is None:
            return list(files)
        known = {path.parent.name for path in files.values()}
        if category not in known:
            raise NotFoundError(
                f"the zoo has no category {category!r}", field="category", todo=suggestion(category, sorted(known))
            )
        return [name for name, path in files.items() if path.parent.name == category]

    def entry(self, name: str) -> ZooEntry:
        """One entry.

        Raises:
            NotFoundError: there is none of this name. ConfigurationError: its file is wrong, with the key.
        """
        files = self.files()
        if name not in files:
            refusal = unknown_name("zoo entry", name, files)
            why = next((str(why) for called, path, why in self.problems() if name == called or not path.exists()), None)
            raise refusal if why is None else NotFoundError(refusal.what, todo=f"{refusal.todo}; {why}")
        path = files[name]
        entry = ZooEntry.from_mapping({**read_yaml(path), "category": path.parent.name}, source=str(path))
        if entry.name != check_identifier(path.stem, field="name"):
            raise ConfigurationError(
                f"not the name of the file {path}", field="name", expected=path.stem, got=entry.name
            )
        _check_type(entry, path)
        return entry

    def get_info(self, name: str) -> dict[str, Any]:
        """All that an entry says, as plain data."""
        entry = self.entry(name)
        return {**entry.model_dump(exclude_unset=True), "expected": entry.expected.model_dump(exclude_none=True)}

    def configuration(self, name: str, /, **overrides: Any) -> ModelConfiguration:
        """An entry's model configuration with some values changed.

        Args:
            name: Of the entry.
            **overrides: Each a field of the configuration (hidden_dims, name), a parameter that the model class
                declares (beta), or a training default (learning_rate), which the trainer then uses. model_class and
                metadata stay those of the entry.

        Raises:
            ConfigurationError: an override is none of these; the nearest is given.
        """
        from modelwright.factory.family import ExplainingBuilder
        from modelwright.factory.model_types import model_types
        from modelwright.generative.training.defaults import TRAINING_DEFAULTS, TrainingDefaults

        config = self.entry(name).configuration
        builder = model_types().builder_for(config.model_class)
        declared = {p.name for p in builder.declared(config)} if isinstance(builder, ExplainingBuilder) else set()
        declared |= set(config.parameters)
        fields = [field for field in ModelConfiguration.model_fields if field not in (*_FIXED, "parameters")]
        document = config.to_document()
        if {"steps", "epochs"} <= set(overrides):
            raise ConfigurationError("steps and epochs at once", field="epochs", todo="give one of the two")
        for key, value in overrides.items():
            if key in fields:
                document[key] = value
            elif key in declared:
                document.setdefault("parameters", {})[key] = value
            elif key in TRAINING_DEFAULTS:
                training = document.setdefault("metadata", {}).setdefault("training_defaults", {})
                if key in ("steps", "epochs"):  # two ways to say one thing
                    training.pop("steps", None)
                    training.pop("epochs", None)
                if key == "schedule" and value == "constant" and "final_rate" not in overrides:
                    training.pop("final_rate", None)  # the entry's own, which belongs to its schedule
                training[key] = value
            else:
                known = [*fields, *sorted(declared), *TRAINING_DEFAULTS]
                if key == "parameters":
                    raise ConfigurationError(
                        "parameters of the model are given by their own names",
                        field=key,
                        todo=f"such as {next(iter(value), 'beta')}=..." if isinstance(value, Mapping) else None,
                    )
                raise ConfigurationError(
                    "neither a field of the configuration, nor a parameter of the model, nor a training default",
                    field=key,
                    todo=suggestion(key, known),
                )
        changed = ModelConfiguration.from_mapping(document, source=name)
        TrainingDefaults.from_mapping(changed.training_defaults)
        return changed

    def create_model(self, name: str, /, *, rngs: Any, **overrides: Any) -> "AbstractGenerativeModel":
        """The model of an entry, with its modality; overrides are those of `configuration`."""
        from modelwright.factory import create_model

        return create_model(self.configuration(name, **overrides), rngs=rngs, modality=self.entry(name).modality)


def _entry_files(folder: Path, pattern: str) -> list[Path]:
    return sorted(path for suffix in SUFFIXES for path in folder.glob(pattern + suffix))


def _check_type(entry: ZooEntry, path: Path) -> None:
    """Refuse an entry listed under a family that is not its model's.

    Families of installed packages are not looked up: their code is not run for a list.
    """
    from modelwright.factory.model_types import model_types

    families = model_types().builders
    known = next((part for part in reversed(entry.model_class.split(".")[:-1]) if part in families), entry.type)
    if known != entry.type:
        raise ConfigurationError(
            f"not the family of {entry.model_class} in {path}", field="type", expected=known, got=entry.type
        )


zoo = Zoo()
"""The zoo of the package and of $MODELWRIGHT_ZOO."""
