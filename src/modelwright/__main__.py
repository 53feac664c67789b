"""`python -m modelwright`: the command line."""

from modelwright.cli.app import run

if __name__ == "__main__":
    run()
