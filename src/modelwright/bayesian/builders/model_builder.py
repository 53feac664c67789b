"""Composing a model from specifications, derived quantities, latent variables and a likelihood."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self, final, get_args

from modelwright.bayesian.builders.axes import BATCHES, joined
from modelwright.bayesian.builders.composition import Decoded, Derived, FromData, Part, check_levels, ordered
from modelwright.bayesian.builders.integrated_cells import integrated
from modelwright.bayesian.builders.model import COUNTS, PLATE, Entries, Model
from modelwright.bayesian.builders.specification import CELLS, COMPONENTS, GENES, AbstractParamSpec
from modelwright.bayesian.components.likelihoods import AbstractLikelihood
from modelwright.bayesian.components.mixture_likelihood import MixtureLikelihood
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

_TAKEN = (COUNTS, PLATE)


@final
class ModelBuilder:
    """Collects the parts of a model, in any order, and puts them together.

    Every `add_...` and `with_...` returns the builder itself; `build` checks the whole.

    Example:
        >>> from modelwright.bayesian.builders import BetaSpec, LogNormalSpec
        >>> from modelwright.bayesian.components import NegativeBinomialLikelihood
        >>> model = (ModelBuilder()
        ...     .add_param(BetaSpec("p", (), (1.0, 1.0)))
        ...     .add_param(LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True))
        ...     .add_derived("r", lambda p, mu: mu * (1 - p) / p, ["p", "mu"])
        ...     .with_likelihood(NegativeBinomialLikelihood())
        ...     .build())
        >>> [part.name for part in model.parts]
        ['p', 'mu', 'r']
    """

    def __init__(self) -> None:
        self._parts: list[Part] = []
        self._groups: dict[str, Any] = {}
        self._likelihood: AbstractLikelihood | None = None
        self._entries: Entries = "auto"
        self._integrate_out: str | None = None

    def add_param(self, spec: AbstractParamSpec) -> Self:
        """Add a parameter.

        Raises:
            ConfigurationError: its name is taken.
        """
        if not isinstance(spec, AbstractParamSpec):
            raise ConfigurationError(
                "not a specification", field="spec", expected='one such as BetaSpec("p", (), (1.0, 1.0))', got=spec
            )
        return self._add(spec)

    def add_derived(
        self,
        name: str,
        function: Callable[..., Any],
        depends_on: Sequence[str],
        *,
        dims: Iterable[str] | None = None,
    ) -> Self:
        """Add a quantity that is computed from others.

        Args:
            name: What it is called; a deterministic site of the model.
            function: Takes the values of `depends_on` in order. They are laid out to broadcast, cells first, genes
                last: a number per cell is (n_cells, 1) beside genes.
            depends_on: Names of parameters or other derived quantities, added before or after.
            dims: Axes of the result; all of those it depends on when left out. What is computed from values of batches
                is a value of batches, and one of cells where values of cells take part.
        """
        if isinstance(depends_on, str) or not all(isinstance(other, str) for other in depends_on):
            raise ConfigurationError(
                "not names", field=f"{name}.depends_on", expected='a list such as ["p", "mu"]', got=depends_on
            )
        if not callable(function):
            raise ConfigurationError("not a function", field=f"{name}.function", got=function)
        axes = None if dims is None else tuple(dims)
        return self._add(Derived(name, function, tuple(depends_on), axes))

    def add_statistic(self, name: str, statistic: Any) -> Self:
        """Add a number that is read off each cell's counts, such as its total, for derived quantities to use.

        Args:
            name: What derived quantities call it.
            statistic: A `SufficientStatistic` such as TOTAL_COUNT.
        """
        return self._add(FromData(name, statistic, (CELLS,)))

    def add_latent(self, group: Any) -> Self:
        """Add a latent variable of every cell with the decoder that turns it into parameters.

        Args:
            group: A `GroupedAmortizedGuide`, which the guide builder takes as well.
        """
        site = group.latent_spec.sample_site
        self._check_free(site, "give the latent variable another sample_site")
        self._groups[site] = group
        for name, per_gene in group.decoder.outputs_over_genes().items():
            self._add(Decoded(name, (CELLS, GENES) if per_gene else (CELLS,), site))
        return self

    def with_likelihood(
        self, likelihood: AbstractLikelihood, *, entries: Entries = "auto", integrate_out: str | None = None
    ) -> Self:
        """Say how counts follow from the parameters.

        Args:
            likelihood: How.
            entries: "auto" takes the compressed form where there is one, "dense" looks at every entry of the table,
                "compressed" refuses where there is none. The value is the same.
            integrate_out: Name of the capture probabilities of cells, to be integrated out; see `integrated_cells`.
        """
        if not isinstance(likelihood, AbstractLikelihood):
            raise ConfigurationError(
                "not a likelihood",
                field="likelihood",
                expected="one such as NegativeBinomialLikelihood()",
                got=likelihood,
            )
        if entries not in get_args(Entries):
            raise ConfigurationError(
                "not one of the choices", field="entries", expected=" or ".join(get_args(Entries)), got=entries
            )
        self._likelihood, self._entries, self._integrate_out = likelihood, entries, integrate_out
        return self

    def build(self) -> Model:
        """The model.

        Raises:
            ConfigurationError: there is no likelihood, a name is unknown, parts depend on each other in a circle, axes
                contradict each other, naming the part, or a compressed likelihood is asked for and there is none.
        """
        likelihood = self._likelihood
        if likelihood is None:
            raise ConfigurationError(
                "the model observes nothing",
                field="likelihood",
                todo="add .with_likelihood(NegativeBinomialLikelihood())",
            )
        parts = ordered(self._parts)
        dims = _all_dims(parts)
        for name in likelihood.parameters:
            if name not in dims:
                raise ConfigurationError(
                    f"{type(likelihood).__name__} needs {name!r}, and nothing of that name is in the model",
                    field="likelihood",
                    expected=", ".join(likelihood.parameters),
                    got=", ".join(dims) or None,
                    todo=f"add it by add_param or add_derived; {suggestion(name, dims)}",
                )
        check_levels(parts, dims)
        _check_components(dims, likelihood)
        lengths = {COMPONENTS: likelihood.n_components} if likelihood.n_components else {}
        model = Model(parts, dims, likelihood, entries=self._entries, groups=dict(self._groups), lengths=lengths)
        if self._entries == "compressed" and model.compressed_form is None:
            raise ConfigurationError(
                "there is no compressed likelihood for these parameters",
                field="entries",
                expected="auto or dense",
                got="compressed",
                todo="mixtures, and parameters that differ between cells and genes at once, look at every entry",
            )
        return model if self._integrate_out is None else integrated(model, self._integrate_out)

    def _add(self, part: Part) -> Self:
        self._check_free(part.name, "give every part of the model a name of its own")
        self._parts.append(part)
        return self

    def _check_free(self, name: Any, todo: str) -> None:
        """Refuse a name that is none, or that a parameter, a derived quantity or a latent variable has already."""
        if not isinstance(name, str) or not name.isidentifier() or name in _TAKEN:
            raise ConfigurationError(
                "not a usable name", field="name", expected=f"a name other than {', '.join(_TAKEN)}", got=name
            )
        if name in self._groups or any(other.name == name for other in self._parts):
            raise ConfigurationError(f"{name!r} is there already", field=name, todo=todo)


def _all_dims(parts: Sequence[Part]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for part in parts:
        if {CELLS, BATCHES} <= set(part.dims or ()):
            raise ConfigurationError(
                "every cell has one batch, and so no value for each of them",
                field=part.name,
                expected=f"{CELLS!r} or {BATCHES!r}",
                got=part.dims,
            )
        if isinstance(part, Derived) and part.dims is None:
            found[part.name] = joined(found[other] for other in part.depends_on)
        else:
            found[part.name] = joined([part.dims or ()])
            if isinstance(part, Derived):
                _check_rows(part, found)
            extra = {dim for other in part.depends_on for dim in found[other]} - set(found[part.name])
            if CELLS in found[part.name]:  # every cell knows its batch
                extra.discard(BATCHES)
            if extra and isinstance(part, AbstractParamSpec):
                raise ConfigurationError(
                    f"its prior depends on a parameter with the axis {sorted(extra)[0]!r}, which it has not itself",
                    field=part.name,
                    expected=f"shape_dims with {', '.join(sorted(extra))}",
                    got=part.shape_dims,
                )
    return found


def _check_rows(part: Derived, dims: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a derived quantity whose axes leave out the cells or the batches that it is computed from."""
    own = dims[part.name]
    for other in part.depends_on:
        for axis, each, rows, kept in (
            (CELLS, "cell", "cells", {CELLS}),
            (BATCHES, "batch", "batches", {CELLS, BATCHES}),
        ):
            if axis in dims[other] and not kept & set(own):
                raise ConfigurationError(
                    f"is computed from {other!r}, which every {each} has its own of, and its axes leave the {rows} out",
                    field=f"{part.name}.dims",
                    expected=f"axes with {axis!r}",
                    got=part.dims,
                    todo="leave dims out",
                )


def _check_components(dims: Mapping[str, tuple[str, ...]], likelihood: AbstractLikelihood) -> None:
    mixed = [name for name, axes in dims.items() if COMPONENTS in axes]
    if mixed and not likelihood.n_components:
        raise ConfigurationError(
            "differs between components, and the likelihood is no mixture",
            field=mixed[0],
            expected="MixtureLikelihood(..., components=...)",
            got=type(likelihood).__name__,
        )
    if isinstance(likelihood, MixtureLikelihood) and set(dims[likelihood.weights]) - {CELLS} != {COMPONENTS}:
        raise ConfigurationError(
            "the weights of a mixture are one for each component, and perhaps for each cell",
            field=likelihood.weights,
            expected=f"the axis {COMPONENTS!r}",
            got=dims[likelihood.weights],
            todo=f'such as DirichletSpec("{likelihood.weights}", ("{COMPONENTS}",), (1.0,))',
        )
