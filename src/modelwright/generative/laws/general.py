"""Laws of every model: its shapes, its keys, its compiled forms, the reach of its gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.core.errors import CapabilityError
from modelwright.generative.laws.law import (
    FEW,
    Law,
    Measured,
    Subject,
    condition_of,
    largest,
    leaves_out,
    loose,
    one_condition,
)
from modelwright.generative.log_prob import LogProb
from modelwright.generative.protocol import AbstractGenerativeModel

MANY = 256
"""Samples of which some change when the probabilities of whole numbers change by a few per mille."""


def _samples(subject: Subject, name: str) -> jax.Array:
    return subject.model.sample(FEW, key=subject.key(name), cond=condition_of(subject))


def shape_of_samples(subject: Subject) -> Measured:
    """Samples have exactly the shape of an example."""
    wanted = (FEW, *subject.model.example_shape)
    found = _samples(subject, "shape").shape
    return Measured(float(found != wanted), 0.0, f"samples of shape {found} for {wanted}")


def keys_decide(subject: Subject) -> Measured:
    """The same key gives the same samples, another key others."""
    again = largest(_samples(subject, "one") - _samples(subject, "one"))
    apart = largest(_samples(subject, "one") - _samples(subject, "two"))
    return Measured(again if apart > 0.0 else float("inf"), 0.0, "difference of two calls with one key")


def compiled_is_eager(subject: Subject) -> Measured:
    """Log probabilities are the same compiled in a loop over batches and not compiled, and of the kind that is said."""
    model, x, cond = subject.model, subject.batch.x[:FEW], condition_of(subject)
    graph, state = nnx.split(model)

    @jax.jit
    def compiled(state: nnx.State, batches: object) -> LogProb:
        def step(state: nnx.State, batch: "tuple[jax.Array, jax.Array | None]") -> tuple[nnx.State, LogProb]:
            return state, nnx.merge(graph, state).log_prob(batch[0], cond=batch[1])

        return jax.lax.scan(step, state, batches)[1]

    eager = model.log_prob(x, cond=cond)
    turned = jax.tree.map(lambda each: jnp.stack([each, each[::-1]]), (x, cond))
    found = compiled(state, turned)
    if {eager.kind, found.kind} != {model.log_prob_kind}:
        return Measured(float("inf"), 0.0, f"of kind {eager.kind}, not {model.log_prob_kind}:")
    # a bound that draws gives each place its own draws, so that only the exact ones are the same turned round
    second = found.value[1, ::-1] if eager.kind == "exact" else eager.value
    scale = largest(eager.value) + 1.0
    apart = max(largest(found.value[0] - eager.value), largest(second - eager.value))
    return Measured(apart / scale, loose(subject, 1e-10, 1e-4), "relative difference")


def keys_at_once(subject: Subject) -> Measured:
    """Samples of several keys at once, by `jax.vmap`, are those of the keys one by one."""
    cond, names = condition_of(subject), ("one", "two")
    graph, state = nnx.split(subject.model)

    @jax.jit
    def together(state: nnx.State, keys: jax.Array) -> jax.Array:
        return jax.vmap(lambda key: nnx.merge(graph, state).sample(FEW, key=key, cond=cond))(keys)

    found = together(state, jnp.stack([subject.key(name) for name in names]))
    apart = jnp.stack([_samples(subject, name) for name in names])
    if found.shape != apart.shape:
        return Measured(float("inf"), 0.0, f"samples of shape {found.shape}, not {apart.shape}:")
    scale = largest(apart) + 1.0
    return Measured(largest(found - apart) / scale, loose(subject, 1e-10, 1e-4), "relative difference")


def examples_apart(subject: Subject) -> Measured:
    """The log probability of an example does not depend on the others beside it."""
    model, cond = subject.model, condition_of(subject)
    x = subject.batch.x[:FEW]
    together = model.log_prob(x, cond=cond).value
    alone = jnp.concatenate(
        [model.log_prob(x[k : k + 1], cond=None if cond is None else cond[k : k + 1]).value for k in range(len(x))]
    )
    scale = float(jnp.max(jnp.abs(together))) + 1.0
    return Measured(largest(together - alone) / scale, loose(subject, 1e-10, 1e-4), "relative difference")


def losses_are_likelihoods(subject: Subject) -> Measured:
    """The held-out loss is minus the mean log probability; so is what flows and autoregressive models train on.

    The loss where no units are left out while training. The same formula in one compiled program: what separates the
    two is rounding.
    """
    batch, key, model = subject.batch, subject.key("losses"), subject.model
    trains_on_it = model.family in ("flow", "autoregressive") and not leaves_out(model)
    graph, state = nnx.split(model)

    @jax.jit
    def compared(state: nnx.State) -> tuple[list[jax.Array], jax.Array]:
        def model() -> AbstractGenerativeModel:
            return nnx.merge(graph, state, copy=True)  # one for each question: a loss may change what is no parameter

        found = [model().held_out_loss(batch, key=key).value]
        if trains_on_it:
            found += [model().loss(batch, key=key, step=jnp.asarray(1)).value]
        return found, -model().log_prob(batch.x, key=key, cond=batch.cond).mean()

    found, wanted = compared(state)
    apart = max(largest(each - wanted) for each in found) / (1.0 + largest(wanted))
    return Measured(apart, loose(subject, 1e-10, 1e-5), f"relative difference of {len(found)} losses")


def gradients_reach(subject: Subject) -> Measured:
    """Every parameter receives a gradient from some objective that moves it, and all gradients are finite.

    Of layers that are stacked, each has to receive its own: its slice of the first axis is looked at by itself.
    """
    model = subject.model
    reached = {
        path: np.zeros(leaf.shape, bool) for path, leaf in _arrays(nnx.to_pure_dict(nnx.state(model, nnx.Param)))
    }
    for objective in model.objectives():
        graph, moved, others = nnx.split(model, nnx.All(nnx.Param, objective.moves), ...)

        def value(moved: nnx.State, others: nnx.State, key: jax.Array, of: Any = (graph, objective)) -> jax.Array:
            model = nnx.merge(of[0], moved, others, copy=True)  # of its own: a loss may change what is no parameter
            return of[1].loss(model, subject.batch, key, jnp.asarray(1)).value

        gradient = jax.jit(jax.grad(value))
        for k in range(3):
            of_moved = nnx.to_pure_dict(gradient(moved, others, subject.key(f"gradient {k}")))
            for path, found in _arrays(of_moved):
                if not np.isfinite(found).all():
                    return Measured(float("inf"), 0.0, "gradients that are not finite")
                reached[path] |= np.asarray(found) != 0.0
    untouched = [
        layer
        for path, array in reached.items()
        for layer in _layers(model, path, array)
        if layer.size and not layer.any()
    ]
    return Measured(float(len(untouched)), 0.0, "arrays of parameters, each layer's own, without any gradient:")


def _arrays(tree: object) -> list[tuple[tuple[object, ...], np.ndarray]]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(tuple(getattr(key, "key", key) for key in path), leaf) for path, leaf in leaves]


def _layers(model: AbstractGenerativeModel, path: tuple[object, ...], array: np.ndarray) -> list[np.ndarray]:
    """What belongs to each layer of an array of stacked parameters; elsewhere the array itself."""
    at: Any = model
    for name in path[:-1]:
        at = at[name] if isinstance(name, int) else getattr(at, str(name))
        if hasattr(at, "n_stacked"):
            return list(array)
    return [array]


def structure_stays(subject: Subject) -> Measured:
    """Nothing is made by using a model: its variables are those that it had when it was made."""
    model, x, cond = subject.model, subject.batch.x[:FEW], condition_of(subject)
    before = _variables(model)
    if "log_prob" in model.offers:
        model.log_prob(x, cond=cond)
    if "sample" in model.offers:
        _samples(subject, "structure")
    odd = before ^ _variables(model)
    return Measured(float(len(odd)), 0.0, "variables that came or went by being used:")


def _variables(model: AbstractGenerativeModel) -> set[str]:
    leaves, _ = jax.tree_util.tree_flatten_with_path(nnx.to_pure_dict(nnx.state(model)))
    return {f"{jax.tree_util.keystr(path)} {leaf.shape}" for path, leaf in leaves}


def offers_are_kept(subject: Subject) -> Measured:
    """What a model says it offers is there, and what it does not offer refuses."""
    model, x, cond = subject.model, subject.batch.x[:FEW], condition_of(subject)
    wrong = []
    for name in ("sample", "log_prob", "encode", "decode"):
        if name in model.offers:
            if getattr(type(model), name) is getattr(AbstractGenerativeModel, name):
                wrong.append(name)
            continue
        try:
            model.sample(FEW, key=subject.key(name), cond=cond) if name == "sample" else getattr(model, name)(
                x, cond=cond
            )
        except CapabilityError:
            continue
        wrong.append(name)
    return Measured(float(len(wrong)), 0.0, f"offers that differ ({', '.join(wrong) or 'none'}):")


def condition_matters(subject: Subject) -> Measured:
    """Another condition gives every example another log probability, and other samples."""
    model, x, same = subject.model, subject.batch.x[:FEW], 0
    cond = one_condition(subject, MANY)
    other = (cond + 1) % model.condition.n_classes if model.condition.n_classes else cond + 1.0
    if "log_prob" in model.offers:
        one, two = (model.log_prob(x, cond=each[: len(x)]).value for each in (cond, other))
        same += int((one == two).sum())
    if "sample" in model.offers:
        # of one key; of whole numbers most stay what they are where the probabilities have changed a little
        one, two = (model.sample(MANY, key=subject.key("condition"), cond=each) for each in (cond, other))
        same += bool((one == two).all())
    return Measured(float(same), 0.0, "examples, or sets of samples, that do not change with the condition:")


def _always(model: AbstractGenerativeModel) -> bool:
    return True


LOSSES_ARE_LIKELIHOODS = Law(
    "the losses are minus the mean log probability",
    lambda model: model.log_prob_kind == "exact",
    losses_are_likelihoods,
)

GENERAL_LAWS = (
    Law("what is offered is there, and nothing else", _always, offers_are_kept),
    Law("samples have the shape of an example", lambda model: "sample" in model.offers, shape_of_samples),
    Law("nothing is made by being used", _always, structure_stays),
    Law("keys decide what is drawn", lambda model: "sample" in model.offers, keys_decide),
    Law("several keys at once give what each gives", lambda model: "sample" in model.offers, keys_at_once),
    Law("compiled in a loop and not compiled agree", lambda model: "log_prob" in model.offers, compiled_is_eager),
    Law("examples do not look at each other", lambda model: model.log_prob_kind == "exact", examples_apart),
    Law("another condition, another density", lambda model: model.condition.width > 0, condition_matters),
    LOSSES_ARE_LIKELIHOODS,
    Law("every parameter receives a gradient", _always, gradients_reach),
)
