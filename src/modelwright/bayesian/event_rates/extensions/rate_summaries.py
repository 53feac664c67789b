"""What a trace keeps of the rates where draws of all of them would be too many: summaries, and a few draws.

Means, standard deviations and quantiles are those of as many exact draws as fit; a few draws of every rate stay, for
forecasts and new windows, together with the draws of the hyperparameters that they belong to.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from modelwright.bayesian.diagnostics.convergence import INTERVAL_PROBABILITY
from modelwright.bayesian.event_rates.names import ENTITY, THETA
from modelwright.bayesian.inference.predictive import ELEMENT_BUDGET, thinning_step
from modelwright.core.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from modelwright.bayesian.event_rates.extensions.collapsed_density import CollapsedExtended

SUMMARISED = 200_000_000
"""Rates that are drawn at most for summaries, draws times entities; a hundred draws of each at least.

Where the draws belong to several modes all of these are held at once: 1.6 GB, or, of more than two million entities,
800 bytes and more for each."""

MOST_DRAWS = 1000
"""Draws of each rate for its summary, about, where there is room for more."""

FEWEST_SUMMARISED, FEWEST_KEPT = 100, 25
"""Draws of each rate for its summary, and to keep, at least, of all chains together, where there are so many."""

RATE_CHAIN, RATE_DRAW = "rate_chain", "rate_draw"
"""Dimensions of the draws that are kept; the labels of the second are those of the posterior's draws."""

COLUMNS = ("mean", "sd", "lower", "upper")


@dataclass(frozen=True, eq=False)
class RateSummaries:
    """Summaries of every rate, and a few draws.

    Args:
        columns: mean, sd, lower and upper of every rate, shape (n_entities,) each; the interval is that of
            `convergence.INTERVAL_PROBABILITY`, equal-tailed.
        draws: How many draws they rest on.
        kept: Draws of every rate, shape (chain, kept, n_entities).
        draw: Which of each chain's draws these are, shape (kept,).
    """

    columns: dict[str, np.ndarray]
    draws: int
    kept: np.ndarray
    draw: np.ndarray


def summarise_rates_extended(
    densities: Mapping[int, "CollapsedExtended"],
    points: np.ndarray,
    nearest: np.ndarray,
    generator: np.random.Generator,
    *,
    progress: ProgressCallback = ignore_progress,
) -> RateSummaries:
    """Draw every rate, some entities after others, and keep what is said of each.

    Args:
        densities: The model and its data, by the number of the mode that its points were placed for.
        points: Draws of the hyperparameters, shape (chain, draw, d).
        nearest: Number of the mode that each is nearest to, shape (chain, draw).
        generator: Source of the draws.
        progress: Called with events of the stage "rates".
    """
    n_entities = next(iter(densities.values())).design.n_entities
    chains, draws, d = points.shape
    budget = min(SUMMARISED, MOST_DRAWS * n_entities)
    used = np.arange(0, draws, even_step(chains, draws, n_entities, budget=budget, fewest=FEWEST_SUMMARISED))
    coarser = even_step(chains, len(used), n_entities, budget=ELEMENT_BUDGET, fewest=FEWEST_KEPT)
    columns = {name: np.empty(n_entities) for name in COLUMNS}
    kept = np.empty((chains, len(used[::coarser]), n_entities))
    levels = (0.5 - 0.5 * INTERVAL_PROBABILITY, 0.5 + 0.5 * INTERVAL_PROBABILITY)
    flat, near = points[:, used].reshape(-1, d), nearest[:, used].reshape(-1)
    for entities, theta in _rates(densities, flat, near, generator, progress):
        columns["mean"][entities], columns["sd"][entities] = theta.mean(0), theta.std(0, ddof=1)
        columns["lower"][entities], columns["upper"][entities] = np.quantile(theta, levels, axis=0)
        kept[:, :, entities] = theta.reshape(chains, len(used), -1)[:, ::coarser]
    return RateSummaries(columns, len(flat), kept, used[::coarser])


def even_step(chains: int, draws: int, n_entities: int, *, budget: int, fewest: int) -> int:
    """The smallest k so that every k-th draw of each chain fits; a smaller one where `fewest` would not be left.

    Args:
        chains: Chains.
        draws: Draws of each.
        n_entities: Numbers per draw.
        budget: Numbers that fit.
        fewest: Draws of all chains together that are left at least, if there are so many.

    Example:
        >>> even_step(4, 50, 10_000, budget=20_000_000, fewest=25), even_step(4, 50, 10**6, budget=0, fewest=25)
        (1, 7)
    """
    per_chain = -(-fewest // chains)
    return min(thinning_step(chains, draws, n_entities, budget=budget), max(1, draws // per_chain))


def _rates(
    densities: Mapping[int, "CollapsedExtended"],
    points: np.ndarray,
    nearest: np.ndarray,
    generator: np.random.Generator,
    progress: ProgressCallback,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Entities with their rates, some after others, or all at once where the draws belong to several modes."""
    from modelwright.bayesian.event_rates.extensions.collapsed_rates import rates_in_parts  # JAX, which takes its time

    if len(densities) == 1:
        yield from rates_in_parts(next(iter(densities.values())), points, generator, progress=progress)
        return
    theta = np.empty((len(points), next(iter(densities.values())).design.n_entities))
    for number, density in densities.items():
        rows = np.flatnonzero(nearest == number)
        for entities, some in rates_in_parts(density, points[rows], generator, progress=progress):
            theta[np.ix_(rows, entities)] = some
    yield np.arange(theta.shape[1]), theta


def summaries_dataset(found: RateSummaries, entities: np.ndarray) -> xr.Dataset:
    """Summaries and kept draws as variables for a trace's `constant_data`."""
    variables: dict[str, Any] = {f"rate_{name}": (ENTITY, values) for name, values in found.columns.items()}
    variables[THETA] = ((RATE_CHAIN, RATE_DRAW, ENTITY), found.kept)
    return xr.Dataset(variables, coords={ENTITY: entities, RATE_DRAW: found.draw})


def stored_summaries(trace: Any) -> dict[str, np.ndarray] | None:
    """mean, sd, lower and upper of every rate, as `summaries_dataset` stored them; None where draws are kept."""
    constant = getattr(trace, "constant_data", None)
    if constant is None or "rate_mean" not in constant:
        return None
    return {name: np.asarray(constant[f"rate_{name}"].values, float) for name in COLUMNS}


def posterior_with_rates(trace: Any) -> xr.Dataset:
    """The posterior, or, where rates were summarised, those of its draws whose rates were kept, with these."""
    constant = getattr(trace, "constant_data", None)
    if THETA in trace.posterior or constant is None or THETA not in constant:
        return trace.posterior
    rates = constant[THETA]
    some = trace.posterior.sel(draw=rates[RATE_DRAW].to_numpy())
    labelled = some.assign_coords({ENTITY: constant[ENTITY].to_numpy()})
    return labelled.assign({THETA: (("chain", "draw", ENTITY), rates.to_numpy())})
