"""The likelihood of counts with each cell's capture probability integrated out: cells are alike given the genes.

nu_c ~ Beta(a, b),   y_cg ~ NegativeBinomial(r_g, odds nu_c)      only r, odds, a and b are left; see `marginal_capture`
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.util import validate_sample

from modelwright.bayesian.components.count_distributions import NegativeBinomialByLogits
from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood
from modelwright.bayesian.components.likelihoods import AbstractLikelihood
from modelwright.bayesian.components.marginal_capture import (
    check_capture_prior,
    marginal_capture_log_likelihood,
    marginal_cell_log_prob,
)
from modelwright.bayesian.components.stirling_series import float_type

TOTALS = "totals"


class CapturedCell(dist.Distribution):
    """Counts of all genes of a cell, its capture probability drawn anew from Beta(a, b) for every cell.

    Args:
        concentration: r, positive, shape (n_genes,).
        logits: log(p/(1-p)) before capture, a scalar.
        a: First parameter of the Beta distribution, positive, a scalar.
        b: Its second.
        validate_args: As in NumPyro.

    Example:
        >>> cell = CapturedCell(jnp.array([0.2, 0.8]), 0.0, 1.0, 1.0)
        >>> bool(jnp.isclose(jnp.exp(cell.log_prob(jnp.zeros(2))), jnp.log(2.0), rtol=1e-5))  # integral of 1/(1+nu)
        True
    """

    arg_constraints = {  # noqa: RUF012 (NumPyro's)
        "concentration": constraints.independent(constraints.positive, 1),
        "logits": constraints.real,
        "a": constraints.positive,
        "b": constraints.positive,
    }
    support = constraints.independent(constraints.nonnegative_integer, 1)
    pytree_data_fields = ("concentration", "logits", "a", "b")

    def __init__(self, concentration: Any, logits: Any, a: Any, b: Any, *, validate_args: bool | None = None) -> None:
        kind = float_type(concentration, logits, a, b)
        self.concentration, self.logits, self.a, self.b = (
            jnp.asarray(each, kind) for each in (concentration, logits, a, b)
        )
        super().__init__(event_shape=self.concentration.shape, validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Draws of shape sample_shape + (n_genes,)."""
        of_cells, of_counts = jax.random.split(key)
        capture = jax.random.beta(of_cells, self.a, self.b, sample_shape)
        # an underflowing share would give log odds of minus infinity, whose counts are zero all the same
        logits = self.logits + jnp.log(jnp.maximum(capture, jnp.finfo(capture.dtype).tiny))
        return NegativeBinomialByLogits(self.concentration, logits[..., None]).sample(of_counts)

    @validate_sample
    def log_prob(self, value: Any) -> jax.Array:
        """Log probability of all counts of a cell, in nats."""
        return marginal_cell_log_prob(value, self.concentration, self.logits, self.a, self.b)


@final
@dataclass(frozen=True)
class CapturedCellsLikelihood(AbstractLikelihood):
    """Negative binomial counts of which each cell captures a share, the share integrated out.

    Args:
        base: The likelihood given each cell's share; without a gate.
        prior: The two arguments of the Beta distribution of the share: numbers, or names of parameters.

    Example:
        >>> CapturedCellsLikelihood(NegativeBinomialLikelihood(capture="p_capture"), (1.0, "b")).parameters
        ('r', 'p', 'b')

    Raises:
        ConfigurationError: a number of the prior is too small to integrate over.
    """

    base: NegativeBinomialLikelihood
    prior: tuple[float | str, float | str]

    def __post_init__(self) -> None:
        check_capture_prior(*(1.0 if isinstance(each, str) else each for each in self.prior))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it needs."""
        named = tuple(each for each in self.prior if isinstance(each, str))
        return tuple(dict.fromkeys((*self._of_molecules.parameters, *named)))

    def distribution(self, values: Mapping[str, Any]) -> dist.Distribution:
        """Distribution of all genes that the parameters know of; see `of_cells`."""
        return self.of_cells(values, jnp.size(values[self.base.concentration]))

    def of_cells(self, values: Mapping[str, Any], n_genes: int) -> dist.Distribution:
        """See `AbstractLikelihood.of_cells`."""
        r, *others = self.arguments(values)
        return CapturedCell(jnp.broadcast_to(r, (n_genes,)), *others)

    def compressed_form(self, dims: Mapping[str, tuple[str, ...]]) -> str | None:
        """See `AbstractLikelihood.compressed_form`."""
        return TOTALS

    def compressed_log_prob(self, form: str, values: Mapping[str, Any], compressed: Any) -> Any:
        """See `AbstractLikelihood.compressed_log_prob`."""
        return marginal_capture_log_likelihood(compressed, *self.arguments(values))

    def arguments(self, values: Mapping[str, Any]) -> tuple[Any, Any, Any, Any]:
        """Concentration, log odds before capture, and the two arguments of the share's Beta distribution."""
        a, b = (values[each] if isinstance(each, str) else each for each in self.prior)
        return values[self.base.concentration], self._of_molecules.logits(values), a, b

    @property
    def _of_molecules(self) -> NegativeBinomialLikelihood:
        return replace(self.base, capture=None)
