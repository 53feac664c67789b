"""docs/adding-a-model.md does what it says: its files are written, its commands run, its answers compared."""

import doctest
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from modelwright.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "adding-a-model.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run_command(command: str, project: Path) -> None:
    program, *words = shlex.split(command)
    if program == "modelwright":
        assert main(words) == 0, command
        return
    assert program == "python", command
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=project, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def test_the_page_on_adding_a_model_works_as_printed(project):
    pytest.importorskip("numpyro")
    done = {"console": 0, "pycon": 0, "files": 0}
    for kind, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "console":
            commands = [line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ ")]
            for command in commands:
                run_command(command, project)
            done["console"] += len(commands)
        elif kind == "pycon":
            test = doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)
            runner = doctest.DocTestRunner(verbose=False)
            said: list[str] = []
            runner.run(test, out=said.append)
            assert runner.failures == 0, "".join(said)
            done["pycon"] += len(test.examples)
        elif text.startswith("# bayesian_models/"):
            path = project / text.splitlines()[0].removeprefix("# ")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            done["files"] += 1
    assert done == {"console": 8, "pycon": 10, "files": 2}  # nothing was passed over
