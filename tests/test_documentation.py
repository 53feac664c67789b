"""What the README and the examples show, runs."""

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from modelwright.cli.app import COMMANDS
from modelwright.data.security_log import simulate_security_log, write_security_log

ROOT = Path(__file__).resolve().parents[1]


def example(name: str) -> ModuleType:
    """A script of examples/, imported under a name of its own."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", ROOT / "examples" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_python_example_of_the_readme_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_security_log(simulate_security_log(n_users=30, n_days=6, seed=1), project / "logins.csv")
    code, _ = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    exec(compile(code.replace("n_samples=1000", "n_samples=100, n_tune=100"), "README.md", "exec"), {})
    verdict, heading, *rows = capsys.readouterr().out.splitlines()
    assert verdict.split(":")[0] in ("good", "warning", "problem")
    assert heading.split() == ["entity", "window", "count", "expected", "score"]
    scores = [float(row.split()[-1]) for row in rows]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)


def test_every_command_in_the_readme_exists() -> None:
    named = re.findall(r"^ *modelwright (\w+)", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert named
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize("page", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
def test_every_link_of_a_page_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://")):
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_the_event_rates_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example("event_rates").example(n_users=12, n_days=5, draws=100)
    assert "negative_binomial" in capsys.readouterr().out


@pytest.mark.slow
def test_the_autoencoder_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    example("count_autoencoder").example(n_cells=210, n_genes=10, steps=50)
    assert "42 held-out cells: bound -" in capsys.readouterr().out


@pytest.mark.slow
def test_the_demo_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    example("demo").demo()
    assert "Done in" in capsys.readouterr().out
