"""Ctrl-C noted while compiled steps run, heard between two chunks: what is done is kept.

Python raises `KeyboardInterrupt` wherever it happens to be, also between a call that gave its arguments away and the
assignment of what came back: then both would be lost.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class NotedInterrupt:
    """Whether Ctrl-C has been pressed."""

    pressed: bool = False


@contextmanager
def note_interrupts() -> Iterator[NotedInterrupt]:
    """Note the first Ctrl-C instead of raising it; the second is raised at once.

    Outside the main thread, and where somebody else already takes care of Ctrl-C, nothing changes.

    Example:
        >>> with note_interrupts() as noted:
        ...     signal.raise_signal(signal.SIGINT)
        >>> noted.pressed
        True
    """
    noted = NotedInterrupt()
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield noted
        return

    def hear(number: int, frame: FrameType | None) -> None:
        if noted.pressed:
            signal.default_int_handler(number, frame)
        noted.pressed = True

    signal.signal(signal.SIGINT, hear)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
