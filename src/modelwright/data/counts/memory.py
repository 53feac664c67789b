"""Is there room for a matrix before it is read: what it takes, what is free, and a sentence when it does not fit."""

from pathlib import Path

from modelwright.core.errors import ConfigurationError, DataError

_MEMINFO = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


def free_memory() -> int | None:
    """Bytes that can be used without swapping, or None where the system does not say.

    Example:
        >>> free = free_memory()
        >>> free is None or free > 0
        True
    """
    free = []
    try:
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free.append(int(line.split()[1]) * 1024)
        # A container may use less than the machine has; "max" stands for no limit.
        limit = (_GROUP / "memory.max").read_text().strip()
        if limit.isdigit():
            free.append(int(limit) - int((_GROUP / "memory.current").read_text()))
    except (OSError, ValueError, IndexError):
        pass  # not Linux, or a kernel without these files: what was found so far counts
    return max(min(free), 0) if free else None


def allowed_memory(limit: int | None) -> int | None:
    """Bytes that reading may take: the limit given, else what is free.

    Raises:
        ConfigurationError: for a limit that is no number of bytes.
    """
    if limit is None:
        return free_memory()
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise ConfigurationError("not a size", field="memory", expected="a number of bytes", got=limit)
    return limit


def check_memory(needed: int, allowed: int | None, *, place: str, shape: tuple[int, int]) -> None:
    """Refuse what does not fit, before it is read.

    Args:
        needed: Bytes that reading takes at its peak.
        allowed: Bytes that it may take; None when unknown.
        place: Where the matrix is.
        shape: Cells and genes.

    Raises:
        DataError: with both sizes.
    """
    if allowed is not None and needed > allowed:
        raise DataError(
            f"{place} ({shape[0]:,} cells x {shape[1]:,} genes) takes {size(needed)} of memory to read",
            field="data",
            expected=f"at most the {size(allowed)} that are free",
            todo="read a part of it: write fewer cells or genes to a file of their own",
        )


def size(number: int) -> str:
    """Bytes as a person reads them.

    Example:
        >>> size(812), size(3_400_000), size(12 * 2**30)
        ('812 bytes', '3.2 MiB', '12.0 GiB')
    """
    for unit, bytes_of in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= bytes_of:
            return f"{number / bytes_of:.1f} {unit}"
    return f"{number} bytes"
