"""Descriptions as frozen pydantic models whose refusals are sentences.

Pydantic decides what is wrong; this file says it the house's way: which key of which file, what was expected, what
came, and the nearest known key when one was misspelt.
"""

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from modelwright.core.errors import ConfigurationError, came
from modelwright.core.names import nearest, suggestion
from modelwright.core.values import Refusal, shown_key


class AbstractDescription(BaseModel):
    """A frozen description that refuses unknown keys and explains every refusal as a `ConfigurationError`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _explained(error, type(self), source=None) from None

    @classmethod
    def from_mapping(cls, mapping: Any, *, source: str | None = None) -> Self:
        """The description held by a mapping, such as one read from YAML.

        Args:
            mapping: Any object; everything but a mapping with known text keys is refused.
            source: The file it came from, named in every refusal.

        Raises:
            ConfigurationError: naming the key (its whole path), what was expected and what came.
        """
        if not isinstance(mapping, Mapping):
            where = f" in {source}" if source else ""
            raise ConfigurationError(f"not a description{where}", expected="a mapping of keys to values", got=mapping)
        for key in mapping:
            if not isinstance(key, str):
                raise _unknown_key(shown_key(key), "", cls, source)
        try:
            # The validator and not the constructor: a key called "self" would clash with a keyword argument.
            instance = cls.__new__(cls)
            cls.__pydantic_validator__.validate_python(dict(mapping), self_instance=instance)
        except ValidationError as error:
            raise _explained(error, cls, source=source) from None
        return instance


def _explained(error: ValidationError, model: type[BaseModel], *, source: str | None) -> ConfigurationError:
    """The first refusal as a `ConfigurationError`; misspelt keys first, since they are why others are missing."""
    details = error.errors(include_url=False)
    details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
    first = _one(details[0], model, source)
    if len(details) > 1:
        more = f"{len(details) - 1} more to correct after this"
        first = ConfigurationError(
            first.what,
            field=first.field,
            expected=first.expected,
            got=first.got,
            todo=f"{first.todo} ({more})" if first.todo else more,
        )
    return first


def _one(detail: ErrorDetails, model: type[BaseModel], source: str | None) -> ConfigurationError:
    path = _path(detail["loc"])
    where = f" in {source}" if source else ""
    cause = detail.get("ctx", {}).get("error")
    if detail["type"] == "extra_forbidden":
        parent = _path(detail["loc"][:-1])
        return _unknown_key(shown_key(detail["loc"][-1]), parent, model, source)
    if detail["type"] == "missing":
        return ConfigurationError(f"is missing{where}", field=path, todo=f"add the key {detail['loc'][-1]}")
    if isinstance(cause, ConfigurationError):
        inner = cause.field or ""
        joined = path + inner if inner.startswith("[") or not path else f"{path}.{inner}" if inner else path
        return ConfigurationError(
            cause.what + where, field=joined or None, expected=cause.expected, got=cause.got, todo=cause.todo
        )
    if isinstance(cause, Refusal):
        return ConfigurationError(
            cause.why + where, field=path or None, expected=cause.expected, got=came(detail["input"], "nothing")
        )
    if detail["type"] in ("literal_error", "enum"):
        choices = re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))
        close = nearest(detail["input"], choices) if isinstance(detail["input"], str) else None
        return ConfigurationError(
            f"not accepted{where}",
            field=path or None,
            expected="one of " + ", ".join(choices),
            got=came(detail["input"], "nothing"),
            todo=f"did you mean {close!r}?" if close else None,
        )
    expected = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return ConfigurationError(
        f"not accepted{where}", field=path or None, expected=expected, got=came(detail["input"], "nothing")
    )


def _unknown_key(key: str, parent: str, model: type[BaseModel], source: str | None) -> ConfigurationError:
    where = f" in {source}" if source else ""
    field = f"{parent}.{key}" if parent else key
    return ConfigurationError(f"unknown key{where}", field=field, todo=suggestion(key, model.model_fields))


def _path(location: tuple[int | str, ...]) -> str:
    """("inference_params", 0, "type") as inference_params[0].type.

    Example:
        >>> _path(("inference_params", 0, "type"))
        'inference_params[0].type'
    """
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
