"""What the trainer does when nothing else is said: the training defaults of the configuration a model was made from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.core.values import Refusal, to_float, to_integer
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.training.settings import TrainingSettings

DURATIONS = ("steps", "epochs", "patience")
SETTING_NAMES = tuple(each.name for each in fields(TrainingSettings))
TRAINING_DEFAULTS = (*DURATIONS, *SETTING_NAMES)
"""What `metadata.training_defaults` may hold."""


@dataclass(frozen=True)
class TrainingDefaults:
    """Settings, and for how long.

    Args:
        settings: How to train.
        steps: Steps in all, or
        epochs: rounds through the examples, by each objective; None where the configuration says neither. A round has
            whole batches only: of 127 examples in batches of 64, each round looks at 64, drawn anew.
        patience: Looks at held-out data without a smaller loss before it ends.
    """

    settings: TrainingSettings = field(default_factory=TrainingSettings)
    steps: int | None = None
    epochs: float | None = None
    patience: int | None = None

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> "TrainingDefaults":
        """From a configuration's `metadata.training_defaults`.

        Raises:
            ConfigurationError: a name is unknown (the nearest is given), or a value is not accepted.

        Example:
            >>> TrainingDefaults.from_mapping({"epochs": 2, "batch_size": 32}).steps_for(100)
            6
        """
        for name in values:
            if name not in TRAINING_DEFAULTS:
                raise ConfigurationError(
                    "no such training setting",
                    field=f"metadata.training_defaults.{name}",
                    todo=suggestion(name, TRAINING_DEFAULTS),
                )
        if values.get("steps") is not None and values.get("epochs") is not None:
            raise ConfigurationError(
                "steps and epochs at once", field="metadata.training_defaults.epochs", todo="give one of the two"
            )
        settings = TrainingSettings(**{name: values[name] for name in SETTING_NAMES if name in values})
        return cls(
            settings,
            _positive(values, "steps", to_integer),
            _positive(values, "epochs", to_float),
            _positive(values, "patience", to_integer),
        )

    @classmethod
    def of(cls, model: AbstractGenerativeModel) -> "TrainingDefaults":
        """Those of the configuration that a model was made from."""
        if model.recipe is None:
            return cls()
        values = dict(ModelConfiguration.from_mapping(json.loads(model.recipe)["configuration"]).training_defaults)
        if values.get("schedule", TrainingSettings.schedule) == "constant":
            values.pop("final_rate", None)  # accepted once: stored models have it, and it was read by nobody
        return cls.from_mapping(values)

    def steps_for(self, n_examples: int) -> int:
        """The steps for so many examples.

        Raises:
            ConfigurationError: neither steps nor epochs are known.
        """
        if self.steps is not None:
            return self.steps
        if self.epochs is None:
            raise ConfigurationError("for how long?", field="steps", expected="a whole number of at least 1")
        return max(round(self.epochs * (n_examples // min(self.settings.batch_size, n_examples))), 1)


def _positive(values: Mapping[str, Any], name: str, convert: Any) -> Any:
    value = values.get(name)
    if value is None:
        return None
    try:
        number = convert(value)
    except Refusal:
        number = 0
    if number <= 0:
        raise ConfigurationError(
            "not accepted", field=f"metadata.training_defaults.{name}", expected="a number above 0", got=value
        )
    return number
