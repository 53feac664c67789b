"""Laws of the codecs before models: what they give back, and what they do to densities."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from modelwright.generative.evaluation.likelihood import CodedModel
from modelwright.generative.laws.law import FEW, Law, Measured, Subject, largest
from modelwright.generative.protocol import AbstractGenerativeModel

NUMBERS = 1000
"""Numbers that are coded and decoded, at least."""

ROUNDINGS = 16.0
"""Times that a number is rounded on its way to the model and back, at most."""


def gives_back(subject: Subject) -> Measured:
    """What is coded and decoded is what it was: all whole numbers that data can be, the first and last among them.

    A codec for fewer values than the data have cannot give them back; what it has given once, it gives again.
    """
    model, levels = subject.model, subject.model.levels
    codec, inside = model.codec, model.inner.levels
    generator = np.random.default_rng(subject.seed)
    rows = max(8, -(-NUMBERS // int(np.prod(model.example_shape))))
    drawn = generator.integers(0, levels, (rows, *model.example_shape))
    ends = np.stack([np.zeros(model.example_shape), np.full(model.example_shape, levels - 1)])
    x = jnp.asarray(np.concatenate([drawn, ends]), jnp.int32)
    if inside is not None and inside < levels:
        x = codec.decode(codec.encode(x, subject.key("once"))[0])
    wrong = (codec.decode(codec.encode(x, subject.key("codec"))[0]) != x).mean()
    # Of real numbers a level is one part in `levels`, and what lies within rounding of the next one may become it:
    # that share, and four standard errors of it.
    share = 0.0 if inside is not None else ROUNDINGS * levels * float(jnp.finfo(jnp.float32).eps)
    most = share + 4.0 * (share / x.size) ** 0.5
    return Measured(float(wrong), most, "share of numbers that do not come back")


def log_determinant(subject: Subject) -> Measured:
    """The log-determinant is that of the Jacobian by automatic differentiation; 0 where a model takes whole numbers.

    Probabilities of whole numbers are carried over as they are.
    """
    model, key = subject.model, subject.key("codec")
    x = subject.batch.x[:FEW]
    found = model.codec.encode(x, key)[1]
    if model.inner.levels is not None:
        return Measured(largest(found), 0.0, "nats beside a log-determinant of 0:")

    def coded(x: Array) -> Array:
        return model.codec.encode(x, key)[0]

    # each example by itself, beside the others, as the noise is drawn for all
    def alone(one: Array, k: int) -> Array:
        return coded(x.astype(jnp.float32).at[k].set(one))[k]

    jacobians = [np.asarray(jax.jacrev(alone)(x[k].astype(jnp.float32), k), np.float64) for k in range(len(x))]
    wanted = np.stack([np.linalg.slogdet(each.reshape(x[0].size, x[0].size))[1] for each in jacobians])
    apart = float(np.abs(wanted - np.asarray(found)).max()) / (1.0 + float(np.abs(wanted).max()))
    return Measured(apart, 1e-4, "relative difference")  # against automatic differentiation in single precision


def _coded(model: AbstractGenerativeModel) -> bool:
    return isinstance(model, CodedModel)


CODEC_LAWS = (
    Law("what is coded and decoded is what it was", _coded, gives_back),
    Law("the log-determinant of the codec is that of its Jacobian", _coded, log_determinant),
)
