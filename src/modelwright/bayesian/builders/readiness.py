"""Counts made ready for a model: compressed where that serves, with the statistics that its guide looks at."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from modelwright.bayesian.builders.composition import FromData
from modelwright.bayesian.builders.guide import Guide
from modelwright.bayesian.builders.model import Model
from modelwright.bayesian.builders.starts import starts_from_data, values_from_moments
from modelwright.bayesian.components.compressed_counts import compress_matrix
from modelwright.bayesian.components.observed import ObservedCounts, observe
from modelwright.bayesian.components.sufficient_statistics import SufficientStatistic
from modelwright.bayesian.inference.data_models import Ready
from modelwright.core.errors import ConfigurationError

STEP_IN_SPREADS, LEARNING_RATES = 0.3, (5e-4, 0.02)
"""A step of the optimiser in standard deviations of the narrowest parameter, and what it is kept within (arbitrary)."""

LARGEST_DENSE = 50_000_000
"""Entries up to which the whole table is kept beside its compressed form (400 MB), for checks entry by entry."""


def made_ready(
    model: Model,
    data: Any,
    guide: Any = None,
    *,
    batch_size: int | None = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Ready:
    """Counts as a model takes them, and its guide with a place to begin; see `AbstractDataModel.made_ready`."""
    observed, note = observed_for(model, guide, data, batch_size=batch_size)
    first = values_from_moments(model, observed)
    if not isinstance(guide, Guide) or all(spec.name in guide.starts for spec in guide.specs):
        return Ready(guide, observed, first, (note,))
    starts, found, narrowest = starts_from_data(model, guide, observed, first, kwargs)
    own, guide = guide.starts, guide.starting_at({**starts, **guide.starts})
    if narrowest is None or own:  # who begins elsewhere may have a way to go
        return Ready(guide, observed, first, (note, found))
    # From the mode there is little way to go: steps beyond the narrowest spread would only shake the guide.
    learning_rate = float(np.clip(STEP_IN_SPREADS * narrowest, *LEARNING_RATES))
    return Ready(guide, observed, first, (note, found), learning_rate)


def observed_for(model: Model, guide: Any, data: Any, *, batch_size: int | None = None) -> tuple[ObservedCounts, str]:
    """Counts as a model takes them, and what was decided about them.

    Args:
        model: The model.
        guide: Its guide, whose networks look at statistics; None without one.
        data: Counts of any kind, or `ObservedCounts`.
        batch_size: Cells in a mini-batch; None for all.

    Raises:
        ConfigurationError: a compressed likelihood is asked for and there is none. DataError: no table.
    """
    form, note = _form(model, batch_size)
    known = data if isinstance(data, ObservedCounts) else None
    statistics = _needed(model, guide)
    if known is not None:
        missing = [each for each in statistics if each.name not in known.statistics]
        if not missing and (form is None or known.compressed is not None):
            return known, note
        matrix: Any = np.asarray(known.rows())
        batch = None if known.batch is None else np.asarray(known.batch_names)[np.asarray(known.batch)]
    else:
        matrix, batch = getattr(data, "matrix", data), None
        if not sp.issparse(matrix):
            matrix = np.asarray(matrix)
    compressed = None if form is None else compress_matrix(matrix)
    dense = form is None or int(np.prod(matrix.shape)) <= LARGEST_DENSE
    return observe(matrix, batch=batch, statistics=statistics, compressed=compressed, dense=dense), note


def _form(model: Model, batch_size: int | None) -> tuple[str | None, str]:
    form = model.compressed_form
    reason = "parameters of the likelihood differ between cells and genes at once" if form is None else ""
    if batch_size is not None:
        form, reason = None, "mini-batches look at their cells entry by entry"
    if model.entries == "compressed" and form is None:
        raise ConfigurationError(
            f"there is no compressed likelihood: {reason}",
            field="entries",
            expected="auto or dense",
            got="compressed",
        )
    if model.entries == "dense":
        return None, "likelihood: every entry of the table, as asked"
    if form is None:
        return None, f"likelihood: every entry of the table ({reason})"
    return form, f"likelihood: compressed, {form} (exact; its cost is that of distinct pairs of gene and count)"


def _needed(model: Model, guide: Any) -> Sequence[SufficientStatistic]:
    found = [part.statistic for part in model.parts if isinstance(part, FromData)]
    if isinstance(guide, Guide):
        found += [each for family in guide.families.values() for each in family.statistics]
        found += [group.encoder.sufficient_statistic for group in guide.groups.values()]
    return list({each.name: each for each in found}.values())
