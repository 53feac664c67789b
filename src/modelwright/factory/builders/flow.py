"""The builder of flow models."""

from typing import ClassVar, final

from modelwright.factory.family import AbstractFamilyBuilder


@final
class FlowBuilder(AbstractFamilyBuilder):
    """Builds the models of the table."""

    models: ClassVar[dict[str, str]] = {}
