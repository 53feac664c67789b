"""Laws of the codecs before models: what they give back, and what they do to densities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from modelwright.generative.evaluation.likelihood import CodedModel
from modelwright.generative.laws.law import FEW, Law, Measured, Subject, largest, loose
from modelwright.generative.protocol import AbstractGenerativeModel, Batch

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


def reads_what_it_shows(subject: Subject) -> Measured:
    """What is shown to people and read again is the same array, every text that is shown the same text.

    Texts of bytes are held to their text only: bytes that are no UTF-8 show as a mark.
    """
    model, codec = subject.model, subject.model.codec
    drawn = np.random.default_rng(subject.seed).integers(0, model.levels, (8, *model.example_shape))
    # the last level is among them: images of nothing but zeros and ones would be refused
    x = codec.prepare(np.concatenate([drawn, np.full((1, *model.example_shape), model.levels - 1)]))
    shown = codec.present(x)
    if not isinstance(shown, list):
        return Measured(float((codec.prepare(shown) != x).sum()), 0.0, "numbers that are read otherwise than shown:")
    read = [codec.prepare(text) for text in shown]
    wrong = sum(codec.present(symbols) != [text] for symbols, text in zip(read, shown, strict=True))
    if codec.alphabet:
        wrong += sum(not np.array_equal(symbols, own) for symbols, own in zip(read, x, strict=True))
    return Measured(float(wrong), 0.0, "texts that are read otherwise than shown:")


def densities_of_raw_data(subject: Subject) -> Measured:
    """Log probabilities are those of coded data plus the log-determinant, losses those less its mean.

    One half of a key is the codec's, the other the model's. The same formula in one compiled program, but for rounding.
    """
    batch, cond, key = subject.batch, subject.batch.cond, subject.key("raw")
    graph, state = nnx.split(subject.model)
    of_codec, of_model = jax.random.split(key)
    step, trains = jnp.asarray(1), type(subject.model.inner).loss is not AbstractGenerativeModel.loss

    @jax.jit
    def compared(state: nnx.State) -> tuple[Array, Array]:
        def model() -> Any:
            return nnx.merge(graph, state, copy=True)  # one for each question: a loss may move a codebook

        z, log_det = model().codec.encode(batch.x, of_codec)
        inside, less = Batch(z, cond), log_det.mean()
        found = [model().held_out_loss(batch, key=key).value]
        wanted = [model().inner.held_out_loss(inside, key=of_model).value - less]
        if trains:
            found.append(model().loss(batch, key=key, step=step).value)
            wanted.append(model().inner.loss(inside, key=of_model, step=step).value - less)
        if "log_prob" in subject.model.offers:
            found.append(model().log_prob(batch.x, key=key, cond=cond).value)
            wanted.append(model().inner.log_prob(z, key=of_model, cond=cond).value + log_det)
        return jnp.hstack(found), jnp.hstack(wanted)

    found, wanted = compared(state)
    apart = largest((found - wanted) / (1.0 + jnp.abs(wanted)))
    return Measured(apart, loose(subject, 1e-10, 1e-5), "relative difference")


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
    Law("what is shown and read is what it was", _coded, reads_what_it_shows),
    Law("densities of raw data have the codec's log-determinant", _coded, densities_of_raw_data),
    Law("the log-determinant of the codec is that of its Jacobian", _coded, log_determinant),
)
