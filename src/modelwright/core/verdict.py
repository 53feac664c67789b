"""Whether a result can be trusted: graded findings, each with its figure, its thresholds and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Grade(StrEnum):
    """How much a finding worries us; a statistic that is absent is unknown, never good."""

    GOOD = "good"
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"

    @property
    def severity(self) -> int:
        """0 for good up to 3 for problem."""
        return _SEVERITY[self]


_SEVERITY = {Grade.GOOD: 0, Grade.UNKNOWN: 1, Grade.WARNING: 2, Grade.PROBLEM: 3}


@dataclass(frozen=True)
class Finding:
    """One figure held against its thresholds.

    Args:
        name: Machine name of the figure ("r_hat_max").
        label: The same for people ("largest R-hat").
        value: The figure, or None where it could not be had.
        grade: What the thresholds say of it.
        threshold: The thresholds in words ("good below 1.01, problem from 1.05").
        sentence: What the figure means here, naming the parameter it came from.
        advice: What to do; empty when the grade is good.
    """

    name: str
    label: str
    value: float | int | None
    grade: Grade
    threshold: str
    sentence: str
    advice: str = ""

    def as_document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "name": self.name,
            "label": self.label,
            "value": self.value,
            "grade": str(self.grade),
            "threshold": self.threshold,
            "sentence": self.sentence,
            "advice": self.advice,
        }


@dataclass(frozen=True)
class Verdict:
    """All findings about one result; as bad as the worst of them.

    Example:
        >>> fine = Finding("r_hat_max", "largest R-hat", 1.0, Grade.GOOD, "good below 1.01", "chains agree")
        >>> absent = Finding("bfmi_min", "smallest E-BFMI", None, Grade.UNKNOWN, "good from 0.3", "no energies stored")
        >>> Verdict.of([fine, absent]).grade
        <Grade.UNKNOWN: 'unknown'>
    """

    findings: tuple[Finding, ...]

    @classmethod
    def of(cls, findings: Iterable[Finding]) -> "Verdict":
        """A verdict over any findings."""
        return cls(tuple(findings))

    @property
    def grade(self) -> Grade:
        """The worst grade; unknown when there is no finding at all."""
        return max((f.grade for f in self.findings), key=lambda grade: grade.severity, default=Grade.UNKNOWN)

    @property
    def sentence(self) -> str:
        """One line for the top of a report: the grade and the findings that made it."""
        worst = [f.sentence for f in self.findings if f.grade is self.grade]
        match self.grade:
            case Grade.GOOD:
                return "good: every check passed"
            case Grade.UNKNOWN:
                return "unknown: " + ("; ".join(worst) or "nothing was checked")
            case grade:
                return f"{grade}: " + "; ".join(worst)

    def as_document(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "grade": str(self.grade),
            "sentence": self.sentence,
            "findings": [finding.as_document() for finding in self.findings],
        }

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> "Verdict":
        """Read back what `as_document` wrote."""
        return cls(tuple(Finding(**{**entry, "grade": Grade(entry["grade"])}) for entry in document["findings"]))
