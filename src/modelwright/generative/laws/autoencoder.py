"""What the laws of autoencoders ask with: functions of the model compiled, contexts, means in standard errors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array

from modelwright.generative.laws.law import Measured, Subject, condition_of, one_condition
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.vae.autoencoder import AbstractAutoencoder
from modelwright.generative.vae.vqvae import VQVAE

STANDARD_ERRORS = 5.0
"""Of a mean of draws, at most: a sound model exceeds them once in some two million checks."""


def compiled(subject: Subject, function: Callable[[Any], Any]) -> Any:
    """What a function of the model gives, compiled; it works on a copy, as losses may move codebooks."""
    graph, state = nnx.split(subject.model)
    return jax.jit(lambda state: function(nnx.merge(graph, state, copy=True)))(state)


def over_keys(subject: Subject, function: Callable[[Any, Array], Any], name: str, n: int) -> Any:
    """What a function of the model and a key gives for each of so many keys, one after the other."""
    keys = jax.random.split(subject.key(name), n)
    return compiled(subject, lambda model: jax.lax.map(lambda key: function(model, key), keys))


def standard_errors(difference: Array, scale: float | Array) -> float:
    """By how many of its standard errors a mean is above zero.

    Args:
        difference: Of two numbers, for each draw.
        scale: How large those numbers are: their rounding in single precision is no difference, be the draws all alike.
    """
    rounding = 1e-6 * (1.0 + jnp.abs(scale).max())
    return float(difference.mean() / (difference.std(ddof=1) / len(difference) ** 0.5 + rounding))


def in_standard_errors(difference: Array, scale: float | Array, words: str) -> Measured:
    """The mean of differences held against five of its standard errors."""
    return Measured(abs(standard_errors(difference, scale)), STANDARD_ERRORS, f"standard errors {words}:")


def context_of(subject: Subject, n: int) -> Array | None:
    """The vectors that the first examples are conditioned on."""
    return subject.model.condition.vectors(condition_of(subject, n), n)


def one_context(subject: Subject, n: int) -> Array | None:
    """The vector that the first example is conditioned on, for as many as are asked for."""
    return subject.model.condition.vectors(one_condition(subject, n), n)


def is_normal(model: AbstractGenerativeModel) -> bool:
    """Whether a model is an autoencoder with a normal latent."""
    return isinstance(model, AbstractAutoencoder)


def is_coded(model: AbstractGenerativeModel) -> bool:
    """Whether a model is an autoencoder with codes for latents."""
    return isinstance(model, VQVAE)
