"""How a report writes numbers, times, sizes and tables for people."""

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modelwright.core.number_text import number_text
from modelwright.runs.manifest import utc_text

ABSENT = "–"
_LONGEST_LIST = 12


def number(value: Any, *, zeros: bool = False) -> str:
    """A cell as people read it, `core.number_text` set in type: a minus sign, "–" for what is absent, "∞".

    Args:
        value: The cell.
        zeros: Keep the zeros at the end (1.000), as a column of measured figures does.

    Example:
        >>> [number(v) for v in (12345.678, -3.14159, 0.00001234, 1234567, True, None, "ann")]
        ['12,346', '−3.142', '1.234e-05', '1,234,567', 'yes', '–', 'ann']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ABSENT
    if isinstance(value, float) and math.isinf(value):
        return "∞" if value > 0 else "−∞"
    text = number_text(value, zeros=zeros)
    # The sign only: an exponent keeps its hyphen, so that it can be copied into a program.
    return "−" + text[1:] if isinstance(value, int | float) and text.startswith("-") else text


def when(text: str | None) -> str:
    """A stored time as people read it.

    Example:
        >>> when("2026-03-14T09:26:53Z"), when(None)
        ('2026-03-14 09:26:53 UTC', '–')
    """
    return ABSENT if text is None else utc_text(datetime.fromisoformat(text))


def duration(seconds: float | None) -> str:
    """A span of time in its largest two units.

    Example:
        >>> [duration(s) for s in (0.25, 75, 7322, None)]
        ['0.25 s', '1 min 15 s', '2 h 2 min', '–']
    """
    if seconds is None:
        return ABSENT
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def size(count: int | None) -> str:
    """Bytes in binary units.

    Example:
        >>> [size(n) for n in (512, 1536, 3 * 2**30, None)]
        ['512 B', '1.5 KiB', '3.0 GiB', '–']
    """
    if count is None:
        return ABSENT
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"


def flattened(document: Any, prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as rows of dotted names and values; long lists are cut, saying by how much.

    Example:
        >>> flattened({"prior": {"mu": 0.1}, "shape": [3, 4]})
        [('prior.mu', '0.1'), ('shape', '3, 4')]
    """
    rows: list[tuple[str, str]] = []
    for name, value in document.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            rows += flattened(value, f"{key}.")
        elif isinstance(value, list | Mapping):
            rows.append((key, _listed(list(value))))
        else:
            # Settings are copied, not read: a seed has no thousands.
            rows.append((key, str(value) if isinstance(value, int) and not isinstance(value, bool) else number(value)))
    return rows


def _listed(values: list[Any]) -> str:
    shown = ", ".join(_entry(value) for value in values[:_LONGEST_LIST])
    rest = len(values) - _LONGEST_LIST
    return (f"{shown} and {rest:,} more" if rest > 0 else shown) or ABSENT


def _entry(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {text}" for name, text in flattened(value)) or ABSENT
    return f"[{_listed(value)}]" if isinstance(value, list) else str(value) if type(value) is int else number(value)


def table_view(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table document with its cells in words, and which columns hold numbers and stand at the right."""
    rows = table["rows"]
    columns = range(len(table["columns"]))
    numeric = [_is_numeric([row[index] for row in rows]) for index in columns]
    measured = [any(isinstance(row[index], float) and row[index] % 1 for row in rows) for index in columns]
    return {
        "title": table["title"],
        "caption": table["caption"],
        "columns": list(zip(table["columns"], numeric, strict=True)),
        "rows": [
            [(number(cell, zeros=zeros), right) for cell, zeros, right in zip(row, measured, numeric, strict=True)]
            for row in rows
        ],
    }


def _is_numeric(cells: list[Any]) -> bool:
    present = [cell for cell in cells if cell is not None]
    return bool(present) and all(isinstance(cell, int | float) and not isinstance(cell, bool) for cell in present)
