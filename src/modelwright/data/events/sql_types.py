"""DuckDB's types and what is asked of a column of any of them: is it empty, what text is it, what number is it."""

from modelwright.core.errors import ConfigurationError

INTEGERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT",
    "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT",
)  # fmt: skip
FRACTIONS = ("FLOAT", "DOUBLE", "DECIMAL")


def is_of(type: str, kinds: tuple[str, ...]) -> bool:
    """Whether a DuckDB type (DECIMAL(18,3)) is one of some."""
    return type.split("(")[0] in kinds


def missing_sql(column: str, type: str) -> str:
    """SQL for a value that somebody left empty."""
    # In text, an empty field and NaN both mean that there was nothing to write.
    return f"({column} IS NULL OR lower(trim({column})) IN ('', 'nan'))" if type == "VARCHAR" else f"({column} IS NULL)"


def label_sql(column: str, type: str) -> str:
    """SQL for a value as a text, NULL for an empty one."""
    if is_of(type, ("FLOAT", "DOUBLE")):
        # Whole numbers become fractions when a row of their column is empty; they are the same labels.
        whole = f"{column} = floor({column}) AND abs({column}) <= {2**53}"
        return (
            f"CASE WHEN isnan({column}) THEN NULL WHEN {whole} THEN CAST(CAST({column} AS BIGINT) AS VARCHAR) "
            f"ELSE CAST({column} AS VARCHAR) END"
        )
    return f"NULLIF(CAST({column} AS VARCHAR), '')"


def number_sql(role: str, type: str) -> str:
    """SQL for a number, NULL where a text is none.

    Raises:
        ConfigurationError: for a column that holds no numbers.
    """
    if is_of(type, INTEGERS):
        return f"TRY_CAST({role} AS HUGEINT)"
    if is_of(type, FRACTIONS):
        return f"CAST({role} AS DOUBLE)"
    if type == "VARCHAR":
        return f"TRY_CAST({role} AS DOUBLE)"
    raise ConfigurationError("not a column of numbers", field=role, expected="numbers", got=type.lower())
