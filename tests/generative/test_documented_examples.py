"""Every Python example of docs/generative.md, in order and as it is written, in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "generative.md"


def test_examples_run_as_written(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 4
    # in a process of its own: the page registers a family
    command = [sys.executable, "-W", "error", "-c", "\n".join(blocks) + "\nprint(fit.model.mean[...])"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert found.returncode == 0, found.stderr[-2000:]
    assert "exact" in found.stdout
    assert (tmp_path / "models" / "small_flow" / "model.json").is_file()
