"""Fingerprints of event counts: equal data have equal ones, in every process and every version."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelwright.data.events.texts import Texts


def fingerprint_of(
    entities: Sequence[str],
    arrays: Mapping[str, tuple[NDArray[Any] | None, str]],
    kind: Texts | None,
    covariates: Mapping[str, NDArray[np.float64] | Texts],
    volume: NDArray[np.float64] | None,
) -> str:
    """SHA-256, in hexadecimal, of labels and arrays.

    Covariates and volumes enter only where there are some, so that data without them keep the fingerprint they had
    before either was known.

    Args:
        entities: Labels in order.
        arrays: name -> (values, little-endian type), in the order in which they enter; None for what is absent.
        kind: Kinds of attack.
        covariates: name -> column; their order does not matter.
        volume: Volumes, NaN where there was no event.
    """
    digest = hashlib.sha256(json.dumps(entities, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for name, (values, dtype) in arrays.items():
        digest.update(name.encode())
        digest.update(b"absent" if values is None else _bytes(values, dtype))
    digest.update(b"kind")
    for part in (b"absent",) if kind is None else kind.json_bytes():
        digest.update(part)
    for name in sorted(covariates):
        column = covariates[name]
        digest.update(b"covariate" + json.dumps(name).encode())
        for part in column.json_bytes() if isinstance(column, Texts) else (_bytes(column, "<f8"),):
            digest.update(part)
    if volume is not None:
        # A NaN can be written in many ways, of which one is chosen.
        digest.update(b"volume")
        digest.update(_bytes(np.where(np.isnan(volume), np.nan, volume), "<f8"))
    return digest.hexdigest()


def _bytes(values: NDArray[Any], dtype: str) -> Any:
    """The bytes of an array, without a copy where it is stored like that already."""
    return np.ascontiguousarray(values, dtype=dtype).view(np.uint8)
