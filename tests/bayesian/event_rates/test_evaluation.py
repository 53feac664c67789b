"""Figures about a ranking: scikit-learn's average precision, ties, kinds and absent labels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from modelwright.bayesian.event_rates.evaluation import evaluate_ranking, pr_auc, precision_at_k, recall_at_k
from modelwright.core.errors import DataError


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=60))
def test_pr_auc_is_average_precision_whatever_the_ties(pairs: list[tuple[int, bool]]) -> None:
    score, label = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if label.any():
        assert pr_auc(score, label) == pytest.approx(average_precision_score(label, score), rel=1e-12)
    else:
        assert pr_auc(score, label) is None


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=2, max_size=30), st.randoms())
def test_the_order_of_the_rows_does_not_matter(pairs: list[tuple[int, bool]], random: object) -> None:
    def figures(rows: list[tuple[int, bool]]) -> dict | None:
        return evaluate_ranking(np.array([r[0] for r in rows], float), np.array([r[1] for r in rows]), k=(1, 3))

    shuffled = list(pairs)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    first, second = figures(pairs), figures(shuffled)
    assert first is not None
    assert second is not None
    assert first["pr_auc"] == pytest.approx(second["pr_auc"])
    assert first["recall_at"] == pytest.approx(second["recall_at"])


def test_recall_and_precision_among_the_first_k() -> None:
    score, label = np.array([9.0, 8.0, 7.0, 6.0]), np.array([True, False, True, True])
    assert [recall_at_k(score, label, k) for k in (1, 2, 3, 4, 10)] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 1.0, 1.0])
    assert [precision_at_k(score, label, k) for k in (1, 2, 3, 4)] == pytest.approx([1.0, 0.5, 2 / 3, 3 / 4])
    # three tied scores hold two attacks: any one of them is an attack two times in three
    tied = np.array([5.0, 1.0, 1.0, 1.0])
    assert recall_at_k(tied, label, 2) == pytest.approx((1 + 2 / 3) / 3)


def test_each_kind_is_held_against_windows_without_any_attack() -> None:
    score = np.array([10.0, 9.0, 5.0, 4.0, 1.0])
    label = np.array([1, 1, 0, 1, 0])
    kind = np.array(["brute force", "brute force", "", "device", ""], dtype=object)
    found = evaluate_ranking(score, label, kind, k=(2,))
    assert found is not None
    assert found["by_kind"]["brute force"]["pr_auc"] == 1.0
    assert found["by_kind"]["device"]["pr_auc"] == 0.5  # behind one ordinary window, the brute force set aside
    assert found["by_kind"]["device"]["n"] == 3
    assert (found["positives"], found["n"], found["chance"]) == (3, 5, 0.6)
    assert found["recall_at"] == {"2": pytest.approx(2 / 3), "3": pytest.approx(2 / 3)}


def test_without_labels_nothing_is_said() -> None:
    assert evaluate_ranking(np.array([1.0, 2.0]), None) is None
    found = evaluate_ranking(np.array([1.0, 2.0]), np.array([False, False]))
    assert found is not None
    assert (found["pr_auc"], found["positives"]) == (None, 0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: pr_auc(np.array([1.0, np.nan]), np.array([True, False])),
            "score: a score is not a number; expected numbers, got 1",
        ),
        (
            lambda: pr_auc(np.array([1.0]), np.array([True, False])),
            "label: lengths differ; expected (1,) entries, got (2,)",
        ),
        (
            lambda: recall_at_k(np.ones(2), np.ones(2), 0),
            "k: not a length of a list; expected a whole number of at least 1, got 0",
        ),
        (lambda: evaluate_ranking(np.ones(2), np.ones(2), ["a"]), "kind: lengths differ; expected 2 entries, got 1"),
    ],
)
def test_what_is_wrong_is_named(call, message) -> None:
    with pytest.raises(DataError) as refusal:
        call()
    assert str(refusal.value) == message
