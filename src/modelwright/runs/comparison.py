"""Comparing stored runs: the same data, ranked by PSIS leave-one-out predictive density."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelwright.core.errors import ConfigurationError
from modelwright.runs.record import RunRecord

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.comparison import ComparisonResult


def compare_runs(records: Sequence[RunRecord]) -> "ComparisonResult":
    """Rank runs by expected log predictive density; one run gets its own figure.

    Args:
        records: Complete runs trained on the same data.

    Raises:
        ConfigurationError: the runs were trained on different data, which makes their densities incomparable.
    """
    from modelwright.bayesian.diagnostics.comparison import compare_traces

    prints = {record.run_id: record.manifest.data.get("fingerprint") for record in records}
    first = records[0].run_id
    for run_id, fingerprint in prints.items():
        if fingerprint != prints[first]:
            raise ConfigurationError(
                f"runs {first} and {run_id} were trained on different data",
                field="RUN",
                expected="runs on the same data",
                todo="compare runs whose data fingerprint is the same: modelwright runs show RUN",
            )
    return compare_traces({record.run_id: record.trace() for record in records})
