"""Between data as they are and the numbers that a model takes: codecs, each with its log-determinant.

    create_model(configuration, rngs=0, modality="image")

makes a model that takes and gives images of whole numbers, whatever the model inside works on, with log probabilities
in the images' own units.
"""

from modelwright.modalities.adapted import AdaptedModel, adapted
from modelwright.modalities.codec import AbstractCodec
from modelwright.modalities.image import ImageCodec
from modelwright.modalities.table import codec_from_document, codec_named
from modelwright.modalities.text import TextCodec

__all__ = [
    "AbstractCodec",
    "AdaptedModel",
    "ImageCodec",
    "TextCodec",
    "adapted",
    "codec_from_document",
    "codec_named",
]
