"""A model as a plate diagram in SVG, drawn without any program outside Python.

Circles are random variables (shaded when observed), rounded boxes are computed from their parents, square boxes are
data; an arrow says "depends on"; a plate is a frame around what is repeated, its label saying over what. Where things
stand is worked out in `graph_layout`; this module checks the graph and draws it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from modelwright.bayesian.diagnostics.graph_layout import Box, Layout, Point, lay_out
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

NodeKind = Literal["latent", "observed", "deterministic", "data"]

_INK, _LINE, _PLATE, _SHADE = "#1f2933", "#52606d", "#9aa5b1", "#cbd6e2"
_FONT = "font-family=\"'DejaVu Sans', Verdana, Arial, sans-serif\""
_KINDS = {"latent": "unknown", "observed": "observed", "deterministic": "computed", "data": "data"}
_NAME_SIZE, _NOTE_SIZE = 14.0, 11.0
_WIDTH_PER_SIGN = 0.62  # of the font size: about the widest average of common sans-serif fonts


@dataclass(frozen=True)
class Node:
    """A variable of the model.

    Args:
        name: Its name, unique.
        kind: latent, observed, deterministic or data.
        distribution: Written below the name ("Gamma(mu alpha, alpha)").
        plate: The innermost plate it is repeated over, if any.
    """

    name: str
    kind: NodeKind = "latent"
    distribution: str = ""
    plate: str | None = None


@dataclass(frozen=True)
class Plate:
    """A frame around what is repeated.

    Args:
        name: Its name, unique among plates.
        label: What it is repeated over ("entity, 200").
        parent: The plate around it, if any.
    """

    name: str
    label: str
    parent: str | None = None


def model_graph_svg(
    title: str, nodes: Iterable[Node], edges: Iterable[tuple[str, str]], plates: Iterable[Plate] = ()
) -> bytes:
    """The diagram of a model.

    Args:
        title: Read out by screen readers; not drawn.
        nodes: The variables.
        edges: (parent, child) pairs of variable names.
        plates: The frames.

    Returns:
        A whole SVG file, the same for the same arguments.

    Raises:
        ConfigurationError: for a name that is not there or stands twice, and for arrows that lead in a circle.

    Example:
        >>> nodes = [Node("mu", "latent", "Exponential(0.1)"), Node("y", "observed", "Poisson(mu)", plate="obs")]
        >>> svg = model_graph_svg("counts", nodes, [("mu", "y")], [Plate("obs", "observation, 40")])
        >>> svg.startswith(b"<svg"), b"Exponential(0.1)" in svg
        (True, True)
        >>> model_graph_svg("counts", nodes, [("nu", "y")], [Plate("obs", "observation, 40")])
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: edges: no variable is called 'nu'; known: mu, y
    """
    listed, frames = list(nodes), list(plates)
    arrows = list(dict.fromkeys(edges))
    _check(listed, arrows, frames)
    layout = lay_out(
        {node.name: _size(node) for node in listed},
        arrows,
        node_plate={node.name: node.plate for node in listed},
        plate_parent={plate.name: plate.parent for plate in frames},
        plate_label_width={plate.name: _text_width(plate.label, _NOTE_SIZE) + 16 for plate in frames},
        square=frozenset(node.name for node in listed if node.kind in ("deterministic", "data")),
    )
    return _draw(title, listed, arrows, frames, layout)


def _check(nodes: list[Node], edges: list[tuple[str, str]], plates: list[Plate]) -> None:
    names, frames = [node.name for node in nodes], [plate.name for plate in plates]
    if not nodes:
        raise ConfigurationError("there is nothing to draw", field="nodes", expected="at least one variable")
    for field, listed in (("nodes", names), ("plates", frames)):
        twice = next((name for name in listed if listed.count(name) > 1), None)
        if twice is not None:
            raise ConfigurationError(f"the name {twice!r} stands twice", field=field)
    for name in (end for edge in edges for end in edge):
        if name not in names:
            raise ConfigurationError(f"no variable is called {name!r}", field="edges", todo=suggestion(name, names))
    for plate_name in [node.plate for node in nodes] + [plate.parent for plate in plates]:
        if plate_name is not None and plate_name not in frames:
            raise ConfigurationError(
                f"no plate is called {plate_name!r}", field="plates", todo=suggestion(plate_name, frames)
            )
    _refuse_circle(edges, field="edges")
    _refuse_circle([(plate.parent, plate.name) for plate in plates if plate.parent is not None], field="plates")


def _refuse_circle(edges: list[tuple[str, str]], *, field: str) -> None:
    left = list(edges)
    while left:
        targets = {target for _, target in left}
        kept = [edge for edge in left if edge[0] in targets]
        if len(kept) == len(left):
            circle = ", ".join(sorted({source for source, _ in left}))
            raise ConfigurationError(f"arrows lead in a circle through {circle}", field=field, expected="no circle")
        left = kept


def _text_width(text: str, size: float) -> float:
    wide = sum(1.6 if ord(sign) > 0x2E7F else 1.0 for sign in text)  # East Asian signs take a whole square
    return wide * size * _WIDTH_PER_SIGN


def _size(node: Node) -> tuple[float, float]:
    inner = max(_text_width(node.name, _NAME_SIZE), _text_width(node.distribution, _NOTE_SIZE))
    if node.kind in ("latent", "observed"):
        return max(64.0, inner * 1.18 + 26), 58.0 if node.distribution else 50.0
    return max(56.0, inner + 24), 46.0 if node.distribution else 34.0


def _draw(title: str, nodes: list[Node], edges: list[tuple[str, str]], plates: list[Plate], layout: Layout) -> bytes:
    kinds = [kind for kind in _KINDS if any(node.kind == kind for node in nodes)]
    legend_width = 20 + sum(34 + _text_width(_KINDS[kind], _NOTE_SIZE) for kind in kinds)
    width, height = max(layout.width, legend_width), layout.height + 34
    shift = (width - layout.width) / 2
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label={quoteattr(_clean(title))} {_FONT}>',
        f"<title>{_text(title)}</title>",
        f'<defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0.8L10 5L0 9.2z" fill="{_LINE}"/></marker></defs>',
        f'<rect width="{width:.0f}" height="{height:.0f}" fill="#ffffff"/>',
        f'<g transform="translate({shift:.1f} 0)">',
    ]
    drawn = [plate for plate in plates if plate.name in layout.plates]
    parts.extend(_draw_plate(layout.plates[plate.name]) for plate in drawn)
    parts.extend(_draw_arrow(layout.arrows[edge]) for edge in edges)
    parts.extend(_draw_plate_label(plate, layout.plates[plate.name]) for plate in drawn)
    parts.extend(_draw_node(node, layout.nodes[node.name]) for node in nodes)
    parts.append("</g>")
    parts.append(_draw_legend(kinds, (width - legend_width) / 2 + 10, height - 18))
    parts.append("</svg>\n")
    return "\n".join(parts).encode("utf-8")


def _draw_plate(box: Box) -> str:
    return (
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="10" '
        f'fill="none" stroke="{_PLATE}" stroke-width="1.3"/>'
    )


def _draw_plate_label(plate: Plate, box: Box) -> str:
    """With a white rim, so that an arrow that passes below does not cross it out."""
    return (
        f'<text x="{box.left + box.width - 10:.1f}" y="{box.top + box.height - 8:.1f}" text-anchor="end" '
        f'font-size="{_NOTE_SIZE:.0f}" fill="{_LINE}" stroke="#ffffff" stroke-width="4" paint-order="stroke">'
        f"{_text(plate.label)}</text>"
    )


def _draw_arrow(points: tuple[Point, Point, Point]) -> str:
    (x0, y0), (x1, y1), (x2, y2) = points
    return (
        f'<path d="M{x0:.1f} {y0:.1f}Q{x1:.1f} {y1:.1f} {x2:.1f} {y2:.1f}" fill="none" stroke="{_LINE}" '
        f'stroke-width="1.4" marker-end="url(#arrow)"/>'
    )


def _draw_node(node: Node, box: Box) -> str:
    x, y = box.centre
    shape = _shape(node.kind, box)
    name_y = y - 3 if node.distribution else y + 5
    lines = [_line(node.name, x, name_y, _NAME_SIZE, _INK, "600")]
    if node.distribution:
        lines.append(_line(node.distribution, x, y + 13, _NOTE_SIZE, _LINE, "400"))
    return shape + "".join(lines)


def _shape(kind: NodeKind, box: Box) -> str:
    fill = {"latent": "#ffffff", "observed": _SHADE, "deterministic": "#ffffff", "data": _SHADE}[kind]
    if kind in ("latent", "observed"):
        x, y = box.centre
        return (
            f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{box.width / 2:.1f}" ry="{box.height / 2:.1f}" fill="{fill}" '
            f'stroke="{_INK}" stroke-width="1.4"/>'
        )
    corner = min(10.0, box.height / 3) if kind == "deterministic" else 0
    dashes = ' stroke-dasharray="5 3"' if kind == "deterministic" else ""
    return (
        f'<rect x="{box.left:.1f}" y="{box.top:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="{corner:g}" '
        f'fill="{fill}" stroke="{_INK}" stroke-width="1.4"{dashes}/>'
    )


def _draw_legend(kinds: list[str], x: float, y: float) -> str:
    parts = []
    for kind in kinds:
        parts.append(_shape(kind, Box(x, y - 6, 18, 12)))
        parts.append(
            f'<text x="{x + 23:.1f}" y="{y + 4:.1f}" font-size="{_NOTE_SIZE:.0f}" fill="{_LINE}">{_KINDS[kind]}</text>'
        )
        x += 34 + _text_width(_KINDS[kind], _NOTE_SIZE)
    return "".join(parts)


def _line(text: str, x: float, y: float, size: float, colour: str, weight: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" font-size="{size:.0f}" font-weight="{weight}" '
        f'fill="{colour}">{_text(text)}</text>'
    )


def _text(text: str) -> str:
    return escape(_clean(text))


def _clean(text: str) -> str:
    """Without the control signs that XML does not allow."""
    return "".join(
        sign if sign in "\t\n\r" or (ord(sign) >= 0x20 and not 0xD800 <= ord(sign) <= 0xDFFF) else " " for sign in text
    )
