"""The store of runs below a project folder: start one, list them, find one again, remove what is no longer wanted."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeAlias

from modelwright.core.errors import ConfigurationError, NotFoundError, StorageError
from modelwright.core.files import make_folder, storage_errors
from modelwright.core.locks import HeldLock, acquire, exclusive
from modelwright.core.names import check_identifier, suggestion
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.runs.active import ActiveRun
from modelwright.runs.cleaning import clean_model, remove_files
from modelwright.runs.environment import git_state, machine, package_versions
from modelwright.runs.identifiers import is_run_id, next_run_id
from modelwright.runs.layout import RunPaths, model_folder
from modelwright.runs.lineage import Ancestor, Continuation, ancestors
from modelwright.runs.manifest import Manifest, RunStatus, plain, write_manifest
from modelwright.runs.record import RunRecord, read_record
from modelwright.runs.unfinished import remove_unfinished

# `RunStore.list` hides the builtin of that name from the annotations of its class.
Records: TypeAlias = list[RunRecord]
Names: TypeAlias = list[str]
Removed: TypeAlias = list[Path]


class RunStore:
    """All runs of one project.

    Args:
        root: The project folder; everything lies below `root/models`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as project:
        ...     store = RunStore(Path(project))
        ...     with store.start("event_rates", configuration={"draws": 500}, data={}, seeds={"seed": 42}) as run:
        ...         _ = run.write_document("entities", ["ann", "bob"])
        ...     record = store.get("latest")
        ...     print(record.status, record.document("entities"), record.verify())
        complete ['ann', 'bob'] []
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)

    @contextmanager
    def start(
        self,
        model_id: str,
        *,
        configuration: dict[str, Any],
        data: dict[str, Any],
        seeds: dict[str, int],
        continues: Continuation | None = None,
        progress: ProgressCallback = ignore_progress,
    ) -> Iterator[ActiveRun]:
        """Open a run; the block's end closes it as complete, failed (an exception) or interrupted (Ctrl-C).

        Args:
            model_id: The model that is trained.
            configuration: Every setting of the training, JSON-ready.
            data: What it is trained on: fingerprint, shape, description.
            seeds: Name -> seed.
            continues: The run that it continues with more data; None for a training of its own.
            progress: Who wants to hear how far the training is; see `ActiveRun.progress`.

        Raises:
            ConfigurationError: a bad model id, or settings JSON has no word for. StorageError: the disk refused.
        """
        known = {
            "model_id": check_identifier(model_id, field="model"),
            "configuration": plain(configuration, field="configuration"),
            "data": plain(data, field="data"),
            "seeds": plain(seeds, field="seeds"),
            **({} if continues is None else {"parent": continues.parent, "folded": continues.folded}),
            "versions": package_versions(),
            "git": git_state(self.root) if self.root.is_dir() else None,
            "machine": machine(),
        }
        paths, manifest, lock = self._open(model_id, known)
        run = ActiveRun(paths, manifest, progress)
        owner = os.getpid()
        try:
            yield run
        except BaseException as error:
            # A forked child that unwinds through this block is not the run.
            if os.getpid() == owner:
                _close_after(run, error)
            raise
        else:
            run.close(RunStatus.COMPLETE)
        finally:
            lock.release()

    def _open(self, model_id: str, known: dict[str, Any]) -> tuple[RunPaths, Manifest, HeldLock]:
        runs = make_folder(model_folder(self.root, model_id, "runs"))
        with exclusive(runs / ".lock"):
            clean_model(self.root, model_id)
            ids = [name for name in os.listdir(runs) if is_run_id(name)]
            now = datetime.now(UTC)
            run_id = next_run_id(now, max(ids, default=None))
            paths = RunPaths(self.root, model_id, run_id)
            manifest = Manifest(run_id=run_id, status="running", started=now, **known)
            # Made under a name that is no run's, and renamed: a run is visible only with its lock held.
            hidden = runs / f".{run_id}.partial"
            with storage_errors(hidden):
                hidden.mkdir()
            lock = acquire(hidden / "lock")
            if lock is None:
                raise StorageError(f"another process holds the lock of the new run {run_id}", todo="try again")
            try:
                write_manifest(hidden / "manifest.json", manifest)
                with storage_errors(paths.folder):
                    hidden.rename(paths.folder)
            except BaseException:
                lock.release()
                raise
        return paths, manifest, lock

    def list(self, model_id: str | None = None) -> Records:
        """Every run, newest first; what cannot be read is listed as damaged and hides nothing else.

        Raises:
            ConfigurationError: a bad model id. StorageError: the store itself cannot be read.
        """
        models = self.models() if model_id is None else [model_id]
        found: list[RunRecord] = []
        for model in models:
            found += [read_record(RunPaths(self.root, model, run_id)) for run_id in self._ids(model)]
        # A run removed while this list was made is not damaged, it is gone.
        found = [record for record in found if record.stored is not None or _exists(record)]
        return sorted(found, key=lambda record: (record.run_id, record.model_id), reverse=True)

    def models(self) -> Names:
        """Ids of the models that have a folder of runs, sorted."""
        folder = self.root / "models"
        with storage_errors(folder):
            names = sorted(os.listdir(folder)) if folder.is_dir() else []
        return [name for name in names if _is_model(name) and self._ids(name)]

    def get(self, ref: str, model_id: str | None = None) -> RunRecord:
        """The run of that id, of the only id that begins so, or the "latest" complete one.

        Raises:
            NotFoundError: no such run, or several; the message names the nearest.
        """
        if ref == "latest":
            return self._latest_or_raise(model_id)
        records = self.list(model_id)
        found = [record for record in records if record.run_id == ref]
        if not found and ref:
            found = [record for record in records if record.run_id.startswith(ref)]
        if len(found) == 1:
            return found[0]
        ids = [record.run_id for record in records]
        if found:
            several = ", ".join(f"{record.run_id} ({record.model_id})" for record in found[:6])
            more = f" and {len(found) - 6} more" if len(found) > 6 else ""
            raise NotFoundError(f"{ref!r} fits {len(found)} runs: {several}{more}", field="run", todo="type more of it")
        if not ids:
            raise _nothing_stored(model_id)
        where = f" of {model_id}" if model_id else ""
        raise NotFoundError(f"no run{where} is called {ref!r}", field="run", todo=suggestion(ref, ids))

    def ancestors(self, record: RunRecord) -> tuple[Ancestor, ...]:
        """The runs that a run continues, its parent first; those that were removed are said to be."""
        known = set(self._ids(record.model_id))

        def find(run_id: str) -> RunRecord | None:
            return read_record(RunPaths(self.root, record.model_id, run_id)) if run_id in known else None

        return ancestors(record, find)

    def latest(self, model_id: str | None = None, *, complete: bool = True) -> RunRecord | None:
        """The newest run (the newest complete one unless told otherwise), or None."""
        return next((r for r in self.list(model_id) if r.status is RunStatus.COMPLETE or not complete), None)

    def remove(self, ref: str, model_id: str | None = None) -> RunRecord:
        """Remove a run with all its files; returns what it was.

        With the last run of a model that was stopped before its end go the checkpoints of such runs: a checkpoint does
        not say which of them it is of, and while one is there, the same training goes on from it.

        Raises:
            NotFoundError: no such run. ConfigurationError: it is running. StorageError: the disk refused.
        """
        record = self.get(ref, model_id)
        with exclusive(model_folder(self.root, record.model_id, "runs", ".lock")):
            if not _exists(record):
                raise NotFoundError(f"run {record.run_id} has just been removed by somebody else", field="run")
            if not remove_files(record.paths):
                raise ConfigurationError(
                    "the run is still running", field="run", got=record.run_id, todo="stop its process first"
                )
            if all(left.status is RunStatus.COMPLETE for left in self.list(record.model_id)):
                remove_unfinished(self.root, record.model_id)
        return record

    def keep(self, model_id: str, n: int) -> Records:
        """Remove the oldest complete runs of a model until `n` are left; returns what was removed, oldest first.

        Runs that are running, failed, interrupted or damaged are neither counted nor removed.
        """
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ConfigurationError("not a number of runs", field="keep", expected="an integer of at least 1", got=n)
        complete = [record for record in self.list(model_id) if record.status is RunStatus.COMPLETE]
        removed: Records = []
        for record in reversed(complete[n:]):
            try:
                removed.append(self.remove(record.run_id, model_id))
            except NotFoundError:
                continue  # another process pruned it first
        return removed

    def clean(self, model_id: str | None = None) -> Removed:
        """Remove what killed processes left half-written; returns it. `start` does the same for its model."""
        removed: list[Path] = []
        for model in self.models() if model_id is None else [model_id]:
            if model_folder(self.root, model, "runs").is_dir():
                with exclusive(model_folder(self.root, model, "runs", ".lock")):
                    removed += clean_model(self.root, model)
        return removed

    def _ids(self, model_id: str) -> Names:
        try:
            folder = model_folder(self.root, model_id, "runs")
            return [name for name in os.listdir(folder) if is_run_id(name)]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StorageError(f"cannot read {model_id}/runs: {error.strerror}") from error

    def _latest_or_raise(self, model_id: str | None) -> RunRecord:
        found = self.latest(model_id)
        if found is not None:
            return found
        others = self.list(model_id)
        if not others:
            raise _nothing_stored(model_id)
        raise NotFoundError(
            f"none of the {len(others)} stored runs is complete",
            field="run",
            todo=f"the newest is {others[0].run_id} ({others[0].status}); see modelwright runs list",
        )


def load_run(run: str | Path, root: Path | None = None) -> RunRecord:
    """A stored run by its id (or a unique beginning, or "latest"), or by the path of its folder or manifest.

    Args:
        run: An id, such as "20260314T092653Z-5f3a9c", or a path, such as "models/event_rates/runs/20260314...".
        root: The project folder an id is looked for in; the working directory when not given.

    Raises:
        NotFoundError: no such run. ConfigurationError: a path that is not a run's.
    """
    if isinstance(run, str) and os.sep not in run:
        return RunStore(root or Path.cwd()).get(run)
    path = Path(run).absolute()
    folder = path.parent if path.name == "manifest.json" else path
    if not folder.is_dir():
        raise NotFoundError(f"there is no run at {run}", field="run")
    if len(folder.parents) < 4 or (folder.parents[0].name, folder.parents[2].name) != ("runs", "models"):
        raise ConfigurationError(
            "not the folder of a run", field="run", expected="a path like models/MODEL/runs/RUN", got=str(run)
        )
    return read_record(RunPaths(folder.parents[3], folder.parents[1].name, folder.name))


def _close_after(run: ActiveRun, error: BaseException) -> None:
    # Exception: the training went wrong. Anything else (Ctrl-C, sys.exit, a cancelled task): somebody stopped it.
    status = RunStatus.FAILED if isinstance(error, Exception) else RunStatus.INTERRUPTED
    try:
        run.close(status, error)
    except StorageError as refusal:
        error.add_note(f"run {run.id} could not be marked as {status}: {refusal}; it is listed as interrupted")


def _exists(record: RunRecord) -> bool:
    return os.path.lexists(record.paths.root / "models" / record.model_id / "runs" / record.run_id)


def _is_model(name: str) -> bool:
    try:
        check_identifier(name, field="model")
    except ConfigurationError:
        return False
    return True


def _nothing_stored(model_id: str | None) -> NotFoundError:
    if model_id is None:
        return NotFoundError("no run is stored in this project", field="run", todo="train a model first")
    return NotFoundError(
        f"no run of {model_id} is stored in this project",
        field="run",
        todo=f"train it first: modelwright train {model_id}",
    )
