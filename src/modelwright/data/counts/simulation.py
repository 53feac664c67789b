"""Simulated counts of cells x genes whose truth is known, for four models of counting.

    nbdm      x_cg ~ NB(r_g, p)
    zinb      x_cg ~ gate_g delta_0 + (1 - gate_g) NB(r_g, p)
    nbvcp     x_cg ~ NB(r_g, p_c),    p_c = p nu_c / (1 - p (1 - nu_c))
    zinbvcp   both

NB(r, p) is written as in NumPyro: p multiplies the count, the mean is mu = r p / (1 - p). p_c is what remains of p when
every molecule is caught with probability nu_c: the odds p / (1 - p) are multiplied by nu_c.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.core.seeds import named_generator
from modelwright.data.counts.cell_counts import CellCounts

CountModel = Literal["nbdm", "zinb", "nbvcp", "zinbvcp"]

_BLOCK = 2**22  # counts drawn at once


@dataclass(frozen=True, eq=False)
class SimulatedCounts:
    """Counts and what is true about them.

    Args:
        counts: The counts; cells and genes may have none.
        truth: name -> value: p (a number), r and mu, shape (n_genes,); with gates gate, shape (n_genes,); with capture
            nu and p_cell, shape (n_cells,).
        model: Which model.
        seed: Seed it was made from.
    """

    counts: CellCounts
    truth: Mapping[str, NDArray[np.float64]]
    model: CountModel
    seed: int


def simulate_counts(
    model: CountModel = "nbdm",
    *,
    n_cells: int = 500,
    n_genes: int = 100,
    seed: int = 0,
    p: float | None = None,
    mu: ArrayLike | None = None,
    r: ArrayLike | None = None,
    gate: ArrayLike | None = None,
    nu: ArrayLike | None = None,
) -> SimulatedCounts:
    """Counts from one of the four models; what is not given is drawn from ranges that are usual for molecule counts.

    The ranges are arbitrary: p ~ Uniform(0.6, 0.9), mu_g ~ LogNormal(0.5, 1), gate_g ~ Beta(2, 8), nu_c ~ Beta(6, 4).

    Args:
        model: Which model.
        n_cells: Cells.
        n_genes: Genes.
        seed: Equal seeds give equal counts.
        p: Success probability, shared by all genes.
        mu: Mean of each gene before gates and capture, shape (n_genes,) or a number.
        r: Total count of each gene, the same; either mu or r, or neither.
        gate: Probability of a zero that is no count of molecules, shape (n_genes,) or a number.
        nu: Probability that a molecule is caught, shape (n_cells,) or a number.

    Returns:
        The counts and the truth.

    Raises:
        ConfigurationError: for an unknown model, values out of range, and parameters that the model does not have.

    Example:
        >>> simulated = simulate_counts("zinbvcp", n_cells=20, n_genes=5, seed=1)
        >>> simulated.counts.shape, sorted(simulated.truth)
        ((20, 5), ['gate', 'mu', 'nu', 'p', 'p_cell', 'r'])
    """
    known = get_args(CountModel)
    if model not in known:
        raise ConfigurationError("no such count model", field="model", got=model, todo=suggestion(str(model), known))
    for name, number in (("n_cells", n_cells), ("n_genes", n_genes)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < 1:
            raise ConfigurationError("not a number", field=name, expected="a whole number of at least 1", got=number)
    gated, captured = model.startswith("zi"), model.endswith("vcp")
    for name, given, has in (("gate", gate, gated), ("nu", nu, captured)):
        if given is not None and not has:
            raise ConfigurationError(f"{model} has no {name}", field=name, todo="leave it out, or choose another model")
    if mu is not None and r is not None:
        raise ConfigurationError("mu and r say the same given p", field="mu", expected="mu or r")
    draw = named_generator(seed, "truth of simulated counts")
    # Drawn whether given or not, so that what is given leaves the other draws as they are.
    drawn = {"p": draw.uniform(0.6, 0.9), "mu": draw.lognormal(0.5, 1.0, n_genes)}
    drawn |= {"gate": draw.beta(2, 8, n_genes), "nu": draw.beta(6, 4, n_cells)}
    chance = float(_within("p", drawn["p"] if p is None else p, 1, upper=1.0)[0])
    odds = chance / (1 - chance)
    if r is None:
        mean = _within("mu", drawn["mu"] if mu is None else mu, n_genes)
        size = mean / odds
    else:
        size = _within("r", r, n_genes)
        mean = size * odds
    truth: dict[str, NDArray[np.float64]] = {"p": np.array(chance), "r": size, "mu": mean}
    caught = np.ones(n_cells)
    if captured:
        caught = _within("nu", drawn["nu"] if nu is None else nu, n_cells, upper=1.0, closed=True)
        truth |= {"nu": caught, "p_cell": caught * odds / (1 + caught * odds)}
    if gated:
        truth["gate"] = _within("gate", drawn["gate"] if gate is None else gate, n_genes, upper=1.0)
    matrix = _drawn(size, odds * caught, truth.get("gate"), named_generator(seed, f"simulated counts {model}"))
    counts = CellCounts(
        matrix,
        cells=tuple(f"cell_{place + 1:0{len(str(n_cells))}d}" for place in range(n_cells)),
        genes=tuple(f"gene_{place + 1:0{len(str(n_genes))}d}" for place in range(n_genes)),
        layer="the simulated matrix",
        source={"name": f"simulated_{model}", "format": "simulated", "model": model, "seed": seed},
    )
    for values in truth.values():
        values.flags.writeable = False
    return SimulatedCounts(counts=counts, truth=truth, model=model, seed=seed)


def _drawn(
    size: NDArray[np.float64], odds: NDArray[np.float64], gate: NDArray[np.float64] | None, draw: np.random.Generator
) -> Any:
    """Negative binomial counts as Poisson counts of gamma rates, some cells at a time."""
    blocks = []
    step = max(1, _BLOCK // len(size))
    for start in range(0, len(odds), step):
        part = odds[start : start + step, None]
        counts = draw.poisson(draw.gamma(np.broadcast_to(size, (len(part), len(size)))) * part)
        if gate is not None:
            counts[draw.random(counts.shape) < gate] = 0
        blocks.append(sp.csr_array(counts))
    return sp.vstack(blocks, format="csr")


def _within(name: str, values: Any, length: int, *, upper: float = np.inf, closed: bool = False) -> NDArray[np.float64]:
    """Values above 0 and below (or up to) a bound, one for each."""
    try:
        array = np.array(np.broadcast_to(np.asarray(values, dtype=np.float64), (length,)))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            "does not fit", field=name, expected=f"a number or {length} of them", got=np.shape(values)
        ) from error
    good = (array > 0) & ((array <= upper) if closed else (array < upper)) & np.isfinite(array)
    if not good.all():
        bound = "" if upper == np.inf else f" and {'at most' if closed else 'below'} {upper:g}"
        raise ConfigurationError(
            "out of range", field=name, expected=f"numbers above 0{bound}", got=float(array[~good][0])
        )
    return array
