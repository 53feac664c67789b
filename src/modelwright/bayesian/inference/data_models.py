"""Models that make data ready for themselves and their guides before anything is compiled."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Ready(NamedTuple):
    """What a fit runs.

    Args:
        guide: The guide, with a place to begin; None where none was given.
        data: The data, as model and guide take them.
        start: Latent site -> value near the bulk of the posterior, for sites of which moments of the data say one.
        notes: What was decided and why, sentences.
        learning_rate: Steps that suit a guide which begins near the mode; None where it begins anywhere.
    """

    guide: Callable[..., Any] | None
    data: Any
    start: Mapping[str, Any]
    notes: tuple[str, ...] = ()
    learning_rate: float | None = None


class AbstractDataModel(ABC):
    """A model that makes data ready; `svi`, `nuts` and `laplace` ask it to before they begin."""

    @abstractmethod
    def made_ready(self, data: Any, guide: Callable[..., Any] | None = None, *, batch_size: int | None = None) -> Ready:
        """Data as the model takes them, and the guide with a place to begin.

        Args:
            data: As a person has them.
            guide: The guide, where there is to be one.
            batch_size: Rows of a mini-batch; None for all.
        """

    @abstractmethod
    def entry_by_entry(self) -> Callable[..., Any]:
        """A model of the same density that observes its data one by one, where this one may sum them up."""


def observing_one_by_one(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model of the same density that observes its data one by one, as far as the model can say of one."""
    return model.entry_by_entry() if isinstance(model, AbstractDataModel) else model
