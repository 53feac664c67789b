"""From a configuration to a model."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, final

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError, came
from modelwright.core.files import json_text
from modelwright.core.seeds import check_seed
from modelwright.factory.family import refuse_unknown_parts
from modelwright.factory.model_types import ModelTypeRegistry, model_types
from modelwright.factory.room import check_room

if TYPE_CHECKING:
    from flax import nnx

    from modelwright.generative.protocol import AbstractGenerativeModel
    from modelwright.modalities import AbstractCodec


@final
class ModelFactory:
    """Creates models by the builders of a registry.

    Args:
        registry: The types it knows; those of the house and of registered plug-ins by default.
    """

    def __init__(self, registry: ModelTypeRegistry | None = None) -> None:
        self.registry = model_types() if registry is None else registry

    def create_model(
        self,
        config: ModelConfiguration,
        *,
        rngs: Any,
        modality: "str | Mapping[str, Any] | AbstractCodec | None" = None,
        **kwargs: Any,
    ) -> "AbstractGenerativeModel":
        """The model of a configuration, its parameters made.

        Args:
            config: What to build.
            rngs: `flax.nnx.Rngs`, a seed, or a JAX key.
            modality: What the raw data are: "image", "text", a mapping of `name` and options of its codec, or a codec
                of `modelwright.modalities`. The model's examples and log probabilities are then theirs.
            **kwargs: Parts made in Python, for builders that take any.

        Raises:
            TypeError: the configuration is no `ModelConfiguration`.
            ConfigurationError: no builder fits, a value is not accepted, or is given and not used, training defaults
                among them; the builder does not take an argument; there is no room for so large a model; or the builder
                of a plug-in gives no model.
        """
        from modelwright.generative.training.defaults import TrainingDefaults

        check_configuration(config)
        TrainingDefaults.from_mapping(config.training_defaults)
        return self._made(config, rngs, modality, kwargs)

    def remake_model(
        self, config: ModelConfiguration, *, modality: "AbstractCodec | None" = None
    ) -> "AbstractGenerativeModel":
        """The model of a configuration that one was made of before, for its numbers to be put into it.

        What it was trained with is not looked at: that a later version accepts less loses nobody a trained model.
        """
        return self._made(config, 0, modality, {})

    def _made(
        self,
        config: ModelConfiguration,
        rngs: Any,
        modality: "str | Mapping[str, Any] | AbstractCodec | None",
        kwargs: dict[str, Any],
    ) -> "AbstractGenerativeModel":
        builder = self.registry.builder_for(config.model_class)
        if not kwargs:
            check_room(config, builder)
        refuse_unknown_parts(builder.build, kwargs, type(builder).__name__)
        model = sound(builder.build(config, rngs=as_rngs(rngs), **kwargs), builder)
        if modality is not None:
            model = with_modality(model, modality, config)
        model.recipe = None if kwargs else recipe_of(config, model)  # parts made in Python are in no description
        return model


def create_model(
    config: ModelConfiguration,
    *,
    rngs: Any,
    modality: "str | Mapping[str, Any] | AbstractCodec | None" = None,
    **kwargs: Any,
) -> "AbstractGenerativeModel":
    """The model of a configuration; see `ModelFactory.create_model`.

    Example:
        >>> config = ModelConfiguration(name="small", model_class="modelwright.generative.vae.VAE",
        ...                             input_dim=(8, 8, 1), hidden_dims=[32], output_dim=2)
        >>> model = create_model(config, rngs=0)
        >>> model.latent_dim, type(model).__name__
        (2, 'VAE')
    """
    return ModelFactory().create_model(config, rngs=rngs, modality=modality, **kwargs)


def check_configuration(config: object) -> None:
    """Refuse what is no configuration.

    Raises:
        TypeError: saying how one is made.
    """
    if not isinstance(config, ModelConfiguration):
        raise TypeError(
            f"config: expected a ModelConfiguration, got {type(config).__name__}; "
            "make one with ModelConfiguration.from_mapping(...)"
        )


def sound(model: Any, builder: Any) -> "AbstractGenerativeModel":
    """What a builder gave, when it is a generative model.

    Raises:
        ConfigurationError: it is something else; names the builder.
    """
    from modelwright.generative.protocol import AbstractGenerativeModel

    name = f"{type(builder).__module__}.{type(builder).__qualname__}"
    if not isinstance(model, AbstractGenerativeModel):
        raise ConfigurationError(
            f"the builder {name} built no generative model",
            field="model_class",
            expected="an instance of modelwright.generative.protocol.AbstractGenerativeModel",
            got=came(model),
            todo="let its build return the model",
        )
    shape = getattr(model, "example_shape", None)  # declared by the protocol, set by the class itself
    if not isinstance(shape, tuple) or not all(isinstance(side, int) for side in shape):
        raise ConfigurationError(
            f"the builder {name} built a {type(model).__name__} that does not say what an example is",
            field="example_shape",
            expected="a tuple of whole numbers",
            got=came(shape),
            todo="set example_shape where the model is made",
        )
    return model


def recipe_of(config: ModelConfiguration, model: "AbstractGenerativeModel") -> str:
    """What a model was made from, as JSON: the configuration, and the codec before it."""
    codec = getattr(model, "codec", None)
    document = {"configuration": config.to_document(), "modality": None if codec is None else codec.to_document()}
    return json_text(document, sort_keys=False)


def as_rngs(rngs: Any) -> "nnx.Rngs":
    """Random number streams of Flax from streams, a seed or a key.

    Raises:
        ConfigurationError: it is none of these.
    """
    import jax
    import jax.numpy as jnp
    from flax import nnx

    if isinstance(rngs, nnx.Rngs):
        if not {"params", "default"} & set(rngs):
            raise ConfigurationError(
                "no stream for the parameters",
                field="rngs",
                expected="a stream params or default",
                got=", ".join(rngs) or "none",
                todo="make it with nnx.Rngs(0), or nnx.Rngs(params=0)",
            )
        return rngs
    if isinstance(rngs, jax.Array):
        typed = jnp.issubdtype(rngs.dtype, jax.dtypes.prng_key)
        if (typed and rngs.shape == ()) or (rngs.shape == (2,) and rngs.dtype == jnp.uint32):
            return nnx.Rngs(rngs)
        if typed:
            raise ConfigurationError(
                "several keys", field="rngs", expected="one JAX key", got=rngs.shape, todo="pass one of them"
            )
    try:
        return nnx.Rngs(check_seed(rngs, field="rngs"))
    except ConfigurationError as error:
        raise ConfigurationError(
            "not a source of randomness", field="rngs", expected="nnx.Rngs, a seed or a JAX key", got=rngs
        ) from error


def with_modality(
    model: "AbstractGenerativeModel", modality: "str | Mapping[str, Any] | AbstractCodec", config: ModelConfiguration
) -> "AbstractGenerativeModel":
    """The model with the codec of a modality before it.

    Raises:
        ConfigurationError: there is no such modality, or it does not go with the model.
    """
    from modelwright.modalities import AbstractCodec, adapted

    try:
        return adapted(model, modality, config)
    except (LookupError, ValueError) as error:
        name: Any = modality.name if isinstance(modality, AbstractCodec) else modality
        name = name.get("name") if isinstance(name, Mapping) else name
        raise ConfigurationError(f"Failed to apply modality {name!r}: {error}") from error
