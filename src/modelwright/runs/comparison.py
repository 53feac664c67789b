"""Comparing stored runs: the same data, ranked by PSIS leave-one-out predictive density."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelwright.core.errors import DataError
from modelwright.runs.record import RunRecord

if TYPE_CHECKING:
    from modelwright.bayesian.diagnostics.comparison import ComparisonResult

_LOOKED_AT = ("posterior", "log_likelihood", "observed_data", "constant_data")


def compare_runs(records: Sequence[RunRecord]) -> "ComparisonResult":
    """Rank runs by expected log predictive density; one run gets its own figure.

    Where a run holds log likelihoods of a part of the windows only and every run keeps leave-one-out scores (of all
    windows, or of those that an update took in), these are what is ranked on; otherwise that part, and the result says
    so.

    What must be the same is what the densities are of: counts, windows, exposures. Known attacks are not part of it, so
    a run with labels compares with one without.

    Args:
        records: Complete runs trained on the same data.

    Raises:
        DataError: the runs were trained on different data, which makes their densities incomparable; or a run keeps no
            log likelihoods, as those of models that do not store them.
    """
    from modelwright.bayesian.diagnostics.comparison import compare_scores, compare_traces
    from modelwright.bayesian.diagnostics.groups import find_group
    from modelwright.bayesian.diagnostics.left_out_scores import TABLE, is_sampled

    traces = {record.run_id: record.trace_groups(_LOOKED_AT) for record in records}
    for record in records:
        if find_group(traces[record.run_id], "log_likelihood") is None:
            raise DataError(
                f"the run {record.run_id} of {record.model_id} keeps no log likelihoods, by which runs are ranked",
                field="RUN",
                expected="runs of models that store the log likelihood of every observation",
                got=record.model_id,
                todo="hold the runs against data that none was trained on, where the model gives scores: "
                f"modelwright score {record.model_id} --data FILE --run {record.run_id}, and so on; the smaller mean "
                "score predicts better",
            )
    if any(is_sampled(trace) for trace in traces.values()) and all(TABLE in record.tables for record in records):
        return compare_scores(traces, {record.run_id: record.table(TABLE) for record in records})
    return compare_traces(traces)
