"""A trace without ArviZ reads as one with it, and neither training nor asking brings ArviZ in."""

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from modelwright.bayesian.inference.trace_groups import TraceGroups
from modelwright.runs.trace_file import read_groups, read_trace, write_trace

TRAIN = """
import sys
from modelwright.cli.app import main
project, data = sys.argv[1:]
options = ["--draws", "100", "--data", data, "--entity", "who", "--count", "n", "--quiet", "--json"]
assert main(["--project", project, "train", "event_rates", *options]) == 0
assert main(["--project", project, "predict", "event_rates", "--entity", "b", "--json"]) == 0
print([name for name in ("arviz", "numba", "jax", "pymc") if name in sys.modules], file=sys.stderr)
"""


def trace() -> TraceGroups:
    draws = xr.Dataset({"mu": (("chain", "draw"), np.array([[1.0, 2.0]]))})
    return TraceGroups({"posterior": draws, "observed_data": xr.Dataset({"y": ("obs", [3, 4])})}, {"model": "m"})


def test_it_reads_as_an_inference_data() -> None:
    mine = trace()
    theirs = mine.to_inference_data()
    assert mine.groups() == list(mine) == list(theirs.groups())
    assert dict(mine.attrs) == dict(theirs.attrs)
    for name in mine:
        xr.testing.assert_identical(getattr(mine, name), getattr(theirs, name))
        xr.testing.assert_identical(mine[name], theirs[name])
        assert name in mine
        assert name in theirs


def test_groups_are_put_at_the_end_or_replaced() -> None:
    mine = trace()
    mine.put({"posterior": xr.Dataset({"mu": ((), 5.0)}), "prior": xr.Dataset()})
    assert mine.groups() == ["observed_data", "posterior", "prior"]
    assert float(mine.posterior["mu"]) == 5.0


def test_a_group_that_is_not_there() -> None:
    mine = copy.deepcopy(trace())
    assert "prior" not in mine
    assert getattr(mine, "prior", None) is None
    with pytest.raises(AttributeError, match="the trace has no group 'prior'"):
        _ = mine.prior


def test_it_is_stored_and_read_with_and_without_arviz(tmp_path: Path) -> None:
    path = tmp_path / "trace.nc"
    write_trace(path, trace())
    one, other = read_groups(path), read_trace(path)
    assert set(one.groups()) == set(other.groups())
    assert one.attrs["model"] == other.attrs["model"] == "m"
    xr.testing.assert_identical(one.posterior, other.posterior)


@pytest.mark.slow
def test_training_and_asking_bring_no_arviz_in(tmp_path: Path) -> None:
    data = tmp_path / "counts.csv"
    data.write_text("who,n\n" + "".join(f"{'abc'[row % 3]},{row % 5}\n" for row in range(60)), encoding="utf-8")
    command = [sys.executable, "-c", TRAIN, str(tmp_path), str(data)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    assert finished.stderr.strip().splitlines()[-1] == "[]"
