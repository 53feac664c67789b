"""What a specification of a parameter is: a name, its axes, a prior and perhaps a guide family; checked when made."""

import keyword
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from numpyro.distributions import biject_to, constraints
from numpyro.distributions.transforms import Transform

from modelwright.bayesian.components.guide_families import AbstractGuideFamily
from modelwright.core.errors import ConfigurationError

CELLS, GENES, COMPONENTS = "n_cells", "n_genes", "n_components"

Argument = float | str | tuple[Any, ...]
"""An argument of a prior: a number, an array as nested tuples, or the name of another parameter."""


@dataclass(frozen=True)
class AbstractParamSpec(ABC):
    """A parameter: what it is called, over which axes it runs, and its prior.

    Args:
        name: Its sample site.
        shape_dims: Names of its axes, () for a single number: "n_cells", "n_genes", or any other name whose length the
            model is told. "n_cells" comes first.
        default_params: Arguments of the prior in the order of `argument_names`. Each is a number, an array that
            broadcasts to the parameter's shape, or the name of another parameter (a hierarchy).
        is_gene_specific: Whether it runs over genes; read off `shape_dims` when left out.
        is_cell_specific: Whether it runs over cells, and so lies inside the plate of cells; likewise.
        is_mixture: Whether every component of a mixture has its own; adds the axis "n_components".
        guide_family: How it is inferred; the guide builder's default when left out.

    Raises:
        ConfigurationError: naming the specification and what contradicts what.
    """

    name: str
    shape_dims: tuple[str, ...]
    default_params: tuple[Argument, ...]
    is_gene_specific: bool | None = None
    is_cell_specific: bool | None = None
    is_mixture: bool = False
    guide_family: AbstractGuideFamily | None = None

    argument_names: ClassVar[tuple[str, ...]]
    """Arguments of the prior, in order."""
    argument_constraints: ClassVar[Mapping[str, constraints.Constraint]]
    """What each may be."""
    support_of_one: ClassVar[constraints.Constraint]
    """Support of the prior's event (a number, or a vector of the last axis)."""

    def __post_init__(self) -> None:
        _check_name(self.name)
        object.__setattr__(self, "shape_dims", _checked_dims(self.name, self.shape_dims))
        object.__setattr__(self, "default_params", self._checked_arguments())
        for flag, axis in (("is_gene_specific", GENES), ("is_cell_specific", CELLS)):
            given, found = getattr(self, flag), axis in self.shape_dims
            if given is not None and bool(given) != found:
                has = "has" if found else "has not"
                raise ConfigurationError(
                    f"{flag}={given} contradicts shape_dims={self.shape_dims}, which {has} {axis}",
                    field=self.name,
                    todo=f"leave {flag} out, or change shape_dims",
                )
            object.__setattr__(self, flag, found)
        if self.guide_family is not None and not isinstance(self.guide_family, AbstractGuideFamily):
            raise ConfigurationError(
                "not a guide family",
                field=f"{self.name}.guide_family",
                expected="an instance such as MeanFieldGuide() or LowRankGuide(rank=10)",
                got=self.guide_family,
            )
        if self.support_of_one.event_dim and not self.event_dims:
            raise ConfigurationError(
                f"a {type(self).__name__} is a vector and needs an axis besides the cells",
                field=self.name,
                expected='shape_dims such as ("n_components",)',
                got=self.shape_dims,
            )

    @abstractmethod
    def distribution(self, *arguments: Any) -> dist.Distribution:
        """The prior of a single number (or of a vector along the last axis), batched over what the arguments bring."""

    @property
    def support(self) -> constraints.Constraint:
        """Values the parameter can take."""
        return self.support_of_one

    @property
    def bijector(self) -> Transform:
        """From the real numbers onto the support."""
        return biject_to(self.support_of_one)

    @property
    def arg_constraints(self) -> dict[str, constraints.Constraint]:
        """What the arguments of the prior may be, by name."""
        return dict(self.argument_constraints)

    @property
    def dims(self) -> tuple[str, ...]:
        """All axes, in the order cells, components, others."""
        if not self.is_mixture or COMPONENTS in self.shape_dims:
            return self.shape_dims
        at = 1 if self.is_cell_specific else 0
        return (*self.shape_dims[:at], COMPONENTS, *self.shape_dims[at:])

    @property
    def event_dims(self) -> tuple[str, ...]:
        """The axes of one unit: all but the cells."""
        return tuple(dim for dim in self.dims if dim != CELLS)

    @property
    def depends_on(self) -> tuple[str, ...]:
        """Names of the parameters that its prior's arguments are."""
        return tuple(argument for argument in self.default_params if isinstance(argument, str))

    def event_shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Shape of one unit for these lengths of the axes."""
        return tuple(sizes[dim] for dim in self.event_dims)

    def prior(self, values: Mapping[str, Any], sizes: Mapping[str, int]) -> dist.Distribution:
        """The prior of one unit, all of its axes an event.

        Args:
            values: Parameters that the arguments name.
            sizes: Length of every axis.

        Returns:
            Batch shape (), or that of the cells where an argument is a parameter of single cells.
        """
        shape = self.event_shape(sizes)
        arguments = [values[part] if isinstance(part, str) else np.asarray(part, float) for part in self.default_params]
        if self.support_of_one.event_dim:
            arguments = [
                jnp.broadcast_to(part, jnp.broadcast_shapes(jnp.shape(part), shape[-1:])) for part in arguments
            ]
        one = self.distribution(*arguments)
        vector = len(one.event_shape)
        batch = shape[: len(shape) - vector]
        lead = one.batch_shape[: max(0, len(one.batch_shape) - len(batch))]
        return one.expand((*lead, *batch)).to_event(len(batch))

    def _checked_arguments(self) -> tuple[Argument, ...]:
        given, needed = self.default_params, self.argument_names
        if isinstance(given, str) or not isinstance(given, Sequence | np.ndarray) or len(given) != len(needed):
            raise ConfigurationError(
                "not the arguments of this prior",
                field=f"{self.name}.default_params",
                expected=f"({', '.join(needed)})",
                got=given,
            )
        found = tuple(_plain(f"{self.name}.{name}", part) for name, part in zip(needed, given, strict=True))
        for name, part in zip(needed, found, strict=True):
            if part == self.name:
                raise ConfigurationError("the prior of a parameter cannot depend on itself", field=self.name)
            if not isinstance(part, str) and not bool(np.all(self.argument_constraints[name](np.asarray(part, float)))):
                raise ConfigurationError(
                    "not usable",
                    field=f"{self.name}.{name}",
                    expected=_in_words(self.argument_constraints[name]),
                    got=part,
                )
        return found


def _plain(field: str, argument: Any) -> Argument:
    """A number, the name of a parameter, or an array as nested tuples, which compare and do not change."""
    if isinstance(argument, str):
        return argument
    if isinstance(argument, Real) and not isinstance(argument, bool):
        value = float(argument)
        if np.isfinite(value):
            return value
    elif not isinstance(argument, bool) and argument is not None:
        try:
            array = np.asarray(argument, float)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        if array.size and np.isfinite(array).all():
            return _as_tuples(array.tolist())
    raise ConfigurationError(
        "not usable", field=field, expected="a finite number, an array, or a parameter's name", got=argument
    )


def _as_tuples(nested: Any) -> Any:
    return tuple(_as_tuples(part) for part in nested) if isinstance(nested, list) else nested


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        raise ConfigurationError(
            "not a usable name of a parameter", field="name", expected="a name such as 'mu' or 'p_capture'", got=name
        )


def _checked_dims(name: str, dims: Any) -> tuple[str, ...]:
    field = f"{name}.shape_dims"
    if isinstance(dims, str):
        raise ConfigurationError("a text", field=field, expected=f"a tuple such as ({dims!r},)", got=dims)
    if not isinstance(dims, Sequence) or not all(isinstance(dim, str) and dim.isidentifier() for dim in dims):
        raise ConfigurationError("not usable", field=field, expected='names of axes, such as ("n_genes",)', got=dims)
    found = tuple(dims)
    if len(set(found)) < len(found):
        raise ConfigurationError("an axis twice", field=field, expected="every axis once", got=found)
    if CELLS in found[1:]:
        raise ConfigurationError("the cells come first", field=field, expected=f"({CELLS!r}, ...)", got=found)
    return found


def _in_words(constraint: constraints.Constraint) -> str:
    if constraint is constraints.positive:
        return "a number above 0"
    return "a finite number" if constraint is constraints.real else str(constraint)
