"""Models and guide families that `count_recovery.py` crosses, and data drawn from each model's own prior."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import seed as seeded
from numpyro.handlers import trace, uncondition

from modelwright.bayesian.builders import (
    BetaPrimeSpec,
    BetaSpec,
    Guide,
    GuideBuilder,
    HalfNormalSpec,
    LogNormalSpec,
    Model,
    ModelBuilder,
    NormalSpec,
)
from modelwright.bayesian.components import (
    TOTAL_COUNT,
    AbstractGuideFamily,
    AmortizedGuide,
    Amortizer,
    ConditionalGuide,
    GaussianLikelihood,
    JointLowRankGuide,
    LogNormalLikelihood,
    LowRankGuide,
    MeanFieldGuide,
    NegativeBinomialLikelihood,
    NormalizingFlowGuide,
    ObservedCounts,
    PoissonLikelihood,
    observe,
)
from modelwright.bayesian.components.compressed_counts import CompressedMatrix, compress_matrix
from modelwright.bayesian.single_cell.count_models import PRIOR_OF_GATE, PRIOR_OF_LEVEL, PRIOR_OF_P, count_model
from modelwright.core.seeds import named_seed

PARAMETERIZATIONS = ("canonical", "mean_prob", "mean_odds")
COUNT_MODELS = ("nbdm", "zinb", "nbvcp", "zinbvcp")
RANK = 5


@dataclass(frozen=True)
class Case:
    """A likelihood in one parameterisation.

    Args:
        name: Of the likelihood.
        parameterization: One of `PARAMETERIZATIONS`, or "" where there is one only.
        model: The model.
        share: Of the cells and genes asked for, for models that look at every entry of the table.
        batches: Batches of cells.
    """

    name: str
    parameterization: str
    model: Model
    share: float = 1.0
    batches: int = 0

    @property
    def globals(self) -> list[str]:
        """Parameters of a single number."""
        return [spec.name for spec in self.model.specs if spec.dims == ()]

    @property
    def of_cells(self) -> list[str]:
        """Parameters of cells."""
        return [spec.name for spec in self.model.specs if spec.is_cell_specific]

    @property
    def of_genes(self) -> list[str]:
        """Parameters over genes."""
        return [spec.name for spec in self.model.specs if "n_genes" in spec.dims]


def cases() -> list[Case]:
    """Every likelihood in every parameterisation that it has."""
    found = [
        Case(kind, way, _with_cells(kind, way), share=0.6 if kind == "zinbvcp" else 1.0)
        for kind in COUNT_MODELS
        for way in PARAMETERIZATIONS
    ]
    found += [Case("mixture", way, count_model("nbdm", way, components=2), share=0.5) for way in PARAMETERIZATIONS]
    found += [Case("batches", way, _of_batches(way), share=0.5, batches=2) for way in PARAMETERIZATIONS]
    level = LogNormalSpec("mu", ("n_genes",), PRIOR_OF_LEVEL)
    gate = BetaSpec("gate", ("n_genes",), PRIOR_OF_GATE)
    real, spread = NormalSpec("mu", ("n_genes",), (0.0, 2.0)), HalfNormalSpec("sigma", ("n_genes",), (1.0,))
    for name, specs, likelihood in (
        ("poisson", (level,), PoissonLikelihood()),
        ("zip", (level, gate), PoissonLikelihood(gate="gate")),
        ("gaussian", (real, spread), GaussianLikelihood()),
        ("lognormal", (real, spread), LogNormalLikelihood()),
    ):
        builder = ModelBuilder()
        for spec in specs:
            builder.add_param(spec)
        found.append(Case(name, "", builder.with_likelihood(likelihood).build()))
    return found


def _with_cells(kind: str, way: str) -> Model:
    """A count model with its cells among the sites, of a form whose tables can be made equally long."""
    return count_model(kind, way, cells="sampled", entries="dense" if kind == "zinbvcp" else "auto")  # type: ignore[arg-type]


def _of_batches(way: str) -> Model:
    axes = ("n_batches", "n_genes")
    builder = ModelBuilder()
    if way == "mean_odds":
        builder.add_param(BetaPrimeSpec("phi", (), PRIOR_OF_P[::-1]))
        builder.add_derived("r", lambda phi, mu: mu * phi, ["phi", "mu"])
    else:
        builder.add_param(BetaSpec("p", (), PRIOR_OF_P))
    builder.add_param(LogNormalSpec("r" if way == "canonical" else "mu", axes, PRIOR_OF_LEVEL))
    if way == "mean_prob":
        builder.add_derived("r", lambda p, mu: mu * (1.0 - p) / p, ["p", "mu"])
    likelihood = NegativeBinomialLikelihood(odds_against="phi" if way == "mean_odds" else None)
    return builder.with_likelihood(likelihood).build()


def family_names(case: Case) -> list[str]:
    """The guide families that say something of their own about this model."""
    several = bool(case.globals) or len(case.of_genes) > 1
    chained = (len(case.of_genes) > 1 and bool(case.globals)) or bool(case.of_cells)
    return [
        "mean field",
        *(["conditional"] if several else []),
        *(["chain"] if chained else []),
        "low rank",
        "joint low rank",
        "flow",
        *(["conditional flow"] if several else []),
        *(["amortized cells"] if case.of_cells else []),
    ]


def guide_of(case: Case, family: str) -> Guide:
    """The guide of a model by one family.

    conditional: genes on the single number (or gates on levels, where there is none), as `count_model` does by default;
    chain: everything on all that it may follow; amortized cells: cells from their totals, genes as in conditional.
    """
    chosen = {spec.name: _family(case, family, spec.name) for spec in case.model.specs}
    specs = [replace(spec, guide_family=chosen[spec.name]) for spec in case.model.specs]
    guide = GuideBuilder().from_specs(specs).build()
    return replace(guide, lengths=dict(case.model.lengths))


def parents(case: Case, family: str, name: str) -> tuple[str, ...]:
    """The parameters that a parameter's guide follows."""
    before = case.of_genes[: case.of_genes.index(name)] if name in case.of_genes else []
    if family == "chain":
        return (*case.globals, *before) if name in (*case.of_genes, *case.of_cells) else ()
    if family in ("conditional", "conditional flow", "amortized cells") and name in case.of_genes:
        return tuple(case.globals or before[:1])
    return ()


def _family(case: Case, family: str, name: str) -> AbstractGuideFamily:
    of_cells, on = name in case.of_cells, parents(case, family, name)
    match family:
        case "low rank":
            return MeanFieldGuide() if of_cells or name in case.globals else LowRankGuide(RANK)
        case "joint low rank":
            return MeanFieldGuide() if of_cells else JointLowRankGuide(RANK)
        case "flow":
            return NormalizingFlowGuide()
        case "amortized cells" if of_cells:
            return AmortizedGuide(Amortizer(TOTAL_COUNT))
    base = NormalizingFlowGuide() if family == "conditional flow" else MeanFieldGuide()
    return ConditionalGuide(on, base) if on else base


@dataclass(frozen=True)
class Drawn:
    """Data sets of one model, all of the same shapes, with the values they were drawn from."""

    data: list[ObservedCounts]
    truth: list[dict[str, np.ndarray]]


def draw(case: Case, n_cells: int, n_genes: int, repeats: int, seed: int) -> Drawn:
    """Parameters from the model's own prior and data from the parameters; no data set is left out."""
    n_cells, n_genes = round(case.share * n_cells), max(5, round(case.share * n_genes))
    batch = np.arange(n_cells) % case.batches if case.batches else None
    like = observe(np.zeros((n_cells, n_genes)), batch=batch)
    apart = uncondition(case.model.entry_by_entry())

    def one(key: Any) -> dict[str, Any]:
        sites = trace(seeded(apart, key)).get_trace(like)
        return {name: site["value"] for name, site in sites.items() if site["type"] in ("sample", "deterministic")}

    key = jax.random.key(named_seed(seed, f"{case.name} {case.parameterization}"))
    found = jax.jit(jax.vmap(one))(jax.random.split(key, repeats))
    found = {name: np.asarray(values, float) for name, values in found.items() if name != "cells"}
    tables = found.pop("counts")
    packed: list[Any] = [None] * repeats
    if case.model.compressed_form in ("rank one", "pairs"):
        rows = batch if case.model.tells_batches_apart else None
        packed = [compress_matrix(table, rows, n_batches=case.batches or None) for table in tables]
        n_pairs, n_totals = (max(map(size, packed)) for size in (lambda each: each.n_pairs, distinct_totals))
        packed = [padded(each, n_pairs, n_totals) for each in packed]
    # totals are what amortizers look at
    data = [
        observe(table, batch=batch, compressed=each, statistics=[TOTAL_COUNT] if case.of_cells else [])
        for table, each in zip(tables, packed, strict=True)
    ]
    return Drawn(data, [{name: values[k] for name, values in found.items()} for k in range(repeats)])


def distinct_totals(table: CompressedMatrix) -> int:
    """How many different totals the cells have."""
    return len(table.distinct_total)


def padded(table: CompressedMatrix, n_pairs: int, n_totals: int) -> CompressedMatrix:
    """The same table with pairs and totals that occur zero times at its end: data sets share one compiled program.

    Single entries are put aside: the forms "rank one" and "pairs" do not look at them.
    """
    more, totals = n_pairs - table.n_pairs, n_totals - distinct_totals(table)
    nothing = np.zeros(0, np.int32)
    return replace(
        table,
        pair_group=np.append(table.pair_group, np.full(more, table.n_groups - 1, np.int32)),
        pair_count=np.append(table.pair_count, np.ones(more, np.int32)),
        pair_multiplicity=np.append(table.pair_multiplicity, np.zeros(more, np.int32)),
        distinct_total=np.append(table.distinct_total, np.full(totals, table.distinct_total[-1])),
        total_multiplicity=np.append(table.total_multiplicity, np.zeros(totals, np.int32)),
        entry_cell=nothing,
        entry_gene=nothing,
        entry_count=nothing,
    )


Values = Mapping[str, Any]


def quantities(case: Case) -> dict[str, Callable[[Values], dict[str, Any]]]:
    """Group of quantities -> function of the values of all sites (of one draw) to named arrays.

    Of models with capture probabilities the odds of each cell, nu p/(1-p), and r follow from the data; nu, p and mu by
    themselves do not and rest on their priors.
    """
    odds = case.parameterization == "mean_odds"

    def of_cells(values: Values) -> dict[str, Any]:
        return {"p_capture": values["p_capture"]}

    def identified(values: Values) -> dict[str, Any]:
        base = 1.0 / values["phi"] if odds else values["p"] / (1.0 - values["p"])
        return {"odds": values["p_capture"] * jnp.asarray(base)[..., None]}

    def of_genes(values: Values) -> dict[str, Any]:
        derived = [name for name in ("r",) if name in values and name not in case.of_genes]
        return {name: values[name] for name in (*case.of_genes, *derived)}

    def shared(values: Values) -> dict[str, Any]:
        found = {name: values[name] for name in case.globals}
        return {**found, "weights": values["weights"][..., :-1]} if "weights" in values else found

    found: dict[str, Callable[[Values], dict[str, Any]]] = {"genes": of_genes}
    if case.globals:
        found["shared"] = shared
    if case.of_cells:
        found |= {"cells": of_cells, "odds of cells": identified}
    return found
