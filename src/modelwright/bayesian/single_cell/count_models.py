"""Four count models of single cells, in three parameterisations each.

    nbdm      y_cg ~ NegativeBinomial(r_g, p)
    zinb      with probability gate_g a count is zero, else as before
    nbvcp     of every molecule of cell c the share p_capture_c is seen: p becomes p nu/(1 - p (1 - nu))
    zinbvcp   both

    canonical    p, r
    mean_prob    p, mu      with r = mu (1-p)/p
    mean_odds    phi, mu    with r = mu phi, p = 1/(1+phi)

p is the probability that multiplies the count (mean r p/(1-p)), phi = (1-p)/p. Without more, each parameterisation has
priors of its own, and so is a model of its own; `priors="canonical"` keeps the model and changes the coordinates only.
"""

from typing import Any, Literal, get_args

from modelwright.bayesian.builders.guide import Guide
from modelwright.bayesian.builders.guide_builder import GuideBuilder
from modelwright.bayesian.builders.model import Entries, Model
from modelwright.bayesian.builders.model_builder import ModelBuilder
from modelwright.bayesian.builders.parameter_specs import BetaPrimeSpec, BetaSpec, DirichletSpec, LogNormalSpec
from modelwright.bayesian.components.conditional_guide import ConditionalGuide
from modelwright.bayesian.components.count_likelihoods import NegativeBinomialLikelihood
from modelwright.bayesian.components.guide_families import AbstractGuideFamily, MeanFieldGuide
from modelwright.bayesian.components.mixture_likelihood import MixtureLikelihood
from modelwright.bayesian.components.parameterizations import COORDINATES
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

Kind = Literal["nbdm", "zinb", "nbvcp", "zinbvcp"]
Parameterization = Literal["canonical", "mean_prob", "mean_odds"]
Cells = Literal["auto", "integrated", "sampled"]

PRIOR_OF_P = (1.0, 1.0)
PRIOR_OF_LEVEL = (0.0, 1.5)
"""Of log r and log mu: 90 % between a twelfth and twelve; arbitrary, and wide beside what hundreds of cells say."""
PRIOR_OF_GATE = (1.0, 4.0)
PRIOR_OF_CAPTURE = (1.0, 1.0)


def count_model(
    kind: Kind = "nbdm",
    parameterization: Parameterization = "mean_prob",
    *,
    priors: Literal["own", "canonical"] = "own",
    components: int = 1,
    entries: Entries = "auto",
    cells: Cells = "auto",
    genes_guide: AbstractGuideFamily | None = None,
    cells_guide: AbstractGuideFamily | None = None,
) -> Model:
    """A count model of cells x genes.

    Args:
        kind: Which of the four.
        parameterization: In which coordinates.
        priors: "own": p ~ Beta, r or mu ~ LogNormal, phi ~ BetaPrime; "canonical": the model is that of p ~ Beta,
            r ~ LogNormal whatever the coordinates.
        components: Of a mixture in which the level of every gene differs; 1 for none.
        entries: Whether the likelihood looks at every entry ("dense") or at distinct pairs where it can.
        cells: Whether capture probabilities are "integrated" out and drawn after the fit, or "sampled" like everything
            else; "auto" integrates them out where it can (nbvcp without components) unless `cells_guide` or dense
            entries are asked for.
        genes_guide: Family of the parameters of genes; by default normal, each with a slope on the global parameter.
        cells_guide: Family of the capture probabilities; independent normal on the log-odds by default.

    Raises:
        ConfigurationError: a kind or parameterisation that is none.

    Example:
        >>> model = count_model("zinbvcp", "mean_odds")
        >>> [part.name for part in model.parts], model.compressed_form
        (['phi', 'mu', 'gate', 'p_capture', 'p', 'r'], 'sparse')
    """
    for field, given, known in (
        ("kind", kind, get_args(Kind)),
        ("parameterization", parameterization, get_args(Parameterization)),
        ("priors", priors, ("own", "canonical")),
        ("cells", cells, get_args(Cells)),
    ):
        if given not in known:
            raise ConfigurationError("not one of the choices", field=field, got=given, todo=suggestion(given, known))
    way = COORDINATES[parameterization]
    of_genes = genes_guide or ConditionalGuide(on=(way.first,))
    level: dict[str, Any] = {"is_mixture": components > 1, "guide_family": of_genes}
    builder = ModelBuilder()
    a, b = PRIOR_OF_P
    builder.add_param(BetaSpec("p", (), (a, b)) if way.first == "p" else BetaPrimeSpec("phi", (), (b, a)))
    if way.first != "p":
        builder.add_derived("p", way.probability, [way.first])
    location, scale = PRIOR_OF_LEVEL
    if way.second != "r" and priors == "canonical":  # what keeps the model: mu is r moved by the log odds
        builder.add_derived("mu_location", lambda first: location + way.log_odds(first), [way.first])
        builder.add_param(LogNormalSpec(way.second, ("n_genes",), ("mu_location", scale), **level))
    else:
        builder.add_param(LogNormalSpec(way.second, ("n_genes",), PRIOR_OF_LEVEL, **level))
    if way.second != "r":
        builder.add_derived("r", way.concentration, [way.first, way.second])
    gated, captured = kind in ("zinb", "zinbvcp"), kind in ("nbvcp", "zinbvcp")
    if gated:
        builder.add_param(BetaSpec("gate", ("n_genes",), PRIOR_OF_GATE, guide_family=of_genes))
    if captured:
        guide = cells_guide or MeanFieldGuide()
        builder.add_param(BetaSpec("p_capture", ("n_cells",), PRIOR_OF_CAPTURE, guide_family=guide))
    likelihood = NegativeBinomialLikelihood(
        odds_against="phi" if way.first == "phi" else None,
        gate="gate" if gated else None,
        capture="p_capture" if captured else None,
    )
    wanted = cells == "integrated" or (cells == "auto" and cells_guide is None and entries != "dense")
    can = kind == "nbvcp" and components == 1
    if cells == "integrated" and not can:
        raise ConfigurationError(
            "cells are integrated out where each is known by its total",
            field="cells",
            expected="nbvcp without components",
            got=kind if components == 1 else f"{kind} with {components} components",
            todo="leave cells out",
        )
    if cells == "integrated" and cells_guide is not None:
        raise ConfigurationError(
            "no guide has a part in what is integrated out",
            field="cells_guide",
            expected='cells="sampled", or no cells_guide',
            got=type(cells_guide).__name__,
        )
    if components == 1:
        out = "p_capture" if wanted and can else None
        return builder.with_likelihood(likelihood, entries=entries, integrate_out=out).build()
    builder.add_param(DirichletSpec("weights", ("n_components",), (1.0,)))
    return builder.with_likelihood(MixtureLikelihood(likelihood, components), entries=entries).build()


def default_guide(model: Model) -> Guide:
    """The guide of a count model, each parameter with the family its specification names."""
    return GuideBuilder().for_model(model).build()
