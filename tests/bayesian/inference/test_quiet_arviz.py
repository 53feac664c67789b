"""On a machine that ArviZ greets for the first time today, nothing is printed and nothing fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULES = [
    "modelwright.bayesian.inference.traces",
    "modelwright.bayesian.inference.pymc_engine",
    "modelwright.bayesian.inference.nutpie_engine",
    "modelwright.bayesian.event_rates.pymc_model",
    "modelwright.bayesian.event_rates.fit",
]


@pytest.mark.parametrize("module", MODULES)
def test_nothing_is_announced(module: str, tmp_path: Path) -> None:
    surroundings = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-W", "error::FutureWarning", "-c", f"import {module}"],
        env=surroundings,
        capture_output=True,
        text=True,
    )
    assert finished.returncode == 0, finished.stderr
    assert "ArviZ is undergoing" not in finished.stderr


def test_the_announcement_is_still_there_to_be_silenced(tmp_path: Path) -> None:
    """Else this file and what it tests can go."""
    surroundings = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    finished = subprocess.run(
        [sys.executable, "-c", "import arviz"], env=surroundings, capture_output=True, text=True, check=True
    )
    assert "ArviZ is undergoing" in finished.stderr
