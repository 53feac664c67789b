"""Counts drawn from a fitted count model for some of its cells, and log probabilities of cells."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np
from numpyro.handlers import seed as seeded
from numpyro.handlers import substitute, trace

from modelwright.bayesian.builders.model import COUNTS, Model
from modelwright.bayesian.builders.readiness import observed_for
from modelwright.bayesian.components.count_draws import draw_counts
from modelwright.bayesian.inference.tracing import TRACING
from modelwright.core.seeds import named_generator, named_seed

LARGEST_CHECK = 2_000_000
"""Entries of a replicated table; of more cells a part is replicated, drawn at random."""


def cells_to_check(n_cells: int, n_genes: int, seed: int) -> np.ndarray:
    """Positions of the cells that are replicated, in order: all, or as many as `LARGEST_CHECK` allows.

    Example:
        >>> len(cells_to_check(100_000, 2_000, 0)), len(cells_to_check(50, 2_000, 0))
        (1000, 50)
    """
    most = max(1, LARGEST_CHECK // n_genes)
    if n_cells <= most:
        return np.arange(n_cells)
    return np.sort(np.random.default_rng(named_seed(seed, "checked cells")).choice(n_cells, most, replace=False))


def replicated_tables(
    model: Model, draws: Mapping[str, np.ndarray], counts: Any, cells: np.ndarray, *, seed: int = 0
) -> Iterator[np.ndarray]:
    """Tables of counts of some cells, one per draw, each of shape (len(cells), n_genes).

    Args:
        model: The model.
        draws: Parameter -> draws, shape (n, ...).
        counts: The counts of these cells, for what models read off them.
        cells: Their positions among the cells of the draws.
        seed: Seed of the counts.
    """
    entry_by_entry = model.entry_by_entry()

    def one(values: Any, data: Any) -> Any:
        return trace(substitute(seeded(entry_by_entry, jax.random.key(0)), data=values)).get_trace(data)[COUNTS]["fn"]

    jitted = jax.jit(one)
    generator = named_generator(seed, "replications")
    specs = entry_by_entry.specs
    own = {spec.name for spec in specs if spec.is_cell_specific}
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        data, _ = observed_for(entry_by_entry, None, counts)
    for k in range(len(next(iter(draws.values())))):
        values = {spec.name: draws[spec.name][k][cells] if spec.name in own else draws[spec.name][k] for spec in specs}
        with TRACING, jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            table = draw_counts(jitted(values, data), generator)
        yield table


def log_probability_of_cells(model: Model, draws: Mapping[str, np.ndarray], counts: Any) -> np.ndarray:
    """Log predictive probability of each cell, in nats: its probability averaged over draws; shape (n_cells,).

    For models without parameters of single cells, or with these integrated out: then of cells never seen before.

    Args:
        model: The model.
        draws: Parameter -> draws, shape (n, ...).
        counts: Counts of the cells.
    """
    by_cell = model.row_by_row()
    names = [spec.name for spec in model.specs]

    def one(values: Any, data: Any) -> Any:
        site = trace(substitute(seeded(by_cell, jax.random.key(0)), data=values)).get_trace(data)[COUNTS]
        return site["fn"].log_prob(site["value"])

    with TRACING, jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        data, _ = observed_for(by_cell, None, counts)
        over_draws = jax.jit(lambda values, data: jax.lax.map(lambda each: one(each, data), values))
        found = np.asarray(over_draws({name: draws[name] for name in names}, data))
    return np.asarray(np.logaddexp.reduce(found, axis=0) - np.log(len(found)))
