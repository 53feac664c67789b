"""Leave-one-out predictive densities of a NumPyro model at draws of its unknowns, per row or per entry of the data.

A unit is what is left out: one value of a plate, such as a cell with the counts of all its genes, or one value of
several plates together, such as a single count.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import xarray as xr

from modelwright.bayesian.diagnostics import thresholds
from modelwright.bayesian.diagnostics.loo import LooEstimate, psis_loo
from modelwright.bayesian.diagnostics.units import by_unit, chosen_unit
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import DataError
from modelwright.core.verdict import Finding

if TYPE_CHECKING:
    from modelwright.bayesian.inference.fit_result import Subject
    from modelwright.bayesian.inference.model_sites import Sites


@dataclass(frozen=True, eq=False)
class PointwiseLoo:
    """PSIS-LOO and WAIC of one fit.

    Args:
        unit: The plates whose values are left out one at a time.
        loo: The estimate, unit by unit.
        waic: The widely applicable information criterion on the same scale, in nats.
        waic_se: Its standard error.
        p_waic: Its effective number of parameters.
        finding: What the k-hats of the units say.
    """

    unit: tuple[str, ...]
    loo: LooEstimate
    waic: float
    waic_se: float
    p_waic: float
    finding: Finding

    @property
    def elpd(self) -> float:
        """Expected log predictive density by PSIS-LOO."""
        return self.loo.elpd


def leave_one_out(
    subject: "Subject",
    draws: Mapping[str, np.ndarray],
    *,
    unit: str | Sequence[str] | None = None,
    model: Callable[..., Any] | None = None,
    chains: int = 1,
) -> PointwiseLoo:
    """PSIS-LOO and WAIC.

    Args:
        subject: The model and its data.
        draws: Site -> posterior draws, shape (draw, ...), those of a chain after each other.
        unit: Plate (or plates) whose values are left out one at a time; the outermost plate of the data by default.
        model: A model of the same unknowns that observes the data one by one, where the fitted one sums them up.
        chains: Chains that the draws are of.

    Raises:
        DataError: a unit has unknowns of its own, or the model does not observe the data one by one.
        ConfigurationError: no such plate.

    Source: A. Vehtari, A. Gelman, J. Gabry (2017), https://arxiv.org/abs/1507.04544; S. Watanabe (2010),
    https://jmlr.org/papers/v11/watanabe10a.html.
    """
    from modelwright.bayesian.inference.data_models import observing_row_by_row
    from modelwright.bayesian.inference.model_sites import find_sites

    fn = model or observing_row_by_row(subject.model)
    sites = find_sites(fn, subject.call)
    left_out = _unit(sites, unit)
    log_likelihood = _log_likelihood(fn, subject, sites, left_out, draws)
    shape = (chains, len(log_likelihood) // chains)
    latent = {name: draws[name] for name in sites.latent}
    trace = az.InferenceData(
        posterior=xr.Dataset(
            {
                name: (("chain", "draw", *(f"{name}_{k}" for k in range(values.ndim - 1))), _chained(values, shape))
                for name, values in latent.items()
            }
        ),
        log_likelihood=xr.Dataset({"y": (("chain", "draw", "unit"), _chained(log_likelihood, shape))}),
    )
    loo = psis_loo(trace)
    largest = log_likelihood.max(0)
    lppd = largest + np.log(np.exp(log_likelihood - largest).mean(0))
    penalty = log_likelihood.var(0, ddof=1)
    waic = lppd - penalty
    return PointwiseLoo(
        unit=left_out,
        loo=loo,
        waic=float(waic.sum()),
        waic_se=float(np.sqrt(len(waic) * waic.var())),
        p_waic=float(penalty.sum()),
        finding=_finding(loo, left_out),
    )


def _unit(sites: "Sites", unit: str | Sequence[str] | None) -> tuple[str, ...]:
    """The plates that make the unit, after refusing what cannot be left out."""
    chosen = chosen_unit(sites, unit, field="loo")
    own = [site.name for site in sites.latent.values() if {plate for plate, _ in site.plates} >= set(chosen)]
    if own:
        raise DataError(
            f"every value of {' x '.join(chosen)} has unknowns of its own ({', '.join(own)}): without it nothing is "
            "left that they could be drawn from, and importance weights do not say what they would be",
            field="loo",
            expected="a unit without unknowns of its own",
            todo="compare on held-out data, or leave out single entries (unit=several plates)",
        )
    return chosen


def _log_likelihood(
    fn: Callable[..., Any],
    subject: "Subject",
    sites: "Sites",
    unit: tuple[str, ...],
    draws: Mapping[str, np.ndarray],
) -> np.ndarray:
    """Log likelihood of every unit at every draw, shape (draw, unit)."""
    from numpyro.handlers import seed
    from numpyro.infer.util import compute_log_probs

    from modelwright.bayesian.inference.guide_draws import in_blocks

    def one(arrays: Any, values: Any) -> Any:
        args, kwargs = subject.call.arguments(arrays)
        found, _ = compute_log_probs(seed(fn, jax.random.key(0)), args, kwargs, values, sum_log_prob=False)
        return sum(
            by_unit(found[name], dict(site.plates), unit, name, field="loo") for name, site in sites.observed.items()
        )

    latent = {name: draws[name] for name in sites.latent}
    return np.asarray(in_blocks(one, subject.call.device_arrays(), latent), np.float64)


def _chained(values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    return values.reshape(*shape, *values.shape[1:])


def _finding(loo: LooEstimate, unit: tuple[str, ...]) -> Finding:
    beyond = int((loo.k_hat > loo.k_hat_limit).sum())
    share = beyond / len(loo.k_hat)
    grade = thresholds.LOO_K_HAT.grade(share)
    name = " x ".join(unit)
    if beyond == 0:
        sentence, advice = f"the leave-one-out densities of all {len(loo.k_hat)} values of {name} hold", ""
    else:
        sentence = (
            f"the leave-one-out densities of {beyond} of {len(loo.k_hat)} values of {name} do not hold (k-hat above "
            f"{loo.k_hat_limit:.2f})"
        )
        advice = "Look at these values: each moves the posterior by itself. Compare on held-out data."
    return Finding(
        "loo_k_hat_share",
        "leave-one-out weights beyond use",
        share,
        grade,
        thresholds.LOO_K_HAT.words,
        sentence,
        advice,
    )
