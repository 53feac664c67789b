"""Which windows to predict one by one: all of them, or those of a random part of the entities when there are millions.

Replicated data sets and pointwise log likelihoods hold one number per draw and window. For twenty million windows that
is one draw, which says nothing; a thousand draws of some thousand windows say whether the model produces such data.
"""

from dataclasses import dataclass

import numpy as np

from modelwright.bayesian.event_rates.observations import Observations
from modelwright.core.seeds import named_generator
from modelwright.data.events import EventCounts

COMPLETE_UP_TO = 200_000
"""Windows up to which every one is predicted: a hundred draws of each then fit into the budget of a group."""

SAMPLED_WINDOWS = 8_000
"""Windows of the entities drawn when there are more: a thousand draws of each are checked and stored in seconds."""


@dataclass(frozen=True, eq=False)
class PredictiveSample:
    """The windows that are predicted.

    Args:
        observations: The windows; entities are numbered from 0 within the sample.
        entity: Position of each of these entities among those of the data, shape (n_sampled,).
        row: Position of each window among those of the data, shape (n_obs,).
        complete: Whether these are all windows.
    """

    observations: Observations
    entity: np.ndarray
    row: np.ndarray
    complete: bool


def predictive_sample(data: EventCounts) -> PredictiveSample:
    """All windows, or those of entities drawn at random; the same ones whenever the data are the same.

    Example:
        >>> data = EventCounts.from_arrays(entity=["a", "a", "b"], count=[3, 0, 2])
        >>> predictive_sample(data).complete
        True
    """
    if data.n_obs <= COMPLETE_UP_TO:
        return _windows_of(data, np.arange(data.n_entities), complete=True)
    order = named_generator(0, f"windows to predict of {data.n_entities} entities").permutation(data.n_entities)
    windows = np.cumsum(np.bincount(data.entity_idx, minlength=data.n_entities)[order])
    chosen = order[: max(1, int(np.searchsorted(windows, SAMPLED_WINDOWS, side="right")))]
    return _windows_of(data, np.sort(chosen), complete=False)


def _windows_of(data: EventCounts, entity: np.ndarray, *, complete: bool) -> PredictiveSample:
    if complete:
        row = np.arange(data.n_obs)
        index = np.asarray(data.entity_idx)
    else:
        ends = np.searchsorted(data.entity_idx, [entity, entity + 1])
        row = np.concatenate([np.arange(start, end) for start, end in ends.T])
        index = np.searchsorted(entity, np.asarray(data.entity_idx)[row])
    observations = Observations(np.asarray(data.count)[row], index, len(entity), np.asarray(data.exposure)[row])
    return PredictiveSample(observations, entity, row, complete)
