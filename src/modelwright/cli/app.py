"""The door: which commands there are, and what becomes of an error.

Commands are imported when they are called, so that `modelwright --help` loads no framework.
"""

import errno
import importlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from modelwright import __version__
from modelwright.core.errors import ModelwrightError, StorageError
from modelwright.core.files import storage_error
from modelwright.core.interrupts import EXIT_INTERRUPTED
from modelwright.core.names import suggestion

EXIT_USAGE = 2

COMMANDS: dict[str, tuple[str, str]] = {
    "models": ("modelwright.cli.models:models", "List the catalog with training status."),
    "new": ("modelwright.cli.models:new", "Write a new model from templates."),
    "schema": ("modelwright.cli.models:schema", "Print the JSON Schema of a model's config.yaml."),
    "train": ("modelwright.cli.train:train", "Train a model and say whether to trust it."),
    "update": ("modelwright.cli.update:update", "Take new data into a trained run."),
    "predict": ("modelwright.cli.ask:predict", "Ask a trained model what to expect, or how probable examples are."),
    "score": ("modelwright.cli.ask:score", "Score data for anomalies."),
    "sample": ("modelwright.cli.generate:sample", "Draw examples from a trained generative model."),
    "certify": ("modelwright.cli.generate:certify", "Hold a generative model to the laws of its family."),
    "explain": ("modelwright.cli.generate:explain", "Say what a configuration would build, before anything is."),
    "zoo": ("modelwright.cli.zoo:zoo", "List, show and verify configurations with the figures they reach."),
    "report": ("modelwright.cli.runs:report", "Show a run's report."),
    "compare": ("modelwright.cli.runs:compare", "Rank runs by PSIS-LOO."),
    "runs": ("modelwright.cli.runs:runs", "List, show and remove runs."),
}


class _Commands(click.Group):
    """A group whose commands are imported when asked for."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(f"no command is called {args[0]!r}; {suggestion(args[0], COMMANDS)}", context)
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.command(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelwright")
@click.option(
    "--project",
    type=click.Path(file_okay=False),
    envvar="MODELWRIGHT_PROJECT",
    default=".",
    help="Folder with models/ and bayesian_models/ [default: $MODELWRIGHT_PROJECT or the current folder].",
)
@click.pass_context
def app(context: click.Context, project: str) -> None:
    """Describe a model, train it, learn whether to trust it, ask it questions.

    \b
    modelwright train event_rates --data logins.csv --entity user --time timestamp --window 1D
    modelwright report event_rates
    modelwright predict event_rates --entity user_0042 --horizon 7
    """  # noqa: D301 (the backspace keeps the lines as they are)
    context.obj = Path(project)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Codes: 0 ok, 1 a fault of Modelwright, 2 usage or configuration, 3 data, 4 verdict "problem" with `--strict`,
    6 not found, 74 disk, 130 interrupted.

    Args:
        arguments: The words after `modelwright`; None takes them from the process.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        outcome = app.main(args=words, prog_name="modelwright", standalone_mode=False)
        sys.stdout.flush()
        return outcome if isinstance(outcome, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as page:
        click.echo(page.format_message())
        return 0
    except click.ClickException as error:
        return _refuse(words, error.format_message(), EXIT_USAGE, {"error": "UsageError"}, context=_context_of(error))
    except ModelwrightError as error:
        return _refuse(words, str(error), error.exit_code, error.as_document())
    except (KeyboardInterrupt, click.Abort):
        begun = not {"train", "update"}.isdisjoint(words)
        kept = "; what had begun is kept as an interrupted run, see modelwright runs list" if begun else ""
        return _refuse(words, f"interrupted{kept}", EXIT_INTERRUPTED, {"error": "Interrupted"})
    except BrokenPipeError:
        # The reader of a pipe went away: the rest has nowhere to go, and Python's own flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            full = storage_error(error.filename or "the output", error)
            return _refuse(words, str(full), StorageError.exit_code, full.as_document())
        return _fault(words)
    except Exception:  # the last door: nobody is shown a traceback, and nothing of it is lost
        return _fault(words)


def _context_of(error: click.ClickException) -> click.Context | None:
    return getattr(error, "ctx", None)


def _refuse(
    words: list[str], sentence: str, code: int, document: dict[str, str | None], context: click.Context | None = None
) -> int:
    from modelwright.cli.console import say

    if "--json" in words:
        print(json.dumps({"message": sentence, **document, "exit_code": code}))
    say(f"modelwright: {sentence}")
    if context is not None and context.command is not None:
        print(f"modelwright: see {context.command_path} --help", file=sys.stderr)
    return code


def _fault(words: list[str]) -> int:
    if os.environ.get("MODELWRIGHT_DEBUG"):
        traceback.print_exc()
        return 1
    kind, value, _ = sys.exc_info()
    name = kind.__name__ if kind is not None else "error"
    try:
        with tempfile.NamedTemporaryFile("w", prefix="modelwright-fault-", suffix=".txt", delete=False) as stream:
            stream.write(f"modelwright {__version__} {' '.join(words)}\n\n{traceback.format_exc()}")
            kept = f"; the details are in {stream.name}"
    except OSError:
        kept = "; set MODELWRIGHT_DEBUG=1 to see the details"
    sentence = f"this is a fault of Modelwright, not yours: {name}: {value}{kept}"
    return _refuse(words, sentence, 1, {"error": name})


def _open_streams() -> None:
    """Give a process that was started with closed streams (`>&-`) ones that lead nowhere.

    Otherwise the next file that is opened, a trace for instance, would take the number of standard output, and what
    a library writes there would go into it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))


def run() -> None:
    """The console script."""
    _open_streams()
    code = main()
    if code:
        # Threads of an engine may still be in compiled code, which does not survive the end of the interpreter; and
        # extension modules complain there about objects that an error's frames kept alive. Every file is closed.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)
    sys.exit(code)
