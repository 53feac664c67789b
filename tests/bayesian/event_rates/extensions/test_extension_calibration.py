"""Simulation-based calibration of the extensions, in small: the benchmark has the large one."""

import argparse
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from modelwright.bayesian.diagnostics.calibration import calibration_verdict
from modelwright.core.verdict import Grade

SCRIPT = Path(__file__).resolve().parents[4] / "benchmarks" / "extension_calibration.py"


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    spec = importlib.util.spec_from_file_location("extension_calibration", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def grade(benchmark: ModuleType, name: str, *, broken: bool, engine: str = "numpyro") -> Grade:
    options = argparse.Namespace(tune=400, draws=600, seed=3, broken=broken, engine=engine)
    tested, results = benchmark.calibrate(
        lambda: benchmark.study_of(name, options), 40, 3, workers=2, say=lambda line: None
    )
    assert len(results) == 40
    return calibration_verdict(tested).grade


@pytest.mark.slow
@pytest.mark.parametrize("name", ["covariates", "temporal", "volumes", "zero_inflation", "drift", "three_at_once"])
def test_ranks_of_the_truth_are_uniform(benchmark: ModuleType, name: str) -> None:
    assert grade(benchmark, name, broken=False) is not Grade.PROBLEM


@pytest.mark.slow
@pytest.mark.parametrize("broken", [False, True])
def test_the_collapsed_engine_is_calibrated(benchmark: ModuleType, broken: bool) -> None:
    found = grade(benchmark, "zero_inflation", broken=broken, engine="collapsed")
    assert (found is Grade.PROBLEM) == broken


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zero_inflation", "covariates"])
def test_data_from_another_model_are_noticed(benchmark: ModuleType, name: str) -> None:
    assert grade(benchmark, name, broken=True) is Grade.PROBLEM
