"""A built model: a plain NumPyro callable with three ways to run.

model(dims={"n_cells": 100, "n_genes": 20})    prior predictive: counts are drawn
model(counts)                                   all cells
model(counts, batch_size=256)                   a mini-batch, its likelihood and cell priors scaled up, unbiased
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

import jax.numpy as jnp
import numpyro

from modelwright.bayesian.builders.axes import (
    BATCHES,
    ORDER,
    axis_lengths,
    beside,
    check_batch_size,
    gathered,
    laid_out,
    of_their_cells,
)
from modelwright.bayesian.builders.composition import Decoded, Derived, FromData, Part
from modelwright.bayesian.builders.integrated_cells import IntegratedCells
from modelwright.bayesian.builders.model_picture import model_svg
from modelwright.bayesian.builders.prior_sampling import sample_prior
from modelwright.bayesian.builders.specification import CELLS, COMPONENTS, GENES, AbstractParamSpec
from modelwright.bayesian.components.likelihoods import AbstractLikelihood
from modelwright.bayesian.components.observed import ObservedCounts
from modelwright.bayesian.inference.data_models import AbstractDataModel, Init, IntegratedOut, Ready
from modelwright.bayesian.inference.model_sites import Site, find_sites
from modelwright.bayesian.inference.tracing import Call
from modelwright.core.errors import ConfigurationError

COUNTS = "counts"
PLATE = "cells"

Entries = Literal["auto", "dense", "compressed"]
"""Whether the likelihood looks at every entry of the table or at its distinct pairs."""


@final
@dataclass(frozen=True, eq=False)
class Model(AbstractDataModel):
    """A model composed of parameters, derived quantities and a likelihood.

    Args:
        parts: Every part after all it depends on.
        dims: Axes of every part, by name, in the one order.
        likelihood: How counts follow.
        entries: "auto" (compressed where the likelihood allows), "dense" (every entry is looked at) or "compressed".
        groups: Latent variables with their decoders, by sample site.
        lengths: Axes whose length is fixed, such as "n_components".
        integrated: Unknowns of cells that are integrated out; None where every unknown is a site.
    """

    parts: tuple[Part, ...]
    dims: Mapping[str, tuple[str, ...]]
    likelihood: AbstractLikelihood
    entries: Entries = "auto"
    groups: Mapping[str, Any] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    integrated: IntegratedCells | None = None

    @property
    def specs(self) -> tuple[AbstractParamSpec, ...]:
        """The parameters, in the order they are sampled."""
        return tuple(part for part in self.parts if isinstance(part, AbstractParamSpec))

    def own_dims(self, name: str) -> tuple[str, ...]:
        """Axes of a part's value in their order: a parameter's are its own, batches among them.

        () where a function returned axes of names that it alone knows the order of.
        """
        found = next((spec.dims for spec in self.specs if spec.name == name), None)
        if found is not None:
            return found
        return self.dims[name] if set(self.dims[name]) <= {BATCHES, *ORDER} else ()

    @property
    def has_components(self) -> bool:
        """Whether there is an axis of mixture components."""
        return COMPONENTS in self.lengths

    @property
    def tells_batches_apart(self) -> bool:
        """Whether a parameter of the likelihood differs between batches of cells."""
        return any(BATCHES in self.dims[name] for name in self.likelihood.parameters)

    @property
    def compressed_form(self) -> str | None:
        """Name of the compressed form of the likelihood, None when every entry of the table has to be looked at."""
        return self.likelihood.compressed_form({name: self.dims[name] for name in self.likelihood.parameters})

    def __call__(
        self,
        counts: Any = None,
        *,
        dims: Mapping[str, int] | None = None,
        batch_size: int | None = None,
    ) -> Any:
        """Run the model under NumPyro's effect handlers.

        Args:
            counts: Shape (n_cells, n_genes), or `ObservedCounts`; None to draw them.
            dims: Lengths of axes that neither the counts nor the builder know; all of them without counts.
            batch_size: Cells in a mini-batch; all of them when left out.

        Returns:
            The counts, observed or drawn, of the (mini-batch's) cells.

        Raises:
            ConfigurationError: a length is not known, or a mini-batch is larger than the cells are many.
        """
        data = None if counts is None else as_observed(counts)
        sizes = axis_lengths(self.specs, self.lengths, data, dims)
        check_batch_size(batch_size, sizes[CELLS])
        work = _Values(self, data)
        for part in self.parts:
            if isinstance(part, AbstractParamSpec) and not part.is_cell_specific:
                work.sample(part, sizes)
            if CELLS not in self.dims[part.name]:
                work.lay_out(part, sizes)
        decoders = {site: group.decoder_module(sizes, data) for site, group in self.groups.items()}
        priors = {site: group.latent_spec.prior() for site, group in self.groups.items()}
        plate = numpyro.plate(PLATE, sizes[CELLS], subsample_size=batch_size)
        with plate as index:
            work.cells = None if batch_size is None else index
            here = sizes if batch_size is None else {**sizes, CELLS: batch_size}
            for site, group in self.groups.items():
                z = numpyro.sample(site, priors[site])
                work.values.update(group.decode(decoders[site], z, work.batch))
            for part in self.parts:
                if isinstance(part, AbstractParamSpec) and part.is_cell_specific:
                    work.sample(part, here)
                if CELLS in self.dims[part.name]:
                    work.lay_out(part, here)
            form = None if self.entries == "dense" or batch_size is not None else self.compressed_form
            if data is None or form is None or not self._served_by(data.compressed, data.n_batches):
                observed = None if data is None else data.rows(work.cells)
                needed = {name: work.beside_cells(name) for name in self.likelihood.parameters}
                return numpyro.sample(COUNTS, self.likelihood.of_cells(needed, here[GENES]), obs=observed)
        looked_up = self.likelihood.of_single_cells(form)
        needed = {
            name: work.beside_cells(name) if name in looked_up else work.laid[name]
            for name in self.likelihood.parameters
        }
        numpyro.factor(COUNTS, self.likelihood.compressed_log_prob(form, needed, data.compressed))
        return data.dense

    def _served_by(self, compressed: Any, n_batches: int) -> bool:
        """Whether a compressed table (or None) keeps apart what the model does."""
        return compressed is not None and (not self.tells_batches_apart or compressed.n_batches == n_batches)

    def sites(self, counts: Any = None, *, dims: Mapping[str, int] | None = None) -> list[Site]:
        """Name, shape, support and plates of every site, found without computing anything.

        Args:
            counts: As for a run of the model.
            dims: As for a run of the model.
        """
        call = Call.of(() if counts is None else (as_observed(counts),), {} if dims is None else {"dims": dims})
        found = find_sites(self, call)
        return [site for group in (found.latent, found.deterministic, found.observed) for site in group.values()]

    def render(self) -> bytes:
        """The model as a plate diagram with all its unknowns, a whole SVG file."""
        if self.integrated is not None:
            return self.integrated.joint.render()
        return model_svg(self.parts, dict(self.dims), self.likelihood, tuple(self.groups))

    def made_ready(
        self,
        data: Any,
        guide: Any = None,
        *,
        batch_size: int | None = None,
        kwargs: Mapping[str, Any] | None = None,
        init: Init = "mode",
    ) -> Ready:
        """Counts compressed where that serves, and the guide beginning near the data; see `AbstractDataModel`."""
        from modelwright.bayesian.builders.readiness import made_ready  # which looks into models itself

        return made_ready(self, data, guide, batch_size=batch_size, kwargs=kwargs, init=init)

    def data_for(self, data: Any, guide: Any = None, *, batch_size: int | None = None) -> ObservedCounts:
        """Counts compressed where that serves; see `AbstractDataModel`."""
        from modelwright.bayesian.builders.readiness import observed_for  # which looks into models itself

        return observed_for(self, guide, data, batch_size=batch_size)[0]

    def with_all_unknowns(self) -> "Model":
        """The model with every unknown among its sites; see `AbstractDataModel`."""
        return self if self.integrated is None else self.integrated.joint

    @property
    def integrated_out(self) -> IntegratedOut | None:
        """Unknowns of cells that are drawn after a fit; see `AbstractDataModel`."""
        return None if self.integrated is None else self.integrated.unknowns(PLATE)

    def unseen(
        self, data: Any, guide: Any, like: ObservedCounts, *, rows: int | None = None
    ) -> tuple[Any, Iterator[ObservedCounts]]:
        """Counts of other cells, on the scale of those before; see `AbstractDataModel`."""
        from modelwright.bayesian.builders.unseen_cells import guide_of_unseen, unseen_cells  # look into models, too

        return guide_of_unseen(guide), unseen_cells(self, guide, data, like, rows=rows)

    def entry_by_entry(self) -> "Model":
        """The model with all its unknowns looking at every entry of the table."""
        return replace(self.with_all_unknowns(), entries="dense")

    def row_by_row(self) -> "Model":
        """The same model looking at every entry of the table, or at every cell where cells are integrated out."""
        return replace(self, entries="dense")


class _Values:
    """Everything computed so far in one run of a model."""

    def __init__(self, model: Model, data: ObservedCounts | None) -> None:
        self.model = model
        self.data = data
        self.cells: Any = None
        self.values: dict[str, Any] = {}
        self.laid: dict[str, Any] = {}

    @property
    def batch(self) -> Any:
        """Batch of the cells at hand, None without batches."""
        if self.data is None or self.data.batch is None or self.cells is None:
            return None if self.data is None else self.data.batch
        return jnp.take(self.data.batch, self.cells, axis=0)

    def sample(self, spec: AbstractParamSpec, sizes: Mapping[str, int]) -> None:
        """Sample a parameter from its prior."""
        arguments = {
            other: beside(self.values[other], self.model.own_dims(other), spec.dims, batch=self.batch)
            for other in spec.depends_on
        }
        self.values[spec.name] = sample_prior(spec, arguments, sizes)

    def beside_cells(self, name: str) -> Any:
        """A laid-out value to broadcast with values of cells: that of batches looked up by each cell's."""
        return of_their_cells(self.laid[name], self.batch) if BATCHES in self.model.dims[name] else self.laid[name]

    def lay_out(self, part: Part, sizes: Mapping[str, int]) -> None:
        """Compute what is not a parameter, and lay the value out."""
        name, dims, components = part.name, self.model.dims[part.name], self.model.has_components
        match part:
            case Derived():
                of_cells = CELLS in dims
                found = part.function(
                    *(self.beside_cells(other) if of_cells else self.laid[other] for other in part.depends_on)
                )
                try:
                    kept = gathered(found, dims, sizes, components=components)
                except ValueError as error:
                    raise ConfigurationError(
                        f"came out with shape {jnp.shape(found)}",
                        field=name,
                        expected=f"axes {', '.join(dims) or '(a single number)'}",
                        todo="let the function broadcast, or say its axes with dims=(...)",
                    ) from error
                self.values[name] = numpyro.deterministic(name, kept)
            case FromData():
                self.values[name] = self._from_data(part)
            case Decoded():
                numpyro.deterministic(name, self.values[name])
        own = self.model.own_dims(name)
        if BATCHES in own and self.batch is None:
            raise ConfigurationError(
                "has a value per batch, and the batches of the cells are not known",
                field=name,
                todo="give counts with batches: observe(counts, batch=...)",
            )
        self.laid[name] = laid_out(self.values[name], own, components=components)

    def _from_data(self, part: FromData) -> Any:
        if self.data is None:
            raise ConfigurationError(
                "is read off the counts, and there are none",
                field=part.name,
                todo="give counts, or put a parameter in its place to draw from the prior",
            )
        return self.data.of_cells(part.statistic.name, self.cells)


def as_observed(counts: Any) -> ObservedCounts:
    """Counts as models see them; what is that already stays as it is."""
    if isinstance(counts, ObservedCounts):
        return counts
    array = jnp.asarray(counts)
    if array.ndim != 2:
        raise ConfigurationError("not a table", field=COUNTS, expected="shape (n_cells, n_genes)", got=array.shape)
    return ObservedCounts(dense=array, n_cells=array.shape[0], n_genes=array.shape[1])
