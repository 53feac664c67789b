"""NUTS with nutpie: a PyMC model compiled with Numba, sampled in Rust threads.

The model takes seconds to compile and then runs without Python. nutpie renders its progress through a text template;
ours renders numbers, which the calling thread reads a few times a second.
"""

import json
import time
from collections.abc import Collection, Mapping
from typing import Any

from modelwright.bayesian.quiet_arviz import az  # before PyMC, which imports ArviZ

# isort: split
import numpy as np
import nutpie
import pymc as pm
from nutpie import _lib

from modelwright.bayesian.inference.pytensor_blas import accept_missing_blas
from modelwright.bayesian.inference.reporting import ChainsProgress
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import assemble_trace, tree_depth_of
from modelwright.core.progress import ProgressCallback, ignore_progress

_STATISTICS = {
    "diverging": "diverging",
    "energy": "energy",
    "maxdepth_reached": "reached_max_tree_depth",
    "n_steps": "n_steps",
    "mean_tree_accept": "acceptance_rate",
    "step_size": "step_size",
    "logp": "lp",
}

_TEMPLATE = (
    "[{% for chain in chains %}[{{ chain.finished_draws }}, {{ chain.divergences }}]"
    "{% if not loop.last %}, {% endif %}{% endfor %}]"
)

_RATE_MILLISECONDS = 200
_POLL_SECONDS = 0.05


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
    accept_missing_blas()
    report.compiling(done=False)
    names = [variable.name for variable in model.unobserved_RVs] if var_names is None else list(var_names)
    compiled = nutpie.compile_pymc_model(model, initial_points=dict(start) if start else None, var_names=names)
    report.compiling(done=True)
    trace = _run(compiled, settings, report)
    posterior = {name: trace.posterior[name].to_numpy() for name in names}  # it returns unconstrained twins as well
    statistics = {ours: np.asarray(trace.sample_stats[theirs]) for theirs, ours in _STATISTICS.items()}
    # its own depth leaves out a last doubling that was discarded, which the other engines count
    statistics["tree_depth"] = tree_depth_of(statistics["n_steps"])
    return assemble_trace(
        posterior,
        statistics,
        settings,
        engine="nutpie",
        engine_version=nutpie.__version__,
        sampling_seconds=time.perf_counter() - began,
        at_once=settings.at_once,
        coords={name: np.asarray(values) for name, values in model.coords.items() if values is not None},
        dims={name: tuple(map(str, trace.posterior[name].dims[2:])) for name in names},
    )


def _run(compiled: Any, settings: NutsSettings, report: ChainsProgress) -> az.InferenceData:
    """Sample in the background, reporting from this thread; an interrupt stops all chains and is passed on."""
    watched = _Watched(compiled)
    sampler = nutpie.sample(
        watched,
        draws=settings.draws,
        tune=settings.tune,
        chains=settings.chains,
        cores=settings.at_once,
        seed=settings.seed,
        target_accept=settings.target_accept,
        maxdepth=settings.max_tree_depth,
        save_warmup=False,
        progress_bar=False,
        blocking=False,
    )
    try:
        trace = None
        while trace is None:
            try:
                trace = sampler.wait(timeout=_POLL_SECONDS)
            except TimeoutError:
                _report(watched.latest, report)
    except BaseException:
        sampler.cancel()
        raise
    divergences = np.asarray(trace.sample_stats["diverging"]).sum(axis=1)
    for chain in range(settings.chains):
        report.update(chain, settings.tune + settings.draws, int(divergences[chain]))
    return trace


def _report(rendered: str, report: ChainsProgress) -> None:
    if rendered:
        for chain, (finished, divergences) in enumerate(json.loads(rendered)):
            report.update(chain, finished, divergences)


class _Watched:
    """A compiled model that leaves its sampler's progress, as JSON, in `latest`.

    `nutpie.sample` offers a terminal bar, a notebook widget or nothing; what makes the sampler is the compiled model's
    `_make_sampler`, which is where another kind of progress can be put in.
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self.latest = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)

    def _make_sampler(self, settings: Any, init_mean: Any, cores: int, progress_type: Any, store: Any) -> Any:
        watching = _lib.ProgressType.template_callback(_RATE_MILLISECONDS, _TEMPLATE, cores, self._keep)
        return self._compiled._make_sampler(settings, init_mean, cores, watching, store)

    def _keep(self, rendered: str) -> None:
        self.latest = rendered
