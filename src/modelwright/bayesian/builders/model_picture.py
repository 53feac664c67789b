"""A built model as a plate diagram."""

from modelwright.bayesian.builders.composition import Decoded, FromData, Part
from modelwright.bayesian.builders.specification import CELLS, GENES, AbstractParamSpec
from modelwright.bayesian.components.likelihoods import AbstractLikelihood
from modelwright.bayesian.diagnostics.model_graph import Node, Plate, model_graph_svg


def model_svg(
    parts: tuple[Part, ...], dims: dict[str, tuple[str, ...]], likelihood: AbstractLikelihood, groups: tuple[str, ...]
) -> bytes:
    """The diagram, a whole SVG file.

    Args:
        parts: The parts of the model.
        dims: Axes of each, by name.
        likelihood: How counts follow.
        groups: Sample sites of latent variables.
    """
    nodes = [Node(site, "latent", "latent of every cell", _plate((CELLS,))) for site in groups]
    edges = []
    for part in parts:
        plate = _plate(dims[part.name])
        match part:
            case AbstractParamSpec():
                arguments = ", ".join(f"{a:g}" if isinstance(a, float) else _short(a) for a in part.default_params)
                nodes.append(Node(part.name, "latent", f"{type(part).__name__[:-4]}({arguments})", plate))
            case FromData():
                nodes.append(Node(part.name, "data", part.statistic.name, plate))
            case Decoded():
                nodes.append(Node(part.name, "deterministic", "decoder", plate))
                edges.append((part.latent, part.name))
            case _:
                nodes.append(Node(part.name, "deterministic", "", plate))
        edges += [(other, part.name) for other in part.depends_on]
    nodes.append(
        Node("counts", "observed", type(likelihood).__name__.removesuffix("Likelihood"), _plate((CELLS, GENES)))
    )
    edges += [(name, "counts") for name in likelihood.parameters]
    used = {node.plate for node in nodes if node.plate is not None}
    return model_graph_svg("The model", nodes, edges, [Plate(name, name) for name in _PLATES if name in used])


_PLATES = ("cells", "genes", "cells x genes")


def _plate(dims: tuple[str, ...]) -> str | None:
    if CELLS in dims:
        return "cells x genes" if GENES in dims else "cells"
    return "genes" if GENES in dims else None


def _short(argument: object) -> str:
    return argument if isinstance(argument, str) else "..."
