"""The builder of autoregressive models."""

from typing import ClassVar, final

from modelwright.factory.family import AbstractFamilyBuilder


@final
class AutoregressiveBuilder(AbstractFamilyBuilder):
    """Builds the models of the table."""

    models: ClassVar[dict[str, str]] = {}
