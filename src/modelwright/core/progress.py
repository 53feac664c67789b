"""Progress as events handed downwards: a workshop reports, the face that called decides how to show it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class ProgressEvent:
    """How far a stage is.

    Args:
        stage: What is being done ("read", "compile", "warm-up", "sample", "score", "report").
        done: Units finished so far.
        total: Units in all, or None while unknown.
        unit: What is counted ("draws", "rows", "entities").
        info: Figures worth showing beside the bar, such as {"divergences": 3, "draws_per_second": 812.0}.
        note: Sentences a person should see before the work goes on, one per line; shown once, not drawn over.
    """

    stage: str
    done: float
    total: float | None = None
    unit: str = ""
    info: dict[str, float | int | str] = field(default_factory=dict)
    note: str = ""


ProgressCallback: TypeAlias = Callable[[ProgressEvent], None]


def ignore_progress(event: ProgressEvent) -> None:
    """The callback of a caller who does not want to know."""
