"""The data of the model: what they look like, where they come from, and simulated ones whose truth is known."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelwright.core.errors import DataError, NotFoundError
from modelwright.core.names import suggestion

COLUMNS = ("group", "x", "count")


@dataclass(frozen=True, eq=False)
class GroupedCounts:
    """One count per observation, each belonging to a group.

    Args:
        group_idx: Which group, shape (obs,), an index into `groups`.
        x: The measured quantity, shape (obs,).
        count: What was counted, shape (obs,).
        groups: Labels of the groups.
        truth: The parameters the data were simulated with, or None for real data.
    """

    group_idx: NDArray[np.int64]
    x: NDArray[np.float64]
    count: NDArray[np.int64]
    groups: tuple[str, ...]
    truth: dict[str, float] | None = None


def simulate_counts(*, n_groups: int = 12, n_per_group: int = 30, seed: int = 7) -> GroupedCounts:
    """Counts drawn from the model itself, with known parameters.

    Args:
        n_groups: Groups.
        n_per_group: Observations in each.
        seed: The same seed gives the same data.

    Returns:
        The data; `truth` holds intercept, slope and spread.
    """
    truth = {"intercept": 1.0, "slope": 0.5, "spread": 0.4}
    rng = np.random.default_rng(seed)
    level = rng.normal(truth["intercept"], truth["spread"], n_groups)
    group_idx = np.repeat(np.arange(n_groups), n_per_group)
    x = rng.normal(size=group_idx.size)
    rate = np.exp(level[group_idx] + truth["slope"] * x)
    groups = tuple(f"group_{index + 1:02d}" for index in range(n_groups))
    return GroupedCounts(group_idx, x, rng.poisson(rate), groups, truth)


def read_counts(path: Path) -> GroupedCounts:
    """Counts from a CSV file with the columns group, x and count.

    Raises:
        NotFoundError: no such file. DataError: a column is missing, or a row cannot be used; the message names both.
    """
    if not path.is_file():
        raise NotFoundError(f"there is no file {path}", field="data")
    with path.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        header = list(rows.fieldnames or [])
        for column in COLUMNS:
            if column not in header:
                raise DataError(f"{path} has no column {column!r}", field="data", todo=suggestion(column, header))
        parsed = [_parsed(row, line) for line, row in enumerate(rows, start=2)]
    if not parsed:
        raise DataError(f"{path} has no rows", field="data", expected="at least one row")
    groups = sorted({group for group, _, _ in parsed})
    index = {group: position for position, group in enumerate(groups)}
    return GroupedCounts(
        np.array([index[group] for group, _, _ in parsed], dtype=np.int64),
        np.array([x for _, x, _ in parsed], dtype=np.float64),
        np.array([count for _, _, count in parsed], dtype=np.int64),
        tuple(groups),
    )


def _parsed(row: dict[str, str], line: int) -> tuple[str, float, int]:
    try:
        x, count = float(row["x"]), int(row["count"])
    except (TypeError, ValueError):
        raise DataError(f"line {line} cannot be read", field="data", expected="a number and a count", got=row) from None
    if not math.isfinite(x) or not 0 <= count < 2**53 or not row["group"]:
        raise DataError(f"line {line} cannot be used", field="data", expected="group, finite x, count >= 0", got=row)
    return row["group"], x, count
