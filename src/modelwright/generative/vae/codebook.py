"""A codebook: vectors to which others are rounded, kept as moving averages of what is rounded to them."""

from typing import final

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

UNUSED = 1e-20
"""A moving average of uses below which a code stays where it is: the quotient of two such numbers says nothing."""


@final
class CodeVariable(nnx.Variable):
    """A part of a codebook: training changes it, and no gradient does."""


@final
class Codebook(nnx.Module):
    """K vectors; with moving averages N of how often each is used and m of the sum of what is rounded to it, e = m / N.

        N <- decay N + (1 - decay) n,   m <- decay m + (1 - decay) sum of z rounded to it

    A code whose N falls below `restart_share` of the mean over codes is dead, and starts again at a random z.

    Args:
        size: K, the number of codes.
        dim: Numbers of each vector.
        decay: Of the moving averages, each step.
        restart_share: Of the mean use, below which a code starts again; 0 for never.
        rngs: Of the initial vectors (standard normal; `begin` puts them where the data are).

    Source: A. van den Oord, O. Vinyals, K. Kavukcuoglu (2017), https://arxiv.org/abs/1711.00937, appendix A.1;
    P. Dhariwal et al. (2020), https://arxiv.org/abs/2005.00341, for codes that start again.

    Example:
        >>> codebook = Codebook(2, 1, rngs=nnx.Rngs(0))
        >>> codebook.vectors[...] = jnp.array([[0.0], [1.0]])
        >>> codebook.nearest(jnp.array([[0.2], [0.9], [7.0]])).tolist()
        [0, 1, 1]
    """

    def __init__(
        self, size: int, dim: int, *, decay: float = 0.99, restart_share: float = 0.03, rngs: nnx.Rngs
    ) -> None:
        vectors = jax.random.normal(rngs.params(), (size, dim))
        self.vectors = CodeVariable(vectors)
        self.counts = CodeVariable(jnp.ones(size))
        self.sums = CodeVariable(vectors)
        self.size = size
        self.decay = decay
        self.restart_share = restart_share

    def nearest(self, z: Float[Array, "*n dim"]) -> Int[Array, "*n"]:
        """The number of the vector nearest to each z."""
        e = self.vectors[...]
        middle = e.mean(0)  # far from zero the squares would be large and their differences lost
        e, z = e - middle, z.astype(e.dtype) - middle
        return jnp.argmin(jnp.square(e).sum(-1) - 2.0 * z @ e.T, axis=-1)  # |z|^2 is the same for all

    def vectors_of(self, codes: Int[Array, "*n"]) -> Float[Array, "*n dim"]:
        """The vector of each code."""
        return self.vectors[...][codes]

    def quantised(self, z: Float[Array, "*n dim"]) -> tuple[Float[Array, "*n dim"], Int[Array, "*n"]]:
        """Each z rounded, its gradient passed on as if it were not, and its code."""
        codes = self.nearest(z)
        return z + jax.lax.stop_gradient(self.vectors_of(codes) - z), codes

    def begin(self, z: Float[Array, "*n dim"], key: PRNGKeyArray) -> None:
        """Vectors drawn from some z, in place."""
        self._put(_drawn(z, self.size, key), jnp.ones(self.size))

    def update(self, z: Float[Array, "*n dim"], codes: Int[Array, "*n"], key: PRNGKeyArray) -> Int[Array, ""]:
        """The moving averages after a batch, in place, and how many codes started again."""
        z, codes = jax.lax.stop_gradient(z).reshape(-1, z.shape[-1]).astype(self.sums.dtype), codes.reshape(-1)
        n = jnp.zeros(self.size).at[codes].add(1.0)
        total = jnp.zeros_like(self.sums[...]).at[codes].add(z)
        counts = self.decay * self.counts[...] + (1.0 - self.decay) * n
        sums = self.decay * self.sums[...] + (1.0 - self.decay) * total
        mean = counts.mean()
        used = counts > UNUSED
        means = jnp.where(used[:, None], sums / jnp.where(used, counts, 1.0)[:, None], self.vectors[...])
        dead = counts < self.restart_share * mean
        self._put(jnp.where(dead[:, None], _drawn(z, self.size, key), means), jnp.where(dead, mean, counts))
        return dead.sum()

    def _put(self, vectors: Float[Array, "size dim"], counts: Float[Array, " size"]) -> None:
        self.vectors[...] = vectors.astype(self.vectors.dtype)
        self.counts[...] = counts.astype(self.counts.dtype)
        self.sums[...] = (vectors * counts[:, None]).astype(self.sums.dtype)


def perplexity(codes: Int[Array, "*n"], size: int) -> Float[Array, ""]:
    """How many codes are used evenly: exp of the entropy of their shares, from 1 to `size`.

    Example:
        >>> float(perplexity(jnp.array([0, 1, 0, 1]), 8))
        2.0
    """
    share = jnp.zeros(size).at[codes.reshape(-1)].add(1.0) / codes.size
    return jnp.exp(jax.scipy.special.entr(share).sum())


def _drawn(z: Float[Array, "*n dim"], n: int, key: PRNGKeyArray) -> Float[Array, "n dim"]:
    z = z.reshape(-1, z.shape[-1])
    return z[jax.random.randint(key, (n,), 0, len(z))]
