"""NUTS with the same result as the other ways of fitting: `nuts(model, counts)`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from modelwright.bayesian.inference.curvature import NoCurvatureError
from modelwright.bayesian.inference.curvature_search import curvature_at
from modelwright.bayesian.inference.data_models import (
    AbstractDataModel,
    Init,
    Ready,
    check_init,
    data_as_fitted,
    integrated_out_of,
)
from modelwright.bayesian.inference.fit_files import read_fit, write_fit
from modelwright.bayesian.inference.fit_result import AbstractFit, Subject
from modelwright.bayesian.inference.map_laplace import mode_of
from modelwright.bayesian.inference.pathfinder import pathfinder
from modelwright.bayesian.inference.samplers import sample_numpyro_model
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import draws_dataset
from modelwright.bayesian.inference.tracing import Call
from modelwright.bayesian.quiet_arviz import az
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.core.progress import ProgressCallback, ignore_progress
from modelwright.core.seeds import named_generator
from modelwright.core.verdict import Verdict

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.pointwise_loo import PointwiseLoo


def nuts(
    model: Callable[..., Any],
    data: Any,
    *,
    settings: NutsSettings | None = None,
    kwargs: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
    scale: Mapping[str, Any] | None = None,
    init: Init | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    progress: ProgressCallback = ignore_progress,
) -> "SampledFit":
    """Sample a model by NUTS.

    Args:
        model: A NumPyro model, called as `model(data, **kwargs)`; continuous latent sites only.
        data: Its positional argument, or a tuple of several.
        settings: Draws, chains, seed and the rest.
        kwargs: Keyword arguments of the model.
        start: Latent site -> value near which the chains start.
        scale: Latent site -> rough posterior standard deviation in the unconstrained space; for sites without one that
            of the mode's curvature, where the model makes its data ready.
        init: Where the chains start when `start` does not say: at the mode, or where `pathfinder` says, with scales of
            the normal distribution there. Left out, at the mode of a model that makes its data ready, else anywhere.
        coords: Dimension -> labels.
        dims: Site -> names of its dimensions; where there are none, the plates that the site stands in.
        progress: As in `sample_numpyro_model`.

    Raises:
        KeyboardInterrupt: an interrupt stops all chains and is passed on.

    Source: M. Hoffman, A. Gelman (2014), https://jmlr.org/papers/v15/hoffman14a.html.
    """
    check_init(init, none=True)
    settings = settings or NutsSettings()
    ready = Ready(None, data, {})
    if isinstance(model, AbstractDataModel):
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            ready = model.made_ready(data, kwargs=kwargs)
    args = ready.data if isinstance(ready.data, tuple) else (ready.data,)
    subject = Subject(model, Call.of(args, kwargs or {}), coords or {}, dims or {})
    notes = ready.notes
    if start is None and (init or isinstance(model, AbstractDataModel)):
        near = _along_the_climb if init == "pathfinder" else _near_the_mode
        start, spread, found = near(subject, ready.start, settings.seed)
        scale, notes = {**spread, **(scale or {})} or None, (*notes, found)
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        named = subject.named_dims()
    trace = sample_numpyro_model(
        model,
        settings,
        model_args=args,
        model_kwargs=kwargs,
        coords=coords,
        dims=named,
        progress=progress,
        start=start,
        scale=scale,
    )
    return SampledFit(subject, _with_integrated(subject, trace, settings.seed), notes)


def _with_integrated(subject: Subject, trace: az.InferenceData, seed: int) -> az.InferenceData:
    """The trace with a draw of what the model has integrated out beside every draw of its sites."""
    hidden, posterior = integrated_out_of(subject.model), trace.posterior
    if hidden is None:
        return trace
    flat = {name: v.values.reshape(-1, *v.shape[2:]) for name, v in posterior.data_vars.items()}
    found = subject.drawn(lambda _: flat, tuple(hidden.dims), seed)
    shape = (posterior.sizes["chain"], posterior.sizes["draw"])
    more = draws_dataset(
        {name: values.reshape(*shape, *values.shape[1:]) for name, values in found.items()},
        coords=subject.coords,
        dims=subject.named_dims(),
        draw=posterior["draw"].values,
    )
    return az.InferenceData(posterior=posterior.merge(more), sample_stats=trace.sample_stats)


def _along_the_climb(
    subject: Subject, first: Mapping[str, Any], seed: int
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The same of the best normal distribution along the climb."""
    args, kwargs = subject.call.arguments(subject.call.arrays)
    found = pathfinder(subject.model, args, kwargs=kwargs, start=first, seed=seed)
    scales = {name: np.clip(scale, 1e-4, 1.0) for name, (_, scale) in found.locations.items()}
    how = f"chains start at the best normal distribution along {found.iterations} iterations of a climb"
    return dict(found.values), scales, how


def _near_the_mode(
    subject: Subject, first: Mapping[str, Any], _seed: int
) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Where chains start, rough standard deviations (none where the mode has no curvature to be had), both in words."""
    with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
        density, found = mode_of(subject.model, subject.call, first)
        values = density.constrain(found.z, subject.call.device_arrays())
        start = {name: np.asarray(values[name]) for name in density.shapes}
        how = f"chains start near the mode, found in {found.iterations} iterations"
        try:
            spread = np.sqrt(curvature_at(density, found.z).variances())
        except NoCurvatureError as error:
            return start, {}, f"{how} (no curvature: {error.what})"
    return start, density.unravel(np.clip(spread, 1e-4, 1.0)), f"{how}, with steps scaled by its curvature"


@dataclass(frozen=True, eq=False)
class SampledFit(AbstractFit):
    """Draws of a posterior by a Markov chain.

    Args:
        fitted: The model with its data.
        trace: The draws of every chain, and what the sampler says of them.
        notes: What was decided before sampling and why, sentences.
    """

    fitted: Subject
    trace: az.InferenceData
    notes: tuple[str, ...] = ()

    @property
    def subject(self) -> Subject:
        """What was fitted, with every unknown that there are draws of."""
        return self.fitted.with_all_unknowns()

    @property
    def draws(self) -> int:
        """Draws of all chains."""
        return int(self.trace.posterior.sizes["chain"] * self.trace.posterior.sizes["draw"])

    def sample(self, n: int = 1000, seed: int = 0, *, sites: Collection[str] | None = None) -> dict[str, np.ndarray]:
        """Draws picked at random, each at most once where there are enough; see `AbstractFit.sample`."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ConfigurationError("not usable", field="n", expected="a whole number of at least 1", got=n)
        picked = named_generator(seed, "sample").choice(self.draws, size=n, replace=n > self.draws)
        flat = self._flat()
        for name in sites or ():
            if name not in flat:
                raise ConfigurationError("no such site", field="sites", got=name, todo=suggestion(name, flat))
        return {name: flat[name][picked] for name in flat if sites is None or name in sites}

    def diagnose(self) -> Verdict:
        """R-hat, effective sample sizes, divergences, tree depth and energies together."""
        from modelwright.bayesian.diagnostics.convergence import assess_convergence

        return assess_convergence(self.trace).verdict

    def to_inferencedata(
        self, n: int | None = None, seed: int = 0, *, sites: Collection[str] | None = None
    ) -> az.InferenceData:
        """The trace with all its chains; or `n` draws of it, or of some of its sites."""
        if n is None and sites is None:
            return self.trace
        n = self.draws if n is None else n
        arrays = {name: values[None] for name, values in self.sample(n, seed, sites=sites).items()}
        dims = {str(k): [str(d) for d in v.dims[2:]] for k, v in self.trace.posterior.data_vars.items()}
        dataset = draws_dataset(arrays, coords=self.fitted.coords, dims=dims, attrs=self.trace.posterior.attrs)
        return az.InferenceData(posterior=dataset)

    def loo(
        self, *, unit: str | Sequence[str] | None = None, model: Callable[..., Any] | None = None, draws: int = 1000
    ) -> "PointwiseLoo":
        """Leave-one-out predictive densities; see `diagnostics.pointwise_loo.leave_one_out`.

        Draws are thinned evenly to at most `draws`, so that chains stay chains.
        """
        from modelwright.bayesian.diagnostics.pointwise_loo import leave_one_out

        posterior = self.trace.posterior
        every = max(1, -(-self.draws // draws))
        kept = posterior.isel(draw=slice(0, None, every))
        flat = {str(name): v.values.reshape(-1, *v.shape[2:]) for name, v in kept.data_vars.items()}
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            return leave_one_out(self.fitted, flat, unit=unit, model=model, chains=posterior.sizes["chain"])

    def save(self, folder: Path | str) -> Path:
        """Write draws and statistics to a folder."""
        groups = {
            group: {str(name): v.values for name, v in self.trace[group].data_vars.items()}
            for group in ("posterior", "sample_stats")
        }
        names = {str(name): [str(d) for d in v.dims[2:]] for name, v in self.trace.posterior.data_vars.items()}
        coords = {dim: self.trace.posterior[dim].values.tolist() for v in names.values() for dim in v}
        attrs = dict(self.trace.posterior.attrs)
        return write_fit(
            Path(folder), "nuts", groups, {"attrs": attrs, "dims": names, "coords": coords, "notes": list(self.notes)}
        )

    @classmethod
    def load(
        cls, folder: Path | str, model: Callable[..., Any], data: Any, *, kwargs: Mapping[str, Any] | None = None
    ) -> "SampledFit":
        """Read back what `save` wrote, beside the model and the data it was fitted to."""
        groups, document = read_fit(folder, "nuts")
        dims, coords, attrs = document["dims"], document["coords"], document["attrs"]
        with jax.enable_x64(True):  # noqa: FBT003 (JAX's signature)
            args = data_as_fitted(model, data)
        trace = az.InferenceData(
            posterior=draws_dataset(groups["posterior"], coords=coords, dims=dims, attrs=attrs),
            sample_stats=draws_dataset(groups["sample_stats"], attrs=attrs),
        )
        return cls(Subject(model, Call.of(args, kwargs or {}), coords, dims), trace, tuple(document.get("notes", ())))

    def _flat(self) -> dict[str, np.ndarray]:
        data = self.trace.posterior.data_vars
        return {str(name): v.values.reshape(-1, *v.shape[2:]) for name, v in data.items()}
