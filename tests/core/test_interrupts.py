"""Ctrl-C: raised between two steps, forced where no step ends. Each case in a process of its own."""

import signal
import subprocess
import sys
import time

import pytest

BEGIN = """
import hashlib, signal, sys, time
from modelwright.core.interrupts import interrupts_at_progress
from modelwright.core.progress import ProgressEvent, ignore_progress
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever the shell that started the tests does
event = ProgressEvent("sample", 1, 10)
with interrupts_at_progress(ignore_progress, patience=1.0) as reported:
    print("ready", flush=True)
"""

BETWEEN_STEPS = """
    try:
        while True:
            time.sleep(0.01)
            reported(event)
    except KeyboardInterrupt:
        print("raised between steps", flush=True)
        sys.exit(5)
"""

WITHOUT_STEPS = """
    while True:
        time.sleep(0.01)
"""

IN_COMPILED_CODE = """
    hashlib.pbkdf2_hmac("sha256", b"a", b"b", 200_000_000)  # minutes in compiled code
"""


def interrupted(code: str, presses: int = 1, begin: str = BEGIN) -> tuple[int, str, float]:
    """Exit code, output and seconds of a script after Ctrl-C was pressed."""
    process = subprocess.Popen(
        [sys.executable, "-c", begin + code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.3)
    started = time.monotonic()
    for _ in range(presses):
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
    said, _ = process.communicate(timeout=60)
    return process.returncode, said, time.monotonic() - started


def test_an_interrupt_is_raised_by_the_next_event() -> None:
    code, said, _ = interrupted(BETWEEN_STEPS)
    assert (code, said) == (5, "raised between steps\n")


@pytest.mark.parametrize("code", [WITHOUT_STEPS, IN_COMPILED_CODE], ids=["python", "compiled"])
def test_where_no_event_comes_the_process_ends_after_a_while(code: str) -> None:
    status, said, seconds = interrupted(code)
    assert (status, said) == (130, "\nmodelwright: interrupted; what had begun is kept as an interrupted run\n")
    assert seconds > 0.9


def test_what_keeps_no_run_does_not_say_that_it_does() -> None:
    begin = BEGIN.replace("patience=1.0", "patience=0.2, left='nothing is kept'")
    assert interrupted(WITHOUT_STEPS, begin=begin)[:2] == (130, "\nmodelwright: interrupted; nothing is kept\n")


def test_a_second_interrupt_ends_the_process_at_once() -> None:
    status, said, seconds = interrupted(IN_COMPILED_CODE, presses=2)
    assert status == 130
    assert "interrupted at once" in said
    assert seconds < 0.9


def test_afterwards_ctrl_c_is_what_it_was() -> None:
    code, said, _ = interrupted(
        """
    pass
try:
    time.sleep(30)
except KeyboardInterrupt:
    print("as before", flush=True)
"""
    )
    assert (code, said) == (0, "as before\n")
