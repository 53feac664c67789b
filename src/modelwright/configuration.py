"""One description for every model of the factory: what to build, in fields; how it works, in `parameters`; notes.

    name, model_class                           which model, by its registered dotted name
    input_dim, hidden_dims, output_dim,         its architecture; what each means is said by the family,
    activation, dropout_rate                    see docs/configuration.md
    parameters                                  settings that the model class declares; each is read, or refused
    metadata                                    notes that change nothing, but for `training_defaults`
    description, version, tags                  for lists

Nothing here knows a model: a configuration can be read, checked for form and written without any framework.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self, TypeAlias

import yaml
from pydantic import BeforeValidator, Field, PlainSerializer

from modelwright.core.descriptions import AbstractDescription
from modelwright.core.documents import parse_json, parse_yaml, read_text
from modelwright.core.errors import ConfigurationError
from modelwright.core.files import json_text
from modelwright.core.frozen_mapping import FrozenMapping
from modelwright.core.values import Refusal, plain, to_float, to_integer, to_text

LARGEST_DIMENSION = 2**31 - 1
"""Numbers along one axis; what is larger is a slip of the finger."""

DEEPEST = 8
"""Levels of nesting in parameters and metadata."""

LARGEST_BITS = 14_000
"""Of a whole number in parameters and metadata: Python writes no number of more than 4,300 digits."""


def _one_line(value: Any) -> str:
    text = to_text(value, longest=200).strip()
    if not text or "\n" in text:
        raise Refusal("one line of text", "empty" if not text else "more than one line")
    return text


def _version(value: Any) -> str:
    value = plain(value)
    # YAML reads 1.10 as 1.1; it is a note only, and most write theirs without quotes
    return _one_line(str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value)


def _dimension(value: Any) -> int:
    try:
        number = to_integer(value)
    except Refusal as refusal:
        raise Refusal("a whole number of at least 1", refusal.why) from None
    if not 1 <= number <= LARGEST_DIMENSION:
        raise Refusal(f"a whole number from 1 to {LARGEST_DIMENSION}", "out of range")
    return number


def _dimensions(value: Any) -> tuple[int, ...]:
    if isinstance(value, list | tuple):
        return tuple(_dimension(entry) for entry in value)
    return (_dimension(value),)


def _optional_dimensions(value: Any) -> tuple[int, ...] | None:
    return None if value is None else _dimensions(value)


def _output_dim(value: Any) -> int | tuple[int, ...] | None:
    if value is None:
        return None
    return _dimensions(value) if isinstance(value, list | tuple) else _dimension(value)


def _rate(value: Any) -> float | None:
    if value is None:
        return None
    number = to_float(value)
    if not 0.0 <= number < 1.0:
        raise Refusal("a number from 0 to below 1", "out of range")
    return number


def _tags(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list | tuple):
        raise Refusal("a list of short texts", "not a list")
    return tuple(_one_line(tag) for tag in value)


def frozen(value: Any, depth: int = 0) -> Any:
    """Mappings, sequences and scalars as they are kept: read-only mappings and tuples all the way down.

    Example:
        >>> frozen({"a": [1, {"b": 2}]})
        FrozenMapping({'a': (1, FrozenMapping({'b': 2}))})
    """
    value = plain(value)
    if depth > DEEPEST:
        raise Refusal(f"at most {DEEPEST} levels", "nested too deep")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise Refusal("text keys", f"the key {key!r} is not text")
        return FrozenMapping({_text(key): frozen(entry, depth + 1) for key, entry in value.items()})
    if isinstance(value, list | tuple):
        return tuple(frozen(entry, depth + 1) for entry in value)
    if isinstance(value, float):
        return to_float(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value.bit_length() > LARGEST_BITS:
            raise Refusal(f"a whole number of at most {LARGEST_BITS:,} bits", "too large to be written")
        return value
    if isinstance(value, str):
        return _text(value)
    raise Refusal("numbers, texts, lists and mappings of them", f"{type(value).__name__} cannot be kept in a file")


def _text(value: str) -> str:
    """Any text that a file can hold: notes written by earlier versions stay readable, whatever stands in them."""
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise Refusal("text that is valid Unicode", "holds half a character (a lone surrogate)") from None
    return value


def thawed(value: Any) -> Any:
    """The same as plain dictionaries and lists, fit for JSON and YAML."""
    if isinstance(value, Mapping):
        return {key: thawed(entry) for key, entry in value.items()}
    return [thawed(entry) for entry in value] if isinstance(value, list | tuple) else value


def _mapping(value: Any) -> Any:
    if value is None:
        return FrozenMapping()
    if not isinstance(value, Mapping):
        raise Refusal("a mapping of names to values", "not a mapping")
    return frozen(value)


Dimensions: TypeAlias = Annotated[tuple[int, ...] | None, BeforeValidator(_optional_dimensions)]
Line: TypeAlias = Annotated[str, BeforeValidator(_one_line)]
Version: TypeAlias = Annotated[str, BeforeValidator(_version)]
Tags: TypeAlias = Annotated[tuple[str, ...], BeforeValidator(_tags)]
Values: TypeAlias = Annotated[Any, BeforeValidator(_mapping), PlainSerializer(thawed, return_type=dict[str, Any])]


class ModelConfiguration(AbstractDescription):
    """What to build.

    Args:
        name: What this model is called, one line.
        model_class: The registered dotted name of its class, such as "modelwright.generative.vae.VAE"; looked up in
            the table of known models, never imported.
        input_dim: Shape of one example, height x width x channels for images; a single number is a vector.
        hidden_dims: Widths of the hidden layers, or channels of the convolutions.
        output_dim: Meaning by family; for a VAE the size of the latent.
        activation: Name of the non-linearity; the model's own default when left out.
        dropout_rate: Share of units left out while training.
        parameters: Settings that the model class declares. One that it does not know, or does not use beside the
            others given, is refused when the model is created.
        metadata: Notes. `training_defaults` in it is what the trainer uses when nothing else is said.
        description, version, tags: For lists.

    Raises:
        ConfigurationError: naming the key, what was expected, what came, and the nearest known key when misspelt.

    Example:
        >>> configuration = ModelConfiguration(name="small", model_class="modelwright.generative.vae.VAE",
        ...                                    input_dim=(8, 8, 1), hidden_dims=[32], output_dim=2)
        >>> configuration.hidden_dims, ModelConfiguration.from_yaml(configuration.to_yaml()) == configuration
        ((32,), True)
    """

    name: Line
    model_class: Annotated[str, BeforeValidator(lambda value: to_text(value, longest=300).strip())] = ""
    input_dim: Dimensions = None
    hidden_dims: Dimensions = None
    output_dim: Annotated[int | tuple[int, ...] | None, BeforeValidator(_output_dim)] = None
    activation: Annotated[str | None, BeforeValidator(lambda value: None if value is None else _one_line(value))] = None
    dropout_rate: Annotated[float | None, BeforeValidator(_rate)] = None
    parameters: Values = Field(default_factory=FrozenMapping)
    metadata: Values = Field(default_factory=FrozenMapping)
    description: Annotated[str, BeforeValidator(to_text)] = ""
    version: Version = "1.0"
    tags: Tags = ()

    @property
    def training_defaults(self) -> Mapping[str, Any]:
        """`metadata["training_defaults"]`, empty when there are none.

        Raises:
            ConfigurationError: it is no mapping.
        """
        found = self.metadata.get("training_defaults", FrozenMapping())
        if not isinstance(found, Mapping):
            raise ConfigurationError(
                "not training defaults", field="metadata.training_defaults", expected="a mapping", got=found
            )
        return found

    def with_changes(self, **changes: Any) -> Self:
        """The same configuration with some fields changed, checked anew."""
        return type(self).from_mapping({**self.given(), **changes})

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy; with fields to change it is `with_changes`, so that they are checked."""
        return self.with_changes(**update) if update else super().model_copy(deep=deep)

    def given(self) -> dict[str, Any]:
        """The fields that were given, as plain data; those left at their defaults are left out."""
        whole = self.model_dump()
        return {name: whole[name] for name in type(self).model_fields if name in self.model_fields_set}

    def to_document(self) -> dict[str, Any]:
        """The fields that were given as JSON has them: lists for tuples."""
        return {name: thawed(value) for name, value in self.given().items()}

    def to_yaml(self) -> str:
        """YAML that `from_yaml` reads back to an equal configuration."""
        return str(yaml.safe_dump(self.to_document(), sort_keys=False, allow_unicode=True))

    def to_json(self) -> str:
        """JSON that `from_json` reads back to an equal configuration."""
        return json_text(self.to_document(), sort_keys=False)

    @classmethod
    def from_yaml(cls, text: str, *, source: str = "configuration") -> Self:
        """The configuration in a YAML text: bounded, without tags, aliases or duplicate keys."""
        return cls.from_mapping(parse_yaml(text, source=source), source=source)

    @classmethod
    def from_json(cls, text: str, *, source: str = "configuration") -> Self:
        """The configuration in a JSON text."""
        return cls.from_mapping(parse_json(text, source=source), source=source)

    @classmethod
    def from_file(cls, path: Path | str) -> Self:
        """The configuration in a .yaml, .yml or .json file of at most 1 MiB."""
        path = Path(path)
        read = cls.from_json if path.suffix == ".json" else cls.from_yaml
        return read(read_text(path), source=str(path))
