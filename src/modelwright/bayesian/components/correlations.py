"""Correlations that a fitted low-rank guide holds, on the unconstrained scale."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import NotFoundError
from modelwright.core.names import suggestion


def unconstrained_correlations(
    parameters: Mapping[str, Any], name: str, *, rows: Any = None, columns: Any = None
) -> NDArray[np.float64]:
    """Correlations under a `LowRankGuide` or a `JointLowRankGuide`: those of W W' + diag(d).

    They are of u, so of the logarithm for a positive variable and of the log-odds for one between 0 and 1.

    Args:
        parameters: Fitted parameters as SVI returns them.
        name: The variable, or the group of a joint guide (`joint_low_rank.positions` says which number is whose).
        rows: Positions or a slice of the numbers wanted along the rows; all when left out.
        columns: The same along the columns; n x n numbers are many for thousands of genes.

    Returns:
        Shape (..., rows, columns), the cells first for variables of single cells.

    Raises:
        NotFoundError: no low-rank guide has that name.

    Example:
        >>> fitted = {"mu$factor": np.array([[1.0], [1.0], [0.0]]), "mu$scale": np.array([1.0, 1.0, 2.0])}
        >>> unconstrained_correlations(fitted, "mu", rows=[0]).round(2).tolist()
        [[1.0, 0.5, 0.0]]
    """
    if f"{name}$factor" not in parameters:
        known = [key.removesuffix("$factor") for key in parameters if key.endswith("$factor")]
        raise NotFoundError(
            "no low-rank guide of that name was fitted",
            field=name,
            expected=" or ".join(known) or "a LowRankGuide or a JointLowRankGuide",
            todo=suggestion(name, known) if known else "give the variable guide_family=LowRankGuide(rank=...)",
        )
    factor = np.asarray(parameters[f"{name}$factor"], float)
    scale = np.asarray(parameters[f"{name}$scale"], float)
    every = np.arange(scale.shape[-1])
    first, second = (every if wanted is None else every[wanted] for wanted in (rows, columns))
    deviation = np.sqrt((factor**2).sum(-1) + scale**2)
    loading = factor / deviation[..., None]
    found = loading[..., first, :] @ np.swapaxes(loading[..., second, :], -1, -2)
    own = first[:, None] == second[None, :]  # exactly one
    return np.where(own, 1.0, found)
