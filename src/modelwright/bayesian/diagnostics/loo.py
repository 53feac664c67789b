"""Leave-one-out predictive densities of a run, weights of several: the only module that calls ArviZ's statistics."""

import warnings
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import optimize

from modelwright.bayesian.diagnostics.chain_statistics import ess_mean
from modelwright.bayesian.diagnostics.groups import need_group, need_variable
from modelwright.bayesian.diagnostics.summaries import parameter_blocks
from modelwright.core.errors import DataError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LooEstimate:
    """Leave-one-out predictive densities by Pareto-smoothed importance sampling, in nats.

    Args:
        elpd: Sum of `pointwise`.
        se: Its standard error.
        p_loo: Effective number of parameters; None where only the densities are known.
        pointwise: log p(y_i | all other y), shape (obs,).
        k_hat: Pareto shape of the importance weights, shape (obs,); infinite where none could be fitted.
        k_hat_limit: The largest trustworthy k-hat, min(1 - 1 / log10(draws), 0.7).
        n_draws: Draws the estimate rests on.
    """

    elpd: float
    se: float
    p_loo: float | None
    pointwise: Floats
    k_hat: Floats
    k_hat_limit: float
    n_draws: int


def psis_loo(trace: Any, *, variable: str | None = None) -> LooEstimate:
    """PSIS-LOO of the observations of a trace, by `arviz.loo`.

    The relative efficiency that PSIS wants is the mean over all parameters of ESS per draw, taken over the same draws
    as the log likelihood, which may have been thinned.

    Args:
        trace: A trace with `posterior` and `log_likelihood`, the latter with dims (chain, draw, ...).
        variable: Which variable of the log likelihood; the only one by default.

    Raises:
        DataError: when a group is missing, and for a single draw.

    Source: Vehtari, Gelman and Gabry (2017), https://arxiv.org/abs/1507.04544.
    """
    group = need_group(trace, "log_likelihood", todo="train again with the log likelihood stored")
    log_likelihood = need_variable(group, variable, group_name="log_likelihood").transpose("chain", "draw", ...)
    posterior = need_group(trace, "posterior", todo="sample the model first")
    if log_likelihood.sizes["chain"] * log_likelihood.sizes["draw"] < 2:
        raise DataError(
            "one draw has no importance weights",
            field="draws",
            expected="at least 2 draws",
            todo="train with more draws",
        )
    with warnings.catch_warnings():
        # Said by the k-hat counts, observation by observation, instead.
        warnings.filterwarnings("ignore", message="Estimated shape parameter of Pareto", category=UserWarning)
        warnings.filterwarnings("ignore", message="The point-wise LOO is the same", category=UserWarning)
        found = arviz().loo(
            arviz().InferenceData(log_likelihood=log_likelihood.to_dataset(name="y"), posterior=posterior),
            pointwise=True,
            var_name="y",
            reff=_relative_efficiency(posterior, log_likelihood),
            scale="log",
        )
    return LooEstimate(
        elpd=float(found.elpd_loo),
        se=float(found.se),
        p_loo=float(found.p_loo),
        pointwise=np.asarray(found.loo_i.values, dtype=np.float64).ravel(),
        k_hat=np.asarray(found.pareto_k.values, dtype=np.float64).ravel(),
        k_hat_limit=float(found.good_k),
        n_draws=int(found.n_samples),
    )


def stacking_weights(pointwise: list[Floats]) -> Floats:
    r"""The weights $w$ on the simplex that maximise $\sum_i \log \sum_k w_k \exp(\mathrm{elpd}_{ik})$.

    The same optimum as `arviz.compare(method="stacking")`, which underflows when an observation is very unlikely under
    every model; scaling an observation's densities by their largest changes no weight and prevents that.

    Args:
        pointwise: For each model its leave-one-out log densities, shape (obs,).

    Returns:
        Shape (model,), adding up to one.

    Source: Yao, Vehtari, Simpson and Gelman (2018), https://arxiv.org/abs/1704.02030.

    Example:
        >>> stacking_weights([np.zeros(10), np.full(10, -3.0)]).round(3).tolist()
        [1.0, 0.0]
    """
    count = len(pointwise)
    if count == 1:
        return np.ones(1)
    density = np.exp(np.stack(pointwise, axis=1) - np.max(pointwise, axis=0)[:, None])  # (obs, model), largest 1

    def loss(weights: Floats) -> tuple[float, Floats]:
        mixed = density @ weights
        return -float(np.log(mixed).mean()), -(density / mixed[:, None]).mean(axis=0)

    found = optimize.minimize(
        loss,
        np.full(count, 1 / count),
        jac=True,
        method="SLSQP",
        bounds=[(1e-12, 1.0)] * count,  # a weight of exactly zero could leave an observation without density
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    weights = np.clip(found.x, 0.0, None)
    return weights / weights.sum()


def arviz() -> ModuleType:
    """ArviZ, imported when first needed."""
    from modelwright.bayesian.quiet_arviz import az

    return az


def _relative_efficiency(posterior: xr.Dataset, log_likelihood: xr.DataArray) -> float:
    if posterior.sizes["chain"] == 1:
        return 1.0
    kept = posterior
    if "draw" in log_likelihood.coords and log_likelihood.sizes["draw"] < posterior.sizes["draw"]:
        kept = posterior.sel(draw=log_likelihood["draw"].values)
    sizes = [
        ess_mean(block)
        for variable in kept.data_vars.values()
        for block in parameter_blocks(variable.transpose("chain", "draw", ...))
    ]
    size = np.concatenate(sizes)
    size = size[np.isfinite(size)]  # of a few draws, or of draws that are all alike, there is none
    return float(size.mean() / (kept.sizes["chain"] * kept.sizes["draw"])) if size.size else 1.0
