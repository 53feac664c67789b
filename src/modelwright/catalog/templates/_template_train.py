"""Train template_model and say whether to trust the result.

python bayesian_scripts/template_model_train.py --draws 2000 --chains 4 [--gpu | --cpu] [--data FILE]

Five steps: load and prepare, build, sample, check convergence, save to models/template_model/.
`modelwright train template_model` walks the same steps; here they are in sight, to be changed one by one.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelwright.catalog.model_registry import ModelRegistry
from modelwright.core.errors import ModelwrightError
from modelwright.core.interrupts import interrupts_at_progress
from modelwright.core.progress import ProgressEvent

MODEL_ID = "template_model"
PROJECT = Path(__file__).resolve().parents[1]


def train(options: argparse.Namespace) -> None:
    """The five steps."""
    model: Any = ModelRegistry(PROJECT).load_model_instance(MODEL_ID)
    platform = "gpu" if options.gpu else "cpu"
    require_device(platform)  # before any work: a GPU that was asked for and is not there ends here

    # What was asked, checked against config.yaml; what was not asked takes its defaults from there.
    settings = ("draws", "tune", "chains", "target_accept", "max_tree_depth", "seed")
    asked = {name: getattr(options, name) for name in settings if getattr(options, name) is not None}
    data_options = model.check_data_options({"data": options.data})
    plan = model.plan_training(**asked, platform=platform, keep=options.keep, data_options=data_options)

    say("1. load and prepare the data")
    data = model.load_data(**data_options)
    say(f"   {data.count.size} observations of {len(data.groups)} groups")

    # A run records what happens in this block: complete when it ends, failed on an error, interrupted on Ctrl-C.
    with interrupts_at_progress(show_progress) as progress, model.open_run(data, plan, progress=progress) as run:
        say("2. build the model")
        built = model.build(data)

        say(f"3. sample {plan.settings.chains} chains of {plan.settings.draws} draws on the {platform.upper()}")
        trace = model.sample(built, plan.settings, platform=platform, progress=run.progress)

        say("4. check convergence")
        outcome = model.check(trace, data, progress=run.progress)

        say("5. save")
        run.write_outcome(outcome)
    result = model.close_training(run.id, plan, outcome)

    for name, value in result["metrics"].items():
        print(f"{name:>20}  {value:.4g}")
    print(f"verdict: {outcome.verdict.sentence}")
    for finding in outcome.verdict.findings:
        if finding.advice:
            print(f"  {finding.label}: {finding.advice}")
    print(f"run:     {result['run_id']}")
    print(f"trace:   {result['paths']['trace']}")
    print(f"report:  {result['paths']['report_html']}")


def require_device(platform: str) -> None:
    """Return when the device is there; the error names what was looked for."""
    from modelwright.bayesian.inference.requirements import require_platform

    require_platform(platform)


def say(sentence: str) -> None:
    """One line about where we are, apart from the results."""
    print(sentence, file=sys.stderr)


def show_progress(event: ProgressEvent) -> None:
    """One line that is written over, on a terminal only."""
    if not sys.stderr.isatty():
        return
    share = f"{event.done / event.total:4.0%}" if event.total else f"{event.done:.0f}"
    remarks = "  ".join(f"{name.replace('_', ' ')} {value}" for name, value in event.info.items())
    finished = event.total is not None and event.done >= event.total
    print(f"\r   {event.stage} {share} {event.unit}  {remarks}\x1b[K", end="\n" if finished else "", file=sys.stderr)


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], float]:
    """A type for argparse: a number within bounds."""

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(low) - 1
        if not low <= value <= high:  # false for NaN, too
            noun = "an integer" if kind is int else "a number"
            raise argparse.ArgumentTypeError(f"expected {noun} from {low} to {high}, got {text!r}")
        return value

    return parse


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=f"Train {MODEL_ID}.")
    parser.add_argument("--data", help="CSV file with columns group, x and count [default: simulated data]")
    parser.add_argument("--draws", type=number(int, 1, 10_000_000), help="draws per chain [default: config.yaml]")
    parser.add_argument("--tune", type=number(int, 1, 10_000_000), help="warm-up per chain [default: config.yaml]")
    parser.add_argument("--chains", type=number(int, 1, 1024), help="chains [default: config.yaml]")
    parser.add_argument(
        "--target-accept", type=number(float, 0.1, 0.999), help="aimed acceptance, closer to 1 is safer"
    )
    parser.add_argument("--max-tree-depth", type=number(int, 1, 20), help="largest depth of a trajectory [default: 10]")
    parser.add_argument("--seed", type=number(int, 0, 2**32 - 1), help="random seed [default: 42]")
    parser.add_argument("--keep", type=number(int, 1, 1_000_000), help="keep only this many newest runs [default: all]")
    device = parser.add_mutually_exclusive_group()
    device.add_argument("--gpu", action="store_true", help="sample on a GPU; an error when there is none")
    device.add_argument("--cpu", action="store_true", help="sample on the CPU [default]")
    return parser.parse_args(arguments)


def main() -> int:
    """0 when trained, 2 for a wrong option, 3 for wrong data, 6 for a missing file, 74 for the disk, 130 for Ctrl-C."""
    options = parse_arguments()
    try:
        train(options)
    except ModelwrightError as error:
        say(f"{MODEL_ID}: {error}")
        return error.exit_code
    except KeyboardInterrupt:
        say(f"\n{MODEL_ID}: interrupted; the run is kept as interrupted, earlier ones are untouched")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
