"""A law: a mathematical fact that holds for every model of a family, and the check that a given model keeps it.

A check measures one figure against one tolerance. The tolerances follow a ladder: 1e-10 for the same formula in double
precision, 1e-6 (1e-4 in single precision) against automatic differentiation, 1e-3 against finite differences, five
standard errors for Monte Carlo, and what sound models exceed once in some 100,000 checks where `chance` says it.
Checks run in the precision of the model's parameters.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, PRNGKeyArray

from modelwright.core.seeds import named_seed
from modelwright.generative.protocol import AbstractGenerativeModel, Batch


@final
@dataclass(frozen=True)
class Subject:
    """A model to be held to the laws.

    Args:
        model: The model.
        batch: Some examples of the kind it is made for (its own samples where there are no data).
        seed: Of everything drawn while checking.
    """

    model: AbstractGenerativeModel
    batch: Batch
    seed: int = 0

    def key(self, name: str) -> PRNGKeyArray:
        """A key of its own for every purpose."""
        return jax.random.key(named_seed(self.seed, name))


@final
@dataclass(frozen=True)
class Measured:
    """What a check found.

    Args:
        figure: The deviation, or the number that is bounded.
        tolerance: The most that the figure may be.
        words: What was measured, with its unit.
    """

    figure: float
    tolerance: float
    words: str

    @property
    def holds(self) -> bool:
        """Whether the figure is a number within the tolerance."""
        return bool(np.isfinite(self.figure) and self.figure <= self.tolerance)


@final
@dataclass(frozen=True)
class Law:
    """One law.

    Args:
        name: A sentence that is true of every model that keeps it ("the log-determinant is that of the Jacobian").
        applies: Whether it says something of a model.
        measure: The check.
    """

    name: str
    applies: Callable[[AbstractGenerativeModel], bool]
    measure: Callable[[Subject], Measured]


@final
@dataclass(frozen=True)
class Ruling:
    """A law and what came of it for one model."""

    law: str
    measured: Measured

    @property
    def line(self) -> str:
        """One line for a terminal: law, figure, tolerance, pass or fail."""
        word = "pass" if self.measured.holds else "FAIL"
        figures = f"{self.measured.figure:.3g} (at most {self.measured.tolerance:.3g})"
        return f"{word}  {self.law}: {self.measured.words} {figures}"


def certified(subject: Subject, laws: Sequence[Law]) -> tuple[Ruling, ...]:
    """Every law that applies, in order, and what came of it; an exception is a law that does not hold."""
    return tuple(_ruling(law, subject) for law in laws if law.applies(subject.model))


def failed(law: str, error: Exception) -> Ruling:
    """A law whose check ended in an exception: an infinite figure, and what the exception said."""
    said = " ".join(str(error).split()) or "no words"
    return Ruling(law, Measured(float("inf"), 0.0, f"{type(error).__name__}: {said};"))


def _ruling(law: Law, subject: Subject) -> Ruling:
    try:
        return Ruling(law.name, law.measure(subject))
    except Exception as error:  # whatever a wrong model raises
        return failed(law.name, error)


FEW = 3
"""Examples that are enough where each is looked at by itself."""


def condition_of(subject: Subject, n: int = FEW) -> Array | None:
    """What the first examples are conditioned on."""
    return None if subject.batch.cond is None else subject.batch.cond[:n]


def one_condition(subject: Subject, n: int) -> Array | None:
    """What the first example is conditioned on, for as many as are asked for."""
    cond = subject.batch.cond
    return None if cond is None else jnp.broadcast_to(cond[:1], (n, *cond.shape[1:]))


def largest(difference: Array) -> float:
    """The largest absolute number of an array; NaN when there is one."""
    return float(jnp.max(jnp.abs(difference)))


def loose(subject: Subject, double: float, single: float) -> float:
    """A tolerance by the precision of the model's parameters."""
    leaves = jax.tree.leaves(_parameters(subject))
    return double if leaves and all(leaf.dtype == jnp.float64 for leaf in leaves) else single


def leaves_out(model: AbstractGenerativeModel) -> bool:
    """Whether some units are left out while the model is trained: its loss is then of another network each time."""
    return any(getattr(module, "dropout_rate", 0.0) > 0.0 for _, module in nnx.iter_modules(model))


def drawn_anew(module: nnx.Module, seed: int) -> nnx.Module:
    """A copy whose every parameter is a normal number of standard deviation 0.3.

    What a network is built to see, it sees then, though training has switched units off for all examples.
    """
    graph, params, others = nnx.split(module, nnx.Param, ...)
    leaves, tree = jax.tree.flatten(params)
    generator = np.random.default_rng(seed)
    drawn = [(0.3 * generator.standard_normal(leaf.shape)).astype(leaf.dtype) for leaf in leaves]
    return nnx.merge(graph, jax.tree.unflatten(tree, drawn), others, copy=True)


def _parameters(subject: Subject) -> object:
    return nnx.state(subject.model, nnx.Param)
