"""The manifest: one JSON document that says what a run was, what came of it, and which files it left."""

from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from modelwright.core.documents import LARGEST_FILE, parse_json, read_text
from modelwright.core.errors import ConfigurationError, NotFoundError, StorageError
from modelwright.core.files import json_text, sha256_of_bytes, write_text
from modelwright.core.names import check_identifier
from modelwright.core.sections import Cell
from modelwright.core.verdict import Verdict
from modelwright.runs.environment import GitState, Machine
from modelwright.runs.identifiers import check_run_id
from modelwright.runs.layout import is_stored_path

FORMAT: Final = "modelwright-run"
FORMAT_VERSION: Final = 1
LARGEST_MANIFEST = 16 * LARGEST_FILE


class RunStatus(StrEnum):
    """What became of a run; `damaged` is only ever found, never written."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    DAMAGED = "damaged"


class StoredFile(BaseModel):
    """What a file must be to be the one that was written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    bytes: Annotated[int, Field(ge=0)]


class RunError(BaseModel):
    """Why a run failed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    message: str


class Manifest(BaseModel):
    """What a run was and what came of it; format version 1, described in docs/run-format.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["modelwright-run"] = FORMAT
    format_version: Literal[1] = FORMAT_VERSION
    run_id: str
    model_id: str
    status: Literal["running", "complete", "failed", "interrupted"]
    started: AwareDatetime
    finished: AwareDatetime | None = None
    duration_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    configuration: dict[str, JsonValue] = Field(default_factory=dict)
    data: dict[str, JsonValue] = Field(default_factory=dict)
    seeds: dict[str, int] = Field(default_factory=dict)
    versions: dict[str, str] = Field(default_factory=dict)
    git: GitState | None = None
    machine: Machine | None = None
    peak_memory_bytes: Annotated[int, Field(ge=0)] | None = None
    stages: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(default_factory=dict)
    verdict: dict[str, JsonValue] | None = None
    metrics: dict[str, Cell] = Field(default_factory=dict)
    files: dict[str, StoredFile] = Field(default_factory=dict)
    error: RunError | None = None
    parent: str | None = None
    folded: tuple[Annotated[str, Field(min_length=1)], ...] = ()

    @model_validator(mode="after")
    def _belongs_together(self) -> "Manifest":
        check_identifier(self.model_id, field="model_id")
        check_run_id(self.run_id, field="run_id")
        if self.parent is not None and check_run_id(self.parent, field="parent") == self.run_id:
            raise ConfigurationError("a run does not continue itself", field="parent", got=self.parent)
        if (self.parent is None) != (not self.folded) or len(set(self.folded)) < len(self.folded):
            raise ConfigurationError(
                "not what a continued run holds", field="folded", expected="a parent and different fingerprints"
            )
        for relative in self.files:
            if not is_stored_path(relative, self.run_id):
                raise ConfigurationError("not a file of this run", field="files", got=relative)
        if self.verdict is not None:
            self.trusted()
        return self

    def trusted(self) -> Verdict | None:
        """The verdict, read back."""
        if self.verdict is None:
            return None
        try:
            return Verdict.from_document(self.verdict)
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"not a verdict: {error}", field="verdict") from error


def manifest_text(manifest: Manifest) -> str:
    """The manifest as it is stored: sorted JSON and `checksum`, the SHA-256 of the same text without that key.

    Only a run that continues another has `parent` and `folded`: all others are as they were before these keys existed.
    """
    document = manifest.model_dump(mode="json", exclude={"parent", "folded"} if manifest.parent is None else None)
    return json_text({**document, "checksum": _checksum(document)})


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Put a manifest in place in one step."""
    write_text(path, manifest_text(manifest))


def read_manifest(path: Path, *, model_id: str, run_id: str) -> Manifest:
    """Read a manifest that somebody else may have written.

    Raises:
        StorageError: absent, unreadable, too large, not a manifest, changed since, or another run's.
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise StorageError(f"{path.name}: not a file")
    try:
        document = parse_json(read_text(path, largest=LARGEST_MANIFEST), source=path.name)
        checksum = document.pop("checksum", None)
        if document.get("format") == FORMAT and document.get("format_version") != FORMAT_VERSION:
            raise ConfigurationError(
                f"{path.name}: written by another version of Modelwright",
                field="format_version",
                expected=str(FORMAT_VERSION),
                got=document.get("format_version"),
            )
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StorageError(f"{path.name}: {where or 'manifest'}: {first['msg']}") from error
    except (ConfigurationError, NotFoundError) as error:
        raise StorageError(str(error)) from error
    if checksum != _checksum(document):
        raise StorageError(f"{path.name}: does not match its checksum; it was changed after it was written")
    if (manifest.model_id, manifest.run_id) != (model_id, run_id):
        raise StorageError(f"{path.name}: belongs to run {manifest.run_id} of {manifest.model_id}")
    return manifest


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of a stored manifest, checksum included.

    Example:
        >>> sorted(manifest_schema()["required"])
        ['checksum', 'model_id', 'run_id', 'started', 'status']
    """
    schema = Manifest.model_json_schema()
    schema["properties"]["checksum"] = {
        "type": "string",
        "pattern": "^[0-9a-f]{64}$",
        "description": "SHA-256 of this document without this key, as JSON with sorted keys, two spaces of indent "
        "and a final line feed, UTF-8.",
    }
    schema["required"].append("checksum")
    return schema


def plain(value: Any, *, field: str) -> Any:
    """`value` as JSON would give it back (numpy scalars plain, tuples lists, NaN null).

    Raises:
        ConfigurationError: it holds something JSON has no word for.

    Example:
        >>> plain({"shape": (3, 4), "rate": float("nan")}, field="data")
        {'shape': [3, 4], 'rate': None}
    """
    try:
        return parse_json(json_text({"value": value}, sort_keys=False), source=field)["value"]
    except TypeError as error:
        raise ConfigurationError(f"cannot be stored as JSON: {error}", field=field) from error


def utc_text(moment: datetime) -> str:
    """A time as people read it, in UTC.

    Example:
        >>> utc_text(datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC))
        '2026-03-14 09:26:53 UTC'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _checksum(document: dict[str, Any]) -> str:
    return sha256_of_bytes(json_text(document).encode("utf-8", "surrogatepass"))
