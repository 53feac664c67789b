"""Guides whose parameters a network computes from the data."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints

from modelwright.bayesian.components.amortizers import Amortizer
from modelwright.bayesian.components.guide_families import AbstractGuideFamily
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite
from modelwright.bayesian.components.networks import INVERSE_LINKS
from modelwright.bayesian.components.sufficient_statistics import TOTAL_COUNT, Axis, SufficientStatistic
from modelwright.core.errors import ConfigurationError

GENES = "n_genes"
_WIDE = 64
"""Statistics of more numbers get no straight line of their own beside the network; arbitrary."""


@dataclass(frozen=True)
class AmortizedGuide(AbstractGuideFamily):
    """Independent normal distributions whose parameters follow from a sufficient statistic s of the data.

        u ~ Normal(offset + slopes s + net_loc(s), softplus(softplus^-1(width) + net_scale(s)))

    Each row of the statistic serves one row of the variable: a cell for variables of single cells, a gene for variables
    over genes (its counts in all cells), the whole matrix for others. All rows share the network `{name}_amortizer`,
    `{name}$offset`, `{name}$slopes` and `{name}$width`, so their number does not grow with the cells. The offset and
    the slopes begin at the least-squares line through the site's start, the width at its mean spread.

    Args:
        amortizer: With outputs `loc` (real) and `scale` (positive, a standard deviation).

    Raises:
        ConfigurationError: an amortizer with other outputs; while the guide runs, data without the statistic.

    Example:
        >>> AmortizedGuide(Amortizer(TOTAL_COUNT, (32,))).amortizer.sufficient_statistic.name
        'total_count'
    """

    amortizer: Amortizer = field(default_factory=lambda: Amortizer(TOTAL_COUNT))

    def __post_init__(self) -> None:
        if not isinstance(self.amortizer, Amortizer):
            raise ConfigurationError(
                "not an amortizer", field="amortizer", expected="Amortizer(TOTAL_COUNT, (64, 64))", got=self.amortizer
            )
        if self.amortizer.kinds != {"loc": "real", "scale": "positive"}:
            raise ConfigurationError(
                "outputs that this guide cannot use: it is a normal distribution on the unconstrained scale, whatever "
                "the variable's support",
                field="amortizer.output_params",
                expected="('loc', 'scale')",
                got=self.amortizer.kinds,
            )

    @property
    def statistics(self) -> tuple[SufficientStatistic, ...]:
        """What it looks at in the data."""
        return (self.amortizer.sufficient_statistic,)

    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """See `AbstractGuideFamily.distribution`."""
        axis, data = row_axis(site), context.data
        inputs = self.amortizer.inputs(data, axis, context.cells)
        _check_lengths(site, data)
        starts, spreads = as_rows(site.starting_location(), site), as_rows(site.starting_spread(), site)
        width = starts.shape[-1]
        loc = numpyro.param(f"{site.name}$offset", starts.mean(axis=0))
        if inputs.shape[-1] <= _WIDE:
            slopes = numpyro.param(
                f"{site.name}$slopes", lambda key: _straight_line(self.amortizer.inputs(data, axis), starts)
            )
            loc = loc + inputs @ slopes
        widths = numpyro.param(f"{site.name}$width", spreads.mean(axis=0), constraint=constraints.softplus_positive)
        net = self.amortizer.raw_outputs(f"{site.name}_amortizer", inputs, width)
        scale = jax.nn.softplus(INVERSE_LINKS["positive"](widths) + net["scale"])
        loc, scale = (from_rows(part, site) for part in (loc + net["loc"], scale))
        return dist.Normal(loc, scale).to_event(len(site.unconstrained_shape))


def row_axis(site: GuideSite) -> Axis:
    """What a row of the statistic is for this variable.

    Genes need a number each: a simplex over genes has one fewer and looks at the whole.

    Example:
        >>> mu = GuideSite("mu", constraints.positive, dist.biject_to(constraints.positive), (3,), ("n_genes",))
        >>> row_axis(mu)
        'genes'
    """
    if site.n_units is not None:
        return "cells"
    return "genes" if _gene_position(site) is not None else "whole"


def as_rows(parameter: Any, site: GuideSite) -> Any:
    """A parameter of shape `site.parameter_shape` as (n_rows, numbers per row)."""
    match row_axis(site):
        case "cells":
            return jnp.reshape(parameter, (site.n_units, site.size))
        case "genes":
            first = jnp.moveaxis(parameter, _gene_position(site), 0)
            return jnp.reshape(first, (first.shape[0], -1))
        case _:
            return jnp.reshape(parameter, (1, site.size))


def from_rows(rows: Any, site: GuideSite) -> Any:
    """The way back, for a mini-batch's rows too: the cells (where there are) + the site's unconstrained shape."""
    shape = site.unconstrained_shape
    match row_axis(site):
        case "cells":
            return jnp.reshape(rows, (rows.shape[0], *shape))
        case "genes":
            at = _gene_position(site)
            others = tuple(length for k, length in enumerate(shape) if k != at)
            return jnp.moveaxis(jnp.reshape(rows, (shape[at], *others)), 0, at)
        case _:
            return jnp.reshape(rows, shape)


def _gene_position(site: GuideSite) -> int | None:
    if GENES not in site.axes:
        return None
    at = site.axes.index(GENES)
    return at if site.unconstrained_shape[at] == site.event_shape[at] else None


def _check_lengths(site: GuideSite, data: Any) -> None:
    genes = None if row_axis(site) != "genes" else site.unconstrained_shape[_gene_position(site)]
    for what, needed, there in (("cells", site.n_units, data.n_cells), ("genes", genes, data.n_genes)):
        if needed is not None and needed != there:
            raise ConfigurationError(
                f"has another number of {what} than the data", field=site.name, expected=str(there), got=needed
            )


def _straight_line(inputs: Any, starts: Any) -> Any:
    """Slopes of the least-squares line from inputs (n_rows, n_inputs) to starts (n_rows, width)."""
    centred = inputs - inputs.mean(axis=0)
    spread = centred.T @ centred / len(inputs)
    with_starts = centred.T @ (starts - starts.mean(axis=0)) / len(inputs)
    # inputs have variance 1 or are constant; the small addition decides for slope 0 where they say nothing
    return jnp.linalg.solve(spread + 1e-4 * jnp.eye(len(spread)), with_starts)
