"""Which builder builds a model: a type for every family, found by the dotted name of the model's class."""

import re
import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol, final, runtime_checkable

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError, shortened
from modelwright.core.names import nearest
from modelwright.factory.family import FamilyBuilder
from modelwright.factory.plug_ins import add_installed_families

if TYPE_CHECKING:
    from flax import nnx

    from modelwright.generative.protocol import AbstractGenerativeModel


@runtime_checkable
class ModelBuilder(Protocol):
    """What turns a configuration of one family into a model; a plug-in brings its own."""

    def build(self, config: ModelConfiguration, *, rngs: "nnx.Rngs", **kwargs: Any) -> "AbstractGenerativeModel":
        """The model, its parameters made.

        Args:
            config: What to build.
            rngs: Of the initial parameters.
            **kwargs: What else the builder takes from Python, such as a backbone made by the user; `ModelFactory`
                passes on what it is given.
        """
        ...


@final
class ModelTypeRegistry:
    """Type -> builder, and how the type follows from the name of a class.

    The parts of the module's name are looked at first: `a.flow.RealNVP` is a flow. Else the patterns are tried on the
    name of the class, in the order in which they were added.

    Args:
        more: Called once with the registry, when no part of a dotted name is a type that is there; adds what else there
            is, and returns type -> error for what could not be added.

    Example:
        >>> registry = ModelTypeRegistry()
        >>> class Echo:
        ...     def build(self, config, *, rngs, **kwargs): ...
        >>> registry.register("echo", Echo(), patterns=["Echo"])
        >>> registry.type_of("my_package.models.EchoNet"), registry.type_of("my_package.echo.Net")
        ('echo', 'echo')
        >>> registry.builder_for("other.Thing")
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: No builder registered for type 'unknown'. Available types: echo; \
model_class is 'other.Thing', of which no part is a type or like the name of a model
    """

    def __init__(self, more: "Callable[[ModelTypeRegistry], Mapping[str, ConfigurationError]] | None" = None) -> None:
        self._builders: dict[str, ModelBuilder] = {}
        self._patterns: list[tuple[re.Pattern[str], str]] = []
        self._more = more
        self._problems: Mapping[str, ConfigurationError] = {}
        self._lock = threading.RLock()

    def register(self, model_type: str, builder: ModelBuilder, *, patterns: "tuple[str, ...] | list[str]" = ()) -> None:
        """Add a type.

        Args:
            model_type: A word in lower case ("flow"), also looked for among the parts of a dotted name.
            builder: What builds it.
            patterns: Regular expressions; a class whose name contains one is of this type.

        Raises:
            ConfigurationError: the type is there already, the name is no word, or the builder cannot build.
        """
        if not re.fullmatch(r"[a-z][a-z0-9_]*", model_type):
            raise ConfigurationError(
                "not a type", field="model_type", expected="a word in lower case such as 'flow'", got=model_type
            )
        if model_type in self._builders:
            raise ConfigurationError(
                "a builder is registered for this type already", field=model_type, todo="choose another name"
            )
        if isinstance(builder, type) or not isinstance(builder, ModelBuilder):
            raise ConfigurationError(
                "not a builder",
                field=model_type,
                expected="an object with build(config, *, rngs, **kwargs)",
                got=builder,
            )
        self._builders[model_type] = builder
        self._patterns += [(re.compile(pattern), model_type) for pattern in patterns]

    @property
    def builders(self) -> Mapping[str, ModelBuilder]:
        """Type -> builder."""
        return MappingProxyType(self._builders)

    def type_of(self, model_class: str) -> str:
        """The type of a dotted name, "unknown" when nothing fits."""
        *modules, class_name = model_class.split(".")
        part = self._among(modules)
        if part is None:
            # Before the patterns, so that one of the house does not take what an installed family brings.
            self._add_more()
            part = self._among(modules)
        if part is not None:
            return part
        return next((type_ for pattern, type_ in self._patterns if pattern.search(class_name)), "unknown")

    def _among(self, modules: list[str]) -> str | None:
        return next((part for part in reversed(modules) if part in self._builders), None)

    def _add_more(self) -> None:
        with self._lock:  # whoever comes second waits until all is added
            more, self._more = self._more, None  # before the call: what is added may look for types itself
            if more is not None:
                self._problems = more(self)

    def builder_for(self, model_class: str) -> ModelBuilder:
        """The builder of a dotted name.

        Raises:
            ConfigurationError: it is empty, or nothing fits; or the plug-in that was to bring the type is broken.
        """
        if not model_class:
            raise ConfigurationError("model_class must be specified in configuration")
        model_type = self.type_of(model_class)
        for part in [*reversed(model_class.split(".")[:-1]), model_type]:
            if part in self._problems:
                raise self._problems[part]
            if part in self._builders:
                break
        if model_type not in self._builders:
            known = ", ".join(sorted(self._builders))
            raise ConfigurationError(
                f"No builder registered for type '{model_type}'. Available types: {known}",
                todo="; ".join([self._guess(model_class), *map(str, self._problems.values())]),
            )
        return self._builders[model_type]

    def _guess(self, model_class: str) -> str:
        """The field and what may have been meant, in the words that end the sentence."""
        houses = [each for each in self._builders.values() if isinstance(each, FamilyBuilder)]
        by_class = {name.rpartition(".")[2]: name for builder in houses for name in builder.models}
        close = nearest(model_class.rpartition(".")[2], by_class)
        if close is None:
            return f"model_class is {shortened(model_class)}, of which no part is a type or like the name of a model"
        return f"model_class is {shortened(model_class)}; did you mean {by_class[close]!r}?"


def model_types() -> ModelTypeRegistry:
    """The registry that `create_model` uses.

    In it are the families of the house, those registered in Python and, from the first look for a type that is neither,
    those of installed packages (entry points of `modelwright.families`).
    """
    return _USUAL


def _usual() -> ModelTypeRegistry:
    from modelwright.factory.builders.autoregressive import autoregressive_builder
    from modelwright.factory.builders.flow import flow_builder
    from modelwright.factory.builders.vae import vae_builder

    registry = ModelTypeRegistry(more=add_installed_families)
    registry.register("vae", vae_builder, patterns=["VAE", "Autoencoder"])
    registry.register("flow", flow_builder, patterns=["Flow", "NVP", "Glow", r"^MAF$", r"^IAF$"])
    registry.register("autoregressive", autoregressive_builder, patterns=["Transformer", "PixelCNN", "WaveNet", "MADE"])
    return registry


_USUAL = _usual()
