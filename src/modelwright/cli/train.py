"""`modelwright train MODEL`: data in, a run with a verdict out."""

import time
from typing import TYPE_CHECKING, Any

import click

from modelwright.cli.console import progress_on_stderr, show_json, show_table, show_verdict
from modelwright.cli.forms import ModelGroup, catalog, given, parameter_option
from modelwright.core.errors import UntrustedError
from modelwright.core.interrupts import interrupts_at_progress
from modelwright.core.number_text import number_text
from modelwright.core.progress import ProgressEvent
from modelwright.core.sections import Table, table_from_document
from modelwright.core.verdict import Grade, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from modelwright.catalog.metadata import ModelMetadata
    from modelwright.catalog.parameters import InferenceParameter


def setting_options(
    form: "Sequence[InferenceParameter]", *, needed: bool = True, otherwise: str | None = None
) -> list[click.Option]:
    """The options of every training: the settings of its kind, and those of all.

    Args:
        form: The settings.
        needed: As for `parameter_option`.
        otherwise: As for `parameter_option`.
    """
    return [
        *(parameter_option(parameter, needed=needed, otherwise=otherwise) for parameter in form),
        click.Option(["--keep"], type=int, help="Keep only this many newest runs of the model [default: all]."),
        click.Option(["--strict"], is_flag=True, help='End with exit code 4 when the verdict is "problem".'),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        click.Option(["--quiet"], is_flag=True, help="Show no progress."),
    ]


def _train_command(model_id: str, metadata: "ModelMetadata") -> click.Command:
    forms = [*metadata.data_params, *metadata.train_params]
    settings = catalog().settings_form(model_id)

    def run(strict: bool, as_json: bool, quiet: bool, keep: int | None, **values: Any) -> None:
        begun = {"start": time.monotonic()}
        model = catalog().load_model_instance(model_id)
        options = {**given(settings, values), **given(metadata.train_params, values), "keep": keep}
        data_options = model.check_data_options(given(metadata.data_params, values))
        model.plan_training(**options)  # a wrong option is refused before the data are read
        shown_at = progress_on_stderr(quiet=quiet or as_json, begun=begun)
        with shown_at as shown, interrupts_at_progress(shown) as progress:
            progress(ProgressEvent("start", 1, 1, "model"))
            data = model.load_data(**data_options, progress=progress)
            result = model.train(data, **options, data_options=data_options, progress=progress)
        show_result(model_id, result, as_json=as_json)
        if strict:
            refuse_problems(result)

    return click.Command(
        model_id,
        callback=run,
        params=[*(parameter_option(parameter) for parameter in forms), *setting_options(settings)],
        help=metadata.description,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


def refuse_problems(result: dict[str, Any]) -> None:
    """End with exit code 4 when the verdict on a run is a problem.

    Raises:
        UntrustedError: it is.
    """
    if Verdict.from_document(result["verdict"]).grade is Grade.PROBLEM:
        raise UntrustedError(
            f"the verdict on run {result['run_id']} is a problem", todo="follow the advice above, or drop --strict"
        )


def show_result(model_id: str, result: dict[str, Any], *, as_json: bool) -> None:
    """Figures, headline tables, verdict and report of a run that has just been written, on stdout."""
    if as_json:
        show_json(result)
        return
    metrics = tuple((name, number_text(value)) for name, value in result["metrics"].items() if value is not None)
    show_table(Table(f"Run {result['run_id']} of {model_id}", ("figure", "value"), metrics))
    for document in result.get("headlines", []):
        click.echo()
        show_table(table_from_document(document))
    click.echo()
    show_verdict(Verdict.from_document(result["verdict"]))
    click.echo(f"report: {result['paths']['report_html']}")


train = ModelGroup(
    name="train",
    make=_train_command,
    help="Train a model on your data and say whether to trust the result.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
)
