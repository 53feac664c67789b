"""`modelwright zoo`: configurations, with the figure that each reaches where one is stated."""

from typing import Any

import click

from modelwright.cli.console import printable, progress_on_stderr, say, show_json, show_table, show_verdict
from modelwright.core.errors import ModelwrightError, UntrustedError
from modelwright.core.interrupts import interrupts_at_progress
from modelwright.core.sections import Cell, Table
from modelwright.core.verdict import Grade

_HELP = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_HELP)
def zoo() -> None:
    """List, show and verify configurations; each states the figure it reaches, or why it is only built."""


@zoo.command("list", context_settings=_HELP)
@click.option("--category", help="Only these: vision, protein, text, audio, tabular, toy.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_entries(category: str | None, as_json: bool) -> None:
    """List entries, broken ones included."""
    from modelwright.zoo import zoo as entries

    files, documents, problems = entries.files(), [], []
    rows: list[tuple[Cell, ...]] = []
    for name in entries.list_configs(category):
        try:
            entry = entries.entry(name)
            documents.append(entries.get_info(name))
            rows.append((entry.name, entry.category, entry.type, _figure(entry.expected), entry.description))
        except ModelwrightError as error:  # one file that is wrong hides no other
            where = files[name].parent.name
            documents.append({"name": name, "category": where, "error": str(error)})
            rows.append((name, where, None, "broken", None))
            problems.append(f"{name}: {error}")
    for name, _, why in entries.problems():
        documents.append({"name": name, "category": None, "error": str(why)})
        problems.append(str(why))
    if as_json:
        show_json(documents)
        return
    show_table(Table("Zoo", ("name", "category", "family", "expected", "description"), tuple(rows)))
    for problem in problems:
        say(problem)


@zoo.command(context_settings=_HELP)
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show the whole file of an entry."""
    import yaml

    from modelwright.zoo import zoo as entries

    info = entries.get_info(name)
    if as_json:
        show_json(info)
    else:
        click.echo(yaml.safe_dump(info, sort_keys=False, allow_unicode=True), nl=False)


@zoo.command(context_settings=_HELP)
@click.argument("name")
@click.option("--data", help="File with the entry's data, where they are not built in.")
@click.option("--seed", type=int, default=42, help="Of the training [default: 42].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="Show no progress.")
def verify(name: str, data: str | None, seed: int, as_json: bool, quiet: bool) -> None:
    """Train an entry anew and compare figures.

    The figure is held against the one that the entry states; exit code 4 when it is not reached. An entry that states
    none is built, makes one step on made-up examples, and answers; no data are asked for.
    """
    from modelwright.catalog.zoo_verification import verified

    shown_at = progress_on_stderr(quiet=quiet or as_json)
    with shown_at as shown, interrupts_at_progress(shown, left="nothing of it is kept") as progress:
        found = verified(name, data=data, seed=seed, progress=progress)
    document: dict[str, Any] = {"name": name, "metrics": found.metrics, "verdict": found.verdict.as_document()}
    if as_json:
        show_json(document)
    else:
        show_table(Table(name, ("figure", "value"), tuple(found.metrics.items())))
        for finding in found.verdict.findings:  # what was looked at, and what was not, whatever came of it
            click.echo(f"{finding.grade}: {printable(finding.sentence)}")
        show_verdict(found.verdict)
    if found.verdict.grade is Grade.PROBLEM:
        raise UntrustedError(f"{name} does not reach its figure")


def _figure(expected: Any) -> str:
    if expected.construction_only is not None:
        return "built only"
    return f"{expected.value:g} {expected.metric}, {expected.minutes:g} min"
