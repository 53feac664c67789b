"""How a number is written for people, on the terminal and in reports alike: few digits, thousands apart, no long zeros.

Digits that a figure does not have are not written: what is very large or very small gets an exponent.
"""

import math
from decimal import Decimal
from typing import Any

DIGITS = 4
"""Significant digits of a measured figure."""

LARGEST_IN_FULL = 1e15
"""From here on an exponent is written: a double no longer holds every whole number, and nobody counts the zeros."""

SMALLEST_IN_FULL = 1e-4


def number_text(value: Any, *, digits: int = DIGITS, zeros: bool = False) -> str:
    """A number, or whatever else stands in a cell, as people read it; what can be copied into a program stays so.

    Args:
        value: The cell. Whole numbers below `LARGEST_IN_FULL` are written in full, None as nothing.
        digits: Significant digits of a real number; one with more before its point is written as a whole number.
        zeros: Keep the zeros at the end (1.000), as a column of measured figures does.

    Example:
        >>> [number_text(v) for v in (12345.678, 3.14159, 0.00001234, 1234567, 6.3e28, True, None, "ann")]
        ['12,346', '3.142', '1.234e-05', '1,234,567', '6.300e+28', 'yes', '', 'ann']
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) < LARGEST_IN_FULL else f"{Decimal(value):.{digits - 1}e}"
    if isinstance(value, float):
        return _real(value, digits, zeros=zeros)
    return str(value)


def _real(value: float, digits: int, *, zeros: bool) -> str:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    magnitude = abs(value)
    if magnitude and (magnitude < SMALLEST_IN_FULL or magnitude >= LARGEST_IN_FULL):
        return f"{value:.{digits - 1}e}"
    if magnitude >= 10.0 ** (digits - 1) - 0.05:  # would be written as a one with so many zeros below
        return f"{value:,.0f}"
    return f"{value:#.{digits}g}".rstrip(".") if zeros else f"{value:.{digits}g}"
