"""A guide that bends a normal distribution: skewness, heavy or light tails, curved dependence.

z ~ Normal(0, 1)^n,    then per layer    z <- a * S(z; skewness, tail) + b    and, for n >= 2, a coupling,
u = loc + scale * z
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from numpyro.contrib.module import flax_module
from numpyro.distributions import constraints
from numpyro.distributions.transforms import AffineTransform, IndependentTransform, Transform

from modelwright.bayesian.components.flow_transforms import AffineCouplingTransform, SinhArcsinhTransform, halves
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, reshaped
from modelwright.bayesian.components.guide_sites import GuideContext, GuideSite
from modelwright.bayesian.components.networks import FeedForward, checked_widths
from modelwright.core.errors import ConfigurationError


@dataclass(frozen=True)
class NormalizingFlowGuide(AbstractGuideFamily):
    """A normalizing flow on the unconstrained scale, for a single number as well as for many.

    Every layer bends each number by a sinh-arcsinh function and, where there are several numbers, lets the odd and the
    even ones move each other by an affine coupling. It begins as the normal distribution of the site's start, to within
    a percent (networks begin small and not at zero, where gradients would not reach their inner layers).

    Parameters `{name}$loc`, `{name}$scale` of shape (..., n), `{name}$skewness`, `{name}$tail` of shape
    (..., n_layers, n), `{name}$bend_loc`, `{name}$bend_scale` of shape (..., n_layers - 1, n), and a network
    `{name}_coupling_{layer}` per layer. Of variables of single cells every cell has its own elementwise parameters; the
    networks are the same for all cells.

    Args:
        n_layers: Layers; of 2 or more every number depends on every other.
        hidden_dims: Widths of the hidden layers of the couplings' networks.

    Raises:
        ConfigurationError: numbers that cannot be used.

    Source:
        D. J. Rezende, S. Mohamed (2015), Variational inference with normalizing flows,
        https://proceedings.mlr.press/v37/rezende15.html; couplings of L. Dinh et al. (2017),
        https://arxiv.org/abs/1605.08803.

    Example:
        >>> from numpyro import handlers
        >>> site = GuideSite("p", constraints.unit_interval, dist.biject_to(constraints.unit_interval), (), ())
        >>> with handlers.seed(rng_seed=0):
        ...     base = NormalizingFlowGuide(n_layers=2).distribution(site, GuideContext())
        >>> base.batch_shape, base.event_shape
        ((), ())
    """

    n_layers: int = 4
    hidden_dims: tuple[int, ...] = (32,)

    def __post_init__(self) -> None:
        if isinstance(self.n_layers, bool) or not isinstance(self.n_layers, int) or self.n_layers < 1:
            raise ConfigurationError(
                "not usable", field="n_layers", expected="a whole number of at least 1", got=self.n_layers
            )
        object.__setattr__(self, "hidden_dims", checked_widths("hidden_dims", self.hidden_dims))

    def distribution(self, site: GuideSite, context: GuideContext) -> dist.Distribution:
        """See `AbstractGuideFamily.distribution`."""
        units = () if site.n_units is None else (site.n_units,)
        name, n = site.name, site.size

        def elementwise(what: str, start: Any, *, positive: bool) -> Any:
            kept = {"constraint": constraints.softplus_positive} if positive else {}
            return context.of_cells(numpyro.param(f"{name}${what}", start, **kept), site)

        layers, between = (*units, self.n_layers, n), (*units, self.n_layers - 1, n)
        loc = elementwise("loc", site.starting_location().reshape((*units, n)), positive=False)
        scale = elementwise("scale", site.starting_spread().reshape((*units, n)), positive=True)
        skewness = elementwise("skewness", jnp.zeros(layers), positive=False)
        tail = elementwise("tail", jnp.ones(layers), positive=True)
        transforms: list[Transform] = []
        if self.n_layers > 1:
            shift = elementwise("bend_loc", jnp.zeros(between), positive=False)
            stretch = elementwise("bend_scale", jnp.ones(between), positive=True)
        for layer in range(self.n_layers):
            transforms.append(_each(SinhArcsinhTransform(skewness[..., layer, :], tail[..., layer, :])))
            if n > 1:
                transforms.append(coupling(f"{name}_coupling_{layer}", n, layer, self.hidden_dims))
            if layer < self.n_layers - 1:
                transforms.append(_each(AffineTransform(shift[..., layer, :], stretch[..., layer, :])))
        transforms.append(_each(AffineTransform(loc, scale)))
        standard = dist.Normal(jnp.zeros(loc.shape), 1.0).to_event(1)
        return reshaped(dist.TransformedDistribution(standard, transforms), site.unconstrained_shape)


def coupling(name: str, n: int, layer: int, hidden_dims: tuple[int, ...]) -> AffineCouplingTransform:
    """Register the network of one coupling and return its transform; called outside of all plates.

    Args:
        name: The network's name; its weights are the parameter `{name}$params`.
        n: Numbers in the vector, at least 2.
        layer: Which layer: even and odd positions take turns.
        hidden_dims: Widths of its hidden layers.
    """
    passing, moved = halves(n, layer)
    network = FeedForward(hidden_dims, (("log_scale", len(moved)), ("shift", len(moved))))
    bound = flax_module(name, network, input_shape=(1, len(passing)))

    def moving(parameters: Any, kept: Any) -> tuple[Any, Any]:
        found = network.apply({"params": parameters}, kept)
        return found["log_scale"], found["shift"]

    return AffineCouplingTransform(passing, moved, moving, bound.args[0])


def _each(transform: Transform) -> Transform:
    """An elementwise transform as one of vectors."""
    return IndependentTransform(transform, 1)
