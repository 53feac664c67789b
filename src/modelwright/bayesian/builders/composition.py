"""What a model is composed of besides parameters, and the order in which everything is computed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from modelwright.bayesian.builders.specification import CELLS, AbstractParamSpec
from modelwright.bayesian.components.sufficient_statistics import SufficientStatistic
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion


@dataclass(frozen=True)
class Derived:
    """A quantity computed from others.

    Args:
        name: Its deterministic site.
        function: Takes the laid-out values of `depends_on`, in order.
        depends_on: Names of parameters or of other derived quantities.
        dims: Its axes; those of what it depends on when left out.
    """

    name: str
    function: Callable[..., Any]
    depends_on: tuple[str, ...]
    dims: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Decoded:
    """A quantity that the decoder of a latent variable puts out.

    Args:
        name: Its deterministic site.
        dims: Its axes, the cells first.
        latent: The latent variable's sample site.
    """

    name: str
    dims: tuple[str, ...]
    latent: str

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Nothing that is looked up by name."""
        return ()


@dataclass(frozen=True)
class FromData:
    """A quantity of each cell that is read off the data, such as its total count.

    Args:
        name: What derived quantities call it.
        statistic: What of each cell's counts.
        dims: Its axes.
    """

    name: str
    statistic: SufficientStatistic
    dims: tuple[str, ...]

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Nothing."""
        return ()


Part = AbstractParamSpec | Derived | Decoded | FromData


def ordered(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Every part after all it depends on; otherwise in the order given.

    Raises:
        ConfigurationError: a name given twice, an unknown name, or a circle, naming the parts.
    """
    by_name: dict[str, Part] = {}
    for part in parts:
        if part.name in by_name:
            raise ConfigurationError(
                f"{part.name!r} is there already", field=part.name, todo="give every parameter a name of its own"
            )
        by_name[part.name] = part
    for part in parts:
        check_known(part.name, part.depends_on, by_name)
    try:
        TopologicalSorter({part.name: part.depends_on for part in parts}).prepare()
    except CycleError as error:
        circle = " -> ".join(reversed(error.args[1]))
        raise ConfigurationError(
            "these depend on each other in a circle", field=error.args[1][0], got=circle, todo="cut the circle"
        ) from error

    return tuple(sorted(parts, key=lambda part: _depth(part.name, by_name)))


def _depth(name: str, by_name: Mapping[str, Part]) -> int:
    below = [_depth(other, by_name) for other in by_name[name].depends_on]
    return 1 + max(below, default=-1)


def check_known(name: str, needed: Iterable[str], known: Mapping[str, Any]) -> None:
    """Refuse a dependency on something that is not there."""
    for other in needed:
        if other not in known:
            raise ConfigurationError(
                f"depends on {other!r}, which is no parameter of the model",
                field=name,
                todo=suggestion(other, known),
            )


def check_levels(parts: Sequence[Part], dims: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a parameter outside the plate of cells whose prior depends on a quantity of single cells.

    Args:
        parts: The parts of the model.
        dims: Axes of each, by name.
    """
    of_cells = {part.name for part in parts if CELLS in dims[part.name]}
    for part in parts:
        if isinstance(part, AbstractParamSpec) and not part.is_cell_specific:
            for other in part.depends_on:
                if other in of_cells:
                    raise ConfigurationError(
                        f"its prior depends on {other!r}, which every cell has its own of",
                        field=part.name,
                        expected="a parameter of single cells, or a prior without one",
                        todo=f'give {part.name} the axis "n_cells", or {other} none',
                    )
