"""Likelihoods of counts: negative binomial and Poisson, each with gates and what a cell captures, if wanted.

y_cg ~ NegativeBinomial(r_g, p)               mean r p/(1-p): p is the probability that multiplies the count, and may
                                              be named by the odds against it or by the mean
gate:     y = 0 with probability pi_g, else as before
capture:  of every molecule of cell c a share nu_c is seen: p becomes p nu/(1 - p (1 - nu))
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import jax.numpy as jnp
import numpyro.distributions as dist

from modelwright.bayesian.components.compressed_likelihoods import (
    pairs_log_likelihood,
    rank_one_log_likelihood,
    rank_one_poisson_log_likelihood,
    sparse_log_likelihood,
    sparse_poisson_log_likelihood,
)
from modelwright.bayesian.components.count_distributions import (
    NegativeBinomialByLogits,
    NegativeBinomialByMean,
    PoissonByMean,
    ZeroInflated,
    captured_logits,
)
from modelwright.bayesian.components.count_kernels import (
    negative_binomial_log_prob,
    negative_binomial_mean_log_prob,
    poisson_log_prob,
)
from modelwright.bayesian.components.likelihoods import AbstractLikelihood
from modelwright.bayesian.components.zero_inflation import (
    zero_inflated_negative_binomial_log_prob,
    zero_inflated_negative_binomial_mean_log_prob,
    zero_inflated_poisson_log_prob,
)
from modelwright.core.errors import ConfigurationError

CELLS, BATCHES, GENES = "n_cells", "n_batches", "n_genes"
RANK_ONE, PAIRS, SPARSE = "rank one", "pairs", "sparse"


@final
@dataclass(frozen=True)
class NegativeBinomialLikelihood(AbstractLikelihood):
    """Negative binomial counts, with a gate and a capture probability where they are named.

    Args:
        concentration: Name of r, above 0.
        success: Name of p in (0, 1); or
        odds_against: name of phi = (1-p)/p above 0, which has the digits of a p near one; or
        mean: name of the mean m = r p/(1-p) above 0, of which a capture probability is a factor.
        gate: Name of pi in (0, 1), the probability of a zero besides those of the counts.
        capture: Name of nu in (0, 1].

    Example:
        >>> NegativeBinomialLikelihood(gate="gate").parameters
        ('r', 'p', 'gate')
        >>> NegativeBinomialLikelihood(mean="mu").parameters
        ('r', 'mu')

    Raises:
        ConfigurationError: both the odds and the mean are named.
    """

    concentration: str = "r"
    success: str = "p"
    odds_against: str | None = None
    gate: str | None = None
    capture: str | None = None
    mean: str | None = None

    def __post_init__(self) -> None:
        if self.mean is not None and self.odds_against is not None:
            raise ConfigurationError(
                "the mean follows from r and the odds, and both are named",
                field="mean",
                expected="either mean or odds_against",
            )

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it needs."""
        found = (self.concentration, self.mean or self.odds_against or self.success, self.gate, self.capture)
        return tuple(name for name in found if name is not None)

    def distribution(self, values: Mapping[str, Any]) -> dist.Distribution:
        """See `AbstractLikelihood.distribution`."""
        base: dist.Distribution
        if self.mean is not None:
            base = NegativeBinomialByMean(self._mean(values), values[self.concentration])
        else:
            base = NegativeBinomialByLogits(values[self.concentration], self.logits(values))
        return base if self.gate is None else ZeroInflated(base, logit(values[self.gate]))

    @property
    def _per_cell(self) -> tuple[str, ...]:
        return (self.odds_against or self.success, *([self.capture] if self.capture else []))

    def compressed_form(self, dims: Mapping[str, tuple[str, ...]]) -> str | None:
        """See `AbstractLikelihood.compressed_form`."""
        if self.mean is not None:  # a mean per cell and an r per gene leave nothing of rank one
            return PAIRS if not any(set(dims[name]) - {BATCHES, GENES} for name in self.parameters) else None
        return _form(dims, (self.concentration,), self._per_cell, self.gate)

    def of_single_cells(self, form: str) -> tuple[str, ...]:
        """See `AbstractLikelihood.of_single_cells`."""
        return () if form == PAIRS else self._per_cell

    def compressed_log_prob(self, form: str, values: Mapping[str, Any], compressed: Any) -> Any:
        """See `AbstractLikelihood.compressed_log_prob`."""
        r = values[self.concentration]
        gate = None if self.gate is None else logit(values[self.gate])
        if self.mean is not None:
            mean = self._mean(values)
            if gate is None:
                return pairs_log_likelihood(compressed, negative_binomial_mean_log_prob, mean, r)
            return pairs_log_likelihood(compressed, zero_inflated_negative_binomial_mean_log_prob, mean, r, gate)
        logits = self.logits(values)
        if form == PAIRS:
            if gate is None:
                return pairs_log_likelihood(compressed, negative_binomial_log_prob, r, logits)
            return pairs_log_likelihood(compressed, zero_inflated_negative_binomial_log_prob, r, logits, gate)
        if gate is None:
            return rank_one_log_likelihood(compressed, r, _of_cells(logits))
        return sparse_log_likelihood(compressed, r, _of_cells(logits), gate)

    def _mean(self, values: Mapping[str, Any]) -> Any:
        mean = values[str(self.mean)]
        return mean if self.capture is None else mean * values[self.capture]

    def logits(self, values: Mapping[str, Any]) -> Any:
        """Log odds of the counts, log(p/(1-p)), after capture where there is one."""
        if self.odds_against is not None:
            logits = -jnp.log(values[self.odds_against])
        else:
            logits = logit(values[self.success])
        return logits if self.capture is None else captured_logits(logits, capture=values[self.capture])


@final
@dataclass(frozen=True)
class PoissonLikelihood(AbstractLikelihood):
    """Poisson counts of mean mu times a scale of the cell, with a gate where one is named.

    Args:
        mean: Name of mu, above 0.
        scale: Name of what multiplies it, above 0.
        gate: Name of pi in (0, 1).

    Example:
        >>> PoissonLikelihood(scale="depth").parameters
        ('mu', 'depth')
    """

    mean: str = "mu"
    scale: str | None = None
    gate: str | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters it needs."""
        return tuple(name for name in (self.mean, self.scale, self.gate) if name is not None)

    def distribution(self, values: Mapping[str, Any]) -> dist.Distribution:
        """See `AbstractLikelihood.distribution`."""
        mean = values[self.mean] if self.scale is None else values[self.mean] * values[self.scale]
        base = PoissonByMean(mean)
        return base if self.gate is None else ZeroInflated(base, logit(values[self.gate]))

    def compressed_form(self, dims: Mapping[str, tuple[str, ...]]) -> str | None:
        """See `AbstractLikelihood.compressed_form`."""
        return _form(dims, (self.mean,), () if self.scale is None else (self.scale,), self.gate)

    def of_single_cells(self, form: str) -> tuple[str, ...]:
        """See `AbstractLikelihood.of_single_cells`."""
        return () if form == PAIRS or self.scale is None else (self.scale,)

    def compressed_log_prob(self, form: str, values: Mapping[str, Any], compressed: Any) -> Any:
        """See `AbstractLikelihood.compressed_log_prob`."""
        scale = 1.0 if self.scale is None else values[self.scale]
        gate = None if self.gate is None else logit(values[self.gate])
        if form == PAIRS:
            mean = values[self.mean] * scale
            if gate is None:
                return pairs_log_likelihood(compressed, poisson_log_prob, mean)
            return pairs_log_likelihood(compressed, zero_inflated_poisson_log_prob, mean, gate)
        if gate is None:
            return rank_one_poisson_log_likelihood(compressed, values[self.mean], _of_cells(scale))
        return sparse_poisson_log_likelihood(compressed, values[self.mean], _of_cells(scale), gate)


def logit(probability: Any) -> Any:
    """Log odds, log p - log(1 - p)."""
    return jnp.log(probability) - jnp.log1p(-probability)


def _form(
    dims: Mapping[str, tuple[str, ...]], per_gene: tuple[str, ...], per_cell: tuple[str, ...], gate: str | None
) -> str | None:
    """Which compressed form parameters over these axes allow."""
    everything = [*per_gene, *per_cell, *([gate] if gate else [])]
    if any(set(dims[name]) - {CELLS, BATCHES, GENES} for name in everything):
        return None
    if not any(CELLS in dims[name] for name in everything):
        rank_one = gate is None and not any(GENES in dims[name] for name in per_cell)
        return RANK_ONE if rank_one else PAIRS
    if any(CELLS in dims[name] for name in per_gene) or any(GENES in dims[name] for name in per_cell):
        return None
    if gate is None:
        return RANK_ONE
    return None if CELLS in dims[gate] else SPARSE


def _of_cells(value: Any) -> Any:
    """A laid-out value of cells (n_cells, 1), or a scalar, as a vector or a scalar."""
    return jnp.reshape(value, (-1,)) if jnp.ndim(value) == 2 else jnp.asarray(value)
