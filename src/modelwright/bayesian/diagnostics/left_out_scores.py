"""Leave-one-out densities a training has already computed for every window: what a comparison can rest on.

A training keeps a table with one row per observation, in which `score` is -log p(y_i | all other y) in nats and
`k_hat` says how far to trust it. Of more observations than there is room for draws by draws, these are all there is.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelwright.bayesian.diagnostics.groups import find_group
from modelwright.bayesian.diagnostics.loo import LooEstimate
from modelwright.bayesian.inference.pareto_smoothing import k_hat_limit
from modelwright.core.errors import DataError

TABLE = "scores"
"""The table of a run in which these densities are."""

OF_WINDOWS = ("entity", "window_start", "window", "count", "exposure")
"""Columns that say which observation a row is of."""


def is_sampled(trace: Any) -> bool:
    """Whether a trace holds log likelihoods of a part of the observations only."""
    group = find_group(trace, "log_likelihood")
    return group is not None and group.attrs.get("complete", 1) == 0


def estimate_from_scores(scores: Any) -> LooEstimate:
    """The estimate that a table of leave-one-out scores amounts to; it does not tell `p_loo`.

    Args:
        scores: A table with columns score and k_hat; its attribute `draws` says what it averages over.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"score": [1.0, 3.0], "k_hat": [0.0, 0.2]})
        >>> table.attrs["draws"] = 400
        >>> found = estimate_from_scores(table)
        >>> found.elpd, found.se, found.p_loo
        (-4.0, 1.4142135623730951, None)
    """
    pointwise = -scores["score"].to_numpy(np.float64)
    draws = int(scores.attrs["draws"])
    return LooEstimate(
        elpd=float(pointwise.sum()),
        se=float(np.sqrt(pointwise.size * pointwise.var())),
        p_loo=None,
        pointwise=pointwise,
        k_hat=scores["k_hat"].to_numpy(np.float64),
        k_hat_limit=k_hat_limit(draws),
        n_draws=draws,
    )


def refuse_other_windows(scores: Mapping[str, Any]) -> None:
    """Refuse to compare scores of other windows.

    Args:
        scores: Run name -> its table.

    Raises:
        DataError: two tables are not of the same windows in the same order.
    """
    (first, expected), *others = scores.items()
    for name, table in others:
        detail = None
        if len(table) != len(expected):
            detail = f"{len(expected):,} and {len(table):,} observations"
        else:
            columns = [column for column in OF_WINDOWS if (column in table) or (column in expected)]
            for column in columns:
                both = column in table and column in expected
                if not both or not np.array_equal(table[column].to_numpy(), expected[column].to_numpy()):
                    detail = f"as many observations, other values in {column}"
                    break
        if detail is not None:
            raise DataError(
                f"runs {first!r} and {name!r} were trained on different data: {detail}",
                field="runs",
                todo="compare runs on the same data only",
            )
