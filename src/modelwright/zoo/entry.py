"""One configuration of the zoo, with the figure that it is expected to reach."""

from typing import Annotated, Any, final

from pydantic import BeforeValidator, Field, PlainSerializer

from modelwright.configuration import ModelConfiguration, Tags, Version, thawed
from modelwright.core.descriptions import AbstractDescription
from modelwright.core.errors import ConfigurationError
from modelwright.core.values import Refusal, to_float, to_text

METRICS = ("nats", "bits_per_dim", "nats_per_symbol")
"""nats per example, bits for each number of an example, nats for each symbol of a sequence; all held out, smaller is
better."""


def _not_negative(value: Any) -> float | None:
    number = None if value is None else to_float(value)
    if number is not None and number < 0:
        raise Refusal("a number of at least 0", "below 0")
    return number


@final
class Expected(AbstractDescription):
    """What an entry reaches when it is trained as it says.

    Args:
        metric: One of `METRICS`, on the part of the data that is reported on.
        value: The figure.
        tolerance: How much larger it may be.
        minutes: Wall time of the training on two cores.
        data: A built-in set, or the name of a file of one's own.
        construction_only: Why it is not trained here; the others are then left out.

    Example:
        >>> Expected(metric="nats", value=18.0, tolerance=0.5, minutes=1, data="digits").metric
        'nats'
    """

    metric: str | None = None
    value: Annotated[float | None, BeforeValidator(lambda value: None if value is None else to_float(value))] = None
    tolerance: Annotated[float | None, BeforeValidator(_not_negative)] = None
    minutes: Annotated[float | None, BeforeValidator(_not_negative)] = None
    data: str | None = None
    construction_only: str | None = None

    def model_post_init(self, context: Any, /) -> None:
        """The parts go together."""
        if self.construction_only is None:
            missing = next(
                (n for n in ("metric", "value", "tolerance", "minutes", "data") if getattr(self, n) is None), None
            )
            if missing is not None:
                raise ConfigurationError("is missing", field=missing, todo="or say why under construction_only")
            if self.metric not in METRICS:
                raise ConfigurationError(
                    "not accepted", field="metric", expected="one of " + ", ".join(METRICS), got=self.metric
                )


def _expected(value: Any) -> Expected:
    if isinstance(value, Expected):
        return value
    return Expected.from_mapping(value)


def _modality(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        raise Refusal("a name, or a mapping with a name and options")
    return value


@final
class ZooEntry(AbstractDescription):
    """One file of the zoo: a model configuration, and what belongs to it.

    Args:
        name: Of the entry, and of its file.
        model_class, input_dim, hidden_dims, output_dim, activation, dropout_rate, parameters, metadata, description,
            version, tags: As in `ModelConfiguration`.
        type: The family, for lists.
        modality: What the raw data are: a name, or a mapping with `name` and the codec's options.
        expected: The figure.
        category: The folder that it lies in.
    """

    name: str
    model_class: str
    type: str
    expected: Annotated[Expected, BeforeValidator(_expected)]
    description: Annotated[str, BeforeValidator(to_text)]
    version: Version = "1.0"
    input_dim: Any = None
    hidden_dims: Any = None
    output_dim: Any = None
    activation: Any = None
    dropout_rate: Any = None
    parameters: Annotated[Any, PlainSerializer(thawed)] = Field(default_factory=dict)
    metadata: Annotated[Any, PlainSerializer(thawed)] = Field(default_factory=dict)
    tags: Tags = ()
    modality: Annotated[Any, BeforeValidator(_modality)] = None
    category: str = ""

    @property
    def configuration(self) -> ModelConfiguration:
        """The model configuration in it."""
        own = {name for name in ModelConfiguration.model_fields if name in self.model_fields_set}
        return ModelConfiguration.from_mapping({name: getattr(self, name) for name in own}, source=self.name)
