"""Modalities by name."""

from collections.abc import Mapping
from typing import Any

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import unknown_name
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
    known = list(getattr(kind, "__dataclass_fields__"))  # noqa: B009 (a dataclass, which its type does not say)
    wrong = next((key for key in options if key not in known), None)
    if wrong is not None:
        raise ConfigurationError(f"the modality {name} takes no such option", field=wrong, expected=", ".join(known))
    return kind(**options)


def codec_from_document(document: Mapping[str, Any]) -> AbstractCodec:
    """The codec that `to_document` described."""
    options = dict(document)
    return codec_named(options.pop("name", ""), **options)
