"""Compression of tables: nothing is lost, every format says the same, and what is not a count is refused."""

import numpy as np
import pytest
from scipy import sparse
from scipy.special import gammaln

from modelwright.bayesian.components import compressed_counts
from modelwright.bayesian.components.compressed_counts import CompressedMatrix, compress_matrix
from modelwright.core.errors import DataError


@pytest.fixture
def counts():
    table = np.random.default_rng(5).negative_binomial(0.4, 0.2, (40, 7))
    table[:, 3] = 0  # a gene that nobody has
    table[11] = 0  # a cell with nothing
    return table


FORMATS = {
    "dense": np.asarray,
    "float32": lambda t: t.astype(np.float32),
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_array,
    "coo": sparse.coo_array,
    "uint16 csr": lambda t: sparse.csr_array(t.astype(np.uint16)),
}


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS.keys())
def test_every_format_gives_the_same_numbers(counts, form):
    table = compress_matrix(form(counts))
    np.testing.assert_array_equal(table.to_dense(), counts)
    np.testing.assert_array_equal(table.group_total, counts.sum(0))
    np.testing.assert_array_equal(table.cell_total, counts.sum(1))
    np.testing.assert_array_equal(table.group_zeros, (counts == 0).sum(0))
    assert table.log_factorials == pytest.approx(gammaln(counts + 1.0).sum(), rel=1e-13)
    for gene in range(counts.shape[1]):
        value, number = np.unique(counts[:, gene][counts[:, gene] > 0], return_counts=True)
        mine = table.pair_group == gene
        np.testing.assert_array_equal(table.pair_count[mine], value)
        np.testing.assert_array_equal(table.pair_multiplicity[mine], number)


def test_counting_and_sorting_find_the_same_pairs(counts, monkeypatch):
    counts = counts.copy()
    counts[0, 0] = 5_000_000  # a place for every possible pair would be 35 million places
    sorted_pairs = compress_matrix(counts)
    monkeypatch.setattr(compressed_counts, "_BINS", 10**9)
    counted = compress_matrix(counts)
    for name in ("pair_group", "pair_count", "pair_multiplicity"):
        np.testing.assert_array_equal(getattr(sorted_pairs, name), getattr(counted, name))


def test_stored_zeros_and_split_entries_do_not_count_and_are_left_alone():
    given = sparse.csr_array((np.array([1, 2, 0]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    table = compress_matrix(given)
    assert table.to_dense().tolist() == [[3, 0], [0, 0]]
    assert table.n_entries == 1
    assert given.data.tolist() == [1, 2, 0]


def test_groups_are_genes_within_batches(counts):
    batch = np.arange(40) % 3
    table = compress_matrix(counts, batch)
    assert isinstance(table, CompressedMatrix)
    assert (table.n_batches, table.n_groups) == (3, 21)
    zeros = np.stack([(counts[batch == b] == 0).sum(0) for b in range(3)])
    np.testing.assert_array_equal(table.group_zeros.reshape(3, 7), zeros)
    totals = np.stack([counts[batch == b].sum(0) for b in range(3)])
    np.testing.assert_array_equal(table.group_total.reshape(3, 7), totals)


def test_a_table_without_any_count():
    table = compress_matrix(sparse.csr_array((3, 2), dtype=np.int64))
    assert (table.n_pairs, table.n_entries) == (0, 0)
    assert table.group_zeros.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ([[1.0, -1.0]], "counts: a count is out of range; expected whole numbers from 0 to 2^31 - 1, got -1.0"),
        ([[1.0, np.nan]], "counts: a count is out of range; expected whole numbers from 0 to 2^31 - 1, got nan"),
        ([[1.0, np.inf]], "counts: a count is out of range; expected whole numbers from 0 to 2^31 - 1, got inf"),
        (
            [[1.0, 0.5]],
            "counts: a count is not a whole number; expected whole numbers from 0, got 0.5; "
            "pass the raw counts, not normalised or log-transformed data",
        ),
        ([1, 2], "counts: not a table of counts; expected two dimensions, cells x genes, none of them empty, got (2,)"),
        ([["a"]], "counts: not numbers; expected whole numbers from 0, got '<U1'"),
    ],
)
def test_what_is_not_a_count_is_refused(counts, message):
    with pytest.raises(DataError) as refusal:
        compress_matrix(np.array(counts))
    assert str(refusal.value) == message


def test_batches_that_do_not_fit_are_refused(counts):
    with pytest.raises(DataError, match="batch: batches do not fit the table; expected 40 whole numbers from 0"):
        compress_matrix(counts, np.zeros(39, int))


@pytest.mark.slow
def test_a_hundred_thousand_cells_take_seconds():
    draw = np.random.default_rng(0)
    counts = sparse.random_array(
        (100_000, 2000), density=0.07, rng=draw, data_sampler=lambda size: draw.geometric(0.3, size)
    )
    table = compress_matrix(counts.tocsr())
    assert table.n_entries == counts.nnz
    assert table.n_pairs < 150_000
