"""How well a ranking finds known attacks: average precision, recall and precision among the first k, by kind."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from modelwright.core.errors import DataError


def pr_auc(score: np.ndarray, label: np.ndarray) -> float | None:
    """Area under the precision-recall curve, as average precision.

        sum over distinct thresholds of (recall_k - recall_(k-1)) * precision_k

    Tied scores pass a threshold together, so their order does not matter.

    Args:
        score: Larger is more anomalous, shape (n,).
        label: Whether each is a known attack, shape (n,).

    Returns:
        A number from the share of positives (by chance) to 1, or None when nothing is labelled positive.

    Raises:
        DataError: for lengths that differ or scores that are not numbers.

    Source:
        J. Davis, M. Goadrich (2006), The relationship between precision-recall and ROC curves,
        https://doi.org/10.1145/1143844.1143874, for why not to interpolate linearly.

    Example:
        >>> pr_auc(np.array([3.0, 2.0, 1.0]), np.array([True, False, True])).__round__(4)
        0.8333
    """
    score, label = _checked(score, label)
    if not label.any():
        return None
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    last = np.flatnonzero(np.r_[score[order][1:] != score[order][:-1], True])
    precision, found = hits[last] / (last + 1), hits[last]
    return float(np.sum(np.diff(found, prepend=0) * precision) / label.sum())


def recall_at_k(score: np.ndarray, label: np.ndarray, k: int) -> float | None:
    """Share of the known attacks among the k highest scores; None without attacks. Ties count in proportion.

    Example:
        >>> recall_at_k(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), 1)
        0.5
    """
    score, label = _checked(score, label)
    return _hits(score, label, k) / int(label.sum()) if label.any() else None


def precision_at_k(score: np.ndarray, label: np.ndarray, k: int) -> float | None:
    """Share of known attacks among the k highest scores; None without attacks. Ties count in proportion.

    Example:
        >>> precision_at_k(np.array([3.0, 2.0, 1.0]), np.array([True, False, True]), 2)
        0.5
    """
    score, label = _checked(score, label)
    return _hits(score, label, k) / min(k, len(score)) if label.any() else None


def evaluate_ranking(
    score: np.ndarray,
    label: np.ndarray | None,
    kind: Sequence[str] | np.ndarray | None = None,
    *,
    k: Sequence[int] = (10, 50, 100),
) -> dict[str, Any] | None:
    """All figures about a ranking, overall and for each kind of attack.

    For one kind, windows of the other kinds are left out: the negatives are the windows without any attack.

    Args:
        score: Larger is more anomalous, shape (n,).
        label: Known attacks, shape (n,), or None when nothing is known.
        kind: Kind of attack, shape (n,), "" for none; or None.
        k: Lengths of the list to look at, besides the number of attacks.

    Returns:
        None without labels. Else n, positives, chance (the share of positives), pr_auc, recall_at and precision_at
        (by k), and by_kind: kind -> the same.

    Example:
        >>> found = evaluate_ranking([3.0, 2.0, 1.0], [True, False, True], ["brute force", "", "device"], k=(1,))
        >>> {kind: entry["pr_auc"] for kind, entry in found["by_kind"].items()}
        {'brute force': 1.0, 'device': 0.5}
    """
    if label is None:
        return None
    scores, labels = _checked(score, label)
    found = _figures(scores, labels, k)
    if kind is not None:
        kinds = np.asarray(kind, dtype=object)
        if len(kinds) != len(scores):
            raise DataError("lengths differ", field="kind", expected=f"{len(scores)} entries", got=len(kinds))
        names = sorted({str(name) for name in kinds[labels] if name})
        by_kind = {}
        for name in names:
            kept = ~labels | (kinds == name)
            by_kind[name] = _figures(scores[kept], labels[kept], k)
        found["by_kind"] = by_kind
    return found


def _figures(score: np.ndarray, label: np.ndarray, k: Sequence[int]) -> dict[str, Any]:
    positives = int(label.sum())
    lengths = sorted({length for length in (*k, positives) if 0 < length <= len(score)})
    return {
        "n": len(score),
        "positives": positives,
        "chance": positives / len(score),
        "pr_auc": pr_auc(score, label),
        "recall_at": {str(length): recall_at_k(score, label, length) for length in lengths},
        "precision_at": {str(length): precision_at_k(score, label, length) for length in lengths},
    }


def _hits(score: np.ndarray, label: np.ndarray, k: int) -> float:
    """Expected number of attacks among the k highest when ties are broken at random."""
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise DataError("not a length of a list", field="k", expected="a whole number of at least 1", got=k)
    if k >= len(score):
        return float(label.sum())
    threshold = np.partition(score, len(score) - k)[len(score) - k]
    above, tied = score > threshold, score == threshold
    return float(label[above].sum() + label[tied].mean() * (k - above.sum()))


def _checked(score: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(score, float), np.asarray(label).astype(bool)
    if scores.shape != labels.shape or scores.ndim != 1:
        raise DataError("lengths differ", field="label", expected=f"{scores.shape} entries", got=labels.shape)
    if np.isnan(scores).any():
        raise DataError("a score is not a number", field="score", expected="numbers", got=int(np.isnan(scores).sum()))
    return scores, labels
