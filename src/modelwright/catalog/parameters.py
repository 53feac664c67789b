"""A parameter that a person fills in: on the command line, in a form, in a JSON request or from Python.

One declaration serves all four: `InferenceParameter` checks itself when made, `validate_value` turns what came into a
value of the declared type, and `form_field` says what a form needs to draw it.
"""

import keyword
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BeforeValidator, Field, model_validator

from modelwright.core.descriptions import AbstractDescription
from modelwright.core.errors import ConfigurationError, shortened
from modelwright.core.names import nearest, suggestion
from modelwright.core.values import Refusal, plain, shown_key, to_boolean, to_float, to_integer, to_text

ParameterType: TypeAlias = Literal["integer", "float", "string", "select", "boolean"]
ParameterValue: TypeAlias = bool | int | float | str | None

MOST_OPTIONS = 1_000
"""Choices a select may offer; more belong into a string parameter."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)


def _name(value: Any) -> str:
    expected = "a lower-case letter followed by lower-case letters, digits or underscores, at most 63"
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise Refusal(expected, "not a usable name")
    if keyword.iskeyword(value):
        raise Refusal(expected + ", and no word of the Python language", "not a usable name")
    return value


def _bound(value: Any) -> int | float | None:
    value = plain(value)
    if value is None:
        return None
    return to_integer(value) if isinstance(value, int) and not isinstance(value, bool) else to_float(value)


def _option(value: Any) -> str | int | float:
    value = plain(value)
    if isinstance(value, bool):
        raise Refusal("texts or numbers (YAML reads yes, no, on and off as truth values: quote them)", "not an option")
    if isinstance(value, str):
        return to_text(value, longest=200)
    return to_integer(value) if isinstance(value, int) else to_float(value)


def _options(value: Any) -> tuple[str | int | float, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list | tuple):
        raise Refusal("a list of options", "not a list")
    if not 1 <= len(value) <= MOST_OPTIONS:
        raise Refusal(f"1 to {MOST_OPTIONS} options", f"{len(value)} options")
    options = tuple(_option(entry) for entry in value)
    written = [str(option) for option in options]
    twice = next((text for text in written if written.count(text) > 1), None)
    if twice is not None:
        raise Refusal("options that differ", f"the option {twice!r} stands twice")
    return options


def _scalar(value: Any) -> ParameterValue:
    value = plain(value)
    if value is not None and not isinstance(value, bool | int | float | str):
        raise Refusal("a number, text, true or false (quote a date)", "not a plain value")
    return value


Label: TypeAlias = Annotated[str, BeforeValidator(lambda value: to_text(value, longest=200))]
HelpText: TypeAlias = Annotated[str, BeforeValidator(lambda value: to_text(value, longest=2_000))]


class InferenceParameter(AbstractDescription):
    """One parameter of a model: what it is called, what it accepts, what it is when nobody says.

    Args:
        name: A Python keyword argument and, with dashes, a command-line option.
        type: integer, float, string, select or boolean.
        label: What a form shows; made from the name when empty.
        default: The value when none is given; checked against type, bounds and options.
        required: Whether a value must come from somewhere: from the person, or from the default.
        min_value: Smallest number accepted (integer and float only).
        max_value: Largest number accepted (integer and float only).
        options: The choices of a select, required there and refused elsewhere.
        help_text: A sentence for the form and for --help.

    Raises:
        ConfigurationError: when the declaration contradicts itself.

    Example:
        >>> horizon = InferenceParameter(name="horizon", type="integer", default=7, min_value=1, max_value=365)
        >>> horizon.validate_value("14")
        14
        >>> horizon.validate_value(0)
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: horizon: too small; expected an integer from 1 to 365, got 0
    """

    name: Annotated[str, BeforeValidator(_name)]
    type: ParameterType
    label: Label = ""
    default: Annotated[ParameterValue, BeforeValidator(_scalar)] = None
    required: Annotated[bool, BeforeValidator(to_boolean)] = False
    min_value: Annotated[int | float | None, BeforeValidator(_bound)] = None
    max_value: Annotated[int | float | None, BeforeValidator(_bound)] = None
    options: Annotated[
        tuple[str | int | float, ...] | None, BeforeValidator(_options), Field(description="only for type select")
    ] = None
    help_text: HelpText = ""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for field, bound in (("min_value", self.min_value), ("max_value", self.max_value)):
            if bound is None:
                continue
            if self.type not in ("integer", "float"):
                raise ConfigurationError(
                    "only numbers have bounds", field=field, expected=f"none for type {self.type}", got=bound
                )
            if self.type == "integer":
                self._settle(field, _integer_bound(bound, field))
        if self.min_value is not None and self.max_value is not None and self.min_value > self.max_value:
            raise ConfigurationError(
                "larger than max_value", field="min_value", expected=f"at most {self.max_value}", got=self.min_value
            )
        if self.type == "select" and self.options is None:
            raise ConfigurationError("is missing", field="options", expected="a list of options for type select")
        if self.type != "select" and self.options is not None:
            raise ConfigurationError(
                "only a select has options",
                field="options",
                expected=f"none for type {self.type}",
                todo="use type: select",
            )
        if not self.label:
            self._settle("label", self.name.replace("_", " ").capitalize())
        if self.default is not None:
            try:
                self._settle("default", self._coerced(self.default))
            except Refusal as refusal:
                raise ConfigurationError(
                    refusal.why, field="default", expected=refusal.expected, got=self.default
                ) from None
        return self

    def _settle(self, field: str, value: object) -> None:
        # Frozen for everyone else: the declaration is completed once, while it is being made.
        self.__dict__[field] = value

    def validate_value(self, value: Any) -> ParameterValue:
        """The value this parameter takes for what a person gave.

        None means nothing was given, and so does the empty text that forms send for an empty field, except where the
        parameter is a text itself: one that is required may not be empty. The default stands in for nothing.

        Args:
            value: Any object.

        Returns:
            A value of the declared type (a select returns the option as declared), or None when nothing was given,
            nothing is required and there is no default.

        Raises:
            ConfigurationError: naming the parameter, what was expected and what came.

        Example:
            >>> InferenceParameter(name="strict", type="boolean").validate_value("false")
            False
        """
        if self._absent(value):
            if self.default is None and self.required:
                raise ConfigurationError(
                    "is required", field=self.name, expected=self.expectation(), todo=self.help_text or None
                )
            if value is None or self.type != "string":
                return self.default
            if self.required:  # a script's variable that was not set must not stand for the default
                raise ConfigurationError(
                    "is empty", field=self.name, expected="text", todo=f"leave it out to take {self.default}"
                )
        try:
            return self._coerced(value)
        except Refusal as refusal:
            close = self._nearest_option(value)
            raise ConfigurationError(
                refusal.why,
                field=self.name,
                expected=refusal.expected,
                got=value,
                todo=f"did you mean {close!r}?" if close is not None else None,
            ) from None

    def expectation(self) -> str:
        """What is accepted, in words.

        Example:
            >>> InferenceParameter(name="interval", type="float", min_value=0.5, max_value=0.99).expectation()
            'a number from 0.5 to 0.99'
        """
        if self.type == "select":
            return "one of " + ", ".join(str(option) for option in self.options or ())
        noun = {"integer": "an integer", "float": "a number", "string": "text", "boolean": "true or false"}[self.type]
        if self.min_value is not None and self.max_value is not None:
            return f"{noun} from {self.min_value} to {self.max_value}"
        if self.min_value is not None:
            return f"{noun} of at least {self.min_value}"
        if self.max_value is not None:
            return f"{noun} of at most {self.max_value}"
        return noun

    def form_field(self) -> dict[str, Any]:
        """What a form or a command line needs to ask for this parameter, as plain data.

        Returns:
            name, type, label, default, required, min, max, step ("any" for floats, 1 for integers, else None),
            options (a list, empty unless a select) and help_text.
        """
        return {
            "name": self.name,
            "type": self.type,
            "label": self.label,
            "default": self.default,
            "required": self.required,
            "min": self.min_value,
            "max": self.max_value,
            "step": {"integer": 1, "float": "any"}.get(self.type),
            "options": list(self.options or ()),
            "help_text": self.help_text,
        }

    def _absent(self, value: Any) -> bool:
        return value is None or (
            isinstance(value, str) and (value == "" if self.type == "string" else not value.strip())
        )

    def _coerced(self, value: Any) -> ParameterValue:
        match self.type:
            case "integer" | "float":
                try:
                    number = to_integer(value) if self.type == "integer" else to_float(value)
                except Refusal as refusal:
                    bounded = self.min_value is not None or self.max_value is not None
                    raise Refusal(self.expectation() if bounded else refusal.expected, refusal.why) from None
                if self.min_value is not None and number < self.min_value:
                    raise Refusal(self.expectation(), "too small")
                if self.max_value is not None and number > self.max_value:
                    raise Refusal(self.expectation(), "too large")
                return number
            case "boolean":
                return to_boolean(value)
            case "string":
                return to_text(value)
            case "select":
                value = plain(value)
                if isinstance(value, str | int | float) and not isinstance(value, bool):
                    chosen = value if isinstance(value, str) else shortened(value)
                    for option in self.options or ():
                        if str(option) == chosen:
                            return option
                raise Refusal(self.expectation(), "not one of the options")

    def _nearest_option(self, value: Any) -> str | None:
        if self.type != "select" or not isinstance(value, str) or len(value) > 200:
            return None
        return nearest(value, [str(option) for option in self.options or ()])


def _integer_bound(bound: int | float, field: str) -> int:
    try:
        return to_integer(bound)
    except Refusal as refusal:
        raise ConfigurationError(refusal.why, field=field, expected="an integer for type integer", got=bound) from None


def validate_parameters(
    parameters: Iterable[InferenceParameter], given: Any, *, only_given: bool = False
) -> dict[str, ParameterValue]:
    """Every declared parameter with its value: given, or its default, or None where neither is there.

    Args:
        parameters: What is declared.
        given: A mapping from names to values, as a person gave them.
        only_given: Check what was given and leave the rest out, defaults and requirements included.

    Returns:
        A dictionary with exactly the declared names, in the declared order. Feeding it back gives it again.

    Raises:
        ConfigurationError: for the first name that is unknown (with the nearest match) or value that is refused;
            when several are, the sentence ends with the names of the others.

    Example:
        >>> horizon = InferenceParameter(name="horizon", type="integer", default=7)
        >>> validate_parameters([horizon], {})
        {'horizon': 7}
        >>> validate_parameters([horizon], {"horizn": 3})
        Traceback (most recent call last):
        modelwright.core.errors.ConfigurationError: horizn: unknown parameter; did you mean 'horizon'? known: horizon
    """
    declared = {parameter.name: parameter for parameter in parameters}
    if not isinstance(given, Mapping):
        raise ConfigurationError("not parameters", expected="a mapping of names to values", got=given)
    errors: list[ConfigurationError] = []
    for name in given:
        if name not in declared:
            shown = shown_key(name)
            errors.append(ConfigurationError("unknown parameter", field=shown, todo=suggestion(shown, declared)))
    values: dict[str, ParameterValue] = {}
    for name, parameter in declared.items():
        if only_given and given.get(name) is None:
            continue
        try:
            values[name] = parameter.validate_value(given.get(name))
        except ConfigurationError as error:
            errors.append(error)
    if errors:
        raise _with_the_others(errors)
    return values


def _with_the_others(errors: list[ConfigurationError]) -> ConfigurationError:
    first, *others = errors
    if not others:
        return first
    names = ", ".join(str(error.field) for error in others[:5]) + (", ..." if len(others) > 5 else "")
    more = f"also to correct: {names}"
    todo = f"{first.todo} ({more})" if first.todo else more
    return ConfigurationError(first.what, field=first.field, expected=first.expected, got=first.got, todo=todo)
