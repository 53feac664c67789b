"""`modelwright report`, `compare` and `runs`: what training left behind."""

from typing import Any

import click

from modelwright.cli.console import figure, say, show_json, show_table, show_verdict
from modelwright.cli.forms import project_folder
from modelwright.core.sections import Table, table_from_document


@click.command()
@click.argument("model_or_run")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--rebuild", is_flag=True, help="Write the HTML anew from what the run stored.")
def report(model_or_run: str, as_json: bool, rebuild: bool) -> None:
    """Show the report of a model's newest run, or of the run named."""
    from modelwright.core.documents import read_json
    from modelwright.runs.report import rebuild_report
    from modelwright.runs.store import RunStore

    record = RunStore(project_folder()).find(model_or_run)
    if rebuild:
        rebuild_report(record)
    document = read_json(record.report_json)
    if as_json:
        show_json(document)
        return
    for section in document["sections"]:
        for table in section["tables"]:
            if table.get("headline"):
                show_table(table_from_document(table))
                click.echo()
    show_verdict(record.verdict)
    click.echo(f"report: {record.report_html}")
    click.echo(f"json:   {record.report_json}")


@click.command()
@click.argument("run_refs", nargs=-1, required=True, metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(run_refs: tuple[str, ...], as_json: bool) -> None:
    """Rank runs on the same data by PSIS leave-one-out predictive density."""
    from modelwright.runs.comparison import compare_runs
    from modelwright.runs.store import RunStore

    store = RunStore(project_folder())
    result = compare_runs([store.find(reference) for reference in run_refs])
    if as_json:
        show_json(result.as_document())
        return
    show_table(result.as_table())
    for warning in result.warnings:
        say(warning)


@click.group()
def runs() -> None:
    """List, show and remove runs."""


@runs.command("list")
@click.argument("model_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(model_id: str | None, as_json: bool) -> None:
    """List runs, newest first; interrupted and damaged ones included."""
    from modelwright.runs.store import RunStore

    records = RunStore(project_folder()).list(model_id)
    if as_json:
        show_json({"runs": [record.as_document() for record in records]})
        return
    rows = tuple(_row(record) for record in records)
    show_table(Table("Runs", ("run", "model", "status", "verdict", "duration [s]", "error"), rows))


def _row(record: Any) -> tuple[Any, ...]:
    grade = str(record.verdict.grade) if record.verdict is not None else None
    return (record.run_id, record.model_id, str(record.status), grade, record.duration_seconds, record.error)


@runs.command("show")
@click.argument("run_ref")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_run(run_ref: str, as_json: bool) -> None:
    """Show one run's manifest, and whether its files are what was written."""
    from modelwright.runs.store import RunStore

    record = RunStore(project_folder()).find(run_ref)
    document = record.as_document()
    document["damaged_files"] = [str(path) for path in record.verify()]
    if as_json:
        show_json(document)
        return
    flat = tuple((name, _short(value)) for name, value in document.items())
    show_table(Table(f"Run {record.run_id}", ("field", "value"), flat))


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={figure(entry)}" for key, entry in value.items() if not isinstance(entry, dict | list))
    return figure(value)


@runs.command("rm")
@click.argument("run_refs", nargs=-1, required=True, metavar="RUN...")
def remove_runs(run_refs: tuple[str, ...]) -> None:
    """Remove runs; a live one is refused."""
    from modelwright.runs.store import RunStore

    store = RunStore(project_folder())
    records = [store.find(reference) for reference in run_refs]
    for record in records:
        store.remove(record.run_id)
        click.echo(f"removed {record.run_id}")
