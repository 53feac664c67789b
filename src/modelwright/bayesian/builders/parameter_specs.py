"""Specifications of parameters, one class per prior.

BetaSpec("p", (), (1.0, 1.0))
LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True)
GammaSpec("rate", ("n_genes",), ("shape", 1.0))            # an argument may be another parameter
"""

from typing import Any, final

import numpyro.distributions as dist
from numpyro.distributions import constraints
from numpyro.distributions.transforms import SigmoidTransform, SoftplusTransform, Transform

from modelwright.bayesian.builders.specification import AbstractParamSpec
from modelwright.bayesian.components.beta_prime import BetaPrime

_POSITIVE = constraints.positive
_SHAPES = {"alpha": _POSITIVE, "beta": _POSITIVE}
_CONCENTRATION = {"concentration": _POSITIVE}
_CONCENTRATION_RATE = {"concentration": _POSITIVE, "rate": _POSITIVE}
_SCALE = {"scale": _POSITIVE}
_RATE = {"rate": _POSITIVE}
_LOCATION_SCALE = {"loc": constraints.real, "scale": _POSITIVE}


@final
class BetaSpec(AbstractParamSpec):
    """p(x) = x^(alpha-1) (1-x)^(beta-1) / B(alpha, beta) on (0, 1); arguments alpha, beta.

    Example:
        >>> spec = BetaSpec("p", (), (1.0, 1.0))
        >>> spec.support, spec.arg_constraints["alpha"]
        (UnitInterval(lower_bound=0.0, upper_bound=1.0), Positive(lower_bound=0.0))
    """

    argument_names = ("alpha", "beta")
    argument_constraints = _SHAPES
    support_of_one = constraints.unit_interval

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """Beta(alpha, beta)."""
        return dist.Beta(*arguments)


@final
class LogNormalSpec(AbstractParamSpec):
    """log x ~ Normal(loc, scale) on (0, inf): p(x) = exp(-(log x - loc)^2/(2 scale^2)) / (x scale sqrt(2 pi)).

    Example:
        >>> LogNormalSpec("mu", ("n_genes",), (0.0, 1.0), is_gene_specific=True).dims
        ('n_genes',)
    """

    argument_names = ("loc", "scale")
    argument_constraints = _LOCATION_SCALE
    support_of_one = _POSITIVE

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """LogNormal(loc, scale)."""
        return dist.LogNormal(*arguments)


@final
class BetaPrimeSpec(AbstractParamSpec):
    """p(x) = x^(alpha-1) (1+x)^(-alpha-beta) / B(alpha, beta) on (0, inf), as in SciPy.

    The odds of a Beta(alpha, beta). For the odds (1-p)/p of p ~ Beta(a, b) take alpha = b, beta = a.

    Example:
        >>> BetaPrimeSpec("phi", (), (2.0, 3.0)).support
        Positive(lower_bound=0.0)
    """

    argument_names = ("alpha", "beta")
    argument_constraints = _SHAPES
    support_of_one = _POSITIVE

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """BetaPrime(alpha, beta)."""
        return BetaPrime(*arguments)


@final
class DirichletSpec(AbstractParamSpec):
    """p(w) ~ prod_k w_k^(concentration_k - 1) on the simplex along the last axis; a single concentration serves all k.

    Example:
        >>> DirichletSpec("weights", ("n_components",), (1.0,)).event_dims
        ('n_components',)
    """

    argument_names = ("concentration",)
    argument_constraints = _CONCENTRATION
    support_of_one = constraints.simplex

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """Dirichlet(concentration)."""
        return dist.Dirichlet(*arguments)


@final
class SigmoidNormalSpec(AbstractParamSpec):
    """logit x ~ Normal(loc, scale) on (0, 1): p(x) = Normal(logit x; loc, scale) / (x (1-x)).

    Example:
        >>> SigmoidNormalSpec("gate", ("n_genes",), (-2.0, 1.0)).support
        UnitInterval(lower_bound=0.0, upper_bound=1.0)
    """

    argument_names = ("loc", "scale")
    argument_constraints = _LOCATION_SCALE
    support_of_one = constraints.unit_interval

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """Normal(loc, scale) through the logistic function."""
        return dist.TransformedDistribution(dist.Normal(*arguments), SigmoidTransform())

    @property
    def bijector(self) -> Transform:
        """The logistic function."""
        return SigmoidTransform()


@final
class ExpNormalSpec(AbstractParamSpec):
    """x = exp(t), t ~ Normal(loc, scale) on (0, inf): the log-normal distribution under the name of its construction.

    Example:
        >>> ExpNormalSpec("phi", (), (0.0, 1.0)).argument_names
        ('loc', 'scale')
    """

    argument_names = ("loc", "scale")
    argument_constraints = _LOCATION_SCALE
    support_of_one = _POSITIVE

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """LogNormal(loc, scale)."""
        return dist.LogNormal(*arguments)


@final
class SoftplusNormalSpec(AbstractParamSpec):
    """x = log(1 + exp(t)), t ~ Normal(loc, scale) on (0, inf): p(x) = Normal(t; loc, scale) / (1 - exp(-x)).

    Example:
        >>> SoftplusNormalSpec("r", ("n_genes",), (0.0, 1.0)).bijector.codomain
        SoftplusPositive(lower_bound=0.0)
    """

    argument_names = ("loc", "scale")
    argument_constraints = _LOCATION_SCALE
    support_of_one = _POSITIVE

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """Normal(loc, scale) through the softplus function."""
        return dist.TransformedDistribution(dist.Normal(*arguments), SoftplusTransform())

    @property
    def bijector(self) -> Transform:
        """The softplus function."""
        return SoftplusTransform()


@final
class GammaSpec(AbstractParamSpec):
    """p(x) = rate^concentration x^(concentration-1) exp(-rate x) / Gamma(concentration) on (0, inf).

    Example:
        >>> GammaSpec("theta", ("n_cells",), ("shape", "rate")).depends_on
        ('shape', 'rate')
    """

    argument_names = ("concentration", "rate")
    argument_constraints = _CONCENTRATION_RATE
    support_of_one = _POSITIVE

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """Gamma(concentration, rate)."""
        return dist.Gamma(*arguments)


@final
class HalfNormalSpec(AbstractParamSpec):
    """p(x) = 2 Normal(x; 0, scale) on (0, inf).

    Example:
        >>> HalfNormalSpec("alpha", (), (2.0,)).default_params
        (2.0,)
    """

    argument_names = ("scale",)
    argument_constraints = _SCALE
    support_of_one = _POSITIVE

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """HalfNormal(scale)."""
        return dist.HalfNormal(*arguments)


@final
class ExponentialSpec(AbstractParamSpec):
    """p(x) = rate exp(-rate x) on (0, inf).

    Example:
        >>> ExponentialSpec("mu", (), (0.1,)).default_params
        (0.1,)
    """

    argument_names = ("rate",)
    argument_constraints = _RATE
    support_of_one = _POSITIVE

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """Exponential(rate)."""
        return dist.Exponential(*arguments)


@final
class NormalSpec(AbstractParamSpec):
    """p(x) = exp(-(x - loc)^2/(2 scale^2)) / (scale sqrt(2 pi)) on the real numbers.

    Example:
        >>> NormalSpec("effect", ("n_batches", "n_genes"), (0.0, 1.0)).dims
        ('n_batches', 'n_genes')
    """

    argument_names = ("loc", "scale")
    argument_constraints = _LOCATION_SCALE
    support_of_one = constraints.real

    def distribution(self, *arguments: Any) -> dist.Distribution:
        """Normal(loc, scale)."""
        return dist.Normal(*arguments)
