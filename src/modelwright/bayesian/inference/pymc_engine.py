"""NUTS with PyMC's own sampler.

Chains run in forked processes where that is safe, and one after the other where it is not: a process that has loaded
JAX (which runs threads) must not fork, and other ways of starting a process would run the caller's script again.
`NutsSettings.cores` greater than one asks for forked processes regardless. The trace says how many ran at once.
"""

import multiprocessing
import sys
import time
import warnings
from collections.abc import Collection, Mapping
from typing import Any

from modelwright.bayesian.quiet_arviz import az  # before PyMC, which imports ArviZ

# isort: split
import numpy as np
import pymc as pm

from modelwright.bayesian.inference.pytensor_blas import accept_missing_blas
from modelwright.bayesian.inference.reporting import ChainsProgress
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import assemble_trace
from modelwright.core.progress import ProgressCallback, ignore_progress

_RENAMED = {"reached_max_treedepth": "reached_max_tree_depth"}


def sample(
    model: pm.Model,
    settings: NutsSettings,
    *,
    progress: ProgressCallback = ignore_progress,
    start: Mapping[str, Any] | None = None,
    var_names: Collection[str] | None = None,
) -> az.InferenceData:
    """Sample a `pm.Model`; see `nuts.sample_pymc_model` for the arguments."""
    began = time.perf_counter()
    report = ChainsProgress(settings, progress)
    finished = [0] * settings.chains
    divergences = [0] * settings.chains

    def follow(trace: Any, draw: Any) -> None:
        if not any(finished):
            report.compiling(done=True)
        finished[draw.chain] += 1
        divergences[draw.chain] += (not draw.tuning) and any(one.get("diverging", False) for one in draw.stats)
        report.update(draw.chain, finished[draw.chain], divergences[draw.chain])

    accept_missing_blas()
    report.compiling(done=False)
    at_once = settings.at_once if settings.cores or forking_is_safe() else 1
    with warnings.catch_warnings():
        if at_once > 1:
            # Python and JAX warn of any fork in a process with threads; the children touch none of theirs.
            warnings.filterwarnings("ignore", message=r".*fork\(\)", category=DeprecationWarning)
            warnings.filterwarnings("ignore", message=r".*os\.fork\(\) was called", category=RuntimeWarning)
        try:
            trace = pm.sample(
                draws=settings.draws,
                tune=settings.tune,
                chains=settings.chains,
                cores=at_once,
                random_seed=settings.seed,
                model=model,
                initvals=dict(start) if start else None,
                var_names=None if var_names is None else list(var_names),
                nuts={"target_accept": settings.target_accept, "max_treedepth": settings.max_tree_depth},
                callback=follow,
                progressbar=False,
                quiet=True,
                compute_convergence_checks=False,
                idata_kwargs={"log_likelihood": False},
            )
        except ValueError as error:
            # what an interrupt before the first kept draw looks like from here
            if "Not enough samples to build a trace" in str(error):
                raise KeyboardInterrupt from error
            raise
    if sum(finished) < settings.chains * (settings.tune + settings.draws):
        # PyMC answers an interrupt with the draws it has, which nobody asked for.
        raise KeyboardInterrupt
    return assemble_trace(
        {str(name): values.to_numpy() for name, values in trace.posterior.items()},
        {_RENAMED.get(str(name), str(name)): np.asarray(values) for name, values in trace.sample_stats.items()},
        settings,
        engine="pymc",
        engine_version=pm.__version__,
        sampling_seconds=time.perf_counter() - began,
        at_once=at_once,
        coords={name: np.asarray(values) for name, values in model.coords.items() if values is not None},
        dims=dimensions(model),
    )


def forking_is_safe() -> bool:
    """Whether chains may run in forked processes: on systems that fork by default, as long as JAX is not loaded."""
    return multiprocessing.get_start_method() == "fork" and "jax" not in sys.modules


def dimensions(model: pm.Model) -> dict[str, tuple[str, ...]]:
    """Variable -> the names of its dimensions, for those that have any."""
    return {
        name: tuple(str(dimension) for dimension in dims)
        for name, dims in model.named_vars_to_dims.items()
        if dims is not None and all(dimension is not None for dimension in dims)
    }
