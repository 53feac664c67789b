"""`modelwright report`, `compare` and `runs`: what training left behind."""

from typing import TYPE_CHECKING, Any

import click

from modelwright.cli.console import figure, say, show_json, show_table, show_verdict
from modelwright.cli.forms import catalog, project_folder
from modelwright.core.errors import ConfigurationError, NotFoundError
from modelwright.core.names import suggestion
from modelwright.core.sections import Table, table_from_document

if TYPE_CHECKING:
    from modelwright.runs.record import RunRecord
    from modelwright.runs.store import RunStore


def _store() -> "RunStore":
    from modelwright.runs.store import RunStore

    return RunStore(project_folder())


def find_run(reference: str) -> "RunRecord":
    """The run of that id or beginning of an id, or the newest complete run of that model.

    Raises:
        NotFoundError: no run and no model is called that.
    """
    store = _store()
    trained = store.models()
    if reference in trained:
        return store.get("latest", reference)
    available = catalog().get_all_models()
    if reference in available:
        raise NotFoundError(
            f"the model {reference} is not trained yet", todo=f"train it with: modelwright train {reference}"
        )
    if not reference[:1].isdigit() and reference != "latest":
        known = [*trained, *(name for name in available if name not in trained)]
        raise NotFoundError(f"no run and no model is called {reference!r}", todo=suggestion(reference, known))
    return store.get(reference)


@click.command()
@click.argument("model_or_run")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--rebuild", metavar="FILE", help="Write the HTML anew to this file, from what the run stored.")
def report(model_or_run: str, as_json: bool, rebuild: str | None) -> None:
    """Show the report of a model's newest complete run, or of the run named."""
    from pathlib import Path

    from modelwright.core.files import write_text
    from modelwright.runs.report import rebuild_report

    record = find_run(model_or_run)
    if rebuild is not None:
        write_text(Path(rebuild), rebuild_report(record))
        say(f"written: {rebuild}")
    document = record.report()
    if as_json:
        show_json(document)
        return
    for section in document["sections"]:
        for table in section["tables"]:
            if table.get("headline"):
                show_table(table_from_document(table))
                click.echo()
    if record.verdict is not None:
        show_verdict(record.verdict)
    click.echo(f"report: {record.report_html}")
    click.echo(f"json:   {record.report_json}")


@click.command()
@click.argument("run_refs", nargs=-1, required=True, metavar="RUN...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def compare(run_refs: tuple[str, ...], as_json: bool) -> None:
    """Rank runs on the same data by PSIS leave-one-out predictive density."""
    from modelwright.runs.comparison import compare_runs

    records = {record.run_id: record for record in (find_run(reference) for reference in run_refs)}
    if len(records) < len(run_refs):
        raise ConfigurationError(
            "a run is named twice", field="RUN", expected="different runs", got=", ".join(run_refs)
        )
    result = compare_runs(list(records.values()))
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
    """List runs, newest first; failed, interrupted and damaged ones included."""
    records = _store().list(model_id)
    if as_json:
        show_json({"runs": [_summary(record) for record in records]})
        return
    columns = ("run", "model", "status", "verdict", "seconds", "error")
    rows = tuple(tuple(_summary(record).values()) for record in records)
    show_table(Table("Runs", columns, rows))


def _summary(record: "RunRecord") -> dict[str, Any]:
    """One line about a run; a damaged one shows why."""
    stored = record.stored
    verdict = stored.trusted() if stored is not None else None
    failure = stored.error.message if stored is not None and stored.error is not None else record.problem
    return {
        "run_id": record.run_id,
        "model_id": record.model_id,
        "status": str(record.status),
        "verdict": str(verdict.grade) if verdict is not None else None,
        "duration_seconds": stored.duration_seconds if stored is not None else None,
        "error": failure,
    }


@runs.command("show")
@click.argument("run_ref")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_run(run_ref: str, as_json: bool) -> None:
    """Show one run's manifest, and whether its files are what was written."""
    record = find_run(run_ref)
    document = {**record.manifest.model_dump(mode="json"), "status": str(record.status), "damaged": record.verify()}
    if as_json:
        show_json(document)
        return
    rows = tuple((name, _in_a_line(value)) for name, value in document.items() if value not in (None, {}, []))
    show_table(Table(f"Run {record.run_id}", ("field", "value"), rows))


def _in_a_line(value: Any) -> str:
    if isinstance(value, dict):
        scalars = {key: entry for key, entry in value.items() if not isinstance(entry, dict | list)}
        nested = len(value) - len(scalars)
        parts = [f"{key}: {figure(entry)}" for key, entry in scalars.items()]
        return ", ".join([*parts, f"{nested} more with --json"] if nested else parts)
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value)
    return figure(value)


@runs.command("rm")
@click.argument("run_refs", nargs=-1, required=True, metavar="RUN...")
def remove_runs(run_refs: tuple[str, ...]) -> None:
    """Remove runs; one that is still running is refused."""
    store = _store()
    for record in [store.get(reference) for reference in run_refs]:
        store.remove(record.run_id, record.model_id)
        click.echo(f"removed {record.run_id}")
