"""A configuration while a model reads it: every value with where it came from, and what nobody asked for.

A model asks for what it needs, once it is clear that it needs it (a decoder of convolutions asks for its kernel size, a
dense one does not). Whatever was given and not asked for would change nothing: it is refused, so that no field and no
parameter is ever read by nobody.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.generative.nets.activations import activation_named
from modelwright.generative.parameters import Parameter

FIELDS = ("input_dim", "hidden_dims", "output_dim", "activation", "dropout_rate")
"""The fields that say something of the architecture; a model that does not ask for one that was given refuses it."""

MOST_LAYERS = 256
"""Layers that are written one by one: each is made by itself."""


@final
@dataclass(frozen=True)
class Resolved:
    """A value that a model was built with.

    Args:
        name: A field, or "parameters.NAME".
        value: The value.
        origin: "given", or "default of CLASS".
        meaning: What it does, where the class says it.
    """

    name: str
    value: Any
    origin: str
    meaning: str = ""


@final
class Reading:
    """What a model asks a configuration for.

    Args:
        configuration: The configuration.
        class_name: The model's class, for messages.
        declared: The parameters that it takes.

    Raises:
        ConfigurationError: a parameter is none of those, or is not of its type; the nearest name is given.

    Example:
        >>> reading = Reading(ModelConfiguration(name="x", input_dim=3, parameters={"beta": 2}), "VAE",
        ...                   (Parameter("beta", "number", 1.0, "weight of the KL divergence"),))
        >>> reading.input_dim(), reading.parameter("beta"), reading.hidden_dims((8,))
        ((3,), 2.0, (8,))
        >>> [(each.name, each.origin) for each in reading.finished()]
        [('input_dim', 'given'), ('parameters.beta', 'given'), ('hidden_dims', 'default of VAE')]
    """

    def __init__(self, configuration: ModelConfiguration, class_name: str, declared: tuple[Parameter, ...]) -> None:
        self.configuration = configuration
        self.class_name = class_name
        self._declared = {parameter.name: parameter for parameter in declared}
        self._resolved: dict[str, Resolved] = {}
        for name in configuration.parameters:
            if name not in self._declared:
                raise ConfigurationError(
                    f"{class_name} has no such parameter",
                    field=f"parameters.{name}",
                    todo=f"{suggestion(name, self._declared)}; notes belong under metadata",
                )
        self._values: Mapping[str, Any] = {
            name: self._declared[name].checked(value)
            for name, value in configuration.parameters.items()
            if value is not None
        }

    def input_dim(self) -> tuple[int, ...]:
        """The shape of one example; it has to be given."""
        found = self.configuration.input_dim
        if not found:
            raise ConfigurationError(
                f"{self.class_name} needs the shape of an example",
                field="input_dim",
                expected="whole numbers of at least 1, such as 2 or (28, 28, 1)",
                got=found,
            )
        return self._note("input_dim", found, None)

    def hidden_dims(self, default: tuple[int, ...]) -> tuple[int, ...]:
        """The widths of the hidden layers.

        Raises:
            ConfigurationError: there are more than `MOST_LAYERS`.
        """
        found = self.configuration.hidden_dims
        if found is not None and len(found) > MOST_LAYERS:
            raise ConfigurationError(
                "too many layers", field="hidden_dims", expected=f"at most {MOST_LAYERS} widths", got=len(found)
            )
        return self._note("hidden_dims", found, default)

    def output_dim(self, default: Any) -> Any:
        """What the family means by output_dim."""
        return self._note("output_dim", self.configuration.output_dim, default)

    def activation(self, default: str) -> str:
        """The name of the non-linearity.

        Raises:
            ConfigurationError: there is none of this name.
        """
        found: str = self._note("activation", self.configuration.activation, default)
        activation_named(found)
        return found

    def dropout_rate(self, default: float = 0.0) -> float:
        """The share of units left out while training."""
        return self._note("dropout_rate", self.configuration.dropout_rate, default)

    def parameter(self, name: str, found: Any = None) -> Any:
        """The value of a declared parameter: what was given, or its default.

        Args:
            name: Of the parameter.
            found: The default that the model finds by itself, for a parameter that is declared without one.
        """
        declared = self._declared[name]
        default = found if declared.default is None else declared.default
        return self._note(f"parameters.{name}", self._values.get(name), default, declared.meaning)

    def refuse(self, name: str, why: str, **more: Any) -> ConfigurationError:
        """The error for a field or parameter that does not go with the others."""
        return ConfigurationError(why, field=name, **more)

    def finished(self) -> tuple[Resolved, ...]:
        """Every value that was asked for, in order.

        Raises:
            ConfigurationError: something was given that the model did not ask for.
        """
        given = [name for name in FIELDS if getattr(self.configuration, name) is not None]
        given += [f"parameters.{name}" for name in self._values]
        unread = [name for name in given if name not in self._resolved]
        if unread:
            raise ConfigurationError(
                f"{self.class_name} does not use this beside the other values given",
                field=unread[0],
                got=self._value_of(unread[0]),
                todo=f"leave out {', '.join(unread)}, or keep it as a note under metadata",
            )
        return tuple(self._resolved.values())

    def _value_of(self, name: str) -> Any:
        group, _, key = name.partition(".")
        return self._values[key] if key else getattr(self.configuration, group)

    def _note(self, name: str, given: Any, default: Any, meaning: str = "") -> Any:
        value, origin = (default, f"default of {self.class_name}") if given is None else (given, "given")
        self._resolved[name] = Resolved(name, value, origin, meaning)
        return value
