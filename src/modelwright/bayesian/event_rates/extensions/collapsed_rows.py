"""The cells of an extended model entity by entity, as rectangular arrays: what the integrals over the rates read.

A cell's mean is theta_i times a factor of its own that depends on its exposure, its window-level columns and its drift,
its *kind*. Entities with the same cells and the same entity-level columns have the same integral, whatever the
parameters are, and are kept once. Rows share a rectangle, padded with cells of no windows.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.extensions.design import Design


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
    """Entities, those that are alike once each; rectangles have shape (n_rows, n_cells), each its own n_cells.

    Args:
        kind: Which kind each cell is of; 0 for padding.
        windows: Its number of windows, without those that are silent; 0 for padding.
        total: Its sum of counts.
        silent_kind: Which kind each cell with silent windows is of; 0 for padding.
        silent: How many windows without events it has, where zero inflation makes a difference between them and others.
        columns: Entity-level columns x, shape (n_rows, n_coefficients); None without any.
        times: How many entities are alike, shape (n_rows,).
    """

    kind: np.ndarray
    windows: np.ndarray
    total: np.ndarray
    silent_kind: np.ndarray
    silent: np.ndarray
    columns: np.ndarray | None
    times: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    @property
    def arrays(self) -> tuple[np.ndarray | None, ...]:
        """All of them, in this order."""
        return (self.kind, self.windows, self.total, self.silent_kind, self.silent, self.columns, self.times)

    def part(self, index: np.ndarray) -> "Rows":
        """Some of the rows, without cells that are padding in all of them."""
        used = max(1, int((self.windows[index] > 0).sum(1).max(initial=0)))
        quiet = max(1, int((self.silent[index] > 0).sum(1).max(initial=0)))
        active = (array[index, :used] for array in (self.kind, self.windows, self.total))
        columns = None if self.columns is None else self.columns[index]
        return Rows(*active, self.silent_kind[index, :quiet], self.silent[index, :quiet], columns, self.times[index])

    def padded(self, rows: int) -> "Rows":
        """The same with rows at the end that stand for no entity, `rows` in all."""
        more = rows - len(self)
        if more == 0:
            return self
        arrays = (None if a is None else np.concatenate([a, np.repeat(a[-1:], more, axis=0)]) for a in self.arrays[:-1])
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
        ([1, 2, 0], [[4.0], [4.0], [1.0]], [[0.0], [1.0], [1.0]])
    """
    cells, n_entities = design.cells, design.n_entities
    kinds, kind = _kinds(design)
    silent = cells.silent if zero_inflated else np.zeros_like(cells.silent)
    windows = cells.windows - silent
    active = _rectangle(n_entities, cells.entity, kind, windows > 0, (windows, cells.total))
    quiet = _rectangle(n_entities, cells.entity, kind, silent > 0, (silent,))
    level = design.entity_level
    code = np.zeros(n_entities)
    if level is not None:
        code = np.unique(level.matrix, axis=0, return_inverse=True)[1].reshape(-1).astype(np.float64)
    keys = np.ascontiguousarray(np.concatenate([code[:, None], *active, *quiet], axis=1))
    as_bytes = keys.view(np.dtype((np.void, keys.shape[1] * 8))).reshape(-1)
    _, where, row_of, times = np.unique(as_bytes, return_index=True, return_inverse=True, return_counts=True)
    rows = Rows(
        kind=active[0][where].astype(np.int64),
        windows=active[1][where],
        total=active[2][where],
        silent_kind=quiet[0][where].astype(np.int64),
        silent=quiet[1][where],
        columns=None if level is None else level.matrix[where],
        times=times.astype(np.float64),
    )
    return EntityRows(kinds, rows, row_of.reshape(-1), kind)


def _rectangle(
    n_entities: int, entity: np.ndarray, kind: np.ndarray, chosen: np.ndarray, facts: tuple[np.ndarray, ...]
) -> np.ndarray:
    """Kind and facts of the chosen cells, entity by entity and by kind, shape (1 + n_facts, n_entities, n_cells)."""
    at = np.flatnonzero(chosen)
    at = at[np.lexsort((kind[at], entity[at]))]
    number = np.bincount(entity[at], minlength=n_entities)
    first = np.r_[0, np.cumsum(number)[:-1]]
    found = np.zeros((1 + len(facts), n_entities, max(1, int(number.max()))))
    found[:, entity[at], np.arange(len(at)) - first[entity[at]]] = np.stack([kind[at], *(part[at] for part in facts)])
    return found


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
