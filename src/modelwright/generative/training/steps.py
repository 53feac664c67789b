"""Steps of training as compiled code: a loop over steps on the device, the state donated, nothing read in between."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jaxtyping import Array, Int, PRNGKeyArray

from modelwright.generative.precision import lowered
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss, Objective
from modelwright.generative.training.examples import AbstractExamples
from modelwright.generative.training.optimizer import optimizer_of
from modelwright.generative.training.settings import TrainingSettings


class TrainState(NamedTuple):
    """All that a step changes.

    Args:
        params: The parameters.
        rest: Every other variable of the model: running means, codebooks, replay buffers.
        optimizers: The state of each objective's optimiser.
        average: The moving average of the parameters, or None.
        step: Steps made.
        skipped: Updates that were left out because loss or gradient was not finite.
        lost: How many of them in a row, up to now, for each objective.
    """

    params: Any
    rest: Any
    optimizers: tuple[Any, ...]
    average: Any
    step: Int[Array, ""]
    skipped: Int[Array, ""]
    lost: Int[Array, " objectives"]


MOST_LOST = 20
"""Updates of one objective in a row that may be left out; with one more, a training has diverged and ends."""


@dataclass(frozen=True)
class Program:
    """What is compiled: the model's structure, its objectives, and how they are trained.

    Args:
        graph: Structure of the model.
        objectives: Its losses.
        settings: How to train.
        steps: Steps in all, for the schedule.
        place: Where batches lie when there are several devices.
    """

    graph: Any
    objectives: tuple[Objective, ...]
    settings: TrainingSettings
    steps: int
    place: Callable[[Batch], Batch]

    @property
    def updates_per_step(self) -> int:
        """Batches that one step looks at."""
        return sum(objective.repeats for objective in self.objectives)

    def optimizer(self, place: int) -> optax.GradientTransformation:
        """Of the objective at a place."""
        return optimizer_of(self.settings, self.steps, self.objectives[place])


def begun(program: Program, model: AbstractGenerativeModel) -> TrainState:
    """The state before the first step, with copies of the model's variables, so that donating them leaves it whole."""
    _, params, rest = nnx.split(model, nnx.Param, ...)
    params, rest = jax.tree.map(jnp.copy, (params, rest))
    optimizers = tuple(
        program.optimizer(place).init(nnx.split_state(params, objective.moves, ...)[0])
        for place, objective in enumerate(program.objectives)
    )
    average = jax.tree.map(jnp.copy, params) if program.settings.ema is not None else None
    step, skipped = (jnp.zeros((), jnp.int32) for _ in range(2))  # each its own memory, which is donated
    lost = jnp.zeros(len(program.objectives), jnp.int32)
    return TrainState(params, rest, optimizers, average, step, skipped, lost)


def one_step(
    program: Program, state: TrainState, examples: AbstractExamples, numbers: Array, key: PRNGKeyArray
) -> tuple[TrainState, dict[str, Array]]:
    """One step: every objective whose turn it is, as often as it repeats.

    Args:
        program: What is trained.
        state: Before.
        examples: The data.
        numbers: Of the examples of each update, shape (updates, batch).
        key: Of this step.
    """
    found: dict[str, Array] = {}
    update = 0
    for place, objective in enumerate(program.objectives):
        for _ in range(objective.repeats):
            batch = program.place(examples.take(numbers[update]))
            made = partial(_update, program, place, batch, jax.random.fold_in(key, update))
            if objective.every == 1:
                state, metrics = made(state)
            else:
                shapes = jax.eval_shape(made, state)[1]
                nothing = jax.tree.map(lambda leaf: jnp.full(leaf.shape, jnp.nan, leaf.dtype), shapes)
                turn = state.step % objective.every == 0
                state, metrics = jax.lax.cond(turn, made, lambda state, nothing=nothing: (state, nothing), state)
            update += 1
        alone = len(program.objectives) == 1
        found |= {name if alone else f"{objective.name} {name}": value for name, value in metrics.items()}
    if state.average is not None:
        # Early averages weigh what there has been so far, or the random start would be in them for thousands of steps.
        decay = jnp.minimum(program.settings.ema, (1.0 + state.step) / (10.0 + state.step))
        average = jax.tree.map(lambda a, p: a + (1.0 - decay).astype(a.dtype) * (p - a), state.average, state.params)
        state = state._replace(average=average)
    return state._replace(step=state.step + 1), found


_SLICES = 8
"""Pieces of an array that are squared and added as wholes, before anything is added along one."""


def norm_of(tree: Any) -> Array:
    """The norm of all arrays of a tree taken as one vector.

    Arrays that can be cut into pieces are added piece to piece first, many numbers at once: compilers for processors
    add the numbers of a whole array one after the other, which took an eighth of a step and rounds more.

    Example:
        >>> float(norm_of({"weights": jnp.full((16, 2), 0.5), "bias": jnp.ones(1)}))
        3.0
    """

    def squares(leaf: Array) -> Array:
        if leaf.size % _SLICES:
            return jnp.square(leaf).sum()
        pieces = leaf.reshape(_SLICES, -1)
        short = sum(jnp.square(pieces[i]) for i in range(_SLICES))
        return short.reshape(-1, 16).sum(0).sum() if short.size % 16 == 0 else short.sum()

    return jnp.sqrt(sum((squares(leaf) for leaf in jax.tree.leaves(tree)), start=jnp.zeros(())))


def _update(
    program: Program, place: int, batch: Batch, key: PRNGKeyArray, state: TrainState
) -> tuple[TrainState, dict[str, Array]]:
    objective = program.objectives[place]
    moved, others = nnx.split_state(state.params, objective.moves, ...)

    def value(moved: Any) -> tuple[Array, tuple[Loss, Any]]:
        params = nnx.merge_state(moved, others)
        model = nnx.merge(program.graph, _in_precision(params, program.settings), state.rest, copy=True)
        loss = objective.loss(model, batch, key, state.step)
        return loss.value.astype(jnp.float32), (loss, nnx.state(model, nnx.Not(nnx.Param)))

    (amount, (loss, rest)), gradient = jax.value_and_grad(value, has_aux=True)(moved)
    norm = norm_of(gradient)
    # A loss that is no number would spoil every parameter for good: such an update is left out, and counted. A branch,
    # because choosing number by number would keep the compiler from computing gradient and update together: an eighth
    # of the time of a step.
    fine = jnp.isfinite(amount) & jnp.isfinite(norm)
    before = (moved, state.optimizers[place], state.rest)

    def made() -> Any:
        changes, optimizer = program.optimizer(place).update(gradient, state.optimizers[place], moved)
        after = (optax.apply_updates(moved, changes), optimizer, rest)
        # keys, which a model of another house may hold, have no astype
        return jax.tree.map(lambda new, old: new if new.dtype == old.dtype else new.astype(old.dtype), after, before)

    moved, optimizer, rest = jax.lax.cond(fine, made, lambda: before)
    optimizers = list(state.optimizers)
    optimizers[place] = optimizer
    state = state._replace(
        params=nnx.merge_state(moved, others),
        rest=rest,
        optimizers=tuple(optimizers),
        skipped=state.skipped + jnp.where(fine, 0, 1),
        lost=state.lost.at[place].set(jnp.where(fine, 0, state.lost[place] + 1)),
    )
    # counts, too, as numbers with fractions: of a step without this objective's turn there is none, which is NaN
    metrics = {name: jnp.asarray(metric, jnp.float32) for name, metric in loss.metrics.items()}
    return state, {"loss": amount, **metrics, "gradient norm": norm}


def _in_precision(params: Any, settings: TrainingSettings) -> Any:
    return params if settings.precision == "float32" else lowered(params)


@partial(jax.jit, static_argnums=0, donate_argnums=1)
def advance(
    program: Program,
    state: TrainState,
    examples: AbstractExamples,
    numbers: Array,
    count: Int[Array, ""],
    key: PRNGKeyArray,
) -> tuple[TrainState, dict[str, Array]]:
    """Make `count` steps, or fewer when the training diverges.

    The same program whatever the count is, so that where a stretch ends does not change what is computed in it.

    Args:
        program: What is trained.
        state: Before; its memory is used for the state after.
        examples: The data.
        numbers: Of the examples, shape (most steps, updates, batch).
        count: Steps to make, at most as many as there are numbers.
        key: Of the whole training; each step folds its own number in.

    Returns:
        The state after, and the metrics of every step, shape (most steps,), zero beyond `count`.
    """
    shapes = jax.eval_shape(lambda s: one_step(program, s, examples, numbers[0], key)[1], state)
    table = jax.tree.map(lambda leaf: jnp.zeros((len(numbers), *leaf.shape), leaf.dtype), shapes)

    Carried = tuple[Array, TrainState, dict[str, Array]]

    def goes_on(carried: Carried) -> Array:
        k, state, _ = carried
        return (k < count) & (state.lost <= MOST_LOST).all()

    def body(carried: Carried) -> Carried:
        k, state, table = carried
        state, found = one_step(program, state, examples, numbers[k], jax.random.fold_in(key, state.step))
        return k + 1, state, jax.tree.map(lambda rows, value: rows.at[k].set(value), table, found)

    return jax.lax.while_loop(goes_on, body, (jnp.zeros((), jnp.int32), state, table))[1:]
