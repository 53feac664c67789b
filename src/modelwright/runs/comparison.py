"""Comparing stored runs: the same data, ranked by PSIS leave-one-out predictive density."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelwright.runs.record import RunRecord

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.comparison import ComparisonResult


def compare_runs(records: Sequence[RunRecord]) -> "ComparisonResult":
    """Rank runs by expected log predictive density; one run gets its own figure.

    What must be the same is what the densities are of: counts, windows, exposures. Known attacks are not part of it, so
    a run with labels compares with one without.

    Args:
        records: Complete runs trained on the same data.

    Raises:
        DataError: the runs were trained on different data, which makes their densities incomparable.
    """
    from modelwright.bayesian.diagnostics.comparison import compare_traces

    return compare_traces({record.run_id: record.trace() for record in records})
