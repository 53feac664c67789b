"""Posterior draws by the No-U-Turn sampler, with the engine of one's choice.

    trace = sample_pymc_model(model, NutsSettings(), engine="nutpie")      # a pm.Model
    trace = sample_numpyro_model(model_fn, NutsSettings(), model_args=(y,)) # a function with numpyro.sample in it

Every trace has the same groups, names and attributes; see `traces`. An engine is loaded when it is first used.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from modelwright.bayesian.inference.requirements import require_engine, require_platform
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.registry import Registry

if TYPE_CHECKING:
    import pymc as pm

    from modelwright.bayesian.quiet_arviz import az

__all__ = ["ENGINES", "NutsSettings", "sample_numpyro_model", "sample_pymc_model"]

ENGINES: Registry[Callable[..., "az.InferenceData"]] = Registry("engine")
"""Name -> the function that samples: "pymc" and "nutpie" take a `pm.Model`, "numpyro" a model function."""

ENGINES.add_lazy("pymc", "modelwright.bayesian.inference.pymc_engine:sample")
ENGINES.add_lazy("nutpie", "modelwright.bayesian.inference.nutpie_engine:sample")
ENGINES.add_lazy("numpyro", "modelwright.bayesian.inference.numpyro_engine:sample")


def sample_pymc_model(
    model: "pm.Model",
    settings: NutsSettings,
    *,
    engine: Literal["pymc", "nutpie"] = "pymc",
    progress: ProgressCallback = ignore_progress,
    start: Mapping[str, Any] | None = None,
    var_names: Collection[str] | None = None,
) -> "az.InferenceData":
    """Sample a PyMC model.

    Args:
        model: The model; continuous free variables only.
        settings: How long and how carefully.
        engine: "pymc" (its own sampler) or "nutpie" (compiled, in Rust).
        progress: Called in this thread with `ProgressEvent`s of stages "compile", "warm-up" and "sample"; `done` counts
            draws over all chains, `info` has divergences and draws_per_second.
        start: Free variable -> value near which the chains start; the model's own initial points by default.
        var_names: What to keep in the posterior; all free variables and deterministics by default.

    Returns:
        InferenceData with posterior and sample_stats (see `traces.STATISTICS`).

    Raises:
        MissingDependencyError: the engine is not installed; the message has the line that installs it.
        KeyboardInterrupt: an interrupt stops all chains and is passed on.
    """
    if engine not in ("pymc", "nutpie"):
        raise ConfigurationError(
            "this engine does not sample PyMC models", field="engine", expected="'pymc' or 'nutpie'", got=engine
        )
    require_engine(engine)
    return ENGINES[engine](model, settings, progress=progress, start=start, var_names=var_names)


def sample_numpyro_model(
    model_fn: Callable[..., Any],
    settings: NutsSettings,
    *,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    platform: Literal["cpu", "gpu"] = "cpu",
    progress: ProgressCallback = ignore_progress,
    start: Mapping[str, Any] | None = None,
    scale: Mapping[str, Any] | None = None,
    var_names: Collection[str] | None = None,
) -> "az.InferenceData":
    """Sample a NumPyro model in double precision, chains in threads.

    Args:
        model_fn: A function with `numpyro.sample` statements; continuous latent sites only. It must build its arrays
            when called (or be given numpy arrays), since double precision is on only while it is sampled.
        settings: How long and how carefully.
        model_args: Positional arguments of the model.
        model_kwargs: Keyword arguments of the model.
        coords: Dimension -> labels.
        dims: Site -> names of its dimensions.
        platform: "cpu", or "gpu" when JAX sees one.
        progress: As in `sample_pymc_model`.
        start: Latent site -> value near which the chains start; all latent sites or none. By default uniform on
            (-2, 2) in the unconstrained space.
        scale: Latent site -> rough posterior standard deviation in the unconstrained space, as a first guess of the
            mass matrix and the spread of the starting points around `start`; 1 by default.
        var_names: What to keep in the posterior; all latent and deterministic sites by default.

    Returns:
        InferenceData with posterior and sample_stats (see `traces.STATISTICS`).

    Raises:
        MissingDependencyError: NumPyro is not installed, or there is no GPU.
        KeyboardInterrupt: an interrupt stops all chains and is passed on.
    """
    require_engine("numpyro")
    require_platform(platform)
    return ENGINES["numpyro"](
        model_fn,
        settings,
        model_args=model_args,
        model_kwargs=dict(model_kwargs or {}),
        coords=coords,
        dims=dims,
        platform=platform,
        progress=progress,
        start=start,
        scale=scale,
        var_names=var_names,
    )
