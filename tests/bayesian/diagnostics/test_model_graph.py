"""Plate diagrams: well-formed, nothing overlaps, plates hold what is theirs, mistakes are named."""

import itertools
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.bayesian.diagnostics.graph_layout import Box, lay_out
from modelwright.bayesian.diagnostics.model_graph import Node, Plate, model_graph_svg
from modelwright.core.errors import ConfigurationError

NODES = [
    Node("mu", "latent", "Exponential(0.1)"),
    Node("theta", "latent", "Gamma(mu alpha, alpha)", "entity"),
    Node("y", "observed", "NegativeBinomial", "obs"),
    Node("exposure", "data", plate="obs"),
    Node("rate", "deterministic", "theta exposure", "obs"),
]
EDGES = [("mu", "theta"), ("theta", "rate"), ("exposure", "rate"), ("rate", "y")]
PLATES = [Plate("entity", "entity, 10"), Plate("obs", "observation, 40")]


def texts(svg):
    return ["".join(n.itertext()) for n in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_everything_is_in_the_picture():
    svg = model_graph_svg("Event rates", NODES, EDGES, PLATES)
    found = texts(svg)
    for text in ("mu", "Exponential(0.1)", "theta", "y", "exposure", "entity, 10", "observation, 40", "observed"):
        assert text in found
    root = ElementTree.fromstring(svg)
    shapes = [child.tag.rpartition("}")[2] for child in root.iter()]
    assert shapes.count("ellipse") == 3 + 2  # three random variables and two kinds of them in the legend
    assert root.find("{http://www.w3.org/2000/svg}title").text == "Event rates"
    assert model_graph_svg("Event rates", NODES, EDGES, PLATES) == svg


def test_names_from_outside_are_escaped():
    name = 'x"<script>alert(1)</script>&\x07'
    svg = model_graph_svg(name, [Node(name, distribution=name)], [], [Plate("p", name)])
    assert b"<script>" not in svg
    assert 'x"<script>alert(1)</script>& ' in texts(svg)


@pytest.mark.parametrize(
    ("nodes", "edges", "plates", "message"),
    [
        ([], [], [], "nodes: there is nothing to draw; expected at least one variable"),
        ([Node("a"), Node("a")], [], [], "nodes: the name 'a' stands twice"),
        ([Node("alpha")], [("alpah", "alpha")], [], "did you mean 'alpha'"),
        ([Node("a", plate="q")], [], [Plate("p", "p")], "plates: no plate is called 'q'; known: p"),
        ([Node("a"), Node("b")], [("a", "b"), ("b", "a")], [], "edges: arrows lead in a circle through a, b"),
        ([Node("a")], [], [Plate("p", "p", "q"), Plate("q", "q", "p")], "plates: arrows lead in a circle"),
    ],
)
def test_mistakes_are_named(nodes, edges, plates, message):
    with pytest.raises(ConfigurationError) as caught:
        model_graph_svg("x", nodes, edges, plates)
    assert message in str(caught.value)


def inside(inner: Box, outer: Box) -> bool:
    return (
        inner.left >= outer.left
        and inner.top >= outer.top
        and inner.left + inner.width <= outer.left + outer.width
        and inner.top + inner.height <= outer.top + outer.height
    )


def apart(a: Box, b: Box) -> bool:
    return (
        a.left + a.width <= b.left
        or b.left + b.width <= a.left
        or a.top + a.height <= b.top
        or b.top + b.height <= a.top
    )


@st.composite
def graphs(draw):
    """Any graph without circles, over any forest of plates."""
    plates = [f"plate{i}" for i in range(draw(st.integers(0, 4)))]
    parents = {p: draw(st.sampled_from([None, *plates[:i]])) for i, p in enumerate(plates)}
    nodes = [f"n{i}" for i in range(draw(st.integers(1, 9)))]
    home = {n: draw(st.sampled_from([None, *plates])) for n in nodes}
    pairs = list(itertools.combinations(nodes, 2))
    edges = [pair for pair in pairs if draw(st.booleans())]
    sizes = {n: (draw(st.floats(40, 200)), draw(st.floats(30, 60))) for n in nodes}
    return sizes, edges, home, parents


@given(graphs())
def test_nothing_overlaps_and_plates_hold_exactly_what_is_theirs(graph):
    sizes, edges, home, parents = graph
    layout = lay_out(
        sizes, edges, node_plate=home, plate_parent=parents, plate_label_width=dict.fromkeys(parents, 90.0)
    )
    chains = {p: {p} | ({q} if (q := parents[p]) else set()) for p in parents}
    for _ in parents:
        chains = {p: above | {q for a in above for q in chains[a]} for p, above in chains.items()}
    for a, b in itertools.combinations(sizes, 2):
        assert apart(layout.nodes[a], layout.nodes[b])
    for plate, box in layout.plates.items():
        for node, where in layout.nodes.items():
            belongs = home[node] is not None and plate in chains[home[node]]
            assert inside(where, box) if belongs else apart(where, box)
        for other, frame in layout.plates.items():
            if other != plate:
                nested = plate in chains[other] or other in chains[plate]
                assert nested or apart(box, frame)
    assert all(inside(box, Box(0, 0, layout.width, layout.height)) for box in layout.nodes.values())


def test_children_stand_below_their_parents():
    layout = lay_out(
        dict.fromkeys("abcd", (50.0, 40.0)),
        [("a", "b"), ("b", "c"), ("d", "c")],
        node_plate=dict.fromkeys("abcd"),
        plate_parent={},
        plate_label_width={},
    )
    tops = {name: box.top for name, box in layout.nodes.items()}
    assert tops["a"] < tops["b"] < tops["c"]
    assert tops["d"] == tops["b"]  # a root stands just above what needs it
