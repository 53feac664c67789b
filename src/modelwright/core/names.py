"""Names a person types: is it well formed, and which known name is nearest to it."""

import difflib
import re
from collections.abc import Iterable

from modelwright.core.errors import ConfigurationError, NotFoundError

_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]{0,62}")
_RESERVED = frozenset({"con", "prn", "aux", "nul", "test", "tests"})


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name`, or None when nothing comes near.

    Example:
        >>> nearest("usr", ["user", "time"])
        'user'
        >>> nearest("zzz", ["user", "time"]) is None
        True
    """
    table = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(str(name).lower(), table, n=1, cutoff=0.55)
    return table[found[0]] if found else None


def suggestion(name: str, known: Iterable[str], *, limit: int = 12) -> str:
    """The last part of every miss, such as: did you mean 'x'? known: a, b, c.

    Example:
        >>> suggestion("usr", ["user", "time"])
        "did you mean 'user'? known: user, time"
    """
    choices = list(known)
    if not choices:
        return "none are known"
    listed = ", ".join(choices[:limit]) + (f" and {len(choices) - limit} more" if len(choices) > limit else "")
    close = nearest(name, choices)
    return f"did you mean {close!r}? known: {listed}" if close else f"known: {listed}"


def unknown_name(kind: str, name: str, known: Iterable[str]) -> NotFoundError:
    """The error for a name that misses: names the kind, the name and the nearest match."""
    return NotFoundError(f"no {kind} is called {str(name)!r}", todo=suggestion(str(name), known))


def check_identifier(name: str, *, field: str) -> str:
    """Return `name` when it can be a model id: a lower-case letter, then letters, digits, underscores, at most 63.

    Raises:
        ConfigurationError: for anything else; an id becomes a folder, so nothing that could leave its root passes.

    Example:
        >>> check_identifier("event_rates", field="model")
        'event_rates'
    """
    if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name) or name in _RESERVED:
        raise ConfigurationError(
            "not a usable name",
            field=field,
            expected="a lower-case letter followed by lower-case letters, digits or underscores, at most 63",
            got=name,
            todo="try a name like my_model",
        )
    return name
