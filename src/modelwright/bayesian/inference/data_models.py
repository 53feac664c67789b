"""Models that make data ready for themselves and their guides before anything is compiled."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
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
    def made_ready(
        self,
        data: Any,
        guide: Callable[..., Any] | None = None,
        *,
        batch_size: int | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> Ready:
        """Data as the model takes them, and the guide with a place to begin.

        Args:
            data: As a person has them.
            guide: The guide, where there is to be one.
            batch_size: Rows of a mini-batch; None for all.
            kwargs: Keyword arguments that the model will be called with.
        """

    @abstractmethod
    def data_for(self, data: Any, guide: Callable[..., Any] | None = None, *, batch_size: int | None = None) -> Any:
        """Data as the model and a guide take them, without a search for a place to begin; arguments as before."""

    @abstractmethod
    def unseen(self, data: Any, guide: Any, like: Any, *, rows: int | None = None) -> tuple[Any, Iterator[Any]]:
        """A guide for data that it was not fitted to, and such data as the model takes them, some rows at a time.

        Args:
            data: New data, as a person has them.
            guide: The guide as it was fitted.
            like: The data that it was fitted to, as the model took them.
            rows: Rows of a part; as many as are held well when left out.

        Raises:
            DataError: the new data are not of the kind of the old.
        """

    @abstractmethod
    def entry_by_entry(self) -> Callable[..., Any]:
        """A model of the same density that observes its data one by one, where this one may sum them up."""


def observing_one_by_one(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model of the same density that observes its data one by one, as far as the model can say of one."""
    return model.entry_by_entry() if isinstance(model, AbstractDataModel) else model


def data_as_fitted(
    model: Callable[..., Any], data: Any, guide: Callable[..., Any] | None = None, *, batch_size: int | None = None
) -> tuple[Any, ...]:
    """Positional arguments of a model as a fit had them, for a fit that is read back."""
    if isinstance(model, AbstractDataModel):
        data = model.data_for(data, guide, batch_size=batch_size)
    return data if isinstance(data, tuple) else (data,)
