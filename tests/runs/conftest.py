"""A training's outcome, small but with everything in it, and a nursery of trainings to kill."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from modelwright.core.sections import Picture, Section, Table, TrainingOutcome
from modelwright.core.verdict import Finding, Grade, Verdict
from modelwright.runs.store import RunStore


def make_picture(name: str) -> Picture:
    figure = Figure(figsize=(4, 2))
    FigureCanvasSVG(figure)
    figure.subplots().plot([0, 1, 0])
    stream = io.BytesIO()
    figure.savefig(stream, format="svg")
    return Picture(name, f"Picture {name}", stream.getvalue(), "svg", f"A line called {name}", "It goes up and down.")


def make_outcome(entity: str = "ann", *, draws: int = 50) -> TrainingOutcome:
    generator = np.random.default_rng(7)
    labels = [entity, "bob", "zoë"]
    trace = az.from_dict(
        posterior={"mu": generator.gamma(2, size=(2, draws)), "theta": generator.gamma(2, size=(2, draws, 3))},
        sample_stats={"diverging": np.zeros((2, draws), dtype=bool)},
        coords={"entity": labels},
        dims={"theta": ["entity"]},
    )
    trace.posterior.attrs.update({"engine": "numpyro", "sampling_seconds": 1.5, "seed": 42})
    verdict = Verdict.of(
        [
            Finding("ess", "smallest bulk ESS", 640.0, Grade.GOOD, "good from 400", "enough draws"),
            Finding("r_hat", "largest R-hat", 1.02, Grade.WARNING, "good below 1.01", "chains differ", "Draw more."),
        ]
    )
    table = Table("Rates", ("entity", "rate"), tuple((label, 1234.5678) for label in labels), "Posterior means.")
    return TrainingOutcome(
        trace=trace,
        verdict=verdict,
        metrics={"elpd_loo": -12345.678, "entities": 3, "pr_auc": float("nan")},
        sections=(Section("Rates of everyone", ("Two sentences.",), (table,), (make_picture("rates"),)),),
        tables={"scores": pd.DataFrame({"entity": labels, "score": [1.0, 2.0, 3.0]})},
        documents={"entities": labels},
        diagrams=(make_picture("model_graph"),),
    )


@pytest.fixture
def outcome() -> TrainingOutcome:
    return make_outcome()


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "project")


@pytest.fixture
def settings() -> dict[str, dict[str, object]]:
    return {"configuration": {"draws": 50}, "data": {"fingerprint": "ab" * 32, "shape": [3]}, "seeds": {"seed": 42}}


class Nursery:
    """Starts, kills and awaits trainings in processes of their own; see nursery.py."""

    def __init__(self, process: "subprocess.Popen[str]", folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._said: dict[int, Path] = {}

    def _ask(self, order: dict[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        while not (line := self._process.stdout.readline().strip()).lstrip("-").isdigit():
            assert self._process.poll() is None, f"the nursery ended; it last said {line!r}"
        return int(line)

    def begin(self, do: str, project: Path, **options: object) -> int:
        """Start a training; returns its process id."""
        said = self._folder / f"said_{len(self._said)}"
        child = self._ask({"do": do, "project": str(project), "says": str(said), **options})
        self._said[child] = said
        return child

    def said(self, child: int) -> str:
        """What a process has printed so far."""
        return self._said[child].read_text()

    def hears(self, child: int, word: str) -> str:
        """Wait until a process has said a line that begins with `word`; returns the rest of the line."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for line in self.said(child).splitlines(keepends=True) if self._said[child].exists() else ():
                if line.startswith(word) and line.endswith("\n"):
                    return line[len(word) :].strip()
            time.sleep(0.005)
        raise AssertionError(f"never said {word!r}")

    def wait(self, child: int) -> int:
        """Wait for the end of a process; returns its exit status, -9 when it was killed."""
        return self._ask({"wait": child})

    def kill(self, child: int, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end."""
        os.kill(child, number)
        return self.wait(child)

    def call(self, do: str, project: Path, **options: object) -> tuple[int, str]:
        """Run to the end; returns the exit status and what was said."""
        child = self.begin(do, project, **options)
        return self.wait(child), self.said(child)


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    # One thread per library: the parent forks, and a fork copies no threads.
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("nursery.py"))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=surroundings,
    )
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    yield Nursery(process, tmp_path_factory.mktemp("nursery"))
    assert process.stdin is not None
    process.stdin.close()
    process.stdout.close()
    assert process.wait(timeout=60) == 0
