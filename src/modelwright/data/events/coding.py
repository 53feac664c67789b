"""Columns of texts from a source, as codes: no text is made once per row."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from modelwright.data.events.texts import Codes, Texts

_MOST_PARTS = 4
_SMALLEST_PART = 1_000_000


def coded(texts: pa.ChunkedArray) -> tuple[Codes, pa.Array]:
    """Codes of shape (n,), and the distinct texts in order of first appearance; every entry must have a text.

    Example:
        >>> codes, distinct = coded(pa.chunked_array([["b", "a"], ["b"]]))
        >>> codes.tolist(), distinct.to_pylist()
        ([0, 1, 0], ['b', 'a'])
    """
    n_parts = min(os.cpu_count() or 1, _MOST_PARTS, max(1, len(texts) // _SMALLEST_PART))
    bounds = [len(texts) * part // n_parts for part in range(n_parts + 1)]
    codes = np.empty(len(texts), dtype=np.int32)
    with ThreadPoolExecutor(n_parts) as pool:
        # Looking texts up is most of the work, and Arrow lets other threads run meanwhile.
        found = list(pool.map(lambda part: _coded_part(texts, codes, *bounds[part : part + 2]), range(n_parts)))
    if n_parts == 1:
        return codes, found[0]
    merged = np.empty(sum(map(len, found)), dtype=np.int32)
    distinct = _coded_part(pa.chunked_array(found), merged, 0, len(merged))
    begin = 0
    for part, dictionary in enumerate(found):
        rows = slice(bounds[part], bounds[part + 1])
        codes[rows] = merged[begin : begin + len(dictionary)][codes[rows]]
        begin += len(dictionary)
    return codes, distinct


def _coded_part(texts: pa.ChunkedArray, codes: Codes, begin: int, end: int) -> pa.Array:
    """Write the codes of some rows in place, and return their distinct texts."""
    encoded = texts.slice(begin, end - begin).dictionary_encode()
    # Arrow gives all chunks the same dictionary; making sure of it by unifying would look at all texts once per chunk.
    if len({len(chunk.dictionary) for chunk in encoded.chunks}) > 1:
        encoded = encoded.unify_dictionaries()
    for chunk in encoded.chunks:
        codes[begin : begin + len(chunk)] = chunk.indices.to_numpy()
        begin += len(chunk)
    return encoded.chunk(0).dictionary if encoded.num_chunks else pa.array([], texts.type)


def numbered(texts: pa.ChunkedArray) -> tuple[tuple[str, ...], Codes]:
    """Distinct texts in the order of their characters, and which of them each entry is, shape (n,).

    Example:
        >>> numbered(pa.chunked_array([["b", "a"], ["b"]]))
        (('a', 'b'), array([1, 0, 1], dtype=int32))
    """
    codes, distinct = coded(texts)
    # Bytes of UTF-8 sort as the characters they stand for.
    order = pc.array_sort_indices(distinct)
    rank = np.empty(len(distinct), dtype=np.int32)
    rank[order.to_numpy()] = np.arange(len(distinct), dtype=np.int32)
    return tuple(distinct.take(order).to_pylist()), rank[codes]


def texts_of(column: pa.ChunkedArray) -> Texts:
    """Texts, sorted, with "" where a value is missing."""
    values, codes = numbered(column.cast(pa.string()).fill_null(""))
    return Texts(values, codes)


def whole_numbers(column: pa.ChunkedArray) -> NDArray[np.int64]:
    """Whole numbers, shape (n,), none of them missing."""
    return np.asarray(column.to_numpy().astype(np.int64, copy=False))


def numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """Numbers, shape (n,), NaN where one is missing."""
    return np.asarray(column.to_numpy().astype(np.float64, copy=False))


def flags(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Yes and no, shape (n,); a missing one is no."""
    return np.asarray(column.fill_null(False).to_numpy().astype(np.bool_, copy=False))  # noqa: FBT003 (Arrow's own)
