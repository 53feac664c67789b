"""How the builders of the house build: look the class up, let it read the configuration, refuse what it left unread."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

if TYPE_CHECKING:
    from flax import nnx

    from modelwright.generative.parameters import Parameter
    from modelwright.generative.protocol import AbstractGenerativeModel
    from modelwright.generative.reading import Resolved


@runtime_checkable
class ExplainingBuilder(Protocol):
    """A builder that can say what it takes and what it made of it; those of the house can."""

    def declared(self, config: ModelConfiguration) -> "tuple[Parameter, ...]":
        """The settings under `parameters` that the class of a configuration takes."""
        ...

    def explained(
        self, config: ModelConfiguration, *, rngs: "nnx.Rngs"
    ) -> "tuple[AbstractGenerativeModel, tuple[Resolved, ...]]":
        """The model, and every value that it was built with."""
        ...


def refuse_unknown_parts(call: Callable[..., Any], parts: Mapping[str, Any], name: str) -> None:
    """Refuse keyword arguments of `create_model` that what builds the model does not take.

    Args:
        call: What they would be handed to.
        parts: The arguments.
        name: Whose it is, for the message.

    Raises:
        ConfigurationError: one is not taken; names it, and what is.
    """
    takes = inspect.signature(call).parameters.values()
    if any(each.kind is each.VAR_KEYWORD for each in takes):
        return
    own = [each.name for each in takes if each.kind is each.KEYWORD_ONLY and each.name != "rngs"]
    known = ["rngs", "modality", *own]
    unknown = next((part for part in parts if part not in own), None)
    if unknown is not None:
        raise ConfigurationError(
            f"{name} takes no such argument from Python",
            field=unknown,
            expected=" and ".join((", ".join(known[:-1]), known[-1])),
            todo="what a configuration says belongs into the ModelConfiguration",
        )


@final
class FamilyBuilder:
    """Builds the models of one family from a literal table.

    Args:
        models: Dotted name in a configuration -> "module:class" that it stands for.
    """

    def __init__(self, models: Mapping[str, str]) -> None:
        self.models = models

    def build(self, config: ModelConfiguration, *, rngs: "nnx.Rngs", **kwargs: Any) -> "AbstractGenerativeModel":
        """The model of a configuration.

        Args:
            config: What to build.
            rngs: Of the initial parameters.
            **kwargs: Parts made in Python, for classes that take any.

        Raises:
            ConfigurationError: a value is not accepted, or is given and not used; the class takes no such part.
        """
        return self.explained(config, rngs=rngs, **kwargs)[0]

    def declared(self, config: ModelConfiguration) -> "tuple[Parameter, ...]":
        """The settings under `parameters` that the class takes."""
        found: tuple[Parameter, ...] = self.class_of(config).declared
        return found

    def explained(
        self, config: ModelConfiguration, *, rngs: "nnx.Rngs", **kwargs: Any
    ) -> "tuple[AbstractGenerativeModel, tuple[Resolved, ...]]":
        """The model, and every value that it was built with."""
        from modelwright.generative.reading import Reading

        model_class = self.class_of(config)
        refuse_unknown_parts(model_class.from_reading, kwargs, model_class.__name__)
        reading = Reading(config, model_class.__name__, model_class.declared)
        model = model_class.from_reading(reading, rngs=rngs, **kwargs)
        return model, reading.finished()

    def class_of(self, config: ModelConfiguration) -> Any:
        """The class of a configuration's dotted name.

        Raises:
            ConfigurationError: the name is none of the table; the nearest is given.
        """
        name = config.model_class
        if name not in self.models:
            by_class = {known.rpartition(".")[2]: known for known in self.models}
            guess = by_class.get(name.rpartition(".")[2])
            known = ", ".join(self.models)
            raise ConfigurationError(
                "no model of this name is known; names are looked up, never imported",
                field="model_class",
                got=name,
                todo=f"did you mean {guess!r}? known: {known}" if guess else suggestion(name, self.models),
            )
        module, _, attribute = self.models[name].partition(":")
        return getattr(importlib.import_module(module), attribute)
