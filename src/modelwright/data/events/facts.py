"""What is known about windows beside how many events they hold: attacks, kinds of attack, volumes, covariates.

A window that no row of the source mentions has no attack and no volume; its covariates are worked out from the windows
that are listed, or refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from modelwright.core.errors import DataError
from modelwright.data.events.covariates import Column
from modelwright.data.events.fill import Filled
from modelwright.data.events.ordering import Int64, in_order
from modelwright.data.events.texts import Texts
from modelwright.data.events.windows import WindowGrid, window_labels


@dataclass(frozen=True, eq=False)
class Facts:
    """Facts per window, each of shape (n,).

    Args:
        label: Known attacks, or None.
        kind: Kinds of attack, or None.
        volume: How much the events moved, NaN where unknown, or None.
        covariates: name -> numbers or texts.
    """

    label: NDArray[np.bool_] | None = None
    kind: Texts | None = None
    volume: NDArray[np.float64] | None = None
    covariates: Mapping[str, Column] = field(default_factory=dict)

    def ordered(self, order: Int64 | None) -> "Facts":
        """The same in another order."""
        return Facts(
            label=None if self.label is None else in_order(self.label, order),
            kind=None if self.kind is None else in_order(self.kind, order),
            volume=None if self.volume is None else in_order(self.volume, order),
            covariates={name: in_order(column, order) for name, column in self.covariates.items()},
        )


def filled_facts(
    facts: Facts, filled: Filled, entities: tuple[str, ...], entity_idx: Int64, index: Int64, grid: WindowGrid
) -> Facts:
    """The facts of all windows, from those of the listed ones.

    Args:
        facts: Facts of listed windows.
        filled: All windows.
        entities: Labels.
        entity_idx: Which entity a listed window belongs to, ascending, shape (n_listed,).
        index: Window number of each listed window, shape (n_listed,).
        grid: The windows.

    Raises:
        DataError: when a covariate of a window that is not listed cannot be known.
    """
    position, n_obs = filled.position, len(filled.count)
    if position is None:
        return facts
    label, kind, volume = facts.label, facts.kind, facts.volume
    if label is not None:
        placed = np.zeros(n_obs, dtype=np.bool_)
        placed[position] = label
        label = placed
    if volume is not None:
        volumes = np.full(n_obs, np.nan)
        volumes[position] = volume
        volume = volumes
    if kind is not None:
        values = [*kind.values, *([] if "" in kind.values else [""])]
        codes = np.full(n_obs, values.index(""), dtype=np.int32)
        codes[position] = kind.codes
        kind = Texts(values, codes)
    covariates = {
        name: _filled_column(name, column, filled, position, entities, entity_idx, index, grid)
        for name, column in facts.covariates.items()
    }
    return Facts(label, kind, volume, covariates)


def _filled_column(
    name: str,
    column: Column,
    filled: Filled,
    position: Int64,
    entities: tuple[str, ...],
    entity_idx: Int64,
    index: Int64,
    grid: WindowGrid,
) -> Column:
    """A covariate of all windows: the entity's own value if no entity has two, else the one that a window shares."""
    values = column.codes.astype(np.float64) if isinstance(column, Texts) else column
    of_entity = values[np.flatnonzero(np.diff(entity_idx, prepend=-1))]
    if (values == of_entity[entity_idx]).all():
        found = of_entity[filled.entity_idx]
    else:
        codes, windows = pd.factorize(index, sort=True)
        smallest, largest = np.full(len(windows), np.inf), np.full(len(windows), -np.inf)
        np.minimum.at(smallest, codes, values)
        np.maximum.at(largest, codes, values)
        at = np.minimum(np.searchsorted(windows, filled.index), len(windows) - 1)
        shared = (windows[at] == filled.index) & (smallest == largest)[at]
        shared[position] = True
        if not shared.all():
            raise _unknown(name, np.flatnonzero(~shared), filled, entities, grid)
        found = smallest[at]
        found[position] = values
    return Texts(column.values, found.astype(np.int32)) if isinstance(column, Texts) else found


def _unknown(
    name: str, places: NDArray[np.int64], filled: Filled, entities: tuple[str, ...], grid: WindowGrid
) -> DataError:
    first = int(places[0])
    window = window_labels(grid.start(filled.index[[first]]), grid.zone)[0]
    return DataError(
        f"{name!r} changes within entities, and {len(places):,} window{'s' if len(places) > 1 else ''} without events "
        f"have no value of it: the first is ({entities[int(filled.entity_idx[first])]}, {window})",
        field="covariates",
        expected="a value for every window, one per entity, or one per window that all entities share",
        todo='use only the windows listed (span = "listed"), or leave this covariate out',
    )
