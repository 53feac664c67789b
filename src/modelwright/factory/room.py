"""Is there room for a model, before anything of it is made."""

import math
import os
from pathlib import Path
from typing import Any

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.core.values import Refusal, to_integer
from modelwright.factory.family import FamilyBuilder

_GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

WORTH_A_LOOK = 8
"""Models are counted that could take more than such a share of memory: to count one takes as long as to make one of a
few thousand numbers, some hundredths of a second."""


USUAL_WIDTH = 512
"""Of hidden layers where none is given: at least that of every model's default."""


def check_room(config: ModelConfiguration, builder: Any) -> None:
    """Refuse a model whose numbers alone take more memory than there is.

    Args:
        config: What is to be built.
        builder: What is to build it; of those of plug-ins nothing is known.

    Raises:
        ConfigurationError: naming the largest number of the configuration, what it all takes and what there is.
    """
    memory = memory_of_models()
    if memory is None or not isinstance(builder, FamilyBuilder):
        return
    named = _numbers(config)
    if 4 * math.prod(number for number, _ in named[:3]) <= memory / WORTH_A_LOOK:
        return
    needed = _bytes_of(config, builder)
    if needed > memory:
        (largest, field), *_ = named
        raise ConfigurationError(
            f"the numbers of this model alone take {_size(needed)}",
            field=field,
            expected=f"a model of at most {_size(memory)}, the memory that there is",
            got=largest,
            todo="make it smaller; modelwright explain says in which parts the numbers are",
        )


def memory_of_models() -> int | None:
    """Bytes in all of where models are made: of the accelerator, else of the machine; None where nobody says it."""
    import jax

    device = jax.local_devices()[0]
    limits = []
    if device.platform != "cpu":
        limits.append((device.memory_stats() or {}).get("bytes_limit"))
    else:
        try:
            limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
            text = _GROUP_LIMIT.read_text().strip()  # a container may use less; "max" stands for no limit
            limits.append(int(text) if text.isdigit() else None)
        except (OSError, ValueError, AttributeError):
            pass  # not Linux, or a kernel without this file: what was found so far counts
    return min((int(limit) for limit in limits if limit), default=None)


def _bytes_of(config: ModelConfiguration, builder: FamilyBuilder) -> int:
    import jax
    from flax import nnx

    try:
        outline = nnx.eval_shape(lambda: builder.build(config, rngs=nnx.Rngs(0)))
    except OverflowError as error:
        raise ConfigurationError(
            "more numbers along one axis than arrays can have", field="input_dim", todo="make the model smaller"
        ) from error
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.state(outline))))


def _numbers(config: ModelConfiguration) -> list[tuple[int, str]]:
    """The numbers that sizes are made of, largest first: arrays have as many numbers as a product of some of them.

    Widths stand twice, as layers between two equal ones have their square.
    """
    output = config.output_dim if isinstance(config.output_dim, tuple) else (config.output_dim or 1,)
    found = [(math.prod(config.input_dim or ()), "input_dim"), (math.prod(output), "output_dim")]
    found += [(width, "hidden_dims") for width in config.hidden_dims or (USUAL_WIDTH,) for _ in range(2)]
    for name, value in config.parameters.items():
        try:
            found.append((abs(to_integer(value)), f"parameters.{name}"))
        except Refusal:
            continue  # no whole number; whoever reads it says what is wrong with it
    return sorted(found, reverse=True)


def _size(number: int) -> str:
    return f"{number / 2**30:,.1f} GiB" if number >= 2**30 else f"{number:,} bytes"
