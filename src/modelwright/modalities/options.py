"""Options of codecs, from Python or YAML: read as what they are declared to be, or refused by name."""

from collections.abc import Callable
from typing import Any, TypeVar

from modelwright.core.errors import ConfigurationError, came
from modelwright.core.values import Refusal, to_integer

Value = TypeVar("Value")


def read_option(
    name: str, value: Any, read: Callable[[Any], Value], expected: str, fits: Callable[[Value], bool] | None = None
) -> Value:
    """The value of an option.

    Args:
        name: Of the option.
        value: What was given.
        read: From anything to a value of the type, or a `Refusal`.
        expected: What is accepted, for people.
        fits: Whether a value of the type is one of those; all are when left out.

    Raises:
        ConfigurationError: it is not accepted; names the option.

    Example:
        >>> read_option("levels", "17", to_integer, "a whole number")
        17
    """
    try:
        found = read(value)
        if fits is None or fits(found):
            return found
    except Refusal:
        pass
    raise ConfigurationError("not accepted", field=name, expected=expected, got=came(value, "nothing")) from None


def one_of(*choices: str) -> Callable[[Any], Any]:
    """What reads one of some words.

    Example:
        >>> one_of("threshold", "sample")("sample")
        'sample'
    """

    def read(value: Any) -> Any:
        if not isinstance(value, str) or value not in choices:
            raise Refusal("one of " + ", ".join(choices))
        return value

    return read


def whole_numbers(value: Any) -> tuple[int, ...]:
    """A list of whole numbers.

    Example:
        >>> whole_numbers([8, "8", 1.0])
        (8, 8, 1)
    """
    if not isinstance(value, list | tuple):
        raise Refusal("a list of whole numbers", "not a list")
    return tuple(to_integer(each) for each in value)


def check_taken(name: str, given: Any, of_model: Any) -> None:
    """Let an option be left out, or be what it is in the model.

    Raises:
        ConfigurationError: it was given as something else, which would have no effect.
    """
    if given and given != of_model:
        raise ConfigurationError(
            "not that of the model, from which it is taken",
            field=name,
            expected=str(of_model),
            got=given,
            todo="leave it out",
        )
