"""Ctrl-C that stops at a safe moment.

Python raises `KeyboardInterrupt` wherever it happens to be: inside a callback of compiled code it is lost, and between
two native calls it can bring the process down. So an interrupt is only noted here, and raised at the next progress
event, where the work stands between two steps. Where no event comes in time, the process ends at once: what is stored
is whole at any moment, and a run that was not closed shows as interrupted.
"""

import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from modelwright.core.progress import ProgressCallback, ProgressEvent

EXIT_INTERRUPTED = 130
PATIENCE = 3.0
"""Seconds an interrupt waits for a safe moment (arbitrary: longer than a step, shorter than a person's patience)."""


@contextmanager
def interrupts_at_progress(
    progress: ProgressCallback,
    *,
    patience: float = PATIENCE,
    left: str = "what had begun is kept as an interrupted run",
) -> Iterator[ProgressCallback]:
    """A callback to hand on instead of `progress`: it raises `KeyboardInterrupt` once Ctrl-C has been pressed.

    Outside the main thread, and where Ctrl-C is ignored, `progress` itself is handed back and nothing changes.

    Args:
        progress: Called with every event.
        patience: Seconds after which the process ends with exit code 130 wherever it is, as with a second Ctrl-C.
        left: What there then is of the work, for the sentence that says so.

    Example:
        >>> from modelwright.core.progress import ignore_progress
        >>> with interrupts_at_progress(ignore_progress) as reported:
        ...     reported(ProgressEvent("sample", 1, 10))
    """
    main = threading.main_thread()
    if threading.current_thread() is not main or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
        yield progress
        return
    asked = threading.Event()

    def reported(event: ProgressEvent) -> None:
        if asked.is_set() and threading.current_thread() is main:
            raise KeyboardInterrupt
        progress(event)

    heard, told = socket.socketpair()
    told.setblocking(False)  # noqa: FBT003 (the socket's signature)
    watcher = threading.Thread(target=_watch, args=(heard, asked, patience, left), name="interrupts", daemon=True)
    watcher.start()
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    # Python's own handlers wait until compiled code returns; the number of a signal is written here at once.
    fd_before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    try:
        yield reported
    finally:
        signal.set_wakeup_fd(fd_before)
        signal.signal(signal.SIGINT, before)
        told.close()
        watcher.join()
        heard.close()


def _watch(heard: socket.socket, asked: threading.Event, patience: float, left: str) -> None:
    """Note the first Ctrl-C; end the process at the second, or when nothing has come of the first for a while."""
    while True:
        signals = heard.recv(1)
        if not signals:
            return
        if signals[0] != signal.SIGINT:
            continue
        asked.set()
        heard.settimeout(patience)
        try:
            while signals := heard.recv(1):
                if signals[0] == signal.SIGINT:
                    _end(f"interrupted at once; {left}")
        except TimeoutError:
            _end(f"interrupted; {left}")
        return


def _end(sentence: str) -> None:
    """End the process as a kill would, but with a sentence and the exit code of an interrupt."""
    sys.stderr.write(f"\nmodelwright: {sentence}\n")
    sys.stderr.flush()
    os._exit(EXIT_INTERRUPTED)
