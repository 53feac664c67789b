"""Fixtures for every test: the shared data folder, a project folder of one's own, strict numerics."""

import gc
import itertools
import os
import signal
import sys
from pathlib import Path

# Tests compile thousands of small programs and run each a few times: the compiler's optimisations cost more than they
# save here. What tests start inherits it. `make test-all` sets 0, so that what users run is tested as well.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")

import pytest
from hypothesis import HealthCheck, settings

# Compiled programs are hundreds of thousands of objects that live on: looking through them for garbage less often takes
# a sixteenth less CPU time.
gc.set_threshold(50_000, 20, 50)

# Shared machines stall: a deadline per example would fail for reasons that are not the code's.
settings.register_profile("modelwright", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("modelwright")

# A shell that starts the tests in the background lets them ignore Ctrl-C, and what they start would inherit that: a
# training that a test interrupts would then wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


MOST_MAPS = 30_000
"""Pieces of memory that compiled programs may take before they are let go. Each has some; Linux allows a process
65,530, and the compiler crashes at the next one."""
_tests = itertools.count(1)


def pytest_runtest_teardown() -> None:
    """Let compiled programs go before there are too many; looked at after every twentieth test."""
    maps = Path("/proc/self/maps")
    if next(_tests) % 20 or "jax" not in sys.modules or not maps.exists():
        return
    if maps.read_bytes().count(b"\n") > MOST_MAPS:
        sys.modules["jax"].clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, or a skip that says where it was looked for."""
    named = os.environ.get("MODELWRIGHT_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not (folder / "events").is_dir():
        pytest.skip(f"real data: no folder {folder}/events (set MODELWRIGHT_DATA to use another)")
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty project folder that is also the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MODELWRIGHT_MODELS", raising=False)
    monkeypatch.delenv("MODELWRIGHT_PROJECT", raising=False)
    return folder
