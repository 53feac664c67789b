"""`modelwright sample`, `certify` and `explain`: what generative models are asked on the command line."""

import errno
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelwright.cli.console import say, show_json, show_table
from modelwright.cli.forms import catalog
from modelwright.core.errors import ConfigurationError, NotFoundError, UntrustedError
from modelwright.core.names import suggestion
from modelwright.core.seeds import check_seed

if TYPE_CHECKING:
    from modelwright.catalog.generative_model import GenerativeModel
    from modelwright.configuration import ModelConfiguration

_HELP = {"help_option_names": ["-h", "--help"]}


@click.command(context_settings=_HELP)
@click.argument("model_id", metavar="MODEL")
@click.option("--n", "n", type=click.IntRange(1, 1_000_000), default=64, help="How many [default: 64].")
@click.option("--out", required=True, help="File: .png (images, points), .npy (arrays), .txt or .json (texts).")
@click.option("--seed", type=int, default=0, help="The same seed gives the same examples [default: 0].")
@click.option("--label", type=int, help="Class of the examples, for models of labels [default: all in turn].")
@click.option("--run", "run_ref", help="Run to draw from [default: the newest complete one].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def sample(model_id: str, n: int, out: str, seed: int, label: int | None, run_ref: str | None, as_json: bool) -> None:
    """Draw examples from a trained generative model into a file."""
    from modelwright.catalog.generative_files import check_samples_file, write_samples

    check_seed(seed)
    path = Path(out)
    check_samples_file(path)
    samples = generative(model_id).sample(n, seed=seed, label=label, run=run_ref, out=path)
    write_samples(path, samples)
    if as_json:
        show_json({"model_id": model_id, "n": n, "seed": seed, "out": str(path)})
    else:
        say(f"{n} samples of {model_id} written to {path}")


@click.command(context_settings=_HELP)
@click.argument("model_id", metavar="MODEL")
@click.option("--run", "run_ref", help="Run to certify [default: the newest complete one, else an untrained model].")
@click.option("--seed", type=int, default=0, help="Of everything drawn while checking [default: 0].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def certify(model_id: str, run_ref: str | None, seed: int, as_json: bool) -> None:
    """Hold a generative model to the laws of its family: one line each, with figure and tolerance.

    Ends with exit code 4 when a law is broken.
    """
    from modelwright.catalog.generative_certificates import certificate

    check_seed(seed)
    weights, rulings = certificate(generative(model_id), run_ref, seed)
    if as_json:
        rows = [
            {"law": r.law, "figure": r.measured.figure, "tolerance": r.measured.tolerance, "holds": r.measured.holds}
            for r in rulings
        ]
        show_json({"model_id": model_id, "weights": weights, "laws": rows})
    else:
        say(f"{model_id}, {weights}")
        for ruling in rulings:
            click.echo(ruling.line)
    broken = [ruling.law for ruling in rulings if not ruling.measured.holds]
    if broken:
        raise UntrustedError(f"{len(broken)} of {len(rulings)} laws are broken: {'; '.join(broken)}")


@click.command(context_settings=_HELP)
@click.argument("configuration")
@click.option("--modality", help="Of the raw data: a name, or {name: image, levels: 17} [default: the file's].")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain(configuration: str, modality: str | None, as_json: bool) -> None:
    """Say what a configuration file or an entry of the zoo would build: each value with its origin, sizes, costs."""
    from modelwright.core.documents import parse_yaml
    from modelwright.core.sections import table_document
    from modelwright.factory.explanation import explain as explained
    from modelwright.zoo import zoo

    if configuration in zoo.files() and not _is_there(configuration, regular=True):  # a folder of this name is none
        config, of_file = zoo.configuration(configuration), zoo.entry(configuration).modality
    elif _is_there(configuration):
        config, of_file = _described(Path(configuration))
    else:
        raise NotFoundError(
            f"no file and no entry of the zoo is called {configuration!r}",
            field="configuration",
            todo=suggestion(configuration, zoo.files()),
        )
    given: Any = modality
    if modality is not None and modality.lstrip().startswith("{"):
        given = parse_yaml(modality, source="--modality")
    tables = explained(config, modality=of_file if given is None else given).tables()
    if as_json:
        show_json([table_document(table) for table in tables])
        return
    for table in tables:
        show_table(table)
        click.echo()


def _described(path: Path) -> "tuple[ModelConfiguration, Any]":
    """The configuration in a file, and the modality: of an entry of the zoo, or of a configuration with one beside."""
    from modelwright.configuration import ModelConfiguration
    from modelwright.core.documents import parse_json, parse_yaml, read_text
    from modelwright.zoo import ZooEntry

    read = parse_json if path.suffix == ".json" else parse_yaml
    document = read(read_text(path), source=str(path))
    if {"type", "expected"} & set(document):
        entry = ZooEntry.from_mapping(document, source=str(path))
        return entry.configuration, entry.modality
    modality = document.pop("modality", None)
    return ModelConfiguration.from_mapping(document, source=str(path)), modality


def _is_there(name: str, *, regular: bool = False) -> bool:
    try:
        return name != "" and (Path(name).is_file() if regular else Path(name).exists())
    except OSError as error:
        return error.errno != errno.ENAMETOOLONG  # what else stands in the way is said by reading it


def generative(model_id: str) -> "GenerativeModel":
    """A generative model of the catalog.

    Raises:
        ConfigurationError: the model is of another kind.
    """
    model: Any = catalog().load_model_instance(model_id)
    from modelwright.catalog.generative_model import GenerativeModel

    if not isinstance(model, GenerativeModel):
        raise ConfigurationError(
            f"{model_id} is no generative model", field="model", todo="choose one of: modelwright zoo list"
        )
    return model
