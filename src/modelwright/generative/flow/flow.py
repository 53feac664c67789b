"""What the flows have in common: a bijection between examples and independent standard normal numbers."""

import math
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, PRNGKeyArray

from modelwright.generative.arguments import numbers
from modelwright.generative.conditioning import Condition
from modelwright.generative.flow.bijection import AbstractBijection, Moved
from modelwright.generative.log_prob import Kind, LogProb
from modelwright.generative.protocol import AbstractGenerativeModel, Batch, Loss


class AbstractFlow(AbstractGenerativeModel):
    """A density by a change of variables, exact.

        z = f(x; cond),    log p(x | cond) = log N(z; 0, 1) + log |det dz/dx|

    The latent z is a vector with as many numbers as an example. The classes that fill this in say which f a
    configuration means.

    Args:
        bijection: f, on arrays of shape (n, *inner_shape); gives (n, numbers), or the shape that it takes.
        example_shape: Shape of one example.
        inner_shape: Shape in which the bijection takes one; `example_shape`, or one vector of all its numbers.
        condition: What the flow is conditioned on.
    """

    family: ClassVar[str] = "flow"
    offers: ClassVar[frozenset[str]] = frozenset({"sample", "log_prob", "encode", "decode", "condition"})
    log_prob_kind: ClassVar[Kind | None] = "exact"

    def __init__(
        self,
        bijection: AbstractBijection,
        example_shape: tuple[int, ...],
        *,
        inner_shape: tuple[int, ...] | None = None,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
    ) -> None:
        self.bijection = bijection
        self.example_shape = example_shape
        self.inner_shape = (math.prod(example_shape),) if inner_shape is None else inner_shape
        self.condition = condition

    @property
    def latent_dim(self) -> int:  # type: ignore[override]
        """Numbers of z: those of an example."""
        return math.prod(self.example_shape)

    @property
    def latent_shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """One vector."""
        return (self.latent_dim,)

    def loss(self, batch: Batch, *, key: PRNGKeyArray, step: Array) -> Loss:
        """The negative log likelihood, nats per example; nothing in it is random."""
        z, log_det = self._forward(batch.x, batch.cond)
        base = standard_normal(z).mean()
        return Loss(-(base + log_det.mean()), {"base_log_prob": base, "log_det": log_det.mean()})

    def begin(self, batch: Batch, *, key: PRNGKeyArray) -> None:
        """Let layers that normalise see data first."""
        x, cond = self._taken(batch.x, batch.cond, self.example_shape)
        graph, state = nnx.split(self.bijection)
        nnx.update(self.bijection, begun(graph, state, x.reshape(len(x), *self.inner_shape), cond))

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Array:
        """Examples drawn from the flow, shape (n, *example_shape)."""
        return self.sample_with_log_prob(n, key=key, cond=cond)[0]

    def sample_with_log_prob(
        self, n: int, *, key: PRNGKeyArray, cond: Array | None = None
    ) -> tuple[Array, Float[Array, " n"]]:
        """Examples, and the log density of each as it is found on the way from z to x.

        `log_prob` of these examples goes the other way and gives the same.
        """
        z = jax.random.normal(key, (n, self.latent_dim), self._precision())
        x, log_det = self._inverse(z, cond)
        return x, standard_normal(z) - log_det

    def log_prob(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> LogProb:
        """Log density of each example, exact, nats; the key is not used."""
        z, log_det = self._forward(x, cond)
        return LogProb(standard_normal(z) + log_det, "exact")

    def encode(self, x: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The latent of each example, shape (n, latent_dim); there is one only, whatever the key."""
        return self._forward(x, cond)[0]

    def decode(self, z: Array, *, key: PRNGKeyArray | None = None, cond: Array | None = None) -> Array:
        """The example of each latent, shape (n, *example_shape); there is one only, whatever the key."""
        return self._inverse(z, cond)[0]

    def _forward(self, x: Array, cond: Array | None) -> tuple[Float[Array, "n latent"], Float[Array, " n"]]:
        x, vectors = self._taken(x, cond, self.example_shape)
        z, log_det = towards_base(*nnx.split(self.bijection), x.reshape(len(x), *self.inner_shape), vectors)
        return z.reshape(len(x), -1), log_det

    def _inverse(self, z: Array, cond: Array | None) -> tuple[Array, Float[Array, " n"]]:
        z, vectors = self._taken(z, cond, (self.latent_dim,))
        x, log_det = towards_data(*nnx.split(self.bijection), z, vectors)
        return x.reshape(len(z), *self.example_shape), log_det

    def _taken(self, x: Array, cond: Array | None, shape: tuple[int, ...]) -> tuple[Array, Array | None]:
        x = jnp.asarray(numbers(x, "x", shape, "an example"))
        return x.astype(jnp.promote_types(x.dtype, self._precision())), self.condition.vectors(cond, len(x))

    def _precision(self) -> jnp.dtype:
        leaves = jax.tree.leaves(nnx.state(self, nnx.Param))
        return jnp.promote_types(leaves[0].dtype, jnp.float32)


# Called outside of any compiled function, loops over layers would be compiled anew by every call. These are compiled
# once for every architecture and shape; within a compiled function they change nothing.


@partial(jax.jit, static_argnums=0)
def towards_base(graph: nnx.GraphDef, state: nnx.State, x: Array, cond: Array | None) -> Moved:
    """A bijection's `forward`."""
    return nnx.merge(graph, state).forward(x, cond)


@partial(jax.jit, static_argnums=0)
def towards_data(graph: nnx.GraphDef, state: nnx.State, z: Array, cond: Array | None) -> Moved:
    """A bijection's `inverse`."""
    return nnx.merge(graph, state).inverse(z, cond)


@partial(jax.jit, static_argnums=0)
def begun(graph: nnx.GraphDef, state: nnx.State, x: Array, cond: Array | None) -> nnx.State:
    """The state of a bijection once it has begun with some examples."""
    bijection = nnx.merge(graph, state)
    bijection.begin(x, cond)
    return nnx.state(bijection)


def standard_normal(z: Float[Array, "n latent"]) -> Float[Array, " n"]:
    """Log density of independent standard normal numbers, nats per example."""
    return -0.5 * (jnp.square(z) + math.log(2.0 * math.pi)).sum(-1)
