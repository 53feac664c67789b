"""The faults that are put into the code on purpose still find the text that they replace."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def mutants():
    """The table of benchmarks/mutants.py."""
    spec = importlib.util.spec_from_file_location("benchmarks_mutants", ROOT / "benchmarks" / "mutants.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where the dataclass looks for its annotations
    spec.loader.exec_module(module)
    return module.MUTANTS


@pytest.mark.parametrize("mutant", mutants(), ids=lambda mutant: mutant.name)
def test_what_a_mutant_replaces_stands_there_once(mutant):
    text = (ROOT / "src" / "modelwright" / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.before) == 1, mutant.file
    assert mutant.after != mutant.before
    assert all((ROOT / test).is_file() for test in mutant.tests if test.endswith(".py"))
