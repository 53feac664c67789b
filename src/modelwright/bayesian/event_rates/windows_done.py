"""How many windows are scored by now, told by a scoring whose parts count in units of their own."""

from typing import final

from modelwright.core.progress import ProgressCallback, ProgressEvent


@final
class WindowsDone:
    """Tells how many of all windows are scored: the number never falls, and is that of all windows once, at the end.

    Args:
        progress: Told about the stage "score".
        total: How many windows there are.

    Example:
        >>> events = []
        >>> windows = WindowsDone(events.append, 100)
        >>> for cases in (1, 3):  # three cases, which sixty of the windows are
        ...     windows.upto(60 * cases // 3)
        >>> windows.upto(60), windows.upto(100)
        (None, None)
        >>> [event.done for event in events]
        [20, 60, 100]
    """

    def __init__(self, progress: ProgressCallback, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def upto(self, done: int) -> None:
        """So many are scored by now."""
        if done > self._done:
            self._done = done
            self._progress(ProgressEvent("score", done, self._total, "windows"))
