"""The examples of the extensions run and find what they say."""

import importlib.util
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("covariates", "tier[gold]"),
        ("temporal", "rho: 0."),
        ("volumes", "correlation of rate and volume per event: 90 % between -0."),
        ("zero_inflation", "inflated is ahead of plain by"),
        ("drift", "2024-01-10: drift -1."),
    ],
)
def test_the_example_runs(name: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location(f"extensions_{name}", EXAMPLES / f"extensions_{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.example()
    assert says in capsys.readouterr().out
