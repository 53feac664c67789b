"""From a drawing function to an SVG `Picture`: one look, small files, the same bytes for the same data.

Figures are made without pyplot; matplotlib's settings are changed only while a picture is drawn, under a lock, and put
back. Text stays text (names with `$`, `<` or signs that the drawing font lacks are shown as they are), and the
coordinates of long lines are cut to a hundredth of a point, which no screen resolves.
"""

import io
import itertools
import re
import threading
import warnings
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from modelwright.core.sections import Picture

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f6b2e", "#000000")
"""Okabe and Ito's colours, told apart by people with any common colour vision; yellow darkened for white paper."""

INK, MUTED, PALE = "#1f2933", "#6b7680", "#d9dee3"

_SETTINGS: dict[str, Any] = {
    "svg.hashsalt": "modelwright",
    "svg.fonttype": "none",
    "svg.image_inline": True,
    "text.parse_math": False,
    "text.usetex": False,
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.facecolor": "white",
    "axes.grid": False,
    "axes.unicode_minus": False,
    "figure.facecolor": "white",
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "legend.frameon": False,
    "legend.fontsize": 8.0,
    "lines.linewidth": 1.2,
    "path.simplify": True,
    "path.simplify_threshold": 0.05,
}
_LOCK = threading.Lock()
_PATH_DATA = re.compile(rb'( d="|points=")([^"]*)(")')
_LONG_NUMBER = re.compile(rb"(\d\.\d\d)\d+")


def draw_picture(
    name: str,
    title: str,
    draw: Callable[[Figure], None],
    *,
    width: float,
    height: float,
    alt: str,
    caption: str = "",
) -> Picture:
    """Let `draw` fill a figure and return it as an SVG picture.

    Args:
        name: File stem.
        title: Heading, shown beside the picture, not in it.
        draw: Called once with an empty figure in the project's look.
        width: In inches.
        height: In inches.
        alt: What the picture shows, for those who cannot see it.
        caption: What to read in it.

    Returns:
        A picture whose bytes depend on nothing but what was drawn.

    Example:
        >>> picture = draw_picture("one", "One", lambda f: f.subplots().plot([0, 1]), width=2, height=1, alt="a line")
        >>> picture.content.startswith(b"<?xml"), picture.format
        (True, 'svg')
    """
    stream = io.BytesIO()
    with _LOCK, mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # The file carries the text itself; a sign missing from the font used for measuring is shown by the viewer's.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from font")
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure)
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    content = _PATH_DATA.sub(lambda m: m[1] + _LONG_NUMBER.sub(rb"\1", m[2]) + m[3], stream.getvalue())
    return Picture(name, title, content, "svg", alt, caption)


def name_axes(axes: Axes, *, x: str = "", y: str = "", title: str = "", limit: int = 36) -> None:
    """Name an axes' parts; long titles are cut in the middle so that neighbours do not overlap."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.set_title(shorten(title, limit=limit))


def shorten(text: str, *, limit: int = 36) -> str:
    """A label cut in the middle to at most `limit` signs.

    Example:
        >>> shorten("theta[a_very_long_entity_name]", limit=15)
        'theta[a…y_name]'
    """
    if len(text) <= limit:
        return text
    head = limit // 2
    return f"{text[:head]}…{text[len(text) - (limit - head - 1) :]}"


def thinned_line(values: NDArray[np.float64], *, points: int = 300) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A long line by the smallest and largest value of each stretch, so that no spike is lost.

    Args:
        values: Shape (draw,).
        points: Most points to keep.

    Returns:
        Positions and values, each of at most `points` entries.

    Example:
        >>> line = np.zeros(10_000)
        >>> line[1234] = 5.0
        >>> positions, values = thinned_line(line)
        >>> len(values) <= 300, 1234 in positions
        (True, True)
    """
    if values.size <= points:
        return np.arange(values.size), values
    edges = np.linspace(0, values.size, points // 2 + 1).astype(np.int64)
    kept: list[int] = []
    for start, stop in itertools.pairwise(edges):
        stretch = values[start:stop]
        kept.extend(sorted({start + int(np.argmin(stretch)), start + int(np.argmax(stretch))}))
    positions = np.asarray(kept, dtype=np.int64)
    return positions, values[positions]


def density_curve(
    draws: NDArray[np.float64], *, low: float, high: float, points: int = 200
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""A smooth density of draws on a grid, by a Gaussian kernel of width $0.9\,\min(s, \mathrm{IQR}/1.34)\,n^{-1/5}$.

    Draws that are never negative are mirrored at zero, so that a density that is largest there is not bent down.

    Args:
        draws: Shape (draw,), finite.
        low: Left end of the grid.
        high: Right end of the grid.
        points: Points of the grid.

    Returns:
        Grid and density, each of shape (points,).

    Source: Silverman (1986), Density Estimation for Statistics and Data Analysis, equation 3.31.

    Example:
        >>> grid, density = density_curve(np.random.default_rng(1).normal(size=4000), low=-5, high=5)
        >>> bool(abs(np.trapezoid(density, grid) - 1) < 0.01)
        True
    """
    grid = np.linspace(low, high, points)
    spread = min(draws.std(), np.subtract(*np.quantile(draws, [0.75, 0.25])) / 1.34) or draws.std()
    if spread == 0:
        return grid, np.zeros(points)
    width = 0.9 * spread * draws.size**-0.2
    mirrored = draws.min() >= 0
    # Counting into fine bins first keeps the cost independent of the number of draws.
    start = low - 4 * width
    start = max(start, 0.0) if mirrored else start
    step = max(width / 8, (high + 4 * width - start) / 20_000)
    counts, edges = np.histogram(draws, bins=np.arange(start, high + 4 * width + 2 * step, step))
    centres = (edges[1:] + edges[:-1]) / 2
    filled = np.flatnonzero(counts)
    weight = counts[filled] / (draws.size * width * np.sqrt(2 * np.pi))
    density = np.exp(-0.5 * ((grid[:, None] - centres[filled]) / width) ** 2) @ weight
    if mirrored:
        density += np.exp(-0.5 * ((grid[:, None] + centres[filled]) / width) ** 2) @ weight
        density = np.where(grid < 0, 0.0, density)
    return grid, density
