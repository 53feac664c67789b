"""The report of a run: one HTML file that opens anywhere, offline and for years, and its JSON twin.

The twin holds every sentence and figure; with the pictures of the run it is all the page is made from, so a page can be
made again from a stored run (`rebuild_report`).
"""

import base64
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from modelwright.core.errors import MissingDependencyError, StorageError
from modelwright.core.sections import Picture, TrainingOutcome, section_document
from modelwright.core.verdict import Grade
from modelwright.runs.figures_in_words import duration, flattened, number, size, table_view, when
from modelwright.runs.manifest import Manifest, plain

if TYPE_CHECKING:
    from modelwright.runs.record import RunRecord

FORMAT = "modelwright-report"
FORMAT_VERSION = 1

_MEDIA = {"svg": "image/svg+xml", "png": "image/png"}


def report_document(manifest: Manifest, outcome: TrainingOutcome) -> dict[str, Any]:
    """Everything the report says, as plain data; pictures by name.

    Args:
        manifest: What is known of the run.
        outcome: What the training handed over.
    """
    known = manifest.model_dump(mode="json")
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "run": {name: known[name] for name in ("run_id", "model_id", "started", "finished", "duration_seconds")},
        "verdict": outcome.verdict.as_document(),
        "metrics": dict(outcome.metrics),
        "sections": [section_document(section) for section in outcome.sections],
        "diagrams": [_picture_document(picture) for picture in outcome.diagrams],
        **({"lineage": {"parent": known["parent"], "folded": known["folded"]}} if known["parent"] else {}),
        **{
            name: known[name]
            for name in ("configuration", "data", "seeds", "versions", "git", "machine", "peak_memory_bytes", "stages")
        },
    }


def render_report(manifest: Manifest, outcome: TrainingOutcome) -> str:
    """The report page of a training.

    Returns:
        One HTML file: pictures and style inside, nothing loaded from elsewhere, no script.
    """
    pictures = [p for section in outcome.sections for p in section.pictures] + list(outcome.diagrams)
    document = plain(report_document(manifest, outcome), field="report")
    return render_document(document, {picture.name: picture.content for picture in pictures})


def rebuild_report(record: "RunRecord") -> str:
    """The report page of a stored run, made again from its JSON twin and its pictures.

    Raises:
        NotFoundError: the run did not get as far as a report. StorageError: a part of it is damaged.
    """
    document = record.report()
    try:
        listed = [p for section in document["sections"] for p in section["pictures"]] + document["diagrams"]
        contents = {p["name"]: record.picture(p["name"], p["format"]) for p in listed}
        return render_document(document, contents)
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"the report of run {record.run_id} is damaged: {error}", todo="train again") from error


def render_document(document: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The page for a report document and the pictures it names.

    Args:
        document: What `report_document` gave, as JSON gives it back.
        pictures: Picture name -> bytes.
    """
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise MissingDependencyError(
            "reports need Jinja2, which is not installed", todo="pip install 'modelwright[bayesian]'"
        ) from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, when=when, duration=duration, size=size)
    folder = resources.files("modelwright.runs")
    template = environment.from_string((folder / "report.html").read_text(encoding="utf-8"))
    return template.render(
        style=Markup((folder / "report.css").read_text(encoding="utf-8")),
        run=document["run"],
        lineage=document.get("lineage"),
        verdict=_verdict_view(document["verdict"]),
        metrics=document["metrics"],
        sections=[_section_view(section, pictures) for section in document["sections"]],
        diagrams=[_picture_view(picture, pictures) for picture in document["diagrams"]],
        settings=[
            (title, flattened(document[name]))
            for title, name in (
                ("Configuration", "configuration"),
                ("Data", "data"),
                ("Continues", "lineage"),
                ("Seeds", "seeds"),
                ("Versions", "versions"),
                ("Machine", "machine"),
                ("Seconds per stage", "stages"),
            )
            if document.get(name)
        ],
        git=document["git"],
        peak_memory_bytes=document["peak_memory_bytes"],
    )


def _verdict_view(verdict: Mapping[str, Any]) -> dict[str, Any]:
    # The badge beside it says the grade; the worst finding comes first, equals stay in their order.
    sentence = verdict["sentence"].removeprefix(f"{verdict['grade']}: ")
    findings = sorted(verdict["findings"], key=lambda finding: -Grade(finding["grade"]).severity)
    return {"grade": Grade(verdict["grade"]).value, "sentence": sentence, "findings": findings}


def _section_view(section: Mapping[str, Any], pictures: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "title": section["title"],
        "text": section["text"],
        "tables": [table_view(table) for table in section["tables"]],
        "pictures": [_picture_view(picture, pictures) for picture in section["pictures"]],
    }


def _picture_document(picture: Picture) -> dict[str, Any]:
    return {
        "name": picture.name,
        "title": picture.title,
        "format": picture.format,
        "alt": picture.alt,
        "caption": picture.caption,
    }


def _picture_view(picture: Mapping[str, Any], pictures: Mapping[str, bytes]) -> dict[str, Any]:
    # As an image and not as inline SVG: an image runs no script and loads nothing, whatever its file says.
    encoded = base64.b64encode(pictures[picture["name"]]).decode("ascii")
    return {**picture, "source": f"data:{_MEDIA[picture['format']]};base64,{encoded}"}
