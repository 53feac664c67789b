"""Settings that a model class declares: their type, default, range and meaning, and the check of what was given."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, final

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import nearest
from modelwright.core.values import Refusal, plain, to_boolean, to_float, to_integer

Sort: TypeAlias = Literal["integer", "number", "flag", "choice", "text", "integers"]


@final
@dataclass(frozen=True)
class Parameter:
    """One setting of a model class.

    Args:
        name: Its key under `parameters`.
        sort: integer, number, flag (true or false), choice (one of `choices`), text, integers (a list of them).
        default: Its value when it is not given; None where the model finds one by itself.
        meaning: What it does, with its unit; shown by `explain`.
        least: The smallest value of a number, or of each integer.
        most: The largest.
        choices: Of a choice.

    Example:
        >>> beta = Parameter("beta", "number", 1.0, "weight of the KL divergence", least=0.0)
        >>> beta.checked(4)
        4.0
        >>> beta.checked(-1)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: parameters.beta: not accepted; expected a number of at least 0, \
got -1
    """

    name: str
    sort: Sort
    default: Any
    meaning: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    @property
    def expected(self) -> str:
        """What is accepted, in words."""
        what = {
            "integer": "a whole number",
            "number": "a number",
            "flag": "true or false",
            "choice": "one of " + ", ".join(self.choices),
            "text": "a text",
            "integers": "a list of whole numbers",
        }[self.sort]
        least, most = (None if end is None else f"{end:.12g}" for end in (self.least, self.most))
        if least is not None and most is not None:
            return f"{what} from {least} to {most}"
        if least is not None:
            return f"{what} of at least {least}"
        return what if most is None else f"{what} of at most {most}"

    def checked(self, value: Any) -> Any:
        """The value as its type, or a refusal.

        Raises:
            ConfigurationError: naming the parameter, what was expected and what came.
        """
        try:
            return self._converted(plain(value))
        except Refusal as refusal:
            close = nearest(value, self.choices) if self.sort == "choice" and isinstance(value, str) else None
            raise ConfigurationError(
                refusal.why,
                field=f"parameters.{self.name}",
                expected=self.expected,
                got=value,
                todo=f"did you mean {close!r}?" if close else None,
            ) from None

    def _converted(self, value: Any) -> Any:
        match self.sort:
            case "integer":
                return self._in_range(to_integer(value))
            case "number":
                return self._in_range(to_float(value))
            case "flag":
                return to_boolean(value)
            case "integers":
                if not isinstance(value, Sequence) or isinstance(value, str):
                    raise Refusal(self.expected)
                return tuple(self._in_range(to_integer(entry)) for entry in value)
        if not isinstance(value, str) or (self.sort == "choice" and value not in self.choices):
            raise Refusal(self.expected)
        return value

    def _in_range(self, number: Any) -> Any:
        if (self.least is not None and number < self.least) or (self.most is not None and number > self.most):
            raise Refusal(self.expected)
        return number
