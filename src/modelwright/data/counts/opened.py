"""What is asked of a source of counts, and what every kind of source answers with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelwright.core.errors import ConfigurationError
from modelwright.data.counts.cell_counts import LeftOut


@dataclass(frozen=True)
class Wanted:
    """What a person asked for.

    Args:
        layer: Name of a layer, "X" or "raw"; None for the main matrix.
        batch: Column with the batch of each cell.
        label: Column with the kind of each cell.
        cells: Column with the names of the cells.
        gene_names: Column with the names of the genes.
        allowed: Bytes of memory that reading may take; None when unknown.
    """

    layer: str | None = None
    batch: str | None = None
    label: str | None = None
    cells: str | None = None
    gene_names: str | None = None
    allowed: int | None = None

    @property
    def columns(self) -> dict[str, str]:
        """Role -> column, of what is said about cells."""
        return {role: name for role, name in (("batch", self.batch), ("label", self.label)) if name is not None}

    def refuse(self, kind: str, *roles: str) -> None:
        """Refuse options that a kind of source cannot answer.

        Args:
            kind: The kind of source, such as "a sparse matrix".
            *roles: Options that it has nothing for.

        Raises:
            ConfigurationError: naming the first of them that was given.
        """
        for role in roles:
            value = getattr(self, role)
            if value is not None:
                raise ConfigurationError(
                    f"{kind} has no {'layers' if role == 'layer' else 'columns of this kind'}",
                    field=role,
                    got=value,
                    todo=f"leave {role} out, or give an AnnData object or .h5ad file that has them",
                )


@dataclass(frozen=True, eq=False)
class Opened:
    """A matrix as it was found, with its names.

    Args:
        matrix: Dense or sparse, shape (n_cells, n_genes), not yet checked.
        cells: Names of the cells.
        genes: Names of the genes.
        place: Where in the source it was, as a sentence begins: "X", "layer 'counts'", "the matrix".
        kind: Kind of source: "h5ad", "mtx" ...
        columns: role -> values per cell, of batch and label.
        left_out: What was not read.
        owned: Whether nobody else holds the matrix.
        elsewhere: Says where the counts might be instead.
        facts: What else the manifest should say of the source.
        rename: What to do about gene names that occur twice.
    """

    matrix: Any
    cells: tuple[str, ...]
    genes: tuple[str, ...]
    place: str
    kind: str
    columns: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    owned: bool = False
    elsewhere: Callable[[], str] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    rename: str | None = None


def texts_of(values: Sequence[Any]) -> tuple[str, ...]:
    """Names as texts; bytes are read as UTF-8."""
    return tuple(v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values)
