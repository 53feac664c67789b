"""The likelihood of entities with several exposures as a weighted sum over tables of integrals.

Entities of a `sum_cells.SumCell` enter through the weights of its points, so that the cost is that of a few tables
whatever the number of entities. What is interpolated is smooth down to sums of zero:

    log Z(S_1, S_2, ...) = J + sum over e of [S_e log(S_e/n_e) - S_e - L(S_e, n_e c)]

with J the integral of factors relative to their largest values (`shared_grids`) and L(S, c) = (S + c) log(1 + S/c) - S.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import xlogy

from modelwright.bayesian.event_rates.peak_densities import spread_loss
from modelwright.bayesian.event_rates.rate_integrals import Population, Windows
from modelwright.bayesian.event_rates.shared_grids import SumsTable, table_integrals
from modelwright.bayesian.event_rates.sum_cells import SumCell, sum_cells


@dataclass(frozen=True, eq=False)
class WeightedTable:
    """A table, the weight of each of its integrals, and what goes with these.

    Args:
        table: The sums.
        weight: Of each integral, shape (n_along, n_beside); may be negative.
        sums: Of every exposure the distinct sums and their weights.
        constant: What depends on the data alone: the points' S log(S/n) - S, less the entities' own.
    """

    table: SumsTable
    weight: np.ndarray
    sums: tuple[tuple[np.ndarray, np.ndarray], ...]
    constant: float

    def log_likelihood(self, population: Population) -> np.ndarray:
        """As the weighted sum of `collapsed_density.row_log_likelihood` over the entities, shape (n_draws,)."""
        found = np.full(len(population), self.constant)
        for part in table_integrals(population, self.table):
            found[part.draws] += np.einsum("hij,ij->h", part.log_integral, self.weight)
        for (values, weight), number in zip(self.sums, self.table.number, strict=True):
            if number > 0:
                found -= spread_loss(values, population.inverse_concentration[:, None] / number) @ weight
        return found


def weighted_tables(windows: Windows, times: np.ndarray) -> tuple[list[WeightedTable], np.ndarray]:
    """Gather rows into tables.

    Args:
        windows: Rows of statistics, arrays (n_rows, n_exposures), at least two exposures.
        times: How many entities each stands for, shape (n_rows,).

    Returns:
        The tables, and the positions of the rows that are in none.
    """
    cells, rest = sum_cells(windows)
    return [_weighted(cell, windows, times[cell.rows]) for cell in cells], rest


def _weighted(cell: SumCell, windows: Windows, times: np.ndarray) -> WeightedTable:
    weight = cell.weight(times)
    table = cell.table
    sums = [(table.along, weight.sum(1))]
    for e in range(table.beside.shape[1]):
        values, where = np.unique(table.beside[:, e], return_inverse=True)
        sums.append((values, np.bincount(where, weight.sum(0))))
    constant = 0.0
    for (values, weights), number in zip(sums, table.number, strict=True):
        constant += float(_of_data(values, number) @ weights)
    own = _of_data(windows.total[cell.rows], windows.number[cell.rows]).sum(1)
    return WeightedTable(table, weight, tuple(sums), constant - float(own @ times))


def _of_data(total: np.ndarray, number: np.ndarray | float) -> np.ndarray:
    return np.asarray(xlogy(total, total / np.maximum(number, 1.0)) - total)
