"""The builder of autoregressive models."""

from modelwright.factory.family import FamilyBuilder

ROOM = "modelwright.generative.autoregressive"


autoregressive_builder = FamilyBuilder(
    {
        f"{ROOM}.Transformer": f"{ROOM}.transformer:Transformer",
        f"{ROOM}.PixelCNN": f"{ROOM}.pixel_cnn:PixelCNN",
        f"{ROOM}.WaveNet": f"{ROOM}.wavenet:WaveNet",
        f"{ROOM}.MADE": f"{ROOM}.made:MADE",
    }
)
"""Builds the models of the table."""
