"""How many operations a traced function takes, counted equation by equation: a loop as often as it turns.

A compiler's own count looks at the body of a loop once, so that ten layers in a loop cost it as much as one.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn

MOVING = """
    broadcast_in_dim reshape transpose squeeze expand_dims slice dynamic_slice dynamic_update_slice concatenate pad
    gather rev iota copy convert_element_type bitcast_convert_type stop_gradient split random_seed random_wrap
    random_unwrap random_fold_in random_split random_clone device_put sharding_constraint optimization_barrier empty
"""
SUMMING = """
    reduce_sum reduce_max reduce_min reduce_prod reduce_and reduce_or reduce_xor argmax argmin cumsum cumprod cummax
    cummin cumlogsumexp
"""
FREE = frozenset(MOVING.split())
"""What moves numbers and makes none, and what does not grow with them."""

BY_INPUT = frozenset(SUMMING.split())
"""An operation for each number that goes in."""


def operations(traced: "ClosedJaxpr | Jaxpr") -> float | None:
    """The arithmetic operations of a traced function; a multiplication and an addition are two.

        product of matrices    2 x numbers of the result x numbers summed over
        convolution            2 x numbers of the result x inputs that each one sees
        scan                   its body x its length
        cond                   the dearest of its branches
        anything else          one for each number of the result (sums: of what goes in)

    Args:
        traced: From `jax.make_jaxpr`.

    Returns:
        The count, or None where a loop ends by a condition that only its numbers decide.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> operations(jax.make_jaxpr(lambda a, b: a @ b)(jnp.zeros((2, 3)), jnp.zeros((3, 4))))
        48.0
    """
    total = 0.0
    for equation in getattr(traced, "jaxpr", traced).eqns:
        found = _of(equation)
        if found is None:
            return None
        total += found
    return total


def _of(equation: "JaxprEqn") -> float | None:
    name, params = equation.primitive.name, equation.params
    match name:
        case "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            return 2.0 * _size(equation.outvars[0]) * math.prod(left[axis] for axis in contracted)
        case "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
            return 2.0 * _size(equation.outvars[0]) * math.prod(kernel) / outputs
        case "scan":
            body = operations(params["jaxpr"])
            return None if body is None else float(body * params["length"])
        case "while":
            return None
        case "cond":
            branches = [operations(branch) for branch in params["branches"]]
            return None if None in branches else max(each for each in branches if each is not None)
        case "triangular_solve" | "cholesky" | "lu":
            side = equation.invars[0].aval.shape[-1]
            share = {"triangular_solve": 1.0, "cholesky": 1.0 / 3.0, "lu": 2.0 / 3.0}[name]
            return share * side * _size(equation.outvars[0])
        case "sort":
            length = equation.invars[0].aval.shape[params["dimension"]]
            return math.log2(max(length, 2)) * _size(equation.invars[0])
    if name in ("scatter-add", "scatter_add"):
        return float(_size(equation.invars[2]))  # what is added
    inner = list(_inner(params))
    if inner:  # a function that was compiled, remembered or given a derivative of its own
        return operations(inner[0])
    if name in FREE:
        return 0.0
    return float(sum(_size(each) for each in (equation.invars[:1] if name in BY_INPUT else equation.outvars)))


def _inner(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        if hasattr(value, "eqns") or hasattr(getattr(value, "jaxpr", None), "eqns"):
            yield value


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)
