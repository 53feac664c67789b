"""Trainings as processes of their own that start within milliseconds: one parent imports, then forks a child per order.

Reads one JSON order per line: {"do": name of a function below, ...}; answers with the child's process id; the child
prints lines of its own; {"wait": pid} answers with its exit status. Run as a program, by the fixture `nursery`.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

from modelwright.core.errors import ModelwrightError
from modelwright.core.sections import Picture, Section, Table, TrainingOutcome
from modelwright.core.verdict import Finding, Grade, Verdict
from modelwright.runs.lineage import Continuation
from modelwright.runs.store import RunStore

MODEL = "sample"
FILES = 10
"""Files of a complete run: a trace, three tables, three documents, a picture, two reports."""

EMPTY: dict[str, Any] = {"configuration": {}, "data": {}, "seeds": {}}


def outcome(rows: int) -> TrainingOutcome:
    generator = np.random.default_rng(0)
    trace = az.from_dict(
        posterior={"mu": generator.normal(size=(2, rows)), "theta": generator.normal(size=(2, rows, 40))}
    )
    drawing = b"<svg xmlns='http://www.w3.org/2000/svg'/>" + b" " * 100_000
    picture = Picture("lines", "Lines", drawing, "svg", "lines")
    return TrainingOutcome(
        trace=trace,
        verdict=Verdict.of([Finding("ess", "ESS", 900.0, Grade.GOOD, "good from 400", "enough draws")]),
        sections=(Section("All", (), (Table("t", ("a",), ((1,),)),), (picture,)),),
        tables={f"table_{i}": pd.DataFrame({"x": generator.normal(size=rows * 10)}) for i in range(3)},
        documents={f"document_{i}": list(range(2000)) for i in range(3)},
    )


def train(project: str, *, runs: int = 1, rows: int = 20, hold: bool = False, largest_file: int = 0) -> None:
    ready = outcome(rows)
    for _ in range(runs):
        with RunStore(Path(project)).start(MODEL, **EMPTY) as run:
            print("running", run.id, flush=True)
            if hold:
                signal.pause()
            if largest_file:
                resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
            run.write_outcome(ready)


def update(project: str) -> None:
    store = RunStore(Path(project))
    continues = Continuation(store.get("latest").run_id, ("aa", "bb"))
    with store.start(MODEL, **EMPTY, continues=continues) as run:
        run.write_outcome(outcome(20))


def remove(project: str) -> None:
    RunStore(Path(project)).remove("latest")


def keep(project: str, *, n: int) -> None:
    RunStore(Path(project)).keep(MODEL, n)


def fail_without_disk(project: str) -> None:
    try:
        with RunStore(Path(project)).start(MODEL, **EMPTY):
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
            raise ValueError("the training went wrong")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def fork_a_worker_and_hold(project: str) -> None:
    with RunStore(Path(project)).start(MODEL, **EMPTY):
        worker = os.fork()
        if worker:
            print("worker", worker, flush=True)
        signal.pause()


def fork_a_child_that_leaves(project: str) -> None:
    with RunStore(Path(project)).start(MODEL, **EMPTY) as run:
        if os.fork() == 0:
            sys.exit(3)
        os.wait()
        print(RunStore(Path(project)).get(run.id).status, flush=True)


def die_before_change(number: int) -> None:
    """Kill this process right before the n-th change of the disk it makes, whatever that is."""
    left = number

    def deadly(real: Any) -> Any:
        def change(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return change

    for name in ("replace", "rename", "mkdir", "unlink", "rmdir", "chmod", "fsync", "pwrite"):
        setattr(os, name, deadly(getattr(os, name)))


def serve() -> None:
    with tempfile.TemporaryDirectory() as project:
        train(project)  # everything that is imported late is imported now
    print("ready", flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        if "wait" in order:
            print(os.waitstatus_to_exitcode(os.waitpid(order["wait"], 0)[1]), flush=True)
            continue
        child = os.fork()
        if child:
            print(child, flush=True)
            continue
        work, die = globals()[order.pop("do")], order.pop("die_before_change", 0)
        status = 0
        with Path(order.pop("says")).open("w") as said:
            os.dup2(said.fileno(), 1)
            os.dup2(said.fileno(), 2)
            try:
                if die:
                    die_before_change(die)
                work(**order)
            except SystemExit as error:
                status = int(str(error.code))
            except ModelwrightError as error:
                print(f"{type(error).__name__}: {error}")
                status = error.exit_code
            except BaseException:
                traceback.print_exc(file=sys.stdout)
                status = 1
            sys.stdout.flush()
        os._exit(status)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where the tests were started with nohup
    serve()
