"""The one door: from a configuration to a model.

    create_model(configuration, rngs=42)

Names resolve in tables of known models and of registered plug-ins; nothing is imported because a configuration says so.
"""

from modelwright.factory.creation import ModelFactory, create_model
from modelwright.factory.model_types import ModelBuilder, ModelTypeRegistry, model_types

__all__ = ["ModelBuilder", "ModelFactory", "ModelTypeRegistry", "create_model", "model_types"]
