"""What a model directory says about itself: config.yaml, read safely and refused in sentences.

name, description, version, author, status (active | beta | deprecated), tags
inference_params, data_params, train_params: lists of parameters, see `modelwright.catalog.parameters`
training: {default_iterations, chains, warmup, target_accept}
"""

from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from modelwright.catalog.parameters import InferenceParameter
from modelwright.core.descriptions import AbstractDescription
from modelwright.core.documents import parse_yaml, read_text
from modelwright.core.errors import ConfigurationError
from modelwright.core.values import Refusal, plain, to_float, to_integer, to_text

CONFIG_FILE = "config.yaml"

LARGEST_CONFIG = 256 * 1024
"""Bytes a config.yaml may have: pages of help text fit, and YAML of this size is read within a second or two."""

MOST_PARAMETERS = 200
"""Parameters in one list; nobody fills in a longer form."""

SETTING_NAMES = frozenset({"draws", "tune", "chains", "target_accept", "max_tree_depth", "seed"})
"""Names of the sampler's settings, which every model takes and no model may declare again."""

_TAKEN = SETTING_NAMES | {"help", "json", "keep", "progress", "project", "quiet", "run", "self", "strict"}
_TAKEN_IN_TRAINING = _TAKEN | {"data", "data_options", "settings"}


class ModelStatus(StrEnum):
    """How finished a model is: offered, offered with a tag, or hidden from choices but still usable."""

    ACTIVE = "active"
    BETA = "beta"
    DEPRECATED = "deprecated"


def _version(value: Any) -> str:
    value = plain(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        value = str(to_float(value) if isinstance(value, float) else to_integer(value))
    return _line(value, longest=50, expected="a version such as 1.2.0")


def _line(value: Any, *, longest: int, expected: str) -> str:
    text = to_text(value, longest=longest).strip()
    if not text or "\n" in text:
        raise Refusal(expected, "empty" if not text else "more than one line")
    return text


def _tags(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or len(value) > 50:
        raise Refusal("a list of at most 50 short texts", "not a list of tags")
    return tuple(_line(tag, longest=50, expected="a short text") for tag in value)


def _parameters(value: Any) -> tuple[InferenceParameter, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise Refusal("a list of parameters", "not a list")
    if len(value) > MOST_PARAMETERS:
        raise Refusal(f"at most {MOST_PARAMETERS} parameters", f"{len(value)} parameters")
    parameters: list[InferenceParameter] = []
    for place, entry in enumerate(value):
        try:
            made = entry if isinstance(entry, InferenceParameter) else InferenceParameter.from_mapping(entry)
        except ConfigurationError as error:
            field = f"[{place}].{error.field}" if error.field else f"[{place}]"
            raise _moved(error, field) from None
        if any(made.name == earlier.name for earlier in parameters):
            raise ConfigurationError("stands twice", field=f"[{place}].name", got=made.name)
        parameters.append(made)
    return tuple(parameters)


def _moved(error: ConfigurationError, field: str) -> ConfigurationError:
    return ConfigurationError(error.what, field=field, expected=error.expected, got=error.got, todo=error.todo)


def _count(value: Any, *, least: int, most: int) -> int:
    expected = f"an integer from {least} to {most}"
    try:
        number = to_integer(value)
    except Refusal as refusal:
        raise Refusal(expected, refusal.why) from None
    if not least <= number <= most:
        raise Refusal(expected, "too small" if number < least else "too large")
    return number


def _probability(value: Any) -> float:
    number = to_float(value)
    if not 0.1 <= number <= 0.999:
        raise Refusal("a number from 0.1 to 0.999", "out of range")
    return number


class TrainingDefaults(AbstractDescription):
    """How a model is sampled when nobody says otherwise.

    Args:
        default_iterations: Draws kept per chain.
        chains: Chains; R-hat needs at least two to say anything.
        warmup: Warm-up steps per chain, not kept.
        target_accept: Acceptance probability that the step size is tuned to.
    """

    default_iterations: Annotated[
        int, Field(ge=1, le=10_000_000), BeforeValidator(lambda value: _count(value, least=1, most=10_000_000))
    ] = 2000
    chains: Annotated[int, Field(ge=1, le=1024), BeforeValidator(lambda value: _count(value, least=1, most=1024))] = 4
    warmup: Annotated[
        int, Field(ge=1, le=10_000_000), BeforeValidator(lambda value: _count(value, least=1, most=10_000_000))
    ] = 1000
    target_accept: Annotated[float, Field(ge=0.1, le=0.999), BeforeValidator(_probability)] = 0.9


def _training(value: Any) -> TrainingDefaults:
    if isinstance(value, TrainingDefaults):
        return value
    return TrainingDefaults() if value is None else TrainingDefaults.from_mapping(value)


Parameters: TypeAlias = Annotated[tuple[InferenceParameter, ...], BeforeValidator(_parameters)]


class ModelMetadata(AbstractDescription):
    """The description of one model, as its config.yaml gives it.

    Args:
        name: What people call it, one line.
        description: What it is for; shown in lists and in --help.
        version: Text; YAML's 1.0 is kept as "1.0", but quote versions such as "1.10", which YAML reads as 1.1.
        author: Who wrote it.
        status: active, beta (offered with a tag) or deprecated (hidden from choices, still usable).
        tags: Short words to find it by.
        inference_params: What `predict` asks for.
        data_params: What `load_data` asks for.
        train_params: What `train` asks for besides the sampler's settings.
        training: The sampler's settings when nobody says otherwise.

    Raises:
        ConfigurationError: naming the key, what was expected, what came, and the nearest known key when misspelt.

    Example:
        >>> metadata = ModelMetadata.from_mapping({"name": "Calls", "description": "Calls per station", "version": 1.0})
        >>> metadata.version, metadata.status.value, metadata.training.chains
        ('1.0', 'active', 4)
        >>> ModelMetadata.from_mapping({"name": "Calls", "descripton": "Calls per station", "version": "1"})
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: descripton: unknown key; did you mean 'description'? known: name, \
description, version, author, status, tags, inference_params, data_params, train_params, training (1 more to correct \
after this)
    """

    name: Annotated[str, BeforeValidator(lambda value: _line(value, longest=100, expected="one line of text"))]
    description: Annotated[str, BeforeValidator(to_text)]
    version: Annotated[str, BeforeValidator(_version)]
    author: Annotated[str, BeforeValidator(lambda value: to_text(value, longest=200))] = ""
    status: ModelStatus = ModelStatus.ACTIVE
    tags: Annotated[tuple[str, ...], BeforeValidator(_tags)] = ()
    inference_params: Parameters = ()
    data_params: Parameters = ()
    train_params: Parameters = ()
    training: Annotated[TrainingDefaults, BeforeValidator(_training)] = TrainingDefaults()

    @model_validator(mode="after")
    def _one_name_one_meaning(self) -> Self:
        _refuse_taken("inference_params", self.inference_params, _TAKEN - SETTING_NAMES)
        _refuse_taken("data_params", self.data_params, _TAKEN)
        # Both lists become options of one command, so a name means one thing in the two together.
        taken = _TAKEN_IN_TRAINING | {parameter.name for parameter in self.data_params}
        _refuse_taken("train_params", self.train_params, taken)
        return self

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """The description in a config.yaml.

        Args:
            path: The file; at most `LARGEST_CONFIG` bytes of UTF-8 YAML without tags, anchors and duplicate keys.

        Raises:
            ConfigurationError: naming the file and the key. NotFoundError: no such file. StorageError: unreadable.
        """
        document = parse_yaml(read_text(path, largest=LARGEST_CONFIG), source=str(path))
        return cls.from_mapping(document, source=str(path))


def _refuse_taken(list_name: str, parameters: Iterable[InferenceParameter], taken: Iterable[str]) -> None:
    for place, parameter in enumerate(parameters):
        if parameter.name in set(taken):
            raise ConfigurationError(
                "this name has another meaning already",
                field=f"{list_name}[{place}].name",
                got=parameter.name,
                todo=f"choose another name, such as {parameter.name}_value",
            )


def model_schema() -> dict[str, Any]:
    """The JSON Schema of config.yaml, for editors that complete and check it while typing.

    Example:
        >>> sorted(model_schema()["required"])
        ['description', 'name', 'version']
    """
    schema = ModelMetadata.model_json_schema()
    for part in (schema, *schema["$defs"].values()):
        part["description"] = part["description"].partition("\n")[0]  # the rest of a docstring is for programmers
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Modelwright config.yaml"}
