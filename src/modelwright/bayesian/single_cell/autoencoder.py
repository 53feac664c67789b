"""A variational autoencoder of counts: every cell has a latent vector, and a network turns it into shares of genes.

    z_c ~ Normal(0, 1)^latent_dim,     share_c = softmax(decoder(z_c)),     mu_cg = total_c share_cg
    r_g ~ LogNormal,                   y_cg ~ NegativeBinomial of mean mu_cg and concentration r_g, gated if wanted

total_c is the cell's own total count, read off the data: what is modelled is how it is shared out among the genes.
"""

from collections.abc import Sequence

from modelwright.bayesian.builders.latent_specs import GaussianLatentSpec, LatentSpec
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.builders.model_builder import ModelBuilder
from modelwright.bayesian.builders.parameter_specs import LogNormalSpec
from modelwright.bayesian.components.amortizers import Amortizer
from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood
from modelwright.bayesian.components.decoders import Decoder
from modelwright.bayesian.components.grouped_amortized_guide import GroupedAmortizedGuide
from modelwright.bayesian.components.sufficient_statistics import COUNTS, TOTAL_COUNT
from modelwright.bayesian.single_cell.count_models import PRIOR_OF_LEVEL
from modelwright.core.errors import ConfigurationError


def count_autoencoder(
    latent_dim: int = 10,
    hidden_dims: Sequence[int] = (128,),
    *,
    gated: bool = False,
    batch_covariate: bool = False,
    latent_spec: LatentSpec | None = None,
) -> Model:
    """A variational autoencoder of cells x genes, with `default_guide` as its guide.

    Args:
        latent_dim: Numbers in a cell's latent vector.
        hidden_dims: Widths of the encoder's hidden layers, and of the decoder's in reverse.
        gated: Whether a count may be zero with a probability that the decoder puts out for each cell and gene.
        batch_covariate: Whether the decoder is told each cell's batch, so that the latent vector need not.
        latent_spec: A latent variable in the place of a standard normal one of `latent_dim` numbers.

    Source:
        R. Lopez et al. (2018), Deep generative modeling for single-cell transcriptomics,
        https://doi.org/10.1038/s41592-018-0229-2.

    Example:
        >>> model = count_autoencoder(latent_dim=5)
        >>> [part.name for part in model.parts]
        ['r', 'total', 'share', 'mu']
    """
    latent = latent_spec or GaussianLatentSpec(latent_dim)
    if not isinstance(hidden_dims, Sequence) or isinstance(hidden_dims, str):
        raise ConfigurationError(
            "not usable", field="hidden_dims", expected="widths such as (128, 64)", got=hidden_dims
        )
    widths = tuple(hidden_dims)
    outputs: dict[str, str] = {"share": "simplex", **({"gate": "unit_interval"} if gated else {})}
    group = GroupedAmortizedGuide(
        Amortizer(COUNTS, widths, tuple(latent.var_params), layer_norm=True),
        latent,
        Decoder(widths[::-1], outputs, batch_covariate=batch_covariate, layer_norm=True),
        starts={"gate": 0.05} if gated else None,
    )
    return (
        ModelBuilder()
        .add_param(LogNormalSpec("r", ("n_genes",), PRIOR_OF_LEVEL))
        .add_statistic("total", TOTAL_COUNT)
        .add_latent(group)
        .add_derived("mu", lambda share, total: share * total, ["share", "total"])
        .with_likelihood(NegativeBinomialLikelihood(mean="mu", gate="gate" if gated else None))
        .build()
    )
