"""Priors of the population's parameters, chosen by name: `gamma(0.1, 1)`, `half_cauchy(2)`, `log_normal(1, 0.5)`.

Which distributions there are says `hyperprior_families`.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelwright.bayesian.event_rates.hyperprior_families import FAMILIES
from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion

NAMES: tuple[str, ...] = tuple(FAMILIES)
"""The priors that are known."""

LONGEST_TEXT = 200
"""Characters of the longest prior that is read."""

SMALLEST, LARGEST = 1e-12, 1e12
"""Range of rates, scales, shapes and degrees of freedom; beyond it a prior is a point or nothing at all."""

DRAWN_BETWEEN = (1e-150, 1e150)
"""Draws are kept within these, so that products and ratios of two of them are finite."""

_CALL = re.compile(r"\s*([A-Za-z_]\w*)\s*\(([^()]*)\)\s*", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True)
class Hyperprior:
    """The prior of one positive parameter.

    Args:
        name: One of `NAMES`.
        arguments: Its arguments in the order of the name's signature, such as (shape, rate).

    Raises:
        ConfigurationError: for a name that is not known and arguments that make no distribution.

    Example:
        >>> prior = Hyperprior("gamma", (2.0, 0.5))
        >>> str(prior), prior.mean
        ('gamma(2, 0.5)', 4.0)
    """

    name: str
    arguments: tuple[float, ...]

    def __post_init__(self) -> None:
        _check(self.name, self.arguments, field="prior")
        object.__setattr__(self, "arguments", tuple(float(value) for value in self.arguments))

    def __str__(self) -> str:
        return f"{self.name}({', '.join(map(_number_text, self.arguments))})"

    @property
    def formula(self) -> str:
        """How it is written beside a model: `HalfNormal(2)`."""
        word = "".join(part.capitalize() for part in self.name.split("_"))
        return f"{word}({', '.join(map(_number_text, self.arguments))})"

    @property
    def support(self) -> tuple[float, float]:
        """The open interval outside of which the density is zero: (low, high) of a uniform, else (0, inf)."""
        return (self.arguments[0], self.arguments[1]) if self.name == "uniform" else (0.0, math.inf)

    @property
    def mean(self) -> float:
        """Expectation; infinite where the tail is too heavy to have one."""
        with np.errstate(over="ignore"):
            return float(FAMILIES[self.name].mean(*self.arguments))

    @property
    def median(self) -> float:
        """The value that is exceeded with probability one half."""
        return self.quantile(0.5)

    def quantile(self, p: float) -> float:
        """The value below which lies the probability `p`, strictly between 0 and 1.

        Example:
            >>> round(Hyperprior("exponential", (0.1,)).quantile(0.95), 1)
            30.0
        """
        if not 0.0 < p < 1.0:
            raise ConfigurationError("not a probability", field="p", expected="a number between 0 and 1", got=p)
        with np.errstate(over="ignore", divide="ignore"):
            return float(FAMILIES[self.name].quantile(p, *self.arguments))

    def log_density(self, x: Any) -> Any:
        """Log density at `x`, any shape, in nats; -inf outside of the support and on its edge.

        Example:
            >>> float(Hyperprior("uniform", (0.0, 4.0)).log_density(5.0))
            -inf
        """
        with np.errstate(over="ignore"):
            return self.log_density_in(np, np.asarray(x, float))[()]

    def log_density_in(self, xp: Any, x: Any) -> Any:
        """The same with the functions of `xp`: `numpy`, or `jax.numpy` as in `hyperpriors_jax`."""
        low, high = self.support
        outside = (x <= low) | (x >= high)
        inside = xp.where(outside, 1.0, x)  # where it is not used it must still have a finite derivative
        value = FAMILIES[self.name].log_density(xp, inside, xp.log(inside), *self.arguments)
        return xp.where(outside, -math.inf, value)

    def draw(self, size: int | tuple[int, ...], generator: np.random.Generator) -> np.ndarray:
        """Independent draws, held within `DRAWN_BETWEEN`.

        Example:
            >>> Hyperprior("half_cauchy", (2.0,)).draw(3, np.random.default_rng(0)).shape
            (3,)
        """
        with np.errstate(over="ignore", divide="ignore"):
            drawn = FAMILIES[self.name].draw(generator, size, *self.arguments)
        return np.asarray(np.clip(drawn, *DRAWN_BETWEEN))


def parse_hyperprior(text: object, *, field: str = "prior") -> Hyperprior:
    """Read a prior from a text like `gamma(0.1, 1)`.

    Args:
        text: A name of `NAMES` with its arguments, decimal numbers, in brackets.
        field: What an error says it is about.

    Raises:
        ConfigurationError: for anything else, with the signature or the nearest name.

    Example:
        >>> parse_hyperprior("gamma(0.1, 1)")
        Hyperprior(name='gamma', arguments=(0.1, 1.0))
        >>> parse_hyperprior("lognormal(0, 1)")
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: prior: no prior is called that; got 'lognormal'; did you mean \
'log_normal'? known: exponential, half_normal, gamma, log_normal, half_cauchy, half_student_t, inverse_gamma, uniform
    """
    if isinstance(text, str) and len(text) > LONGEST_TEXT:
        raise ConfigurationError(
            f"too long, {len(text):,} characters", field=field, expected=f"at most {LONGEST_TEXT}", got=text
        )
    found = _CALL.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        name = text.strip() if isinstance(text, str) else ""
        expected = signature(name) if name in NAMES else "a name with its arguments, such as exponential(0.1)"
        raise ConfigurationError("not a prior", field=field, expected=expected, got=text, todo=_known())
    name, inner = found.groups()
    arguments = [part.strip() for part in inner.split(",")] if inner.strip() else []
    _check(name, arguments, field=field)
    return Hyperprior(name, tuple(float(argument) for argument in arguments))


def signature(name: str) -> str:
    """How a prior is written.

    Example:
        >>> signature("half_student_t")
        'half_student_t(df, scale)'
    """
    return f"{name}({', '.join(FAMILIES[name].arguments)})"


def _check(name: str, arguments: Any, *, field: str) -> None:
    """Refuse what is no distribution; arguments are numbers or their texts."""
    if name not in NAMES:
        raise ConfigurationError("no prior is called that", field=field, got=name, todo=suggestion(name, NAMES))
    names = FAMILIES[name].arguments
    if len(arguments) != len(names):
        wanted = "one argument" if len(names) == 1 else f"{len(names)} arguments"
        raise ConfigurationError(f"{name} takes {wanted}", field=field, expected=signature(name), got=len(arguments))
    values = []
    for argument, given in zip(names, arguments, strict=True):
        low, high = _range(name, argument)
        is_number = not isinstance(given, bool) and isinstance(given, int | float | np.integer | np.floating)
        is_text = isinstance(given, str) and _NUMBER.fullmatch(given) is not None
        value = given if is_number else float(given) if is_text else math.nan
        if not low <= value <= high:
            expected = f"a number from {low:g} to {high:g}"
            raise ConfigurationError(f"{argument} of {name} is not usable", field=field, expected=expected, got=given)
        values.append(value)
    if name == "uniform" and values[0] >= values[1]:
        raise ConfigurationError("nothing lies between", field=field, expected="low below high", got=tuple(values))


def _range(name: str, argument: str) -> tuple[float, float]:
    match name, argument:
        case "uniform", "low":
            return 0.0, LARGEST
        case "log_normal", "location":
            return -100.0, 100.0
        case "log_normal", "scale":
            return SMALLEST, 100.0
        case "gamma" | "inverse_gamma", "shape":
            return SMALLEST, 1e6  # from there on the terms of the log density cancel to fewer than nine digits
    return SMALLEST, LARGEST


def _known() -> str:
    return "known: " + ", ".join(signature(name) for name in NAMES)


def _number_text(value: float) -> str:
    """The shortest text that reads back as the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
