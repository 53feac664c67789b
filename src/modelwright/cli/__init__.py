"""Floor 5: the command line. Results go to stdout, logs and progress to stderr; exit codes are documented in README."""

from modelwright.cli.app import main

__all__ = ["main"]
