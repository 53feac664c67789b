"""Options that come from a model's own description: one parameter of a form, one option of a command."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelwright.core.names import unknown_name

if TYPE_CHECKING:
    from modelwright.catalog.metadata import ModelMetadata
    from modelwright.catalog.model_registry import ModelRegistry
    from modelwright.catalog.parameters import InferenceParameter

CommandMaker = Callable[[str, "ModelMetadata"], click.Command]


def project_folder() -> Path:
    """The folder whose models/ and bayesian_models/ are meant: what the door was told."""
    folder: Path = click.get_current_context().find_object(Path) or Path()
    return folder


def catalog() -> "ModelRegistry":
    """The models that can be used in the project folder."""
    from modelwright.catalog.model_registry import ModelRegistry

    return ModelRegistry(project_folder())


def parameter_option(
    parameter: "InferenceParameter", *, needed: bool = True, otherwise: str | None = None
) -> click.Option:
    """A command-line option for one parameter of a model's form.

    The value is taken as text and checked by the parameter itself, so that the command line, a form and Python
    refuse the same things in the same words.

    Args:
        parameter: The parameter, as its model describes it.
        needed: Whether a required parameter must be given here, and a default applies; otherwise what is not given
            comes from elsewhere.
        otherwise: Where it then comes from, in words for the help.
    """
    flag = "--" + parameter.name.replace("_", "-")
    kind = str(parameter.type)
    hints = [_range(parameter)] if kind in ("integer", "float") else []
    if parameter.options:
        hints.append(" | ".join(str(choice) for choice in parameter.options))
    if parameter.default is not None and needed:
        hints.append(f"default: {parameter.default}")
    if not needed and otherwise is not None:
        hints.append(f"default: {otherwise}")
    if parameter.required and parameter.default is None and needed:
        hints.append("required")
    hint = "; ".join(part for part in hints if part)
    text = (parameter.help_text or parameter.label or "").rstrip(".")
    text = f"{text} [{hint}]" if hint else text
    if kind == "boolean":
        return click.Option([f"{flag}/--no-{flag[2:]}", parameter.name], default=None, help=text)
    return click.Option([flag, parameter.name], type=str, default=None, metavar=kind.upper(), help=text)


def _range(parameter: "InferenceParameter") -> str:
    low, high = parameter.min_value, parameter.max_value
    if low is not None and high is not None:
        return f"{_bound(low)} to {_bound(high)}"
    if low is not None:
        return f"at least {_bound(low)}"
    return f"at most {_bound(high)}" if high is not None else ""


def _bound(number: float) -> str:
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:g}"


def given(parameters: Sequence["InferenceParameter"], values: dict[str, Any]) -> dict[str, Any]:
    """The values of `parameters` that the person gave on the command line."""
    return {p.name: values[p.name] for p in parameters if values.get(p.name) is not None}


class ModelGroup(click.Group):
    """A group with one sub-command per model of the catalog, its options taken from the model's config.yaml.

    Args:
        make: Builds the command of one model from its id and metadata.
        generative: Whether generative models are among those listed: whether they know the command.
    """

    def __init__(self, *arguments: Any, make: CommandMaker, generative: bool = True, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._make = make
        self._generative = generative

    def list_commands(self, context: click.Context) -> list[str]:
        """The ids of the models that can be used."""
        return sorted(self._listed())

    def _listed(self) -> "dict[str, ModelMetadata]":
        left_out = frozenset() if self._generative else catalog().generative_models()
        return {name: metadata for name, metadata in catalog().get_all_models().items() if name not in left_out}

    def get_command(self, context: click.Context, name: str) -> click.Command:
        """The command of one model."""
        return self._make(name, catalog().get_model_metadata(name))

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Refuse options that stand where the model should: they are a model's own."""
        if args and args[0].startswith("-") and args[0] not in context.help_option_names:
            models = ", ".join(self.list_commands(context)) or "none"
            raise click.UsageError(
                f"expected a model before its options, as in modelwright {self.name} MODEL {args[0]}; models: {models}",
                context,
            )
        return super().parse_args(context, args)

    def resolve_command(self, context: click.Context, args: list[str]) -> tuple[str, click.Command, list[str]]:
        """Find the model, or say which is nearest."""
        if args[0] not in catalog().get_all_models_with_errors():
            raise unknown_name("model", args[0], self.list_commands(context))
        return args[0], self.get_command(context, args[0]), args[1:]

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """One line per model."""
        rows = [(name, metadata.description) for name, metadata in sorted(self._listed().items())]
        with formatter.section(f"Models (modelwright {self.name} MODEL --help lists a model's own options)"):
            formatter.write_dl(rows or [("none", "there is no model in the catalog")])
