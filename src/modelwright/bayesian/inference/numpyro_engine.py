"""NUTS with NumPyro: one compiled loop, chains in threads, events between chunks.

The model is traced once, in one thread (NumPyro keeps its effect handlers in a list that all threads share). The loop
that advances a chain by `n` draws is compiled ahead of time with `n` as an argument, so that every chunk of every chain
runs the same code and the chunks together are bit for bit one long run. Compiled code releases the interpreter: threads
give real parallelism, without processes, pickling or a second compilation. Chunks take a fraction of a second, so that
progress moves and an interrupt stops soon.

All parameters travel as one vector: the tree-building of NUTS costs one operation per leaf of its state.
"""

import queue
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from jax.flatten_util import ravel_pytree
from numpyro.handlers import seed as seeded
from numpyro.handlers import trace as traced
from numpyro.infer.hmc import hmc
from numpyro.infer.util import constrain_fn, potential_energy, unconstrain_fn

from modelwright.bayesian.inference.reporting import ChainsProgress
from modelwright.bayesian.inference.settings import NutsSettings
from modelwright.bayesian.inference.traces import assemble_trace, tree_depth_of
from modelwright.core.errors import ConfigurationError
from modelwright.core.progress import ProgressCallback, ignore_progress

if TYPE_CHECKING:
    from modelwright.bayesian.quiet_arviz import az

CHUNK_SECONDS = 0.2
"""Wall time a chunk aims at: what an interrupt waits for, and how often progress can move."""

CHUNK_NUMBERS = 4_000_000
"""Numbers that the buffer of one chunk may hold (32 MB), which bounds its length for models with many parameters."""

LONGEST_CHUNK = 200
"""Draws of the longest chunk."""

STARTS_TRIED = 100
"""Starting points tried per chain before giving up on a finite density."""

_TRACING = threading.Lock()


class _Chunk(NamedTuple):
    """What a chunk leaves: a row per draw, of which the first `n` are filled."""

    z: Any
    energy: Any
    potential_energy: Any
    n_steps: Any
    acceptance_rate: Any
    diverging: Any
    step_size: Any


@dataclass(frozen=True)
class _Sampler:
    """The compiled pieces."""

    begin: Callable[..., Any]  # (z, key) -> state
    advance: Callable[..., Any]  # (state, n) -> (state, _Chunk)
    constrain: Callable[..., Any]  # z, shape (longest, n_dim) -> {name: (longest, ...)}
    center: np.ndarray
    spread: np.ndarray
    longest: int
    shapes: Mapping[str, Any]  # name -> shape and type of one draw


@dataclass(frozen=True)
class _Drawn:
    """Room for all draws, which every chain fills at its own place: arrays of shape (chain, draw, ...)."""

    posterior: dict[str, np.ndarray]
    statistics: dict[str, np.ndarray]


def sample(
    model_fn: Callable[..., Any],
    settings: NutsSettings,
    *,
    model_args: tuple[Any, ...] = (),
    model_kwargs: Mapping[str, Any] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    dims: Mapping[str, Sequence[str]] | None = None,
    platform: str = "cpu",
    progress: ProgressCallback = ignore_progress,
    start: Mapping[str, Any] | None = None,
    scale: Mapping[str, Any] | None = None,
    var_names: Collection[str] | None = None,
) -> "az.InferenceData":
    """Sample a NumPyro model; see `nuts.sample_numpyro_model` for the arguments."""
    began = time.perf_counter()
    report = ChainsProgress(settings, progress)
    device = jax.devices(platform)[0]
    with jax.enable_x64(True), jax.default_device(device):  # noqa: FBT003 (JAX's signature)
        report.compiling(done=False)
        with _TRACING:
            sampler = _compile(model_fn, model_args, dict(model_kwargs or {}), settings, start, scale, var_names)
        states = _begin_chains(sampler, settings)
        report.compiling(done=True)
        drawn = _storage(sampler, settings)
        _drive(sampler, states, drawn, settings, report, device)
    return assemble_trace(
        drawn.posterior,
        _statistics(drawn.statistics, settings),
        settings,
        engine="numpyro",
        engine_version=numpyro.__version__,
        sampling_seconds=time.perf_counter() - began,
        platform=platform,
        at_once=settings.at_once,
        coords=coords,
        dims=dims,
    )


def _compile(
    model_fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    settings: NutsSettings,
    start: Mapping[str, Any] | None,
    scale: Mapping[str, Any] | None,
    var_names: Collection[str] | None,
) -> _Sampler:
    latent = _latent_sites(model_fn, args, kwargs)
    for field, given in (("start", start), ("scale", scale)):
        if given is not None and set(given) != set(latent):
            raise ConfigurationError(
                "does not fit the model", field=field, expected=f"a value for {', '.join(latent)}", got=sorted(given)
            )
    if start is None:
        shapes = jax.eval_shape(lambda values: unconstrain_fn(model_fn, args, kwargs, values), latent)
        center_tree = {name: np.zeros(leaf.shape) for name, leaf in shapes.items()}
    else:
        values = {name: jnp.broadcast_to(jnp.asarray(start[name], float), latent[name].shape) for name in latent}
        center_tree = jax.jit(lambda values: unconstrain_fn(model_fn, args, kwargs, values))(values)
    center, unravel = ravel_pytree(center_tree)
    widths = {name: jnp.broadcast_to((scale or {}).get(name, 1.0), np.shape(z)) for name, z in center_tree.items()}
    width = ravel_pytree(jax.tree.map(lambda w: jnp.asarray(w, float), widths))[0]
    longest = max(1, min(LONGEST_CHUNK, settings.tune + settings.draws, CHUNK_NUMBERS // max(1, center.size)))

    init, step = hmc(potential_fn=lambda z: potential_energy(model_fn, args, kwargs, unravel(z)), algo="NUTS")

    def begin(z: Any, key: Any) -> Any:
        return init(
            z,
            num_warmup=settings.tune,
            inverse_mass_matrix=width**2,
            target_accept_prob=settings.target_accept,
            trajectory_length=None,
            max_tree_depth=settings.max_tree_depth,
            rng_key=key,
        )

    def advance(state: Any, n: Any) -> tuple[Any, _Chunk]:
        rows = jax.tree.map(lambda leaf: jnp.zeros((longest, *leaf.shape), leaf.dtype), _row(state))

        def one(k: Any, carry: Any) -> Any:
            state, rows = carry
            state = step(state)
            return state, jax.tree.map(lambda column, value: column.at[k].set(value), rows, _row(state))

        return jax.lax.fori_loop(0, n, one, (state, rows))

    def constrain(z: Any) -> dict[str, Any]:
        values = constrain_fn(model_fn, args, kwargs, unravel(z), return_deterministic=True)
        return {name: value for name, value in values.items() if var_names is None or name in var_names}

    key = jax.random.key(settings.seed)
    compiled_begin = jax.jit(begin).lower(center, key).compile()
    state = compiled_begin(center, key)
    rows = jax.ShapeDtypeStruct((longest, center.size), center.dtype)
    compiled_constrain = jax.jit(jax.vmap(constrain)).lower(rows).compile()
    return _Sampler(
        begin=compiled_begin,
        advance=jax.jit(advance).lower(state, np.int32(1)).compile(),
        constrain=compiled_constrain,
        center=np.asarray(center),
        spread=np.full(center.size, 2.0) if start is None else np.asarray(width),
        longest=longest,
        shapes=jax.eval_shape(constrain, center),
    )


def _latent_sites(model_fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Name -> shape and type of every latent site, without computing anything."""
    discrete: list[str] = []

    def run(key: Any) -> dict[str, Any]:
        sites = traced(seeded(model_fn, key)).get_trace(*args, **kwargs)
        latent = {name: s for name, s in sites.items() if s["type"] == "sample" and not s["is_observed"]}
        discrete.extend(name for name, site in latent.items() if site["fn"].support.is_discrete)
        return {name: site["value"] for name, site in latent.items()}

    latent = jax.eval_shape(run, jax.random.key(0))
    if discrete:
        raise ConfigurationError(
            "NUTS needs continuous variables",
            field=discrete[0],
            expected="a continuous distribution",
            todo="sum the discrete variable out of the likelihood",
        )
    if not latent:
        raise ConfigurationError("the model has nothing to sample", expected="at least one latent site")
    return latent


def _row(state: Any) -> _Chunk:
    return _Chunk(
        z=state.z,
        energy=state.energy,
        potential_energy=state.potential_energy,
        n_steps=state.num_steps,
        acceptance_rate=state.accept_prob,
        diverging=state.diverging,
        step_size=state.adapt_state.step_size,
    )


def _begin_chains(sampler: _Sampler, settings: NutsSettings) -> list[Any]:
    """One state per chain, each from its own point with a finite density and gradient."""
    generators = np.random.default_rng(np.random.SeedSequence(settings.seed)).spawn(settings.chains)
    keys = jax.random.split(jax.random.key(settings.seed), settings.chains)
    states = []
    for generator, key in zip(generators, keys, strict=True):
        for _ in range(STARTS_TRIED):
            z = sampler.center + sampler.spread * generator.uniform(-1.0, 1.0, sampler.center.shape)
            state = sampler.begin(z, key)
            if np.isfinite(state.potential_energy) and np.isfinite(state.z_grad).all():
                break
        else:
            raise ConfigurationError(
                f"no starting point with a finite density among {STARTS_TRIED}",
                field="model",
                todo="check that the data are possible under the model, or give start values",
            )
        states.append(state)
    return states


def _storage(sampler: _Sampler, settings: NutsSettings) -> _Drawn:
    lead = (settings.chains, settings.draws)
    kinds = {"n_steps": np.int64, "diverging": np.bool_}
    return _Drawn(
        posterior={name: np.empty((*lead, *one.shape), one.dtype) for name, one in sampler.shapes.items()},
        statistics={name: np.empty(lead, kinds.get(name, np.float64)) for name in _Chunk._fields if name != "z"},
    )


def _drive(
    sampler: _Sampler, states: list[Any], drawn: _Drawn, settings: NutsSettings, report: ChainsProgress, device: Any
) -> None:
    """Advance all chains to the end, some at the same time, and fill `drawn`."""
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for chain in range(settings.chains):
        waiting.put(chain)
    events: queue.SimpleQueue[tuple[int, int, int] | BaseException] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        try:
            # both settings are thread-local in JAX, hence once more here
            with jax.enable_x64(True), jax.default_device(device):  # noqa: FBT003 (JAX's signature)
                while not stop.is_set():
                    try:
                        chain = waiting.get_nowait()
                    except queue.Empty:
                        return
                    _run_chain(sampler, states[chain], chain, drawn, settings, events.put, stop)
        except BaseException as error:  # handed to the calling thread, which raises it
            events.put(error)

    workers = [threading.Thread(target=work, name=f"chain-{k}", daemon=True) for k in range(settings.at_once)]
    try:
        for worker in workers:
            worker.start()
        running = settings.chains
        while running:
            event = events.get()
            if isinstance(event, BaseException):
                raise event
            report.update(*event)
            running -= event[1] == settings.tune + settings.draws
    finally:
        stop.set()
        for worker in workers:
            worker.join()


def _run_chain(
    sampler: _Sampler,
    state: Any,
    chain: int,
    drawn: _Drawn,
    settings: NutsSettings,
    tell: Callable[[tuple[int, int, int]], None],
    stop: threading.Event,
) -> None:
    tune, total = settings.tune, settings.tune + settings.draws
    finished, divergences, length = 0, 0, 1
    while finished < total and not stop.is_set():
        n = min(length, total - finished)
        began = time.perf_counter()
        state, rows = sampler.advance(state, np.int32(n))
        new = slice(min(n, max(0, tune - finished)), n)
        if new.start < n:
            place = slice(finished + new.start - tune, finished + n - tune)
            for name, values in sampler.constrain(rows.z).items():
                drawn.posterior[name][chain, place] = np.asarray(values)[new]
            for name, column in drawn.statistics.items():
                column[chain, place] = np.asarray(getattr(rows, name))[new]
            divergences += int(drawn.statistics["diverging"][chain, place].sum())
        else:
            jax.block_until_ready(rows)
        finished += n
        seconds = max(time.perf_counter() - began, 1e-6)
        # at most doubling: early trajectories may be short by chance, and one chunk bounds what an interrupt waits for
        length = int(np.clip(n * CHUNK_SECONDS / seconds, 1, min(2 * n, sampler.longest)))
        tell((chain, finished, divergences))


def _statistics(rows: Mapping[str, np.ndarray], settings: NutsSettings) -> dict[str, np.ndarray]:
    n_steps, diverging = rows["n_steps"], rows["diverging"]
    return {
        "diverging": diverging,
        "energy": rows["energy"],
        "tree_depth": tree_depth_of(n_steps),
        # NumPyro does not say why a trajectory ended. One that made every step allowed counts as cut short, though it
        # may have turned at the very last check: too strict by a little, never too lenient.
        "reached_max_tree_depth": (n_steps == settings.leapfrog_limit()) & ~diverging,
        "n_steps": n_steps,
        "acceptance_rate": rows["acceptance_rate"],
        "step_size": rows["step_size"],
        "lp": -rows["potential_energy"],
    }
