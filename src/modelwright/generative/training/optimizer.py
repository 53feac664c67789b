"""The optimiser of the settings: Adam, with a learning rate over the steps, weight decay and clipping."""

from typing import Any

import jax
import optax

from modelwright.generative.protocol import Objective
from modelwright.generative.training.settings import TrainingSettings

DECAYED = ("kernel", "embedding")
"""Names of the arrays that weight decay is for."""


def learning_rates(settings: TrainingSettings, steps: int) -> optax.Schedule:
    """Step -> learning rate: a rise over `warm_up` steps, then the schedule over what is left.

    Example:
        >>> rate = learning_rates(TrainingSettings(learning_rate=1.0, schedule="linear", warm_up=10), 110)
        >>> [round(float(rate(step)), 2) for step in (0, 5, 10, 60, 110)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    highest, last = settings.learning_rate, settings.learning_rate * settings.final_rate
    left = max(steps - settings.warm_up, 1)
    match settings.schedule:
        case "cosine":
            after = optax.cosine_decay_schedule(highest, left, alpha=settings.final_rate)
        case "linear":
            after = optax.linear_schedule(highest, last, left)
        case _:
            after = optax.constant_schedule(highest)
    if settings.warm_up == 0:
        return after
    rise = optax.linear_schedule(0.0, highest, settings.warm_up)
    return optax.join_schedules([rise, after], [settings.warm_up])


def decayed(params: Any) -> Any:
    """Which arrays weight decay pulls to zero: kernels and embeddings, by their names.

    Not by their number of axes: identical layers are kept stacked along a first axis, biases and scales among them.

    Example:
        >>> decayed({"bias": jax.numpy.ones((4, 2)), "kernel": jax.numpy.ones((4, 3, 2))})
        {'bias': False, 'kernel': True}
    """

    def one(path: Any, leaf: Any) -> bool:
        names = [str(getattr(entry, "key", getattr(entry, "name", ""))) for entry in path]
        return any(name in DECAYED for name in names[-2:])

    return jax.tree_util.tree_map_with_path(one, params)


def rates_of(settings: TrainingSettings, steps: int, objective: Objective) -> optax.Schedule:
    """Update of an objective -> learning rate: that of the step in which the update is made.

    Example:
        >>> settings = TrainingSettings(learning_rate=1.0, schedule="linear")
        >>> rate = rates_of(settings, 12, Objective("critic", None, repeats=2, every=3))
        >>> [float(rate(update)) for update in range(8)]
        [1.0, 1.0, 0.75, 0.75, 0.5, 0.5, 0.25, 0.25]
    """
    rates = learning_rates(settings, steps)
    return lambda update: rates(update // objective.repeats * objective.every)


def optimizer_of(settings: TrainingSettings, steps: int, objective: Objective) -> optax.GradientTransformation:
    """Clipping, Adam's direction, weight decay, learning rate, in this order; of one objective."""
    parts = [] if settings.clip is None else [optax.clip_by_global_norm(settings.clip)]
    parts.append(optax.scale_by_adam(b2=settings.beta2))
    if settings.weight_decay > 0.0:
        parts.append(optax.add_decayed_weights(settings.weight_decay, mask=decayed))
    parts.append(optax.scale_by_learning_rate(rates_of(settings, steps, objective)))
    return optax.chain(*parts)
