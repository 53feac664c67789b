"""The builder of flow models."""

from typing import TYPE_CHECKING, Any, ClassVar, final

from modelwright.configuration import ModelConfiguration
from modelwright.factory.family import build

if TYPE_CHECKING:
    from flax import nnx

    from modelwright.generative.protocol import AbstractGenerativeModel


@final
class FlowBuilder:
    """Builds the models of the table."""

    models: ClassVar[dict[str, str]] = {
        "modelwright.generative.flow.RealNVP": "modelwright.generative.flow.real_nvp:RealNVP",
        "modelwright.generative.flow.Glow": "modelwright.generative.flow.glow:Glow",
        "modelwright.generative.flow.MAF": "modelwright.generative.flow.maf:MAF",
        "modelwright.generative.flow.IAF": "modelwright.generative.flow.iaf:IAF",
        "modelwright.generative.flow.NeuralSplineFlow": "modelwright.generative.flow.neural_spline:NeuralSplineFlow",
        "modelwright.generative.flow.ContinuousFlow": "modelwright.generative.flow.continuous:ContinuousFlow",
    }

    def build(self, config: ModelConfiguration, *, rngs: "nnx.Rngs", **kwargs: Any) -> "AbstractGenerativeModel":
        """The model of a configuration; see `modelwright.factory.family.build`."""
        return build(config, self.models, rngs=rngs, **kwargs)[0]
