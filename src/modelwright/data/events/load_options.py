"""Options of `load_events`: what there is to choose, and which choices contradict each other."""

from typing import Literal, get_args

import duckdb

from modelwright.core.errors import ConfigurationError
from modelwright.core.names import suggestion
from modelwright.data.events.fill import Span
from modelwright.data.events.sources import Rows

Purpose = Literal["training", "scoring"]
OnBad = Literal["error", "leave_out"]
EdgeWindows = Literal["partial", "whole"]


def check_time_format(rows: Rows, time_format: str | None) -> None:
    """Refuse a pattern that DuckDB does not know.

    Raises:
        ConfigurationError: for such a pattern.
    """
    if time_format is None or time_format.startswith("epoch_"):
        return
    try:
        rows.connection.execute("SELECT try_strptime('', ?)", [time_format]).fetchall()
    except duckdb.Error as error:
        raise ConfigurationError(
            "not a pattern for times",
            field="time_format",
            expected="a strptime pattern such as %d/%m/%Y %H:%M",
            got=time_format,
        ) from error


def check_options(columns: dict[str, str], window: str | None, choices: dict[str, str]) -> None:
    """Refuse options that mean nothing, or contradict each other.

    Args:
        columns: role -> column name.
        window: Length of a window, or None.
        choices: span, edge_windows, on_bad and purpose.

    Raises:
        ConfigurationError: naming the option.
    """
    allowed = {"span": Span, "edge_windows": EdgeWindows, "on_bad": OnBad, "purpose": Purpose}
    for role, name in columns.items():
        if not isinstance(name, str) or not name:
            raise ConfigurationError("not a column name", field=role, expected="the name of a column", got=name)
    for option, value in choices.items():
        known = get_args(allowed[option])
        if value not in known:
            raise ConfigurationError(
                "not a choice", field=option, expected=" or ".join(known), got=value, todo=suggestion(str(value), known)
            )
    if "count" in columns and "multiplicity" in columns:
        raise ConfigurationError(
            "a table holds ready counts or raw events, not both", field="multiplicity", expected="count or multiplicity"
        )
    if "count" not in columns:
        for option, given in (("time", "time" in columns), ("window", window is not None)):
            if not given:
                raise ConfigurationError(
                    "raw events are counted per window of time",
                    field=option,
                    expected="a column of times and the length of a window",
                    todo="name both time and window, or name the count column of a table that is counted already",
                )
        if "exposure" in columns:
            raise ConfigurationError(
                "raw events have the exposure of their windows",
                field="exposure",
                expected="an exposure column together with a count column",
                todo="leave exposure out",
            )
    if window is not None and "time" not in columns:
        raise ConfigurationError(
            "windows need times",
            field="window",
            expected="a column of times",
            todo="name the time column, or leave window out",
        )
