"""Vectors of symbols in the precision of their table."""

from flax import nnx
from jaxtyping import Array, Float, Int


def embedded(table: nnx.Embed, symbols: Int[Array, "*n"]) -> Float[Array, "*n width"]:
    """The vector of each symbol, in the precision of the table's weights.

    Flax keeps the precision that a table was made in and turns its vectors back to it, so that all layers behind the
    table of a model in half precision would compute in single precision.

    Args:
        table: The vectors.
        symbols: Their numbers.

    Example:
        >>> import jax.numpy as jnp
        >>> table, symbols = nnx.Embed(3, 4, rngs=nnx.Rngs(0)), jnp.array([1])
        >>> table.embedding = nnx.Param(table.embedding[...].astype("bfloat16"))
        >>> str(table(symbols).dtype), str(embedded(table, symbols).dtype)
        ('float32', 'bfloat16')
    """
    return table(symbols).astype(table.embedding.dtype)
