"""How things are shown: tables and JSON on stdout, progress and remarks on stderr."""

import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click

from modelwright.core.files import json_text
from modelwright.core.number_text import number_text
from modelwright.core.progress import ProgressCallback, ProgressEvent
from modelwright.core.sections import Table
from modelwright.core.verdict import Grade, Verdict

_COLOURS = {Grade.GOOD: "green", Grade.UNKNOWN: "cyan", Grade.WARNING: "yellow", Grade.PROBLEM: "red"}
_STEP = 1.0 / 3.0
"""Seconds between two redraws of the progress line (arbitrary: readable, and cheap on slow terminals)."""


def printable(text: str) -> str:
    r"""Text without the power to steer a terminal: control and direction characters are written as escapes.

    Names come from logs, and whoever may choose a name in a log must not write on the screen of who reads it.

    Example:
        >>> printable("Zoë\x1b[2J"), printable("two\nlines"), printable("\u202eabc")
        ('Zoë\\x1b[2J', 'two\\nlines', '\\u202eabc')
    """
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def say(text: str) -> None:
    """A remark for the person, on stderr."""
    click.echo("\n".join(printable(line) for line in text.split("\n")), err=True)


def show_json(document: Any) -> None:
    """A JSON document on stdout."""
    click.echo(json_text(document), nl=False)


def show_verdict(verdict: Verdict) -> None:
    """The verdict's sentence, then what to do about each finding that is not good."""
    grade = verdict.grade
    rest = verdict.sentence.partition(": ")[2]
    click.echo(f"verdict: {click.style(str(grade), fg=_COLOURS[grade], bold=True)}: {printable(rest)}")
    for finding in verdict.findings:
        if finding.grade is not Grade.GOOD and finding.advice:
            click.echo(printable(f"  - {finding.label}: {finding.advice}"))


def show_table(table: Table) -> None:
    """A table on stdout, as wide as the terminal or as its content when piped."""
    from rich.console import Console
    from rich.table import Table as RichTable

    click.secho(printable(table.title), bold=True)
    drawn = RichTable(header_style="bold", box=None, pad_edge=False)
    for position, column in enumerate(table.columns):
        numbers = all(
            isinstance(row[position], int | float) and not isinstance(row[position], bool)
            for row in table.rows
            if row[position] is not None
        )
        drawn.add_column(printable(column), justify="right" if numbers and table.rows else "left", overflow="fold")
    for row in table.rows:
        drawn.add_row(*(printable(number_text(cell)) for cell in row))
    width = None if sys.stdout.isatty() else 200
    console = Console(file=sys.stdout, width=width, highlight=False, markup=False, emoji=False)
    console.print(drawn)
    if table.caption:
        click.echo(printable(table.caption))


def frame_table(title: str, frame: Any, columns: Sequence[str], *, limit: int | None = None) -> Table:
    """Some columns of the first `limit` rows of a `pandas.DataFrame` as a `Table`."""
    kept = [column for column in columns if column in frame.columns and not frame[column].isna().all()]
    part = frame[kept] if limit is None else frame[kept].head(limit)
    rows = tuple(tuple(_plain(cell) for cell in row) for row in part.itertuples(index=False))
    return Table(title, tuple(kept), rows)


def _plain(cell: Any) -> str | int | float | bool | None:
    value = cell.item() if hasattr(cell, "item") else cell
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else value
    return None if str(value) == "NaT" else str(value)


@contextmanager
def progress_on_stderr(*, quiet: bool = False, begun: Mapping[str, float] | None = None) -> Iterator[ProgressCallback]:
    """A callback that draws one progress line on a terminal, and one line per finished stage elsewhere.

    Args:
        quiet: Show nothing at all.
        begun: Stages that began before anybody was told of them, and when, by `time.monotonic`.
    """
    shown = _Progress(on_terminal=sys.stderr.isatty(), quiet=quiet, begun=begun or {})
    try:
        yield shown
    finally:
        shown.finish()


class _Progress:
    """Turns progress events into lines on stderr: one that moves, and one that stays for each finished stage.

    Chains are not in step, so stages may overlap; a stage has finished when all of its units are done.
    """

    def __init__(self, *, on_terminal: bool, quiet: bool, begun: Mapping[str, float]) -> None:
        self._terminal = on_terminal
        self._quiet = quiet
        self._open: dict[str, ProgressEvent] = {}
        self._started = dict(begun)
        self._drawn = -math.inf

    def __call__(self, event: ProgressEvent) -> None:
        if self._quiet:
            return
        now = time.monotonic()
        if event.note:
            click.echo("\r\x1b[2K" if self._terminal else "", err=True, nl=False)
            say(event.note)
        self._started.setdefault(event.stage, now)
        self._open[event.stage] = event
        if event.total and event.done >= event.total:
            self._close(event.stage, now)
        elif self._terminal and now - self._drawn >= _STEP:
            self._drawn = now
            click.echo("\r\x1b[2K" + self._line(event, now), err=True, nl=False)

    def finish(self) -> None:
        """Close the lines of the stages that did not come to their end."""
        for stage in list(self._open):
            self._close(stage, time.monotonic())

    def _close(self, stage: str, now: float) -> None:
        start = "\r\x1b[2K" if self._terminal else ""
        click.echo(start + self._line(self._open.pop(stage), now), err=True)
        del self._started[stage]

    def _line(self, event: ProgressEvent, now: float) -> str:
        seconds = now - self._started[event.stage]
        parts = [f"{event.stage:<10}"]
        if event.total:
            share = min(1.0, event.done / event.total)
            filled = round(share * 24)
            done, total = number_text(int(event.done)), number_text(int(event.total))
            parts.append(f"[{'#' * filled}{'.' * (24 - filled)}] {done}/{total}")
            parts.append(event.unit)
        elif event.done:
            parts.append(f"{number_text(int(event.done))} {event.unit}".rstrip())
        parts.extend(_remarks(event.info.items()))
        parts.append(f"{seconds:.1f} s")
        return "  ".join(part for part in parts if part)


def _remarks(info: Iterable[tuple[str, float | int | str]]) -> Iterator[str]:
    for name, value in info:
        yield f"{name.replace('_', ' ')} {number_text(value)}"
