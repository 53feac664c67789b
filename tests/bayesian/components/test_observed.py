"""Observed counts: statistics of cells, genes and the whole, batches, and the constants that networks rely on."""

from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
import scipy.sparse as sp

from modelwright.bayesian.components import observed
from modelwright.bayesian.components.observed import ObservedCounts, observe
from modelwright.bayesian.components.sufficient_statistics import (
    COUNTS,
    MEAN_AND_VARIANCE,
    NON_ZERO_COUNT,
    TOTAL_COUNT,
    SufficientStatistic,
    counts_of,
)
from modelwright.core.errors import ConfigurationError, DataError

TABLE = np.random.default_rng(0).poisson(0.7, (7, 5))
LARGEST = SufficientStatistic("largest", lambda counts: counts.max(axis=1, keepdims=True), 1)
ALL = [TOTAL_COUNT, NON_ZERO_COUNT, MEAN_AND_VARIANCE, counts_of([3, 1]), COUNTS, LARGEST]


def test_statistics_are_of_cells_of_genes_and_of_the_sum_of_cells() -> None:
    data = observe(TABLE, statistics=ALL)
    np.testing.assert_array_equal(data.of_cells("total_count"), TABLE.sum(1))
    np.testing.assert_array_equal(data.of_cells("total_count", np.array([2, 5])), TABLE.sum(1)[[2, 5]])
    np.testing.assert_array_equal(data.of_cells("counts_of_3_1"), TABLE[:, [3, 1]])
    np.testing.assert_array_equal(data.on_axis("non_zero_count", "genes").values[:, 0], (TABLE > 0).sum(0))
    np.testing.assert_array_equal(data.on_axis("largest", "genes").values[:, 0], TABLE.max(0))
    assert float(data.on_axis("total_count", "whole").values[0, 0]) == TABLE.sum()
    np.testing.assert_allclose(data.on_axis("mean_and_variance", "genes").values[:, 1], TABLE.var(0), rtol=1e-6)


@pytest.mark.parametrize("kind", ["csr", "csc", "matrix of an object"])
def test_sparse_tables_say_the_same_in_blocks(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observed, "_BLOCK", 3)
    given = (
        SimpleNamespace(matrix=sp.csr_array(TABLE)) if kind.startswith("matrix") else sp.coo_array(TABLE).asformat(kind)
    )
    one, other = (jax.tree.leaves(observe(table, statistics=ALL)) for table in (TABLE, given))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)  # float32


def test_networks_see_mean_zero_and_variance_one_and_new_cells_on_the_same_scale() -> None:
    data = observe(TABLE, statistics=ALL)
    seen = data.network_inputs(TOTAL_COUNT, "cells")
    np.testing.assert_allclose([seen.mean(), seen.std()], [0.0, 1.0], atol=1e-6)
    np.testing.assert_array_equal(
        data.network_inputs(COUNTS, "cells", np.array([4, 0])), np.asarray(data.network_inputs(COUNTS, "cells"))[[4, 0]]
    )
    unseen = observe(3 * TABLE[:2], statistics=ALL, like=data)
    expected = (np.log1p(3 * TABLE[:2].sum(1)) - np.log1p(TABLE.sum(1)).mean()) / np.log1p(TABLE.sum(1)).std()
    np.testing.assert_allclose(unseen.network_inputs(TOTAL_COUNT, "cells")[:, 0], expected, rtol=1e-5)


def test_what_never_varies_and_what_is_alone_stay_finite() -> None:
    data = observe(np.full((4, 3), 2), statistics=[TOTAL_COUNT])
    np.testing.assert_allclose(data.network_inputs(TOTAL_COUNT, "cells"), np.zeros((4, 1)), atol=1e-6)  # float32
    np.testing.assert_allclose(data.network_inputs(TOTAL_COUNT, "whole"), [[1.0]])


def test_batches_are_numbered_by_name_and_alike_in_new_data() -> None:
    data = observe(TABLE, batch=list("cabbaca"))
    assert (data.batch.tolist(), data.batch_names, data.lengths) == (
        [2, 0, 1, 1, 0, 2, 0],
        ("a", "b", "c"),
        {"n_batches": 3},
    )
    assert observe(TABLE[:2], batch=["c", "b"], like=data).batch.tolist() == [2, 1]
    with pytest.raises(DataError, match="'d' was not among the batches before"):
        observe(TABLE[:1], batch=["d"], like=data)
    with pytest.raises(DataError, match="not one batch per cell"):
        observe(TABLE, batch=["a"])


def test_it_passes_through_compiled_code_without_compiling_again() -> None:
    traced = []

    @jax.jit
    def total(data: ObservedCounts) -> jax.Array:
        traced.append(data.n_cells)
        return data.network_inputs(TOTAL_COUNT, "cells").sum() + data.rows(np.array([1])).sum()

    for table in (TABLE, TABLE + 1):
        total(observe(table, statistics=[TOTAL_COUNT], batch=np.zeros(7)))
    assert traced == [7]


def test_refusals_say_what_is_missing() -> None:
    data = observe(TABLE, statistics=[TOTAL_COUNT], dense=False)
    with pytest.raises(ConfigurationError, match="only the compressed table is kept"):
        data.rows()
    with pytest.raises(ConfigurationError, match=r"no statistic 'total'.*did you mean 'total_count'"):
        data.of_cells("total")
    with pytest.raises(ConfigurationError, match="its function returns another shape"):
        observe(TABLE, statistics=[SufficientStatistic("flat", lambda counts: counts.sum(axis=1), 1)])
    with pytest.raises(ConfigurationError, match="none below 0 with log1p"):
        observe(TABLE, statistics=[SufficientStatistic("minus", lambda c: -c.sum(1, keepdims=True), 1, log1p=True)])
    with pytest.raises(ConfigurationError, match="two statistics of one name"):
        observe(TABLE, statistics=[TOTAL_COUNT, TOTAL_COUNT])
    with pytest.raises(DataError, match="not a table"):
        observe(TABLE[0])


@pytest.mark.parametrize("batch", [["a", None, "b"], [1.0, np.nan, 2.0], np.array(["a", np.nan, "b"], dtype=object)])
def test_a_cell_without_a_batch_is_refused(batch: Any) -> None:
    with pytest.raises(DataError, match="batch: a cell has no batch; expected a number or a text for every cell, got"):
        observe(np.ones((3, 2)), batch=batch)


def test_whole_numbers_name_the_same_batches_however_they_are_stored() -> None:
    known = observe(np.ones((3, 2)), batch=[1.0, 2.0, 1.0])
    assert known.batch_names == ("1", "2")
    assert observe(np.ones((2, 2)), batch=[2, 1], like=known).batch.tolist() == [1, 0]
