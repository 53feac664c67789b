"""Covariates and volumes in a source: SQL for their columns, and what their values are once they are read.

A column of numbers (or of yes and no) is a numeric covariate, a column of texts a textual one. CSV and JSON lines hold
nothing but texts; there a column is numeric when every one of its values is a number. A person can say which it is.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import pyarrow as pa

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.data.events.coding import numbered, numbers
from modelwright.data.events.covariates import Column, check_name
from modelwright.data.events.sql_types import FRACTIONS, INTEGERS, is_of, label_sql, missing_sql
from modelwright.data.events.texts import Texts

CovariateType = Literal["number", "text"]

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
# A sum of fractions depends on its order unless they are whole multiples of something; 2**-80 is below the rounding of
# every number that a double holds above 1e-8.
_UNIT = 2**80
LARGEST_VOLUME = 2**53


@dataclass(frozen=True)
class ColumnSql:
    """SQL for one column.

    Args:
        prepared: Expressions for a SELECT list, computed first.
        value: The value, NULL where it cannot be used.
        flaws: WHEN clauses that say why.
        type: "number", "text", or "undecided" until every value has been seen.
    """

    prepared: tuple[str, ...]
    value: str
    flaws: tuple[str, ...]
    type: Literal["number", "text", "undecided"]


def named_covariates(covariates: object) -> dict[str, CovariateType | None]:
    """Covariates as a person names them: column names, or column name -> "number" or "text".

    Raises:
        ConfigurationError: for anything else, for a name given twice, and for names that a table of counts needs.

    Example:
        >>> named_covariates(("tier", "age")), named_covariates({"tier": "text"})
        ({'tier': None, 'age': None}, {'tier': 'text'})
    """
    known = get_args(CovariateType)
    if isinstance(covariates, str) or not isinstance(covariates, Sequence | Mapping):
        raise ConfigurationError(
            "not a list of column names", field="covariates", expected="column names", got=covariates
        )
    names = list(covariates)
    for name in names:
        if not isinstance(name, str):
            raise ConfigurationError("not a column name", field="covariates", expected="column names", got=name)
        check_name(name)
    if len(set(names)) < len(names):
        raise ConfigurationError("a covariate is named twice", field="covariates", got=names)
    if not isinstance(covariates, Mapping):
        return dict.fromkeys(names)
    for name, type in covariates.items():
        if type is not None and type not in known:
            raise ConfigurationError(
                f"{name!r} is neither numbers nor texts",
                field="covariates",
                expected=" or ".join(known),
                got=type,
                todo=suggestion(str(type), known),
            )
    return dict(covariates)


def covariate_sql(role: str, name: str, type: str, wanted: CovariateType | None, *, written: bool) -> ColumnSql:
    """SQL for a covariate.

    Args:
        role: What the relation calls its column: covariate_0, covariate_1 ...
        name: What the person calls it.
        type: DuckDB type.
        wanted: What the person says it is.
        written: Whether the source holds nothing but texts.

    Raises:
        ConfigurationError: for columns of lists and structures, which are neither numbers nor texts.
    """
    number = role.removeprefix("covariate_")
    value, absent = f"v_{number}", f"no_v_{number}"
    if type.endswith("]") or is_of(type, ("STRUCT", "MAP", "UNION", "BLOB")):
        raise ConfigurationError(
            f"column {name!r} holds neither numbers nor texts",
            field="covariates",
            expected="one number or text per row",
            got=type.lower(),
        )
    numeric = is_of(type, INTEGERS) or is_of(type, FRACTIONS) or type == "BOOLEAN"
    missing = f"WHEN {absent} THEN 'covariate_missing:{number}'"
    if wanted == "text" or not (numeric or wanted == "number"):
        prepared = (f"{label_sql(role, type)} AS {value}", f"{missing_sql(role, type)} AS {absent}")
        undecided = written and type == "VARCHAR" and wanted is None
        empty = f"WHEN {value} IS NULL THEN 'covariate_missing:{number}'"
        return ColumnSql(prepared, value, (missing, empty), "undecided" if undecided else "text")
    cast = f"CAST({role} AS INTEGER)" if type == "BOOLEAN" else role
    prepared = (f"TRY_CAST({cast} AS DOUBLE) AS {value}", f"{missing_sql(role, type)} AS {absent}")
    flaws = (
        missing,
        f"WHEN {value} IS NULL THEN 'covariate_unreadable:{number}'",
        f"WHEN isnan({value}) THEN 'covariate_missing:{number}'",
        f"WHEN isinf({value}) THEN 'covariate_unreadable:{number}'",
    )
    return ColumnSql(prepared, value, flaws, "number")


def volume_sql(type: str, *, count: str) -> ColumnSql:
    """SQL for a volume, DOUBLE or NULL; a row without events needs none and may have none above zero.

    Args:
        type: DuckDB type.
        count: SQL for the number of events of the row.

    Raises:
        ConfigurationError: for a column that holds no numbers.
    """
    if not (is_of(type, INTEGERS) or is_of(type, FRACTIONS) or type == "VARCHAR"):
        raise ConfigurationError("not a column of numbers", field="volume", expected="numbers", got=type.lower())
    prepared = (
        "TRY_CAST(volume AS DOUBLE) AS moved",
        f"{missing_sql('volume', type)} AS no_volume",
    )
    flaws = (
        "WHEN NOT no_volume AND moved IS NULL THEN 'volume_unreadable'",
        "WHEN isinf(moved) THEN 'volume_infinite'",
        "WHEN moved < 0 THEN 'volume_negative'",
        f"WHEN moved > {LARGEST_VOLUME} AND NOT isnan(moved) THEN 'volume_too_large'",
        f"WHEN ({count}) > 0 AND (no_volume OR isnan(moved)) THEN 'volume_missing'",
        f"WHEN ({count}) = 0 AND moved > 0 AND NOT isnan(moved) THEN 'volume_without_events'",
    )
    return ColumnSql(prepared, "CASE WHEN NOT isnan(moved) THEN moved END", flaws, "number")


def volume_sum_sql(value: str) -> str:
    """SQL for the sum of volumes in a group: the same to the last bit in whatever order the rows come."""
    whole = f"sum(CAST(floor({value}) AS BIGINT))"
    rest = f"sum(CAST(({value} - floor({value})) * {_UNIT}.0 AS HUGEINT))"
    return f"CAST({whole} + {rest} // {_UNIT} AS DOUBLE) + CAST({rest} % {_UNIT} AS DOUBLE) / {_UNIT}.0"


def column_of(values: pa.ChunkedArray, type: str) -> Column:
    """A covariate as it was read: float64 or texts; texts that are all numbers become numbers when undecided.

    Example:
        >>> column_of(pa.chunked_array([["2", "10"]]), "undecided").tolist()
        [2.0, 10.0]
    """
    if type == "number":
        return numbers(values)
    texts, codes = numbered(values.cast(pa.string()))
    return settled(Texts(texts, codes), type)


def settled(texts: Texts, type: str) -> Column:
    """Texts as numbers when that is what all of them are and nobody said otherwise."""
    if type != "undecided" or not all(_NUMBER.fullmatch(text) for text in texts.values):
        return texts
    found = np.array([float(text) for text in texts.values])
    return found[texts.codes] if np.isfinite(found).all() else texts
