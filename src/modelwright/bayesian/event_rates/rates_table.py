"""One row per entity: what it did and what is known of its rate."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from modelwright.bayesian.diagnostics.convergence import INTERVAL_PROBABILITY, ConvergenceAssessment
from modelwright.bayesian.event_rates.names import THETA
from modelwright.bayesian.event_rates.posterior_draws import population_draws
from modelwright.bayesian.event_rates.rate_summaries import summarise_rates
from modelwright.bayesian.event_rates.statistics import SufficientStatistics, alike_entities

MOST_DRAWS, FEWEST_DRAWS = 1000, 100
"""Draws of the hyperparameters that exact summaries average over: fewer where there are very many distinct entities."""

_DRAWS_TIMES_ROWS = 5_000_000


def rates_table(trace: Any, statistics: SufficientStatistics, assessment: ConvergenceAssessment) -> pd.DataFrame:
    """Windows, total (events), exposure, raw_rate, and mean, sd, lower and upper of the rate of every entity.

    Of a collapsed posterior the last four are exact given draws of the population, `MOST_DRAWS` of them or fewer, taken
    evenly; of others they are the draws' own.

    Args:
        trace: Posterior of the event-rate model.
        statistics: What it was conditioned on.
        assessment: Of the trace.

    Returns:
        One row per entity in the order of the statistics; rates in events per unit of exposure, intervals equal-tailed
        with probability `convergence.INTERVAL_PROBABILITY`.
    """
    if trace.posterior.attrs.get("engine") == "collapsed":
        return table_of_rates(statistics, _exact(trace, statistics))
    return drawn_rates_table(statistics, assessment)


def drawn_rates_table(statistics: SufficientStatistics, assessment: ConvergenceAssessment) -> pd.DataFrame:
    """The same from the draws of `theta` in a trace, whatever the model."""
    theta = next(entry for entry in assessment.statistics if entry.name == THETA)
    return table_of_rates(statistics, {name: getattr(theta, name) for name in ("mean", "sd", "lower", "upper")})


def table_of_rates(statistics: SufficientStatistics, found: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """The same from mean, sd, lower and upper of every entity's rate, arrays of shape (n_entities,)."""
    n = statistics.n_entities
    total = np.bincount(statistics.entity, statistics.total, minlength=n)
    exposure = np.bincount(statistics.entity, statistics.windows * statistics.exposure, minlength=n)
    windows = np.bincount(statistics.entity, statistics.windows, minlength=n)
    return pd.DataFrame(
        {
            "entity": np.asarray(statistics.entities, dtype=object),
            "windows": windows.astype("int64"),
            "total": total.astype("int64"),
            "exposure": exposure,
            "raw_rate": total / exposure,
            **{name: found[name] for name in ("mean", "sd", "lower", "upper")},
        }
    )


def _exact(trace: Any, statistics: SufficientStatistics) -> dict[str, np.ndarray]:
    alike = alike_entities(statistics)
    draws = int(np.clip(_DRAWS_TIMES_ROWS // alike.n_rows, FEWEST_DRAWS, MOST_DRAWS))
    return summarise_rates(population_draws(trace, draws), alike, interval=INTERVAL_PROBABILITY).per_entity(alike)
