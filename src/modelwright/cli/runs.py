"""`modelwright report`, `compare` and `runs`: what training left behind."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelwright.cli.console import frame_table, say, show_json, show_table, show_verdict
from modelwright.cli.forms import catalog, project_folder
from modelwright.cli.frame_files import check_frame_file, write_frame
from modelwright.core.errors import ConfigurationError, NotFoundError
from modelwright.core.names import suggestion
from modelwright.core.number_text import number_text
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
@click.option("--table", metavar="NAME", help="Show one of the tables kept with the run instead, such as scores.")
@click.option("--top", type=click.IntRange(1), default=20, help="Rows of the table to show [default: 20].")
@click.option("--out", metavar="FILE", help="Write the whole table to this file (.csv or .parquet).")
@click.option("--rebuild", metavar="FILE", help="Write the HTML anew to this file, from what the run stored.")
def report(model_or_run: str, as_json: bool, table: str | None, top: int, out: str | None, rebuild: str | None) -> None:
    """Show the report of a model's newest complete run, or of the run named."""
    from modelwright.core.files import write_text
    from modelwright.runs.report import rebuild_report

    if out is not None and table is None:
        raise ConfigurationError("which table?", field="out", todo="name it, as in --table scores --out scores.csv")
    record = find_run(model_or_run)
    if table is not None:
        _show_stored_table(record, table, top=top, out=out, as_json=as_json)
        return
    if rebuild is not None:
        write_text(Path(rebuild), rebuild_report(record))
        say(f"written: {rebuild}")
    document = record.report()
    if as_json:
        show_json(document)
        return
    for section in document["sections"]:
        for drawn in section["tables"]:
            if drawn.get("headline"):
                show_table(table_from_document(drawn))
                click.echo()
    if record.verdict is not None:
        show_verdict(record.verdict)
    if record.report_html.is_file():
        click.echo(f"report: {record.report_html}")
    else:
        say(f"the HTML of this run is missing; to write it anew: modelwright report {record.run_id} --rebuild FILE")
    click.echo(f"json:   {record.report_json}")
    if record.tables:
        name = "scores" if "scores" in record.tables else record.tables[-1]
        example = f"modelwright report {model_or_run} --table {name} --out {name}.csv"
        click.echo(f"tables: {', '.join(record.tables)}; to keep one: {example}")


def _show_stored_table(record: "RunRecord", name: str, *, top: int, out: str | None, as_json: bool) -> None:
    """A table kept with the run: its first rows on stdout, all of them in a file."""
    if out is not None:
        check_frame_file(Path(out))
    frame = record.table(name)
    if out is not None:
        write_frame(frame, Path(out))
        say(f"{len(frame):,} rows written to {out}")
    if as_json:
        show_json({"run_id": record.run_id, "table": name, "rows": frame.head(top).to_dict("records")})
        return
    show_table(frame_table(f"{name} of run {record.run_id}", frame, list(frame.columns), limit=top))
    if len(frame) > top:
        say(f"the first {top:,} of {len(frame):,} rows; --top shows more, --out writes all")


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
    differing = _differences(records)
    if as_json:
        show_json({**result.as_document(), "differences": differing})
        return
    show_table(result.as_table())
    if differing:
        click.echo()
        rows = tuple((name, *values.values()) for name, values in differing.items())
        show_table(Table("What differs between the runs", ("setting", *records), rows))


def _differences(records: Mapping[str, "RunRecord"]) -> dict[str, dict[str, Any]]:
    """Settings that are not the same in all runs: setting -> run id -> value."""
    settings = {run_id: dict(_flat(record.manifest.configuration)) for run_id, record in records.items()}
    names = dict.fromkeys(name for values in settings.values() for name in values)
    table = {name: {run_id: values.get(name) for run_id, values in settings.items()} for name in names}
    return {name: values for name, values in table.items() if len({str(value) for value in values.values()}) > 1}


def _flat(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value)
        else:
            yield name, value if value is None or isinstance(value, str | int | float) else str(value)


@click.group()
def runs() -> None:
    """List, show and remove runs."""


@runs.command("list")
@click.argument("model_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_runs(model_id: str | None, as_json: bool) -> None:
    """List runs, newest first; failed, interrupted and damaged ones included."""
    store = _store()
    if model_id is not None and model_id not in (known := {*store.models(), *catalog().get_all_models_with_errors()}):
        raise NotFoundError(f"no model is called {model_id!r}", todo=suggestion(model_id, sorted(known)))
    records = store.list(model_id)
    if as_json:
        show_json({"runs": [_summary(record) for record in records]})
        return
    if not records:
        say(f"no runs in {project_folder().resolve()}; modelwright train MODEL makes the first")
        return
    headings = {"run_id": "run", "model_id": "model", "duration_seconds": "seconds", "parent": "continues"}
    summaries = [_summary(record) for record in records]
    shown = [name for name in summaries[0] if name != "parent" or any(entry["parent"] for entry in summaries)]
    rows = tuple(tuple(entry[name] for name in shown) for entry in summaries)
    show_table(Table("Runs", tuple(headings.get(name, name) for name in shown), rows))


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
        "parent": stored.parent if stored is not None else None,
        "error": failure,
    }


@runs.command("show")
@click.argument("run_ref")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_run(run_ref: str, as_json: bool) -> None:
    """Show one run's manifest, and whether its files are what was written."""
    record = find_run(run_ref)
    lineage = [{"run_id": run.run_id, "status": run.status} for run in _store().ancestors(record)]
    known = record.manifest.model_dump(mode="json")
    document = {**known, "status": str(record.status), "damaged": record.verify(), "lineage": lineage}
    if as_json:
        show_json(document)
        return
    document["lineage"] = " <- ".join(f"{run['run_id']} ({run['status']})" for run in lineage)
    document["folded"] = f"{len(known['folded']):,} sets of data" if known["folded"] else None
    rows = tuple((name, _in_a_line(value)) for name, value in document.items() if value not in (None, {}, [], ""))
    show_table(Table(f"Run {record.run_id}", ("field", "value"), rows))


def _in_a_line(value: Any) -> str:
    if isinstance(value, dict):
        scalars = {key: entry for key, entry in value.items() if not isinstance(entry, dict | list)}
        nested = len(value) - len(scalars)
        parts = [f"{key}: {number_text(entry)}" for key, entry in scalars.items()]
        return ", ".join([*parts, f"{nested} more with --json"] if nested else parts)
    if isinstance(value, list):
        return ", ".join(str(entry) for entry in value)
    return number_text(value)


@runs.command("rm")
@click.argument("run_refs", nargs=-1, required=True, metavar="RUN...")
def remove_runs(run_refs: tuple[str, ...]) -> None:
    """Remove runs; one that is still running is refused.

    With the last run of a model that did not come to its end goes what a training that was killed would go on from.
    """
    store = _store()
    for record in [store.get(reference) for reference in run_refs]:
        store.remove(record.run_id, record.model_id)
        click.echo(f"removed {record.run_id}")
