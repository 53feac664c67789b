"""A stored run as one reads it: what it was, whether its files are still the ones that were written, and the files."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelwright.core.documents import LARGEST_FILE, read_text
from modelwright.core.errors import ModelwrightError, NotFoundError, StorageError
from modelwright.core.files import sha256_of_file
from modelwright.core.locks import is_held
from modelwright.core.names import suggestion
from modelwright.core.sections import Cell
from modelwright.core.verdict import Verdict
from modelwright.runs.identifiers import run_time
from modelwright.runs.layout import RunPaths
from modelwright.runs.manifest import Manifest, RunStatus, read_manifest
from modelwright.runs.trace_file import read_groups, read_trace

if TYPE_CHECKING:
    from modelwright.bayesian.inference.trace_groups import TraceGroups

_LARGEST_DOCUMENT = 256 * LARGEST_FILE


@dataclass(frozen=True)
class RunRecord:
    """A run found in a store, as it was at that moment.

    Args:
        paths: Where its files lie.
        status: running, complete, failed, interrupted, or damaged when its manifest cannot be read.
        stored: The manifest, None for a damaged run.
        problem: Why a damaged run is damaged, one sentence.
    """

    paths: RunPaths
    status: RunStatus
    stored: Manifest | None
    problem: str | None = None

    @property
    def run_id(self) -> str:
        """The run id."""
        return self.paths.run_id

    @property
    def model_id(self) -> str:
        """The model that was trained."""
        return self.paths.model_id

    @property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            StorageError: the run is damaged.
        """
        if self.stored is None:
            raise StorageError(
                f"run {self.run_id} of {self.model_id} is damaged: {self.problem}",
                todo=f"remove it with modelwright runs rm {self.run_id}",
            )
        return self.stored

    @property
    def started(self) -> datetime:
        """When it started, UTC; to the second for a damaged run."""
        return run_time(self.run_id) if self.stored is None else self.stored.started.astimezone(UTC)

    @property
    def verdict(self) -> Verdict | None:
        """Whether to trust it; None where the training did not get that far."""
        return self.manifest.trusted()

    @property
    def metrics(self) -> dict[str, Cell]:
        """Named figures of the training."""
        return dict(self.manifest.metrics)

    @property
    def report_html(self) -> Path:
        """The report for people; see `has`."""
        return self.paths.report_html

    @property
    def report_json(self) -> Path:
        """The report for programs."""
        return self.paths.report_json

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the tables kept with the run."""
        return self._stems("checkpoints", "parquet")

    @property
    def documents(self) -> tuple[str, ...]:
        """Names of the documents kept with the run."""
        return self._stems("checkpoints", "json")

    @property
    def has_trace(self) -> bool:
        """Whether the run kept a trace."""
        return self.stored is not None and self.paths.trace_name in self.stored.files

    def trace(self, groups: Collection[str] | None = None) -> Any:
        """The trace, loaded into memory as an ArviZ `InferenceData`; `groups` reads only those ("posterior")."""
        return read_trace(self.file(self.paths.trace_name, what="trace"), groups)

    def trace_groups(self, groups: Collection[str] | None = None) -> "TraceGroups":
        """The same without ArviZ, whose import takes longer than most answers."""
        return read_groups(self.file(self.paths.trace_name, what="trace"), groups)

    def table(self, name: str) -> Any:
        """A table as a `pandas.DataFrame`."""
        import pandas

        path = self.file(self.paths.table_name(name), what=f"table {name!r}", known=self.tables)
        try:
            return pandas.read_parquet(path, engine="pyarrow")
        except (OSError, ValueError, TypeError) as error:
            raise StorageError(f"cannot read {path}: {error}", todo="train again") from error

    def document(self, name: str) -> Any:
        """A document as plain data."""
        return self._json(self.file(self.paths.document_name(name), what=f"document {name!r}", known=self.documents))

    def own_file(self, name: str) -> Path:
        """The path of a file of the model's own, after checking that it is the one that was written."""
        return self.file(self.paths.own_file_name(name), what=f"file {name!r}")

    def report(self) -> Any:
        """The JSON twin of the report as plain data."""
        return self._json(self.file(self.paths.report_name("json"), what="report"))

    def picture(self, name: str, suffix: str = "svg") -> bytes:
        """The bytes of a picture."""
        return self.file(self.paths.picture_name(name, suffix), what=f"picture {name!r}").read_bytes()

    def file(self, relative: str, *, what: str = "file", known: tuple[str, ...] = ()) -> Path:
        """The path of a file the manifest lists, after checking that it is the one that was written.

        Raises:
            NotFoundError: the run has no such file. StorageError: the file is damaged, or the whole run is.
        """
        if relative not in self.manifest.files:
            todo = suggestion(Path(relative).stem, known) if known else None
            raise NotFoundError(f"run {self.run_id} of {self.model_id} ({self.status}) has no {what}", todo=todo)
        fault = self._fault(relative)
        if fault is not None:
            raise StorageError(f"{self.model_id}/{relative} is damaged: {fault}", todo="train again")
        return self.paths.at(relative)

    def verify(self) -> list[str]:
        """Files that are not what was written, relative to the model's folder; empty when all is well.

        Raises:
            StorageError: the manifest itself is damaged, so that nothing can be compared.
        """
        return [relative for relative in sorted(self.manifest.files) if self._fault(relative) is not None]

    def _fault(self, relative: str) -> str | None:
        expected = self.manifest.files[relative]
        try:
            path = self.paths.at(relative)
            if not path.is_file():
                return "it is missing"
            if path.stat().st_size != expected.bytes:
                return f"it has {path.stat().st_size} bytes instead of {expected.bytes}"
            return None if sha256_of_file(path) == expected.sha256 else "its content has changed"
        except OSError as error:
            return f"it cannot be read: {error.strerror}"
        except ModelwrightError as error:
            return str(error)

    def _stems(self, folder: str, suffix: str) -> tuple[str, ...]:
        files = () if self.stored is None else self.stored.files
        paths = [Path(relative) for relative in files if relative.startswith(f"{folder}/")]
        return tuple(sorted(path.stem for path in paths if path.suffix == f".{suffix}"))

    @staticmethod
    def _json(path: Path) -> Any:
        try:
            return json.loads(read_text(path, largest=_LARGEST_DOCUMENT))
        except (ValueError, RecursionError) as error:
            raise StorageError(f"cannot read {path}: {error}", todo="train again") from error


def read_record(paths: RunPaths) -> RunRecord:
    """Read a run's manifest and say what became of the run; whatever stands there, this does not raise.

    A manifest that says running is believed while its lock is held. When it is not, the manifest is read once more,
    because the run may have closed in between; if it still says running, its process is gone: interrupted.
    """
    try:
        manifest = read_manifest(paths.manifest, model_id=paths.model_id, run_id=paths.run_id)
        if manifest.status == "running":
            if is_held(paths.lock):
                return RunRecord(paths, RunStatus.RUNNING, manifest)
            manifest = read_manifest(paths.manifest, model_id=paths.model_id, run_id=paths.run_id)
        status = RunStatus.INTERRUPTED if manifest.status == "running" else RunStatus(manifest.status)
        return RunRecord(paths, status, manifest)
    except (ModelwrightError, OSError) as error:
        return RunRecord(paths, RunStatus.DAMAGED, None, problem=str(error))
