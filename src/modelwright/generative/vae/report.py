"""What the latents of an autoencoder carry: the divergence of each, which are active, whether all have collapsed."""

from dataclasses import dataclass
from typing import final

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from modelwright.generative.vae.autoencoder import ACTIVE, AbstractAutoencoder


@final
@dataclass(frozen=True)
class LatentReport:
    """What each latent says of the examples that were looked at.

    Args:
        divergence: KL(q(z | x) || p(z)) of each, the mean over examples, nats, shape (latent_dim,).
        spread: Variance over examples of the posterior mean of each, shape (latent_dim,).
        active: Whether the spread is above 0.01, shape (latent_dim,).
        n_examples: How many were looked at.
    """

    divergence: Float[np.ndarray, " latent"]
    spread: Float[np.ndarray, " latent"]
    active: np.ndarray
    n_examples: int

    @property
    def n_active(self) -> int:
        """Latents that are active."""
        return int(self.active.sum())

    @property
    def collapsed(self) -> bool:
        """Whether none is: the posterior is the same for every example."""
        return self.n_active == 0

    def __str__(self) -> str:
        words = f"{self.n_active} of {len(self.active)} latents are active (variance of the mean above {ACTIVE:g}), "
        words += f"divergence {self.divergence.sum():.2f} nats in {self.n_examples:,} examples"
        return words + ("; the posterior has collapsed: it says nothing of the examples" if self.collapsed else "")


def latent_report(model: AbstractAutoencoder, x: Array, *, cond: Array | None = None, chunk: int = 512) -> LatentReport:
    """The divergence and the activity of each latent.

    Args:
        model: With a normal latent.
        x: Examples, shape (n, *example_shape).
        cond: What each is conditioned on.
        chunk: Examples looked at together.

    Source: Y. Burda, R. Grosse, R. Salakhutdinov (2016), https://arxiv.org/abs/1509.00519, section 5.2.
    """
    graph, state = nnx.split(model)

    @jax.jit
    def of(state: nnx.State, x: Array, cond: Array | None) -> tuple[Array, Array]:
        model = nnx.merge(graph, state)
        context = model.condition.vectors(cond, len(x))
        q = model.posterior(x, context)
        return q.mean, q.divergence(model.prior_of(context, len(x)))

    # one for all is no row of each: labels have an axis of examples, context vectors one more
    rows = cond is not None and np.ndim(cond) == (1 if model.condition.n_classes else 2)
    parts = [
        of(state, x[k : k + chunk], cond[k : k + chunk] if rows else cond)  # type: ignore[index]
        for k in range(0, len(x), chunk)
    ]
    mean, divergence = (np.concatenate([np.asarray(part[k], np.float64) for part in parts]) for k in (0, 1))
    spread = mean.var(axis=0)
    return LatentReport(divergence.mean(axis=0), spread, spread > ACTIVE, len(mean))
