"""Stochastic variational inference of any NumPyro model and guide.

    fit = svi(model, guide, counts, steps=2000)                   # all data at every step
    fit = svi(model, guide, counts, steps=20_000, batch_size=512) # the model's plates draw the rows of each step
    fit.posterior(); fit.sample(1000); fit.diagnose()

The steps run in compiled chunks of a fraction of a second (see `svi_steps`); between two chunks progress is reported,
an interrupt is heard, the rule of early stopping is applied and a checkpoint is written where one is asked for. None of
that changes a bit of the result: it depends on the model, the data, the settings and the seed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from modelwright.bayesian.inference.autoguides import begun_at, settled_guide
from modelwright.bayesian.inference.data_models import AbstractDataModel, Init, check_init
from modelwright.bayesian.inference.fit_result import Subject
from modelwright.bayesian.inference.model_sites import check_guide, find_sites, has_shape
from modelwright.bayesian.inference.svi_checkpoint import Checkpoints, Keeper, fingerprint_of
from modelwright.bayesian.inference.svi_course import Course
from modelwright.bayesian.inference.svi_optimizer import default_optimizer
from modelwright.bayesian.inference.svi_settings import USUAL_RATE, EarlyStopping, SviSettings, check_steps
from modelwright.bayesian.inference.svi_sharding import layout_over
from modelwright.bayesian.inference.svi_steps import (
    LONGEST_CHUNK,
    Problem,
    Steps,
    SviState,
    compile_steps,
    default_elbo,
)
from modelwright.bayesian.inference.tracing import TRACING, Call
from modelwright.bayesian.inference.variational_fit import VariationalFit
from modelwright.core.errors import ConfigurationError
from modelwright.core.noted_interrupts import NotedInterrupt, note_interrupts
from modelwright.core.progress import ProgressCallback, ProgressEvent, ignore_progress
from modelwright.core.seeds import check_seed

if TYPE_CHECKING:
    import optax
    from numpyro.infer.elbo import ELBO

__all__ = ["Checkpoints", "EarlyStopping", "SviSettings", "VariationalFit", "svi"]

CHUNK_SECONDS = 0.2
"""Wall time a chunk aims at: what an interrupt waits for, and how often progress can move."""


def svi(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    data: Any,
    *,
    steps: int = 2000,
    batch_size: int | None = None,
    seed: int = 42,
    settings: SviSettings | None = None,
    optimizer: "optax.GradientTransformation | None" = None,
    elbo: "ELBO | None" = None,
    kwargs: Mapping[str, Any] | None = None,
    start: Mapping[str, Any] | None = None,
    init: Init = "mode",
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    checkpoints: Checkpoints | None = None,
    progress: ProgressCallback = ignore_progress,
) -> VariationalFit:
    """Fit a guide to the posterior of a model by maximising the evidence lower bound.

        ELBO(lambda) = E_q[ log p(y, z) - log q(z; lambda) ]  <=  log p(y)

    Args:
        model: A NumPyro model, called as `model(data, **kwargs)`; its latent sites are those of the guide.
        guide: Its guide, called with the same arguments; NumPyro's autoguides fit, too.
        data: The positional argument of both, or a tuple of several: arrays, or anything else the model takes.
        steps: The most steps to make.
        batch_size: Rows of a mini-batch, handed to model and guide by this keyword; their plates
            (`subsample_size=batch_size`) choose rows and scale the likelihood, so that the expectation of the ELBO is
            that of all data. None hands over no such keyword.
        seed: Seed of everything random: starting values, mini-batches, draws of the guide.
        settings: Step sizes, early stopping, precision, devices; with a model that makes its data ready (see
            `data_models`) and a guide that begins at the mode, steps are small by default.
        optimizer: Any optax transformation, with a learning-rate schedule of its own if you like; by default
            `svi_optimizer.default_optimizer`. Warm-up and cooling of the settings apply to its updates as well.
        elbo: A NumPyro objective; by default `Trace_ELBO` with the particles of the settings.
        kwargs: Keyword arguments of model and guide.
        start: Parameter of the guide -> value to begin from.
        init: Where a guide of the builders begins: at the mode, or where `pathfinder` says.
        coords: Dimension -> labels.
        dims: Site -> names of its dimensions; where there are none, the plates that the site stands in.
        checkpoints: Where to write what the fit needs to go on; a fit of the same goes on from what lies there.
        progress: Called with events of the stages "compile" and "fit".

    Returns:
        The fit, also after Ctrl-C: then with the steps made so far, and `fit.interrupted` is true.

    Raises:
        ConfigurationError: naming the argument.

    Source: D. Wingate, T. Weber (2013), https://arxiv.org/abs/1301.1299; M. Hoffman, D. Blei, C. Wang, J. Paisley
    (2013), https://jmlr.org/papers/v14/hoffman13a.html (mini-batches).

    Example:
        >>> import numpyro, numpyro.distributions as dist
        >>> from numpyro.infer.autoguide import AutoNormal
        >>> def heights(y):
        ...     mean = numpyro.sample("mean", dist.Normal(0.0, 10.0))
        ...     numpyro.sample("y", dist.Normal(mean, 1.0), obs=y)
        >>> fit = svi(heights, AutoNormal(heights), np.array([1.0, 2.0, 3.0]), steps=500)
        >>> round(float(fit.sample(2000)["mean"].mean()), 1)
        2.0
    """
    check_steps(steps, batch_size)
    check_seed(seed)
    check_init(init)
    settings = settings or SviSettings()
    extra = dict(kwargs or {})
    notes: tuple[str, ...] = ()
    near: Mapping[str, Any] = {}
    suggested: float | None = None
    began = time.perf_counter()
    if init != "mode" and not isinstance(model, AbstractDataModel):
        raise ConfigurationError(
            "only models of the builders find a guide's place to begin",
            field="init",
            expected="mode",
            got=init,
            todo="give the guide's parameters a start of their own",
        )
    if isinstance(model, AbstractDataModel):
        with jax.enable_x64(settings.is_double(batch_size)):
            ready = model.made_ready(data, guide, batch_size=batch_size, kwargs=extra, init=init)
        guide, data, notes = ready.guide or guide, ready.data, ready.notes
        near, suggested = ready.start, ready.learning_rate
    if settings.learning_rate is None:
        settings = replace(settings, learning_rate=USUAL_RATE if suggested is None else suggested)
    args = data if isinstance(data, tuple) else (data,)
    fitting = extra if batch_size is None else {**extra, "batch_size": batch_size}
    call = Call.of(args, fitting, constant=settings.constant_data)
    with note_interrupts() as noted, jax.enable_x64(settings.is_double(batch_size)):
        progress(ProgressEvent("compile", 0.0, 1.0, "model"))
        sites = find_sites(model, call)
        begun = begun_at(guide, {name: value for name, value in near.items() if has_shape(sites.latent, name, value)})
        if begun is not guide:
            notes += ("the autoguide begins at moments of the data",)
        problem = Problem(
            model=model,
            guide=settled_guide(begun, call, seed),
            call=call,
            optimizer=optimizer or default_optimizer(settings.learning_rate),
            elbo=elbo or default_elbo(settings.particles),
            warm_up=settings.warm_up,
            start=dict(start or {}),
            layout=layout_over(settings.devices),
        )
        check_guide(sites, find_sites(problem.guide, call))
        with TRACING:
            state, compiled = compile_steps(problem, seed, call.device_arrays())
        course = Course(steps, settings)
        progress(ProgressEvent("compile", 1.0, 1.0, "model"))
        keeper = Keeper(checkpoints, fingerprint_of(compiled, seed, steps, settings) if checkpoints else "")
        state = keeper.resume(state, course)
        state = _drive(compiled, state, course, keeper, noted, progress)
        whole = Call.of(args, extra, constant=settings.constant_data)
        whole_guide = problem.guide if batch_size is None else settled_guide(guide, whole, seed)
        params = jax.tree.map(np.asarray, compiled.constrain(state.params, compiled.arrays))
        touched = jax.tree.map(np.asarray, state.touched)
        mutable = jax.tree.map(np.asarray, state.mutable)
        course.interrupted = course.interrupted or noted.pressed  # after the last chunk, too, somebody waits for an end
    plain = {
        "steps": steps,
        "batch_size": batch_size,
        "seed": seed,
        "double": settings.is_double(batch_size),
        "own_optimizer": optimizer is not None,
        **{name: value for name, value in asdict(settings).items() if name != "stopping"},
        "stopping": None if settings.stopping is None else settings.stopping.words,
        "notes": list(notes),
    }
    return VariationalFit(
        model=model,
        guide=whole_guide,
        fitted=Subject(model, whole, coords or {}, dims or {}),
        params=params,
        mutable=mutable,
        elbo=course.elbo,
        touched=touched,
        ended=course.ended,
        interrupted=course.interrupted,
        settings=plain,
        seconds=time.perf_counter() - began,
    )


def _drive(
    compiled: Steps,
    state: SviState,
    course: Course,
    keeper: Keeper,
    noted: NotedInterrupt,
    progress: ProgressCallback,
) -> SviState:
    """Make all steps, chunk by chunk."""
    began, first, length = time.perf_counter(), course.done, 1
    while not course.is_over:
        n = min(length, LONGEST_CHUNK, course.next_stop - course.done)
        chunk_began = time.perf_counter()
        state, losses = compiled.advance(
            state, compiled.arrays, np.int32(n), np.int32(course.cool_from), np.int32(course.cool_steps)
        )
        course.add(np.asarray(losses)[:n])  # the only time that the device is waited for
        seconds = max(time.perf_counter() - chunk_began, 1e-6)
        # at most fourfold: the first chunk is short and its time uncertain
        length = int(np.clip(n * CHUNK_SECONDS / seconds, 1, 4 * max(n, length)))
        elapsed = max(time.perf_counter() - began, 1e-9)
        info = {"elbo": round(course.latest, 3), "steps_per_second": round((course.done - first) / elapsed, 1)}
        try:
            progress(ProgressEvent("fit", course.done, course.end, "steps", info))
        except KeyboardInterrupt:
            noted.pressed = True
        course.interrupted = noted.pressed
        keeper.offer(state, course)
    return state
