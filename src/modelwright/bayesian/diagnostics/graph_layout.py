"""Where the variables, plates and arrows of a model graph stand.

Each plate is laid out by itself and then stands as one block among its neighbours. Blocks come in rows: a block stands
below everything it depends on, and one that depends on nothing stands just above what needs it. Within a row, blocks
are ordered by where their neighbours stand (two sweeps of the barycentre method), and an arrow that would run through
a variable is bent around it. Lengths are in SVG units (pixels at normal size).

Source: Sugiyama, Tagawa and Toda (1981), "Methods for visual understanding of hierarchical system structures",
https://doi.org/10.1109/TSMC.1981.4308636.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

Point: TypeAlias = tuple[float, float]
Edge: TypeAlias = tuple[str, str]

MARGIN, GAP_X, GAP_Y, PLATE_PAD, PLATE_FOOT = 14.0, 26.0, 46.0, 16.0, 20.0


@dataclass(frozen=True)
class Box:
    """A rectangle by its upper left corner and its size."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> Point:
        """The middle."""
        return self.left + self.width / 2, self.top + self.height / 2

    def moved(self, x: float, y: float) -> "Box":
        """The same rectangle elsewhere."""
        return Box(self.left + x, self.top + y, self.width, self.height)


@dataclass(frozen=True)
class Layout:
    """Boxes of variables and plates, arrows as (start, control point, end) of a quadratic curve, and the whole size."""

    nodes: dict[str, Box]
    plates: dict[str, Box]
    arrows: dict[Edge, tuple[Point, Point, Point]]
    width: float
    height: float


def lay_out(
    sizes: dict[str, tuple[float, float]],
    edges: list[Edge],
    *,
    node_plate: dict[str, str | None],
    plate_parent: dict[str, str | None],
    plate_label_width: dict[str, float],
    square: frozenset[str] = frozenset(),
) -> Layout:
    """Place everything.

    Args:
        sizes: Variable -> (width, height).
        edges: (parent, child) pairs without circles.
        node_plate: Variable -> its innermost plate.
        plate_parent: Plate -> the plate around it.
        plate_label_width: Plate -> room its label needs.
        square: Variables drawn as boxes; arrows end at their sides, elsewhere at an ellipse.

    Returns:
        Boxes that do not overlap, except that a plate holds what is in it.

    Example:
        >>> layout = lay_out({"a": (60, 50), "b": (60, 50)}, [("a", "b")], node_plate={"a": None, "b": None},
        ...                  plate_parent={}, plate_label_width={})
        >>> layout.nodes["a"].top < layout.nodes["b"].top
        True
    """
    nodes, plates, width, height = _block(None, sizes, edges, node_plate, plate_parent, plate_label_width)
    nodes = {name: box.moved(MARGIN, MARGIN) for name, box in nodes.items()}
    plates = {name: box.moved(MARGIN, MARGIN) for name, box in plates.items()}
    arrows = {edge: _arrow(edge, nodes, square) for edge in edges}
    return Layout(nodes, plates, arrows, width + 2 * MARGIN, height + 2 * MARGIN)


def _block(
    plate: str | None,
    sizes: dict[str, tuple[float, float]],
    edges: list[Edge],
    node_plate: dict[str, str | None],
    plate_parent: dict[str, str | None],
    label_width: dict[str, float],
) -> tuple[dict[str, Box], dict[str, Box], float, float]:
    """The contents of a plate (None: the whole graph) with their own origin, and the room they take."""
    inside: dict[str, tuple[dict[str, Box], dict[str, Box], float, float]] = {}
    for name, parent in plate_parent.items():
        if parent == plate:
            block = _block(name, sizes, edges, node_plate, plate_parent, label_width)
            if block[0]:  # a plate around nothing is not drawn
                inside[name] = block
    members = [("node", name) for name in sizes if node_plate[name] == plate] + [("plate", name) for name in inside]
    owner: dict[str, int] = {}
    room: list[tuple[float, float]] = []
    for position, (kind, name) in enumerate(members):
        if kind == "node":
            owner[name] = position
            room.append(sizes[name])
        else:
            owner.update(dict.fromkeys(inside[name][0], position))
            width = max(inside[name][2] + 2 * PLATE_PAD, label_width[name])
            room.append((width, inside[name][3] + PLATE_PAD + PLATE_FOOT))
    links = {(owner[a], owner[b]) for a, b in edges if a in owner and b in owner and owner[a] != owner[b]}
    corners, width, height = _rows(room, sorted(links))
    nodes: dict[str, Box] = {}
    plates: dict[str, Box] = {}
    for (kind, name), (x, y), (w, h) in zip(members, corners, room, strict=True):
        if kind == "node":
            nodes[name] = Box(x, y, w, h)
        else:
            plates[name] = Box(x, y, w, h)
            shift = x + (w - inside[name][2]) / 2, y + PLATE_PAD
            nodes.update({inner: box.moved(*shift) for inner, box in inside[name][0].items()})
            plates.update({inner: box.moved(*shift) for inner, box in inside[name][1].items()})
    return nodes, plates, width, height


def _rows(room: list[tuple[float, float]], links: list[tuple[int, int]]) -> tuple[list[Point], float, float]:
    """Upper left corners of blocks set in rows by level, and the size of it all."""
    if not room:
        return [], 0.0, 0.0
    levels = _levels(len(room), links)
    rows = [[block for block in range(len(room)) if levels[block] == level] for level in range(max(levels) + 1)]
    place = {block: float(position) for row in rows for position, block in enumerate(row)}
    neighbours = {block: [a for a, b in links if b == block] + [b for a, b in links if a == block] for block in place}
    for _ in range(2):
        for row in rows:
            row.sort(key=lambda block: (_mean([place[other] for other in neighbours[block]], place[block]), block))
            middle = (len(row) - 1) / 2
            place.update({block: position - middle for position, block in enumerate(row)})
    widths = [sum(room[block][0] for block in row) + GAP_X * (len(row) - 1) for row in rows]
    total = max(widths)
    corners: list[Point] = [(0.0, 0.0)] * len(room)
    y = 0.0
    for row, width in zip(rows, widths, strict=True):
        tallest = max(room[block][1] for block in row)
        x = (total - width) / 2
        for block in row:
            corners[block] = x, y + (tallest - room[block][1]) / 2
            x += room[block][0] + GAP_X
        y += tallest + GAP_Y
    return corners, total, y - GAP_Y


def _levels(count: int, links: list[tuple[int, int]]) -> list[int]:
    """The row of each block: below its parents; a block without parents just above its first child."""
    kept: list[tuple[int, int]] = []
    for link in links:  # blocks may depend on each other in circles even where variables do not
        if not _reaches(kept, link[1], link[0]):
            kept.append(link)
    levels = [0] * count
    for _ in range(count):
        for a, b in kept:
            levels[b] = max(levels[b], levels[a] + 1)
    for block in range(count):
        children = [levels[b] for a, b in kept if a == block]
        if children and not any(b == block for _, b in kept):
            levels[block] = min(children) - 1
    return levels


def _reaches(links: list[tuple[int, int]], start: int, goal: int) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        if here == goal:
            return True
        fresh = {b for a, b in links if a == here} - seen
        seen |= fresh
        waiting.extend(fresh)
    return False


def _mean(values: list[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _arrow(edge: Edge, nodes: dict[str, Box], square: frozenset[str]) -> tuple[Point, Point, Point]:
    """A curve from rim to rim that runs through no other variable, if a small bend can help it."""
    (x0, y0), (x2, y2) = nodes[edge[0]].centre, nodes[edge[1]].centre
    length = math.hypot(x2 - x0, y2 - y0) or 1.0
    across = (y2 - y0) / length, -(x2 - x0) / length
    others = [box for name, box in nodes.items() if name not in edge]
    best: tuple[int, tuple[Point, Point, Point]] | None = None
    for bend in (0.0, 40.0, -40.0, 90.0, -90.0, 150.0, -150.0, 220.0, -220.0):
        control = (x0 + x2) / 2 + bend * across[0], (y0 + y2) / 2 + bend * across[1]
        start, end = (_rim(nodes[name], control, square=name in square) for name in edge)
        curve = (start, control, end)
        hits = sum(_touches(curve, box) for box in others)
        if best is None or hits < best[0]:
            best = hits, curve
        if hits == 0:
            break
    assert best is not None  # the loop ran
    return best[1]


def _rim(box: Box, towards: Point, *, square: bool) -> Point:
    """Where the line from the middle of a box, or of the ellipse in it, towards a point leaves it."""
    x, y = box.centre
    dx, dy = towards[0] - x, towards[1] - y
    across, down = abs(dx) / (box.width / 2), abs(dy) / (box.height / 2)
    scale = (max(across, down) if square else math.hypot(across, down)) or 1.0
    return x + dx / scale, y + dy / scale


def _touches(curve: tuple[Point, Point, Point], box: Box) -> bool:
    room = 4.0
    for step in range(1, 40):
        t = step / 40
        x, y = (
            (1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c
            for a, b, c in zip(curve[0], curve[1], curve[2], strict=True)
        )
        if box.left - room < x < box.left + box.width + room and box.top - room < y < box.top + box.height + room:
            return True
    return False
