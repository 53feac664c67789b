"""The default optimizer: Adam behind a clip that knows no absolute size, and the step size over time.

A gradient of an ELBO may have norm 1 or 1e6, by the number of observations. The clip compares each gradient with the
running root mean square of the norms before it, so that only a step out of line is shortened.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from modelwright.bayesian.inference.svi_settings import COOLED


class SpikeState(NamedTuple):
    """What the clip remembers: the decayed mean of squared norms and the weight that it rests on."""

    squared: Any
    weight: Any


def norm_of(tree: Any) -> Any:
    """The Euclidean norm of all numbers of a tree.

    Example:
        >>> float(norm_of({"a": jnp.full(2, 2.0), "b": jnp.ones(())}))
        3.0
    """
    return jnp.sqrt(sum((jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(())))


def clip_spikes(factor: float = 5.0, decay: float = 0.95) -> optax.GradientTransformation:
    """Shorten gradients whose norm is beyond `factor` times the running root mean square of the norms before.

    Args:
        factor: How far beyond (arbitrary: noise of an ELBO's gradient seldom doubles its norm).
        decay: Memory per step: 0.95 looks back over about 20 steps.

    Example:
        >>> clip = clip_spikes(factor=2.0)
        >>> state = clip.init({"x": jnp.zeros(1)})
        >>> _, state = clip.update({"x": jnp.ones(1)}, state)
        >>> clipped, _ = clip.update({"x": jnp.full(1, 50.0)}, state)
        >>> round(float(clipped["x"][0]), 3)
        2.0
    """

    def init(params: Any) -> SpikeState:
        del params
        return SpikeState(jnp.zeros(()), jnp.zeros(()))

    def update(gradients: Any, state: SpikeState, params: Any = None) -> tuple[Any, SpikeState]:
        del params
        norm = norm_of(gradients)
        typical = jnp.sqrt(state.squared / jnp.maximum(state.weight, 1e-30))
        limit = jnp.where(typical > 0, factor * typical, norm)
        scale = jnp.where(norm > limit, limit / norm, 1.0)
        clipped = jax.tree.map(lambda g: (scale * g).astype(g.dtype), gradients)
        kept = jnp.where(jnp.isfinite(norm), jnp.minimum(norm, limit), 0.0)
        weight = jnp.where(jnp.isfinite(norm), 1.0 - decay, 0.0)
        return clipped, SpikeState(decay * state.squared + weight * kept**2, decay * state.weight + weight)

    return optax.GradientTransformation(init, update)


def default_optimizer(learning_rate: float) -> optax.GradientTransformation:
    """Adam (decay 0.9 and 0.99) after `clip_spikes`.

    The second moment looks back over a hundred steps rather than a thousand: curvature changes fast at the beginning
    of a fit of a few hundred steps.
    """
    return optax.chain(clip_spikes(), optax.adam(learning_rate, b1=0.9, b2=0.99))


def step_scale(step: Any, warm_up: int, cool_from: Any, cool_steps: Any) -> Any:
    """The factor of the step size: rises over the first steps, is 1, and falls by half a cosine at the end.

    Args:
        step: Steps made so far.
        warm_up: Steps of rising.
        cool_from: Step at which cooling begins.
        cool_steps: Steps of cooling; none when 0.

    Example:
        >>> [round(float(step_scale(step, 2, 10, 4)), 3) for step in (0, 5, 12, 14)]
        [0.5, 1.0, 0.505, 0.01]
    """
    rising = jnp.minimum(1.0, (step + 1.0) / max(warm_up, 1))
    passed = jnp.clip((step - cool_from) / jnp.maximum(cool_steps, 1), 0.0, 1.0)
    falling = COOLED + (1.0 - COOLED) * 0.5 * (1.0 + jnp.cos(jnp.pi * passed))
    return rising * jnp.where(cool_steps > 0, falling, 1.0)
