"""Errors that explain themselves: what happened, what was expected, what came, what to do.

Every refusal that reaches a person is a `ModelwrightError`; its `exit_code` is what the command line ends with.
"""

from typing import ClassVar, final


class ModelwrightError(Exception):
    """A refusal with a field, an expectation and a way out.

    Args:
        what: One sentence saying what is wrong.
        field: The parameter, column or key the sentence is about.
        expected: What would have been accepted.
        got: What came instead, None where that is not known; shown with `repr` and shortened. See `came`.
        todo: What the person can do now.

    Example:
        >>> print(ConfigurationError("the number of chains is too small", field="chains",
        ...                          expected="an integer of at least 1", got=0, todo="pass --chains 4"))
        chains: the number of chains is too small; expected an integer of at least 1, got 0; pass --chains 4
    """

    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        what: str,
        *,
        field: str | None = None,
        expected: str | None = None,
        got: object = None,
        todo: str | None = None,
    ) -> None:
        self.what = what
        self.field = field
        self.expected = expected
        self.got = got
        self.todo = todo
        super().__init__(self._sentence())

    def _sentence(self) -> str:
        parts = [f"{self.field}: {self.what}" if self.field else self.what]
        if self.expected is not None:
            came = "" if self.got is None else f", got {shortened(self.got)}"
            parts.append(f"expected {self.expected}{came}")
        elif self.got is not None:
            parts.append(f"got {shortened(self.got)}")
        if self.todo is not None:
            parts.append(self.todo)
        return "; ".join(part.rstrip(".") for part in parts)

    def __str__(self) -> str:
        return self._sentence()

    def as_document(self) -> dict[str, str | None]:
        """The same refusal as plain data, for JSON output."""
        return {
            "error": type(self).__name__,
            "message": str(self),
            "field": self.field,
            "expected": self.expected,
            "got": None if self.got is None else shortened(self.got),
            "todo": self.todo,
        }


class ConfigurationError(ModelwrightError, ValueError):
    """A parameter, option or configuration file is wrong (exit code 2)."""

    exit_code = 2


class MissingDependencyError(ModelwrightError, ImportError):
    """An optional engine or device is asked for and is not there (exit code 2)."""

    exit_code = 2


class DataError(ModelwrightError, ValueError):
    """The person's data cannot be used as they are (exit code 3)."""

    exit_code = 3


class CapabilityError(ModelwrightError, TypeError):
    """A model is asked for something that it does not offer (exit code 2)."""

    exit_code = 2


class UntrustedError(ModelwrightError):
    """The verdict is "problem" and the person asked to be strict (exit code 4)."""

    exit_code = 4


class NotFoundError(ModelwrightError, LookupError):
    """A model, run, entity or file of that name does not exist (exit code 6)."""

    exit_code = 6


class StorageError(ModelwrightError, OSError):
    """The disk refused: full, read-only, or a stored file that is damaged (exit code 74)."""

    exit_code = 74


class ClosedRunError(ModelwrightError):
    """Something tried to write into a run that is closed (exit code 2)."""

    exit_code = 2


@final
class Word(str):
    """Text that is shown without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def came(value: object, none: str = "None") -> object:
    """What `got` takes for a value that may be None itself, which would be left out of the sentence.

    Example:
        >>> print(ConfigurationError("not a path", expected="text", got=came(None)))
        not a path; expected text, got None
    """
    return Word(none) if value is None else value


def shortened(value: object, *, limit: int = 120) -> str:
    """`repr(value)` cut to `limit` characters, so that an error never prints a table.

    Example:
        >>> shortened("x" * 300, limit=12)
        "'xxxxxxxx..."
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # an integer longer than Python prints; something nested too deep
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 3] + "..."
