"""A built guide: a plain NumPyro callable with the arguments of its model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpyro

from modelwright.bayesian.builders.axes import axis_lengths, check_batch_size
from modelwright.bayesian.builders.model import PLATE, as_observed
from modelwright.bayesian.builders.specification import CELLS, AbstractParamSpec
from modelwright.bayesian.components.guide_families import AbstractGuideFamily
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite, Start
from modelwright.bayesian.components.joint_low_rank import joint_groups
from modelwright.bayesian.components.setup_guide import sample_unit


@dataclass(frozen=True, eq=False)
class Guide:
    """A guide composed of one family per parameter.

    Args:
        specs: The parameters, each after those its family conditions on.
        families: Family of each, by name.
        groups: Latent variables with their encoders, by sample site.
        lengths: Axes whose length is fixed, such as "n_components".
        starts: Where each begins, by name; where a family says so itself when left out.
    """

    specs: tuple[AbstractParamSpec, ...]
    families: Mapping[str, AbstractGuideFamily]
    groups: Mapping[str, Any] = field(default_factory=dict)
    lengths: Mapping[str, int] = field(default_factory=dict)
    starts: Mapping[str, Start] = field(default_factory=dict)

    def starting_at(self, starts: Mapping[str, Start]) -> "Guide":
        """The same guide, beginning elsewhere."""
        return replace(self, starts={**self.starts, **starts})

    def __call__(
        self,
        counts: Any = None,
        *,
        dims: Mapping[str, int] | None = None,
        batch_size: int | None = None,
    ) -> dict[str, Any]:
        """Run the guide under NumPyro's effect handlers.

        Args:
            counts: As for the model.
            dims: As for the model.
            batch_size: As for the model.

        Returns:
            Parameter -> its value.

        Raises:
            ConfigurationError: a length is not known, or a mini-batch is larger than the cells are many.
        """
        data = None if counts is None else as_observed(counts)
        sizes = axis_lengths(self.specs, self.lengths, data, dims)
        check_batch_size(batch_size, sizes[CELLS])
        plate = numpyro.plate(PLATE, sizes[CELLS], subsample_size=batch_size)
        with plate as index:  # parameters are registered outside of it, and need to know which cells there are
            cells = None if batch_size is None else index
        context = GuideContext(cells=cells, data=data)
        values: dict[str, Any] = {}
        for specs in self.units():
            sites = [self.site(spec, sizes) for spec in specs]
            found, context = sample_unit(specs, self.families[specs[0].name], sites, context, plate)
            values.update(found)
        for site_name, group in self.groups.items():
            variational = group.encode(context)
            with plate:
                values[site_name] = numpyro.sample(site_name, variational)
        return values

    def units(self) -> list[tuple[AbstractParamSpec, ...]]:
        """What is drawn at once, in turn: a parameter, or all parameters of a joint family's group."""
        together = {names[0]: names for names in joint_groups(self.families).values()}
        later = {name for names in together.values() for name in names[1:]}
        by_name = {spec.name: spec for spec in self.specs}
        return [
            tuple(by_name[name] for name in together.get(spec.name, (spec.name,)))
            for spec in self.specs
            if spec.name not in later
        ]

    def site(self, spec: AbstractParamSpec, sizes: Mapping[str, int]) -> GuideSite:
        """A parameter as guide families see it."""
        return GuideSite(
            name=spec.name,
            support=spec.support,
            bijector=spec.bijector,
            event_shape=spec.event_shape(sizes),
            axes=spec.event_dims,
            n_units=sizes[CELLS] if spec.is_cell_specific else None,
            start=self.starts.get(spec.name, Start()),
        )
