"""Modalities by name."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import unknown_name
from modelwright.core.values import shown_key
from modelwright.modalities.codec import AbstractCodec
from modelwright.modalities.image import ImageCodec
from modelwright.modalities.text import TextCodec

MODALITIES: dict[str, type[AbstractCodec]] = {"image": ImageCodec, "text": TextCodec}


def codec_named(name: str, **options: Any) -> AbstractCodec:
    """The codec of a modality.

    Raises:
        NotFoundError: there is none of this name. ConfigurationError: it does not take one of the options.

    Example:
        >>> codec_named("image", levels=17).levels
        17
    """
    if name not in MODALITIES:
        raise unknown_name("modality", name, MODALITIES)
    kind = MODALITIES[name]
    known = [field.name for field in fields(kind)]
    wrong = next((key for key in options if key not in known), None)
    if wrong is not None:
        raise ConfigurationError(
            f"the modality {name} takes no such option", field=shown_key(wrong), expected=", ".join(known)
        )
    return kind(**options)


def codec_from_document(document: Mapping[str, Any]) -> AbstractCodec:
    """The codec that `to_document` described, or a person in YAML.

    Raises:
        NotFoundError: no modality has this name. ConfigurationError: an option is not accepted.
    """
    options = dict(document)
    odd = next((key for key in options if not isinstance(key, str)), None)
    if odd is not None:
        raise ConfigurationError("the name of an option is text", field=shown_key(odd), got=odd)
    return codec_named(options.pop("name", ""), **options)
