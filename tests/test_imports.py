"""Promises about importing: fast, free of frameworks, and downwards only. Proved in fresh processes."""

import subprocess
import sys
import time

import pytest

ENGINES = {"jax", "numpyro", "pymc", "pytensor", "nutpie", "arviz", "matplotlib", "torch"}
FRAMEWORKS = ENGINES | {"numpy", "pandas", "duckdb"}


def loaded_after(statement: str) -> set[str]:
    """Top-level modules in `sys.modules` after running a statement in a fresh interpreter."""
    code = f"import sys\n{statement}\nprint(' '.join(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(finished.stdout.split("\n")[-2].split())


def fastest(command: list[str], *, repeats: int) -> float:
    """The shortest wall time of a command: noise of a shared machine only ever adds."""
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        times.append(time.perf_counter() - started)
    return min(times)


def test_importing_the_package_loads_no_framework() -> None:
    assert not loaded_after("import modelwright").intersection(FRAMEWORKS)


def test_the_help_page_loads_no_framework() -> None:
    assert not loaded_after("from modelwright.cli import main; main(['--help'])").intersection(FRAMEWORKS)


def test_the_check_for_frameworks_can_fail() -> None:
    assert "numpy" in loaded_after("import modelwright, numpy")


def test_importing_the_package_is_fast() -> None:
    bare = fastest([sys.executable, "-c", "pass"], repeats=5)
    imported = fastest([sys.executable, "-c", "import modelwright"], repeats=5)
    assert imported - bare < 0.15


def test_the_help_page_is_fast() -> None:
    assert fastest([sys.executable, "-m", "modelwright", "--help"], repeats=5) < 0.5


def test_listing_the_catalog_loads_no_engine() -> None:
    assert not loaded_after("from modelwright.cli import main; assert main(['models']) == 0").intersection(ENGINES)


def test_a_misspelt_name_of_the_package_is_an_attribute_error() -> None:
    import modelwright

    with pytest.raises(AttributeError, match="get_registri"):
        _ = modelwright.get_registri
