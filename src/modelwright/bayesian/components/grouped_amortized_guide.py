"""Variational autoencoders as parts of a model: an encoder, a latent variable of every cell, a decoder.

Model:   z_c ~ prior,                       parameters of cell c = decoder(z_c)
Guide:   z_c ~ Normal(loc_c, exp(0.5 log_scale_c)),    loc_c, log_scale_c = encoder(counts of cell c)

`log_scale` is a log *variance*, as everywhere in latent specifications.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpyro.distributions as dist

from modelwright.bayesian.components.amortizers import Amortizer
from modelwright.bayesian.components.decoders import SIMPLEX, Decoder, Decoding
from modelwright.bayesian.components.guide_sites import GuideContext
from modelwright.bayesian.components.observed import ObservedCounts
from modelwright.core.errors import ConfigurationError

if TYPE_CHECKING:
    from modelwright.bayesian.builders.latent_specs import LatentSpec

_LEAST = 1e-6
"""Least mean that an output begins at."""


def starts_of_outputs(decoder: Decoder, data: ObservedCounts | None) -> dict[str, Any]:
    """Where the outputs of a decoder begin without more: `mu` at mean counts, a simplex at shares of all counts.

    Args:
        decoder: The decoder.
        data: The observed data; nothing is known without, or without single entries.

    Example:
        >>> from modelwright.bayesian.components.observed import observe
        >>> data = observe([[0, 3], [1, 3]])
        >>> found = starts_of_outputs(Decoder((8,), {"share": "simplex", "p": "unit_interval"}), data)
        >>> {name: [round(float(each), 3) for each in value] for name, value in found.items()}
        {'share': [0.188, 0.812]}
    """
    if data is None or data.dense is None:
        return {}
    # half a count more: a gene without any begins low, not at 0; what is no count may be negative
    mean = jnp.maximum((data.dense.sum(axis=0) + 0.5) / data.n_cells, _LEAST)
    found = {}
    for name, over_genes in decoder.outputs_over_genes().items():
        kind = decoder.outputs[name][0]
        if kind == SIMPLEX:
            found[name] = mean / mean.sum()
        elif name == "mu" and kind == "positive" and over_genes:
            found[name] = mean
    return found


@dataclass(frozen=True, eq=False)
class GroupedAmortizedGuide:
    """Several parameters of each cell together: what a decoder makes of a latent vector that an encoder guides.

    Args:
        encoder: An amortizer with the outputs that the latent specification asks for (`loc` and `log_scale`, a log
            *variance*), usually of the statistic COUNTS.
        latent_spec: The latent vector.
        decoder: From the latent vector to named parameters.
        starts: Output of the decoder -> value at which it begins, a number or shape (n_genes,). Without one, an output
            `mu` above 0 begins at each gene's mean count and a simplex at each gene's share of all counts, others at
            the middle of their kind.

    Raises:
        ConfigurationError: an encoder whose outputs are not what the latent specification needs.

    Source:
        D. P. Kingma, M. Welling (2014), Auto-encoding variational Bayes, https://arxiv.org/abs/1312.6114; for counts of
        single cells R. Lopez et al. (2018), https://doi.org/10.1038/s41592-018-0229-2.

    Example:
        >>> from modelwright.bayesian.builders.latent_specs import GaussianLatentSpec
        >>> from modelwright.bayesian.components.sufficient_statistics import COUNTS
        >>> encoder = Amortizer(COUNTS, (128,), ("loc", "log_scale"))
        >>> group = GroupedAmortizedGuide(encoder, GaussianLatentSpec(10), Decoder((128,), {"mu": "positive"}))
        >>> group.latent_spec.sample_site
        'z'
    """

    encoder: Amortizer
    latent_spec: "LatentSpec"
    decoder: Decoder
    starts: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        needed = dict(self.latent_spec.var_params)
        if self.encoder.kinds != needed:
            raise ConfigurationError(
                "the encoder's outputs are not what the latent variable needs (log_scale is a log variance)",
                field="encoder.output_params",
                expected=str(needed),
                got=self.encoder.kinds,
            )

    def decoder_module(self, sizes: Mapping[str, int], data: ObservedCounts | None = None) -> Decoding:
        """Register the decoder `{sample_site}_decoder`, once and outside of all plates.

        Args:
            sizes: Length of every axis.
            data: The observed data, for outputs to begin near them.

        Returns:
            What turns z into the parameters of cells; see `decode`.
        """
        name = f"{self.latent_spec.sample_site}_decoder"
        starts = {**starts_of_outputs(self.decoder, data), **(self.starts or {})}
        return self.decoder.register(name, self.latent_spec.latent_dim, sizes, starts)

    def decode(self, decoding: Decoding, z: Any, batch: Any = None) -> dict[str, Any]:
        """Parameters of cells from their latent vectors, inside the plate of cells or outside.

        Args:
            decoding: What `decoder_module` returned.
            z: Shape (n_batch, latent_dim).
            batch: Batch of each of these cells, shape (n_batch,); None without.

        Returns:
            Output -> value, shape (n_batch, n_genes) or (n_batch,).
        """
        return decoding(z, batch)

    def encode(self, context: GuideContext, plate: Any = None) -> dist.Distribution:
        """Register the encoder `{sample_site}_encoder` and return the guide's distribution of z.

        Called once and outside of all plates; z is sampled from it inside the plate of cells.

        Args:
            context: The mini-batch and the data.
            plate: The plate of cells; not needed.

        Returns:
            Batch shape (n_batch,), event shape (latent_dim,).
        """
        inputs = self.encoder.inputs(context.data, "cells", context.cells)
        name = f"{self.latent_spec.sample_site}_encoder"
        return self.latent_spec.make_guide_dist(self.encoder.outputs(name, inputs, self.latent_spec.latent_dim))
