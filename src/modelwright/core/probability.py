"""The probability of an interval, as a person gives it."""

from numbers import Real

from modelwright.core.errors import ConfigurationError


def check_probability(probability: object, *, field: str = "interval") -> float:
    """Return the probability of an interval, refusing percentages and the ends.

    Raises:
        ConfigurationError: unless it is a number strictly between 0 and 1.

    Example:
        >>> check_probability(90)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: interval: not a probability; expected a number \
between 0 and 1, got 90; write 0.9 for 90 percent
    """
    todo = "try 0.9"
    if isinstance(probability, Real) and not isinstance(probability, bool):
        number = float(probability)
        if 0.0 < number < 1.0:
            return number
        if 1.0 < number < 100.0:
            todo = f"write {number / 100:g} for {number:g} percent"
    raise ConfigurationError(
        "not a probability", field=field, expected="a number between 0 and 1", got=probability, todo=todo
    )
