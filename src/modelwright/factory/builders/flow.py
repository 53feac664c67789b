"""The builder of flow models."""

from modelwright.factory.family import FamilyBuilder

flow_builder = FamilyBuilder(
    {
        "modelwright.generative.flow.RealNVP": "modelwright.generative.flow.real_nvp:RealNVP",
        "modelwright.generative.flow.Glow": "modelwright.generative.flow.glow:Glow",
        "modelwright.generative.flow.MAF": "modelwright.generative.flow.maf:MAF",
        "modelwright.generative.flow.IAF": "modelwright.generative.flow.iaf:IAF",
        "modelwright.generative.flow.NeuralSplineFlow": "modelwright.generative.flow.neural_spline:NeuralSplineFlow",
        "modelwright.generative.flow.ContinuousFlow": "modelwright.generative.flow.continuous:ContinuousFlow",
    }
)
"""Builds the models of the table."""
