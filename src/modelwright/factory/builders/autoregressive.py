"""The builder of autoregressive models."""

from typing import ClassVar, final

from modelwright.factory.family import AbstractFamilyBuilder

ROOM = "modelwright.generative.autoregressive"


@final
class AutoregressiveBuilder(AbstractFamilyBuilder):
    """Builds the models of the table."""

    models: ClassVar[dict[str, str]] = {
        f"{ROOM}.Transformer": f"{ROOM}.transformer:Transformer",
        f"{ROOM}.PixelCNN": f"{ROOM}.pixel_cnn:PixelCNN",
        f"{ROOM}.WaveNet": f"{ROOM}.wavenet:WaveNet",
        f"{ROOM}.MADE": f"{ROOM}.made:MADE",
    }
