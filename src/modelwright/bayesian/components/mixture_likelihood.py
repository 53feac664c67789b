"""A mixture: every cell belongs to one of several components, which differ in some parameters.

p(y_c) = sum_k w_k prod_g p(y_cg | parameters of component k)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import jax.numpy as jnp
import numpyro.distributions as dist

from modelwright.bayesian.components.likelihoods import AbstractLikelihood
from modelwright.core.errors import ConfigurationError


@final
@dataclass(frozen=True)
class MixtureLikelihood(AbstractLikelihood):
    """A likelihood whose parameters may differ between components (`is_mixture=True` in their specifications).

    The component of a cell is summed over, all genes of a cell together.

    Args:
        base: Likelihood of a component.
        components: How many; 1 is no mixture.
        weights: Name of w, a point of the simplex over the axis "n_components".

    Example:
        >>> from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood
        >>> MixtureLikelihood(NegativeBinomialLikelihood(), components=3).parameters
        ('r', 'p', 'weights')
    """

    base: AbstractLikelihood
    components: int
    weights: str = "weights"

    def __post_init__(self) -> None:
        if not isinstance(self.base, AbstractLikelihood) or isinstance(self.base, MixtureLikelihood):
            raise ConfigurationError(
                "not the likelihood of a component",
                field="base",
                expected="such as NegativeBinomialLikelihood()",
                got=self.base,
            )
        if isinstance(self.components, bool) or not isinstance(self.components, int) or self.components < 1:
            raise ConfigurationError(
                "not usable", field="components", expected="a whole number of at least 1", got=self.components
            )

    @property
    def n_components(self) -> int:
        """Components of the mixture."""
        return self.components

    @property
    def observes_counts(self) -> bool:
        """As its components do."""
        return self.base.observes_counts

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it needs."""
        return (*self.base.parameters, self.weights)

    def distribution(self, values: Mapping[str, Any]) -> dist.Distribution:
        """Distribution of all genes that the parameters know of; see `of_cells`."""
        return self.of_cells(values, 1)

    def of_cells(self, values: Mapping[str, Any], n_genes: int) -> dist.Distribution:
        """See `AbstractLikelihood.of_cells`; the weights are (n_components, 1), as laid out, or one row per cell."""
        weights = jnp.squeeze(values[self.weights], -1)
        single = self.base.distribution(values)
        shape = jnp.broadcast_shapes(single.batch_shape, (*weights.shape, n_genes))
        return dist.MixtureSameFamily(dist.Categorical(probs=weights), single.expand(shape).to_event(1))
