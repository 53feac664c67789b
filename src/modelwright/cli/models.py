"""`modelwright models`, `new` and `schema`: the catalog and what may be added to it."""

import click

from modelwright.cli.console import say, show_json, show_table
from modelwright.cli.forms import catalog, project_folder
from modelwright.core.sections import Table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(as_json: bool) -> None:
    """List every model of the catalog, with its training status."""
    registry = catalog()
    statuses = registry.get_all_models_with_status()
    if as_json:
        show_json({"models": statuses})
        return
    rows = tuple(
        (
            status["model_id"],
            status["name"],
            status["version"],
            status["status"],
            "yes" if status["is_trained"] else "no",
            status["last_trained"],
        )
        for status in statuses
    )
    show_table(Table("Models", ("model", "name", "version", "status", "trained", "last trained"), rows))
    for status in statuses:
        if status.get("error"):
            say(f"{status['model_id']}: {status['error']}")


@click.group()
def new() -> None:
    """Write something new from templates."""


@new.command("model")
@click.argument("model_id")
def new_model_command(model_id: str) -> None:
    """Write bayesian_models/MODEL_ID and bayesian_scripts/MODEL_ID_train.py; both work as they stand."""
    from modelwright.catalog.scaffold import new_model

    written = new_model(model_id, project_folder())
    click.echo("written:")
    for path in written:
        click.echo(f"  {path}")
    click.echo("next:")
    click.echo(f"  modelwright train {model_id}")
    click.echo(f"  python bayesian_scripts/{model_id}_train.py --draws 2000 --chains 4")


@click.command()
def schema() -> None:
    """Print the JSON Schema of a model's config.yaml, for editors."""
    from modelwright.catalog.metadata import model_schema

    show_json(model_schema())
