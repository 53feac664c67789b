"""Seeds: one number in the manifest, any number of independent named streams from it."""

import zlib

import numpy as np

from modelwright.core.errors import ConfigurationError

LARGEST_SEED = 2**32 - 1


def check_seed(seed: object, *, field: str = "seed") -> int:
    """Return a seed as an int between 0 and 2**32 - 1, which every engine accepts.

    Example:
        >>> check_seed(42)
        42
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= LARGEST_SEED:
        raise ConfigurationError("not a seed", field=field, expected=f"an integer from 0 to {LARGEST_SEED}", got=seed)
    return int(seed)


def named_seed(seed: int, name: str) -> int:
    """A 32-bit seed for the stream `name`, the same in every process and independent of the others.

    Example:
        >>> named_seed(42, "prior") == named_seed(42, "prior") != named_seed(42, "posterior")
        True
    """
    sequence = np.random.SeedSequence([check_seed(seed), zlib.crc32(name.encode())])
    return int(sequence.generate_state(1, np.uint32)[0])


def named_generator(seed: int, name: str) -> np.random.Generator:
    """A numpy generator for the stream `name` of `seed`."""
    return np.random.default_rng(np.random.SeedSequence([check_seed(seed), zlib.crc32(name.encode())]))
