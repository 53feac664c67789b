"""From what a form, a command line or a YAML file holds to a value of the declared type, or a refusal.

Each function takes any object at all and either returns a value of its type or raises `Refusal` saying what would
have been accepted. They are strict where coercion hides mistakes ("false" is not true, True is not 1, NaN is no
number) and lenient where it does not (4348.0 and "4348" are the integer 4348).
"""

import math
import re
from typing import Any

from modelwright.core.errors import shortened

LONGEST_TEXT = 10_000
"""Characters a text value may have: far above any label or path, far below what could hurt."""

LARGEST_INTEGER = 2**63 - 1
"""Integers stay within 64 bits, so that numpy, Parquet and JSON readers hold them."""

_NUMERAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)
_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off"})
_PLAIN_KEY = re.compile(r"[\w.-]{1,60}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


class Refusal(ValueError):
    """A value that is not of the type asked for.

    Args:
        expected: What would have been accepted.
        why: A few words on what is wrong, when the value itself does not say it.
    """

    def __init__(self, expected: str, why: str = "not accepted") -> None:
        self.expected = expected
        self.why = why
        super().__init__(f"{why}; expected {expected}")


def plain(value: Any) -> Any:
    """A numpy scalar as the Python value it holds; everything else untouched (and numpy not imported)."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def shown_key(key: Any) -> str:
    """A key that somebody sent, fit for a sentence: as it is when it could be a name, else quoted and shortened.

    Example:
        >>> shown_key("horizn"), shown_key(""), shown_key(3)
        ('horizn', "''", '3')
    """
    return key if isinstance(key, str) and _PLAIN_KEY.fullmatch(key) else shortened(key, limit=60)


def to_float(value: Any) -> float:
    """A finite number from a number or a numeral.

    Raises:
        Refusal: for NaN, infinity (1e999 is one), truth values and everything that is no number.

    Example:
        >>> to_float("2.5"), to_float(3)
        (2.5, 3.0)
        >>> to_float("1e999")
        Traceback (most recent call last):
        modelwright.core.values.Refusal: too large for a number; expected a finite number
    """
    value = plain(value)
    if isinstance(value, str) and len(value) <= LONGEST_TEXT and _NUMERAL.fullmatch(value.strip()):
        value = float(value.strip())
        if math.isinf(value):
            raise Refusal("a finite number", "too large for a number")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Refusal("a number", "not a number")
    try:
        number = float(value)
    except OverflowError:
        raise Refusal("a finite number", "too large for a number") from None
    if not math.isfinite(number):
        raise Refusal("a finite number", "not a finite number")
    return number


def to_integer(value: Any) -> int:
    """A 64-bit integer from an integer, a whole number such as 4348.0, or a numeral for one.

    Raises:
        Refusal: for truth values, fractions, NaN, infinity and everything that is no number.

    Example:
        >>> to_integer(4348.0), to_integer("4348")
        (4348, 4348)
        >>> to_integer(4348.5)
        Traceback (most recent call last):
        modelwright.core.values.Refusal: not a whole number; expected an integer
    """
    value = plain(value)
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        value = int(value.strip())  # not through float, which would round above 2**53
    if isinstance(value, bool) or not isinstance(value, int):
        try:
            number = to_float(value)
        except Refusal as refusal:
            raise Refusal("an integer", refusal.why) from None
        if not number.is_integer():
            raise Refusal("an integer", "not a whole number")
        value = int(number)
    if abs(value) > LARGEST_INTEGER:
        raise Refusal(f"an integer between -{LARGEST_INTEGER} and {LARGEST_INTEGER}", "too large")
    return int(value)


def to_boolean(value: Any) -> bool:
    """True or False, from themselves, 1 and 0, or the words true/false, yes/no, on/off.

    Example:
        >>> to_boolean("false"), to_boolean("On")
        (False, True)
    """
    value = plain(value)
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if isinstance(value, str):
        word = value[:16].strip().lower()
        if word in _TRUE:
            return True
        if word in _FALSE:
            return False
    raise Refusal("true or false", "neither true nor false")


def to_text(value: Any, *, longest: int = LONGEST_TEXT) -> str:
    """Text that any file, terminal and database can hold: bounded, UTF-8, without control characters.

    Newlines and tabs pass. Escape sequences do not, since descriptions are printed on people's terminals.

    Example:
        >>> to_text("user_0042")
        'user_0042'
    """
    if not isinstance(value, str):
        raise Refusal("text", "not text")
    if len(value) > longest:
        raise Refusal(f"text of at most {longest} characters", f"too long ({len(value)} characters)")
    text = value.replace("\r\n", "\n")
    if _CONTROL.search(text):
        raise Refusal("text without control characters", "holds a control character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Refusal("text that is valid Unicode", "holds half a character (a lone surrogate)") from None
    return text
