"""The gated PixelCNN: images pixel by pixel, channel by channel."""

from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.generative.autoregressive.alphabet import Levels
from modelwright.generative.autoregressive.in_order import drawn_in_order
from modelwright.generative.autoregressive.model import AbstractAutoregressiveModel, one_width
from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.likelihoods.levels import scaled
from modelwright.generative.nets.masked_convolution import GatedStacks
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class PixelCNN(AbstractAutoregressiveModel):
    """Images of `levels` grey levels, whole numbers 0 to levels - 1: row by row, in a pixel channel by channel.

    Dims: input_dim is (height, width, channels); hidden_dims is one number, the features that each channel has in each
    of the two stacks; how many layers there are is `n_layers`. output_dim is not used.

    Args:
        net: (x, cond) -> shape (n, height, width, channels, levels).
        levels: Grey levels; 2 for black and white.
        example_shape: Shape of one example.
        condition: What it is conditioned on.

    Source: A. van den Oord et al. (2016), https://arxiv.org/abs/1606.05328.

    Example:
        >>> import jax
        >>> net = GatedStacks(1, 4, 2, n_layers=2, kernel_size=3, rngs=nnx.Rngs(0))
        >>> PixelCNN(net, 2, (3, 3, 1)).sample(2, key=jax.random.key(0)).shape
        (2, 3, 3, 1)
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        Parameter("levels", "integer", 256, "grey levels; 2 for black and white", 2),
        Parameter("n_layers", "integer", 8, "layers of both stacks", 1, 256),
        Parameter("kernel_size", "integer", 5, "pixels across a convolution, an odd number", 3, 101),
        *CONDITIONS,
    )

    def __init__(
        self,
        net: GatedStacks,
        levels: int,
        example_shape: tuple[int, ...],
        *,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
    ) -> None:
        self.net = net
        self.alphabet = Levels(levels)
        self.example_shape = example_shape
        self.condition = condition

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "PixelCNN":
        """The model that a configuration asks for."""
        shape, levels, condition = reading.input_dim(), reading.parameter("levels"), Condition.read(reading)
        if len(shape) != 3:
            raise reading.refuse(
                "input_dim", "not an image", expected="height, width and channels, such as (28, 28, 1)", got=shape
            )
        net = GatedStacks(
            shape[-1],
            one_width(reading, 32),
            levels,
            n_layers=reading.parameter("n_layers"),
            kernel_size=reading.parameter("kernel_size"),
            context=condition.width,
            activation=reading.activation("silu"),
            rngs=rngs,
        )
        return cls(net, levels, shape, condition=condition)

    def logits(
        self,
        symbols: Int[Array, "n height width channels"],
        vectors: Float[Array, "n width"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n height width channels levels"]:
        """The logits of every channel of every pixel given those before it; a key changes nothing."""
        found = self.net(scaled(symbols, self.alphabet.levels), vectors)
        return found.astype(jnp.promote_types(found.dtype, jnp.float32))

    def dependence(self) -> np.ndarray:
        """All above, to the left, and of the same pixel the channels before, within the reach of the layers."""
        return self.net.sees(*self.example_shape[:2])

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Int[Array, "n height width channels"]:
        """Images drawn from the model, whole numbers, shape (n, height, width, channels).

        One pass of the whole network for each channel of each pixel.
        """
        order = tuple(range(int(np.prod(self.example_shape))))
        return drawn_in_order(self, n, order, key, self.condition.vectors(cond, n))
