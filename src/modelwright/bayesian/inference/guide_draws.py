"""Draws of a guide with the values that follow from them, and log densities of both at these draws, in blocks.

A block holds as many draws as fit into a bounded amount of memory; all blocks run the same compiled program.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.handlers import replay, seed, substitute, trace
from numpyro.infer.util import compute_log_probs

from modelwright.bayesian.inference.data_models import names_integrated_out
from modelwright.bayesian.inference.tracing import TRACING, Call
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

BLOCK_BYTES = 64 << 20
"""Bytes that the values of one block of draws may take, with what each draw makes of the data."""

LARGEST_DRAWS = 16 << 30
"""Bytes that draws of all sites may take before a choice of sites is asked for (arbitrary)."""

LARGEST_BLOCK = 256


def in_blocks(one: Callable[..., Any], fixed: Any, items: Any) -> Any:
    """`one(fixed, item)` for many items, stacked, as numpy arrays.

    Args:
        one: A function that JAX can trace; it is traced once, with `TRACING` held.
        fixed: What is the same for every item.
        items: A tree of arrays, all with the items along their first axis.

    Example:
        >>> in_blocks(lambda fixed, item: fixed * item, 2.0, np.arange(3.0)).tolist()
        [0.0, 2.0, 4.0]
    """
    count = len(jax.tree.leaves(items)[0])
    first = jax.tree.map(lambda leaf: leaf[0], items)
    with TRACING:
        shapes = jax.eval_shape(one, fixed, first)
        block = block_length(shapes, fixed, count)
        many = jax.jit(jax.vmap(one, in_axes=(None, 0)))
        whole = jax.tree.map(lambda leaf: leaf[:block], items)
        compiled = many.lower(fixed, whole).compile()
    found = []
    for begin in range(0, count, block):
        # the last block is filled up from its front, so that it runs the same program
        places = np.arange(begin, begin + block) % count
        values = jax.tree.map(np.asarray, compiled(fixed, jax.tree.map(lambda leaf: leaf[places], items)))  # noqa: B023
        found.append(jax.tree.map(lambda leaf: leaf[: count - begin], values))  # noqa: B023
    return jax.tree.map(lambda *parts: np.concatenate(parts), *found)


def block_length(shapes: Any, fixed: Any, count: int) -> int:
    """How many of `count` items a block holds.

    Every item is counted with the bytes of its values and as many as the fixed arrays have: a likelihood, whose value
    is one number, has intermediate values as large as its data.

    Args:
        shapes: The values of one item, or their shapes.
        fixed: What is the same for every item.
        count: Items in all.

    Example:
        >>> block_length(np.zeros(()), np.zeros((1 << 20,)), 1000)    # 64 MiB, of which each takes 8
        7
    """
    one_bytes = _bytes_of(shapes) + _bytes_of(fixed)
    return int(np.clip(BLOCK_BYTES // max(one_bytes, 1), 1, min(LARGEST_BLOCK, count)))


def guide_draws(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Mapping[str, Any],
    call: Call,
    seed_number: int,
    n: int,
    sites: Collection[str] | None = None,
) -> dict[str, np.ndarray]:
    """Draws of all latent and deterministic sites of a model under a guide, or of some, shape (n, ...) each."""

    def one(fixed: Any, key: Any) -> dict[str, Any]:
        values, arrays = fixed
        _, model_sites = _paired(model, guide, values, call, arrays, key)
        return {name: site["value"] for name, site in model_sites.items() if _is_drawn(site)}

    keys = jax.random.split(jax.random.key(seed_number), n)
    fixed = (dict(params), call.device_arrays())
    return dict(in_blocks(chosen(one, sites, n, fixed, keys[0], beside=names_integrated_out(model)), fixed, keys))


def chosen(
    one: Callable[..., dict[str, Any]],
    sites: Collection[str] | None,
    n: int,
    fixed: Any,
    item: Any,
    *,
    beside: Collection[str] = (),
) -> Callable[..., dict[str, Any]]:
    """A function of one draw, kept to the sites that are asked for.

    Args:
        one: A function of `fixed` and an item with a value for every site.
        sites: The sites wanted; None for all.
        n: Draws that are to be made.
        fixed: As for `in_blocks`.
        item: One of its items.
        beside: Names of sites that somebody else draws, which a person may have meant.

    Raises:
        ConfigurationError: an unknown site; all sites, and their draws would take more than `LARGEST_DRAWS`.
    """
    with TRACING:
        shapes = jax.eval_shape(one, fixed, item)
    if sites is None:
        total = n * _bytes_of(shapes)
        if total > LARGEST_DRAWS:
            largest = max(shapes, key=lambda name: shapes[name].size)
            raise ConfigurationError(
                f"{n} draws of all sites would take {total / 2**30:.1f} GiB, most of it {largest} of shape "
                f"{' x '.join(map(str, shapes[largest].shape))}",
                field="sites",
                expected=f"at most {LARGEST_DRAWS / 2**30:g} GiB, or the names of the sites wanted",
                todo=f"name the sites wanted, of {', '.join([*shapes, *beside])}, or make fewer draws",
            )
        return one
    for name in sites:
        if name not in shapes:
            known = [*shapes, *beside]
            raise ConfigurationError("no such site", field="sites", got=name, todo=suggestion(name, known))
    wanted = set(sites)
    return lambda fixed, item: {name: value for name, value in one(fixed, item).items() if name in wanted}


def log_ratios(
    model: Callable[..., Any],
    guide: Callable[..., Any],
    params: Mapping[str, Any],
    call: Call,
    seed_number: int,
    n: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Log p(y, z) and log q(z) at draws z of the guide, shape (n,) each."""

    def one(fixed: Any, key: Any) -> tuple[Any, Any]:
        values, arrays = fixed
        args, kwargs = call.arguments(arrays)
        of_guide, of_model = jax.random.split(key)
        of_q, guide_sites = compute_log_probs(seed(guide, of_guide), args, kwargs, dict(values))
        replayed = replay(seed(model, of_model), guide_sites)
        of_p, _ = compute_log_probs(replayed, args, kwargs, dict(values))
        zero = jnp.zeros(())
        return sum(of_p.values(), start=zero), sum(of_q.values(), start=zero)

    keys = jax.random.split(jax.random.key(seed_number), n)
    found: tuple[np.ndarray, np.ndarray] = in_blocks(one, (dict(params), call.device_arrays()), keys)
    return found


def follow_draws(model: Callable[..., Any], call: Call, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The deterministic sites of a model at given draws of its latent sites, shape (n, ...) each."""

    def one(arrays: Any, values: Any) -> dict[str, Any]:
        args, kwargs = call.arguments(arrays)
        sites = trace(substitute(seed(model, jax.random.key(0)), data=values)).get_trace(*args, **kwargs)
        return {name: site["value"] for name, site in sites.items() if site["type"] == "deterministic"}

    return dict(in_blocks(one, call.device_arrays(), dict(draws)))


def _paired(
    model: Callable[..., Any], guide: Callable[..., Any], values: Mapping[str, Any], call: Call, arrays: Any, key: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    args, kwargs = call.arguments(arrays)
    of_guide, of_model = jax.random.split(key)
    guide_sites = trace(substitute(seed(guide, of_guide), data=values)).get_trace(*args, **kwargs)
    model_fn = substitute(replay(seed(model, of_model), guide_sites), data=values)
    return guide_sites, trace(model_fn).get_trace(*args, **kwargs)


def _is_drawn(site: Mapping[str, Any]) -> bool:
    return site["type"] == "deterministic" or (site["type"] == "sample" and not site["is_observed"])


def _bytes_of(tree: Any) -> int:
    return sum(int(np.size(leaf)) * getattr(leaf, "dtype", np.dtype(float)).itemsize for leaf in jax.tree.leaves(tree))
