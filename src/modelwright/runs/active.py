"""A run while it runs: where a training writes, one whole file after the other, until the run is closed for good."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelwright.core.errors import ClosedRunError, ConfigurationError, DataError
from modelwright.core.files import (
    json_text,
    sha256_of_file,
    storage_errors,
    write_bytes,
    write_text,
)
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.sections import Picture, TrainingOutcome
from modelwright.runs import report, trace_file
from modelwright.runs.environment import peak_memory_bytes
from modelwright.runs.layout import RunPaths
from modelwright.runs.manifest import Manifest, RunError, RunStatus, StoredFile, plain, write_manifest

_LONGEST_MESSAGE = 4000
# Rows per group of a table: every group carries its own copy of the categories, and a million labels in each of twenty
# groups took longer to read back than all the numbers; a group of this size still needs only some 30 MB per column.
_ROWS_PER_GROUP = 4 * 2**20


class ActiveRun:
    """An open run; made by `RunStore.start`, closed by leaving its `with` block.

    Args:
        paths: Where its files lie.
        manifest: What was known when it started.
        progress: Who wants to hear how far it is.
    """

    def __init__(self, paths: RunPaths, manifest: Manifest, progress: ProgressCallback = ignore_progress) -> None:
        self.paths = paths
        self._manifest = manifest
        self._listener = progress
        self._clock = time.monotonic()
        self._stages: dict[str, tuple[float, float]] = {}
        self._closed = False

    @property
    def id(self) -> str:
        """The run id."""
        return self.paths.run_id

    @property
    def model_id(self) -> str:
        """The model that is trained."""
        return self.paths.model_id

    @property
    def manifest(self) -> Manifest:
        """What is known so far; what is stored once the run is closed."""
        return self._manifest

    def progress(self, event: ProgressEvent) -> None:
        """Pass an event on, and remember how long its stage took (`stages` of the manifest)."""
        now = time.monotonic()
        first, _ = self._stages.get(event.stage, (now, now))
        self._stages[event.stage] = (first, now)
        self._listener(event)

    def write_outcome(self, outcome: TrainingOutcome) -> None:
        """Write everything a training hands over: trace, tables, documents, pictures, report; once per run.

        The most precious comes first, so that a refusal further on (a full disk, a table that cannot be stored) leaves
        a failed run whose manifest still lists the trace.

        Raises:
            StorageError: the disk refused. DataError: something in the outcome cannot be stored. ClosedRunError.
        """
        self._check_open()
        if self._manifest.verdict is not None:
            raise ClosedRunError("the outcome of this run is written already", field="run", got=self.id)
        metrics = plain(dict(outcome.metrics), field="metrics")
        with ThreadPoolExecutor(1) as packer:
            # Neither HDF5 nor Parquet packs with more than one core: the tables are packed in memory, beside the trace
            # and the pictures, which may be drawn only now, and after the trace: a picture that fails must not cost it.
            packed = {name: packer.submit(_parquet, name, frame) for name, frame in outcome.tables.items()}
            try:
                self._tell_parts_written(0)
                if outcome.trace is not None:
                    self.write_trace(outcome.trace)
                self._tell_parts_written(1)
                pictures = _pictures(outcome)
                self._tell_parts_written(2)
                for name in outcome.tables:
                    self._keep_table(name, packed.pop(name).result())
            finally:
                packer.shutdown(cancel_futures=True)
        self._tell_parts_written(3)
        for name, document in outcome.documents.items():
            self.write_document(name, document)
        for name, content in outcome.files.items():
            self.write_file(name, content)
        for picture in pictures.values():
            self.write_picture(picture)
        self._update(verdict=plain(outcome.verdict.as_document(), field="verdict"), metrics=metrics, **self._so_far())
        document = plain(report.report_document(self._manifest, outcome), field="report")
        self._keep(self.paths.report_name("json"), lambda path: write_text(path, json_text(document, sort_keys=False)))
        contents = {name: picture.content for name, picture in pictures.items()}
        page = report.render_document(document, contents)
        self._keep(self.paths.report_name("html"), lambda path: write_text(path, page))
        self._tell_parts_written(4)

    def write_trace(self, trace: Any) -> Path:
        """Write the posterior (see `TrainingOutcome.trace`) as NetCDF."""
        return self._keep(self.paths.trace_name, lambda path: trace_file.write_trace(path, trace))

    def write_table(self, name: str, frame: Any) -> Path:
        """Write a `pandas.DataFrame` as Parquet."""
        return self._keep_table(name, _parquet(name, frame))

    def write_document(self, name: str, document: Any) -> Path:
        """Write JSON-ready data."""
        text = _document_text(name, document)
        return self._keep(self.paths.document_name(name), lambda path: write_text(path, text))

    def write_file(self, name: str, content: bytes) -> Path:
        """Write a file of the model's own, such as its arrays."""
        return self._keep(self.paths.own_file_name(name), lambda path: write_bytes(path, content))

    def write_picture(self, picture: Picture) -> Path:
        """Write a picture as a file of its own."""
        relative = self.paths.picture_name(picture.name, picture.format)
        return self._keep(relative, lambda path: write_bytes(path, picture.content))

    def close(self, status: RunStatus, error: BaseException | None = None) -> None:
        """Write the last manifest; nothing can be written after it. `RunStore.start` calls this.

        Raises:
            StorageError: the disk refused even the manifest; the run will be listed as interrupted.
        """
        self._check_open()
        self._closed = True
        reason = None if error is None else RunError(type=type(error).__name__, message=_sayable(str(error)))
        self._update(status=str(status), error=reason, **({} if self._manifest.finished else self._so_far()))
        write_manifest(self.paths.manifest, self._manifest)
        _make_read_only(self.paths.manifest)

    def _tell_parts_written(self, parts: int) -> None:
        # Trace, pictures, tables, and the rest. Not a stage of the manifest, which is written in the course of it.
        self._listener(ProgressEvent("write", parts, 4, "parts"))

    def _keep_table(self, name: str, content: bytes) -> Path:
        return self._keep(self.paths.table_name(name), lambda path: write_bytes(path, content))

    def _so_far(self) -> dict[str, Any]:
        return {
            "finished": datetime.now(UTC),
            "duration_seconds": round(time.monotonic() - self._clock, 3),
            "peak_memory_bytes": peak_memory_bytes(),
            "stages": {stage: round(last - first, 3) for stage, (first, last) in self._stages.items()},
        }

    def _update(self, **changes: Any) -> None:
        self._manifest = Manifest.model_validate({**dict(self._manifest), **changes})

    def _keep(self, relative: str, write: Callable[[Path], object]) -> Path:
        self._check_open()
        path = self.paths.at(relative)
        write(path)
        with storage_errors(path):
            stored = StoredFile(sha256=sha256_of_file(path), bytes=path.stat().st_size)
        _make_read_only(path)
        self._update(files={**self._manifest.files, relative: stored})
        return path

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedRunError("this run is closed and cannot change", field="run", got=self.id, todo="train again")


def _pictures(outcome: TrainingOutcome) -> dict[str, Picture]:
    every = [picture for section in outcome.sections for picture in section.pictures] + list(outcome.diagrams)
    named: dict[str, Picture] = {}
    for picture in every:
        if named.setdefault(picture.name, picture).content != picture.content:
            raise ConfigurationError("two different pictures have one name", field="pictures", got=picture.name)
    return named


def _parquet(name: str, frame: Any) -> bytes:
    try:
        content: bytes = frame.to_parquet(engine="pyarrow", compression="lz4", row_group_size=_ROWS_PER_GROUP)
        return content
    except (ValueError, TypeError, NotImplementedError) as error:
        raise DataError(f"cannot be stored as Parquet: {error}", field=f"table {name}") from error


def _document_text(name: str, document: Any) -> str:
    try:
        return json_text(document)
    except TypeError as error:
        raise DataError(f"cannot be stored: {error}", field=f"document {name}") from error


def _sayable(text: str) -> str:
    # A message may quote a file name that is not UTF-8; the manifest is.
    return text.encode("utf-8", "replace").decode("utf-8")[:_LONGEST_MESSAGE]


def _make_read_only(path: Path) -> None:
    with storage_errors(path):
        path.chmod(path.stat().st_mode & ~0o222)
