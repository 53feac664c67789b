"""Laws of autoencoders with codes for latents: their roundings, their prior over rows of codes, their bound."""

import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array

from modelwright.generative.laws.autoencoder import compiled, context_of, is_coded, one_context, over_keys
from modelwright.generative.laws.chance import FEWEST, at_once, beyond_chance
from modelwright.generative.laws.law import FEW, Law, Measured, Subject, condition_of, largest, leaves_out, loose
from modelwright.generative.protocol import AbstractGenerativeModel
from modelwright.generative.vae.code_prior import CausalPrior
from modelwright.generative.vae.vqvae import VQVAE, autoencoder_loss

_MOST_ROWS = 4096
"""Priors over no more rows of codes than this are enumerated."""


def bound_is_the_joint(subject: Subject) -> Measured:
    """The bound is log p(c) + log p(x | c) at the codes of x, and the held-out loss is minus its mean.

    The same formula from prior, decoder and likelihood, in one compiled program.
    """
    batch, key, n = subject.batch, subject.key("joint"), len(subject.batch.x)
    context = context_of(subject, n)

    def apart(model: VQVAE) -> Array:
        codes = model.encode(batch.x, cond=batch.cond)
        output = model.decoder(model.codebook.vectors_of(codes), context, None)
        of_numbers = model.observation.log_prob(output, batch.x).reshape(n, -1).sum(-1)
        wanted = model.prior.log_prob(codes.reshape(n, -1), context) + of_numbers
        found = model.log_prob(batch.x, cond=batch.cond).value
        held_out = model.held_out_loss(batch, key=key).value
        return jnp.append(found - wanted, held_out + wanted.mean()) / (1.0 + jnp.abs(wanted).max())

    return Measured(largest(compiled(subject, apart)), loose(subject, 1e-10, 1e-5), "relative difference")


def rounding_passes_gradients(subject: Subject) -> Measured:
    """The encoder's gradient of the distortion is that of the codes' vectors, as if its own vectors were these."""
    batch, key = subject.batch, subject.key("rounding")
    context = context_of(subject, len(batch.x))

    def gradients(model: VQVAE) -> tuple[Any, Any]:
        graph, params, rest = nnx.split(model, nnx.Param, ...)

        def distortion(params: nnx.State) -> Array:
            own = nnx.merge(graph, params, rest, copy=True)
            return autoencoder_loss(own, batch, key, jnp.asarray(0)).metrics["distortion"]

        encoder, of_encoder, others = nnx.split(model.encoder, nnx.Param, ...)

        def vectors(of_encoder: nnx.State) -> Array:
            return nnx.merge(encoder, of_encoder, others)(model.observation.as_input(batch.x), context, None)

        def of_codes(e: Array) -> Array:
            each = model.observation.log_prob(model.decoder(e, context, None), batch.x)
            return -each.reshape(len(batch.x), -1).sum(-1).mean()

        z, back = jax.vjp(vectors, of_encoder)
        rounded = model.codebook.vectors_of(model.codebook.nearest(z))
        return jax.grad(distortion)(params)["encoder"], back(jax.grad(of_codes)(rounded).astype(z.dtype))[0]

    found, wanted = (
        np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(g)]) for g in compiled(subject, gradients)
    )
    difference = float(np.abs(found - wanted).max() / (1e-6 + np.abs(wanted).max()))
    return Measured(difference, loose(subject, 1e-8, 1e-4), "relative difference of the two gradients")


def perplexity_by_counting(subject: Subject) -> Measured:
    """The perplexity of a batch is exp of the entropy of how often each code is used, counted one by one."""
    key, batch, size = subject.key("perplexity"), subject.batch, subject.model.codebook.size

    def both(model: VQVAE) -> tuple[Array, Array]:
        codes = model.encode(batch.x, cond=batch.cond)  # before the loss moves the codebook
        return codes, autoencoder_loss(model, batch, key, jnp.asarray(0)).metrics["perplexity"]

    codes, found = compiled(subject, both)
    share = np.bincount(np.asarray(codes).reshape(-1), minlength=size) / codes.size
    used = share[share > 0.0]
    wanted = float(np.exp(-(used * np.log(used)).sum()))
    words = f"{float(found):.4g} of {size} codes used for {wanted:.4g}, a relative difference of"
    return Measured(abs(float(found) - wanted) / wanted, 1e-5, words)


def code_prior_is_normalised(subject: Subject) -> Measured:
    """The probabilities of all rows of codes sum to one."""
    rows = _rows(subject.model)
    context = one_context(subject, len(rows))
    total = compiled(subject, lambda model: jnp.exp(model.prior.log_prob(rows, context)).sum())
    return Measured(float(jnp.abs(total - 1.0)), loose(subject, 1e-10, 1e-4), "difference of the sum from 1")


def code_prior_draws_what_it_says(subject: Subject) -> Measured:
    """Rows of codes drawn from the prior are, code for code, draws of its logits (see `chance.beyond_chance`)."""
    size, length = subject.model.codebook.size, math.prod(subject.model.grid)
    rows = at_once(length, size)
    context = one_context(subject, rows)

    def drawn(model: VQVAE, key: Array) -> tuple[Array, Array]:
        codes = model.prior.sample(rows, key, context)
        return codes, model.prior.logits(codes, context)

    codes, logits = over_keys(subject, drawn, "codes drawn", -(-FEWEST // rows))
    return beyond_chance(zip(np.asarray(codes), np.asarray(logits), strict=True), subject.seed)


def code_prior_looks_back_at_all(subject: Subject) -> Measured:
    """The distribution of a code changes with each code before it, and with no other."""
    size, length = subject.model.codebook.size, subject.model.prior.length
    codes = jax.random.randint(subject.key("row"), (1, length), 0, size)
    others = jnp.concatenate([codes, (codes + jnp.eye(length, dtype=codes.dtype)) % size])
    context = one_context(subject, len(others))
    logits = compiled(subject, lambda model: model.prior.logits(others, context))
    changed = (logits[1:] != logits[0]).any(-1)  # [which code was changed, which distribution changed]
    wrong = (changed != jnp.triu(jnp.ones((length, length), bool), 1)).sum()
    words = "pairs of places that look at each other and should not, or do not and should:"
    return Measured(float(wrong), 0.0, words)


def code_bound_below_likelihood(subject: Subject) -> Measured:
    """The bound is at most log p(x) = log sum_c p(c) p(x | c) over all rows of codes."""
    x, cond, context = subject.batch.x[:FEW], condition_of(subject), context_of(subject, FEW)
    rows = _rows(subject.model).reshape(-1, *subject.model.grid)

    def both(model: VQVAE) -> tuple[Array, Array]:
        exact = []
        for k in range(FEW):
            own = None if context is None else jnp.broadcast_to(context[k], (len(rows), context.shape[-1]))
            joint = model.joint(jnp.broadcast_to(x[k], (len(rows), *x.shape[1:])), rows, own)
            exact.append(jax.nn.logsumexp(joint))
        return model.log_prob(x, cond=cond).value, jnp.stack(exact)

    bound, exact = compiled(subject, both)
    tolerance = loose(subject, 1e-10, 1e-5) * (1.0 + largest(exact))
    words = "nats by which the bound is above the log likelihood:"
    return Measured(float((bound - exact).max()), tolerance, words)


def _rows(model: VQVAE) -> Array:
    return jnp.asarray(list(itertools.product(range(model.codebook.size), repeat=math.prod(model.grid))))


def _few_rows(model: AbstractGenerativeModel) -> bool:
    return isinstance(model, VQVAE) and model.codebook.size ** math.prod(model.grid) <= _MOST_ROWS


CODE_LAWS = (
    Law("the bound is the joint probability of an example and its codes", is_coded, bound_is_the_joint),
    Law(
        "rounding to a code passes gradients on unchanged",
        lambda model: is_coded(model) and not leaves_out(model),
        rounding_passes_gradients,
    ),
    Law(
        "the perplexity of codes is that of their counts",
        lambda model: is_coded(model) and not leaves_out(model),
        perplexity_by_counting,
    ),
    Law("the probabilities of all rows of codes sum to one", _few_rows, code_prior_is_normalised),
    Law("codes drawn from their prior follow its probabilities", is_coded, code_prior_draws_what_it_says),
    Law(
        "the prior of a code looks at all before it and no other",
        lambda model: is_coded(model) and isinstance(model.prior, CausalPrior),
        code_prior_looks_back_at_all,
    ),
    Law("the bound is below the likelihood over all codes", _few_rows, code_bound_below_likelihood),
)
