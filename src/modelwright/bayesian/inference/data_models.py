"""Models that make data ready for themselves and their guides before anything is compiled."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from modelwright.core.errors import ConfigurationError

Init = Literal["mode", "pathfinder"]
"""Where a fit begins: at the mode, or at the best normal distribution along the climb to it (see `pathfinder`), which
lies in the bulk of the posterior also where the mode does not."""


def check_init(init: Any, *, none: bool = False) -> None:
    """Refuse what is no place to begin."""
    if not (init in get_args(Init) or (none and init is None)):
        raise ConfigurationError("not one of the choices", field="init", expected=" or ".join(get_args(Init)), got=init)


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


class IntegratedOut(NamedTuple):
    """Unknowns that a model has integrated out, and how they are drawn given the others.

    Args:
        dims: Their names -> names of their dimensions.
        needs: Sites of the model that they are drawn given.
        draw: Function of draws of these sites, shape (n, ...) each, of the model's positional arguments and of a seed;
            returns draws of the unknowns, shape (n, ...).
    """

    dims: Mapping[str, tuple[str, ...]]
    needs: tuple[str, ...]
    draw: Callable[[Mapping[str, np.ndarray], tuple[Any, ...], int], dict[str, np.ndarray]]


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
        init: Init = "mode",
    ) -> Ready:
        """Data as the model takes them, and the guide with a place to begin.

        Args:
            data: As a person has them.
            guide: The guide, where there is to be one.
            batch_size: Rows of a mini-batch; None for all.
            kwargs: Keyword arguments that the model will be called with.
            init: Where the guide begins.
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
        """A model of the same density that observes its data one by one, where this one may sum them up.

        All unknowns are sites of it, also those that this model has integrated out.
        """

    @abstractmethod
    def row_by_row(self) -> Callable[..., Any]:
        """A model of the same sites that observes its data one by one, or row by row where rows are integrated out."""

    @abstractmethod
    def with_all_unknowns(self) -> Callable[..., Any]:
        """The model with those unknowns among its sites that it has integrated out: itself, where there are none."""

    @property
    def integrated_out(self) -> IntegratedOut | None:
        """Unknowns that are no sites of the model since it has integrated them out; None without any."""
        return None


def observing_one_by_one(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model of the same density that observes its data one by one, as far as the model can say of one."""
    return model.entry_by_entry() if isinstance(model, AbstractDataModel) else model


def observing_row_by_row(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model of the same sites that observes its data one by one or row by row, as far as the model can say of one."""
    return model.row_by_row() if isinstance(model, AbstractDataModel) else model


def with_all_unknowns(model: Callable[..., Any]) -> Callable[..., Any]:
    """A model of the same data with every unknown among its sites, those too that it has integrated out."""
    return model.with_all_unknowns() if isinstance(model, AbstractDataModel) else model


def integrated_out_of(model: Callable[..., Any]) -> IntegratedOut | None:
    """Unknowns that a model has integrated out; None without any."""
    return model.integrated_out if isinstance(model, AbstractDataModel) else None


def names_integrated_out(model: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the unknowns that a model has integrated out."""
    hidden = integrated_out_of(model)
    return () if hidden is None else tuple(hidden.dims)


def drawn_with_integrated(
    model: Callable[..., Any],
    args: tuple[Any, ...],
    draw: Callable[[Collection[str] | None], dict[str, np.ndarray]],
    sites: Collection[str] | None,
    seed: int,
) -> dict[str, np.ndarray]:
    """Draws of a fit, with those of the unknowns that its model has integrated out: exact given the others.

    Args:
        model: The model.
        args: Its positional arguments.
        draw: Draws of the model's own sites: of those named, or of all.
        sites: What is wanted; everything when left out.
        seed: Seed of the unknowns' draws.

    Returns:
        Site -> draws, shape (n, ...).
    """
    hidden = integrated_out_of(model)
    if hidden is None or (sites is not None and not set(sites) & set(hidden.dims)):
        return draw(sites)
    own = None if sites is None else [name for name in sites if name not in hidden.dims]
    found = draw(None if own is None else [*own, *hidden.needs])
    kept = found if own is None else {name: values for name, values in found.items() if name in own}
    more = hidden.draw(found, args, seed)
    return {**kept, **{name: values for name, values in more.items() if sites is None or name in sites}}


def data_as_fitted(
    model: Callable[..., Any], data: Any, guide: Callable[..., Any] | None = None, *, batch_size: int | None = None
) -> tuple[Any, ...]:
    """Positional arguments of a model as a fit had them, for a fit that is read back."""
    if isinstance(model, AbstractDataModel):
        data = model.data_for(data, guide, batch_size=batch_size)
    return data if isinstance(data, tuple) else (data,)
