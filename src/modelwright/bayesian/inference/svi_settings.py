"""How stochastic variational inference goes about it: precision, step sizes, when to stop."""

from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from modelwright.core.errors import ConfigurationError

Precision = Literal["auto", "float32", "float64"]

USUAL_RATE = 0.02
"""Step size of Adam where nothing is known of where the guide begins (arbitrary)."""

COOLED = 0.01
"""Share of the step size that is left when cooling ends: small beside the noise, large enough to settle (arbitrary)."""


@dataclass(frozen=True)
class EarlyStopping:
    """When the ELBO counts as level: then the step size cools down and the fit ends.

    The rule looks at two windows of steps that follow each other. With m1, m2 their mean ELBOs and e the standard error
    of m2 - m1 (from the windows' variances), the ELBO is level when m2 - m1 < `errors` * e + `share` * |m2|.

    Args:
        window: Steps of a window; the rule is applied whenever a window is full.
        errors: Standard errors that a gain may have and still be taken for noise.
        share: Share of the ELBO below which a gain is not worth waiting for.

    Example:
        >>> rule = EarlyStopping(window=2)
        >>> rule.is_level(np.array([-90.0, -90.1, -50.0, -50.1])), rule.is_level(np.array([-5.0, -5.1, -5.0, -5.1]))
        (False, True)
    """

    window: int = 200
    errors: float = 2.0
    share: float = 1e-6

    def __post_init__(self) -> None:
        _whole("window", self.window)
        _number("errors", self.errors, least=0.0)
        _number("share", self.share, least=0.0)

    @property
    def words(self) -> str:
        """The rule as a sentence."""
        return (
            f"the ELBO counts as level when its mean over {self.window} steps is above that of the {self.window} steps "
            f"before by less than {self.errors:g} standard errors of that difference plus {self.share:g} of its size"
        )

    def is_level(self, elbo: np.ndarray) -> bool:
        """Whether the last two windows of a trace show no gain; skipped steps (NaN) do not count."""
        before, after = elbo[-2 * self.window : -self.window], elbo[-self.window :]
        before, after = before[np.isfinite(before)], after[np.isfinite(after)]
        if len(elbo) < 2 * self.window or min(len(before), len(after)) < 2:
            return False
        gain = after.mean() - before.mean()
        error = float(np.sqrt(before.var(ddof=1) / len(before) + after.var(ddof=1) / len(after)))
        return bool(gain < self.errors * error + self.share * abs(after.mean()))


@dataclass(frozen=True)
class SviSettings:
    """Settings of stochastic variational inference that seldom need changing.

    The step size rises over the first steps, stays, and cools down by half a cosine to a hundredth at the end:
    from the time the ELBO is level (`stopping`) or at the latest over the last `cooling` of all steps. The parameters
    end where averaging over noise would put them, not where the last noisy step left them.

    Args:
        learning_rate: Step size of Adam before warm-up and cooling; of no effect with an optimizer of one's own. None
            takes what suits a guide that begins at the mode, where a model made it begin there, else `USUAL_RATE`.
        warm_up: Steps over which the step size rises from zero.
        cooling: Share of all steps over which it cools down; 0 for none.
        particles: Draws of the guide per step that the ELBO is averaged over.
        stopping: When the ELBO counts as level; None goes on to the last step.
        precision: "float32", "float64", or "auto": single precision for mini-batches, double for all data at once.
        constant_data: Whether the data become part of the program, for models that look at the values of their data
            (and not only at their shapes) while they are traced.
        devices: Devices to share the rows of the data between.

    Raises:
        ConfigurationError: naming the setting.

    Example:
        >>> SviSettings(particles=0)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: particles: not usable; expected a whole number of at least 1, got 0
    """

    learning_rate: float | None = None
    warm_up: int = 10
    cooling: float = 0.5
    particles: int = 1
    stopping: EarlyStopping | None = field(default_factory=EarlyStopping)
    precision: Precision = "auto"
    constant_data: bool = False
    devices: int = 1

    def __post_init__(self) -> None:
        if self.learning_rate is not None:
            _number("learning_rate", self.learning_rate, least=0.0)
        _whole("warm_up", self.warm_up, least=0)
        _number("cooling", self.cooling, least=0.0, most=1.0)
        _whole("particles", self.particles)
        _whole("devices", self.devices)
        if self.precision not in ("auto", "float32", "float64"):
            raise ConfigurationError(
                "not a precision", field="precision", expected="'auto', 'float32' or 'float64'", got=self.precision
            )

    def is_double(self, batch_size: int | None) -> bool:
        """Whether to compute in double precision."""
        return self.precision == "float64" or (self.precision == "auto" and batch_size is None)


def check_steps(steps: Any, batch_size: Any) -> None:
    """Refuse numbers of steps and of rows in a mini-batch that are not whole and positive.

    Raises:
        ConfigurationError: naming the argument.
    """
    _whole("steps", steps)
    if batch_size is not None:
        _whole("batch_size", batch_size)


def check_period(field: str, value: Any) -> None:
    """Refuse a period that is neither None nor a positive number.

    Raises:
        ConfigurationError: naming the field.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, Real) or not value > 0):
        raise ConfigurationError("not usable", field=field, expected="a number above 0", got=value)


def _whole(field: str, value: Any, *, least: int = 1) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ConfigurationError("not usable", field=field, expected=f"a whole number of at least {least}", got=value)


def _number(field: str, value: Any, *, least: float, most: float = float("inf")) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= value <= most or value == float("inf"):
        limits = f"of at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
        raise ConfigurationError("not usable", field=field, expected=f"a number {limits}", got=value)
