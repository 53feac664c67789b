"""The reference of all models in Markdown: what each is, what its dims mean, every parameter it takes.

    python -m modelwright.factory.reference docs/configuration.md

puts it between the two marks of that page. A test holds the page against the models.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modelwright.configuration import ModelConfiguration
from modelwright.core.errors import ConfigurationError
from modelwright.core.files import write_text
from modelwright.factory.family import FamilyBuilder
from modelwright.factory.model_types import model_types

BEGIN = "<!-- what follows is written by python -m modelwright.factory.reference -->"
END = "<!-- end of what is written -->"


def reference() -> str:
    """The Markdown of all families of the house."""
    return "\n".join(_lines())


def with_reference(page: str) -> str:
    """A page with the reference between its marks.

    Raises:
        ConfigurationError: the page has no marks.

    Example:
        >>> "### RealNVP" in with_reference(BEGIN + END)
        True
    """
    before, found, rest = page.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        raise ConfigurationError("the page has no marks", field="page", expected=f"{BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def _lines() -> Iterator[str]:
    for family, builder in model_types().builders.items():
        if not isinstance(builder, FamilyBuilder):
            continue
        yield f"## {family}"
        yield ""
        for name in builder.models:
            yield from _model(name, builder.class_of(ModelConfiguration(name="x", model_class=name)))


def _model(name: str, model_class: Any) -> Iterator[str]:
    from modelwright.generative.protocol import OFFERS

    first, *paragraphs = (inspect.getdoc(model_class) or "").split("\n\n")
    dims = next((p for p in paragraphs if any(f in p for f in ("input_dim", "output_dim", "hidden_dims"))), "")
    offers = [each for each in OFFERS if each in model_class.offers]
    yield f"### {name.rpartition('.')[2]}"
    yield ""
    yield f"`{name}`. {_one_line(first)}"
    yield ""
    yield f"Offers {', '.join(offers)}; `log_prob` is {_words(model_class.log_prob_kind)}."
    yield ""
    yield _one_line(dims).removeprefix("Dims: ")
    yield ""
    yield "| parameter | expected | default | meaning |"
    yield "|---|---|---|---|"
    for p in model_class.declared:
        yield f"| `{p.name}` | {p.expected} | {_default(p)} | {_cell(p.meaning)} |"
    yield ""


def _words(kind: str | None) -> str:
    return {"exact": "exact", "bound": "a lower bound", "unnormalized": "known up to a constant"}.get(kind or "", "not")


def _default(parameter: Any) -> str:
    if parameter.default is None:
        return "found by the model"
    return str(parameter.default).lower() if parameter.sort == "flag" else str(parameter.default)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(path: Path) -> None:
    """Write the reference into a page."""
    write_text(path, with_reference(path.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
