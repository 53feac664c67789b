"""Two sets of examples as rows of numbers, checked."""

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from modelwright.core.errors import DataError


def two_sets(x: ArrayLike, y: ArrayLike) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "m d"]]:
    """Both sets with every example flattened to a row, in double precision.

    Raises:
        DataError: examples of different shapes, fewer than two in a set, or numbers that are not finite.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape[1:] != y.shape[1:]:
        raise DataError(
            "the two sets do not compare", field="y", expected=f"examples of shape {x.shape[1:]}", got=y.shape
        )
    for name, each in (("x", x), ("y", y)):
        if len(each) < 2:
            raise DataError("too few examples", field=name, expected="at least 2", got=len(each))
        if not np.isfinite(each).all():
            raise DataError("not all numbers are finite", field=name)
    return x.reshape(len(x), -1), y.reshape(len(y), -1)
