"""`modelwright predict MODEL` and `score MODEL`: questions to a trained model."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelwright.cli.console import frame_table, say, show_json, show_table
from modelwright.cli.forms import ModelGroup, catalog, given, parameter_option
from modelwright.cli.frame_files import check_frame_file, write_frame
from modelwright.core.errors import ConfigurationError
from modelwright.core.sections import Table

if TYPE_CHECKING:
    from modelwright.catalog.metadata import ModelMetadata

_HELP = {"help_option_names": ["-h", "--help"]}
_RUN_OPTION = ("--run", "run_ref")


def _predict_command(model_id: str, metadata: "ModelMetadata") -> click.Command:
    def run(as_json: bool, run_ref: str | None, **values: Any) -> None:
        model = catalog().load_model_instance(model_id)
        answer = model.answer(given(metadata.inference_params, values), run=run_ref)
        if as_json:
            show_json(answer)
            return
        show_table(_answer_table(answer))
        for note in answer.get("notes", []):
            say(note)

    return click.Command(
        model_id,
        callback=run,
        params=[
            *(parameter_option(parameter) for parameter in metadata.inference_params),
            click.Option(_RUN_OPTION, help="Run to ask [default: the newest complete one]."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=f"Ask {metadata.name}: {metadata.description}",
        context_settings=_HELP,
    )


def _answer_table(answer: dict[str, Any]) -> Table:
    """Predictions beside their intervals, one row per predicted thing."""
    predictions, intervals = answer["predictions"], answer["credible_intervals"]
    rows = [{**_as_record(p), **_as_record(i)} for p, i in zip(predictions, intervals, strict=True)]
    columns = tuple(dict.fromkeys(key for row in rows for key in row))
    return Table(answer.get("title", "Predictions"), columns, tuple(tuple(row.get(c) for c in columns) for row in rows))


def _as_record(entry: Any) -> dict[str, Any]:
    return dict(entry) if isinstance(entry, dict) else {"value": entry}


def _score_command(model_id: str, metadata: "ModelMetadata") -> click.Command:
    def run(as_json: bool, run_ref: str | None, top: int, out: str | None, **values: Any) -> None:
        silent = bool(values.pop("silent", False))  # no option of generative models
        if out is not None:
            _check_destination(Path(out), values.get("data"))
        model = catalog().load_model_instance(model_id)
        scored = model.score(given(metadata.data_params, values), run=run_ref, include_silent=silent)
        if out is not None:
            write_frame(scored.frame, Path(out))
            say(f"{len(scored.frame):,} scored rows written to {out}")
        if as_json:
            show_json({"scores": scored.frame.head(top).to_dict("records"), "notes": list(scored.notes)})
            return
        show_table(frame_table("Most surprising", scored.frame, scored.columns, limit=top))
        for note in scored.notes:
            say(note)

    if model_id in catalog().generative_models():
        held_out = "those held out of the training"
        options = [parameter_option(parameter, needed=False, otherwise=held_out) for parameter in metadata.data_params]
        help_text = (
            "Score examples by how surprising they are: minus their log probability under a trained run, in nats."
        )
    else:
        options = [parameter_option(parameter, needed=parameter.name == "data") for parameter in metadata.data_params]
        silent_help = "Score known entities that do not occur, with count zero (models of entities in windows)."
        options.append(click.Option(["--silent"], is_flag=True, help=silent_help))
        help_text = "Score new data against a trained run; options not given are those the run was trained with."
    return click.Command(
        model_id,
        callback=run,
        params=[
            *options,
            click.Option(["--top"], type=click.IntRange(1), default=20, help="Rows to show [default: 20]."),
            click.Option(["--out"], help="Write every scored row to this file (.csv or .parquet)."),
            click.Option(_RUN_OPTION, help="Run to ask [default: the newest complete one]."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help=help_text,
        context_settings=_HELP,
    )


def _check_destination(path: Path, data: str | None) -> None:
    """Refuse a file that cannot be written or must not be, before the scoring rather than after it."""
    check_frame_file(path)
    if data is not None and path.exists() and os.path.exists(data) and path.samefile(data):
        raise ConfigurationError("this is the file that is scored", field="out", expected="another file", got=str(path))


predict = ModelGroup(
    name="predict",
    make=_predict_command,
    help="Ask a trained model: what to expect, with intervals; or how probable examples are.",
    context_settings=_HELP,
    no_args_is_help=True,
)
score = ModelGroup(
    name="score",
    make=_score_command,
    help="Score data for anomalies: which windows, cells or examples surprise a trained model.",
    context_settings=_HELP,
    no_args_is_help=True,
)
