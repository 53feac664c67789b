"""Where everything of one run lies below a project folder, and that nothing lies outside of it.

models/{model_id}/runs/{run_id}/manifest.json, lock
models/{model_id}/traces/{run_id}.nc
models/{model_id}/reports/{run_id}.html, {run_id}.json
models/{model_id}/diagrams/{run_id}/{name}.svg
models/{model_id}/checkpoints/{run_id}/{name}.parquet, {name}.json, and a model's own files (model.safetensors)
"""

import re
from dataclasses import dataclass
from pathlib import Path

from modelwright.core.errors import ConfigurationError
from modelwright.core.files import inside
from modelwright.core.names import check_identifier
from modelwright.runs.identifiers import check_run_id

ARTIFACTS = ("traces", "reports", "diagrams", "checkpoints")
"""The folders of a model that hold files of its runs."""

_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}"
_FILE_NAME = re.compile(_NAME)


def check_file_name(name: str, *, field: str) -> str:
    """Return `name` when it can be the stem of a stored file.

    Example:
        >>> check_file_name("../scores", field="tables")
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: tables: not a usable file name; expected letters, digits, \
underscores and dashes, at most 100, got '../scores'
    """
    if not isinstance(name, str) or not _FILE_NAME.fullmatch(name):
        raise ConfigurationError(
            "not a usable file name",
            field=field,
            expected="letters, digits, underscores and dashes, at most 100",
            got=name,
        )
    return name


def is_stored_path(relative: str, run_id: str) -> bool:
    """Whether `relative` (to the model's folder) can be a file of this run, and of no other.

    Example:
        >>> run = "20260314T092653Z-5f3a9c"
        >>> is_stored_path(f"traces/{run}.nc", run), is_stored_path("../../secret", run)
        (True, False)
    """
    pattern = rf"traces/{run_id}\.nc|reports/{run_id}\.(html|json)|(diagrams|checkpoints)/{run_id}/{_NAME}\.[a-z0-9]+"
    return re.fullmatch(pattern, relative) is not None


def model_folder(root: Path, model_id: str, *parts: str) -> Path:
    """`root/models/{model_id}/...`, refused when a link or a name would lead out of `root`."""
    parts = ("models", check_identifier(model_id, field="model"), *parts)
    inside(root, *parts, field="run")
    # The link itself, not what it points to: removing a run must never remove what somebody linked to.
    return root.resolve().joinpath(*parts)


@dataclass(frozen=True)
class RunPaths:
    """The files of one run.

    Args:
        root: The project folder.
        model_id: The model that was trained.
        run_id: Which training of it.
    """

    root: Path
    model_id: str
    run_id: str

    def __post_init__(self) -> None:
        check_identifier(self.model_id, field="model")
        check_run_id(self.run_id)

    def at(self, relative: str) -> Path:
        """The path of a file given relative to the model's folder, as the manifest lists it."""
        return model_folder(self.root, self.model_id, *relative.split("/"))

    @property
    def folder(self) -> Path:
        """The run's own folder, with the manifest and the lock."""
        return self.at(f"runs/{self.run_id}")

    @property
    def manifest(self) -> Path:
        """What the run was and what came of it."""
        return self.at(f"runs/{self.run_id}/manifest.json")

    @property
    def lock(self) -> Path:
        """Held by the living process that trains."""
        return self.at(f"runs/{self.run_id}/lock")

    @property
    def trace(self) -> Path:
        """The posterior, as NetCDF."""
        return self.at(self.trace_name)

    @property
    def report_html(self) -> Path:
        """The report for people."""
        return self.at(self.report_name("html"))

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.at(self.report_name("json"))

    @property
    def diagrams(self) -> Path:
        """The folder of pictures."""
        return self.at(f"diagrams/{self.run_id}")

    @property
    def checkpoints(self) -> Path:
        """The folder of tables and documents."""
        return self.at(f"checkpoints/{self.run_id}")

    @property
    def trace_name(self) -> str:
        """The trace, relative to the model's folder."""
        return f"traces/{self.run_id}.nc"

    def report_name(self, suffix: str) -> str:
        """A report, relative to the model's folder."""
        return f"reports/{self.run_id}.{suffix}"

    def table_name(self, name: str) -> str:
        """A table, relative to the model's folder."""
        return f"checkpoints/{self.run_id}/{check_file_name(name, field='table')}.parquet"

    def document_name(self, name: str) -> str:
        """A document, relative to the model's folder."""
        return f"checkpoints/{self.run_id}/{check_file_name(name, field='document')}.json"

    def own_file_name(self, name: str) -> str:
        """A file of the model's own ("model.safetensors"), relative to the model's folder."""
        stem, _, suffix = name.rpartition(".")
        if suffix in ("json", "parquet") or not re.fullmatch(r"[a-z0-9]+", suffix):
            raise ConfigurationError(
                "not the name of a file of one's own",
                field="files",
                expected="a stem and a suffix that says what it is",
                got=name,
            )
        return f"checkpoints/{self.run_id}/{check_file_name(stem, field='files')}.{suffix}"

    def picture_name(self, name: str, suffix: str) -> str:
        """A picture, relative to the model's folder."""
        return f"diagrams/{self.run_id}/{check_file_name(name, field='picture')}.{suffix}"
