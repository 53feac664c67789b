"""The Python examples of docs/generative.md and the README's own family, as they are written, each in a process."""

import math
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def blocks(page):
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.S)


def output_of(code, folder):
    command = [sys.executable, "-W", "error", "-c", code]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    return found.stdout


def test_examples_run_as_written(tmp_path):
    examples = blocks("docs/generative.md")
    assert len(examples) == 3
    assert "exact" in output_of("\n".join(examples), tmp_path)
    assert (tmp_path / "models" / "small_flow" / "model.json").is_file()


def test_the_family_of_the_readme_learns(tmp_path):
    (family,) = (code for code in blocks("README.md") if "register(" in code)
    (found,) = map(float, re.findall(r"-?\d+\.\d+", output_of(family, tmp_path)))
    at_the_mean = -3 * math.log(0.5 * math.sqrt(2 * math.pi))
    assert abs(found - at_the_mean) < 0.25  # four standard errors of the three log scales found from 500 examples
