"""The cells of an extended model entity by entity, as rectangular arrays: what the integrals over the rates read.

A cell's mean is theta_i times a factor of its own that depends on its exposure, its window-level columns and its drift,
its *kind*. Entities with the same cells and the same entity-level columns have the same integral, whatever the
parameters are, and are kept once. Rows of similar length share a rectangle, padded with cells of no windows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.extensions.design import Design

PADDING = 0.75
"""Rows are put into one rectangle with the longest of them when they have at least this share of its length."""


@dataclass(frozen=True, eq=False)
class Kinds:
    """The distinct factors of cells, exposure exp(w gamma + drift).

    Args:
        log_exposure: Shape (n_kinds,).
        columns: Window-level columns w, shape (n_kinds, n_window_coefficients); None without any.
        level: Level of the drift, shape (n_kinds,); None without one.
        total: Sum of the counts of all cells of the kind, shape (n_kinds,).
    """

    log_exposure: np.ndarray
    columns: np.ndarray | None
    level: np.ndarray | None
    total: np.ndarray


@dataclass(frozen=True, eq=False)
class Rows:
    """Entities, those that are alike once each; arrays of shape (n_rows, n_cells) unless said.

    Args:
        kind: Which kind each cell is of; 0 for padding.
        windows: Its number of windows; 0 for padding.
        silent: How many of them have no events.
        total: Its sum of counts.
        columns: Entity-level columns x, shape (n_rows, n_coefficients); None without any.
        times: How many entities are alike, shape (n_rows,).
    """

    kind: np.ndarray
    windows: np.ndarray
    silent: np.ndarray
    total: np.ndarray
    columns: np.ndarray | None
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def part(self, index: np.ndarray | slice) -> "Rows":
        """Some of the rows, without cells that are padding in all of them."""
        used = max(1, int((self.windows[index] > 0).sum(1).max(initial=0)))
        cells = (array[index, :used] for array in (self.kind, self.windows, self.silent, self.total))
        return Rows(*cells, None if self.columns is None else self.columns[index], self.times[index])

    def padded(self, rows: int) -> "Rows":
        """The same with rows at the end that stand for no entity, `rows` in all."""
        more = rows - len(self)
        if more == 0:
            return self
        arrays = []
        for array in (self.kind, self.windows, self.silent, self.total, self.columns):
            arrays.append(None if array is None else np.concatenate([array, np.repeat(array[-1:], more, axis=0)]))
        return Rows(*arrays, np.r_[self.times, np.zeros(more)])


@dataclass(frozen=True, eq=False)
class EntityRows:
    """All entities of a design.

    Args:
        kinds: The factors.
        rows: The rows, all in one rectangle.
        row_of: Row of each entity, shape (n_entities,).
        kind_of_cell: Kind of each cell of the design, shape (n_cells,).
    """

    kinds: Kinds
    rows: Rows
    row_of: np.ndarray
    kind_of_cell: np.ndarray


def entity_rows(design: Design, *, zero_inflated: bool) -> EntityRows:
    """The rows of a design.

    Args:
        design: The data, without temporal deviations and volumes.
        zero_inflated: Whether it matters how many windows of a cell are without events.

    Example:
        >>> from modelwright.bayesian.event_rates.extensions.design import design_of
        >>> from modelwright.bayesian.event_rates.extensions.settings import Extensions
        >>> from modelwright.data.events import EventCounts
        >>> data = EventCounts.from_arrays(entity=list("aabbcc"), count=[0, 4, 0, 1, 3, 1])
        >>> found = entity_rows(design_of(data, Extensions.create(chosen="zero_inflation")), zero_inflated=True)
        >>> found.row_of.tolist(), found.rows.total.tolist(), found.rows.silent.tolist()
        ([2, 1, 0], [[4.0], [1.0], [4.0]], [[0.0], [1.0], [1.0]])
    """
    cells = design.cells
    kinds, kind = _kinds(design)
    silent = cells.silent if zero_inflated else np.zeros_like(cells.silent)
    order = np.lexsort((kind, cells.entity))
    entity, kind_here = cells.entity[order], kind[order]
    facts = np.stack([kind_here, cells.windows[order], silent[order], cells.total[order]]).astype(np.float64)
    number = np.bincount(entity, minlength=design.n_entities)
    first = np.r_[0, np.cumsum(number)[:-1]]
    longest = max(1, int(number.max()))
    table = np.zeros((4, design.n_entities, longest))
    table[:, entity, np.arange(len(entity)) - first[entity]] = facts
    level = design.entity_level
    code = np.zeros(design.n_entities)
    if level is not None:
        code = np.unique(level.matrix, axis=0, return_inverse=True)[1].reshape(-1).astype(np.float64)
    keys = np.ascontiguousarray(np.concatenate([number[:, None], code[:, None], *table], axis=1))
    as_bytes = keys.view(np.dtype((np.void, keys.shape[1] * 8))).reshape(-1)
    _, where, row_of, times = np.unique(as_bytes, return_index=True, return_inverse=True, return_counts=True)
    columns = None if level is None else level.matrix[where]
    kept = table[:, where]
    rows = Rows(kept[0].astype(np.int64), kept[1], kept[2], kept[3], columns, times.astype(np.float64))
    return EntityRows(kinds, rows, row_of.reshape(-1), kind)


def by_length(rows: Rows, some: np.ndarray) -> Sequence[np.ndarray]:
    """Positions of rows in groups of similar length, the longest first.

    Args:
        rows: The rows.
        some: Positions of those to be grouped, shape (n,).
    """
    length = (rows.windows[some] > 0).sum(1)
    groups, left = [], np.arange(len(some))
    while len(left):
        here = length[left] >= PADDING * length[left].max()
        groups.append(some[left[here]])
        left = left[~here]
    return groups


def _kinds(design: Design) -> tuple[Kinds, np.ndarray]:
    cells, at = design.cells, design.cells.representative
    parts = [np.log(cells.exposure)[:, None]]
    if design.window_level is not None:
        parts.append(design.window_level.matrix[at])
    if design.drift is not None:
        parts.append(design.drift.level[at][:, None].astype(np.float64))
    code = np.zeros(len(at), dtype=np.int64)
    for part in parts:  # one after another: codes stay small, and sorting numbers is faster than sorting rows
        here = np.unique(part, axis=0, return_inverse=True)[1].reshape(-1)
        code = np.unique(code * (int(here.max()) + 1) + here, return_inverse=True)[1].reshape(-1)
    _, first = np.unique(code, return_index=True)
    kinds = Kinds(
        parts[0][first, 0],
        None if design.window_level is None else design.window_level.matrix[at[first]],
        None if design.drift is None else design.drift.level[at[first]],
        np.bincount(code, cells.total, minlength=len(first)),
    )
    return kinds, code
