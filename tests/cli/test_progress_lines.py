"""What a person reads on stderr while a training runs."""

import re
import time

import pytest

from modelwright.cli.console import progress_on_stderr
from modelwright.core.progress import ProgressEvent


def test_a_stage_that_began_earlier_is_timed_from_its_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_on_stderr(begun={"start": time.monotonic() - 100.0}) as shown:
        shown(ProgressEvent("start", 1, 1, "model"))
    seconds = re.fullmatch(r"start .* 1/1  model  (\d+\.\d) s\n", capsys.readouterr().err)
    assert seconds is not None
    assert 100.0 <= float(seconds[1]) < 200.0  # a busy machine may take its time


def test_a_stage_that_began_and_was_never_told_of_has_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_on_stderr(begun={"start": time.monotonic()}):
        pass
    assert capsys.readouterr().err == ""
