"""Which distribution guides which parameter: any specification with any family, and pairs of one's own.

    @setup_guide.register(BetaSpec, MyFamily)
    def _(spec, family, site, context):
        return unconstrained(dist.Beta(...), site)      # or any distribution of u

`setup_guide` is dispatched on the classes of the specification and of the family. The pair (object,
AbstractGuideFamily), which is there from the beginning, lets the family build a base distribution from support and
axes alone; so there are no holes.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any, final

import numpyro
import numpyro.distributions as dist
from multipledispatch import Dispatcher

from modelwright.bayesian.components.conditional_guide import remembered
from modelwright.bayesian.components.guide_families import AbstractGuideFamily
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite
from modelwright.bayesian.components.joint_low_rank import AbstractJointGuideFamily, sample_jointly
from modelwright.core.errors import ConfigurationError

SetUp = Callable[[Any, Any, GuideSite, GuideContext], dist.Distribution]
"""Takes specification, family, site and context; registers parameters and returns the distribution of u."""


@final
class GuideDispatch:
    """A function of specification, family, site and context, dispatched on the classes of the first two."""

    def __init__(self) -> None:
        self._table = Dispatcher("setup_guide")

    def register(self, spec_class: type, family_class: type) -> Callable[[SetUp], SetUp]:
        """Say how parameters with specifications of this class are guided by families of that class.

        The more special pair wins over the more general one.

        Args:
            spec_class: A class of specifications.
            family_class: A class of guide families.

        Returns:
            A decorator for the function.
        """

        def registered(function: SetUp) -> SetUp:
            self._table.add((spec_class, family_class), function)
            return function

        return registered

    def __call__(self, spec: Any, family: Any, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """Register a variable's guide parameters and return the distribution of its u.

        Called outside of all plates.

        Args:
            spec: The specification.
            family: The guide family.
            site: The variable.
            context: The mini-batch, the data, the variables before.

        Returns:
            Event shape `site.unconstrained_shape`; batch shape (n_batch,) for a variable of single cells, else ().

        Raises:
            ConfigurationError: not a family, or a distribution of another shape came back.
        """
        function = self._table.dispatch(type(spec), type(family))
        if function is None:
            raise ConfigurationError(
                "not a guide family",
                field=f"{site.name}.guide_family",
                expected="an instance such as MeanFieldGuide(), or a pair registered with setup_guide.register",
                got=family,
            )
        base = function(spec, family, site, context)
        batch = () if site.n_units is None else (_n_cells(site, context),)
        if (base.batch_shape, base.event_shape) != (batch, site.unconstrained_shape):
            raise ConfigurationError(
                f"its guide {type(family).__name__} has another shape",
                field=site.name,
                expected=f"batch shape {batch} and event shape {site.unconstrained_shape}",
                got=(base.batch_shape, base.event_shape),
            )
        return base


setup_guide = GuideDispatch()
"""The dispatch that guide builders use."""


@setup_guide.register(object, AbstractGuideFamily)
def _by_support_and_axes(
    spec: Any, family: AbstractGuideFamily, site: GuideSite, context: GuideContext
) -> dist.Distribution:
    return family.distribution(site, context)


def unconstrained(value: dist.Distribution, site: GuideSite) -> dist.Distribution:
    """The distribution of u when the value itself has a given distribution, such as a Beta; for pairs of one's own.

    Args:
        value: Distribution on the site's support, event shape `site.event_shape`.
        site: The variable.

    Example:
        >>> from numpyro.distributions import biject_to, constraints
        >>> p = GuideSite("p", constraints.unit_interval, biject_to(constraints.unit_interval), (), ())
        >>> beta = dist.Beta(2.0, 3.0)
        >>> bool(abs(p.constrained(unconstrained(beta, p)).log_prob(0.3) - beta.log_prob(0.3)) < 1e-5)
        True
    """
    return dist.TransformedDistribution(value, site.onto_support.inv)


def sample_unit(
    specs: Sequence[Any], family: Any, sites: Sequence[GuideSite], context: GuideContext, plate: Any = None
) -> tuple[dict[str, Any], GuideContext]:
    """Sample what is drawn at once in a guide: one variable, or the variables of a joint family's group.

    Args:
        specs: Specification of each.
        family: Their family.
        sites: The variables, in the same order.
        context: The mini-batch, the data, the variables before.
        plate: The plate of cells, entered here for variables of single cells.

    Returns:
        Variable -> value, and the context that remembers them.
    """
    if isinstance(family, AbstractJointGuideFamily) and len(sites) > 1:
        return sample_jointly(family, sites, context, plate)
    values = {}
    for spec, site in zip(specs, sites, strict=True):
        base = setup_guide(spec, family, site, context)
        with nullcontext() if site.n_units is None else plate:
            values[site.name] = numpyro.sample(site.name, site.constrained(base))
        context = remembered(context, site, base, site.onto_support.inv(values[site.name]))
    return values, context


def _n_cells(site: GuideSite, context: GuideContext) -> int | None:
    return site.n_units if context.cells is None else len(context.cells)
