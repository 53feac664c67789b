"""Latent variables of every cell, as variational autoencoders have them: prior, and guide from an encoder's outputs.

Wherever `log_scale` appears here it is a log *variance*: the standard deviation is exp(0.5 log_scale).
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions.transforms import Transform

from modelwright.bayesian.components.flow_guide import coupling
from modelwright.bayesian.components.networks import checked_widths
from modelwright.core.errors import ConfigurationError


@dataclass(frozen=True)
class LatentSpec(ABC):
    """A latent vector of every cell.

    Args:
        latent_dim: Its numbers.
        sample_site: Its sample site.

    Raises:
        ConfigurationError: a size or a name that cannot be used.
    """

    latent_dim: int
    sample_site: str = "z"

    var_params: ClassVar[Mapping[str, str]]
    """What an encoder has to put out: name -> kind, each of `latent_dim` numbers."""

    def __post_init__(self) -> None:
        size = self.latent_dim
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ConfigurationError(
                "not usable", field="latent_dim", expected="a whole number of at least 1", got=size
            )
        if not isinstance(self.sample_site, str) or not self.sample_site.isidentifier():
            raise ConfigurationError(
                "not usable", field="sample_site", expected="a name such as 'z'", got=self.sample_site
            )

    @abstractmethod
    def make_guide_dist(self, var_params: Mapping[str, Any]) -> dist.Distribution:
        """The guide's distribution of the latent vectors of some cells.

        Args:
            var_params: The encoder's outputs by name, each of shape (n_batch, latent_dim).

        Returns:
            Batch shape (n_batch,), event shape (latent_dim,).
        """

    @abstractmethod
    def prior(self) -> dist.Distribution:
        """The prior of one cell's latent vector, event shape (latent_dim,); registers its parameters if it has any."""


@dataclass(frozen=True)
class GaussianLatentSpec(LatentSpec):
    """z ~ Normal(0, 1)^latent_dim; guide Normal(loc, exp(0.5 log_scale)): `log_scale` is a log *variance*.

    Args:
        latent_dim: Numbers in z.
        sample_site: Its sample site.

    Source:
        D. P. Kingma, M. Welling (2014), Auto-encoding variational Bayes, https://arxiv.org/abs/1312.6114.

    Example:
        >>> spec = GaussianLatentSpec(2)
        >>> guide = spec.make_guide_dist({"loc": jnp.zeros((5, 2)), "log_scale": jnp.full((5, 2), jnp.log(4.0))})
        >>> guide.batch_shape, guide.event_shape, round(float(guide.variance[0, 0]), 3)
        ((5,), (2,), 4.0)
    """

    var_params = {"loc": "real", "log_scale": "real"}  # noqa: RUF012 (annotated as a class variable above)

    def make_guide_dist(self, var_params: Mapping[str, Any]) -> dist.Distribution:
        """See `LatentSpec.make_guide_dist`."""
        return _gaussian(var_params)

    def prior(self) -> dist.Distribution:
        """See `LatentSpec.prior`."""
        return dist.Normal(jnp.zeros(self.latent_dim), 1.0).to_event(1)


@dataclass(frozen=True)
class NormalizingFlowLatentSpec(LatentSpec):
    """A learned prior: z is a standard normal vector bent by affine couplings, whose networks all cells share.

    The flow is the *prior*; the guide is the same as for `GaussianLatentSpec`, with `log_scale` a log *variance*. A
    prior that follows the cells' clusters leaves less to pay for each cell than one standard normal for all.

    Args:
        latent_dim: Numbers in z, at least 2.
        sample_site: Its sample site; the networks are `{sample_site}_prior_{layer}`.
        n_layers: Couplings.
        hidden_dims: Widths of the hidden layers of their networks.

    Source:
        X. Chen et al. (2017), Variational lossy autoencoder, https://arxiv.org/abs/1611.02731, with the couplings of
        L. Dinh et al. (2017), https://arxiv.org/abs/1605.08803.

    Example:
        >>> from numpyro import handlers
        >>> with handlers.seed(rng_seed=0):
        ...     NormalizingFlowLatentSpec(3).prior().event_shape
        (3,)
    """

    n_layers: int = 4
    hidden_dims: tuple[int, ...] = (32,)

    var_params = {"loc": "real", "log_scale": "real"}  # noqa: RUF012 (annotated as a class variable above)

    def __post_init__(self) -> None:
        super().__post_init__()
        for field, value, least in (("latent_dim", self.latent_dim, 2), ("n_layers", self.n_layers, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ConfigurationError(
                    "not usable", field=field, expected=f"a whole number of at least {least}", got=value
                )
        object.__setattr__(self, "hidden_dims", checked_widths("hidden_dims", self.hidden_dims))

    def make_guide_dist(self, var_params: Mapping[str, Any]) -> dist.Distribution:
        """See `LatentSpec.make_guide_dist`."""
        return _gaussian(var_params)

    def prior(self) -> dist.Distribution:
        """See `LatentSpec.prior`."""
        layers: list[Transform] = [
            coupling(f"{self.sample_site}_prior_{layer}", self.latent_dim, layer, self.hidden_dims)
            for layer in range(self.n_layers)
        ]
        return dist.TransformedDistribution(dist.Normal(jnp.zeros(self.latent_dim), 1.0).to_event(1), layers)


def _gaussian(var_params: Mapping[str, Any]) -> dist.Distribution:
    return dist.Normal(var_params["loc"], jnp.exp(0.5 * var_params["log_scale"])).to_event(1)
