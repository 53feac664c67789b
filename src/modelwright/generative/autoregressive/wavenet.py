"""WaveNet: sequences by dilated causal convolutions."""

from functools import partial
from typing import Any, ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.generative.autoregressive.alphabet import AbstractAlphabet, Levels, MuLaw
from modelwright.generative.autoregressive.model import AbstractAutoregressiveModel, one_length, one_width
from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.nets.causal_convolution import CausalStack, Rings
from modelwright.generative.nets.embedding import embedded
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class WaveNet(AbstractAutoregressiveModel):
    """Sequences of symbols, each given as many before it as the convolutions reach back.

        inputs    start  x_1  x_2  ...  x_(T-1)
        logits of  x_1   x_2  x_3  ...    x_T

    The dilations are 1, 2, 4, ..., 2^(n_layers - 1), and so again for each of n_cycles.

    Dims: input_dim is (length,); hidden_dims is one number, the width of every layer. output_dim is not used.

    Args:
        net: The layers.
        alphabet: What the symbols stand for.
        length: Symbols of an example.
        condition: What it is conditioned on.
        rngs: Of the initial weights.

    Source: A. van den Oord et al. (2016), https://arxiv.org/abs/1609.03499; T. Le Paine et al. (2016),
    https://arxiv.org/abs/1611.09482 (remembering the inputs of the layers while sampling).

    Example:
        >>> net = CausalStack(4, 4, kernel_size=2, dilations=(1, 2), rngs=nnx.Rngs(0))
        >>> model = WaveNet(net, MuLaw(16), 8, rngs=nnx.Rngs(1))
        >>> wave = model.sample(2, key=jax.random.key(0))
        >>> wave.shape, bool((abs(wave) <= 1).all())
        ((2, 8), True)
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        Parameter("levels", "integer", 256, "symbols", 2),
        Parameter(
            "encoding",
            "choice",
            "plain",
            "of the data: plain whole numbers 0 to levels - 1, or amplitudes from -1 to 1 in mu_law steps",
            choices=("plain", "mu_law"),
        ),
        Parameter("n_layers", "integer", 8, "layers of a cycle; the last reaches 2^(n_layers - 1) steps back", 1, 24),
        Parameter("n_cycles", "integer", 1, "cycles of layers", 1, 20),
        Parameter("kernel_size", "integer", 2, "inputs that each convolution sees", 2, 1000),
        *CONDITIONS,
    )

    def __init__(
        self,
        net: CausalStack,
        alphabet: AbstractAlphabet,
        length: int,
        *,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
        rngs: nnx.Rngs,
    ) -> None:
        self.embedding = nnx.Embed(alphabet.levels, net.width, rngs=rngs)
        self.start = nnx.Param(nnx.initializers.normal(1.0)(rngs.params(), (net.width,)))
        self.net = net
        self.mix = nnx.Linear(net.skip, net.skip, rngs=rngs)
        self.head = nnx.Linear(net.skip, alphabet.levels, rngs=rngs)
        self.alphabet = alphabet
        self.condition = condition
        self.example_shape = (length,)

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "WaveNet":
        """The model that a configuration asks for."""
        condition, width = Condition.read(reading), one_width(reading, 64)
        cycle = tuple(2**k for k in range(reading.parameter("n_layers")))
        net = CausalStack(
            width,
            width,
            kernel_size=reading.parameter("kernel_size"),
            dilations=cycle * reading.parameter("n_cycles"),
            context=condition.width,
            rngs=rngs,
        )
        alphabet = {"plain": Levels, "mu_law": MuLaw}[reading.parameter("encoding")](reading.parameter("levels"))
        return cls(net, alphabet, one_length(reading), condition=condition, rngs=rngs)

    def logits(
        self,
        symbols: Int[Array, "n length"],
        vectors: Float[Array, "n width"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n length levels"]:
        """The logits of every symbol given those before it; a key changes nothing."""
        before = embedded(self.embedding, symbols[:, :-1])
        start = jnp.broadcast_to(self._first(len(symbols))[:, None], (len(symbols), 1, self.net.width))
        return self._to_logits(self.net(jnp.concatenate([start, before], axis=1), vectors))

    def dependence(self) -> np.ndarray:
        """All before within the reach of the convolutions: one more than they reach, as inputs are shifted by one."""
        place = np.arange(*self.example_shape)
        back = place[:, None] - place[None, :]
        return (back >= 1) & (back <= 1 + self.net.reach)

    def cached_logits(
        self, symbols: Int[Array, "n length"], vectors: Float[Array, "n width"] | None = None, *, prompt: int = 0
    ) -> Float[Array, "n length levels"]:
        """The same as `logits`, by the sampler's own steps from the first symbol on, whatever the prompt."""

        def step(rings: Rings, symbol: Array) -> tuple[Rings, Array]:
            return self._step(rings, symbol, vectors)

        rings, first = self._begun(len(symbols), vectors)
        after = jax.lax.scan(step, rings, symbols[:, :-1].T)[1]
        return jnp.concatenate([first[:, None], after.swapaxes(0, 1)], axis=1)

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Array:
        """Sequences drawn from the model, shape (n, length): whole numbers, or amplitudes with mu_law."""
        return self.alphabet.values(_drawn(*nnx.split(self), key, self.condition.vectors(cond, n), n))

    def _first(self, n: int) -> Float[Array, "n width"]:
        return jnp.broadcast_to(self.start[...], (n, self.net.width))

    def _to_logits(self, h: Array) -> Array:
        logits = self.head(jax.nn.relu(self.mix(jax.nn.relu(h))))
        return logits.astype(jnp.promote_types(logits.dtype, jnp.float32))

    def _begun(self, n: int, vectors: Array | None) -> tuple[Rings, Array]:
        start = self._first(n)
        out, rings = self.net.step(start, self.net.empty_rings(n, start.dtype), vectors)
        return rings, self._to_logits(out)

    def _step(self, rings: Rings, symbol: Array, vectors: Array | None) -> tuple[Rings, Array]:
        out, rings = self.net.step(embedded(self.embedding, symbol), rings, vectors)
        return rings, self._to_logits(out)


@partial(jax.jit, static_argnames=("graph", "n"))
def _drawn(graph: Any, state: Any, key: PRNGKeyArray, vectors: Array | None, n: int) -> Array:
    model = nnx.merge(graph, state)
    keys = jax.random.split(key, *model.example_shape)

    def step(carry: tuple[Rings, Array], key: PRNGKeyArray) -> tuple[tuple[Rings, Array], Array]:
        rings, logits = carry
        symbol = jax.random.categorical(key, logits).astype(jnp.int32)
        return model._step(rings, symbol, vectors), symbol

    begun = model._begun(n, vectors)
    (_, logits), symbols = jax.lax.scan(step, begun, keys[:-1])
    return jnp.concatenate([symbols.T, jax.random.categorical(keys[-1], logits)[:, None].astype(jnp.int32)], axis=1)
