"""What is stored compressed in a trace, and that everything comes back bit by bit either way."""

from pathlib import Path

import h5netcdf
import numpy as np
import pytest
import xarray as xr

from modelwright.bayesian.quiet_arviz import az
from modelwright.runs.trace_file import read_trace, write_trace

RNG = np.random.default_rng(7)
SHAPE = (2, 40, 500)
VARIABLES = {
    "draws of real numbers": (RNG.gamma(3.0, size=SHAPE), False),
    "draws of whole numbers": (RNG.poisson(4.0, SHAPE), True),
    "small whole numbers": (RNG.poisson(4.0, SHAPE).astype(np.int32), True),
    "a constant": (np.full(SHAPE, 0.1), True),
    "true and false": (RNG.random(SHAPE) < 0.5, True),
    "two numbers, shorter than the head of what zlib writes": (np.ones((2, 1, 1)), False),
    "alike at both ends, random between": (
        np.concatenate([np.zeros((2, 1, 500)), RNG.random((2, 38, 500)), np.zeros((2, 1, 500))], axis=1),
        False,
    ),
}


@pytest.mark.parametrize("name", VARIABLES)
def test_what_shrinks_is_compressed_and_all_comes_back(name: str, tmp_path: Path) -> None:
    values, packed = VARIABLES[name]
    path = tmp_path / "trace.nc"
    write_trace(path, az.InferenceData(posterior=xr.Dataset({"x": (("chain", "draw", "place"), values)})))
    with h5netcdf.File(path) as stored:
        assert (stored["posterior"]["x"].compression == "gzip") == packed
    back = read_trace(path).posterior["x"].to_numpy()
    assert back.dtype == values.dtype
    assert back.tobytes() == values.tobytes()
