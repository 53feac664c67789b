"""`modelwright update MODEL`: new data into a trained run, without the old data."""

from typing import TYPE_CHECKING, Any

import click

from modelwright.cli.console import progress_on_stderr, say
from modelwright.cli.forms import ModelGroup, catalog, given, parameter_option
from modelwright.cli.train import refuse_problems, setting_options, show_result
from modelwright.core.interrupts import interrupts_at_progress

if TYPE_CHECKING:
    from modelwright.catalog.metadata import ModelMetadata

_HELP = """Take new windows into a trained run, as if it had been trained on all data at once.

The old data are not needed: a run keeps what its posterior rests on. What comes is a new run with its own report, which
names the one it continues; that one stays as it is and may be removed. The same data twice are refused.

\b
modelwright train {model} --data january.csv ...
modelwright update {model} --data february.csv
modelwright update {model} --data march.csv --strict --keep 3

Options of data and training that are not given are those of the run that is continued."""


def _update_command(model_id: str, metadata: "ModelMetadata") -> click.Command:
    if model_id in catalog().generative_models():  # its help would promise what it cannot do
        catalog().load_model_instance(model_id).plan_update({})
    settings = catalog().settings_form(model_id)

    def run(strict: bool, as_json: bool, quiet: bool, keep: int | None, run_ref: str | None, **values: Any) -> None:
        model = catalog().load_model_instance(model_id)
        options = {**given(settings, values), **given(metadata.train_params, values), "keep": keep}
        with progress_on_stderr(quiet=quiet or as_json) as shown, interrupts_at_progress(shown) as progress:
            result = model.update(given(metadata.data_params, values), run=run_ref, progress=progress, **options)
        show_result(model_id, result, as_json=as_json)
        for note in result["notes"]:
            say(note)
        if strict:
            refuse_problems(result)

    new = [parameter_option(parameter, needed=parameter.name == "data") for parameter in metadata.data_params]
    trained = [parameter_option(parameter, needed=False) for parameter in metadata.train_params]
    run_option = click.Option(("--run", "run_ref"), help="Run to continue [default: the newest complete one].")
    return click.Command(
        model_id,
        callback=run,
        params=[*new, run_option, *trained, *setting_options(settings, needed=False, otherwise="the run's")],
        help=_HELP.format(model=model_id),
        context_settings={"help_option_names": ["-h", "--help"]},
    )


update = ModelGroup(
    name="update",
    make=_update_command,
    help="Take new data into a trained run, without the old data.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    generative=False,
)
