"""A checked request to train: what is asked before any work is done."""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modelwright.catalog.parameters import ParameterValue

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class TrainingPlan(Generic[Settings]):
    """A checked request to train.

    Args:
        settings: How long and how carefully, of the kind the model's family has.
        parameters: The model's own `train_params` that have a value.
        keep: How many complete runs to keep afterwards; None keeps all.
        data_options: How the data were loaded, kept with the run.
    """

    settings: Settings
    parameters: dict[str, ParameterValue]
    keep: int | None = None
    data_options: dict[str, Any] = field(default_factory=dict)
