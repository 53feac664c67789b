"""How the builders of the house build: look the class up, let it read the configuration, refuse what it left unread."""

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

if TYPE_CHECKING:
    from flax import nnx

    from modelwright.generative.protocol import AbstractGenerativeModel
    from modelwright.generative.reading import Resolved


def class_of(configuration: ModelConfiguration, models: Mapping[str, str]) -> Any:
    """The class of a configuration's dotted name.

    Args:
        configuration: The configuration.
        models: Dotted name -> "module:class" that it stands for.

    Raises:
        ConfigurationError: the name is none of those; the nearest is given.
    """
    name = configuration.model_class
    if name not in models:
        short = {known.rpartition(".")[2]: known for known in models}
        guess = short.get(name.rpartition(".")[2])
        todo = f"did you mean {guess!r}? known: {', '.join(models)}" if guess else suggestion(name, models)
        raise ConfigurationError(
            "no model of this name is known; names are looked up, never imported",
            field="model_class",
            got=name,
            todo=todo,
        )
    module, _, attribute = models[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def build(
    configuration: ModelConfiguration, models: Mapping[str, str], *, rngs: "nnx.Rngs", **kwargs: Any
) -> "tuple[AbstractGenerativeModel, tuple[Resolved, ...]]":
    """The model of a configuration, and every value it was built with.

    Args:
        configuration: What to build.
        models: As for `class_of`.
        rngs: Of the initial parameters.
        **kwargs: Parts made in Python, for classes that take any.

    Raises:
        ConfigurationError: a value is not accepted, or is given and not used.
    """
    from modelwright.generative.reading import Reading

    model_class = class_of(configuration, models)
    reading = Reading(configuration, model_class.__name__, model_class.declared)
    model = model_class.from_reading(reading, rngs=rngs, **kwargs)
    return model, reading.finished()
