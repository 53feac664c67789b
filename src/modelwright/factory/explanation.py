"""What a configuration would build: every value and where it came from, sizes and costs, with nothing allocated."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, final

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import CapabilityError
from modelwright.core.sections import Table
from modelwright.factory.creation import as_rngs, check_configuration, sound, with_modality
from modelwright.factory.family import ExplainingBuilder
from modelwright.factory.model_types import model_types
from modelwright.factory.work import operations

if TYPE_CHECKING:
    from modelwright.generative.reading import Resolved
    from modelwright.generative.training.defaults import TrainingDefaults


@final
@dataclass(frozen=True)
class Explanation:
    """What would be built.

    Args:
        model_type: The family.
        class_name: The class.
        resolved: Every value that it would be built with.
        parts: First name below the model -> numbers that training moves in it.
        batch_size: Examples of one update, for memory and work.
        training_bytes: Of parameters, gradient, both moments of Adam and, where there is one, the moving average, in
            single precision.
        flops: Operations of losses and gradients in one update, see `operations`; None where a loop has no known end.
        offers: What the model would answer.
        training: Every setting of training, where no other is given to the trainer.
        modality: Of the codec before the model: its name and options; None where there is none.
    """

    model_type: str
    class_name: str
    resolved: "tuple[Resolved, ...]"
    parts: dict[str, int]
    batch_size: int
    training_bytes: int
    flops: float | None
    offers: tuple[str, ...]
    training: "tuple[Resolved, ...]" = ()
    modality: Mapping[str, Any] | None = None

    @property
    def n_parameters(self) -> int:
        """Numbers that training moves."""
        return sum(self.parts.values())

    def tables(self) -> tuple[Table, ...]:
        """The explanation for people."""
        values = tuple((each.name, _plain(each.value), each.origin, each.meaning) for each in self.resolved)
        training = tuple((each.name, _plain(each.value), each.origin) for each in self.training)
        sizes = (
            ("family", self.model_type),
            ("offers", ", ".join(self.offers)),
            ("modality", "none" if self.modality is None else _options(self.modality)),
            *((f"parameters in {name}", f"{number:,}") for name, number in self.parts.items()),
            ("parameters", f"{self.n_parameters:,}"),
            ("memory of training, without activations", f"{self.training_bytes / 2**20:,.1f} MiB"),
            (
                f"work of one update ({self.batch_size} examples)",
                "not known" if self.flops is None else f"{self.flops / 1e6:,.1f} million operations",
            ),
        )
        return (
            Table(f"What {self.class_name} would be built with", ("value of", "value", "from", "meaning"), values),
            Table("What it would be trained with", ("value of", "value", "from"), training),
            Table("What it would cost", ("figure", "value"), sizes),
        )


def explain(config: ModelConfiguration, *, modality: str | Mapping[str, Any] | None = None) -> Explanation:
    """What a configuration would build.

    Args:
        config: The configuration.
        modality: What the raw data would be: a name, or a mapping with `name` and the codec's options, as in the zoo.

    Raises:
        TypeError: it is no `ModelConfiguration`.
        ConfigurationError: it cannot be built, with the reason that building it would give.

    Example:
        >>> config = ModelConfiguration(name="small", model_class="modelwright.generative.vae.VAE",
        ...                             input_dim=(8, 8, 1), hidden_dims=[32], output_dim=2)
        >>> explain(config).n_parameters
        4420
    """
    import jax
    import jax.numpy as jnp
    from flax import nnx

    from modelwright.generative.protocol import OFFERS, Batch
    from modelwright.generative.training.defaults import TrainingDefaults

    check_configuration(config)
    builder = model_types().builder_for(config.model_class)
    found: dict[str, Any] = {}

    def made() -> Any:
        if isinstance(builder, ExplainingBuilder):
            model, found["resolved"] = builder.explained(config, rngs=as_rngs(0))
        else:  # a plug-in that does not say what it made of its configuration
            model, found["resolved"] = builder.build(config, rngs=as_rngs(0)), ()
        sound(model, builder)
        if modality is not None:
            with_modality(model, modality, config)  # for what it refuses: sizes are those of the model inside
        return model

    model = nnx.eval_shape(made)
    defaults = TrainingDefaults.from_mapping(config.training_defaults)
    batch_size = defaults.settings.batch_size
    params = nnx.to_pure_dict(nnx.state(model, nnx.Param))
    parts = {str(name): sum(leaf.size for leaf in jax.tree.leaves(part)) for name, part in params.items()}
    discrete = model.levels is not None and model.levels > 2
    x = jax.ShapeDtypeStruct((batch_size, *model.example_shape), jnp.int32 if discrete else jnp.float32)
    cond = None
    if model.condition.n_classes:
        cond = jax.ShapeDtypeStruct((batch_size,), jnp.int32)
    elif model.condition.context_dim:
        cond = jax.ShapeDtypeStruct((batch_size, model.condition.context_dim), jnp.float32)
    graph, of_training, rest = nnx.split(model, nnx.Param, ...)

    def loss(of_training: Any, rest: Any, batch: Batch, key: Any) -> Any:
        model = nnx.merge(graph, of_training, rest, copy=True)
        return sum(
            objective.loss(model, batch, key, jnp.asarray(0)).value * objective.repeats / objective.every
            for objective in model.objectives()
        )

    key = jax.eval_shape(lambda: jax.random.key(0))
    try:
        flops = operations(jax.make_jaxpr(jax.grad(loss))(of_training, rest, Batch(x, cond), key))
    except CapabilityError:  # a model without a loss cannot be trained
        flops = None
    return Explanation(
        model_types().type_of(config.model_class),
        type(model).__name__,
        found["resolved"],
        parts,
        batch_size,
        4 * (4 if defaults.settings.ema is None else 5) * sum(parts.values()),
        flops,
        tuple(name for name in OFFERS if name in model.offers),
        _training(defaults, config),
        {"name": modality} if isinstance(modality, str) else modality,
    )


def _training(defaults: "TrainingDefaults", config: ModelConfiguration) -> "tuple[Resolved, ...]":
    from modelwright.generative.reading import Resolved
    from modelwright.generative.training.defaults import DURATIONS

    values = {name: getattr(defaults, name) for name in DURATIONS} | asdict(defaults.settings)
    given = config.training_defaults
    return tuple(
        Resolved(name, value, "training_defaults" if name in given else "default of the trainer")
        for name, value in values.items()
    )


def _options(modality: Mapping[str, Any]) -> str:
    options = ", ".join(f"{name} {_plain(value)}" for name, value in modality.items() if name != "name")
    return f"{modality['name']} ({options})" if options else str(modality["name"])


def _plain(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return " x ".join(map(str, value)) if value else "none"
    return str(value)
