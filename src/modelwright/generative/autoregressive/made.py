"""The masked autoencoder for distribution estimation: one dense network, masked so that it is autoregressive."""

import math
from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from modelwright.generative.autoregressive.alphabet import Levels
from modelwright.generative.autoregressive.in_order import drawn_in_order
from modelwright.generative.autoregressive.model import AbstractAutoregressiveModel
from modelwright.generative.conditioning import CONDITIONS, Condition
from modelwright.generative.likelihoods.levels import scaled
from modelwright.generative.nets.masked import MaskedNet, check_units
from modelwright.generative.parameters import Parameter
from modelwright.generative.reading import Reading


@final
class MADE(AbstractAutoregressiveModel):
    """Tables and small images of symbols, each given those before it in a fixed order.

    Dims: input_dim is the shape of an example, of any number of axes; hidden_dims are the widths of the masked layers.
    output_dim is not used.

    Args:
        net: (x, cond) -> shape (n, d, levels), output i from the inputs before i alone.
        places: The place of each symbol in the order, 0 to d - 1.
        levels: Symbols; 2 for zeros and ones.
        example_shape: Shape of one example.
        condition: What it is conditioned on.

    Source: M. Germain, K. Gregor, I. Murray, H. Larochelle (2015), https://arxiv.org/abs/1502.03509.

    Example:
        >>> import jax
        >>> model = MADE(MaskedNet(3, (8,), 2, rngs=nnx.Rngs(0)), (0, 1, 2), 2, (3,))
        >>> model.sample(4, key=jax.random.key(0)).shape
        (4, 3)
    """

    declared: ClassVar[tuple[Parameter, ...]] = (
        Parameter("levels", "integer", 2, "symbols; 2 for zeros and ones", 2),
        Parameter(
            "order",
            "choice",
            "natural",
            "which symbol comes first: as they stand, or shuffled",
            choices=("natural", "random"),
        ),
        Parameter("order_seed", "integer", 0, "of the shuffled order", 0),
        *CONDITIONS,
    )

    def __init__(
        self,
        net: MaskedNet,
        places: tuple[int, ...],
        levels: int,
        example_shape: tuple[int, ...],
        *,
        condition: Condition = Condition(),  # noqa: B008 (frozen)
    ) -> None:
        self.net = net
        self.places = places
        self.alphabet = Levels(levels)
        self.example_shape = example_shape
        self.condition = condition

    @classmethod
    def from_reading(cls, reading: Reading, *, rngs: nnx.Rngs) -> "MADE":
        """The model that a configuration asks for."""
        shape, levels, condition = reading.input_dim(), reading.parameter("levels"), Condition.read(reading)
        d = math.prod(shape)
        check_units(d)
        places = tuple(range(d))
        if reading.parameter("order") == "random":
            shuffled = np.random.default_rng(reading.parameter("order_seed")).permutation(d)
            places = tuple(int(place) for place in shuffled)
        net = MaskedNet(
            d,
            reading.hidden_dims((500,)),
            levels,
            order=places,
            context=condition.width,
            activation=reading.activation("relu"),
            rngs=rngs,
        )
        return cls(net, places, levels, shape, condition=condition)

    def logits(
        self,
        symbols: Int[Array, "n *example"],
        vectors: Float[Array, "n width"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "n *example levels"]:
        """The logits of every symbol given those before it in the order; a key changes nothing."""
        found = self.net(scaled(symbols, self.alphabet.levels).reshape(len(symbols), -1), vectors)
        found = found.astype(jnp.promote_types(found.dtype, jnp.float32))
        return found.reshape(*symbols.shape, self.alphabet.levels)

    def dependence(self) -> np.ndarray:
        """Every symbol sees all that come before it in the order."""
        places = np.array(self.places)
        return places[:, None] > places[None, :]

    def sample(self, n: int, *, key: PRNGKeyArray, cond: Array | None = None) -> Int[Array, "n *example"]:
        """Examples drawn from the model, whole numbers, shape (n, *example_shape)."""
        order = tuple(int(symbol) for symbol in np.argsort(self.places))
        return drawn_in_order(self, n, order, key, self.condition.vectors(cond, n))
