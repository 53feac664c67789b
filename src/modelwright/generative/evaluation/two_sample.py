"""The classifier two-sample test: how well a classifier tells samples from data that it has not seen."""

import math
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri
from scipy.stats import binom

from modelwright.core.errors import ConfigurationError, came
from modelwright.core.values import Refusal, to_float
from modelwright.generative.evaluation.samples import two_sets

Classifier = Literal["logistic", "neighbours"]

NEIGHBOURS = 15


@final
@dataclass(frozen=True)
class TwoSampleTest:
    """How well two sets of examples are told apart.

    Args:
        accuracy: Share of the examples left out that were put into the right set; 0.5 for two of one distribution.
        interval: Of the accuracy of this classifier, by Wilson's formula.
        probability: Of the interval.
        p_value: Chance of an accuracy as high if the two sets were of one distribution.
        n: Examples of each set that were left out of the training, and counted.
        classifier: "logistic" (sees differences of means), or "neighbours" (of any kind, slowly in many dimensions).
    """

    accuracy: float
    interval: tuple[float, float]
    probability: float
    p_value: float
    n: int
    classifier: Classifier

    @property
    def told_apart(self) -> bool:
        """Whether the interval lies above one half."""
        return self.interval[0] > 0.5

    def __str__(self) -> str:
        low, high = self.interval
        return f"accuracy {self.accuracy:.3f} [{low:.3f}, {high:.3f}] of a {self.classifier} classifier, 2 x {self.n:,}"


def classifier_two_sample(
    x: ArrayLike,
    y: ArrayLike,
    *,
    classifier: Classifier = "logistic",
    probability: float = 0.95,
    seed: int = 0,
) -> TwoSampleTest:
    """Train a classifier to tell x from y by half of each, and count how often it is right on the other halves.

    Where one set is larger, a random part of it is used, so that guessing is right half of the time. Columns are
    brought to unit spread with the figures of the training half.

    One classifier predicts all that is counted, and has seen none of it: its predictions are independent, and the
    number of right ones is binomial. Were every example left out once, by folds, classifiers would share most of
    what they learn from, and their errors would come together: of equal sets, too many would be told apart.

    Args:
        x: Examples, shape (n, ...).
        y: Examples, shape (m, ...), each of the same shape.
        classifier: "logistic", or "neighbours" (fifteen, an arbitrary number).
        probability: Of the interval.
        seed: Of the halves.

    Raises:
        DataError: the sets do not compare.
        ConfigurationError: an argument is not accepted.

    Source: D. Lopez-Paz, M. Oquab (2017), https://arxiv.org/abs/1610.06545; E. Wilson (1927), for the interval,
    https://doi.org/10.1080/01621459.1927.10502953.
    """
    x, y = two_sets(x, y)
    if classifier not in get_args(Classifier):
        raise ConfigurationError(
            "no such classifier", field="classifier", expected=" or ".join(get_args(Classifier)), got=classifier
        )
    try:
        inside = 0.0 < to_float(probability) < 1.0
    except Refusal:
        inside = False
    if not inside:
        wanted = "a number between 0 and 1"
        raise ConfigurationError("no probability", field="probability", expected=wanted, got=came(probability))
    probability = to_float(probability)
    n = min(len(x), len(y))
    generator = np.random.default_rng(seed)
    sets = [each[generator.permutation(len(each))[:n]] for each in (x, y)]
    left_out = n // 2
    seen = n - left_out
    fitted = _made(classifier, 2 * seen).fit(np.concatenate([each[:seen] for each in sets]), np.repeat([0, 1], seen))
    right = fitted.predict(np.concatenate([each[seen:] for each in sets])) == np.repeat([0, 1], left_out)
    correct, total = int(right.sum()), 2 * left_out
    return TwoSampleTest(
        correct / total,
        wilson_interval(correct, total, probability),
        probability,
        float(binom.sf(correct - 1, total, 0.5)),
        left_out,
        classifier,
    )


def wilson_interval(correct: int, total: int, probability: float = 0.95) -> tuple[float, float]:
    """The interval of a share, by Wilson's formula.

    Example:
        >>> [round(end, 4) for end in wilson_interval(5, 10)]
        [0.2366, 0.7634]
    """
    z, share = float(ndtri(0.5 + 0.5 * probability)), correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2)) / (1 + z**2 / total)
    return centre - half, centre + half


def _made(classifier: Classifier, n_train: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if classifier == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    # fewer than there are of one kind: all of them together say nothing
    return make_pipeline(StandardScaler(), KNeighborsClassifier(max(1, min(NEIGHBOURS, n_train // 2 - 1))))
