"""Where a fit stands between its first and last step: the ELBO so far, when cooling begins, why it ended.

Everything here follows from the ELBO of the steps made, never from the clock: a fit that is cut into other chunks, or
resumed, takes the same course.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from modelwright.bayesian.inference.svi_settings import SviSettings


class Course:
    """The course of one fit.

    Args:
        steps: The most steps to make.
        settings: Step sizes and early stopping.

    Example:
        >>> course = Course(100, SviSettings(cooling=0.5))
        >>> course.cool_from, course.end, course.next_stop
        (50, 100, 100)
    """

    def __init__(self, steps: int, settings: SviSettings) -> None:
        self._rule = settings.stopping
        self._cooling = settings.cooling
        self._elbo: list[np.ndarray] = []
        self.steps = steps
        self.done = 0
        self.end = steps
        self.cool_from = steps - round(settings.cooling * steps)
        self.level_at: int | None = None
        self.interrupted = False
        self.all_skipped = False

    @property
    def cool_steps(self) -> int:
        """Steps of cooling."""
        return self.end - self.cool_from if self._cooling else 0

    @property
    def next_stop(self) -> int:
        """The step at which a chunk has to end, since the rule is to be applied there."""
        if self._rule is None or self.level_at is not None or self.done >= self.cool_from:
            return self.end
        window = self._rule.window
        return min(self.end, (self.done // window + 1) * window)

    @property
    def elbo(self) -> np.ndarray:
        """The ELBO estimate of every step made, shape (step,); NaN where a step was left out."""
        return np.concatenate(self._elbo) if self._elbo else np.empty(0)

    @property
    def latest(self) -> float:
        """The mean ELBO of the last chunk; NaN where every step of it was left out."""
        usable = self._elbo[-1][np.isfinite(self._elbo[-1])] if self._elbo else np.empty(0)
        return float(usable.mean()) if usable.size else float("nan")

    @property
    def is_over(self) -> bool:
        """Whether no step is to be made any more."""
        return self.done >= self.end or self.interrupted or self.all_skipped

    def add(self, losses: np.ndarray) -> None:
        """Take in the losses of a chunk and apply the rule where a window is full."""
        self._elbo.append(-np.asarray(losses, np.float64))
        self.done += len(losses)
        recent = self._recent(SKIPPED_IN_A_ROW)
        self.all_skipped = len(recent) == SKIPPED_IN_A_ROW and not np.isfinite(recent).any()
        rule = self._rule
        if rule is None or self.level_at is not None or self.done >= self.cool_from or self.done % rule.window:
            return
        if rule.is_level(self._recent(2 * rule.window)):
            self.level_at = self.done
            self.cool_from = self.done
            self.end = min(self.steps, self.done + max(rule.window, round(self._cooling * self.done)))

    @property
    def ended(self) -> str:
        """Why the fit ended, in words."""
        if self.all_skipped:
            return (
                f"ended at step {self.done} of {self.steps}: loss or gradient was not finite in the last "
                f"{SKIPPED_IN_A_ROW} steps"
            )
        if self.interrupted:
            return f"interrupted at step {self.done} of {self.steps}"
        if self._rule is not None and self.level_at is not None:
            return (
                f"ended at step {self.done} of {self.steps}: level at step {self.level_at}, then "
                f"{self.done - self.level_at} steps of cooling; {self._rule.words}"
            )
        return f"ended at the last of {self.steps} steps"

    def as_document(self) -> dict[str, Any]:
        """What a checkpoint needs besides the ELBO."""
        return {"end": self.end, "cool_from": self.cool_from, "level_at": self.level_at}

    def restore(self, elbo: np.ndarray, document: Mapping[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._elbo, self.done = [np.asarray(elbo, np.float64)], len(elbo)
        self.end, self.cool_from, self.level_at = document["end"], document["cool_from"], document["level_at"]

    def _recent(self, steps: int) -> np.ndarray:
        found: list[np.ndarray] = []
        for chunk in reversed(self._elbo):
            found.insert(0, chunk[-steps:])
            steps -= len(chunk)
            if steps <= 0:
                break
        return np.concatenate(found) if found else np.empty(0)


SKIPPED_IN_A_ROW = 100
"""Steps in a row without a finite loss and gradient after which there is no use in going on (arbitrary)."""
