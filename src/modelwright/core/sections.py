"""What a report is made of, as plain data: a workshop fills sections, `runs.report` lays them out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeAlias, final, overload

from modelwright.core.verdict import Verdict

Cell: TypeAlias = str | int | float | bool | None


@dataclass(frozen=True)
class Table:
    """A small table.

    Args:
        title: Heading.
        columns: Column headings, with units where they have any.
        rows: One tuple per row, as long as `columns`.
        caption: What to read in it.
        headline: Whether a person wants to see it at once, on the terminal, without opening the report.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    headline: bool = False

    def __post_init__(self) -> None:
        wrong = [row for row in self.rows if len(row) != len(self.columns)]
        if wrong:
            raise ValueError(f"table {self.title!r} has {len(self.columns)} columns, got a row of {len(wrong[0])}")


@dataclass(frozen=True)
class Picture:
    """A picture, ready to embed.

    Args:
        name: File stem ("shrinkage").
        title: Heading.
        content: The bytes of an SVG or PNG.
        format: "svg" or "png".
        alt: What the picture shows, for those who cannot see it.
        caption: What to read in it.
    """

    name: str
    title: str
    content: bytes
    format: Literal["svg", "png"]
    alt: str
    caption: str = ""


@dataclass(frozen=True)
class Section:
    """A titled part of a report: sentences, tables and pictures in reading order."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()


def table_document(table: Table) -> dict[str, Any]:
    """A table as plain data for JSON: a list of records keyed by column."""
    return {
        "title": table.title,
        "columns": list(table.columns),
        "rows": [list(row) for row in table.rows],
        "caption": table.caption,
        "headline": table.headline,
    }


def table_from_document(document: dict[str, Any]) -> Table:
    """Read back what `table_document` wrote.

    Example:
        >>> table = Table("rates", ("entity", "mean"), (("a", 1.5),))
        >>> table_from_document(table_document(table)) == table
        True
    """
    return Table(
        title=document["title"],
        columns=tuple(document["columns"]),
        rows=tuple(tuple(row) for row in document["rows"]),
        caption=document.get("caption", ""),
        headline=document.get("headline", False),
    )


def section_document(section: Section) -> dict[str, Any]:
    """A section as plain data for JSON; pictures by name, not by content."""
    return {
        "title": section.title,
        "text": list(section.text),
        "tables": [table_document(table) for table in section.tables],
        "pictures": [
            {"name": p.name, "title": p.title, "format": p.format, "alt": p.alt, "caption": p.caption}
            for p in section.pictures
        ],
    }


@final
class WrittenLater(Sequence[Section]):
    """Sections that are written when they are first looked at, so that what takes long can begin meanwhile.

    Args:
        write: Writes them all; called once.

    Example:
        >>> sections = WrittenLater(lambda: (Section("Data"), Section("Genes")))
        >>> [section.title for section in sections], len(sections)
        (['Data', 'Genes'], 2)
    """

    def __init__(self, write: Callable[[], tuple[Section, ...]]) -> None:
        self._write = write

    @cached_property
    def _written(self) -> tuple[Section, ...]:
        return self._write()

    @overload
    def __getitem__(self, index: int) -> Section: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Section, ...]: ...

    def __getitem__(self, index: int | slice) -> Section | tuple[Section, ...]:
        """One of the sections, or some."""
        return self._written[index]

    def __len__(self) -> int:
        """How many there are."""
        return len(self._written)


@dataclass(frozen=True)
class TrainingOutcome:
    """What a training hands upwards, as data the run store can write without knowing the model.

    Args:
        trace: An ArviZ `InferenceData`, or what has `groups()`, `trace[group]` (an `xarray.Dataset`) and `attrs` as it
            has; None for a model without one.
        verdict: Whether to trust it.
        metrics: Named figures, JSON scalars.
        sections: The model's own part of the report.
        tables: name -> `pandas.DataFrame`, kept as Parquet with the run.
        documents: name -> JSON-ready data, kept with the run.
        diagrams: Pictures kept as files of their own (the model graph).
        files: File name ("model.safetensors") -> content, kept with the run as it is.
    """

    trace: Any
    verdict: Verdict
    metrics: dict[str, Cell] = field(default_factory=dict)
    sections: Sequence[Section] = ()
    tables: dict[str, Any] = field(default_factory=dict)
    documents: dict[str, Any] = field(default_factory=dict)
    diagrams: tuple[Picture, ...] = ()
    files: dict[str, bytes] = field(default_factory=dict)
