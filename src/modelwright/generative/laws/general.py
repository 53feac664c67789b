"""Laws of every model: its shapes, its keys, its compiled forms, the reach of its gradients."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from modelwright.generative.laws.law import Law, Measured, Subject, largest, loose
from modelwright.generative.protocol import AbstractGenerativeModel

_N = 3


def _samples(subject: Subject, name: str) -> jax.Array:
    cond = None if subject.batch.cond is None else subject.batch.cond[:_N]
    return subject.model.sample(_N, key=subject.key(name), cond=cond)


def shape_of_samples(subject: Subject) -> Measured:
    """Samples have exactly the shape of an example."""
    wanted = (_N, *subject.model.example_shape)
    found = _samples(subject, "shape").shape
    return Measured(float(found != wanted), 0.0, f"samples of shape {found} for {wanted}")


def keys_decide(subject: Subject) -> Measured:
    """The same key gives the same samples, another key others."""
    again = largest(_samples(subject, "one") - _samples(subject, "one"))
    apart = largest(_samples(subject, "one") - _samples(subject, "two"))
    return Measured(again if apart > 0.0 else float("inf"), 0.0, "difference of two calls with one key")


def compiled_is_eager(subject: Subject) -> Measured:
    """Log probabilities are the same compiled and not, and of the kind that the class says."""
    model, x, cond = subject.model, subject.batch.x[:_N], _cond(subject)
    graph, state = nnx.split(model)
    compiled = jax.jit(lambda state, x, cond: nnx.merge(graph, state).log_prob(x, cond=cond))
    eager, found = model.log_prob(x, cond=cond), compiled(state, x, cond)
    if {eager.kind, found.kind} != {model.log_prob_kind}:
        return Measured(float("inf"), 0.0, f"of kind {eager.kind}, not {model.log_prob_kind}:")
    scale = float(jnp.max(jnp.abs(eager.value))) + 1.0
    return Measured(largest(found.value - eager.value) / scale, loose(subject, 1e-10, 1e-4), "relative difference")


def examples_apart(subject: Subject) -> Measured:
    """The log probability of an example does not depend on the others beside it."""
    model, cond = subject.model, _cond(subject)
    x = subject.batch.x[:_N]
    together = model.log_prob(x, cond=cond).value
    alone = jnp.concatenate(
        [model.log_prob(x[k : k + 1], cond=None if cond is None else cond[k : k + 1]).value for k in range(len(x))]
    )
    scale = float(jnp.max(jnp.abs(together))) + 1.0
    return Measured(largest(together - alone) / scale, loose(subject, 1e-10, 1e-4), "relative difference")


def gradients_reach(subject: Subject) -> Measured:
    """Every parameter receives a gradient from some objective, and all gradients are finite."""
    model = subject.model
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    reached = jax.tree.map(lambda leaf: np.zeros(leaf.shape, bool), nnx.to_pure_dict(params))
    for objective in model.objectives():

        def value(params: nnx.State, key: jax.Array, objective: object = objective) -> jax.Array:
            model = nnx.merge(graph, params, rest, copy=True)  # of its own: a loss may change what is no parameter
            return objective.loss(model, subject.batch, key, jnp.asarray(1)).value  # type: ignore[attr-defined]

        gradient = jax.jit(jax.grad(value))
        for k in range(3):
            found = nnx.to_pure_dict(gradient(params, subject.key(f"gradient {k}")))
            reached = jax.tree.map(lambda a, g: a | (np.asarray(g) != 0.0) | ~np.isfinite(g), reached, found)
            if not all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(found)):
                return Measured(float("inf"), 0.0, "gradients that are not finite")
    untouched = [leaf for leaf in jax.tree.leaves(reached) if leaf.size and not leaf.any()]
    return Measured(float(len(untouched)), 0.0, "arrays of parameters without any gradient:")


def structure_stays(subject: Subject) -> Measured:
    """Nothing is made by using a model: its variables are those that it had when it was made."""
    model, x, cond = subject.model, subject.batch.x[:_N], _cond(subject)
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
    model = type(subject.model)
    own = {
        name
        for name in ("sample", "log_prob", "encode", "decode")
        if getattr(model, name) is not getattr(AbstractGenerativeModel, name)
    }
    wrong = own ^ (set(subject.model.offers) - {"condition"})
    return Measured(float(len(wrong)), 0.0, f"offers that differ ({', '.join(sorted(wrong)) or 'none'}):")


def _cond(subject: Subject) -> "jax.Array | None":
    return None if subject.batch.cond is None else subject.batch.cond[:_N]


def _always(model: AbstractGenerativeModel) -> bool:
    return True


GENERAL_LAWS = (
    Law("what is offered is there, and nothing else", _always, offers_are_kept),
    Law("samples have the shape of an example", lambda model: "sample" in model.offers, shape_of_samples),
    Law("nothing is made by being used", _always, structure_stays),
    Law("keys decide what is drawn", lambda model: "sample" in model.offers, keys_decide),
    Law("compiled and not compiled agree", lambda model: "log_prob" in model.offers, compiled_is_eager),
    Law("examples do not look at each other", lambda model: model.log_prob_kind == "exact", examples_apart),
    Law("every parameter receives a gradient", _always, gradients_reach),
)
