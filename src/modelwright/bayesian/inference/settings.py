"""How long and how carefully to sample: the settings every engine understands."""

import math
import os
from dataclasses import dataclass
from numbers import Integral

from modelwright.core.errors import ConfigurationError
from modelwright.core.seeds import check_seed


@dataclass(frozen=True)
class NutsSettings:
    """Settings of the No-U-Turn sampler.

    Args:
        draws: Draws kept per chain.
        tune: Warm-up draws per chain, not kept.
        chains: Chains.
        target_accept: Acceptance probability the step size is tuned to, between 0 and 1.
        seed: Seed of everything random in the sampling.
        max_tree_depth: A trajectory has at most `2**max_tree_depth - 1` steps.
        cores: Chains that run at the same time; None lets the engine take what the machine offers.

    Raises:
        ConfigurationError: naming the setting, what was expected and what came.

    Example:
        >>> NutsSettings(draws=0)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: draws: not usable; expected a whole number of at least 1, got 0
    """

    draws: int = 2000
    tune: int = 1000
    chains: int = 4
    target_accept: float = 0.9
    seed: int = 42
    max_tree_depth: int = 10
    cores: int | None = None

    def __post_init__(self) -> None:
        for field in ("draws", "tune", "chains", "max_tree_depth", "cores"):
            value = getattr(self, field)
            if field == "cores" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
                raise ConfigurationError("not usable", field=field, expected="a whole number of at least 1", got=value)
        if self.max_tree_depth > 20:
            raise ConfigurationError(
                "not usable", field="max_tree_depth", expected="a whole number of at most 20", got=self.max_tree_depth
            )
        accept = self.target_accept
        if isinstance(accept, bool) or not isinstance(accept, int | float) or not 0.0 < accept < 1.0:
            raise ConfigurationError(
                "not usable", field="target_accept", expected="a number between 0 and 1", got=accept
            )
        check_seed(self.seed)

    @property
    def at_once(self) -> int:
        """Chains to run at the same time: `cores`, or what the machine offers, at most `chains`."""
        return min(self.chains, self.cores or available_cores())

    def leapfrog_limit(self) -> int:
        """Steps of the longest trajectory allowed."""
        return int(math.ldexp(1, self.max_tree_depth)) - 1


def available_cores() -> int:
    """Processors this process may use.

    Example:
        >>> available_cores() >= 1
        True
    """
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
