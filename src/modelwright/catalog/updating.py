"""Taking new data into a trained run: what is inherited from the run and what the new one says of itself.

A model that can do so implements `fold_in`; the new run stands on its own and names its parent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from modelwright.catalog.plans import TrainingPlan
from modelwright.core.errors import ConfigurationError
from modelwright.runs.record import RunRecord

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class NewData:
    """Data to take into a trained run.

    Args:
        data: What `fold_in` takes.
        options: How they were loaded, everything included; kept with the new run, whose own updates inherit it.
        notes: Sentences about what was assumed or left out.
    """

    data: Any
    options: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UpdatePlan(Generic[Settings]):
    """A checked request to take new data into a trained run.

    Args:
        parent: The run.
        given: The `data_params` that were given, checked.
        training: Settings and parameters: the parent's where none were given.
    """

    parent: RunRecord
    given: dict[str, Any]
    training: TrainingPlan[Settings]


def inherited_training(run: RunRecord) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings and the parameters that a run was trained with.

    Raises:
        ConfigurationError: the run does not say.
    """
    settings, parameters = (run.manifest.configuration.get(name) for name in ("settings", "parameters"))
    if not isinstance(settings, Mapping) or not isinstance(parameters, Mapping):
        raise ConfigurationError(
            f"run {run.run_id} does not say how it was trained", field="run", todo="train it with modelwright train"
        )
    return dict(settings), dict(parameters)


def inherited_data_options(run: RunRecord) -> dict[str, Any]:
    """How the data of a run were loaded; empty for a run that was trained on data handed over in Python."""
    options = run.manifest.data.get("options")
    return dict(options) if isinstance(options, Mapping) else {}
