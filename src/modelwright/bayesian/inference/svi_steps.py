"""The compiled pieces of stochastic variational inference: a beginning, many steps at once, what parameters mean.

    begin(key, arrays) -> state
    advance(state, arrays, n, cool_from, cool_steps) -> state, losses        n steps in one loop, state given away
    constrain(state.params, arrays) -> {name: value of the guide's parameters}

The number of steps is an argument of the compiled loop: chunks of any length run the same code, so that they are
together, bit for bit, one long run. Losses stay on the device until the chunk is over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from numpyro.distributions import biject_to, constraints
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer import Trace_ELBO
from numpyro.infer.elbo import ELBO
from numpyro.infer.util import transform_fn

from modelwright.bayesian.inference.svi_optimizer import norm_of, step_scale
from modelwright.bayesian.inference.svi_sharding import Layout
from modelwright.bayesian.inference.tracing import Call
from modelwright.core.errors import ConfigurationError

LONGEST_CHUNK = 1000
"""Steps of the longest chunk: room for the losses that are read at its end."""


class SviState(NamedTuple):
    """What the next step needs.

    Args:
        params: Unconstrained parameters by name.
        optimizer: State of the optimizer.
        mutable: Values of mutable sites (running averages of a network), None without any.
        key: Random key.
        step: Steps made.
        touched: For every parameter, whether it ever received a gradient other than zero.
        skipped: Steps left out because loss or gradient was not finite.
    """

    params: Any
    optimizer: Any
    mutable: Any
    key: Any
    step: Any
    touched: Any
    skipped: Any


@dataclass(frozen=True)
class Problem:
    """What is fitted to what.

    Args:
        model: A NumPyro model. guide: Its guide.
        call: What both are called with.
        optimizer: The optimizer.
        elbo: The objective.
        warm_up: Steps over which the step size rises.
        start: Parameter name -> value (constrained) to begin from; others begin where the guide says.
        layout: How the data lie on the devices.
    """

    model: Callable[..., Any]
    guide: Callable[..., Any]
    call: Call
    optimizer: optax.GradientTransformation
    elbo: ELBO
    warm_up: int
    start: Mapping[str, Any]
    layout: Layout


@dataclass(frozen=True)
class Steps:
    """The compiled pieces, the arrays to call them with, and the program as the compiler got it."""

    advance: Callable[..., Any]
    constrain: Callable[..., Any]
    arrays: tuple[Any, ...]
    program: str


def default_elbo(particles: int) -> ELBO:
    """The plain estimator, for any guide whose draws are differentiable."""
    return Trace_ELBO(num_particles=particles)


def compile_steps(problem: Problem, seed_number: int, arrays: tuple[Any, ...]) -> tuple[SviState, Steps]:
    """Trace model and guide, compile the loop and make the first state.

    Call with `TRACING` held and the precision set.
    """
    begun = jax.jit(partial(begin, problem))(jax.random.key(seed_number), arrays)
    state = problem.layout.spread(jax.tree.map(jnp.asarray, begun))
    arrays = problem.layout.place(arrays)
    whole = np.int32(0)
    lowered = jax.jit(partial(advance, problem), donate_argnums=0, out_shardings=problem.layout.whole).lower(
        state, arrays, whole, whole, whole
    )
    return state, Steps(
        advance=lowered.compile(),
        constrain=jax.jit(partial(constrain, problem)).lower(state.params, arrays).compile(),
        arrays=arrays,
        program=lowered.as_text(),
    )


def begin(problem: Problem, key: Any, arrays: tuple[Any, ...]) -> SviState:
    """The state before the first step."""
    key, first = jax.random.split(key)
    values, transforms, mutable = _parameters(problem, first, arrays)
    values.update({name: _started(values, name, value) for name, value in problem.start.items()})
    params = {name: transforms[name].inv(value) for name, value in values.items()}
    params, mutable = jax.tree.map(
        lambda leaf: jax.lax.convert_element_type(leaf, jnp.result_type(leaf)), (params, mutable)
    )
    zero = jnp.zeros((), jnp.int32)
    touched = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, bool), params)
    return SviState(params, problem.optimizer.init(params), mutable or None, key, zero, touched, zero)


def advance(
    problem: Problem, state: SviState, arrays: tuple[Any, ...], n: Any, cool_from: Any, cool_steps: Any
) -> tuple[SviState, Any]:
    """Make `n` steps; the losses fill the first `n` places of what comes back."""
    _, transforms, _ = _parameters(problem, jax.random.key(0), arrays)
    args, kwargs = problem.call.arguments(arrays)

    def loss_of(params: Any, mutable: Any, key: Any) -> tuple[Any, Any]:
        values = transform_fn(transforms, params)
        values.update(jax.lax.stop_gradient(mutable or {}))
        with problem.layout.arranged():
            found = problem.elbo.loss_with_mutable_state(key, values, problem.model, problem.guide, *args, **kwargs)
        return found["loss"], found["mutable_state"] if mutable else None

    def one(place: Any, carry: tuple[SviState, Any]) -> tuple[SviState, Any]:
        now, losses = carry
        key, here = jax.random.split(now.key)
        (loss, mutable), gradient = jax.value_and_grad(loss_of, has_aux=True)(now.params, now.mutable, here)
        usable = jnp.isfinite(loss) & jnp.isfinite(norm_of(gradient))
        scale = step_scale(now.step, problem.warm_up, cool_from, cool_steps)

        def moved() -> tuple[Any, Any, Any]:
            updates, optimizer = problem.optimizer.update(gradient, now.optimizer, now.params)
            params = jax.tree.map(lambda p, u: p + (scale * u).astype(p.dtype), now.params, updates)
            return params, optimizer, mutable

        params, optimizer, mutable = jax.lax.cond(usable, moved, lambda: (now.params, now.optimizer, now.mutable))
        touched = jax.tree.map(lambda was, g: was | (usable & (g != 0)), now.touched, gradient)
        loss = jnp.where(usable, loss, jnp.nan)
        after = SviState(params, optimizer, mutable, key, now.step + 1, touched, now.skipped + ~usable)
        return after, losses.at[place].set(loss.astype(losses.dtype))

    empty = jnp.zeros(LONGEST_CHUNK, jnp.result_type(float))
    return jax.lax.fori_loop(0, n, one, (state, empty))


def constrain(problem: Problem, params: Any, arrays: tuple[Any, ...]) -> Any:
    """The parameters as the guide sees them."""
    _, transforms, _ = _parameters(problem, jax.random.key(0), arrays)
    return transform_fn(transforms, params)


def _parameters(problem: Problem, key: Any, arrays: tuple[Any, ...]) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Values of all parameters of guide and model, the maps from unconstrained values to them, mutable values."""
    args, kwargs = problem.call.arguments(arrays)
    of_model, of_guide = jax.random.split(key)
    with problem.layout.arranged():
        guide_sites = trace(seed(problem.guide, of_guide)).get_trace(*args, **kwargs)
        values = {name: site["value"] for name, site in guide_sites.items() if site["type"] == "param"}
        model = substitute(replay(seed(problem.model, of_model), guide_sites), data=values)
        model_sites = trace(model).get_trace(*args, **kwargs)
    transforms: dict[str, Any] = {}
    mutable: dict[str, Any] = {}
    for site in (*model_sites.values(), *guide_sites.values()):
        if site["type"] == "param":
            values[site["name"]] = site["value"]
            transforms[site["name"]] = biject_to(site["kwargs"].get("constraint", constraints.real))
        elif site["type"] == "mutable":
            mutable[site["name"]] = site["value"]
    return values, transforms, mutable


def _started(values: Mapping[str, Any], name: str, given: Any) -> Any:
    """A parameter's starting value in the shape and type that the guide gives it."""
    if name not in values:
        raise ConfigurationError("not a parameter of the guide", field="start", expected=", ".join(values), got=name)
    return jax.tree.map(lambda leaf, to: jnp.broadcast_to(jnp.asarray(to, leaf.dtype), leaf.shape), values[name], given)
